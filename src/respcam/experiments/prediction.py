"""Prediction: scores, heat and tracks of any recordings by the model of a finished run, one row per file."""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from respcam.data.folder import AUDIO_SUFFIXES
from respcam.data.manifest import named, safe_id
from respcam.data.trained_on import RecordingFacts
from respcam.errors import Reason, Refused, Unusable
from respcam.experiments.evaluation import LabelledFiles, evaluation_of
from respcam.experiments.hot_regions import HotRegion, audacity_labels, hot_regions, raven_selections
from respcam.experiments.listener import Listener, ModelInfo
from respcam.experiments.opening import check_source, open_listener
from respcam.heat.band_heat import profile_of
from respcam.network.closeup import Closeup
from respcam.report.page import decision_words
from respcam.report.player import PlayerAxes, PlayerContent, PlayerUnit, View
from respcam.report.predict_page import NAME as PREDICT_PAGE
from respcam.report.predict_page import PredictContent, write_predict_page
from respcam.sound.audio import read_raw
from respcam.sound.usable import gone
from respcam.store.artifact import digest_of, incidental
from respcam.store.divided import Divided, Piece
from respcam.store.tables import Document, Table

log = logging.getLogger(__name__)

PREDICTIONS = Table("predictions.csv", dict.fromkeys(("path", "reason", "detail", "predicted_class"), str))
OVER_TIME, BANDS = Table("scores.csv", {"path": str}), Table("bands.csv", {"path": str, "target_class": str})
SUMMARY, EVALUATION = Document("predictions.json"), Document("evaluation.json")
COLUMNS = {
    "id": "recording",
    "true": "true class",
    "predicted": "predicted",
    "p": "probability",
    "hottest_hz": "hottest Hz",
    "hottest_s": "hottest at (s)",
    "caution": "cautions",
}


@dataclass(frozen=True, eq=False)
class AudioFolder:
    """Audio files to predict.

    Attributes
    ----------
    root : Path
    table : DataFrame
        ``path`` (relative to the root), ``n_bytes, changed_ns``.
    """

    root: Path
    table: pd.DataFrame

    @cached_property
    def digest(self) -> str:
        """Digest of names, sizes and times of change."""
        return digest_of([str(self.root.resolve()), self.table.to_csv(index=False)])


def list_audio(path: Path) -> AudioFolder:
    """List the audio files of a folder and its sub-folders, or one file.

    Raises
    ------
    Refused
        If there is no such path, or no file with an audio suffix.
    """
    if path.is_file():
        root, files = path.parent, [path]
    elif path.is_dir():
        root, every = path, sorted(file for file in path.rglob("*") if not file.is_dir())
        every = [file for file in every if not any(part[0] == "." for part in file.relative_to(root).parts)]
        files = [file for file in every if file.suffix.lower() in AUDIO_SUFFIXES]
        others = [str(file.relative_to(root)) for file in every if file not in set(files)]
        if others:
            log.info("predict: left out without an audio suffix: %s", named(others))
    else:
        raise Refused(f"{path}: no such file or folder")
    if not files:
        raise Refused(f"{path}: no file with an audio suffix such as .wav or .flac")
    rows = []
    for file in files:
        # a name that is not UTF-8 is shown with its bytes, under which no file is found
        name = os.fsencode(file.relative_to(root)).decode("utf-8", "backslashreplace")
        try:
            state = (root / name).stat()
            rows.append((name, state.st_size, state.st_mtime_ns))
        except OSError:
            rows.append((name, 0, 0))  # such a name, or a link that leads nowhere
    return AudioFolder(root, pd.DataFrame(rows, columns=["path", "n_bytes", "changed_ns"]))


@cache
def _opened(source: Path, device: str) -> Listener:
    """The model, opened once in each process."""
    return open_listener(source, device)


@lru_cache(maxsize=8)
def _heard(
    source: Path, device: str, path: Path, source_device: str, is_brief: bool
) -> tuple[Closeup, RecordingFacts]:
    """Close-up and facts of a file; those of the last files are kept for the page."""
    if path.exists() and not path.is_file():
        raise Unusable(Reason.UNREADABLE, "not a regular file")
    return _opened(source, device).examine(*read_raw(path), source_device, is_brief)


