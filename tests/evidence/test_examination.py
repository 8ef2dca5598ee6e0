import json

import numpy as np
import pytest
import torch
from ten_lines import (
    BAND,
    BOOTSTRAP,
    FLOOR,
    GROUPS,
    LOUD,
    N_BANDS,
    QUIET,
    TOP_HZ,
    Listener,
    Memory,
    grouped,
    recordings,
    trained,
    units_of,
)
from torch import nn

from respcam.errors import Refused
from respcam.evidence.examination import (
    Examination,
    ExaminedPart,
    TrustSettings,
    choices_of,
    examine,
    suggested_cutoff,
)
from respcam.heat.bands import HzGroups
from respcam.heat.cam import Choice
from respcam.metrics import Interval
from respcam.network.inputs import Scaler
from respcam.network.machine import make_fabric
from respcam.network.readout import Readout
from respcam.network.trained import TrainedModel

EXPLAINED = Choice("hires_cam", ("low", "high"))
PUBLISHED = Choice("grad_cam", ("high",), "class_score")
SURE = Interval(1.0, 0.9, 1.0)


def examination(model=None, explained=EXPLAINED, beside=PUBLISHED, **settings):
    settings = TrustSettings(**{"first": 8, **settings})
    return Examination(model or trained(), grouped(), explained, beside, settings, BOOTSTRAP, FLOOR)


def part_of(units, data, auroc=SURE, name="test"):
    return ExaminedPart(name, units, data, data.target, auroc)


def examined(auroc=SURE, control=None, stores=lambda name: Memory(), model=None, part=None, **settings):
    return examine(examination(model, **settings), part or part_of(*recordings(12), auroc), stores, control)


def test_every_method_is_compared_at_the_last_block_and_fused():
    choices = choices_of(Choice("layer_cam", ("b",)), PUBLISHED, ["a", "b"], ["grad_cam", "layer_cam", "score_cam"])
    assert [(choice.method, choice.place, choice.score) for choice in choices] == [
        ("layer_cam", "b", "log_odds"),
        ("grad_cam", "high", "class_score"),
        ("grad_cam", "b", "log_odds"),
        ("grad_cam", "a+b", "log_odds"),
        ("layer_cam", "a+b", "log_odds"),
        ("score_cam", "b", "log_odds"),  # a forward pass per channel
    ]


def test_the_heat_of_a_model_that_listens_to_a_band_is_supported():
    tables, verdict = examined()
    assert verdict["outcome"] == "supported", verdict["words"]
    assert verdict["is_supported"]
    assert verdict["words"].startswith("Supported: heat for wheeze (HiResCAM at low + high) agrees with occlusion")
    assert verdict["top"] == {"occlusion": TOP_HZ, "heat": TOP_HZ}
    assert verdict["drop"]["low"] > 0
    assert verdict["classes"][0] | {"words": ""} == {
        "class": "wheeze", "outcome": "supported", "words": "", "objections": []
    }  # fmt: skip
    assert (verdict["n_units"], verdict["n_looked"], verdict["looks"]) == (24, 8, [8])  # decided at the first look
    assert verdict["beside"]["method"] == "grad_cam"
    assert json.loads(json.dumps(verdict)) == verdict
    methods = tables["methods"].set_index(["method", "layers", "score", "class"])
    own = methods.loc[("hires_cam", "low+high", "log_odds", "wheeze")]
    assert own["outcome"] == "supported"
    assert own["densest_hz"] == own["costliest_hz"] == TOP_HZ
    loudest = methods.loc[("loudest_band", "", "", "wheeze")]
    assert (loudest["outcome"], loudest["is_supported"]) == ("", False)
    assert np.isnan(loudest["random_agreement"])
    assert methods["control_agreement"].isna().all()
    assert set(tables["occlusion"]["fill"]) == {"other", "mean"}
    assert set(tables["profiles"]["fill"]) == {"", "median", "other"}
    top = tables["profiles"].query("method == 'occlusion' and fill == 'median'").set_index(["class", "hz"])["drop"]
    assert top["wheeze", TOP_HZ] == pytest.approx(top["normal", TOP_HZ])  # two classes have one effect


