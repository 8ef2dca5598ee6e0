import json

import numpy as np
import pytest
import torch
from ten_lines import BOOTSTRAP, FLOOR, GROUPS, TOP_HZ, Listener, Memory, grouped, recordings, trained

from respcam.errors import Refused
from respcam.evidence.examination import Examination, TrustSettings, choices_of, examine, suggested_cutoff
from respcam.evidence.occlusion import FILLS
from respcam.evidence.verdict import Limits
from respcam.heat.bands import HzGroups
from respcam.heat.cam import Choice
from respcam.metrics import Interval

EXPLAINED = Choice("hires_cam", ("low", "high"))
SURE = Interval(1.0, 0.9, 1.0)
METHODS = ["grad_cam", "hires_cam"]


def examination(model=None, **settings):
    settings = TrustSettings(**{"patches": 24, "methods": METHODS, **settings})
    return Examination(model or trained(), grouped(), EXPLAINED, settings, BOOTSTRAP, FLOOR)


def examined(auroc=SURE, control=None, stores=lambda fill: Memory(), model=None, **settings):
    what = examination(model, **settings)
    sample = what.sample(*recordings(12), what.settings.patches)
    return examine(what, sample, auroc, stores, control)


def test_every_method_is_compared_at_every_stage_and_fused():
    stages = ["a", "b"]
    choices = choices_of(Choice("layer_cam", ("b",)), stages, ["grad_cam", "layer_cam", "score_cam"])
    assert [(choice.method, choice.place) for choice in choices] == [
        ("layer_cam", "b"),
        ("grad_cam", "a"),
        ("grad_cam", "b"),
        ("grad_cam", "a+b"),
        ("layer_cam", "a"),
        ("layer_cam", "a+b"),
        ("score_cam", "b"),  # a forward pass per channel
    ]
    assert choices_of(Choice("grad_cam", ("a",)), ["a"], ["grad_cam"]) == (Choice("grad_cam", ("a",)),)


def test_the_heat_of_a_model_that_listens_to_a_band_is_supported():
    # so few weights may come out alike by chance, when they are drawn anew
    tables, verdict = examined(limits=Limits(max_similarity=1))
    assert verdict["is_supported"]
    assert verdict["outcome"] == "supported"
    assert verdict["words"].startswith("Supported: HiResCAM at low + high agrees with occlusion")
    assert verdict["top"] == {"occlusion": TOP_HZ, "heat": TOP_HZ}
    assert verdict["objections_to_model"] == []
    assert {"method": "hires_cam", "layers": ["low", "high"]} in verdict["supported_methods"]
    assert verdict["drop"]["low"] > 0
    assert (verdict["n_patches"], verdict["n_judged"], verdict["n_patients"]) == (24, 12, 12)
    assert json.loads(json.dumps(verdict)) == verdict
    methods = tables["methods"]
    first, last = methods.iloc[0], methods.iloc[-1]
    assert (first["method"], first["layers"], first["outcome"]) == ("hires_cam", "low+high", "supported")
    assert (last["method"], last["outcome"], last["is_supported"]) == ("loudest_band", "", False)
    assert methods["is_supported"].sum() == len(verdict["supported_methods"])
    assert set(tables["occlusion"]["fill"]) == set(FILLS)
    assert set(tables["profiles"]["fill"]) == {"", "median", *FILLS}
    assert np.isnan(last["similarity"])
    assert "control_similarity" not in methods


def test_the_objections_stand_in_the_table_for_the_reader():
    tables, verdict = examined(limits=Limits(max_similarity=0))
    methods = tables["methods"].set_index(["method", "layers"])
    row = methods.loc[("hires_cam", "low+high")]
    assert row["outcome"] == verdict["outcome"] == "not_supported"
    assert "insensitive to the weights" in row["objections"]
    assert row["objections"] in verdict["words"]
    assert (methods["outcome"].eq("supported") == methods["is_supported"]).all()


