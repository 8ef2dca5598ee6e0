import pickle

import pytest
import torch
from safetensors.torch import save_file

from respcam.errors import Refused
from respcam.network.model import ModelSettings, blocks_of, build, start, weights_digest
from respcam.network.pretrained import Cnn14, Vggish, load_weights

PATCHES = torch.randn(2, 1, 64, 96, generator=torch.Generator().manual_seed(0))


def of_torchvggish():
    """Weights with the names and shapes of torchvggish, whose patches have time before frequency."""
    network = Vggish(2)
    weights = {name: torch.randn_like(values) * 0.05 for name, values in network.features.state_dict().items()}
    return {f"features.{name}": v for name, v in weights.items()} | {"embeddings.0.weight": torch.randn(8, 12288)}


def test_vggish_hears_what_the_published_network_hears(tmp_path):
    weights = of_torchvggish()
    torch.save(weights, tmp_path / "vggish.pth")
    network = start(ModelSettings("vggish", "vggish", weights=str(tmp_path / "vggish.pth")), 2).eval()
    published = Vggish(2).features.eval()  # as published: no kernel is turned, the patch is
    published.load_state_dict({k.removeprefix("features."): v for k, v in weights.items() if k.startswith("feat")})
    maps = network.features(PATCHES)
    assert maps.shape == (2, 512, 4, 6)
    torch.testing.assert_close(maps, published(PATCHES.transpose(2, 3)).transpose(2, 3))
    assert network(PATCHES).shape == (2, 2)


def test_cnn14_takes_the_names_of_panns(tmp_path):
    source = Cnn14(3)
    weights = {
        name: values.transpose(2, 3) if values.ndim == 4 else values for name, values in source.state_dict().items()
    }
    weights = {name: values for name, values in weights.items() if not name.startswith("head.")}
    others = {
        "spectrogram_extractor.stft.conv_real.weight": torch.zeros(513, 1, 1024),
        "logmel_extractor.melW": torch.zeros(513, 64),
        "bn0.weight": torch.ones(64),
        "fc_audioset.weight": torch.zeros(527, 2048),
    }
    torch.save({"model": weights | others}, tmp_path / "Cnn14.pth")
    network = Cnn14(3)
    load_weights(network, tmp_path / "Cnn14.pth", 3)
    network.head.load_state_dict(source.head.state_dict())
    torch.testing.assert_close(network.eval()(PATCHES), source.eval()(PATCHES))
    assert blocks_of(network) == [f"conv_block{k}" for k in range(1, 7)]


def test_a_network_of_timm_takes_weights_of_three_channels_and_other_classes(tmp_path):
    settings = ModelSettings("timm", "resnet18")
    source = build(settings, 1000)
    weights = {name: values.clone() for name, values in source.state_dict().items()}
    weights["conv1.weight"] = weights["conv1.weight"].repeat(1, 3, 1, 1) / 3
    save_file({name: values.contiguous() for name, values in weights.items()}, tmp_path / "r.safetensors")
    network = start(ModelSettings("timm", "resnet18", weights=str(tmp_path / "r.safetensors")), 2)
    torch.testing.assert_close(network.conv1.weight, source.conv1.weight)
    assert torch.equal(network.layer4[1].bn2.running_var, source.layer4[1].bn2.running_var)
    assert network.fc.weight.shape == (2, 512)


def test_what_differs_is_named(tmp_path):
    path = tmp_path / "narrow.safetensors"
    weights = build(ModelSettings(width=8), 2).state_dict()
    save_file({**weights, "extra.weight": torch.zeros(1)}, path)
    with pytest.raises(
        Refused, match=r"does not fit BandCNN .*blocks.0.0.weight is \(8, 2, 5, 5\), expected \(16, 2"
    ):
        load_weights(build(ModelSettings(), 2), path, 2)
    with pytest.raises(Refused, match=r"extra.weight is left over"):
        load_weights(build(ModelSettings(width=8), 2), path, 2)
    (tmp_path / "half.safetensors").write_bytes(path.read_bytes()[:200])
    with pytest.raises(Refused, match="no state dict"):
        load_weights(build(ModelSettings(), 2), tmp_path / "half.safetensors", 2)
    with pytest.raises(Refused, match="no such file"):
        weights_digest(ModelSettings(weights=str(tmp_path / "none.pth")))


class Attack:
    def __reduce__(self):
        return (print, ("code was run",))


def test_no_code_of_the_file_is_run(tmp_path, capsys):
    with (tmp_path / "attack.pth").open("wb") as file:
        pickle.dump({"blocks": Attack()}, file)
    torch.save(build(ModelSettings(), 2), tmp_path / "whole.pth")
    for name in ("attack.pth", "whole.pth"):
        with pytest.raises(Refused, match="save network.state_dict|no state dict"):
            load_weights(build(ModelSettings(), 2), tmp_path / name, 2)
    assert "code was run" not in capsys.readouterr().out


def test_the_content_of_the_weights_is_part_of_the_identity_and_its_place_is_not(tmp_path):
    for name, width in (("a.safetensors", 8), ("b.safetensors", 8), ("c.safetensors", 4)):
        torch.manual_seed(0)
        save_file(build(ModelSettings(width=width), 2).state_dict(), tmp_path / name)
    a, b, c = (weights_digest(ModelSettings(weights=str(tmp_path / f"{name}.safetensors"))) for name in "abc")
    assert a == b != c
    assert weights_digest(ModelSettings()) is None
