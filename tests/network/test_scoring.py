import numpy as np
import torch
from made_units import make_units

from respcam.network.inputs import Scaler, Units
from respcam.network.machine import make_fabric
from respcam.network.model import BandCNN
from respcam.network.readout import Readout
from respcam.network.scoring import predict


def test_a_prediction_does_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    model = BandCNN(2, width=4)
    units, scaler, fabric = make_units(20), Scaler.fit(make_units()), make_fabric("cpu")
    together = predict(model, units, scaler, Readout("logsumexp"), fabric)
    for unit in (0, 7, 19):
        alone = Units([units.frames[unit]], units.target[[unit]], np.ones(32, bool), units.settings, units.floor)
        np.testing.assert_allclose(
            predict(model, alone, scaler, Readout("logsumexp"), fabric)[0], together[unit], atol=1e-6
        )


def test_probabilities_are_those_of_the_pooled_patch_scores():
    torch.manual_seed(0)
    model = BandCNN(3, width=4).eval()
    units, scaler, fabric = make_units(6), Scaler.fit(make_units()), make_fabric("cpu")
    probability = predict(model, units, scaler, Readout("mean"), fabric)
    with torch.no_grad():
        scores = [model(scaler(torch.from_numpy(units.grid(unit)))).mean(dim=0) for unit in range(6)]
    np.testing.assert_allclose(probability, torch.stack(scores).softmax(dim=1), atol=1e-6)