def test_a_model_no_better_than_chance_supports_nothing():
    tables, verdict = examined(auroc=Interval(0.5, 0.3, 0.7))
    assert not verdict["is_supported"]
    assert verdict["outcome"] == "not_supported"
    assert verdict["words"].startswith("Not supported: the model is not clearly better than chance (AUROC 0.50")
    assert verdict["supported_methods"] == []
    (objection,) = verdict["objections_to_model"]
    assert objection["kind"] == "chance"
    assert objection["figures"] == {"auroc": 0.5, "auroc_low": 0.3}
    assert not tables["methods"]["is_supported"].any()


def test_a_control_is_compared():
    torch.manual_seed(0)
    tables, _ = examined(control=Listener().eval())
    methods = tables["methods"]
    assert methods.loc[methods["is_method"], "control_similarity"].between(-1, 1).all()
    assert methods.loc[~methods["is_method"], "control_similarity"].isna().all()


def test_an_examination_goes_on_with_the_scores_that_were_kept():
    memories = {fill: Memory() for fill in FILLS}
    first, _ = examined(stores=memories.get)
    saved = {fill: memory.n_saved for fill, memory in memories.items()}
    again, _ = examined(stores=memories.get)
    assert {fill: memory.n_saved for fill, memory in memories.items()} == saved  # nothing was scored again
    for name, table in first.items():
        assert table.equals(again[name])


def test_methods_without_gradients_are_compared_as_well():
    tables, _ = examined(methods=["ablation_cam"], random_orders=1)
    assert tables["methods"]["method"].tolist() == ["hires_cam", "ablation_cam", "loudest_band"]
    assert tables["methods"]["layers"].tolist() == ["low+high", "high", ""]


def test_samples_are_drawn_as_the_settings_say():
    units, data = recordings(12)
    model = trained(pooling="logsumexp")
    uniform, again, drawn = (
        examination(model, sampling=sampling).sample(units, data, 8)
        for sampling in ("uniform", "uniform", "by_contribution")
    )
    assert uniform.rows["patch"].tolist() == again.rows["patch"].tolist()
    assert uniform.rows["patch"].tolist() != drawn.rows["patch"].tolist()
    assert (drawn.judged_target == 1).all()


def test_the_cutoff_lies_above_the_band_that_the_model_needs():
    what = examination()
    sample = what.sample(*recordings(12, part="validation"), 48)
    memory = Memory()
    cutoff = suggested_cutoff(what, sample, lambda fill: memory)
    assert cutoff["cutoff_hz"] == 800
    assert (cutoff["margin"], cutoff["fill"]) == (0.05, "mean")
    assert (cutoff["n_patches"], cutoff["n_patients"]) == (len(sample), 12)
    assert [row["cutoff_hz"] for row in cutoff["curve"]] == GROUPS.edges_hz[:-1]
    assert list(cutoff["curve"][0]) == ["cutoff_hz", "drop", "drop_low", "drop_high"]
    assert memory.n_saved == 1
    assert json.loads(json.dumps(cutoff)) == cutoff


def test_groups_without_a_band_are_refused():
    with pytest.raises(Refused, match="12 of the 12 bands that the model is fed lie outside"):
        grouped(HzGroups([3000, 4000]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patches": 7}, r"trust\.patches is 7; expected at least 8"),
        ({"sampling": "even"}, r"trust\.sampling is 'even'; expected one of uniform, by_contribution"),
        ({"event_recordings": 0}, r"trust\.event_recordings is 0; expected at least 1"),
        ({"methods": []}, r"trust\.methods is \[\]; expected some of grad_cam"),
        ({"methods": ["saliency"]}, r"trust\.methods is \['saliency'\]; expected some of grad_cam"),
        ({"fills": ["noise"]}, r"trust\.fills is \['noise'\]; expected some of mean, floor, other"),
        ({"random_orders": 0}, r"trust\.random_orders is 0; expected at least 1"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(Refused, match=message):
        TrustSettings(**settings)
