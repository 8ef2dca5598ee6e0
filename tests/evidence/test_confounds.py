import numpy as np
import pandas as pd
import pytest
from evidence.test_metadata import like_icbhi
from ten_lines import BAND, EDGES_HZ, FLOOR, GROUPS, N_BANDS, TOP_HZ, grouped, recordings, trained

from respcam.evidence import confounds
from respcam.evidence.metadata import metadata_baseline, metadata_of
from respcam.evidence.verdict import Limits
from respcam.heat.bands import GroupedBands, HzGroups
from respcam.metrics import BootstrapSettings, Interval

BOOTSTRAP = BootstrapSettings(n_resamples=200)


def test_metadata_are_tabulated_and_may_come_close():
    metadata, train, test = like_icbhi(device_names_the_class=True)
    together, device, *_ = metadata_baseline(metadata, train, test, 2, BOOTSTRAP)
    table = confounds.metadata_table([together, device])
    assert table["fields"].tolist() == [", ".join(together.fields), "device"]
    assert table.loc[1, ["auroc", "auroc_low", "auroc_high"]].tolist() == [1, 1, 1]
    assert confounds.comes_close(Interval(1, 1, 1), Interval(0.95, 0.9, 1), 0.8)


def test_nothing_known_is_an_empty_table():
    metadata, train, test = like_icbhi(device_names_the_class=True)
    scores = metadata_baseline(metadata[[]], train, test, 2, BOOTSTRAP)
    assert scores == []
    assert list(confounds.metadata_table(scores)) == ["fields", "auroc", "auroc_low", "auroc_high"]


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        (Interval(0.9, 0.8, 1.0), True),
        (Interval(0.86, 0.8, 0.9), True),
        (Interval(0.8, 0.7, 0.9), False),
        (Interval(0.9, 0.45, 1.0), False),
        (Interval(None, None, None), False),
    ],
)
def test_coming_close_is_a_share_of_the_lead_over_chance(baseline, expected):
    assert confounds.comes_close(baseline, Interval(0.95, 0.9, 1.0), 0.8) == expected


def test_levels_and_blank_shares_per_group():
    floor = np.log(0.01)
    frames = np.full((10, 4), 1.0, np.float32)
    frames[:, 2] = floor
    frames[:5, 3] = np.log(0.0199)  # just below twice the offset: its mel magnitude is below it
    frames[5:, 3] = np.log(0.0201)
    level, blank = confounds.group_levels(frames, np.array([0, 0, 1, -1]), 3, floor)
    np.testing.assert_allclose(level[:2], [1, floor])
    np.testing.assert_allclose(blank[:2], [0, 1])
    assert np.isnan(level[2])
    _, blank = confounds.group_levels(frames, np.array([0, 0, 0, 1]), 2, floor)
    np.testing.assert_allclose(blank, [1 / 3, 0.5])


def test_the_bands_that_tell_devices_apart():
    rng = np.random.default_rng(0)
    device = np.repeat(["A", "B", "C"], 30)
    levels = rng.standard_normal((90, 4))
    levels[device == "B", 2] -= 20
    levels[device == "B", 3] -= 5  # tells them apart as well, but is a small part of the difference
    np.testing.assert_array_equal(confounds.distinguishing_groups(levels, device), [False, False, True, False])
    assert not confounds.distinguishing_groups(levels, ["A"] * 90).any()
    assert not confounds.distinguishing_groups(rng.standard_normal((90, 4)), device).any()


def test_levels_of_units_are_those_of_the_groups_that_the_model_is_fed():
    is_fed = np.arange(N_BANDS) >= 2
    bands = GroupedBands.of(EDGES_HZ, is_fed, HzGroups([0, 200, 400, 1200]))
    frames = np.zeros((5, N_BANDS), np.float32)
    frames[:, 2:4], frames[:, :2] = 2, 9
    frames[:, 11] = FLOOR
    level, blank = confounds.unit_levels(iter([frames, 2 * frames]), bands, FLOOR)
    np.testing.assert_allclose(level, [[2, FLOOR / 8], [4, FLOOR / 4]])
    np.testing.assert_allclose(blank, [[0, 1 / 8]] * 2)


