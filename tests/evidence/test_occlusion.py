import numpy as np
import pytest
import torch

from respcam.evidence.occlusion import KINDS, fill_of, lowest_cutoff, sweep
from respcam.network.model import BandCNN
from respcam.network.occluded import Occlusion, log_odds

PICTURES = np.arange(2 * 4 * 3, dtype=np.float32).reshape(2, 4, 3)


def test_a_sweep_takes_single_groups_and_then_all_from_either_end():
    conditions = sweep(3)
    assert [c.kind for c in conditions] == [kind for kind in KINDS for _ in range(3)]
    gone = {(c.kind, c.group): set(c.gone) for c in conditions}
    assert gone["single", 1] == {1}
    assert gone["low_pass", 1] == {1, 2}
    assert gone["high_pass", 1] == {0, 1}
    assert gone["low_pass", 0] == gone["high_pass", 2] == {0, 1, 2}


class Watched(torch.nn.Module):
    """Scores nothing, keeps what it is shown."""

    def forward(self, pictures):
        self.seen = pictures
        return pictures.mean(dim=(2, 3))


def test_only_the_bands_that_are_gone_are_replaced():
    model, pictures = Watched(), torch.from_numpy(PICTURES)[:, None]
    Occlusion(model, pictures, torch.full_like(pictures, -4.6)).scores(np.array([False, True, False, True]))
    torch.testing.assert_close(model.seen[:, :, [0, 2]], pictures[:, :, [0, 2]])
    assert (model.seen[:, :, [1, 3]] == -4.6).all()
    np.testing.assert_array_equal(pictures[:, 0], np.arange(24, dtype=np.float32).reshape(2, 4, 3))


@pytest.mark.parametrize("n_bands", [64, 54, 33, 10, 5, 1])
def test_recomputed_rows_give_the_scores_of_the_whole_network(n_bands):
    torch.manual_seed(n_bands)
    model = BandCNN(3, width=4)
    with torch.no_grad():  # batch normalisation with a history of its own
        for _ in range(3):
            model(torch.randn(8, 1, n_bands, 96))
    model.eval()
    pictures, fill = torch.randn(2, 4, 1, n_bands, 96)
    rng = np.random.default_rng(0)
    stretches = [(first, first + width) for width in (1, 2, 3, 7, n_bands) for first in range(0, n_bands, 3)]
    cases = [np.isin(np.arange(n_bands), np.arange(first, end)) for first, end in stretches]
    cases += [rng.random(n_bands) < share for share in (0.1, 0.5, 1.0)] + [np.zeros(n_bands, bool)]
    with torch.no_grad():
        occlusion = Occlusion(model, pictures, fill)
        for is_gone in cases:
            expected = model(torch.where(torch.from_numpy(is_gone)[:, None], fill, pictures))
            torch.testing.assert_close(occlusion.scores(is_gone), expected, atol=1e-5, rtol=1e-4)


def test_only_rows_near_the_change_are_computed():
    torch.manual_seed(0)
    model = BandCNN(2, width=4).eval()
    pictures = torch.randn(2, 1, 64, 96)
    with torch.no_grad():
        occlusion = Occlusion(model, pictures, torch.zeros_like(pictures))
        rows = []
        hooks = [block[1].register_forward_hook(lambda m, i, o: rows.append(o.shape[2])) for block in model.blocks]
        occlusion.scores(np.isin(np.arange(64), [30, 31, 32, 33]))
    for hook in hooks:
        hook.remove()
    assert rows == [8, 5, 7, 9]  # 4 + 4 of 64, then half of that and one, and one more on either side twice


def test_the_mean_fill_is_each_bands_own():
    mean = np.array([1, 2, 3, 4], np.float32)
    fill = fill_of("mean", PICTURES, mean, 0.0, np.array([0, 1]), np.random.default_rng(0))
    np.testing.assert_array_equal(fill[:, :, 0], [mean, mean])


def test_the_other_fill_comes_from_another_class():
    pictures = np.arange(20, dtype=np.float32)[:, None, None] + np.zeros((20, 4, 3), np.float32)
    target = np.arange(20) % 3
    donor = fill_of("other", pictures, np.zeros(4), 0.0, target, np.random.default_rng(0))[:, 0, 0].astype(int)
    assert (target[donor] != target).all()
    assert len(set(donor)) > 5


@pytest.mark.parametrize(
    ("rule", "message"), [("noise", "expected one of mean, floor, other"), ("other", "there is one class")]
)
def test_bad_fills_are_refused(rule, message):
    with pytest.raises(ValueError, match=message):
        fill_of(rule, PICTURES, np.zeros(4), 0.0, np.array([1, 1]), np.random.default_rng(0))


def test_log_odds_are_those_of_the_softmax():
    scores = torch.tensor([[0.3, -1.0, 2.0], [5.0, 5.0, 5.0]])
    p = scores.softmax(dim=1)
    torch.testing.assert_close(log_odds(scores), torch.log(p / (1 - p)), rtol=1e-4, atol=1e-5)
    two = log_odds(torch.tensor([[1.0, 4.0]]))
    torch.testing.assert_close(two, torch.tensor([[-3.0, 3.0]]))


def test_the_lowest_cutoff_is_where_the_loss_begins_to_stay_small():
    cutoffs = [200, 400, 600, 800]
    assert lowest_cutoff(cutoffs, [0.01, 0.2, 0.04, 0.02], 0.05) == 600  # 200 is below a costly cut
    assert lowest_cutoff(cutoffs, [0.2, 0.2, 0.2, 0.06], 0.05) is None
    assert lowest_cutoff(cutoffs, [0.2, 0.2, 0.2, float("nan")], 0.05) is None
    assert lowest_cutoff(cutoffs[::-1], [0.02, 0.04, 0.01, 0.2], 0.05) == 400
