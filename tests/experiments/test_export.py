import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from stages.small_runs import short_settings_in

from respcam.errors import Refused
from respcam.experiments.export import MODEL, deviation, export_run
from respcam.experiments.listener import ModelInfo
from respcam.experiments.onnx_model import OnnxModel
from respcam.experiments.opened_run import open_run
from respcam.experiments.opening import open_listener
from respcam.experiments.prediction import prediction_of
from respcam.heat.bands import BandSelection
from respcam.sound.audio import read_raw
from respcam.stages.explain import ExplainSettings
from respcam.stages.run import Run

pytest.importorskip("onnxruntime")
DATA = Path(os.environ.get("RESPCAM_DATA", "/nonexistent"))


@pytest.fixture(scope="module")
def exported(finished, made_once):
    """The finished run as one file."""
    return made_once("export", lambda folder: export_run(finished[1], folder)) / MODEL


def sources(finished):
    return sorted(finished[0].glob("store/synthetic/*/audio/*.wav"))


def check(run, path, waveforms):
    model = OnnxModel.open(path)
    for waveform in waveforms:
        expected, closeup = run.closeup(waveform), model.closeup(waveform)
        difference = deviation(expected, closeup)
        assert difference.score < 1e-4
        assert difference.profile < 1e-3
        np.testing.assert_array_equal(closeup.start_frame, expected.start_frame)
        np.testing.assert_allclose(closeup.log_mel, expected.log_mel, atol=2e-3)
        np.testing.assert_allclose(closeup.log_odds, expected.log_odds, atol=1e-3)
        np.testing.assert_allclose(closeup.hot.probability, expected.hot.probability, atol=1e-2)
    return model


def test_the_file_equals_the_pipeline(finished, exported):
    run = open_run(finished[1])
    waveforms = [run.prepared(*read_raw(path)) for path in sources(finished)[:6]]
    noise = 0.1 * np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    lengths = (400, 7000, 15_599, 15_600, 15_760, 23_280, 200_000)
    check(run, exported, [*waveforms, *(noise[:n] for n in lengths)])


@pytest.mark.parametrize(
    "changes",
    [
        {"bands": BandSelection("masked", [[0, 1500]], how="mask"), "pooling": "logsumexp", "pad": "floor"},
        {"bands": BandSelection("below", [[0, 1200]]), "pooling": "max",
         "explain": ExplainSettings(method="layer_cam", layers=["blocks.1", "blocks.3"])},
    ],
    ids=["masked", "cropped"],
)  # fmt: skip
def test_other_bands_poolings_and_methods(brief, tmp_path, changes):
    pooling, pad = changes.pop("pooling"), changes.pop("pad", "repeat")
    settings = short_settings_in(brief, **changes)
    recipe = settings.recipe
    recipe = replace(
        recipe, training=replace(recipe.training, pooling=pooling), patches=replace(recipe.patches, pad=pad)
    )
    folder = Run.of(replace(settings, recipe=recipe)).make().parent
    run = open_run(folder)
    noise = 0.1 * np.random.default_rng(0).standard_normal(40_000).astype(np.float32)
    check(run, export_run(folder, tmp_path), [noise, noise[:9000]])


def test_one_file_is_enough_and_needs_no_torch(finished, exported, tmp_path):
    shutil.copy(exported, tmp_path / "alone.onnx")
    sound = sources(finished)[0]
    script = (
        "import sys\n"
        "sys.modules['torch'] = None\n"  # an import of it fails
        "sys.argv = ['respcam', 'predict', '--onnx', 'alone.onnx', sys.argv[1]]\n"
        "from respcam.cli.main import main\n"
        "main()\n"
        "assert not {'sklearn', 'matplotlib', 'onnx'} & set(sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(sound)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    folder = tmp_path / Path(result.stdout.strip()).parent
    rows = pd.read_csv(folder / "predictions.csv")
    expected = open_run(finished[1]).probability(sound)
    assert rows["p_adventitious"].iloc[0] == pytest.approx(expected["adventitious"], abs=1e-4)
    assert (folder / "predict.html").stat().st_size > 100_000


def test_both_ways_predict_the_same_folder_alike(finished, exported, tmp_path):
    (tmp_path / "sounds").mkdir()
    for path in sources(finished)[:3]:
        shutil.copy(path, tmp_path / "sounds")
    tables = []
    for source in (finished[1], exported):
        prediction = prediction_of(source, tmp_path / "sounds", tmp_path / "out", sound="none")
        prediction.make()
        tables.append(pd.read_csv(prediction.folder / "predictions.csv"))
    pd.testing.assert_frame_equal(*tables, atol=1e-4)


def test_what_is_known_of_the_model_stands_in_the_file(finished, exported):
    info, expected = open_listener(exported).info, open_run(finished[1]).info
    assert info.plain == json.loads(json.dumps(expected.plain))
    assert isinstance(info, ModelInfo)


def test_the_card_has_what_the_run_knows(finished, exported):
    card = (exported.parent / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    metrics = json.loads((finished[1] / "metrics.json").read_text())["test"]
    assert head["model-index"][0]["results"][0]["metrics"][0]["value"] == round(metrics["auroc"]["value"], 4)
    for words in ("Not a medical device", "May its heat be believed?", f"{metrics['auroc']['value']:.3f}", "8000"):
        assert words in card


def test_what_cannot_be_exported_is_refused(brief, tmp_path):
    settings = short_settings_in(brief, explain=ExplainSettings(level="patch"))
    folder = Run.of(settings).make().parent
    with pytest.raises(
        Refused, match="explains single patches \\(explain.level=patch\\); expected explain.level=recording"
    ):
        export_run(folder, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("content", "words"), [(b"", "not an ONNX model"), (b"PK\x03\x04", "not an ONNX model")])
def test_a_file_that_is_no_model_is_refused(tmp_path, content, words):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(Refused, match=words):
        open_listener(tmp_path / "model.onnx")


def test_a_model_of_somebody_else_is_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [out])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "m.onnx"
    )
    with pytest.raises(Refused, match="not a model of respcam"):
        open_listener(tmp_path / "m.onnx")


@pytest.mark.skipif(not DATA.is_dir(), reason="RESPCAM_DATA is not set")
def test_fifty_real_recordings(finished, exported):
    run = open_run(finished[1])
    paths = sorted((DATA / "sprsound2022").rglob("*.wav"))[::40][:50]
    assert len(paths) == 50
    check(run, exported, [run.prepared(*read_raw(path)) for path in paths])


def test_the_command_says_what_is_missing(command):
    result = command("export", "no-such-run")
    assert result.returncode == 1
    assert "not a finished run" in result.stderr
    result = command("predict", "--onnx", "absent.onnx", "sound.wav")
    assert "absent.onnx: no such file; respcam export writes one" in result.stderr
