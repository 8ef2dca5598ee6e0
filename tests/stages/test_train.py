import json
from dataclasses import replace

import numpy as np
import pytest
from small_runs import BELOW, TASK, settings_in, short_settings_in

from respcam.data.splits import SplitSettings
from respcam.errors import Refused
from respcam.heat.bands import BandSelection
from respcam.metrics import METRICS
from respcam.network.model import ModelSettings
from respcam.network.pipeline import Pipeline
from respcam.stages.dataset import DatasetSettings
from respcam.stages.run import Run
from respcam.store.tables import write_table


def test_every_part_has_every_metric(stages):
    metrics = stages["train"].metrics()
    assert set(metrics) == {"validation", "test"}
    for part in metrics.values():
        assert part["n_recordings"] > 0
        assert part["n_patients"] > 0
        assert part["confusion"]["classes"] == ["normal", "adventitious"]
        assert np.sum(part["confusion"]["true_by_predicted"]) == part["n_units"]
        for name in METRICS:
            assert set(part[name]) == {"value", "low", "high"}


def test_the_planted_difference_is_learnt(stages):
    assert stages["train"].metrics()["test"]["auroc"]["value"] > 0.95


def test_no_patient_is_in_two_parts(stages):
    assert stages["train"].units().groupby("patient_id")["part"].nunique().max() == 1


def test_predictions_agree_with_the_metrics(stages):
    train = stages["train"]
    predictions = train.predictions()
    for part, values in train.metrics().items():
        rows = predictions[predictions["part"] == part]
        assert len(rows) == values["n_units"]
        hits = (rows["true_class"] == rows["predicted_class"]).sum()
        assert hits == np.trace(values["confusion"]["true_by_predicted"])


def test_the_trained_model_repeats_its_predictions(stages):
    train = stages["train"]
    units = train.units(["test"])
    probability = train.model().predict(train.data_of(units))
    predictions = train.predictions()
    columns = ["p_normal", "p_adventitious"]
    expected = predictions.loc[predictions["part"] == "test", columns].to_numpy()
    np.testing.assert_allclose(probability, expected, atol=1e-5)


def test_the_model_is_described_for_new_recordings(stages):
    train = stages["train"]
    content = json.loads((train.folder / "model.json").read_text())
    assert content["class_names"] == ["normal", "adventitious"]
    assert content["fed_bands"] == content["kept_bands"] == list(range(64))
    pipeline = Pipeline.read(train.folder)
    assert (pipeline.audio, pipeline.front_end) == (train.features.resample.audio, train.features.front_end)
    assert (pipeline.patches, pipeline.model) == (train.recipe.patches, train.recipe.model)
    assert (pipeline.readout.pooling, pipeline.normal, pipeline.unit) == ("mean", "normal", "recording")


def test_units_of_a_part_that_is_not_there_are_refused(stages):
    with pytest.raises(Refused, match=r"explain.parts is \['holdout'\]; there are test, validation"):
        stages["train"].units(["holdout"])


def test_identity_covers_what_changes_results_and_nothing_else(stages):
    train = stages["train"]
    faster = replace(
        train, device="cuda", recipe=replace(train.recipe, training=replace(train.recipe.training, threads=8))
    )
    assert faster.digest == train.digest
    arms = [
        train.with_bands(BandSelection("below", [[0, 1500]])),
        train.with_bands(BandSelection("spread", spread_hz=[100, 1500])),
        train.on_permuted_labels(),
        replace(train, seed=1),
    ]
    assert len({train.digest, *(arm.digest for arm in arms)}) == 5


def test_seed_and_fold_do_not_change_the_experiment(stages):
    train = stages["train"]
    folds = replace(train.recipe, split=replace(train.recipe.split, name="patient_kfold"))
    train = replace(train, recipe=folds)
    other_fold = replace(train.recipe, split=replace(train.recipe.split, fold=1))
    assert replace(train, seed=3, recipe=other_fold).experiment == train.experiment
    assert train.on_permuted_labels().experiment != train.experiment


def test_a_class_without_usable_recordings_ends_with_one_line(finished, stages, tmp_path):
    labels = stages["train"].labels.recordings
    table = labels.copy()
    table.loc[(table["label"] == "wheeze") & (table["split"] == "train"), "path"] += ".absent"
    write_table(table, tmp_path / "manifest.csv")
    root = stages["train"].features.resample.files.root
    dataset = DatasetSettings("csv", root=root, manifest=tmp_path / "manifest.csv", missing="skip")
    with pytest.raises(Refused, match="no usable recording of class adventitious in train"):
        Run.of(settings_in(tmp_path, dataset=dataset)).make()


def test_events_are_units_of_their_own(tmp_path):
    run = Run.of(settings_in(tmp_path, epochs=1, task=replace(TASK, unit="event")))
    run.make("train")
    units = run.stages["train"].units(["test"])
    assert units["unit_id"].str.contains("#").all()
    assert units["start_s"].notna().all()
    metrics = json.loads((run.stages["train"].folder / "metrics.json").read_text())
    assert metrics["test"]["n_units"] == len(units) > metrics["test"]["n_recordings"]


NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, stride=2), nn.Conv2d(4, 8, 3, stride=2)
        self.head = nn.Linear(8, n_classes)

    def block_names(self):
        return ["first", "second"]

    def forward(self, patches):
        return self.head(self.second(self.first(patches).relu()).relu().mean(dim=(2, 3)))
"""


def test_a_network_of_the_users_own_is_trained_explained_and_examined(brief, tmp_path, monkeypatch):
    (tmp_path / "net_of_a_user.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    model = ModelSettings(name="net_of_a_user:Net")
    settings = short_settings_in(brief, model=model)
    run = Run.of(settings)
    page = run.make()
    assert "net_of_a_user" in page.parent.name
    assert run.stages["explain"].method()["layers"] == ["first", "second"]
    assert set(run.stages["trust"].tables()["methods"]["layers"].dropna()) >= {"second", "first+second"}
    (tmp_path / "net_of_a_user.py").write_text(NET + "# edited\n")
    assert Run.of(settings).stages["train"].digest != run.stages["train"].digest


def test_every_fold_has_another_training_seed_and_keeps_the_seed_of_its_run(tmp_path):
    folds = [SplitSettings("patient_kfold", fold=fold) for fold in range(3)]
    runs = [Run.of(settings_in(tmp_path, seed=seed, split=split)) for seed in (0, 1) for split in folds]
    assert len({run.stages["train"].seed for run in runs}) == 6
    assert [run.stages["report"].run.seed for run in runs] == [0, 0, 0, 1, 1, 1]
    assert len({run.stages["report"].run.experiment for run in runs}) == 1
    pruned = Run.of(settings_in(tmp_path, seed=1, split=folds[2], bands=BELOW))
    assert pruned.stages["train"].seed == runs[-1].stages["train"].seed
    assert pruned.stages["report"].run.apart_from_bands == runs[-1].stages["report"].run.apart_from_bands
    assert Run.of(settings_in(tmp_path, seed=1)).stages["train"].seed == 1
