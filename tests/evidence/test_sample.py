import numpy as np
from ten_lines import recordings

from respcam.evidence.sample import order_of_units, sample_sizes


def test_every_beginning_of_the_order_has_classes_and_patients_alike():
    units, _ = recordings(12)
    order = order_of_units(units, 0)
    assert sorted(order) == list(range(24))
    first = units.iloc[order[:12]]
    assert first["target"].tolist()[:2] in ([0, 1], [1, 0])
    assert first["target"].sum() == 6
    assert first["patient_id"].nunique() == 12  # a second recording of a patient comes after the first of all others


def test_the_order_depends_on_the_seed_alone():
    units, _ = recordings(12)
    assert order_of_units(units, 0).tolist() == order_of_units(units.set_index("unit_id"), 0).tolist()
    assert order_of_units(units, 0).tolist() != order_of_units(units, 1).tolist()


def test_a_class_that_runs_out_leaves_the_rest_to_the_others():
    units, _ = recordings(8)
    units = units[(units["target"] == 0) | (units["patient_id"] == "p1")]
    target = units["target"].to_numpy()[order_of_units(units, 0)]
    assert np.flatnonzero(target).max() <= 3


def test_samples_double_until_all_units():
    assert sample_sizes(48, 377) == [48, 96, 192, 377]
    assert sample_sizes(48, 48) == sample_sizes(100, 48) == [48]
    assert sample_sizes(48, 377, 100) == [48, 96, 100]
