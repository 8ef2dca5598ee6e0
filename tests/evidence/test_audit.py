import numpy as np
import pandas as pd
import pytest

from respcam.evidence import audit
from respcam.metrics import BootstrapSettings, Interval

BOOTSTRAP = BootstrapSettings(n_resamples=200)


def like_icbhi(device_names_the_class, n_patients=60, seed=0):
    """Manifest, resampled table and units: adults, four devices, several rates."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(n_patients):
        target = patient % 2
        if device_names_the_class:
            device = ["Meditron", "AKGC417L"][target]
        else:
            device = ["Meditron", "AKGC417L", "Litt3200"][rng.integers(3)]
        for number in range(3):
            rows.append(
                {
                    "recording_id": f"{patient}_{number}",
                    "patient_id": str(patient),
                    "target": target,
                    "device": device,
                    "site": ["Al", "Ar", "Tc"][rng.integers(3)],
                    "age_years": f"{rng.integers(20, 80)}" if number else "",
                    "sex": "",
                    "source_rate_hz": [4000, 44100][rng.integers(2)],
                    "source_samples": rng.integers(80_000, 120_000),
                    "rms_db": rng.normal(-30, 5),
                }
            )
    table = pd.DataFrame(rows)
    metadata = audit.metadata_of(table, table)
    return metadata, table[: len(table) // 2], table[len(table) // 2 :]


def test_known_metadata_is_gathered_and_constants_are_left_out():
    metadata, _, _ = like_icbhi(device_names_the_class=True)
    assert set(metadata) == {"device", "site", "age_years", "source_rate_hz", "duration_s", "level_db"}
    assert metadata["age_years"].isna().sum() == 60
    assert metadata.loc["0_0", "duration_s"] > 1


def test_a_device_that_names_the_class_is_found():
    metadata, train, test = like_icbhi(device_names_the_class=True)
    table = audit.metadata_baseline(metadata, train, test, 2, BOOTSTRAP)
    assert table["auroc"][0] > 0.9
    assert table["fields"][1] == "device"
    assert table["auroc"][1] == 1
    assert audit.comes_close(Interval(1, 1, 1), Interval(0.95, 0.9, 1), 0.8)


def test_a_device_that_says_nothing_is_no_ground_for_alarm():
    for seed in range(5):
        metadata, train, test = like_icbhi(device_names_the_class=False, seed=seed)
        table = audit.metadata_baseline(metadata, train, test, 2, BOOTSTRAP)
        for row in table.itertuples():
            found = Interval(row.auroc, row.auroc_low, row.auroc_high)
            assert not audit.comes_close(found, Interval(0.95, 0.9, 1), 0.8)


def test_an_age_threshold_is_found():
    metadata, train, test = like_icbhi(device_names_the_class=False)
    target = metadata["age_years"].index.str.split("_").str[0].astype(int) % 2
    metadata["age_years"] = np.where(target == 1, 40.0, np.where(np.arange(len(metadata)) % 4 < 2, 20.0, 60.0))
    table = audit.metadata_baseline(metadata, train, test, 2, BOOTSTRAP).set_index("fields")
    assert table.loc["age_years", "auroc"] == 1  # not monotone: a line would miss it


def test_nothing_known_is_an_empty_table():
    metadata, train, test = like_icbhi(device_names_the_class=True)
    assert audit.metadata_baseline(metadata[[]], train, test, 2, BOOTSTRAP).empty


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
    assert audit.comes_close(baseline, Interval(0.95, 0.9, 1.0), 0.8) == expected


def test_levels_and_blank_shares_per_group():
    floor = np.log(0.01)
    frames = np.full((10, 4), 1.0, np.float32)
    frames[:, 2] = floor
    frames[:5, 3] = np.log(0.0199)  # just below twice the offset: its mel magnitude is below it
    frames[5:, 3] = np.log(0.0201)
    level, blank = audit.group_levels(frames, np.array([0, 0, 1, -1]), 3, floor)
    np.testing.assert_allclose(level[:2], [1, floor])
    np.testing.assert_allclose(blank[:2], [0, 1])
    assert np.isnan(level[2])
    _, blank = audit.group_levels(frames, np.array([0, 0, 0, 1]), 2, floor)
    np.testing.assert_allclose(blank, [1 / 3, 0.5])


def test_the_bands_that_tell_devices_apart():
    rng = np.random.default_rng(0)
    device = np.repeat(["A", "B", "C"], 30)
    levels = rng.standard_normal((90, 4))
    levels[device == "B", 2] -= 20
    levels[device == "B", 3] -= 5  # tells them apart as well, but is a small part of the difference
    np.testing.assert_array_equal(audit.telling_groups(levels, device), [False, False, True, False])
    assert not audit.telling_groups(levels, ["A"] * 90).any()
    assert not audit.telling_groups(rng.standard_normal((90, 4)), device).any()
