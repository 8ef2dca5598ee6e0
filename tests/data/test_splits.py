import numpy as np
import pandas as pd
import pytest

from respcam.data.splits import SplitSettings, divide


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


def sides_of_patients(units, side):
    return side[side != ""].groupby(units["patient_id"]).nunique()


@pytest.mark.parametrize("name", ["official", "patient_holdout", "patient_kfold"])
@pytest.mark.parametrize("seed", range(5))
def test_no_patient_is_on_two_sides(name, seed):
    units = make_units()
    division = divide(units, SplitSettings(name=name, seed=seed))
    assert sides_of_patients(units, division.side).max() == 1
    for side in ("train", "validation", *division.test_parts):
        assert set(units["target"][division.side == side]) == {0, 1}


def test_every_patient_tests_once_over_the_folds():
    units = make_units()
    tested = []
    for fold in range(5):
        division = divide(units, SplitSettings(name="patient_kfold", fold=fold))
        assert division.test_parts == [f"fold{fold}"]
        tested += sorted(set(units["patient_id"][division.side == f"fold{fold}"]))
    assert sorted(tested) == sorted(set(units["patient_id"][units["split"] == "train"]))


def test_a_division_is_repeatable_and_blind_to_row_order():
    units = make_units()
    shuffled = units.sample(frac=1, random_state=1)
    settings = SplitSettings(name="patient_holdout")
    pd.testing.assert_series_equal(divide(units, settings).side, divide(shuffled, settings).side.sort_index())


def test_other_seeds_divide_otherwise():
    units = make_units()
    sides = [divide(units, SplitSettings(name="patient_holdout", seed=seed)).side for seed in (0, 1)]
    assert not sides[0].equals(sides[1])


def test_a_declared_same_patient_part_is_kept_and_labelled():
    units = make_units()
    units.loc[units.index % 3 == 2, "split"] = "intra"
    division = divide(units, SplitSettings(), same_patient_parts=["intra"])
    assert division.notes == {"intra": "patients also in train"}
    assert (division.side == "intra").sum() == 40


def test_undeclared_shared_patients_stop_the_run():
    units = make_units()
    units.loc[0, "split"] = "test"
    with pytest.raises(ValueError, match="patient p00 on both sides of the published split"):
        divide(units, SplitSettings())
    dropped = divide(units, SplitSettings(shared_patients="drop_from_train"))
    assert dropped.side[:3].tolist() == ["test", "", ""]
    assert "taken out of train" in dropped.remarks[0]
    kept = divide(units, SplitSettings(shared_patients="keep"))
    assert kept.notes == {"test": "patient p00 also in train"}


def test_a_recording_that_is_tested_under_another_name_leaves_train():
    units = make_units()
    sha256 = pd.Series([f"{i:064x}" for i in range(len(units))], index=units["recording_id"])
    sha256.iloc[0] = sha256.iloc[-1]
    division = divide(units, SplitSettings(), sha256)
    assert division.side[0] == ""
    assert (division.side[1:] != "").all()
    assert "p00_0" in division.remarks[0]


def test_too_few_patients_are_refused():
    units = make_units(n_patients=4, test_from=3)
    with pytest.raises(ValueError, match="3 patients cannot make 7 groups"):
        divide(units, SplitSettings())
    with pytest.raises(ValueError, match="set split=patient_holdout"):
        divide(make_units(test_from=99), SplitSettings())
    with pytest.raises(ValueError, match=r"the manifest has the parts test, train"):
        divide(make_units(), SplitSettings(name="patient_kfold", from_parts=["other"]))


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
    with pytest.raises(ValueError, match=message):
        SplitSettings(**change)
