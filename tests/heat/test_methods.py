import pytest
import torch

from respcam.heat.cam import heat_maps
from respcam.heat.methods import METHODS, cam_method
from respcam.network.model import BandCNN


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_where_it_comes_from(name):
    method = METHODS[name]
    assert method.title
    assert method.equation.startswith("sum_k ")
    assert "20" in method.paper


def test_a_method_is_added_in_one_place():

    before = dict(METHODS)
    try:

        @cam_method("Plain sum", "nobody 2020", "sum_k A_k", is_signed=True)
        def plain(maps, gradient):
            return torch.ones_like(maps[:, :, :1, :1])

        @cam_method("Score", "nobody 2020", "sum_k S A_k", is_signed=True, needs_gradient=False)
        def by_score(network, patches, layer, maps, scores, target):
            assert layer == "blocks.2"
            assert network(patches).equal(scores)
            return scores.gather(1, target[:, None])[:, :, None, None].expand(-1, maps.shape[1], 1, 1)

        model = BandCNN(2, width=2).eval()
        heat = heat_maps(model, torch.randn(2, 1, 64, 96), ["blocks.2"], ["plain", "by_score"], 1)
        torch.testing.assert_close(
            heat.signed["by_score", "blocks.2"],
            heat.signed["plain", "blocks.2"] * heat.scores[:, 1, None, None],
            atol=1e-5,
            rtol=1e-4,
        )
        assert plain is METHODS["plain"]
    finally:
        METHODS.clear()
        METHODS.update(before)
