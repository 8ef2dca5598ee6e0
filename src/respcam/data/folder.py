"""Folders of labels: recordings that lie as ``root/<label>/<recording>.wav``."""

import re
from pathlib import Path

import soundfile as sf

from respcam.data.listing import Listing
from respcam.data.manifest import named, safe_id
from respcam.errors import Refused

AUDIO_SUFFIXES = tuple(f".{name.lower()}" for name in (*sf.available_formats(), "aif", "aifc", "oga", "opus"))
PATIENT_PATTERN = "^([^_]+)"  # the text before the first underscore


def list_folder(root: Path, patient_pattern: str = PATIENT_PATTERN) -> Listing:
    """List ``root/<label>/<recording>.wav`` (or any format that soundfile reads).

    Parameters
    ----------
    root : Path
    patient_pattern : str
        Regular expression, searched for in the file name without suffix; its first group is the
        patient.

    Returns
    -------
    Listing
        Every recording in the part ``train``; no events.

    Raises
    ------
    Refused
        If there is no audio in sub-folders of the root, or the pattern is not usable or matches no patient in
        a name.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / "wheeze").mkdir()
    >>> sf.write(root / "wheeze" / "ann_1.wav", [0.1, -0.1], 8000)
    >>> list_folder(root).recordings.loc[0, ["recording_id", "patient_id", "label"]].tolist()
    ['wheeze_ann_1', 'ann', 'wheeze']
    """
    try:
        pattern = re.compile(patient_pattern)
    except re.error as error:
        raise Refused(f"dataset.patient_pattern is {patient_pattern!r}: {error}") from error
    if pattern.groups != 1:
        raise Refused(f"dataset.patient_pattern is {patient_pattern!r}; expected exactly one (group): the patient")
    paths = [path for path in sorted(root.glob("*/*")) if path.suffix.lower() in AUDIO_SUFFIXES]
    if not paths:
        raise Refused(f"{root}: no audio in sub-folders; expected {root}/<label>/<recording>.wav")
    matches = [pattern.search(path.stem) for path in paths]
    patients = [(match[1] or "") if match else "" for match in matches]
    unnamed = [path.name for path, patient in zip(paths, patients, strict=True) if not patient]
    if unnamed:
        raise Refused(f"dataset.patient_pattern {patient_pattern!r} finds no patient in {named(unnamed)}")
    return Listing.of(
        {
            "recording_id": safe_id(f"{path.parent.name}_{path.stem}"),
            "path": path.relative_to(root).as_posix(),
            "patient_id": patient,
            "label": path.parent.name,
            "split": "train",
        }
        for path, patient in zip(paths, patients, strict=True)
    )