def test_heat_is_added_up_per_unit_and_group():
    per_band = np.zeros((3, N_BANDS), np.float32)
    per_band[:, [0, 1, BAND]] = [[1, 2, 3], [10, 20, 30], [5, 5, 5]]
    heat = confounds.heat_per_unit(per_band, np.array(["b", "a", "b"]), grouped())
    assert heat.loc["b"].tolist() == [13, 0, 0, 8, 0, 0]
    assert heat.loc["a"].tolist() == [30, 0, 0, 30, 0, 0]


def examined(rate_hz=4000, top=TOP_HZ, **columns):
    """Tables and cautions about a model that listens to one band, had the manifest these columns."""
    units, data = recordings(24)
    bands = grouped()
    manifest = pd.DataFrame(
        {"recording_id": units["recording_id"], **{k: make(units) for k, make in columns.items()}}
    )
    rng = np.random.default_rng(0)
    resampled = pd.DataFrame(
        {
            "recording_id": units["recording_id"],
            "source_rate_hz": rate_hz if np.isscalar(rate_hz) else rate_hz(units),
            "source_samples": rng.integers(8000, 12_000, len(units)),
            "rms_db": rng.normal(-30, 5, len(units)),
        }
    )
    is_train = units["patient_id"].isin([f"p{k}" for k in range(12)])
    test = units[~is_train].reset_index(drop=True)
    level, blank = confounds.unit_levels((data.frames[place] for place in units.index[~is_train]), bands, FLOOR)
    heat = np.zeros((len(units), N_BANDS))
    heat[:, BAND] = 1
    part = confounds.EvaluatedPart(
        units=test,
        train=units[is_train].reset_index(drop=True),
        metadata=metadata_of(manifest, resampled),
        source_rate_hz=resampled.set_index("recording_id")["source_rate_hz"],
        predictions=units[["unit_id"]].assign(p_normal=1.0 - units["target"], p_wheeze=units["target"] * 1.0),
        heat=confounds.heat_per_unit(heat, units["unit_id"].to_numpy(), bands),
        level=level,
        blank=blank,
        auroc=Interval(1.0, 0.9, 1.0),
        top={"occlusion": top, "heat": top},
    )
    return confounds.look(part, trained(), bands, Limits(), BOOTSTRAP)


def by_class(units):
    return np.where(units["target"] == 1, "AKGC417L", "Meditron")


def by_turns(units):
    return np.resize(["AKGC417L", "Meditron", "Litt3200"], len(units))


def test_a_manifest_whose_device_says_nothing_is_not_warned_of():
    tables, cautions = examined(
        device=by_turns, site=lambda units: np.resize(["Al", "Ar", "Tc", "Pl", "Pr"], len(units))
    )
    assert cautions == []
    assert set(tables["strata"]["field"]) == {"device"}
    assert set(tables["strata"]["densest_hz"]) == {TOP_HZ}
    assert set(tables["strata"]["auroc"]) == {1}
    assert tables["strata"]["n_units"].sum() == 24
    assert tables["metadata"]["auroc"].max() < 0.9
    assert set(tables["blank"]["class"]) == {"normal", "wheeze"}
    assert list(tables["blank"]["hz"].unique()) == GROUPS.names


def test_a_manifest_whose_device_names_the_class_is_warned_of():
    tables, cautions = examined(device=by_class)
    metadata, shortcut = cautions
    assert metadata.kind is confounds.CautionKind.METADATA
    assert metadata.sentence.startswith(
        "metadata alone separates the classes nearly as well as the model (AUROC device 1.000; model 1.000): the"
    )
    assert shortcut.kind is confounds.CautionKind.SHORTCUT
    assert shortcut.figures == {"field": "device", "hz": [TOP_HZ], "views": ["occlusion", "heat"]}
    assert shortcut.sentence == (
        f"shortcut: the device follows the class, its recordings differ in level at {TOP_HZ} Hz, and occlusion and "
        "heat point there: the model may recognise the device"
    )
    assert shortcut.plain["sentence"] == shortcut.sentence
    assert set(tables["strata"]["value"]) == {"AKGC417L", "Meditron"}
    assert tables["strata"]["auroc"].isna().all()  # one class each: nothing to tell apart


