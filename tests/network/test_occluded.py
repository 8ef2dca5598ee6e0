import numpy as np
import pytest
import timm
import torch

from respcam.network.model import BandCNN
from respcam.network.occluded import Occlusion, log_odds

PATCHES = np.arange(2 * 4 * 3, dtype=np.float32).reshape(2, 4, 3)


class Watched(torch.nn.Module):
    """Scores nothing, keeps what it is shown."""

    def forward(self, patches):
        self.seen = patches
        return patches.mean(dim=(2, 3))


def test_only_the_bands_that_are_removed_are_replaced():
    model, patches = Watched(), torch.from_numpy(PATCHES)[:, None]
    Occlusion(model, patches, torch.full_like(patches, -4.6)).scores(np.array([False, True, False, True]))
    torch.testing.assert_close(model.seen[:, :, [0, 2]], patches[:, :, [0, 2]])
    assert (model.seen[:, :, [1, 3]] == -4.6).all()
    np.testing.assert_array_equal(patches[:, 0], np.arange(24, dtype=np.float32).reshape(2, 4, 3))


@pytest.mark.parametrize("n_bands", [64, 54, 33, 10, 5, 1])
def test_recomputed_rows_give_the_scores_of_the_full_pass(n_bands):
    torch.manual_seed(n_bands)
    model = BandCNN(3, width=4)
    with torch.no_grad():  # batch normalisation with a history of its own
        for _ in range(3):
            model(torch.randn(8, 1, n_bands, 96))
    model.eval()
    patches, fill = torch.randn(2, 4, 1, n_bands, 96)
    rng = np.random.default_rng(0)
    stretches = [(first, first + width) for width in (1, 2, 3, 7, n_bands) for first in range(0, n_bands, 3)]
    cases = [np.isin(np.arange(n_bands), np.arange(first, end)) for first, end in stretches]
    cases += [rng.random(n_bands) < share for share in (0.1, 0.5, 1.0)] + [np.zeros(n_bands, bool)]
    with torch.no_grad():
        occlusion = Occlusion(model, patches, fill)
        for is_removed in cases:
            expected = model(torch.where(torch.from_numpy(is_removed)[:, None], fill, patches))
            torch.testing.assert_close(occlusion.scores(is_removed), expected, atol=1e-5, rtol=1e-4)


def test_only_rows_near_the_change_are_computed():
    torch.manual_seed(0)
    model = BandCNN(2, width=4).eval()
    patches = torch.randn(2, 1, 64, 96)
    with torch.no_grad():
        occlusion = Occlusion(model, patches, torch.zeros_like(patches))
        rows = []
        hooks = [block[1].register_forward_hook(lambda m, i, o: rows.append(o.shape[2])) for block in model.blocks]
        occlusion.scores(np.isin(np.arange(64), [30, 31, 32, 33]))
    for hook in hooks:
        hook.remove()
    assert rows == [8, 5, 7, 9]  # 4 + 4 of 64, then half of that and one, and one more on either side twice


def test_log_odds_are_those_of_the_softmax():
    scores = torch.tensor([[0.3, -1.0, 2.0], [5.0, 5.0, 5.0]])
    p = scores.softmax(dim=1)
    torch.testing.assert_close(log_odds(scores), torch.log(p / (1 - p)), rtol=1e-4, atol=1e-5)
    two = log_odds(torch.tensor([[1.0, 4.0]]))
    torch.testing.assert_close(two, torch.tensor([[-3.0, 3.0]]))


def test_any_other_network_sees_the_input_again():
    torch.manual_seed(0)
    model = timm.create_model("resnet18", in_chans=1, num_classes=2).eval()
    patches, fill = torch.randn(2, 2, 1, 64, 96)
    is_removed = np.arange(64) > 50
    with torch.no_grad():
        expected = model(torch.where(torch.from_numpy(is_removed)[:, None], fill, patches))
        assert torch.equal(Occlusion(model, patches, fill).scores(is_removed), expected)
