import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_units import make_units

from respcam.data.heard import HeardEvents
from respcam.data.patches import PatchSettings
from respcam.network.inputs import Scaler, Units
from respcam.network.machine import make_fabric
from respcam.network.model import BandCNN
from respcam.network.readout import Readout
from respcam.network.scoring import predict
from respcam.network.training import OPTIMIZERS, PRECISIONS, Training, TrainingData, fit

SMALL = Training(epochs=4, batch_units=8, patches_per_unit=2, threads=1, patience=4,
                 balance="weights", balance_power=1.0)  # fmt: skip


def train(tmp_path, settings=SMALL, seed=0, name="checkpoint.pt"):
    units = make_units()
    fabric = make_fabric("cpu", threads=1)
    data = TrainingData(units, make_units(12, seed=1), Scaler.fit(units), 2)
    return fit(lambda: BandCNN(2, width=4), data, settings, seed, fabric, tmp_path / name)


@pytest.mark.parametrize(("optimizer", "epochs"), [("adamw", 8), ("muon", 16)])
def test_a_difference_is_learnt(tmp_path, optimizer, epochs):
    settings = Training(epochs=epochs, batch_units=8, patches_per_unit=2, threads=1, optimizer=optimizer)
    model, history = train(tmp_path, settings)
    assert history["validation_auroc"].max() > 0.95
    units = make_units(20, seed=2)
    probability = predict(model, units, Scaler.fit(make_units()), Readout(SMALL.pooling), make_fabric("cpu"))
    assert (probability.argmax(axis=1) == units.target).mean() > 0.9
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)


def test_where_an_event_lies_is_learnt_from_events(tmp_path):
    rng = np.random.default_rng(0)
    target, starts = np.arange(48) % 2, rng.integers(0, 500, 48)
    frames = [rng.standard_normal((600, 16)).astype(np.float32) for _ in target]
    for of_unit, is_positive, start in zip(frames, target, starts, strict=True):
        of_unit[start : start + 60, 6:9] += is_positive
    heard = [
        HeardEvents(np.array([start], float)[:k], np.array([start + 60.0])[:k], np.array([1])[:k], otherwise=0)
        for start, k in zip(starts, target, strict=True)
    ]
    units = Units(frames, target, np.ones(16, bool), PatchSettings(), -4.6)
    loud = [patch_of(start, frames[unit]) for unit, start in enumerate(starts) if target[unit]]
    quiet = [patch_of((start + 300) % 500, frames[unit]) for unit, start in enumerate(starts) if target[unit]]
    right = []
    for known in (heard, None):
        settings = Training(epochs=6, batch_units=8, patches_per_unit=4, threads=1, event_share=0.5)
        data = TrainingData(units, units, Scaler.fit(units), 2, known)
        build, fabric = lambda: BandCNN(2, width=4), make_fabric("cpu", threads=1)
        model, _ = fit(build, data, settings, 0, fabric, tmp_path / f"{len(right)}.pt")
        scores = [model(data.scaler(torch.from_numpy(np.stack(of))))[:, 1].detach().numpy() for of in (loud, quiet)]
        right.append(np.mean(scores[0] > scores[1]))
    assert right[0] > 0.9
    assert right[1] < 0.7


def patch_of(start, frames):
    return frames[min(start, 504) : min(start, 504) + 96].T


def test_the_network_returned_is_normalised_by_its_own_statistics(tmp_path):
    model, _ = train(tmp_path)
    units, found = make_units(), []
    model.norm.register_forward_hook(lambda module, before, after: found.append(after))
    predict(model, units, Scaler.fit(units), Readout("mean"), make_fabric("cpu"))
    mean, std = torch.cat(found).mean(dim=0), torch.cat(found).std(dim=0)
    assert mean.square().mean() < 0.2**2
    assert 0.8 < std.median() < 1.2


def weights_of(model):
    return torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()])


def test_a_seed_fixes_the_weights(tmp_path):
    first, again, other = (train(tmp_path, seed=seed, name=f"{i}.pt")[0] for i, seed in enumerate((0, 0, 1)))
    assert torch.equal(weights_of(first), weights_of(again))
    assert not torch.equal(weights_of(first), weights_of(other))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_interrupted_run_ends_like_an_undisturbed_one(tmp_path, monkeypatch, optimizer):
    settings = replace(SMALL, optimizer=optimizer)
    whole, history = train(tmp_path, settings, name="whole.pt")
    import respcam.network.training as module

    save, n_saved = module._save, []

    def save_then_die(path, state):
        save(path, state)
        n_saved.append(path)
        if len(n_saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_save", save_then_die)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, settings, name="cut.pt")
    monkeypatch.setattr(module, "_save", save)
    resumed, again = train(tmp_path, settings, name="cut.pt")
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
    probability = predict(model, units, Scaler.fit(make_units()), Readout(SMALL.pooling), make_fabric("cpu"))
    positive, negative = probability[units.target == 1, 1], probability[units.target == 0, 1]
    assert (positive[:, None] > negative).mean() == pytest.approx(best)


@pytest.mark.parametrize("balance", ["weights", "sampler", "none"])
@pytest.mark.parametrize("pooling", ["max", "logsumexp"])
def test_every_option_trains(tmp_path, balance, pooling):
    settings = Training(epochs=1, batch_units=8, patches_per_unit=2, threads=1, balance=balance, pooling=pooling)
    _, history = train(tmp_path, settings)
    assert np.isfinite(history["train_loss"]).all()


@pytest.mark.parametrize("precision", [name for name in PRECISIONS if not name.startswith("16")])
def test_every_precision_of_a_cpu_trains_and_gives_single_precision(tmp_path, precision):
    units = make_units()
    settings = Training(epochs=1, batch_units=8, patches_per_unit=2, threads=1, precision=precision)
    data = TrainingData(units, make_units(12, seed=1), Scaler.fit(units), 2)
    fabric = make_fabric("cpu", precision)
    model, history = fit(lambda: BandCNN(2, width=4), data, settings, 0, fabric, tmp_path / "a.pt")
    assert np.isfinite(history["validation_loss"]).all()
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert np.isfinite(predict(model, units, Scaler.fit(units), Readout("mean"), make_fabric("cpu"))).all()


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


class Harm:
    def __reduce__(self):
        return (open, ("harm-was-done", "w"))


@pytest.mark.parametrize("damage", ["pickle", "cut", "emptied", "other network"])
def test_a_checkpoint_that_cannot_be_used_costs_only_its_epochs(tmp_path, damage, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, undisturbed = train(tmp_path, name="a.pt")
    checkpoint = tmp_path / "a.pt"
    if damage == "pickle":
        checkpoint.write_bytes(pickle.dumps(Harm(), protocol=2))
    elif damage == "other network":
        torch.save({"model": {}, "optimizer": {}, "averaged": {}, "history": [], "best": None}, checkpoint)
    else:
        checkpoint.write_bytes(checkpoint.read_bytes()[: 5000 if damage == "cut" else 0])
    _, history = train(tmp_path, name="a.pt")
    assert history.equals(undisturbed)
    assert "a.pt cannot be used" in caplog.text
    assert not (tmp_path / "harm-was-done").exists()


def test_a_checkpoint_that_the_machine_cannot_read_is_kept(tmp_path, monkeypatch):
    train(tmp_path, name="a.pt")
    content = (tmp_path / "a.pt").read_bytes()

    def unreadable(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", unreadable)
    with pytest.raises(PermissionError):
        train(tmp_path, name="a.pt")
    assert (tmp_path / "a.pt").read_bytes() == content
