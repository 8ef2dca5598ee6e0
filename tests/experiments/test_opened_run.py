import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from stages.small_runs import short_settings_in

from respcam.data import run_folder
from respcam.data.patches import PatchSettings
from respcam.errors import Refused
from respcam.experiments.opened_run import open_run
from respcam.heat.bands import BandSelection
from respcam.network.model import ModelSettings
from respcam.stages.explain import ExplainSettings
from respcam.stages.run import Run

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.first, self.head = nn.Conv2d(1, 4, 3, stride=2), nn.Linear(4, n_classes)

    def block_names(self):
        return ["first"]

    def forward(self, patches):
        return self.head(self.first(patches).relu().mean(dim=(2, 3)))
"""


def run_of(brief, pooling="mean", **changes):
    """A run like the finished one, but for some changes."""
    settings = short_settings_in(brief, **changes)
    training = replace(settings.recipe.training, pooling=pooling)
    return Run.of(replace(settings, recipe=replace(settings.recipe, training=training)))


def sources_of(run):
    """File of each recording of the data set."""
    files = run.stages["resample"].files
    return {row.recording_id: files.root / row.path for row in files.table.itertuples()}


def check_predictions(folder, sources, most=6):
    """Probabilities of test recordings, from the files as they are, are those of predictions.csv."""
    opened = open_run(folder)
    predictions = pd.read_csv(folder / "predictions.csv", dtype={"recording_id": str})
    rows = predictions[predictions["part"] == "test"].head(most)
    assert len(rows) >= 3
    for row in rows.to_dict("records"):
        for name, probability in opened.probability(sources[row["recording_id"]]).items():
            assert probability == pytest.approx(row[f"p_{name}"], abs=1e-5)
    assert rows["p_normal"].nunique() > 1
    return opened


def check_heat(opened, stages, sources):
    """Heat of one test recording is that of the explain stage, at the resolution of the input."""
    index, per_band = stages["explain"].index(), stages["explain"].per_band()
    name = index["recording_id"].iloc[-1]
    rows = index[index["recording_id"] == name]
    explanation = opened.explain(sources[name], target=rows["target_class"].iloc[0])
    np.testing.assert_allclose(explanation.heat.sum(axis=2), per_band[rows.index], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(explanation.start_s, rows["start_frame"] / 100)
    share = explanation.profile.loc[explanation.profile["scope"] == "band", "share"]
    of_recording = per_band[rows.index].sum(axis=0)
    np.testing.assert_allclose(share, of_recording / of_recording.sum(), rtol=1e-3, atol=1e-6)
    return explanation


def test_a_finished_run_repeats_its_predictions_and_its_heat(finished, stages):
    sources = {row.recording_id: stages["resample"].files.root / row.path
               for row in stages["resample"].files.table.itertuples()}  # fmt: skip
    opened = check_predictions(finished[1], sources)
    explanation = check_heat(opened, stages, sources)
    assert explanation.log_mel.shape[0] == explanation.heat.shape[1] == len(opened.bands) == 64
    assert len(explanation.waveform) == 64_000
    assert sum(explanation.probability.values()) == pytest.approx(1)
    assert "ratio_low" not in explanation.profile
    groups = explanation.profile[explanation.profile["scope"] == "group"]
    assert groups["name"].tolist() == opened.groups.names


@pytest.mark.parametrize(
    "changes",
    [
        {"bands": BandSelection("masked", [[0, 1500]], how="mask"), "pooling": "logsumexp"},
        {"bands": BandSelection("scattered", [[0, 1500]], choose="random", spread_hz=[100, 1800]), "pooling": "max"},
        {"bands": BandSelection("guided", [[0, 1500]], choose="lowest_heat"),
         "patches": PatchSettings(length_frames=64, hop_frames=20),
         "explain": ExplainSettings(method="grad_cam", layers=["blocks.3"], level="patch", hop_frames=30)},
    ],
    ids=["masked", "cropped", "guided"],
)  # fmt: skip
def test_runs_on_other_bands_repeat_theirs(brief, changes):
    run = run_of(brief, **changes)
    folder = run.make().parent
    sources = sources_of(run)
    opened = check_predictions(folder, sources, most=4)
    explanation = check_heat(opened, run.stages, sources)
    n_fed = 64 if opened.pipeline.bands.how == "mask" else len(opened.pipeline.kept_bands)
    assert explanation.heat.shape[1] == len(opened.pipeline.fed_bands) == n_fed
    assert len(opened.pipeline.kept_bands) < 64


def test_a_run_folder_is_enough(finished, stages, tmp_path):
    path = next(finished[0].glob("**/*.wav"))
    expected = open_run(finished[1]).probability(path)
    shutil.copytree(finished[1], tmp_path / "moved")
    assert open_run(str(tmp_path / "moved")).probability(str(path)) == expected


def test_any_format_rate_and_number_of_channels_will_do(finished, tmp_path):
    rng = np.random.default_rng(0)
    sf.write(tmp_path / "breath.flac", 0.1 * rng.standard_normal((22_050, 2)), 11_025)
    explanation = open_run(finished[1]).explain(tmp_path / "breath.flac")
    assert len(explanation.waveform) == 32_000
    assert explanation.target == max(explanation.probability, key=explanation.probability.get)
    # levels as the run has them: an RMS of -20 dB re full scale
    assert np.sqrt(np.mean(explanation.waveform**2)) == pytest.approx(0.1, rel=1e-4)


def test_the_target_is_the_one_that_is_named(finished, tmp_path):
    path = next(finished[0].glob("**/*.wav"))
    opened = open_run(finished[1])
    of_class = {name: opened.explain(path, name) for name in ("normal", "adventitious")}
    assert {name: explanation.target for name, explanation in of_class.items()} == {name: name for name in of_class}
    assert not np.allclose(of_class["normal"].heat, of_class["adventitious"].heat)
    with pytest.raises(Refused, match="target is 'crackle'; expected one of normal, adventitious"):
        opened.explain(path, "crackle")
    shutil.copytree(finished[1], tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "heat_summary.json").read_text())
    (tmp_path / "run" / "heat_summary.json").write_text(json.dumps({**summary, "target": "normal"}))
    change_provenance(tmp_path / "run")
    assert open_run(tmp_path / "run").explain(path).target == "normal"


def test_the_threads_of_a_notebook_stay(finished):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        open_run(finished[1])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_recording_that_cannot_be_used_is_refused(finished, tmp_path, write_sound):
    opened = open_run(finished[1])
    short = write_sound("short.wav", np.random.default_rng(0).uniform(-1, 1, 100))
    silent = write_sound("silent.wav", np.zeros(16_000))
    (tmp_path / "notes.wav").write_text("no sound at all")
    for path, words in (
        (short, "short.wav: the recording has 0 frames of log-mel; expected at least 1"),
        (silent, "silent: .*silent.wav: all 16000 samples are 0"),
        (tmp_path / "notes.wav", "not_audio: .*notes.wav: "),
        (tmp_path / "absent.wav", "missing: .*absent.wav: no such file"),
    ):
        with pytest.raises(Refused, match=words):
            opened.explain(path)


def test_a_folder_that_is_no_run_is_refused(finished, stages, tmp_path):
    with pytest.raises(Refused, match="not a finished run \\(it has no provenance.json\\)"):
        open_run(tmp_path)
    with pytest.raises(Refused, match="not a finished run \\(it has no report.html\\)"):
        open_run(stages["train"].folder)
    shutil.copytree(finished[1], tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    with pytest.raises(Refused, match="not a finished run \\(it has no model.safetensors\\)"):
        open_run(tmp_path / "run")


def change_provenance(run, **changes):
    """Change the provenance of a copied run, and let it list no checksums."""
    content = json.loads((run / "provenance.json").read_text()) | changes
    del content["checksum"]
    (run / "provenance.json").write_text(json.dumps(content))


@pytest.mark.parametrize(("step", "words"), [(-1, "an earlier"), (1, "a later")])
def test_a_run_of_another_version_is_refused(finished, tmp_path, step, words):
    shutil.copytree(finished[1], tmp_path / "run")
    change_provenance(tmp_path / "run", schema=run_folder.SCHEMA + step)
    (tmp_path / "run" / "model.json").unlink()  # as in a run of an earlier version
    with pytest.raises(Refused, match=f"made by {words} version of respcam; run it again"):
        open_run(tmp_path / "run")


def test_a_network_of_the_users_own_must_be_there_unchanged(brief, tmp_path, monkeypatch):
    (tmp_path / "net_of_an_opened_run.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    run = run_of(brief, model=ModelSettings(name="net_of_an_opened_run:Net"))
    folder = run.make().parent
    check_predictions(folder, sources_of(run), most=3)
    (tmp_path / "net_of_an_opened_run.py").write_text(NET + "# edited\n")
    with pytest.raises(Refused, match="net_of_an_opened_run:Net has changed since the run"):
        open_run(folder)
    monkeypatch.delitem(__import__("sys").modules, "net_of_an_opened_run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(
        Refused, match="there is no module net_of_an_opened_run in .*elsewhere or among the installed"
    ):
        open_run(folder)
