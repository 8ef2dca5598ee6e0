"""Data sets: the tables of recordings and events, and the state of every audio file that they list."""

import logging
import os
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import pandas as pd
from tqdm import tqdm

from respcam.data import manifest as rules
from respcam.data import population
from respcam.data.folder import PATIENT_PATTERN, list_folder
from respcam.data.labels import Labels
from respcam.errors import Reason, Refused
from respcam.sound import synthetic as sounds
from respcam.sound.wav import write_wav
from respcam.store.artifact import digest_of, file_sha256
from respcam.store.checksums import are_remembered, content_of_files
from respcam.store.integrity import damages
from respcam.store.stage import Stage
from respcam.store.tables import Table

log = logging.getLogger(__name__)

LAYOUTS = ("manifest", "folder", "synthetic")
ONLY_FOR = {  # settings that one layout alone reads
    "manifest": "manifest",
    "events": "manifest",
    "patient_pattern": "folder",
    "device_pattern": "folder",
    "synthetic": "synthetic",
}
FILE_COLUMNS = ["recording_id", "path", "sha256", "sample_rate_hz", "n_samples"]
ABSENT = (Reason.MISSING.value, Reason.UNREADABLE.value)


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
        Patients that the published split has in two parts.
    patient_pattern, device_pattern : str
        For a folder: regular expressions whose group finds the patient, and the device or filter, in a file name.
    licence : str
        Licence and source, for the foot of reports.
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
    patient_pattern: str = PATIENT_PATTERN
    device_pattern: str | None = None
    licence: str = ""
    synthetic: sounds.Synthetic = field(default_factory=sounds.Synthetic)

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise Refused(f"dataset.layout is {self.layout!r}; expected one of {', '.join(LAYOUTS)}")
        for name in ("root", "manifest", "events"):
            if path := getattr(self, name):
                object.__setattr__(self, name, Path(os.path.expanduser(path)))
        if self.missing not in ("error", "skip"):
            raise Refused(f"dataset.missing is {self.missing!r}; expected error or skip")
        for name, layout in ONLY_FOR.items():
            default = next(f for f in fields(self) if f.name == name)
            unset = default.default_factory() if callable(default.default_factory) else default.default
            if self.layout != layout and getattr(self, name) != unset:
                raise Refused(
                    f"dataset.{name} is set, which dataset={self.name} does not read; "
                    f"expected only with dataset.layout={layout}"
                )


@dataclass(frozen=True, eq=False)
class AudioFiles:
    """The files that a data set lists, and what lies on disk: all that resampling depends on.

    Attributes
    ----------
    root : Path
    table : DataFrame
        ``recording_id, path``, what the manifest expects (``sha256, sample_rate_hz, n_samples``, blank where it
        does not know), and ``content``: SHA-256 of the file as it is, or missing, or unreadable.
    """

    root: Path
    table: pd.DataFrame

    @cached_property
    def digest(self) -> str:
        """Digest of ids, expected and actual content; neither labels nor the place of the root."""
        return digest_of(self.table.to_csv(index=False))


@dataclass(frozen=True)
class Dataset:
    """A data set: its name, its audio files and its labels."""

    name: str
    files: AudioFiles
    labels: Labels


@dataclass(frozen=True)
class CheckedTables:
    """The tables of a data set, checked, without a look at its audio.

    Attributes
    ----------
    root : Path
    recordings : DataFrame
    events : DataFrame or None
    source : str
        What messages call the table of recordings.
    same_patient_parts : list of str
        Parts that are published as sharing their patients with train.
    """

    root: Path
    recordings: pd.DataFrame
    events: pd.DataFrame | None
    source: str
    same_patient_parts: list[str] = field(default_factory=list)

    def are_files_known(self, store: Path) -> bool:
        """Whether every listed file was read before, so that to look at it again reads no audio."""
        return are_remembered(self.root, self.recordings["path"].tolist(), store)


@dataclass(frozen=True, kw_only=True, eq=False)
class SyntheticSounds(Stage):
    """Made-up recordings with a known answer, as a data set on disk."""

    name: ClassVar[str] = "synthetic"
    schema: ClassVar[int] = 2
    made_until: ClassVar[str] = "resample"
    RECORDINGS: ClassVar[Table] = Table("recordings.csv")
    EVENTS: ClassVar[Table] = Table("events.csv")

    synthetic: sounds.Synthetic

    def write(self, folder: Path) -> None:
        """Write ``audio/``, ``recordings.csv`` and ``events.csv``."""
        (folder / "audio").mkdir(exist_ok=True)
        rows, events = [], []
        patients = range(self.synthetic.n_patients)
        for patient in tqdm(patients, desc="make sounds", unit="patient", leave=False):
            for recording in sounds.make_patient(patient, self.synthetic):
                path = folder / "audio" / f"{recording.recording_id}.wav"
                write_wav(path, recording.waveform, self.synthetic.sample_rate_hz)
                rows.append(
                    {
                        "recording_id": recording.recording_id,
                        "path": f"audio/{path.name}",
                        "sha256": file_sha256(path),
                        "sample_rate_hz": self.synthetic.sample_rate_hz,
                        "n_samples": len(recording.waveform),
                        "patient_id": recording.patient_id,
                        "label": recording.label,
                        "split": recording.split,
                        "device": recording.device,
                    }
                )
                events += [(recording.recording_id, *event) for event in recording.events]
        self.RECORDINGS.write(pd.DataFrame(rows), folder)
        self.EVENTS.write(pd.DataFrame(events, columns=rules.EVENT_COLUMNS), folder)

    def tables(self) -> CheckedTables:
        """Read and check the tables, which keep the rules of any manifest."""
        recordings = rules.read_recordings(self.folder / self.RECORDINGS.name, sounds.LABELS)
        events = rules.read_events(self.folder / self.EVENTS.name, recordings, sounds.LABELS)
        return CheckedTables(self.folder, recordings, events, self.RECORDINGS.name)


