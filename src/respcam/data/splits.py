"""Who trains and who tests: by patient, always."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from respcam.data.manifest import named, shared_patients

SCHEMES = ("official", "patient_holdout", "patient_kfold")
SHARED_RULES = ("refuse", "drop_from_train", "keep")
TRAIN, VALIDATION, UNUSED = "train", "validation", ""


@dataclass(frozen=True)
class SplitSettings:
    """How units are divided.

    Parameters
    ----------
    name : str
        official (the manifest's own parts), patient_holdout or patient_kfold.
    validation_fraction : float
        Share of the training units that validation patients hold, about.
    test_fraction : float
        Share that a patient_holdout tests on, about.
    n_folds, fold : int
        For patient_kfold.
    from_parts : list of str
        Parts of the manifest that patient_holdout and patient_kfold divide anew.
    shared_patients : str
        What happens where the official split has a patient on two sides without declaring it:
        refuse, drop_from_train, or keep (and say so beside every figure).
    seed : int
        Of the division only, so that runs with several training seeds share their patients.
    """

    name: str = "official"
    validation_fraction: float = 0.15
    test_fraction: float = 0.2
    n_folds: int = 5
    fold: int = 0
    from_parts: list[str] = field(default_factory=lambda: [TRAIN])
    shared_patients: str = "refuse"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in SCHEMES:
            raise ValueError(f"split.name is {self.name!r}; expected one of {', '.join(SCHEMES)}")
        if self.shared_patients not in SHARED_RULES:
            raise ValueError(
                f"split.shared_patients is {self.shared_patients!r}; expected one of {', '.join(SHARED_RULES)}"
            )
        for name in ("validation_fraction", "test_fraction"):
            if not 0 < getattr(self, name) <= 0.5:
                raise ValueError(f"split.{name} is {getattr(self, name)}; expected above 0 and at most 0.5")
        if not (self.n_folds >= 2 and 0 <= self.fold < self.n_folds):
            raise ValueError(
                f"split.fold is {self.fold} of n_folds {self.n_folds}; expected 0 <= fold < n_folds, n_folds >= 2"
            )


@dataclass(frozen=True)
class Division:
    """Units with their side.

    Attributes
    ----------
    side : Series of str
        train, validation, the name of a test part, or blank for units that are not used; on the
        index of the units.
    notes : dict of str to str
        What must stand wherever the figures of a part stand, by part.
    remarks : list of str
        What was done to keep the sides apart.
    """

    side: pd.Series
    notes: dict[str, str]
    remarks: list[str]

    @property
    def test_parts(self) -> list[str]:
        """Names of the test parts that have units."""
        return sorted(set(self.side) - {TRAIN, VALIDATION, UNUSED})


def divide(
    units: pd.DataFrame,
    settings: SplitSettings,
    sha256: pd.Series | None = None,
    same_patient_parts: Collection[str] = (),
) -> Division:
    """Put every unit on a side, patients kept apart.

    Parameters
    ----------
    units : DataFrame
        ``recording_id, patient_id, split, target``.
    settings : SplitSettings
    sha256 : Series of str, optional
        Content digest by recording_id: a recording that train shares with a test part under
        another name is taken out of train.
    same_patient_parts : collection of str
        Parts published as sharing their patients with train: evaluated, and labelled so.

    Returns
    -------
    Division

    Raises
    ------
    ValueError
        If a patient would be on two sides without a declaration, or there are too few patients.
    """
    notes: dict[str, str] = {}
    remarks: list[str] = []
    if settings.name == "official":
        side = units["split"].copy()
        notes = {part: "patients also in train" for part in same_patient_parts if (side == part).any()}
        _settle_shared(units, side, settings, same_patient_parts, notes, remarks)
        if not set(side) - {TRAIN, VALIDATION, UNUSED}:
            raise ValueError(
                "split official: no usable recording outside train; "
                "set split=patient_holdout or split=patient_kfold to test on held-out train patients"
            )
    else:
        is_used = units["split"].isin(settings.from_parts)
        if not is_used.any():
            parts = ", ".join(sorted(set(units["split"])))
            raise ValueError(f"split.from_parts is {settings.from_parts}; the manifest has the parts {parts}")
        side = pd.Series(np.where(is_used, TRAIN, UNUSED), index=units.index)
        k, fold, part = settings.n_folds, settings.fold, f"fold{settings.fold}"
        if settings.name == "patient_holdout":
            k, fold, part = round(1 / settings.test_fraction), 0, "holdout"
        side[_fold(units[is_used], k, fold, settings.seed)] = part
    _drop_copies(units, side, sha256, remarks)
    if VALIDATION not in set(side):
        train = units[side == TRAIN]
        n_folds = round(1 / settings.validation_fraction)
        side[_fold(train, n_folds, 0, settings.seed + 1)] = VALIDATION
    _check_apart(units, side, notes)
    return Division(side, notes, remarks)


def _settle_shared(
    units: pd.DataFrame,
    side: pd.Series,
    settings: SplitSettings,
    same_patient_parts: Collection[str],
    notes: dict[str, str],
    remarks: list[str],
) -> None:
    shared = shared_patients(units, same_patient_parts)
    if not shared:
        return
    if settings.shared_patients == "refuse":
        raise ValueError(
            f"split official: patient {named(shared)} on both sides of the published split; "
            "set split.shared_patients=drop_from_train, or =keep to go on with the leak on record"
        )
    is_shared = units["patient_id"].isin(shared)
    if settings.shared_patients == "drop_from_train":
        side[is_shared & side.isin([TRAIN, VALIDATION])] = UNUSED
        remarks.append(f"patient {named(shared)}: taken out of train, because also in a test part")
        return
    for part in sorted(set(side[is_shared]) - {TRAIN, VALIDATION}):
        notes[part] = f"patient {named(shared)} also in train"


def _drop_copies(units: pd.DataFrame, side: pd.Series, sha256: pd.Series | None, remarks: list[str]) -> None:
    """Take recordings out of train whose very bytes are tested on under another name."""
    if sha256 is None:
        return
    content = units["recording_id"].map(sha256)
    is_tested = ~side.isin([TRAIN, VALIDATION, UNUSED])
    is_copy = side.isin([TRAIN, VALIDATION]) & content.ne("") & content.isin(set(content[is_tested]))
    if is_copy.any():
        copies = sorted(set(units["recording_id"][is_copy]))
        side[is_copy] = UNUSED
        remarks.append(f"recording {named(copies)}: taken out of train, because a test part has the same file")


def _fold(units: pd.DataFrame, n_folds: int, fold: int, seed: int) -> pd.Index:
    """Index of the units in one fold: patients whole, classes in about equal shares."""
    n_patients = units["patient_id"].nunique()
    if n_patients < n_folds:
        raise ValueError(
            f"split: {n_patients} patients cannot make {n_folds} groups of patients; "
            "use fewer folds, a larger fraction, or more recordings"
        )
    from sklearn.model_selection import StratifiedGroupKFold  # takes seconds to import

    ordered = units.sort_values(["patient_id", "recording_id"], kind="stable")
    folds = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    parts = list(folds.split(ordered, ordered["target"], groups=ordered["patient_id"]))
    return ordered.index[parts[fold][1]]


def _check_apart(units: pd.DataFrame, side: pd.Series, notes: dict[str, str]) -> None:
    """Stop where a patient stands on two sides; parts with a note are declared and do not count."""
    independent = side[~side.isin([UNUSED, *notes])]
    n_sides = independent.groupby(units["patient_id"]).nunique()
    both = sorted(n_sides.index[n_sides > 1])
    if both:
        raise ValueError(f"split: patient {named(both)} on two sides; all recordings of a patient go to one")