def predict_file(
    source: Path, device: str, root: Path, path: str, source_device: str, was_there: bool
) -> dict[str, Any]:
    """Predict one file: the work of a process.

    Returns
    -------
    dict
        ``path, reason, detail`` of a file that cannot be used; else what `row_of` says.

    Raises
    ------
    Refused
        If the file is gone since it was listed (`respcam.sound.usable.gone`).
    """
    model = _opened(source, device)
    try:
        return row_of(model, path, *_heard(source, device, root / path, source_device, not model.is_quick))
    except Unusable as error:
        if was_there and not os.path.lexists(root / path):
            raise gone(root / path, "no such file") from error
        return {"path": path, "reason": str(error.reason), "detail": error.detail.removeprefix(f"{root / path}: ")}
    except Refused as error:
        return {"path": path, "reason": "too_short", "detail": str(error)}
    except OSError as error:
        return {"path": path, "reason": "unreadable", "detail": str(error.strerror or error)}


def row_of(model: Listener, path: str, closeup: Closeup, facts: RecordingFacts) -> dict[str, Any]:
    """Scores, heat per band, hot regions and cautions of one recording, as plain data."""
    info = model.info
    names, target = info.class_names, _target(info, closeup)
    heat = closeup.heat[0, target]
    groups = profile_of(heat[None], info.bands, info.groups) if heat.any() else pd.DataFrame(columns=["scope"])
    groups = groups[groups["scope"] == "group"]
    rate_hz = info.front_end.frame_rate_hz
    return {
        "path": path,
        "reason": "",
        "predicted_class": names[closeup.predicted],
        "probability": [round(float(p), 7) for p in closeup.probability],
        **{name: round(value, 4) for name, value in asdict(facts).items() if name != "device"},
        "device": facts.device,
        "target_class": names[target],
        "hottest_hz": "" if groups.empty else str(groups.loc[groups["ratio"].idxmax(), "name"]),
        "hottest_s": None if groups.empty else round(int(heat.sum(axis=0).argmax()) / rate_hz, 2),
        "cautions": model.cautions(facts),
        "start_s": (closeup.start_frame / rate_hz).round(3).tolist(),
        "log_odds": closeup.log_odds.round(4).tolist(),
        "bands": groups[["name", "share", "uniform_share", "ratio"]].to_dict("records") if len(groups) else [],
        "regions": [asdict(region) for region in hot_regions(heat, info.bands, rate_hz)],
        "hot": [round(float(p), 6) for p in closeup.hot.probability],
        "rest": [round(float(p), 6) for p in closeup.rest.probability],
    }


