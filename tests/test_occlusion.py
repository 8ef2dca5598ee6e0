import numpy as np
import pytest
import torch

from respcam.occlusion import KINDS, fill_of, log_odds, lowest_cutoff, occlude, sweep

PICTURES = np.arange(2 * 4 * 3, dtype=np.float32).reshape(2, 4, 3)


def test_a_sweep_takes_single_groups_and_then_all_from_either_end():
    conditions = sweep(3)
    assert [c.kind for c in conditions] == [kind for kind in KINDS for _ in range(3)]
    gone = {(c.kind, c.group): set(c.gone) for c in conditions}
    assert gone["single", 1] == {1}
    assert gone["low_pass", 1] == {1, 2}
    assert gone["high_pass", 1] == {0, 1}
    assert gone["low_pass", 0] == gone["high_pass", 2] == {0, 1, 2}


def test_only_the_bands_that_are_gone_are_replaced():
    fill = fill_of("floor", PICTURES, np.zeros(4, np.float32), -4.6, np.array([0, 1]), np.random.default_rng(0))
    hidden = occlude(PICTURES, fill, np.array([False, True, False, True]))
    np.testing.assert_array_equal(hidden[:, [0, 2]], PICTURES[:, [0, 2]])
    assert (hidden[:, [1, 3]] == np.float32(-4.6)).all()
    np.testing.assert_array_equal(PICTURES, np.arange(24, dtype=np.float32).reshape(2, 4, 3))


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
