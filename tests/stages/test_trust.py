import json
import re
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT
from small_runs import GROUPS, PLANT, settings_in

from respcam.errors import Refused
from respcam.evidence.examination import TrustSettings
from respcam.heat.bands import HzGroups
from respcam.sound.synthetic import Synthetic
from respcam.stages.dataset import DatasetSettings
from respcam.stages.run import Run


def test_the_heat_of_a_planted_sound_is_supported(finished, stages):
    trust, methods = stages["trust"].summary(), stages["trust"].tables()["methods"]
    part = trust["parts"]["test"]
    assert trust["is_supported"], part["words"]
    assert part["outcome"] == "supported"
    assert part["top"] == {"occlusion": "800-975", "heat": "800-975"}
    assert part["warnings"] == []
    assert part["words"].startswith("Supported: heat for adventitious (HiResCAM")
    assert part["beside"]["method"] == "grad_cam"
    own = methods[(methods["method"] == "hires_cam") & methods["layers"].str.contains("+", regex=False)]
    assert own.set_index("class").loc["adventitious", "is_supported"]
    loudest = methods[(methods["method"] == "loudest_band") & (methods["class"] == "adventitious")].iloc[0]
    assert not loudest["is_supported"]
    assert loudest["densest_hz"] == "275-450"  # the hum


def test_occlusion_of_everything_costs_everything(stages):
    trust = stages["trust"]
    assert trust.summary()["parts"]["test"]["n_looked"] == len(stages["train"].units(["test"]))
    intact = stages["train"].metrics()["test"]["auroc"]["value"]
    assert intact > 0.9
    table = trust.tables()["occlusion"]
    area = table[table["of"] == "auroc"]
    for kind, cutoff_hz in (("low_pass", 100), ("high_pass", 2000)):
        ends = area[(area["kind"] == kind) & (area["cutoff_hz"] == cutoff_hz)]
        np.testing.assert_allclose(ends["drop"], intact - 0.5, atol=0.02)  # constant inputs: AUROC 0.5
    above = area[(area["kind"] == "low_pass") & (area["cutoff_hz"] >= 1150) & (area["fill"] == "mean")]
    assert above["drop"].abs().max() < 0.1  # the plant is at 890 Hz


def test_groups_without_a_band_are_refused(finished):
    nowhere = settings_in(finished[0], hz_groups=HzGroups([3000, 4000]))
    with pytest.raises(Refused, match="64 of the 64 bands that the model is fed lie outside"):
        Run.of(nowhere).make("trust")


def test_the_cutoff_is_judged_on_validation_patients(stages):
    cutoff, units = stages["trust"].summary()["cutoff"], stages["train"].units(["validation"])
    assert cutoff["n_patients"] == units["patient_id"].nunique()
    assert cutoff["cutoff_hz"] is None or cutoff["cutoff_hz"] >= 975


def test_importance_lies_between_that_of_the_groups(stages):
    trust = stages["trust"]
    profiles = trust.tables()["profiles"]
    drop = profiles[(profiles["method"] == "occlusion") & (profiles["fill"] == "median")].groupby("hz")["drop"].mean()
    importance, centre_hz = trust.importance(), trust.explain.train.features.frames().edges_hz[:, 1]
    assert importance.argmax() == np.abs(centre_hz - (800 + 975) / 2).argmin()
    assert importance[0] == pytest.approx(drop["100-275"])
    assert drop.min() <= importance.min() <= importance.max() <= drop.max()


def test_a_model_of_permuted_labels_supports_nothing(finished):
    run = Run.of(settings_in(finished[0], permute_labels=True))
    page = run.make()
    trust = run.stages["trust"].summary()
    assert not trust["is_supported"]
    assert trust["parts"]["test"]["outcome"] == "undecided"
    assert "the model is not clearly better than chance" in trust["parts"]["test"]["words"]
    assert not run.stages["trust"].tables()["methods"]["is_supported"].any()
    assert "the labels were permuted" in page.read_text()


