"""Made-up tables of one run: two classes, a validation and a test part, ten bands, two groups of Hz."""

from dataclasses import replace

import numpy as np
import pandas as pd

from respcam.data.patches import PatchSettings
from respcam.data.splits import SplitSettings
from respcam.data.tasks import Task
from respcam.heat.bands import BandSelection, HzGroups
from respcam.metrics import METRICS
from respcam.network.closeup import Closeup, HeardPart
from respcam.network.model import ModelSettings
from respcam.network.readout import Readout
from respcam.network.training import Training
from respcam.report.player import PlayerAxes
from respcam.report.recordings import SUREST, ExampleCloseup, RecordingTables
from respcam.report.run_page import PrintedSettings, RunContent, RunHeat, RunTables
from respcam.report.trust_section import TrustTables
from respcam.sound.audio import AudioSettings
from respcam.sound.front_end import FrontEnd

CLASSES = ["normal", "wheeze"]
HZ = ["100-1000", "1000-2000"]
STAGES = ["blocks.0", "blocks.1"]
FUSED = "blocks.0+blocks.1"
NOTE = "patient p1 also in train"


def interval(value):
    ends = {"value": value, "low": None, "high": None}
    return ends if value is None else {"value": value, "low": value - 0.05, "high": value + 0.05}


def spread(name, value):
    return {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}


def metrics_of(auroc, note=None):
    return {
        "note": note,
        "n_units": 4,
        "n_recordings": 4,
        "n_patients": 2,
        "confusion": {"classes": CLASSES, "true_by_predicted": [[2, 0], [1, 1]]},
        **dict.fromkeys(METRICS, interval(0.5)),
        "auroc": interval(auroc),
        "calibration_error": interval(0.12),
    }


def tables(note=None, auroc=0.812, n_bins=2):
    units = pd.DataFrame(
        {
            "part": ["train"] * 2 + ["validation"] * 4 + ["test"] * 4 + [""],
            "unit_id": [f"u{number}" for number in range(11)],
            "recording_id": [f"u{number}" for number in range(11)],
            "patient_id": [f"p{number // 2}" for number in range(11)],
            "target": [0, 1] * 5 + [0],
            "first_frame": 0,
            "n_frames": 20,
        }
    )
    names = np.array(CLASSES)
    predictions = units[units["part"].isin(["validation", "test"])].copy()
    predictions["true_class"] = names[predictions["target"]]
    predictions["predicted_class"] = ["normal", "wheeze", "normal", "normal"] * 2
    predictions["p_normal"] = [0.9, 0.3, 0.8, 0.6] * 2
    predictions["p_wheeze"] = 1 - predictions["p_normal"]
    edges_hz = np.linspace(100, 2000, 12)
    return RunTables(
        metrics={"validation": metrics_of(0.9), "test": metrics_of(auroc, note)},
        history=pd.DataFrame(
            {"epoch": [1, 2], "train_loss": [0.7, 0.6], "validation_loss": [0.7, 0.65],
             "validation_auroc": [0.6, 0.7], "is_best": [False, True]}
        ),
        predictions=predictions,
        units=units,
        class_names=CLASSES,
        readout=Readout("logsumexp", 1.25, (0.5, -0.5), (0.5, 1.0)),
        remarks=["2 recordings have no label"],
        rejected=pd.DataFrame([("r9", "too_long", "3 h")], columns=["recording_id", "reason", "detail"]),
        bands=pd.DataFrame(
            {"band": range(10), "lower_hz": edges_hz[:-2], "centre_hz": edges_hz[1:-1], "upper_hz": edges_hz[2:],
             "n_bins": [n_bins] + [3] * 9}
        ),
    )  # fmt: skip