def _target(info: ModelInfo, closeup: Closeup) -> int:
    """Class whose heat is tabulated: that of the settings of the run, else the predicted one."""
    return info.class_names.index(info.target) if info.target else closeup.predicted


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction(Divided):
    """Predictions of a model for any recordings.

    Attributes
    ----------
    source : Path
        Folder of the finished run, or exported file.
    model_digest : str
    audio : AudioFolder
    labels : LabelledFiles, optional
        Labels and patients of the files: then there are metrics.
    sound : str
        Sound in the page: flac or none.
    number : int
        Number of recordings that the page opens.
    device : str
    """

    name: ClassVar[str] = "predict"
    schema: ClassVar[int] = 2
    work = staticmethod(predict_file)

    source: Path = incidental()
    model_digest: str
    audio: AudioFolder
    labels: LabelledFiles | None = None
    sound: str = "flac"
    number: int = 24
    device: str = incidental("cpu")

    @property
    def title(self) -> str:
        """Name of the folder, without its digest."""
        return safe_id(f"{self.audio.root.resolve().name}-by-{self.source.name}")[:120]

    def pieces(self, folder: Path) -> Iterator[Piece]:
        """List the files."""
        devices = {} if self.labels is None else self.labels.devices
        for path, was_there in zip(self.audio.table["path"], self.audio.table["changed_ns"] > 0, strict=True):
            work = (self.source, self.device, self.audio.root, path, devices.get(path, ""), was_there)
            yield Piece(path, 1, work)

    def finish(self, folder: Path, outcomes: list[dict[str, Any]]) -> None:
        """Write tables, JSON, tracks and the page."""
        model = _opened(self.source, self.device)
        info, names = model.info, model.info.class_names
        order = {path: number for number, path in enumerate(self.audio.table["path"])}
        rows = sorted(outcomes, key=lambda row: order[row["path"]])
        good = [row for row in rows if not row["reason"]]
        truth = {} if self.labels is None else self.labels.classes(info)
        PREDICTIONS.write(_table(rows, names, truth), folder)
        _write_over_time(good, names, folder)
        _write_tracks(good, folder)
        evaluation = None
        if self.labels is not None:
            evaluation = evaluation_of(info, self.labels, good)
            EVALUATION.write(evaluation, folder)
        standing = [asdict(row) for row in info.standings]
        SUMMARY.write({"run": info.name, "model": standing, "classes": names, "files": rows}, folder)
        content = PredictContent(
            run=info.name,
            description=info.description,
            standings=[row.sentence for row in info.standings],
            supported=[row.is_supported for row in info.standings],
            decision=decision_words(names, info.decision),
            rows=rows,
            evaluation=evaluation,
            player=self._player(model, rows, truth),
        )
        write_predict_page(content, folder)

    def _player(self, model: Listener, rows: list[dict[str, Any]], truth: Mapping[str, str]) -> PlayerContent:
        opened, names = set(_chosen(rows, truth, self.number)), model.info.class_names
        units = []
        for row in rows:
            views: tuple[View, ...] = ()
            if row["path"] in opened:
                closeup, _ = _heard(self.source, self.device, self.audio.root / row["path"], row["device"], False)
                first = (names.index(truth[row["path"]]),) if row["path"] in truth else ()
                views = (View(title="", closeup=closeup, first_classes=first),)
            if not row["reason"]:
                units.append(unit_of(row, names, truth.get(row["path"]), views))
        columns = {name: title for name, title in COLUMNS.items() if name != "true" or truth}
        return PlayerContent(axes=axes_of(model.info), columns=columns, units=units, has_sound=self.sound != "none")

    def rows(self) -> pd.DataFrame:
        """A row per file: ``path, reason, detail, predicted_class, p_<class>, ...``."""
        return PREDICTIONS.read(self.folder)

    @property
    def page(self) -> Path:
        """The page of the finished prediction."""
        return self.folder / PREDICT_PAGE


def axes_of(info: ModelInfo) -> PlayerAxes:
    """What all recordings of a model have in common in a player."""
    return PlayerAxes.of(info.class_names, info.methods, info.bands, info.front_end, info.patches.length_frames)


def unit_of(row: Mapping[str, Any], names: list[str], true_class: str | None, views: tuple[View, ...]) -> PlayerUnit:
    """A predicted file in a player."""
    cells = {
        "id": row["path"],
        "true": true_class or "",
        "predicted": row["predicted_class"],
        "p": round(row["probability"][names.index(row["predicted_class"])], 4),
        "hottest_hz": row["hottest_hz"],
        "hottest_s": row["hottest_s"],
        "caution": len(row["cautions"]),
    }
    is_mistake = None if true_class is None else true_class != row["predicted_class"]
    return PlayerUnit(cells=cells, is_mistake=is_mistake, views=views, cautions=list(row["cautions"].values()))