def test_a_model_that_looks_elsewhere_takes_no_shortcut():
    _, cautions = examined(device=by_class, top="0-200")
    assert [caution.kind for caution in cautions] == [confounds.CautionKind.METADATA]


def test_all_fields_are_named_where_none_comes_close_alone():
    part = [("a",), ("b",), ("a", "b")]
    close = [confounds.MetadataScore(fields, Interval(0.9, 0.8, 1)) for fields in part]
    (caution,) = confounds._metadata_cautions(close[2:], Interval(0.95, 0.9, 1))
    assert "(AUROC a, b 0.900; model 0.950)" in caution.sentence
    (caution,) = confounds._metadata_cautions(close[::-1], Interval(0.95, 0.9, 1))
    assert "(AUROC b 0.900; a 0.900; model 0.950)" in caution.sentence
    assert confounds._metadata_cautions([], Interval(0.95, 0.9, 1)) == []


def test_a_rate_that_ends_below_the_top_group_is_warned_of():
    _, cautions = examined(rate_hz=lambda units: np.where(np.arange(len(units)) % 4 < 2, 1600, 4000))
    assert [caution.kind for caution in cautions[-2:]] == [confounds.CautionKind.BAND_LIMITED] * 2
    assert cautions[-2].sentence == (
        f"band-limited: occlusion points at {TOP_HZ} Hz, but 12 of 24 recordings come from a source rate as low as "
        "1600 Hz, too low for this group: the model may recognise the source rate"
    )
    assert cautions[-1].figures["view"] == "heat"


def test_a_top_group_on_the_log_floor_is_warned_of():
    units, data = recordings(8)
    bands = grouped()
    frames = [np.where(np.arange(N_BANDS) < 2, np.float32(FLOOR), values) for values in data.frames]
    level, blank = confounds.unit_levels(frames, bands, FLOOR)
    part = confounds.EvaluatedPart(
        units=units,
        train=units,
        metadata=pd.DataFrame(index=units["recording_id"]),
        source_rate_hz=pd.Series(4000, index=units["recording_id"]),
        predictions=units[["unit_id"]].assign(p_normal=0.5, p_wheeze=0.5),
        heat=pd.DataFrame(),
        level=level,
        blank=blank,
        auroc=Interval(1.0, 0.9, 1.0),
        top={"occlusion": TOP_HZ, "heat": "0-200"},
    )
    tables, (caution,) = confounds.look(part, trained(), bands, Limits(), BOOTSTRAP)
    assert caution.kind is confounds.CautionKind.BLANK
    assert caution.sentence == (
        "blank: heat points at 0-200 Hz, where 100% of the input of class wheeze is log floor: the model may use the "
        "absence of sound"
    )
    assert tables["strata"].empty
    assert tables["metadata"].empty
    only_normal = units["target"] == 0  # no judged class, so nothing that is judged can be blank
    part = confounds.EvaluatedPart(
        **{**vars(part), "units": units[only_normal], "level": level[only_normal], "blank": blank[only_normal]}
    )
    assert confounds.look(part, trained(), bands, Limits(), BOOTSTRAP)[1] == []


def test_a_device_that_is_not_known_is_a_stratum():
    tables, _ = examined(device=lambda units: np.where(np.arange(len(units)) % 3 == 0, "", by_turns(units)))
    assert set(tables["strata"]["value"]) == {"Meditron", "Litt3200", confounds.NOT_KNOWN}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"age_years"}, "the patient (age)"),
        ({"age_years", "sex"}, "the patient (age, sex)"),
        ({"device", "level_db"}, "the recording"),
        ({"device", "sex"}, "the patient or the recording"),
    ],
)
def test_metadata_are_about_the_patient_or_the_recording(fields, words):
    assert confounds._source_of(fields) == words