def heat(bands, n_fed=10, target="true"):
    rows = []
    for name in CLASSES:
        row = {"part": "test", "target_class": name, "share": 0.5, "uniform_share": 0.25}
        for band in bands.head(n_fed).itertuples():
            hz = {"lower_hz": band.lower_hz, "centre_hz": band.centre_hz, "upper_hz": band.upper_hz}
            rows.append({**row, "scope": "band", "name": str(band.band), **hz, "n_bands": 1, **spread("ratio", 1.5)})
        for hz, low_hz, high_hz, ratio in ((HZ[0], 100, 1000, 2.25), (HZ[1], 1000, 2000, 0.5)):
            edges = {"lower_hz": low_hz, "centre_hz": (low_hz + high_hz) / 2, "upper_hz": high_hz}
            rows.append({**row, "scope": "group", "name": hz, **edges, "n_bands": 5, **spread("ratio", ratio)})
        if n_fed == len(bands):
            edges = {"lower_hz": 1500, "centre_hz": 1750, "upper_hz": 2000}
            rows.append(
                {**row, "scope": "above_mark", "name": "above 1500", **edges, "n_bands": 3, **spread("ratio", 2)}
            )
    counts = {"n_patches": 4, "n_zero_maps": 1, "n_patients": 2}
    return RunHeat(
        band_heat=pd.DataFrame(rows),
        band_heat_beside=pd.DataFrame(rows),
        summary={
            "level": "recording", "method": "hires_cam", "layers": STAGES, "score": "log_odds",
            "beside": {"method": "grad_cam", "layers": STAGES[-1:], "score": "class_score"}, "target": target, "n_bands": n_fed, "n_frames": 20,
            "map_rows": 5, "map_columns": 4, "hz_groups": {"edges_hz": [100, 1000, 2000], "mark_hz": 1500},
            "classes": [{"part": "test", "target_class": name, **counts} for name in CLASSES],
        },
    )  # fmt: skip


def method_row(method, layers, outcome, objections="", score="log_odds"):
    row = {"part": "test", "method": method, "layers": layers, "score": score, "class": "wheeze"}
    row |= {"densest_hz": HZ[0], "costliest_hz": HZ[0], "outcome": outcome, "random_answer": 0.2}
    for name in ("agreement", "densest_drop", "costliest_drop"):
        row |= spread(name, 0.6)
    for name in ("border", "blank", "padding"):
        row |= {name: 0.25, f"{name}_uniform": 0.1}
    return {**row, "random_agreement": -0.1234, "control_agreement": np.nan, "objections": objections}