def _chosen(rows: list[dict[str, Any]], truth: Mapping[str, str], number: int) -> list[str]:
    """Files that the page opens: mistakes first, then by class the surest and the most uncertain in turn."""
    good = [row for row in rows if not row["reason"]]
    sure = {row["path"]: max(row["probability"]) for row in good}
    mistakes = [
        row["path"] for row in good if truth.get(row["path"], row["predicted_class"]) != row["predicted_class"]
    ]
    queues = [sorted(mistakes, key=lambda path: -sure[path])]
    for name in sorted({row["predicted_class"] for row in good}):
        by_sureness = sorted((r["path"] for r in good if r["predicted_class"] == name), key=lambda path: -sure[path])
        queues += [by_sureness, by_sureness[::-1]]
    chosen: dict[str, None] = {}
    for place in range(len(good)):
        for queue in queues:
            if place < len(queue) and len(chosen) < number:
                chosen[queue[place]] = None
    return list(chosen)


def _table(rows: list[dict[str, Any]], names: list[str], truth: Mapping[str, str]) -> pd.DataFrame:
    facts = ("duration_s", "source_rate_hz", "level_db", "blank", "target_class", "hottest_hz", "hottest_s")
    table = []
    for row in rows:
        cells = {"path": row["path"], "reason": row["reason"], "detail": row.get("detail", "")}
        cells |= {"true_class": truth[row["path"]]} if row["path"] in truth else {}
        cells["predicted_class"] = row.get("predicted_class", "")
        cells |= {f"p_{name}": p for name, p in zip(names, row.get("probability", []), strict=False)}
        cells |= {name: row.get(name) for name in facts}
        cells["cautions"] = "; ".join(row.get("cautions", {}).values())
        table.append(cells)
    columns = ["path", "reason", "detail", *(["true_class"] if truth else []), "predicted_class"]
    columns += [*(f"p_{name}" for name in names), *facts, "cautions"]
    return pd.DataFrame(table, columns=columns)


def _write_over_time(rows: list[dict[str, Any]], names: list[str], folder: Path) -> None:
    """Write ``scores.csv`` (log-odds of each patch) and ``bands.csv`` (heat per group of Hz)."""
    scores = [
        {"path": row["path"], "start_s": start_s, **{f"log_odds_{n}": v for n, v in zip(names, odds, strict=True)}}
        for row in rows
        for start_s, odds in zip(row["start_s"], row["log_odds"], strict=True)
    ]
    bands = [{"path": row["path"], "target_class": row["target_class"], **of} for row in rows for of in row["bands"]]
    OVER_TIME.write(pd.DataFrame(scores, columns=["path", "start_s", *(f"log_odds_{n}" for n in names)]), folder)
    columns = ["path", "target_class", "name", "share", "uniform_share", "ratio"]
    BANDS.write(pd.DataFrame(bands, columns=columns), folder)


def _write_tracks(rows: list[dict[str, Any]], folder: Path) -> None:
    """Write a label track for Audacity and a selection table for Raven of every file."""
    for name in ("audacity", "raven"):
        (folder / name).mkdir(exist_ok=True)
    for number, row in enumerate(rows):
        stem = f"{number:05d}_{safe_id(row['path'])[-100:]}"
        regions = [HotRegion(**region) for region in row["regions"]]
        track, table = (write(regions, row["target_class"]) for write in (audacity_labels, raven_selections))
        (folder / "audacity" / f"{stem}.txt").write_text(track, encoding="utf-8")
        (folder / "raven" / f"{stem}.selections.txt").write_text(table, encoding="utf-8")


def prediction_of(source: Path, path: Path, out: Path, labels: Path | None = None, **settings: Any) -> Prediction:
    """Prepare a prediction; nothing is computed.

    Parameters
    ----------
    source : Path
        Folder of a finished run, or exported file.
    path : Path
        Audio file, or folder of audio files.
    out : Path
        Folder of all predictions.
    labels : Path, optional
        CSV with ``path, label`` and, if known, ``patient_id, device``.
    **settings
        ``sound, number, device, workers`` of the `Prediction`.

    Raises
    ------
    Refused
        If the run is not finished, the path has no audio, or the labels break a rule.
    """
    digest, audio = check_source(source), list_audio(path)
    listed = None
    if labels is not None:
        listed = LabelledFiles.read(labels, audio.root, list(audio.table["path"]))
        listed.classes(open_listener(source).info)
    return Prediction(store=out, source=source, model_digest=digest, audio=audio, labels=listed, **settings)