def test_the_objections_stand_in_the_table_for_the_reader():
    tables, verdict = examined(explained=Choice("grad_cam", ("low",)), beside=EXPLAINED)
    row = tables["methods"].iloc[0]
    assert row["outcome"] in {"undecided", "not_supported"}
    assert row["objections"]
    assert any(row["objections"] in words["words"] for words in verdict["classes"])
    assert verdict["beside"]["outcome"] == "supported"
    assert (tables["methods"]["outcome"].eq("supported") == tables["methods"]["is_supported"]).all()


def test_the_sample_grows_until_the_verdict_is_decided_or_all_was_looked_at():
    noise = torch.Generator().manual_seed(0)
    model = trained()
    with torch.no_grad():  # so weak an ear that a few recordings decide nothing
        model.network.head.weight += 3 * torch.randn(model.network.head.weight.shape, generator=noise)
    _, verdict = examined(model=model)
    assert verdict["looks"][0] == 8
    assert verdict["looks"] == [8, 16, 24][: len(verdict["looks"])]
    if verdict["outcome"] == "undecided":
        assert verdict["n_looked"] == 24
    _, limited = examined(model=model, largest=8)
    assert limited["looks"] == [8]
    assert limited["alpha"] > verdict["alpha"]  # one look needs no correction for several


def test_a_time_budget_ends_the_growth(monkeypatch):
    monkeypatch.setattr("respcam.evidence.verdict._to_agreement", lambda *_: [])
    model = trained()
    with torch.no_grad():
        model.network.head.weight.zero_()  # deaf: nothing can be decided
    _, whole = examined(model=model)
    _, short = examined(model=model, budget_s=1e-9)
    assert whole["n_looked"] == 24
    assert short["n_looked"] == 8


def test_a_model_no_better_than_chance_supports_nothing_and_is_not_looked_at_further():
    tables, verdict = examined(auroc=Interval(0.5, 0.3, 0.7))
    assert not verdict["is_supported"]
    assert verdict["outcome"] == "undecided"
    assert "the model is not clearly better than chance (AUROC 0.50, from 0.30)" in verdict["words"]
    assert verdict["n_looked"] == 8
    assert not tables["methods"]["is_supported"].any()
    assert verdict["classes"][0]["objections"][0]["kind"] == "chance"


def test_a_control_is_compared():
    torch.manual_seed(0)
    tables, _ = examined(control=Listener().eval())
    methods = tables["methods"].set_index(["method", "layers", "score"])
    assert methods.loc[("hires_cam", "low+high", "log_odds"), "control_agreement"].between(-1, 1).all()


def test_an_examination_goes_on_with_what_was_observed():
    memories = {}
    first, _ = examined(stores=lambda name: memories.setdefault(name, Memory()))
    assert set(memories) == {"trained", "curves", "random0", "random1"}
    saved = {name: memory.n_saved for name, memory in memories.items()}
    again, _ = examined(stores=memories.get)
    assert {name: memory.n_saved for name, memory in memories.items()} == saved  # nothing was observed again
    for name, table in first.items():
        assert table.equals(again[name])


def test_methods_without_gradients_are_compared_as_well():
    tables, _ = examined(methods=["ablation_cam"])
    assert list(dict.fromkeys(tables["methods"]["method"])) == [
        "hires_cam", "grad_cam", "ablation_cam", "loudest_band"
    ]  # fmt: skip


def test_one_class_cannot_fill_from_another(caplog):
    units, data = recordings(12)
    rows = np.flatnonzero(units["target"] == 1)
    units, data = units.iloc[rows].reset_index(drop=True), units_of([data.frames[k] for k in rows], np.ones(12, int))
    tables, verdict = examined(part=part_of(units, data))
    assert set(tables["occlusion"]["fill"]) == {"mean"}
    assert "test has only one class" in caplog.text
    assert [row["class"] for row in verdict["classes"]] == ["wheeze"]


def test_the_cutoff_lies_above_the_band_that_the_model_needs():
    memory = Memory()
    part = part_of(*recordings(12, part="validation"), name="validation")
    cutoff = suggested_cutoff(examination(first=12), part, lambda name: memory)
    assert cutoff["cutoff_hz"] == 800
    assert (cutoff["margin"], cutoff["fill"]) == (0.05, "mean")
    assert (cutoff["n_units"], cutoff["n_patients"]) == (24, 12)
    assert [row["cutoff_hz"] for row in cutoff["curve"]] == GROUPS.edges_hz[:-1]
    assert list(cutoff["curve"][0]) == ["cutoff_hz", "drop", "drop_low", "drop_high"]
    assert memory.n_saved == 1
    assert json.loads(json.dumps(cutoff)) == cutoff