def trust(has_events=True):
    verdict = {
        "method": "hires_cam", "layers": STAGES, "score": "log_odds",
        "is_supported": True, "outcome": "supported", "words": "Supported: HiResCAM agrees with occlusion.",
        "classes": [
            {"class": "wheeze", "outcome": "supported", "words": "Supported: HiResCAM agrees with occlusion."},
            {"class": "normal", "outcome": "undecided", "words": "Undecided: heat for normal."},
        ],
        "beside": {"classes": [{"class": "wheeze", "outcome": "undecided", "words": "Undecided: Grad-CAM."}]},
        "top": {"occlusion": HZ[0], "heat": HZ[0]}, "drop": 1.0, "alpha": 0.0125, "looks": [32, 64], "n_units": 100,
        "n_looked": 64, "n_patients": 2, "warnings": ["metadata alone tells the classes apart"],
    }  # fmt: skip
    baseline = method_row("loudest_band", "", np.nan, score=np.nan) | {"random_agreement": np.nan, "border": np.nan}
    profiles = [
        {
            "part": "test",
            "method": method,
            "layers": layers,
            "score": score,
            "class": "wheeze",
            "hz": hz,
            "share": 0.5,
            "ratio": 1.0,
        }
        for method, layers, score in (
            ("hires_cam", FUSED, "log_odds"),
            ("grad_cam", "blocks.1", "class_score"),
            ("loudest_band", "", ""),
        )
        for hz in HZ
    ]
    profiles += [
        {
            "part": "test",
            "method": "occlusion",
            "layers": "",
            "score": "",
            "class": "wheeze",
            "fill": fill,
            "hz": hz,
            **spread("drop", 0.3),
        }
        for fill in ("median", "mean", "floor", "other")
        for hz in HZ
    ]
    events = [
        {"part": "test", "method": method, "layers": layers, "score": score, "weights": weights, "n_recordings": 3,
         **spread("pointing", pointing), **spread("inside", 0.4), "covered": 0.3, **spread("gain", 0.1),
         **spread("pointing_lead", 0.0), **spread("inside_lead", 0.0)}
        for method, layers, score, weights, pointing in (
            ("hires_cam", FUSED, "log_odds", "trained", 0.777), ("hires_cam", FUSED, "log_odds", "random", 0.111),
            ("loudest_moment", "", "", "trained", 0.555),
        )
    ]  # fmt: skip
    auroc = spread("auroc", 0.55)
    alone = {"part": "test", "fields": "device, level", **auroc}
    stratum = {"part": "test", "field": "device", "value": "Meditron", "n_units": 4, "n_patients": 2,
               "classes": "2 normal, 2 wheeze", **auroc, "densest_hz": np.nan}  # fmt: skip
    columns = list(events[0])
    return TrustTables(
        summary={
            "method": "hires_cam", "layers": STAGES, "score": "log_odds", "parts": {"test": verdict},
            "beside": {"method": "grad_cam", "layers": STAGES[-1:], "score": "class_score"},
            "cutoff": {"cutoff_hz": 1000.0, "margin": 0.05, "fill": "mean", "n_units": 16, "n_patients": 4},
            "fields": [
                {"layer": layer, "rows": 5, "columns": 4, "reach_bands": 7, "reach_frames": 9, "seen_bands": 3,
                 "seen_frames": 5, "first_band": 2, "last_band": 4}
                for layer in STAGES
            ],
            "settings": {"limits": {"min_agreement": 0.5, "min_effect": 0.5, "margin": 0.05}},
        },
        tables={
            "occlusion": pd.DataFrame(
                [
                    {"part": "test", "fill": fill, "kind": kind, "hz": hz, "cutoff_hz": 1000.0, "of": of,
                     **spread("drop", 0.1)}
                    for fill in ("mean", "floor", "other")
                    for kind in ("single", "low_pass", "high_pass")
                    for hz in HZ
                    for of in ("auroc", "wheeze")
                ]
            ),
            "methods": pd.DataFrame(
                [
                    method_row("hires_cam", FUSED, "supported"),
                    method_row("grad_cam", "blocks.1", "not_supported", "disagrees with occlusion", "class_score"),
                    method_row("layer_cam", FUSED, "undecided", "occlusion is too uncertain"),
                    method_row("xgrad_cam", "blocks.0", "not_supported", "its hottest group carries little"),
                    baseline,
                ]
            ),
            "profiles": pd.DataFrame(profiles),
            "localisation": pd.DataFrame(events if has_events else [], columns=columns),
            "metadata": pd.DataFrame([alone]),
            "strata": pd.DataFrame([stratum]),
            "blank": pd.DataFrame(
                [{"part": "test", "class": name, "hz": hz, "blank": 0.25} for name in CLASSES for hz in HZ]
            ),
        },
    )  # fmt: skip


EVIL = [
    "<script>window.isAttacked = true</script>",
    "<img src=x onerror='window.isAttacked = true'>",
    "quotes \" and ' and `backticks`",
    "commas, semicolons; $\\frac{1}{0}$ and $x",
    "../../etc/passwd",
    "\u202egnp.txt \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\U0001fac1 \u00e9\u00df\u6f22\u5b57",
    "a" * 200,
]


def player_axes(n_bands=10, class_names=CLASSES):
    edges_hz = np.linspace(100, 2000, n_bands + 2)
    return PlayerAxes(
        class_names=class_names,
        methods=["HiResCAM", "Grad-CAM"],
        bands=pd.DataFrame({"lower_hz": edges_hz[:-2], "centre_hz": edges_hz[1:-1], "upper_hz": edges_hz[2:]}),
        frame_rate_hz=100.0,
        sample_rate_hz=16_000.0,
        window_s=0.025,
        patch_s=0.96,
    )


def closeup(heat=1.0, n_bands=10, n_classes=2, n_frames=200):
    """A close-up of noise."""
    rng = np.random.default_rng(0)
    waveform = 0.1 * rng.standard_normal(240 + 160 * n_frames).astype(np.float32)
    probability = np.full(n_classes, 1 / n_classes, np.float32)
    part = HeardPart(waveform, probability)
    return Closeup(
        waveform=waveform,
        log_mel=rng.random((n_bands, n_frames), dtype=np.float32),
        probability=probability,
        predicted=0,
        start_frame=np.array([0, 48, 96, 104]),
        log_odds=rng.standard_normal((4, n_classes)).astype(np.float32),
        heat=heat * rng.random((2, n_classes, n_bands, n_frames), dtype=np.float32),
        hot=part,
        rest=part,
    )


