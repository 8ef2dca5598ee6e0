import numpy as np
import pandas as pd

from respcam.evidence.confounds import comes_close
from respcam.evidence.metadata import metadata_baseline, metadata_of, metadata_out_of_fold
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
    metadata = metadata_of(table, table)
    return metadata, table[: len(table) // 2], table[len(table) // 2 :]


def test_known_metadata_is_gathered_and_constants_are_left_out():
    metadata, _, _ = like_icbhi(device_names_the_class=True)
    assert set(metadata) == {"device", "site", "age_years", "source_rate_hz", "duration_s", "level_db"}
    assert metadata["age_years"].isna().sum() == 60
    assert metadata.loc["0_0", "duration_s"] > 1


def test_a_device_that_names_the_class_is_found():
    metadata, train, test = like_icbhi(device_names_the_class=True)
    together, device, *rest = metadata_baseline(metadata, train, test, 2, BOOTSTRAP)
    assert together.auroc.value > 0.9
    assert device.fields == ("device",)
    assert device.auroc.value == 1
    assert [score.auroc.value for score in rest] == sorted((score.auroc.value for score in rest), reverse=True)


def test_a_device_that_says_nothing_is_no_ground_for_alarm():
    for seed in range(5):
        metadata, train, test = like_icbhi(device_names_the_class=False, seed=seed)
        for score in metadata_baseline(metadata, train, test, 2, BOOTSTRAP):
            assert not comes_close(score.auroc, Interval(0.95, 0.9, 1), 0.8)


def test_an_age_threshold_is_found():
    metadata, train, test = like_icbhi(device_names_the_class=False)
    target = metadata["age_years"].index.str.split("_").str[0].astype(int) % 2
    metadata["age_years"] = np.where(target == 1, 40.0, np.where(np.arange(len(metadata)) % 4 < 2, 20.0, 60.0))
    scores = {score.fields: score.auroc for score in metadata_baseline(metadata, train, test, 2, BOOTSTRAP)}
    assert scores["age_years",].value == 1  # not monotone: a line would miss it


def test_each_patient_is_classified_by_the_others():
    metadata, train, test = like_icbhi(device_names_the_class=True)
    units = pd.concat([train, test])
    scores = {score.fields: score.auroc for score in metadata_out_of_fold(metadata, units, 2, BOOTSTRAP)}
    assert scores["device",].value == 1
    # a number of its own for each patient would tell the class of each recording, if the patient were in train
    number = units.set_index("recording_id")["patient_id"].rank(method="dense")
    metadata = pd.DataFrame({"level_db": number})
    leaky = metadata_baseline(metadata, units, units, 2, BOOTSTRAP)[0].auroc.value
    honest = metadata_out_of_fold(metadata, units, 2, BOOTSTRAP)[0].auroc.value
    assert leaky > 0.9
    assert honest < 0.75


def test_one_patient_or_one_class_gives_no_score():
    metadata, train, _ = like_icbhi(device_names_the_class=True)
    assert metadata_out_of_fold(metadata, train.assign(patient_id="p"), 2, BOOTSTRAP) == []
    assert metadata_out_of_fold(metadata, train.assign(target=1), 2, BOOTSTRAP) == []
