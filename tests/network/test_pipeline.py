import json
from dataclasses import replace

import numpy as np
import pytest

from respcam.data.patches import PatchSettings
from respcam.errors import Refused
from respcam.heat.bands import BandSelection
from respcam.network.model import ModelSettings
from respcam.network.pipeline import Pipeline
from respcam.network.readout import Readout
from respcam.sound.audio import AudioSettings
from respcam.sound.front_end import FrontEnd, LogMel

MASKED = BandSelection("low", [[0, 1500]], removed=[60, 61, 62, 63], how="mask")
PIPELINE = Pipeline(
    audio=AudioSettings(gain="rms"),
    front_end=FrontEnd(n_fft=512),
    patches=PatchSettings(hop_frames=10, pad="floor"),
    bands=MASKED,
    fed_bands=list(range(64)),
    kept_bands=list(range(60)),
    model=ModelSettings(width=4),
    readout=Readout("max", 1.5, (0.25, -0.25), (0.5, 1.0)),
    class_names=["normal", "wheeze"],
    normal="normal",
)


def test_what_is_written_is_read(tmp_path):
    PIPELINE.write(tmp_path)
    assert Pipeline.read(tmp_path) == PIPELINE
    content = json.loads((tmp_path / "model.json").read_text())
    assert content["front_end"]["n_fft"] == 512
    assert content["kept_bands"][-1] == 59


def test_masked_bands_are_blank_and_the_rest_is_the_log_mel(noise):
    frames = PIPELINE.units(noise).of(0)
    expected = LogMel(FrontEnd(n_fft=512))(noise)
    np.testing.assert_array_equal(frames[:, :60], expected[:, :60])
    assert (frames[:, 60:] == np.float32(np.log(0.01))).all()


def test_removed_bands_are_not_there(noise):
    cropped = replace(PIPELINE, fed_bands=[3, 4, 9], kept_bands=[3, 4, 9])
    np.testing.assert_array_equal(cropped.units(noise).of(0), LogMel(FrontEnd(n_fft=512))(noise)[:, [3, 4, 9]])


def test_a_short_waveform_is_padded_by_the_rule_or_refused(noise):
    patch = PIPELINE.units(noise[:8000]).grid(0)
    assert patch.shape == (1, 64, 96)
    assert (patch[0, :, -1] == np.float32(np.log(0.01))).all()
    with pytest.raises(Refused, match="the recording has 0 frames of log-mel; expected at least 1"):
        PIPELINE.units(noise[:300])
    with pytest.raises(Refused, match="the recording has 48 frames of log-mel; expected at least 96"):
        replace(PIPELINE, patches=PatchSettings(pad="none")).units(noise[:8000])


def test_a_source_that_changed_is_refused(tmp_path, monkeypatch):
    (tmp_path / "net_of_a_pipeline.py").write_text("class Net: ...\n")
    monkeypatch.chdir(tmp_path)
    custom = replace(PIPELINE, model=ModelSettings(name="net_of_a_pipeline:Net"), network_source="0" * 64)
    with pytest.raises(Refused, match="net_of_a_pipeline:Net has changed since the run"):
        custom.load(tmp_path)
