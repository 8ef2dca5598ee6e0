import pytest
import torch

from respcam.network.machine import make_fabric


def test_precision_follows_the_device():
    assert make_fabric("cpu", "32-true")._precision.precision == "32-true"
    expected = "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"
    assert make_fabric("cpu", "auto")._precision.precision == expected


def test_an_absent_device_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(ValueError, match="device is 'cuda', which is not usable here"):
        make_fabric("cuda")
