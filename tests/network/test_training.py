import numpy as np
import pytest
import torch

from respcam.data.patches import PatchSettings
from respcam.network.model import BandCNN
from respcam.network.training import (
    RandomPatches,
    Scaler,
    Training,
    Units,
    fit,
    log_part,
    make_fabric,
    patch_batches,
    pool,
    predict,
    unit_batches,
)

SMALL = Training(epochs=4, batch_units=8, patches_per_unit=2, threads=1, patience=4)


def make_units(n=24, seed=0, kept=None):
    """Units of a few lengths; class 1 is louder in bands 10 to 15."""
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 2
    frames = [rng.standard_normal((length, 32)).astype(np.float32) for length in rng.integers(40, 300, n)]
    for own, k in zip(frames, target, strict=True):
        own[:, 10:16] += 1.5 * k
    return Units(frames, target, np.ones(32, bool) if kept is None else kept, PatchSettings(), -4.6)


def train(tmp_path, settings=SMALL, seed=0, name="checkpoint.pt"):
    units = make_units()
    fabric = make_fabric("cpu", threads=1)
    return fit(
        lambda: BandCNN(2, width=4), units, make_units(12, seed=1), Scaler.fit(units), 2, settings, seed, fabric,
        tmp_path / name,
    )  # fmt: skip


def test_a_difference_is_learnt(tmp_path):
    model, history = train(tmp_path, Training(epochs=8, batch_units=8, patches_per_unit=2, threads=1))
    assert history["validation_auroc"].max() > 0.95
    units = make_units(20, seed=2)
    probability = predict(model, units, Scaler.fit(make_units()), SMALL.pooling, make_fabric("cpu"))
    assert (probability.argmax(axis=1) == units.target).mean() > 0.9
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)


def test_the_network_returned_is_normalised_by_its_own_statistics(tmp_path):
    model, _ = train(tmp_path)
    units, found = make_units(), []
    model.norm.register_forward_hook(lambda module, before, after: found.append(after))
    predict(model, units, Scaler.fit(units), "mean", make_fabric("cpu"))
    mean, std = torch.cat(found).mean(dim=0), torch.cat(found).std(dim=0)
    assert mean.square().mean() < 0.2**2
    assert 0.8 < std.median() < 1.2


def weights_of(model):
    return torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()])


def test_a_seed_fixes_the_weights(tmp_path):
    first, again, other = (train(tmp_path, seed=seed, name=f"{i}.pt")[0] for i, seed in enumerate((0, 0, 1)))
    assert torch.equal(weights_of(first), weights_of(again))
    assert not torch.equal(weights_of(first), weights_of(other))