def open_dataset(
    settings: DatasetSettings, store: Path, workers: int, tables: CheckedTables | None = None
) -> Dataset:
    """Read and check the tables and look at every file that they list; make synthetic sounds first.

    Parameters
    ----------
    settings : DatasetSettings
    store : Path
        Where outputs lie; keeps the checksums of files that have not changed since.
    workers : int
        Threads that read files.
    tables : CheckedTables, optional
        Where they were read before.

    Returns
    -------
    Dataset

    Raises
    ------
    Refused
        If a table breaks a rule or a setting is missing, or recordings are absent and ``settings.missing`` is
        error; they are counted and named.
    """
    tables = tables or read_tables(settings, store)
    files = look_at_files(tables, store, workers)
    absent = files.table.loc[files.table["content"] == Reason.MISSING.value, "recording_id"].tolist()
    if len(absent) == len(tables.recordings) or (absent and settings.missing == "error"):
        raise Refused(
            f"{tables.source}: {len(absent)} of {len(tables.recordings)} recordings are not under {tables.root}: "
            f"{rules.named(absent)}; get them, or set dataset.missing=skip "
            "(respcam manifest check names them all)"
        )
    expected, content = files.table["sha256"], files.table["content"]
    if ((expected != "") & (expected != content)).all():
        raise Refused(
            f"{tables.source}: no recording under {tables.root} has the checksum of the manifest; "
            "correct the column sha256, or leave it blank"
        )
    if absent:
        log.warning("dataset: %d of %d recordings are missing and skipped", len(absent), len(tables.recordings))
    content = files.table.set_index("recording_id")["content"]
    labels = Labels(tables.recordings, tables.events, tables.same_patient_parts, content[~content.isin(ABSENT)])
    return Dataset(settings.name, files, labels)


def read_tables(settings: DatasetSettings, store: Path) -> CheckedTables:
    """Read and check a data set's tables, without a look at its audio; make synthetic sounds first.

    What a user's tables hold is logged: patients, labels, devices, and what is suspicious about them.

    Raises
    ------
    Refused
        If a rule is broken or a setting is missing.
    """
    if settings.layout == "synthetic":
        synthetic = SyntheticSounds(store=store, synthetic=settings.synthetic)
        synthetic.make()
        if damage := next(damages(synthetic.folder), None):
            synthetic.artifact.set_aside(damage)
            synthetic.make()
        tables = synthetic.tables()
    else:
        tables = _user_tables(settings)
        _announce(settings, tables.recordings)
    rules.check_patients_apart(
        tables.recordings, tables.source, settings.same_patient_parts, settings.known_shared_patients
    )
    return replace(tables, same_patient_parts=settings.same_patient_parts)


def _announce(settings: DatasetSettings, recordings: pd.DataFrame) -> None:
    for line in population.description(recordings):
        log.info("dataset: %s", line)
    for caution in population.cautions(recordings, is_by_pattern=settings.layout == "folder"):
        log.warning("dataset: %s", caution)


def validate(settings: DatasetSettings, store: Path, workers: int) -> list[str]:
    """Name every recording that is missing, unreadable or not what the manifest says.

    Returns
    -------
    list of str
        One line each, ``path: what is wrong``; empty where all is well.
    """
    files = look_at_files(read_tables(settings, store), store, workers)
    problems = []
    for path, expected, content in files.table[["path", "sha256", "content"]].itertuples(index=False):
        if content in ABSENT:
            problems.append(f"{path}: {content}")
        elif expected and content != expected:
            problems.append(f"{path}: altered (SHA-256 is {content[:16]}..., expected {expected[:16]}...)")
    return problems


def look_at_files(tables: CheckedTables, store: Path, workers: int) -> AudioFiles:
    """Find the content of every listed file; files that have not changed since are not read again."""
    table = tables.recordings[FILE_COLUMNS]
    content = content_of_files(tables.root, table["path"].tolist(), store, workers)
    return AudioFiles(tables.root, table.assign(content=content))


def _user_tables(settings: DatasetSettings) -> CheckedTables:
    if settings.root is None:
        raise Refused("dataset.root is not set; name the folder of the recordings: dataset.root=DIR")
    if not settings.root.is_dir():
        raise Refused(f"dataset.root is {settings.root}, which is not a folder")
    if settings.layout == "folder":
        recordings = list_folder(settings.root, settings.patient_pattern, settings.device_pattern).recordings
        rules.check_recordings(recordings, str(settings.root), settings.labels)
        return CheckedTables(settings.root, recordings, None, str(settings.root))
    if settings.manifest is None:
        raise Refused("dataset.manifest is not set; name a CSV of recordings: dataset.manifest=FILE")
    recordings = rules.read_recordings(settings.manifest, settings.labels, settings.root)
    events = None
    if settings.events is not None:
        events = rules.read_events(settings.events, recordings, settings.event_labels)
    return CheckedTables(settings.root, recordings, events, settings.manifest.name)
