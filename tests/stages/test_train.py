import numpy as np
import pytest

from respcam.stages.train import permuted


@pytest.mark.parametrize("n_classes", [2, 4])
def test_permuted_classes_say_nothing_about_the_true_ones(n_classes):
    rng = np.random.default_rng(0)
    target = rng.choice(n_classes, 400, p=rng.dirichlet(5 * np.ones(n_classes)))
    side = np.where(np.arange(400) < 300, "train", "test")
    dealt = permuted(target, side)
    for name in ("train", "test"):
        own = side == name
        share = np.bincount(target[own], minlength=n_classes) / own.sum()
        for k in range(n_classes):
            found = np.bincount(dealt[own & (target == k)], minlength=n_classes)
            assert np.abs(found - share * found.sum()).max() < 4
    np.testing.assert_array_equal(dealt, permuted(target, side))
    assert not np.array_equal(dealt, permuted(target, side, seed=1))