def test_the_control_trains_on_permuted_labels_and_is_compared(finished):
    run = Run.of(settings_in(finished[0], trust=TrustSettings(first=16, permuted_control=True)))
    page = run.make()
    control = run.stages["trust"].control
    assert control.is_finished
    assert control.digest != run.stages["train"].digest
    methods = pd.read_csv(page.parent / "methods.csv")
    own = methods[(methods["method"] == "hires_cam") & (methods["layers"].str.contains(r"\+"))]
    assert own["control_agreement"].between(-1, 1).all()
    assert "permuted labels" in page.read_text()


def test_a_shortcut_is_named_with_its_band(tmp_path):
    shortcut = replace(PLANT, snr_db=-6, shortcut="hiss", shortcut_hz=[1500.0, 1840.0])
    page = Run.of(settings_in(tmp_path, dataset=DatasetSettings("s", "synthetic", synthetic=shortcut))).make()
    part = json.loads((page.parent / "trust.json").read_text())["parts"]["test"]
    assert part["top"]["occlusion"] in {"1500-1670", "1670-1840"}
    assert part["top"]["heat"] in {"1500-1670", "1670-1840", "1840-2000"}  # the skirt of the hiss
    text = " ".join(part["warnings"])
    assert "metadata alone separates the classes nearly as well as the model (AUROC device 1.000" in text
    assert "shortcut: the device follows the class" in text
    assert "1500-1670, 1670-1840 Hz" in text
    assert re.search("occlusion (points|and heat point) there", text)
    assert "shortcut: the device follows the class" in page.read_text()


def test_what_is_sampled_and_removed_is_part_of_the_identity(stages):
    trust = stages["trust"]
    others = [
        replace(trust, trust=replace(trust.trust, fills=["mean"])),
        replace(trust, trust=replace(trust.trust, seed=1)),
        replace(trust, control=trust.explain.train.on_permuted_labels()),
    ]
    assert len({trust.digest, *(other.digest for other in others)}) == 4


def test_the_bench_scores_methods_against_the_plant(finished):
    sys.path.insert(0, str(PROJECT / "scripts/bench"))
    import planted

    case = planted.Case("presence", PLANT.plant_hz, 1240.0, 0)
    scored = planted.score(finished[1], case, GROUPS)
    rows = {row["method"]: row for row in scored}
    default = rows["hires_cam, blocks.0+blocks.1+blocks.2+blocks.3, log_odds"]
    assert default == scored[0]
    assert default["is_hit"]
    assert default["inside"] > 3 * default["uniform"]
    assert default["pointing"] > default["covered"]
    assert default["outcome"] == "supported"
    assert default["is_occlusion_right"]
    assert not rows["loudest_band"]["is_hit"]
    elsewhere = planted.score(finished[1], planted.Case("presence", 1585.0, 1240.0, 0), GROUPS)[0]
    assert not elsewhere["is_hit"]
    assert not elsewhere["is_occlusion_right"]
    text = planted.summary(pd.DataFrame(scored).assign(auroc=1.0))
    assert "1 of 1 models count (test AUROC of 0.95 or more). Occlusion is right in 1 of 1." in text
    wrong = planted.summary(pd.DataFrame([elsewhere]).assign(auroc=1.0))
    assert "| 0 | 0 | 0 | 1 | 0 | 0 |" in wrong


def test_the_planted_cases_have_their_truth():
    sys.path.insert(0, str(PROJECT / "scripts/bench"))
    import planted

    cases = planted.cases_of(GROUPS)
    assert len(cases) >= 40
    assert len({case.number for case in cases}) == len(cases)
    truths = {case.evidence: case.truth(GROUPS) for case in cases}
    assert truths["rhythm"] == set(GROUPS.names)
    assert planted.Case("xor", 800.0, 1240.0, 0).truth(GROUPS) == {"625-800", "800-975", "1150-1325"}
    assert planted.Case("absence", 890.0, 1240.0, 0).truth(GROUPS) == {"800-975"}
    for case in cases:  # the whole range of a plant lies in groups that count as right
        both = [case.plant_hz] if case.evidence in {"presence", "absence"} else [case.plant_hz, case.second_hz]
        for plant_hz in both:
            for hz in (plant_hz - Synthetic.plant_spread_hz, plant_hz + Synthetic.plant_spread_hz):
                assert planted.Case("presence", hz, 0.0, 0).truth(GROUPS) <= case.truth(GROUPS)
