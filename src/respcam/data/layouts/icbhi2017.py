"""ICBHI 2017: respiratory sound database of the ICBHI challenge, with its official split.

Source: B. M. Rocha et al., "An open access database for the evaluation of respiratory sound classification
algorithms", Physiological Measurement 2019.
Licence: freely available for research.
Manifest: 920 recordings with the official split, diagnosis and demographics; checksums, labels and cycles of ten
recordings. For the rest, make both tables from a copy of the database.
"""

import csv
from pathlib import Path

import pandas as pd

from respcam.data.listing import Listing, as_published, fields_of_name
from respcam.errors import Refused

SEXES = {"F": "female", "M": "male"}
CYCLE_LABELS = {  # by crackles, wheezes
    ("0", "0"): "normal",
    ("1", "0"): "crackle",
    ("0", "1"): "wheeze",
    ("1", "1"): "both",
}


def list_tables(root: Path) -> Listing:
    """List all recordings of the official split, and cycles where their annotations lie under the root.

    Parameters
    ----------
    root : Path
        Holds ``ICBHI_challenge_train_test.txt, patient_diagnosis.csv, demographic_info.txt`` and
        ``ICBHI_final_database/``.

    Returns
    -------
    Listing
        An event is a respiratory cycle. The label of a recording is what its cycles hold together; it is blank
        where the annotation of the recording is absent.

    Raises
    ------
    Refused
        If the split, diagnosis or demographics are not under the root, or a file is not as published.

    Examples
    --------
    >>> list_tables(Path("/nowhere"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    respcam.errors.Refused: /nowhere/ICBHI_challenge_train_test.txt: not there; ...
    """
    split = _table(root / "ICBHI_challenge_train_test.txt", ["recording_id", "split"])
    diagnosis_file, people_file = root / "patient_diagnosis.csv", root / "demographic_info.txt"
    diagnosis = _by_patient(diagnosis_file, ["diagnosis"], ",")
    people = _by_patient(people_file, ["age_years", "sex", "adult_bmi", "child_weight_kg", "child_height_cm"])
    recordings, events = [], []
    for name, part in split.itertuples(index=False):
        patient, _, site, _, device = fields_of_name(name, "patient_index_site_mode_device")
        for path, table in ((diagnosis_file, diagnosis), (people_file, people)):
            if patient not in table:
                raise Refused(
                    f"{path}: has no row of patient {patient}, to whom {name} belongs; expected a row per patient"
                )
        cycles = _cycles(root / "ICBHI_final_database" / f"{name}.txt")
        events += [(name, *cycle) for cycle in cycles]
        recordings.append(
            {
                "recording_id": name,
                "path": f"ICBHI_final_database/{name}.wav",
                "patient_id": patient,
                "label": _recording_label({label for *_, label in cycles}),
                "split": part,
                "device": device,
                "site": site,
                "age_years": people[patient]["age_years"],
                "sex": SEXES.get(people[patient]["sex"], ""),
                "diagnosis": diagnosis[patient]["diagnosis"],
            }
        )
    return Listing.of(recordings, events)


def _table(path: Path, names: list[str], separator: str = r"\s+") -> pd.DataFrame:
    """Read a table without header as text; NA and what is missing at the end of a row are blank."""
    with as_published(path, f"the columns {', '.join(names)}, without header"):
        table = pd.read_csv(path, sep=separator, names=names, dtype=str, quoting=csv.QUOTE_NONE).fillna("")
        if not isinstance(table.index, pd.RangeIndex):
            raise ValueError("a row has more columns")
        if (table[names[0]] == "").any():
            raise ValueError(f"a row has no {names[0]}")
        return table


def _by_patient(path: Path, columns: list[str], separator: str = r"\s+") -> dict[str, dict[str, str]]:
    table = _table(path, ["patient_id", *columns], separator)
    with as_published(path, "a row per patient"):
        return table.set_index("patient_id").to_dict("index")


def _cycles(path: Path) -> list[tuple[float, float, str]]:
    """Read columns start s, end s, crackles, wheezes; nothing where there is no file."""
    if not path.exists():
        return []
    table = _table(path, ["start_s", "end_s", "crackles", "wheezes"])
    with as_published(path, "start and end in s, crackles and wheezes 0 or 1"):
        kinds = [CYCLE_LABELS[heard] for heard in zip(table["crackles"], table["wheezes"], strict=True)]
        return list(zip(table["start_s"].astype(float), table["end_s"].astype(float), kinds, strict=True))


def _recording_label(cycle_labels: set[str]) -> str:
    adventitious = cycle_labels - {"normal"}
    if len(adventitious) == 1:
        return adventitious.pop()
    return "both" if adventitious else "normal" if cycle_labels else ""