def test_an_interrupted_run_ends_like_an_undisturbed_one(tmp_path, monkeypatch):
    whole, history = train(tmp_path, name="whole.pt")
    import respcam.network.training as module

    save, n_saved = module._save, []

    def save_then_die(path, state):
        save(path, state)
        n_saved.append(path)
        if len(n_saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_save", save_then_die)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, name="cut.pt")
    monkeypatch.setattr(module, "_save", save)
    resumed, again = train(tmp_path, name="cut.pt")
    assert torch.equal(weights_of(whole), weights_of(resumed))
    assert history.equals(again)


def test_training_ends_when_nothing_gets_better(tmp_path):
    settings = Training(epochs=50, batch_units=8, patches_per_unit=2, threads=1, patience=2, learning_rate=1e-7)
    _, history = train(tmp_path, settings)
    best = int(history["is_best"].to_numpy().argmax())
    assert len(history) == best + 3 < 50


def test_the_best_epoch_on_validation_is_the_one_returned(tmp_path):
    model, history = train(tmp_path)
    best = history.loc[history["is_best"], "validation_auroc"].item()
    assert history.loc[history["is_best"], "validation_loss"].item() == history["validation_loss"].min()
    units = make_units(12, seed=1)
    probability = predict(model, units, Scaler.fit(make_units()), SMALL.pooling, make_fabric("cpu"))
    positive, negative = probability[units.target == 1, 1], probability[units.target == 0, 1]
    assert (positive[:, None] > negative).mean() == pytest.approx(best)


def test_drawn_patches_depend_on_seed_epoch_and_unit_alone():
    units = make_units()
    unit = int(np.argmax([len(frames) for frames in units.frames]))
    first = RandomPatches(units, 3, seed=0, epoch=1).__getitems__([unit])[0][0]
    together, target = RandomPatches(units, 3, seed=0, epoch=1).__getitems__([0, unit])
    np.testing.assert_array_equal(first, together[1])
    np.testing.assert_array_equal(target, units.target[[0, unit]])
    assert not np.array_equal(first, RandomPatches(units, 3, seed=0, epoch=2).__getitems__([unit])[0][0])
    assert first.shape == (3, 32, 96)


def test_drawn_patches_are_stretches_of_their_unit_and_reach_both_ends():
    units = make_units()
    unit = int(np.argmin([abs(len(frames) - 100) for frames in units.frames]))
    frames = units.of(unit)
    stretches = [frames[start : start + 96].T for start in range(len(frames) - 95)]
    drawn = RandomPatches(units, 400, seed=0, epoch=0).__getitems__([unit])[0][0].numpy()
    found = {next(i for i, own in enumerate(stretches) if np.array_equal(own, patch)) for patch in drawn}
    assert found == set(range(len(stretches)))


def test_pruned_bands_never_reach_the_model():
    kept = np.arange(32) % 3 != 0
    units = make_units(kept=kept)
    np.testing.assert_array_equal(units.of(0), make_units().of(0)[:, kept])
    assert units.grid(1).shape[1] == kept.sum()


def test_the_scaler_centres_every_band():
    units = make_units()
    scaler = Scaler.fit(units)
    frames = np.concatenate([units.of(i) for i in range(len(units))])
    np.testing.assert_allclose(scaler.mean, frames.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(scaler.std, frames.std(axis=0), rtol=1e-4)
    scaled = scaler(torch.from_numpy(units.grid(0)))
    assert scaled.shape[1:] == (1, 32, 96)


@pytest.mark.parametrize(
    ("pooling", "expected"), [("mean", 2.0), ("max", 3.0), ("logsumexp", np.log((np.e + np.e**3) / 2))]
)
def test_patch_scores_are_pooled(pooling, expected):
    scores = torch.tensor([[1.0, 1.0], [3.0, 3.0]])
    np.testing.assert_allclose(pool(scores, pooling), expected, rtol=1e-6)


@pytest.mark.parametrize("n_patches", [1, 7, 32, 1000])
def test_patches_come_in_order_in_batches_of_one_size(n_patches):
    units = make_units(20)
    batches = list(patch_batches(units, n_patches))
    np.testing.assert_array_equal(np.concatenate(batches), np.concatenate([units.grid(unit) for unit in range(20)]))
    assert {len(batch) for batch in batches[:-1]} <= {n_patches}
    assert 0 < len(batches[-1]) <= n_patches


def test_a_prediction_does_not_depend_on_its_neighbours(tmp_path):
    model, _ = train(tmp_path)
    units, scaler, fabric = make_units(20), Scaler.fit(make_units()), make_fabric("cpu")
    together = predict(model, units, scaler, "logsumexp", fabric)
    for unit in (0, 7, 19):
        alone = Units([units.frames[unit]], units.target[[unit]], np.ones(32, bool), units.settings, units.floor)
        np.testing.assert_allclose(predict(model, alone, scaler, "logsumexp", fabric)[0], together[unit], atol=1e-6)


def test_units_are_batched_in_order_and_whole():
    units = make_units(50)
    batches = list(unit_batches(units, 20))
    assert [unit for batch in batches for unit in batch] == list(range(50))
    assert len(batches) > 3


def test_precision_follows_the_device():
    assert make_fabric("cpu", "32-true")._precision.precision == "32-true"
    expected = "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"
    assert make_fabric("cpu", "auto")._precision.precision == expected


@pytest.mark.parametrize("balance", ["weights", "sampler", "none"])
@pytest.mark.parametrize("pooling", ["max", "logsumexp"])
def test_every_option_trains(tmp_path, balance, pooling):
    settings = Training(epochs=1, batch_units=8, patches_per_unit=2, threads=1, balance=balance, pooling=pooling)
    _, history = train(tmp_path, settings)
    assert np.isfinite(history["train_loss"]).all()


def test_an_absent_device_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(ValueError, match="device is 'cuda', which is not usable here"):
        make_fabric("cuda")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"pooling": "sum"}, "mean, max"),
        ({"balance": "x"}, "weights, sampler, none"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        Training(**change)


@pytest.mark.parametrize("pooling", ["mean", "max", "logsumexp"])
def test_the_part_of_a_patch_is_the_gradient_of_the_pooling(pooling):
    scores = torch.tensor([[0.3], [2.0], [-1.0], [0.7], [0.1]], dtype=torch.float64, requires_grad=True)
    unit = np.array([0, 0, 0, 1, 1])
    (pool(scores[:3], pooling) + pool(scores[3:], pooling)).sum().backward()
    part = np.exp(log_part(scores.detach().numpy()[:, 0], unit, pooling))
    for each in (unit == 0, unit == 1):
        np.testing.assert_allclose(part[each] / part[each].sum(), scores.grad.numpy()[each, 0])
