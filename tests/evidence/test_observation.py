import numpy as np
import pytest
import torch
from ten_lines import BAND, QUIET, TOP_HZ, Memory, grouped, recordings, trained

from respcam.evidence.observation import INTACT, LOUDNESS, Observer, Question
from respcam.evidence.occlusion import fill_of, sweep
from respcam.evidence.sample import order_of_units
from respcam.heat.cam import Choice
from respcam.heat.resize import margins
from respcam.network.occluded import log_odds
from respcam.network.readout import Readout, pool

HEAT = Choice("hires_cam", ("high",))
SINGLES = sweep(6, ["single"])
QUESTION = Question(None, (HEAT,), {"mean": SINGLES, "other": SINGLES}, has_loudness=True)


def observer(store=None, question=QUESTION, **options):
    units, data = recordings()
    model = trained(**options)
    return Observer(model, grouped(), data, data.target, order_of_units(units, 0), question, 0, store or Memory())


@pytest.mark.parametrize("pooling", ["mean", "max", "logsumexp"])
def test_what_is_observed_is_what_the_recording_scores_without_the_bands(pooling):
    seen = observer(readout=Readout(pooling))
    seen.look(3, "")
    assert len(seen) == 3
    for place, unit in enumerate(seen.order[:3]):
        patches = seen.data.grid(unit)

        def log_odds_of(patches):
            with torch.no_grad():
                scores = seen.model.network(seen.model.scaled(patches)).double()
            return log_odds(pool(scores, pooling)).numpy()

        np.testing.assert_allclose(seen.observed[INTACT][place], log_odds_of(patches), atol=1e-5)
        for fill in ("mean", "other"):
            changed = patches.copy()
            values = fill_of(fill, unit, seen.data, np.full(12, QUIET, np.float32), 0)
            changed[:, [BAND - 1, BAND]] = values[:, [BAND - 1, BAND]]
            found = seen.log_odds(fill)[place, grouped().names.index(TOP_HZ)]
            np.testing.assert_allclose(found, log_odds_of(changed), atol=1e-5)
        maps = seen.model.heat(patches, [len(patches)], seen.explained[[unit]], [HEAT])[HEAT]
        np.testing.assert_allclose(seen.heat(HEAT)[place], margins(maps, 12, 16)[0].sum(0), rtol=1e-4, atol=1e-6)
        loudness = np.exp(patches).mean(axis=(0, 2))
        np.testing.assert_allclose(seen.observed[LOUDNESS][place], loudness, rtol=1e-4)


def test_the_first_recordings_are_not_observed_again(monkeypatch):
    memory = Memory()
    first = observer(memory)
    first.look(4, "")
    once = observer(memory)
    once.look(6, "")
    whole = observer()
    whole.look(6, "")
    for name, values in whole.observed.items():
        np.testing.assert_allclose(once.observed[name], values, rtol=1e-5, atol=1e-6)
        assert values.flags.c_contiguous  # as a file gives it back; sums in another order end on another digit
    monkeypatch.setattr(Observer, "_look", None)
    again = observer(memory)
    again.look(6, "")
    assert len(again) == 6


def test_what_was_observed_before_an_interruption_is_kept(monkeypatch):
    monkeypatch.setattr("respcam.evidence.observation.SAVE_EVERY_S", -1)
    memory, looked, answer = Memory(), [], Observer._look

    def interrupted(self, units):
        if looked:
            raise KeyboardInterrupt
        looked.extend(units)
        return answer(self, units)

    monkeypatch.setattr(Observer, "_look", interrupted)
    with pytest.raises(KeyboardInterrupt):
        observer(memory).look(16, "")
    again = observer(memory)
    assert len(again) == len(looked) > 0


def test_another_network_is_observed_in_the_same_way():
    torch.manual_seed(0)
    fresh = type(trained().network)().eval()
    other = observer(question=Question(fresh, (HEAT,), {"mean": SINGLES}))
    other.look(4, "")
    own = observer()
    own.look(4, "")
    assert not np.allclose(other.observed[INTACT], own.observed[INTACT])
    assert not np.allclose(other.heat(HEAT), own.heat(HEAT))
    assert LOUDNESS not in other.observed
