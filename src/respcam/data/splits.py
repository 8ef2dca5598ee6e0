"""Patient-disjoint splits: train, validation and test parts that share no patient."""

import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from respcam.data.manifest import named, shared_patients
from respcam.errors import Refused

SCHEMES = ("official", "patient_holdout", "patient_kfold")
SHARED_RULES = ("refuse", "drop_from_train", "keep")
TRAIN, VALIDATION, UNUSED = "train", "validation", ""


@dataclass(frozen=True)
class SplitSettings:
    """How units are divided.

    Parameters
    ----------
    name : str
        Rule: official (the manifest's own parts), patient_holdout or patient_kfold.
    validation_fraction : float
        Share of the training units that validation patients hold, about.
    test_fraction : float
        Share that a patient_holdout tests on, about.
    n_folds, fold : int
        For patient_kfold: number of folds, and the fold that is tested, from 0.
    from_parts : list of str
        Parts of the manifest that patient_holdout and patient_kfold divide anew.
    shared_patients : str
        What happens where the official split has a patient in two parts without declaring it:
        refuse, drop_from_train, or keep (and say so beside every metric).
    seed : int
        Of the division only, so that runs with several training seeds share their patients.

    Raises
    ------
    Refused
        If a value is out of its range.
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
            raise Refused(f"split.name is {self.name!r}; expected one of {', '.join(SCHEMES)}")
        if self.shared_patients not in SHARED_RULES:
            raise Refused(
                f"split.shared_patients is {self.shared_patients!r}; expected one of {', '.join(SHARED_RULES)}"
            )
        for name in ("validation_fraction", "test_fraction"):
            if not 0 < getattr(self, name) <= 0.5:
                raise Refused(f"split.{name} is {getattr(self, name)}; expected above 0 and at most 0.5")
        if not (self.n_folds >= 2 and 0 <= self.fold < self.n_folds):
            raise Refused(
                f"split.fold is {self.fold} of n_folds {self.n_folds}; expected 0 <= fold < n_folds, n_folds >= 2"
            )
        if self.fold != 0 and not self.has_folds:
            raise Refused(f"split.fold is {self.fold}, which split={self.name} does not use; set split=patient_kfold")

    @property
    def has_folds(self) -> bool:
        """Whether this is one fold of a cross-validation."""
        return self.name == "patient_kfold"


@dataclass(frozen=True)
class Division:
    """Units with their part.

    Attributes
    ----------
    part : Series of str
        train, validation, the name of a test part, or blank for units that are not used; on the
        index of the units.
    notes : dict of str to str
        What must stand wherever the metrics of a part stand, by part.
    remarks : list of str
        What was done to keep the parts disjoint.
    """

    part: pd.Series
    notes: dict[str, str]
    remarks: list[str]

    @property
    def test_parts(self) -> list[str]:
        """Names of the test parts that have units."""
        return test_parts(self.part)


def test_parts(parts: Iterable[str]) -> list[str]:
    """Names of parts that are neither train nor validation nor unused, sorted."""
    return sorted(set(parts) - {TRAIN, VALIDATION, UNUSED})


test_parts.__test__ = False  # type: ignore[attr-defined]  # no test of pytest's


def settled(settings: SplitSettings, recordings: pd.DataFrame) -> SplitSettings:
    """Hold patients out where the official split is asked for and none is published.

    Parameters
    ----------
    settings : SplitSettings
    recordings : DataFrame
        ``split``: the manifest's parts.

    Returns
    -------
    SplitSettings
        The same, or patient_holdout where all recordings are in train.

    Examples
    --------
    >>> settled(SplitSettings("official"), pd.DataFrame({"split": ["train", "train"]})).name
    'patient_holdout'
    """
    is_published = set(recordings["split"]) != {TRAIN}
    return settings if is_published or settings.name != "official" else replace(settings, name="patient_holdout")


def divide(
    units: pd.DataFrame,
    settings: SplitSettings,
    sha256: pd.Series | None = None,
    same_patient_parts: Collection[str] = (),
) -> Division:
    """Assign every unit to a part, so that no patient is in two parts.

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
    Refused
        If a patient would be in two parts without a declaration, or there are too few patients.

    Examples
    --------
    >>> patients = np.repeat([f"p{number}" for number in range(8)], 2)
    >>> names = [f"r{number:02d}" for number in range(16)]
    >>> units = pd.DataFrame({"recording_id": names, "patient_id": patients, "split": "train", "target": [0, 1] * 8})
    >>> division = divide(units, SplitSettings("patient_kfold", n_folds=4, validation_fraction=0.5))
    >>> division.part.value_counts().to_dict()
    {'train': 6, 'validation': 6, 'fold0': 4}
    """
    if settings.name == "official":
        division = _official(units, settings, same_patient_parts)
    else:
        division = Division(_regrouped(units, settings), {}, [])
    part, notes, remarks = division.part, division.notes, division.remarks
    _drop_copies(units, part, sha256, remarks)
    if VALIDATION not in set(part):
        train = units[part == TRAIN]
        n_folds = round(1 / settings.validation_fraction)
        source = f"split.validation_fraction={settings.validation_fraction:g}"
        part[_fold(train, n_folds, 0, settings.seed + 1, source)] = VALIDATION
    _check_disjoint(units, part, notes)
    return division


def _official(units: pd.DataFrame, settings: SplitSettings, same_patient_parts: Collection[str]) -> Division:
    """Take the manifest's own parts, and settle what happens to patients that are in two of them."""
    part = units["split"].copy()
    notes = {name: "patients also in train" for name in same_patient_parts if (part == name).any()}
    division = Division(part, notes, [])
    _settle_shared(units, division, settings, shared_patients(units, same_patient_parts))
    if not division.test_parts:
        raise Refused(
            "split official: no usable recording outside train; "
            "set split=patient_holdout or split=patient_kfold to test on held-out train patients"
        )
    return division