def recordings(run_tables, n_fed=10, has_sound=True):
    """Tested units of the tables, the first two of which can be opened."""
    predictions = run_tables.predictions[run_tables.predictions["part"] == "test"]
    return RecordingTables(
        predictions=predictions,
        unit_heat=predictions[["part", "unit_id"]].assign(hottest_hz=HZ[0], hottest_s=0.5),
        units=run_tables.units,
        events=None,
        examples=[
            ExampleCloseup(unit_id=unit_id, kind=kind, class_name="a", closeup=closeup(n_bands=n_fed))
            for unit_id, kind in zip(predictions["unit_id"], SUREST, strict=False)
        ],
        axes=player_axes(n_fed, run_tables.class_names),
        unit="recording",
        has_sound=has_sound,
    )


def content(note=None, auroc=0.812, n_bins=2, target="true", selection=None, has_events=True):
    run_tables = tables(note, auroc, n_bins)
    selection = selection or BandSelection()
    return RunContent(
        name="sprsound-seed7",
        description={"dataset": "sprsound", "fold": None, "seed": 7, "licence": "made up"},
        settings=PrintedSettings(
            audio=AudioSettings(gain="rms"),
            front_end=FrontEnd(n_bands=10),
            task=Task("adventitious", classes={name: [name] for name in CLASSES}, normal="normal"),
            split=SplitSettings(),
            patches=PatchSettings(),
            bands=selection,
            model=ModelSettings(),
            training=Training(pooling="logsumexp"),
            hz_groups=HzGroups([100, 1000, 2000]),
        ),
        tables=run_tables,
        heat=heat(run_tables.bands, 10 if selection.keep_hz is None else 7, target),
        trust=trust(has_events),
        recordings=recordings(run_tables, 10 if selection.keep_hz is None else 7),
        provenance={"run": "abc123", "train": "def456"},
    )


def content_of_evil():
    """A page in which every name is an attack."""
    base = content()
    names = EVIL[:2]
    renamed = dict(zip(CLASSES, names, strict=True))
    predictions = base.tables.predictions.rename(columns={f"p_{old}": f"p_{new}" for old, new in renamed.items()})
    predictions = predictions.assign(
        true_class=predictions["true_class"].map(renamed),
        predicted_class=predictions["predicted_class"].map(renamed),
        device=[*EVIL[:8]],
        patient_id=[*EVIL[:8]],
    )
    units = base.tables.units
    ids = dict(zip(predictions["unit_id"], EVIL[:4] + EVIL[4:8], strict=True))
    predictions, units = (
        table.assign(unit_id=table["unit_id"].map(lambda name: ids.get(name, name))) for table in (predictions, units)
    )
    metrics = {
        part: {**values, "confusion": {**values["confusion"], "classes": names}}
        for part, values in base.tables.metrics.items()
    }
    tables = replace(
        base.tables, predictions=predictions, units=units, class_names=names, metrics=metrics, remarks=EVIL,
        rejected=pd.DataFrame([(name, "too_long", name) for name in EVIL], columns=["recording_id", "reason", "detail"]),
    )  # fmt: skip
    band_heat = base.heat.band_heat.assign(target_class=base.heat.band_heat["target_class"].map(renamed))
    summary = {
        **base.heat.summary,
        "classes": [{**row, "target_class": renamed[row["target_class"]]} for row in base.heat.summary["classes"]],
    }
    listed = recordings(tables)
    return replace(
        base,
        description={**base.description, "dataset": EVIL[0], "licence": EVIL[1]},
        tables=tables,
        heat=replace(base.heat, band_heat=band_heat, band_heat_beside=band_heat, summary=summary),
        recordings=replace(
            listed,
            events=pd.DataFrame({"recording_id": "u6", "start_s": 0.1, "end_s": 0.9, "label": EVIL}),
        ),
        provenance=dict(zip(EVIL, EVIL, strict=True)),
    )
