import numpy as np
import pandas as pd
import pytest

from respcam.data.splits import SplitSettings, divide, permuted
from respcam.errors import Refused


def make_units(n_patients=40, per_patient=3, test_from=32):
    patient = np.repeat(np.arange(n_patients), per_patient)
    return pd.DataFrame(
        {
            "recording_id": [f"p{p:02d}_{i}" for p, i in zip(patient, np.tile(range(per_patient), n_patients), strict=True)],
            "patient_id": [f"p{p:02d}" for p in patient],
            "split": np.where(patient >= test_from, "test", "train"),
            "target": patient % 2,
        }
    )  # fmt: skip


def parts_per_patient(units, part):
    return part[part != ""].groupby(units["patient_id"]).nunique()


@pytest.mark.parametrize("name", ["official", "patient_holdout", "patient_kfold"])
@pytest.mark.parametrize("seed", range(5))
def test_no_patient_is_in_two_parts(name, seed):
    units = make_units()
    division = divide(units, SplitSettings(name=name, seed=seed))
    assert parts_per_patient(units, division.part).max() == 1
    for name in ("train", "validation", *division.test_parts):
        assert set(units["target"][division.part == name]) == {0, 1}


def test_every_patient_tests_once_over_the_folds():
    units = make_units()
    tested = []
    for fold in range(5):
        division = divide(units, SplitSettings(name="patient_kfold", fold=fold))
        assert division.test_parts == [f"fold{fold}"]
        tested += sorted(set(units["patient_id"][division.part == f"fold{fold}"]))
    assert sorted(tested) == sorted(set(units["patient_id"][units["split"] == "train"]))


def test_a_division_is_repeatable_and_blind_to_row_order():
    units = make_units()
    shuffled = units.sample(frac=1, random_state=1)
    settings = SplitSettings(name="patient_holdout")
    pd.testing.assert_series_equal(divide(units, settings).part, divide(shuffled, settings).part.sort_index())


def test_other_seeds_divide_otherwise():
    units = make_units()
    parts = [divide(units, SplitSettings(name="patient_holdout", seed=seed)).part for seed in (0, 1)]
    assert not parts[0].equals(parts[1])


def test_a_declared_same_patient_part_is_kept_and_labelled():
    units = make_units()
    units.loc[units.index % 3 == 2, "split"] = "intra"
    division = divide(units, SplitSettings(), same_patient_parts=["intra"])
    assert division.notes == {"intra": "patients also in train"}
    assert (division.part == "intra").sum() == 40


def test_undeclared_shared_patients_stop_the_run():
    units = make_units()
    units.loc[0, "split"] = "test"
    with pytest.raises(Refused, match="patient p00 in two parts of the published split"):
        divide(units, SplitSettings())
    dropped = divide(units, SplitSettings(shared_patients="drop_from_train"))
    assert dropped.part[:3].tolist() == ["test", "", ""]
    assert "taken out of train" in dropped.remarks[0]
    kept = divide(units, SplitSettings(shared_patients="keep"))
    assert kept.notes == {"test": "patient p00 also in train"}


def test_a_recording_that_is_tested_under_another_name_leaves_train():
    units = make_units()
    sha256 = pd.Series([f"{i:064x}" for i in range(len(units))], index=units["recording_id"])
    sha256.iloc[0] = sha256.iloc[-1]
    division = divide(units, SplitSettings(), sha256)
    assert division.part[0] == ""
    assert (division.part[1:] != "").all()
    assert "p00_0" in division.remarks[0]


@pytest.mark.parametrize("digest", ["", None])
def test_recordings_of_unknown_content_are_not_taken_for_copies(digest):
    units = make_units()
    sha256 = pd.Series(digest, index=units["recording_id"], dtype=str).dropna()
    division = divide(units, SplitSettings(), sha256)
    assert (division.part != "").all()
    assert not division.remarks


def test_a_patient_in_two_parts_of_which_none_is_declared_is_refused():
    units = make_units()
    units.loc[0, "split"] = "validation"
    units.loc[3, "split"] = "validation"
    with pytest.raises(Refused, match="patient p00, p01 in two parts"):
        divide(units, SplitSettings())


def test_too_few_patients_are_refused():
    units = make_units(n_patients=4, test_from=3)
    with pytest.raises(Refused, match="3 patients cannot make the 7 groups of split.validation_fraction=0.15"):
        divide(units, SplitSettings())
    with pytest.raises(Refused, match="set split=patient_holdout"):
        divide(make_units(test_from=99), SplitSettings())
    with pytest.raises(Refused, match=r"the manifest has the parts test, train"):
        divide(make_units(), SplitSettings(name="patient_kfold", from_parts=["other"]))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_permuted_classes_say_nothing_about_the_true_ones(n_classes):
    rng = np.random.default_rng(0)
    target = rng.choice(n_classes, 400, p=rng.dirichlet(5 * np.ones(n_classes)))
    part = np.where(np.arange(400) < 300, "train", "test")
    dealt = permuted(target, part)
    for name in ("train", "test"):
        rows = part == name
        share = np.bincount(target[rows], minlength=n_classes) / rows.sum()
        for k in range(n_classes):
            counts = np.bincount(dealt[rows & (target == k)], minlength=n_classes)
            assert np.abs(counts - share * counts.sum()).max() < 4
    np.testing.assert_array_equal(dealt, permuted(target, part))
    assert not np.array_equal(dealt, permuted(target, part, seed=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "random"}, "official, patient_holdout, patient_kfold"),
        ({"fold": 5}, "0 <= fold < n_folds"),
        ({"test_fraction": 0.9}, "at most 0.5"),
        ({"shared_patients": "maybe"}, "refuse, drop_from_train, keep"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(Refused, match=message):
        SplitSettings(**change)