def _settle_shared(units: pd.DataFrame, division: Division, settings: SplitSettings, shared: list[str]) -> None:
    """Refuse patients in two parts, take them out of train, or note the leak, as the settings say."""
    if not shared:
        return
    if settings.shared_patients == "refuse":
        raise Refused(
            f"split official: patient {named(shared)} in two parts of the published split; "
            "set split.shared_patients=drop_from_train, or =keep to go on with the leak on record"
        )
    part, is_shared = division.part, units["patient_id"].isin(shared)
    if settings.shared_patients == "drop_from_train":
        part[is_shared & part.isin([TRAIN, VALIDATION])] = UNUSED
        division.remarks.append(f"patient {named(shared)}: taken out of train, because also in a test part")
        return
    for name in sorted(set(part[is_shared]) - {TRAIN, VALIDATION}):
        division.notes[name] = f"patient {named(shared)} also in train"


def _regrouped(units: pd.DataFrame, settings: SplitSettings) -> pd.Series:
    """Divide the units of some parts of the manifest anew, into train and one test part."""
    is_used = units["split"].isin(settings.from_parts)
    if not is_used.any():
        parts = ", ".join(sorted(set(units["split"])))
        raise Refused(f"split.from_parts is {settings.from_parts}; the manifest has the parts {parts}")
    part = pd.Series(np.where(is_used, TRAIN, UNUSED), index=units.index)
    n_folds, fold, test_part = settings.n_folds, settings.fold, f"fold{settings.fold}"
    source = f"split.n_folds={n_folds}"
    if settings.name == "patient_holdout":
        n_folds, fold, test_part = round(1 / settings.test_fraction), 0, "holdout"
        source = f"split.test_fraction={settings.test_fraction:g}"
    part[_fold(units[is_used], n_folds, fold, settings.seed, source)] = test_part
    return part


def _drop_copies(units: pd.DataFrame, part: pd.Series, sha256: pd.Series | None, remarks: list[str]) -> None:
    """Take recordings out of train whose very bytes are tested on under another name."""
    if sha256 is None:
        return
    content = units["recording_id"].map(sha256)
    is_tested = ~part.isin([TRAIN, VALIDATION, UNUSED])
    tested = set(content[is_tested].dropna()) - {""}
    is_copy = part.isin([TRAIN, VALIDATION]) & content.isin(tested)
    if is_copy.any():
        copies = sorted(set(units["recording_id"][is_copy]))
        part[is_copy] = UNUSED
        remarks.append(f"recording {named(copies)}: taken out of train, because a test part has the same file")
        if not part.isin([TRAIN, VALIDATION]).any():
            raise Refused(f"split: every recording of train is the same file as one that is tested: {named(copies)}")


def _fold(units: pd.DataFrame, n_folds: int, fold: int, seed: int, source: str) -> pd.Index:
    """Index of the units in a fold: all units of a patient together, classes in about equal shares."""
    n_patients = units["patient_id"].nunique()
    if n_patients < n_folds:
        raise Refused(
            f"split: {n_patients} patients cannot make the {n_folds} groups of {source}; "
            "use fewer folds, a larger fraction, or more patients"
        )
    largest = units["target"].value_counts().max()
    if largest < n_folds:
        raise Refused(
            f"split: the largest class has {largest} recordings, too few for the {n_folds} groups of {source}; "
            "use fewer folds, a larger fraction, or more recordings"
        )
    from sklearn.model_selection import StratifiedGroupKFold  # takes seconds to import

    ordered = units.sort_values(["patient_id", "recording_id"], kind="stable")
    folds = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # that a class has fewer units than folds; a part without it is remarked on
        warnings.simplefilter("ignore", UserWarning)
        rows = list(folds.split(ordered, ordered["target"], groups=ordered["patient_id"]))
    return ordered.index[rows[fold][1]]


def _check_disjoint(units: pd.DataFrame, part: pd.Series, notes: dict[str, str]) -> None:
    """Refuse a patient in two parts; parts with a note are declared and do not count."""
    independent = part[~part.isin([UNUSED, *notes])]
    n_parts = independent.groupby(units["patient_id"]).nunique()
    shared = sorted(n_parts.index[n_parts > 1])
    if shared:
        raise Refused(f"split: patient {named(shared)} in two parts; all recordings of a patient go to one")


def permuted(target: np.ndarray, part: np.ndarray, seed: int = 0) -> np.ndarray:
    """Deal classes out anew within each part, so that new and true classes are independent.

    Parameters
    ----------
    target : int64 [shape=(unit,)]
        Class indices.
    part : str [shape=(unit,)]
    seed : int

    Returns
    -------
    int64 [shape=(unit,)]
        Each true class of a part gets the part's classes in their proportion, up to rounding.

    Examples
    --------
    >>> dealt = permuted(np.array([0] * 50 + [1] * 50), np.array(["train"] * 100))
    >>> int(dealt[:50].sum()), int(dealt[50:].sum())  # in both true classes, half of the units are of new class 1
    (25, 25)
    """
    rng = np.random.default_rng(seed)
    dealt = target.copy()
    for name in np.unique(part):
        rows = np.flatnonzero(part == name)
        order = rows[np.lexsort([rng.random(len(rows)), target[rows]])]  # shuffled within each true class
        share = np.cumsum(np.bincount(target[rows])) / len(rows)
        # steps of the golden ratio fall evenly on every stretch of the order, hence on every true class
        place = np.arange(1, len(rows) + 1) * ((np.sqrt(5) - 1) / 2) % 1
        dealt[order] = np.searchsorted(share, place, side="right")
    return dealt
