import numpy as np
import pytest
import torch
from ten_lines import BAND, BOOTSTRAP, FLOOR, N_BANDS, Listener, grouped, recordings, trained, units_of

from respcam.evidence.agreement import profiles_of
from respcam.evidence.controls import control_similarity, randomisation_table, share_table
from respcam.evidence.sample import sample_patches
from respcam.heat.cam import Choice

HEAT = Choice("hires_cam", ("high",))


@pytest.fixture(scope="module")
def sample():
    units, data = recordings()
    return sample_patches(units, data, [1], 8, 0, BOOTSTRAP)


def heat_of(model, sample, *choices):
    return model.heat(sample.judged_patches, sample.judged_target, choices)


def test_heat_changes_as_weights_are_drawn_anew(sample):
    model = trained()
    choices = (HEAT, Choice("grad_cam", ("low", "high")))
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    heat = heat_of(model, sample, *choices)
    table = randomisation_table(model, sample, heat, 0)
    assert list(table) == ["method", "layers", "step", "down_to", "similarity"]
    assert table["method"].tolist() == ["hires_cam"] * 3 + ["grad_cam"] * 3
    assert table["layers"].tolist() == ["high"] * 3 + ["low+high"] * 3
    assert table["down_to"].tolist() == ["head", "high.0", "low.0"] * 2
    assert table["step"].tolist() == [1, 2, 3] * 2
    assert table["similarity"].max() < 0.9
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())
    again = randomisation_table(model, sample, heat, 0)
    assert again["similarity"].tolist() == table["similarity"].tolist()


def test_shares_of_heat_on_borders_blanks_and_padding():
    units, _ = recordings(2)
    frames = np.zeros((10, N_BANDS), np.float32)
    frames[:, :3] = FLOOR  # three of twelve bands are blank
    data = units_of([frames] * len(units), units["target"].to_numpy())
    sample = sample_patches(units.assign(n_frames=10), data, [1], 2, 0, BOOTSTRAP)
    even, edge, none = torch.ones(1, N_BANDS, 16), torch.zeros(1, N_BANDS, 16), torch.zeros(1, N_BANDS, 16)
    edge[:, 0, 10:] = 1
    places = ("low", "high", "head")
    heat = dict(zip([Choice("grad_cam", (place,)) for place in places], (even, edge, none), strict=True))
    rows = share_table(sample, heat, FLOOR).set_index("layers")
    uniform = {"border": 2 / 12, "blank": 3 / 12, "padding": 6 / 16}
    for name, share in uniform.items():
        np.testing.assert_allclose(rows[f"{name}_uniform"], share)
        assert rows.loc["low", name] == pytest.approx(share)
        assert rows.loc["high", name] == 1
        assert np.isnan(rows.loc["head", name])


def test_a_control_that_listens_elsewhere_has_other_heat(sample):
    model, bands = trained(), grouped()
    profiles = profiles_of(sample, heat_of(model, sample, HEAT))
    assert profiles[HEAT].sum(axis=0).argmax() == BAND
    same = control_similarity(model, sample, profiles, model.network, bands)
    assert same == {HEAT: pytest.approx(1)}
    torch.manual_seed(0)
    fresh = control_similarity(model, sample, profiles, Listener().eval(), bands)
    assert -1 <= fresh[HEAT] < 0.9
