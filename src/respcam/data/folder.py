"""Folders of labels: recordings that lie as ``root/<label>/<recording>.wav``."""

import logging
import re
from pathlib import Path

import soundfile as sf

from respcam.data.listing import Listing
from respcam.data.manifest import named, safe_id
from respcam.errors import Refused

log = logging.getLogger(__name__)

AUDIO_SUFFIXES = tuple(f".{name.lower()}" for name in (*sf.available_formats(), "aif", "aifc", "oga", "opus"))
PATIENT_PATTERN = "^([^_]+)"  # the text before the first underscore


def list_folder(root: Path, patient_pattern: str = PATIENT_PATTERN, device_pattern: str | None = None) -> Listing:
    """List ``root/<label>/<recording>.wav`` (or any format that soundfile reads).

    Parameters
    ----------
    root : Path
    patient_pattern : str
        Regular expression, searched for in the file name without suffix; its first group is the
        patient.
    device_pattern : str, optional
        The same for the device, or the filter of an electronic stethoscope.

    Returns
    -------
    Listing
        Every recording in the part ``train``; no events.

    Raises
    ------
    Refused
        If there is no audio in sub-folders of the root, a name is not UTF-8 or has control characters, or a pattern
        is not usable or finds nothing in a name.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / "wheeze").mkdir()
    >>> sf.write(root / "wheeze" / "ann_1.wav", [0.1, -0.1], 8000)
    >>> list_folder(root).recordings.loc[0, ["recording_id", "patient_id", "label"]].tolist()
    ['wheeze_ann_1', 'ann', 'wheeze']
    """
    audio = [
        path
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() in AUDIO_SUFFIXES and not any(name[0] == "." for name in path.relative_to(root).parts)
    ]
    paths = [path for path in audio if len(path.relative_to(root).parts) == 2]
    if not paths:
        raise Refused(f"{root}: no audio in sub-folders; expected {root}/<label>/<recording>.wav")
    if len(paths) < len(audio):
        others = [path.relative_to(root).as_posix() for path in audio if path not in set(paths)]
        log.warning("dataset: %d audio files are not in a folder of a label: %s", len(others), named(others))
    unusual = [path.name for path in paths if not str(path.relative_to(root)).isprintable()]
    if unusual:
        shown = named([repr(name) for name in unusual])
        raise Refused(f"{root}: the names {shown} are not UTF-8 or have control characters; rename these files")
    patients = _values_of(paths, "patient", patient_pattern)
    devices = _values_of(paths, "device", device_pattern) if device_pattern else [""] * len(paths)
    return Listing.of(
        {
            "recording_id": safe_id(f"{path.parent.name}_{path.stem}"),
            "path": path.relative_to(root).as_posix(),
            "patient_id": patient,
            "label": path.parent.name,
            "split": "train",
            "device": device,
        }
        for path, patient, device in zip(paths, patients, devices, strict=True)
    )


def _values_of(paths: list[Path], what: str, text: str) -> list[str]:
    """What a pattern finds in each file name."""
    setting = f"dataset.{what}_pattern is {text!r}"
    example = f"""quoted twice on the command line: 'dataset.{what}_pattern="_(\\d+)"'"""
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise Refused(f"{setting}: {error}; expected a regular expression, {example}") from error
    if pattern.groups != 1:
        raise Refused(f"{setting}; expected exactly one (group), the {what}; {example}")
    matches = [pattern.search(path.stem) for path in paths]
    values = [(match[1] or "").strip() if match else "" for match in matches]
    unnamed = [path.name for path, value in zip(paths, values, strict=True) if not value]
    if unnamed:
        raise Refused(f"{setting}, which finds no {what} in {named(unnamed)}")
    return values