def test_groups_without_a_band_are_refused():
    with pytest.raises(Refused, match="12 of the 12 bands that the model is fed lie outside"):
        grouped(HzGroups([3000, 4000]))


class Known(nn.Module):
    """A network written by hand, whose answer is known: it scores features of a few rows and of nothing else."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.low = nn.Identity()  # the map is the input

    def forward(self, patches):
        rows = self.low(patches)[:, 0]
        first, second = rows[:, BAND], rows[:, 2]
        score = {
            "level": lambda: first.mean(dim=1) - 1,
            "peak": lambda: first.amax(dim=1) - 1.5,
            "absence": lambda: 1 - first.mean(dim=1),
            "redundant": lambda: torch.maximum(first, second).mean(dim=1) - 1,
            "contrast": lambda: first.mean(dim=1) - second.mean(dim=1),
        }[self.kind]()
        return torch.stack([-score, score], dim=1)


def known(kind, pooling):
    """Recordings for a known network, and the network; the class of a recording is what the network listens to."""
    rng = np.random.default_rng(0)
    units, _ = recordings(24)
    frames = []
    for target, n_frames in zip(units["target"], units["n_frames"], strict=True):
        mel = rng.normal(QUIET, 0.1, (n_frames, N_BANDS)).astype(np.float32)
        mel[:, 10] += rng.uniform(2, 5)  # a louder tone that means nothing
        has_first = target == 0 if kind == "absence" else target == 1 or kind == "contrast"
        mel[:, BAND] += has_first * (LOUD - QUIET) * (0.5 if kind == "contrast" and target == 0 else 1)
        has_second = kind == "contrast" or (kind == "redundant" and target == 1)
        mel[:, 2] += has_second * (LOUD - QUIET) * (0.5 if kind == "contrast" and target == 1 else 1)
        frames.append(mel)
    scaler = Scaler(np.full(N_BANDS, QUIET, np.float32), np.ones(N_BANDS, np.float32))
    model = TrainedModel(
        Known(kind).eval(), scaler, ["normal", "wheeze"], make_fabric("cpu"), "normal", Readout(pooling), 64, ("low",)
    )
    return model, part_of(units, units_of(frames, units["target"].to_numpy()))


@pytest.mark.parametrize("pooling", ["mean", "max", "logsumexp"])
@pytest.mark.parametrize("kind", ["level", "peak", "absence", "redundant", "contrast"])
def test_the_heat_of_a_network_written_by_hand_is_right_and_not_refused(kind, pooling):
    model, part = known(kind, pooling)
    rows = [BAND] + [2] * (kind in {"redundant", "contrast"})
    heat = Choice("hires_cam", ("low",))
    for unit in range(0, len(part.units), 5):
        patches = part.data.grid(unit)
        for k in range(2):
            maps = model.heat(patches, [len(patches)], np.array([k]), [heat])[heat]
            assert maps[:, rows].sum() >= 0.99 * maps.sum()
    beside = Choice("grad_cam", ("low",), "class_score")
    tables, verdict = examined(model=model, part=part, explained=heat, beside=beside, methods=["hires_cam"])
    truth = {grouped().names[row // 2] for row in rows}
    profiles = tables["profiles"].query("method == 'occlusion' and fill == 'median'")
    effect = profiles.groupby("hz")["drop"].mean()
    np.testing.assert_allclose(effect.drop(list(truth)), 0, atol=1e-5)
    assert (effect[list(truth)] > 0.1).all()
    assert verdict["outcome"] == "supported", verdict["words"]
    assert verdict["top"]["heat"] in truth


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first": 7}, r"trust\.first is 7; expected at least 8"),
        ({"largest": 0}, r"trust\.largest is 0; expected at least 8"),
        ({"budget_s": 0}, r"trust\.budget_s is 0; expected above 0 s"),
        ({"event_recordings": 0}, r"trust\.event_recordings is 0; expected at least 1"),
        ({"methods": []}, r"trust\.methods is \[\]; expected some of grad_cam"),
        ({"methods": ["saliency"]}, r"trust\.methods is \['saliency'\]; expected some of grad_cam"),
        ({"fills": ["noise"]}, r"trust\.fills is \['noise'\]; expected some of other, mean, floor"),
        ({"random_networks": 0}, r"trust\.random_networks is 0; expected at least 1"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(Refused, match=message):
        TrustSettings(**settings)
