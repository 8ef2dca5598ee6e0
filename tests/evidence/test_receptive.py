import pytest
import timm
import torch
from ten_lines import N_BANDS, recordings, trained
from torch import nn

from respcam.evidence.receptive import fields, receptive_field
from respcam.network.model import BandCNN


@pytest.mark.parametrize(
    ("layer", "bands", "frames", "rows", "columns"),
    [
        ("blocks.0", 5, 5, 64, 48),
        ("blocks.1", 7, 9, 32, 24),
        ("blocks.2", 11, 17, 32, 12),
        ("blocks.3", 15, 33, 32, 6),
    ],
)
def test_the_reach_of_band_cnn_is_what_its_kernels_and_strides_give(layer, bands, frames, rows, columns):
    torch.manual_seed(0)
    field = receptive_field(BandCNN(2), layer, torch.randn(4, 1, 64, 96))
    assert (field.reach_bands, field.reach_frames) == (bands, frames)
    assert (field.rows, field.columns) == (rows, columns)
    assert 1 <= field.seen_bands <= field.reach_bands
    assert 1 <= field.seen_frames <= field.reach_frames
    assert field.last_band - field.first_band + 1 == field.seen_bands
    assert field.first_band <= 32 <= field.last_band


def test_what_is_seen_is_where_the_weights_are():
    layer = nn.Conv2d(1, 1, (9, 5), padding=(4, 2), bias=False)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[..., 6, 2] = 1  # two bands above the middle, and nowhere else
    field = receptive_field(nn.Sequential(layer), "0", torch.randn(2, 1, 32, 32))
    assert (field.reach_bands, field.reach_frames) == (9, 5)
    assert (field.first_band, field.last_band, field.seen_frames) == (18, 18, 1)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
def test_networks_of_timm_reach_further_than_they_see(name):
    torch.manual_seed(0)
    model = timm.create_model(name, in_chans=1, num_classes=2)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    field = receptive_field(model, model.feature_info[-2]["module"], torch.randn(2, 1, 64, 96))
    assert field.seen_bands < field.reach_bands <= 64
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_the_faint_ends_of_a_kernel_do_not_count_as_seen():
    layer = nn.Conv2d(1, 1, (9, 1), padding=(4, 0), bias=False)
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.weight[:, :, [0, 8]] = 0.1  # a 700th of the energy each
    field = receptive_field(nn.Sequential(layer), "0", torch.randn(2, 1, 32, 8))
    assert (field.reach_bands, field.seen_bands) == (9, 7)
    assert (field.first_band, field.last_band) == (13, 19)


def test_every_stage_is_measured_and_then_further_layers():
    _, data = recordings()
    rows = fields(trained(), data.grid(0), ["high", "low.0"])
    assert [row["layer"] for row in rows] == ["low", "high", "low.0"]
    assert all((row["rows"], row["columns"]) == (N_BANDS, 16) for row in rows)
    assert all(row["reach_bands"] == row["seen_bands"] == 1 for row in rows)  # kernels of one cell
