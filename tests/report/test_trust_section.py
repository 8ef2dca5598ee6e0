from dataclasses import replace
from io import StringIO

import made_up_page
import pandas as pd
import pytest

from respcam.heat.bands import HzGroups
from respcam.report.saved import FigureFolder
from respcam.report.trust_section import section

GROUPS = HzGroups([100, 1000, 2000])


def section_of(trust, folder):
    tables = made_up_page.tables()
    return section(trust, tables.bands, GROUPS, tables.metrics, FigureFolder(folder, []))


@pytest.fixture
def part(tmp_path):
    return section_of(made_up_page.trust(), tmp_path)["parts"][0]


def test_the_choice_of_the_report_is_marked_and_layers_are_named(part):
    assert [(row["title"], row["is_explained"]) for row in part["methods"]] == [
        ("HiResCAM, all blocks fused", True),
        ("Grad-CAM, last block, of the class score", False),
        ("LayerCAM, all blocks fused", False),
        ("XGrad-CAM, blocks.0", False),
        ("loudest band (no model)", False),
    ]


def test_a_verdict_names_its_objections(part):
    verdicts = {row["title"]: row["verdict"] for row in part["methods"]}
    assert verdicts == {
        "HiResCAM, all blocks fused": "supported",
        "Grad-CAM, last block, of the class score": "not supported: disagrees with occlusion",
        "XGrad-CAM, blocks.0": "not supported: its hottest group carries little",
        "LayerCAM, all blocks fused": "undecided: occlusion is too uncertain",
        "loudest band (no model)": "baseline",
    }


def test_numbers_are_written_with_their_uniform_share(part):
    first, *_, baseline = part["methods"]
    assert (first["random"], first["border"]) == ("−0.12", "25% (10%)")
    assert (baseline["random"], baseline["border"]) == ("–", "–")
    assert first["agreement"] == {"value": 0.6, "low": 0.5, "high": 0.7}


def test_events_are_beside_those_of_random_weights(part):
    rows = {row["title"]: (row["pointing"]["value"], row["random"]) for row in part["localisation"]}
    assert rows == {
        "HiResCAM, all blocks fused": (0.777, "0.111"),
        "loudest moment (no model)": (0.555, "–"),
    }


def test_without_events_there_is_no_table_of_events(tmp_path):
    assert section_of(made_up_page.trust(has_events=False), tmp_path)["parts"][0]["localisation"] == []


def test_a_control_is_shown_where_there_is_one(tmp_path):
    trust = made_up_page.trust()
    methods = trust.tables["methods"].assign(control_agreement=0.25)
    controlled = section_of(replace(trust, tables={**trust.tables, "methods": methods}), tmp_path)["parts"][0]
    assert controlled["has_control"]
    assert controlled["methods"][0]["control"] == "0.25"
    assert not section_of(trust, tmp_path)["parts"][0]["has_control"]


def test_tables_that_were_written_and_read_give_the_same(tmp_path, part):
    trust = made_up_page.trust()

    def reread(table):
        return pd.read_csv(StringIO(table.to_csv(index=False)), dtype={"hz": str, "densest_hz": str, "value": str})

    tables = {name: reread(table) for name, table in trust.tables.items()}
    assert section_of(replace(trust, tables=tables), tmp_path)["parts"][0] == part


def test_the_level_of_the_intervals_is_said(part):
    assert part["certainty"] == "98.8%"


def test_objections_may_all_be_blank(tmp_path):
    trust = made_up_page.trust()
    methods = trust.tables["methods"].assign(objections=float("nan"), outcome="supported")
    rows = section_of(replace(trust, tables={**trust.tables, "methods": methods}), tmp_path)["parts"][0]["methods"]
    assert {row["verdict"] for row in rows} == {"supported", "baseline"}


def test_a_cutoff_is_suggested_or_none_is(tmp_path):
    trust = made_up_page.trust()
    assert section_of(trust, tmp_path)["cutoff"].startswith("1000 Hz is the lowest suitable cut-off")
    summary = {**trust.summary, "cutoff": {**trust.summary["cutoff"], "cutoff_hz": None}}
    assert section_of(replace(trust, summary=summary), tmp_path)["cutoff"].startswith("No cut-off keeps the loss")


def test_no_cutoff_is_suggested_for_a_model_that_may_guess(tmp_path):
    metrics = {**made_up_page.tables().metrics, "validation": made_up_page.metrics_of(0.53)}
    content = section(made_up_page.trust(), made_up_page.tables().bands, GROUPS, metrics, FigureFolder(tmp_path, []))
    assert content["cutoff"].startswith(
        "No cut-off is suggested: on the validation patients, the model is not surely"
    )


def test_a_cutoff_below_blank_bands_says_so(tmp_path):
    trust = made_up_page.trust()
    assert "log floor" not in section_of(trust, tmp_path)["cutoff"]
    blank = trust.tables["blank"].assign(blank=[0.1, 0.95] * 2)
    cutoff = section_of(replace(trust, tables={**trust.tables, "blank": blank}), tmp_path)["cutoff"]
    assert "Above it, 95% of the input is blank (log floor)" in cutoff


def test_what_a_layer_sees_is_in_hz(tmp_path):
    fields = section_of(made_up_page.trust(), tmp_path)["fields"]
    assert [field["seen_hz"] for field in fields] == ["445 to 1136 Hz"] * 2
