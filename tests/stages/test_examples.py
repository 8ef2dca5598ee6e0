import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from stages.small_runs import settings_in

from respcam.data.splits import TRAIN
from respcam.data.trained_on import TrainedOn
from respcam.errors import Refused
from respcam.stages.examples import ExampleSettings, choose_examples
from respcam.stages.run import Run


def predictions(n=40):
    rng = np.random.default_rng(0)
    p = rng.random(n)
    true = rng.choice(["normal", "wheeze"], n)
    return pd.DataFrame(
        {"part": "test", "unit_id": [f"u{i:02d}" for i in range(n)], "true_class": true,
         "predicted_class": np.where(p > 0.5, "wheeze", "normal"), "p_normal": 1 - p, "p_wheeze": p}
    )  # fmt: skip


def by_reason(table):
    reason = table["kind"].str.replace("_", " ") + " of " + table["class"]
    return table.set_index(reason)["unit_id"]


def test_the_first_round_is_the_surest_hit_and_miss_and_the_most_uncertain_of_every_class():
    table = predictions()
    chosen = choose_examples(table, ["normal", "wheeze"], ExampleSettings(8)).pipe(by_reason)
    rows = table.assign(sure=table[["p_normal", "p_wheeze"]].max(axis=1)).set_index("unit_id")
    wheezes = rows[rows["true_class"] == "wheeze"]
    is_hit = wheezes["predicted_class"] == "wheeze"
    assert chosen["surest hit of wheeze"] == wheezes[is_hit]["sure"].idxmax()
    assert chosen["surest miss of wheeze"] == wheezes[~is_hit]["sure"].idxmax()
    assert chosen["most uncertain of wheeze"] == wheezes["sure"].idxmin()
    assert len(chosen) == 8
    assert (rows.loc[chosen["at random of normal"], "true_class"]) == "normal"


def test_no_unit_twice_and_rounds_go_on_until_the_number_or_the_end():
    chosen = choose_examples(predictions(), ["normal", "wheeze"], ExampleSettings(24))
    assert chosen["unit_id"].is_unique
    assert len(chosen) == 24
    assert len(choose_examples(predictions(10), ["normal", "wheeze"], ExampleSettings(24))) == 10
    assert choose_examples(predictions(10), ["normal", "wheeze"], ExampleSettings(0)).empty


def test_another_seed_changes_only_what_is_chosen_at_random():
    def reasons(seed):
        table = choose_examples(predictions(), ["normal", "wheeze"], ExampleSettings(8, seed))
        return by_reason(table).to_dict()

    one, other = reasons(0), reasons(1)
    assert {reason for reason in one if one[reason] != other[reason]} <= {
        "at random of normal",
        "at random of wheeze",
    }
    assert one != other


def test_close_ups_agree_with_the_run(stages):
    examples, train = stages["examples"], stages["train"]
    chosen, rows = examples.chosen(), train.predictions().set_index("unit_id")
    for unit_id, closeup in zip(chosen["unit_id"], examples.closeups(), strict=True):
        expected = rows.loc[unit_id, [f"p_{name}" for name in train.class_names()]].to_numpy(float)
        np.testing.assert_allclose(closeup.probability, expected, atol=1e-5)
        assert closeup.heat.shape[:3] == (2, 2, 64)
        assert closeup.heat.shape[3] == closeup.log_mel.shape[1]


def test_the_hottest_place_of_a_wheeze_lies_where_it_was_planted(stages):
    table = stages["examples"].unit_heat()
    wheezes = table[table["target_class"] == "adventitious"]
    assert set(wheezes["hottest_hz"]) <= {"800-975", "975-1150"}
    assert (wheezes["hottest_hz"] == "800-975").mean() > 0.5
    assert wheezes["hottest_s"].between(0, 4).all()


def test_the_hot_part_keeps_the_class_and_the_rest_loses_it(stages):
    train, examples = stages["train"], stages["examples"]
    wheeze = train.class_names().index("adventitious")
    rows = train.predictions().set_index("unit_id").loc[examples.chosen()["unit_id"]]
    hit = (rows["true_class"] == "adventitious") & (rows["predicted_class"] == "adventitious")
    closeups = [c for c, is_hit in zip(examples.closeups(), hit, strict=True) if is_hit]
    assert np.mean([c.hot.probability[wheeze] > 0.5 for c in closeups]) > 0.8
    assert np.mean([c.rest.probability[wheeze] < c.probability[wheeze] for c in closeups]) > 0.8


def test_the_range_of_the_training_is_that_of_its_recordings(finished, stages):
    trained_on = TrainedOn.read(finished[1])
    resampled = stages["resample"].recordings().set_index("recording_id")
    units = stages["train"].units()
    of_train = resampled.loc[units[units["part"] == TRAIN]["recording_id"]]
    assert trained_on.source_rates_hz == sorted(of_train["source_rate_hz"].unique())
    assert trained_on.level_db[0] >= of_train["rms_db"].min() - 0.01
    assert trained_on.level_db[1] <= of_train["rms_db"].max() + 0.01
    assert json.loads((finished[1] / "trained_on.json").read_text())["devices"] == trained_on.devices


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"audio": "mp3"}, "examples.audio is 'mp3'; expected one of flac, none"),
        ({"number": -1}, "examples.number is -1; expected 0 to 200"),
        ({"seed": -1}, "examples.seed is -1; expected at least 0"),
    ],
)
def test_settings_are_checked(changes, words):
    with pytest.raises(Refused, match=words):
        ExampleSettings(**changes)


def test_without_sound_the_page_holds_none(finished):
    run = Run.of(replace(settings_in(finished[0]), examples=ExampleSettings(number=3, audio="none")))
    page = run.make().read_text()
    assert '"sound":null' in page
    assert '"has_sound":false' in page
    assert "fLaC" not in page
    assert "ZkxhQ" not in page  # the same in base64
