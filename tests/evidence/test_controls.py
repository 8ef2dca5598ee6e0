import numpy as np
import pytest
import torch
from ten_lines import FLOOR, N_BANDS

from respcam.evidence.controls import share_table
from respcam.heat.cam import Choice


def test_shares_of_heat_on_borders_blanks_and_padding():
    patches = np.zeros((1, N_BANDS, 16), np.float32)
    patches[:, :3] = FLOOR  # three of twelve bands are blank
    even, edge, none = torch.ones(1, N_BANDS, 16), torch.zeros(1, N_BANDS, 16), torch.zeros(1, N_BANDS, 16)
    edge[:, 0, 10:] = 1
    places = ("low", "high", "head")
    heat = dict(zip([Choice("grad_cam", (place,)) for place in places], (even, edge, none), strict=True))
    rows = share_table(patches, np.array([10]), heat, FLOOR).set_index("layers")
    uniform = {"border": 2 / 12, "blank": 3 / 12, "padding": 6 / 16}
    for name, share in uniform.items():
        np.testing.assert_allclose(rows[f"{name}_uniform"], share)
        assert rows.loc["low", name] == pytest.approx(share)
        assert rows.loc["high", name] == 1
        assert np.isnan(rows.loc["head", name])
