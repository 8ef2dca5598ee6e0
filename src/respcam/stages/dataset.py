"""What a run starts from: the manifest, and what of it lies on disk."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from filelock import FileLock
from tqdm import tqdm

from respcam.data import layouts
from respcam.data import manifest as rules
from respcam.sound import synthetic as sounds
from respcam.sound.audio import MISSING, UNREADABLE, write_wav
from respcam.store.artifact import Artifact, digest_of, file_sha256, write_atomically
from respcam.store.processes import number_of
from respcam.store.tables import write_table

log = logging.getLogger(__name__)

LAYOUTS = ("manifest", "folder", "synthetic")
SYNTHETIC_SCHEMA = 2


@dataclass(frozen=True)
class DatasetSettings:
    """Where recordings come from.

    Parameters
    ----------
    name : str
    layout : str
        manifest (a CSV), folder (root/<label>/*.wav) or synthetic (made on the spot).
    root : Path, optional
        Folder that the manifest's paths are relative to.
    manifest, events : Path, optional
        CSV files of recordings and of events.
    missing : str
        error or skip: what happens to a run when recordings that the manifest lists are absent.
    labels, event_labels : list of str, optional
        Closed label sets; None admits any.
    same_patient_parts : list of str
        Parts of the published split whose patients are also in train.
    known_shared_patients : list of str
        Patients that the published split has on two sides.
    patient_pattern : str
        For a folder: regular expression whose group finds the patient in a file name.
    synthetic : Synthetic
    """

    name: str
    layout: str = "manifest"
    root: Path | None = None
    manifest: Path | None = None
    events: Path | None = None
    missing: str = "error"
    labels: list[str] | None = None
    event_labels: list[str] | None = None
    same_patient_parts: list[str] = field(default_factory=list)
    known_shared_patients: list[str] = field(default_factory=list)
    patient_pattern: str = "^([^_]+)"
    synthetic: sounds.Synthetic = field(default_factory=sounds.Synthetic)

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"dataset.layout is {self.layout!r}; expected one of {', '.join(LAYOUTS)}")
        if self.missing not in ("error", "skip"):
            raise ValueError(f"dataset.missing is {self.missing!r}; expected error or skip")


@dataclass(frozen=True)
class Source:
    """A data set with the state of its files.

    Attributes
    ----------
    name : str
    root : Path
    recordings : DataFrame
        The manifest.
    events : DataFrame or None
    same_patient_parts : list of str
    found : Series of str
        By recording_id: SHA-256 of the file, or missing, or unreadable.
    """

    name: str
    root: Path
    recordings: pd.DataFrame
    events: pd.DataFrame | None
    same_patient_parts: list[str]
    found: pd.Series

    @property
    def audio_digest(self) -> str:
        """Digest of what resampling depends on: ids, expected and found content, not labels."""
        columns = ["recording_id", "path", "sha256", "sample_rate_hz", "n_samples"]
        return digest_of([self.recordings[columns].to_csv(index=False), self.found.to_csv()])

    @property
    def label_digest(self) -> str:
        """Digest of the whole manifest and its events."""
        events = "" if self.events is None else self.events.to_csv(index=False)
        return digest_of([self.recordings.to_csv(index=False), events, self.same_patient_parts])


def open_dataset(settings: DatasetSettings, store: Path, workers: int) -> Source:
    """Read and check the manifest and look at every file it lists.

    Parameters
    ----------
    settings : DatasetSettings
    store : Path
        Where artifacts lie; keeps the checksums of files that have not changed since.
    workers : int
        Threads that read files.

    Returns
    -------
    Source

    Raises
    ------
    ValueError
        If the manifest breaks a rule, or a setting is missing.
    FileNotFoundError
        If recordings are absent and ``settings.missing`` is error; they are counted and named.
    """
    root, recordings, events, source_name = read_tables(settings, store)
    found = look_at_files(root, recordings, store, workers)
    absent = list(found.index[found == MISSING])
    if absent and settings.missing == "error":
        raise FileNotFoundError(
            f"{source_name}: {len(absent)} of {len(recordings)} recordings are not under {root}: "
            f"{rules.named(absent)}; get them, or set dataset.missing=skip "
            "(scripts/validate_manifest.py names them all)"
        )
    if absent:
        log.warning("dataset: %d of %d recordings are missing and skipped", len(absent), len(recordings))
    return Source(settings.name, root, recordings, events, settings.same_patient_parts, found)


def read_tables(settings: DatasetSettings, store: Path) -> tuple[Path, pd.DataFrame, pd.DataFrame | None, str]:
    """Read and check a data set's tables, without a look at its audio.

    Returns
    -------
    root : Path
    recordings : DataFrame
    events : DataFrame or None
    source_name : str
        What messages call the table of recordings.

    Raises
    ------
    ValueError
        If a rule is broken or a setting is missing.
    """
    if settings.layout == "synthetic":
        root = make_synthetic(settings.synthetic, store)
        table, events_file = root / "recordings.csv", root / "events.csv"
        recordings = rules.read_recordings(table, sounds.LABELS)
        events = rules.read_events(events_file, recordings, sounds.LABELS)
        source_name = table.name
    else:
        root, recordings, events, source_name = _user_tables(settings)
    rules.check_patients_apart(recordings, source_name, settings.same_patient_parts, settings.known_shared_patients)
    return root, recordings, events, source_name


def validate(settings: DatasetSettings, store: Path, workers: int) -> list[str]:
    """Name every recording that is missing, unreadable or not what the manifest says.

    Returns
    -------
    list of str
        One line each, ``path: what is wrong``; empty where all is well.
    """
    root, recordings, _, _ = read_tables(settings, store)
    found = look_at_files(root, recordings, store, workers)
    problems = []
    for name, path, expected in recordings[["recording_id", "path", "sha256"]].itertuples(index=False):
        if found[name] in (MISSING, UNREADABLE):
            problems.append(f"{path}: {found[name]}")
        elif expected and found[name] != expected:
            problems.append(f"{path}: altered (SHA-256 is {found[name][:16]}..., expected {expected[:16]}...)")
    return problems


def _user_tables(settings: DatasetSettings) -> tuple[Path, pd.DataFrame, pd.DataFrame | None, str]:
    if settings.root is None:
        raise ValueError(f"dataset.root is not set; name the folder that holds {settings.name}: dataset.root=DIR")
    if not settings.root.is_dir():
        raise FileNotFoundError(f"dataset.root is {settings.root}, which is not a folder")
    if settings.layout == "folder":
        recordings = layouts.folder(settings.root, settings.patient_pattern)
        rules.check_recordings(recordings, str(settings.root), settings.labels)
        return settings.root, recordings, None, str(settings.root)
    if settings.manifest is None:
        raise ValueError("dataset.manifest is not set; name a CSV of recordings: dataset.manifest=FILE")
    recordings = rules.read_recordings(settings.manifest, settings.labels)
    events = None
    if settings.events is not None:
        events = rules.read_events(settings.events, recordings, settings.event_labels)
    return settings.root, recordings, events, settings.manifest.name


def look_at_files(root: Path, recordings: pd.DataFrame, store: Path, workers: int) -> pd.Series:
    """Find the SHA-256 of every listed file; unchanged files (size, time of change) are not read again.

    Returns
    -------
    Series of str
        By recording_id: 64 hex digits, or missing, or unreadable.
    """
    memory = store / "checksums" / f"{digest_of(str(root.resolve()))[:16]}.json"
    memory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(memory.with_suffix(".lock")):  # jobs that start together read the files once
        return _look_at_files(root, recordings, memory, workers)


def _look_at_files(root: Path, recordings: pd.DataFrame, memory: Path, workers: int) -> pd.Series:
    known = json.loads(memory.read_text()) if memory.is_file() else {}

    def state(relative: str) -> tuple[list[int], str]:
        path = root / relative
        try:
            stat = path.stat()
            stamp = [stat.st_size, stat.st_mtime_ns]
            if relative in known and known[relative][0] == stamp:
                return stamp, known[relative][1]
            return stamp, file_sha256(path)
        except FileNotFoundError:
            return [], MISSING
        except OSError:
            return [], UNREADABLE

    paths = recordings["path"].tolist()
    with ThreadPoolExecutor(number_of(workers)) as threads:
        jobs = threads.map(state, paths)
        states = list(tqdm(jobs, total=len(paths), desc="look at files", unit="file", leave=False, delay=1))
    fresh = {path: each for path, each in zip(recordings["path"], states, strict=True) if each[0]}
    write_atomically(memory, json.dumps({**known, **fresh}))
    return pd.Series([digest for _, digest in states], index=recordings["recording_id"], name="found")


def make_synthetic(settings: sounds.Synthetic, store: Path) -> Path:
    """Make the synthetic data set, or find it made.

    Returns
    -------
    Path
        Folder with ``recordings.csv, events.csv`` and ``audio/``.
    """
    artifact = Artifact(store, "synthetic", SYNTHETIC_SCHEMA, {"synthetic": settings})
    with artifact.building() as partial:
        if partial is None:
            return artifact.folder
        (partial / "audio").mkdir(exist_ok=True)
        rows, events = [], []
        for patient in tqdm(range(settings.n_patients), desc="make sounds", unit="patient", leave=False):
            for recording in sounds.make_patient(patient, settings):
                path = partial / "audio" / f"{recording.recording_id}.wav"
                write_wav(path, recording.waveform, settings.sample_rate_hz)
                rows.append(
                    {
                        "recording_id": recording.recording_id,
                        "path": f"audio/{path.name}",
                        "sha256": file_sha256(path),
                        "sample_rate_hz": settings.sample_rate_hz,
                        "n_samples": len(recording.waveform),
                        "patient_id": recording.patient_id,
                        "label": recording.label,
                        "split": recording.split,
                        "device": recording.device,
                    }
                )
                events += [(recording.recording_id, *event) for event in recording.events]
        write_table(pd.DataFrame(rows), partial / "recordings.csv")
        write_table(pd.DataFrame(events, columns=rules.EVENT_COLUMNS), partial / "events.csv")
    return artifact.folder
