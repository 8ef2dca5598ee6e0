"""Published data sets as they come, turned into manifests."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import soundfile as sf

from respcam.data.manifest import EVENT_COLUMNS, OPTIONAL_COLUMNS, RECORDING_COLUMNS, named, safe_id

AUDIO_SUFFIXES = tuple(f".{name.lower()}" for name in (*sf.available_formats(), "aif", "aifc", "oga", "opus"))

SPRSOUND_SITES = {
    "p1": "left posterior",
    "p2": "left lateral",
    "p3": "right posterior",
    "p4": "right lateral",
}
SPRSOUND_PARTS = {
    "train": ("train_json", "train_wav"),
    "intra": ("test_json/intra_test_json", "test_wav"),
    "inter": ("test_json/inter_test_json", "test_wav"),
}


def sprsound2022(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List SPRSound (BioCAS 2022 release) from its annotations.

    Audio need not be there: what the annotations name is listed.

    Parameters
    ----------
    root : Path
        Holds ``train_json, test_json`` and ``SPRSound_patient_summary.csv``.

    Returns
    -------
    recordings, events : DataFrame
        As `respcam.data.manifest` wants them; checksum, rate and length still blank.

    Raises
    ------
    FileNotFoundError
        If the annotations are not under the root.
    """
    summary = _required(root / "SPRSound_patient_summary.csv")
    diagnosis = pd.read_csv(summary, dtype=str).set_index("patient_num")["disease"]
    recordings, events = [], []
    for split, (annotations, audio) in SPRSOUND_PARTS.items():
        for path in sorted(_required(root / annotations).glob("*.json")):
            patient, age, sex, site, _ = path.stem.split("_")
            content = json.loads(path.read_text(encoding="utf-8"))
            recordings.append(
                {
                    "recording_id": path.stem,
                    "path": f"{audio}/{path.stem}.wav",
                    "patient_id": patient,
                    "label": content["record_annotation"],
                    "split": split,
                    "site": SPRSOUND_SITES[site],
                    "age_years": age,
                    "sex": {"0": "male", "1": "female"}[sex],
                    "diagnosis": diagnosis.get(patient, ""),
                }
            )
            events += [
                (path.stem, int(event["start"]) / 1000, int(event["end"]) / 1000, event["type"])
                for event in content["event_annotation"]
            ]
    return _recordings(recordings), _events(events)


def icbhi2017(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the ICBHI 2017 database: all recordings of the official split, cycles where they lie.

    Parameters
    ----------
    root : Path
        Holds ``ICBHI_challenge_train_test.txt, patient_diagnosis.csv, demographic_info.txt`` and
        ``ICBHI_final_database/``.

    Returns
    -------
    recordings, events : DataFrame
        As `respcam.data.manifest` wants them; an event is a respiratory cycle. The label of a recording
        is what its cycles hold together; blank where its annotation is not there.

    Raises
    ------
    FileNotFoundError
        If the split, diagnosis or demographics are not under the root.
    """
    split_file = _required(root / "ICBHI_challenge_train_test.txt")
    split = pd.read_csv(split_file, sep=r"\s+", names=["recording_id", "split"], dtype=str)
    diagnosis = pd.read_csv(
        _required(root / "patient_diagnosis.csv"), names=["patient_id", "diagnosis"], dtype=str
    ).set_index("patient_id")["diagnosis"]
    people = pd.read_csv(
        _required(root / "demographic_info.txt"),
        sep=r"\s+",
        names=["patient_id", "age_years", "sex", "adult_bmi", "child_weight_kg", "child_height_cm"],
        dtype=str,
    ).set_index("patient_id")
    recordings, events = [], []
    for name, part in split.itertuples(index=False):
        patient, _, site, _, device = name.split("_")
        cycles = _icbhi_cycles(root / "ICBHI_final_database" / f"{name}.txt")
        events += [(name, *cycle) for cycle in cycles]
        age, sex = people.loc[patient, ["age_years", "sex"]].fillna("")
        recordings.append(
            {
                "recording_id": name,
                "path": f"ICBHI_final_database/{name}.wav",
                "patient_id": patient,
                "label": _icbhi_label({label for *_, label in cycles}),
                "split": part,
                "device": device,
                "site": site,
                "age_years": age,
                "sex": {"F": "female", "M": "male"}.get(sex, ""),
                "diagnosis": diagnosis[patient],
            }
        )
    return _recordings(recordings), _events(events)


def _icbhi_cycles(path: Path) -> list[tuple[float, float, str]]:
    """Read columns start s, end s, crackles, wheezes."""
    if not path.is_file():
        return []
    table = pd.read_csv(path, sep=r"\s+", names=["start_s", "end_s", "crackles", "wheezes"])
    label = (table["crackles"] + 2 * table["wheezes"]).map({0: "normal", 1: "crackle", 2: "wheeze", 3: "both"})
    return list(zip(table["start_s"], table["end_s"], label, strict=True))


def _icbhi_label(found: set[str]) -> str:
    adventitious = found - {"normal"}
    if len(adventitious) == 1:
        return adventitious.pop()
    return "both" if adventitious else "normal" if found else ""


def folder(root: Path, patient_pattern: str) -> pd.DataFrame:
    """List ``root/<label>/<recording>.wav`` (or any format that soundfile reads).

    Parameters
    ----------
    root : Path
    patient_pattern : str
        Regular expression, searched for in the file name without suffix; its first group is the
        patient.

    Returns
    -------
    DataFrame
        As `respcam.data.manifest` wants it; every recording in the part ``train``.

    Raises
    ------
    FileNotFoundError
        If there is no audio in sub-folders of the root.
    ValueError
        If the pattern is not usable or finds no patient in a name.
    """
    try:
        pattern = re.compile(patient_pattern)
    except re.error as error:
        raise ValueError(f"dataset.patient_pattern is {patient_pattern!r}: {error}") from error
    if pattern.groups != 1:
        raise ValueError(f"dataset.patient_pattern is {patient_pattern!r}; expected exactly one (group): the patient")
    paths = [path for path in sorted(root.glob("*/*")) if path.suffix.lower() in AUDIO_SUFFIXES]
    if not paths:
        raise FileNotFoundError(f"{root}: no audio in sub-folders; expected {root}/<label>/<recording>.wav")
    patients = [pattern.search(path.stem) for path in paths]
    unnamed = [path.name for path, found in zip(paths, patients, strict=True) if not found or not found[1]]
    if unnamed:
        raise ValueError(f"dataset.patient_pattern {patient_pattern!r} finds no patient in {named(unnamed)}")
    rows: Iterable[dict[str, str]] = (
        {
            "recording_id": safe_id(f"{path.parent.name}_{path.stem}"),
            "path": path.relative_to(root).as_posix(),
            "patient_id": found[1] if found else "",
            "label": path.parent.name,
            "split": "train",
        }
        for path, found in zip(paths, patients, strict=True)
    )
    return _recordings(rows)


def _required(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path}: not there; the data set's annotations must lie as they were published")
    return path


def _recordings(rows: Iterable[dict[str, str]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=[*RECORDING_COLUMNS, *OPTIONAL_COLUMNS], dtype=str).fillna("")
    return table.sort_values("recording_id").reset_index(drop=True)


def _events(rows: Iterable[tuple]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=EVENT_COLUMNS)
    return table.sort_values(["recording_id", "start_s", "end_s"], kind="stable").reset_index(drop=True)
