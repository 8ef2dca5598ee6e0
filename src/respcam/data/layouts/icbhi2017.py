"""ICBHI 2017: respiratory sound database of the ICBHI challenge, with its official split.

Source: B. M. Rocha et al., "An open access database for the evaluation of respiratory sound classification
algorithms", Physiological Measurement 2019.
Licence: freely available for research.
Manifest: 920 recordings with the official split, diagnosis and demographics; checksums, labels and cycles of ten
recordings. For the rest, make both tables from a copy of the database.
"""

from pathlib import Path

import pandas as pd

from respcam.data.listing import Listing, fields_of_name, required

SEXES = {"F": "female", "M": "male"}
CYCLE_LABELS = {0: "normal", 1: "crackle", 2: "wheeze", 3: "both"}  # by crackles + 2 * wheezes


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
        If the split, diagnosis or demographics are not under the root.

    Examples
    --------
    >>> list_tables(Path("/nowhere"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    respcam.errors.Refused: /nowhere/ICBHI_challenge_train_test.txt: not there; ...
    """
    split_file = required(root / "ICBHI_challenge_train_test.txt")
    split = pd.read_csv(split_file, sep=r"\s+", names=["recording_id", "split"], dtype=str)
    diagnosis = pd.read_csv(
        required(root / "patient_diagnosis.csv"), names=["patient_id", "diagnosis"], dtype=str
    ).set_index("patient_id")["diagnosis"]
    people = pd.read_csv(
        required(root / "demographic_info.txt"),
        sep=r"\s+",
        names=["patient_id", "age_years", "sex", "adult_bmi", "child_weight_kg", "child_height_cm"],
        dtype=str,
    ).set_index("patient_id")
    recordings, events = [], []
    for name, part in split.itertuples(index=False):
        patient, _, site, _, device = fields_of_name(name, "patient_index_site_mode_device")
        cycles = _cycles(root / "ICBHI_final_database" / f"{name}.txt")
        events += [(name, *cycle) for cycle in cycles]
        age, sex = people.loc[patient, ["age_years", "sex"]].fillna("")
        recordings.append(
            {
                "recording_id": name,
                "path": f"ICBHI_final_database/{name}.wav",
                "patient_id": patient,
                "label": _recording_label({label for *_, label in cycles}),
                "split": part,
                "device": device,
                "site": site,
                "age_years": age,
                "sex": SEXES.get(sex, ""),
                "diagnosis": diagnosis[patient],
            }
        )
    return Listing.of(recordings, events)


def _cycles(path: Path) -> list[tuple[float, float, str]]:
    """Read columns start s, end s, crackles, wheezes; nothing where there is no file."""
    if not path.is_file():
        return []
    table = pd.read_csv(path, sep=r"\s+", names=["start_s", "end_s", "crackles", "wheezes"])
    label = (table["crackles"] + 2 * table["wheezes"]).map(CYCLE_LABELS)
    return list(zip(table["start_s"], table["end_s"], label, strict=True))


def _recording_label(cycle_labels: set[str]) -> str:
    adventitious = cycle_labels - {"normal"}
    if len(adventitious) == 1:
        return adventitious.pop()
    return "both" if adventitious else "normal" if cycle_labels else ""
