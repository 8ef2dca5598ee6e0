"""Typical mistakes of a user: every one ends in one line before any audio is touched, and what is right goes through."""

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

SOUNDS = np.random.default_rng(0).normal(0, 0.1, (40, 4000))
PATIENTS = [f"p{number}" for number in range(12)]
LABELS = ("asthma", "healthy", "noise")
FOLDER = ["run", "dataset=folder", "dataset.root=data", "task=labels"]
CSV = ["run", "dataset=csv", "dataset.root=data", "task=labels"]
FLAT = ["run", "dataset=csv", "dataset.root=flat", "task=labels", "dataset.manifest=good.csv"]
KAUH = [f"{device}P{patient}_{'N' if patient % 2 else 'Asthma'}" for patient in range(10) for device in "BDE"]
NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 2, 3), nn.Linear(2, n_classes)
    def forward(self, patches):
        return self.head(self.conv(patches).mean(dim=(2, 3)))

class Wrong(Net):
    def forward(self, patches):
        return self.conv(patches)

class NotFinite(Net):
    def forward(self, patches):
        return super().forward(patches) * float("nan")

class NoClasses(nn.Module):
    pass
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working folder: recordings by label, tables of them, a network, and a folder of settings."""
    folder = tmp_path_factory.mktemp("mistakes")
    rows = []
    for number, patient in enumerate(PATIENTS):
        for label in (LABELS[number % 3], LABELS[(number + 1) % 3]):
            path = folder / "data" / label / f"{patient}_{label}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, SOUNDS[len(rows)], 4000)
            rows.append({"path": f"{label}/{path.name}", "patient_id": patient, "label": label})
    table = pd.DataFrame(rows)
    table.to_csv(folder / "good.csv", index=False)
    table.assign(path=[str(folder / "data" / path) for path in table["path"]])[::-1].to_csv(
        folder / "absolute.csv", index=False
    )
    variants = {
        "outside": table.assign(path="/etc/" + table["path"]),
        "val": table.assign(split=np.where(table.index < 4, "val", "train")),
        "some_split": table.assign(split=np.where(table.index < 4, "test", "")),
        "no_patient": table.drop(columns="patient_id"),
        "patient": table.rename(columns={"patient_id": "patient"}),
        "spaces": table.assign(label=table["label"] + " "),
        "case": table.assign(label=[label.title() if k == 0 else label for k, label in enumerate(table["label"])]),
        "lonely": table.assign(label=np.where(table.index == 0, "rare", table["label"])),
        "one_label": table.assign(label="asthma"),
        "blank": table.assign(label=""),
        "nobody": table.assign(patient_id=np.where(table.index == 3, "", table["patient_id"])),
        "twice": pd.concat([table, table[:1]]),
        "two_parts": table.assign(split=np.where(table.index % 2, "test", "train")),
        "few": table[table["patient_id"].isin(PATIENTS[:3])],
        "numbers": table.assign(label=table["label"].map(dict(zip(LABELS, "012", strict=True)))),
        "empty_rows": table[:0],
        "no_path": table.assign(path=""),
        "altered": table.assign(sha256="0" * 64),
    }
    for name, variant in variants.items():
        variant.to_csv(folder / f"{name}.csv", index=False)
    table.to_csv(folder / "semicolons.csv", index=False, sep=";")
    table.to_csv(folder / "tabs.csv", index=False, sep="\t")
    table.to_csv(folder / "with_bom.csv", index=False, encoding="utf-8-sig")
    table.assign(label="Müdigkeit").to_csv(folder / "latin1.csv", index=False, encoding="latin-1")
    (folder / "empty.csv").write_text("")
    (folder / "twin.csv").write_text("path,patient_id,label,label\na.wav,ann,asthma,healthy\n")
    (folder / "not_python.py").write_text("def x(:\n")
    (folder / "long_row.csv").write_text("path,patient_id,label\na.wav,ann,asthma\nb.wav,bob,asthma,extra,extra\n")
    for number, name in enumerate(KAUH):
        path = folder / "kauh" / name.partition("_")[2] / f"{name},E W,P L M,55,F.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, SOUNDS[number], 4000)
    (folder / "flat").mkdir()
    sf.write(folder / "flat/a.wav", SOUNDS[0], 4000)
    (folder / "net_of_mistakes.py").write_text(NET)
    (folder / "settings/task").mkdir(parents=True)
    (folder / "shadow/task").mkdir(parents=True)
    (folder / "shadow/task/labels.yaml").write_text("name: labels\n")
    (folder / "settings/experiment").mkdir()
    (folder / "settings/task/mine.yaml").write_text(
        "name: mine\nclasses:\n  well: [healthy]\n  ill: [asthma]\ndrop: [noise]\n"
    )
    (folder / "settings/task/typo.yaml").write_text("name: typo\nclases:\n  well: [healthy]\n")
    (folder / "settings/experiment/rates.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /task: labels\n"
        "hydra:\n  sweeper:\n    params:\n      audio.quality: QQ,HQ\n"
    )
    (folder / "settings/task/nameless.yaml").write_text("classes: null\n")
    (folder / "settings/task/tabs.yaml").write_text("name: tabs\nclasses:\n\ta: [b]\n")
    (folder / "settings/experiment/bare.yaml").write_text("defaults:\n  - override /task: labels\n")
    (folder / "settings/experiment/mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /task: mine\ntask:\n  normal: well\nseed: 3\n"
    )
    return folder


@pytest.fixture
def respcam(place, tmp_path, command):
    """Call respcam in a working folder that sees the data: exit status and lines of standard output and error."""
    for path in place.iterdir():
        (tmp_path / path.name).symlink_to(path)

    def call(*arguments):
        result = command(*arguments)
        return result.returncode, result.stdout, result.stderr

    return call


MISTAKES = [
    # the command line
    (["rnu", "seed=1"], "respcam rnu: no such command; did you mean run? There are run, compare, runs"),
    (["run", "trainning.epochs=3"], "trainning.epochs: no such setting; did you mean training.epochs?"),
    (["run", "training.epoch=3"], "training.epoch: no such setting; did you mean training.epochs?"),
    (["run", "+front_end.n_ffft=512"], "front_end.n_ffft: no such setting; did you mean n_fft? There are"),
    (
        ["run", "trust.limits={corelation:1}"],
        "trust.limits.corelation: no such setting; did you mean",
    ),
    (
        ["run", "task.classes={well:[normal],ill:[CAS]}"],
        "task.classes has other keys than well; to replace them all: '~task",
    ),
    (["run", "seeed=3"], "seeed: no such setting; did you mean seed?"),
    (
        ["run", "training.epochs=many"],
        "training.epochs is 'many'; expected a whole number",
    ),
    (["run", "training.epochs=0"], "training.epochs is 0; expected at least 1"),
    (["run", "seed=a"], "seed is 'a'; expected a whole number"),
    (["run", "datset=folder"], "datset: no such setting; did you mean dataset?"),
    (["run", "epochs=3"], "epochs: no such setting; did you mean training.epochs?"),
    (["run", "--config-dir", "shadow", "task=labels"], "shadow/task/labels.yaml: respcam has a file of this name"),
    (["run", "+foo=1"], "foo: no such setting; there are dataset, task"),
    (["run", "+paths.stor=x"], "paths.stor: no such setting; did you mean store?"),
    (["run", "seed=-1"], "seed is -1; expected 0 to 4294967295"),
    (["run", "seed=1", "seed=2"], "seed is set twice on the command line; expected once"),
    (["run", "paths.store=flat/a.wav/store"], "paths.store is flat/a.wav/store: Not a directory; expected a folder"),
    (["run", "task.classes={a:[b"], "the value cannot be read; a list is [a,b], a mapping {class:[label,label]"),
    (["run", "seed"], "seed: expected key=value, such as seed=1, or group=option"),
    (["run", "seed=0,1"], "seed=0,1 names several values; add -m for a run of each"),
    (["run", "until=trian"], "until is 'trian'; did you mean train? There are resample, features, train"),
    (
        ["run", "dataset=nope"],
        "dataset=nope: no such option; there are csv, folder, icbhi2017, sprsound2022, synthetic",
    ),
    (["run", "bands=below1500hz"], "bands=below1500hz: no such option; did you mean below_1500hz?"),
    (["run", "experiment=prune1500"], "experiment=prune1500: no such option; did you mean prune_1500?"),
    (["run", "experiment=prune_1500"], "makes a run for each value of seed, bands; start it with -m"),
    (["run", "--config-dir", "nowhere"], "'{here}/nowhere' not found"),
    (
        ["run", "--config-dir", "settings", "task=typo"],
        "task.clases: no such setting; did you mean classes? There are",
    ),
    ([*FOLDER, "device=abacus"], "device is 'abacus', which is not usable here"),
    ([*FOLDER, "workers=0"], "workers is 0; expected at least 1, or -1 for every core"),
    (["run", "shard.count=2"], "shard.count is 2; only until=resample and until=features divide their work"),
    # data of one's own
    (["run", "dataset=folder", "task=labels"], "dataset.root is not set; name the folder of the recordings"),
    (["run", "dataset=folder", "dataset.root=nowhere"], "dataset.root is nowhere, which is not a folder"),
    (
        ["run", "dataset=folder", "dataset.root=flat"],
        "flat: no audio in sub-folders; expected flat/<label>/<recording>",
    ),
    ([*FOLDER, r"dataset.patient_pattern=_(\d+)"], r"""'dataset.patient_pattern="_(\d+)"'"""),
    ([*FOLDER, 'dataset.patient_pattern="_(x"'], "missing ), unterminated subpattern"),
    ([*FOLDER, 'dataset.patient_pattern="_x"'], "expected exactly one (group), the patient"),
    ([*FOLDER, 'dataset.patient_pattern="^(x)"'], "which finds no patient in p"),
    ([*FOLDER, 'dataset.device_pattern="^(x)"'], "which finds no device in p"),
    ([*FOLDER, "dataset.manifest=good.csv"], "dataset.manifest is set, which dataset=folder does not read"),
    ([*FOLDER, "dataset.synthetic.n_patients=30"], "dataset.synthetic is set, which dataset=folder does not read"),
    ([*CSV], "dataset.manifest is not set; name a CSV of recordings: dataset.manifest=FILE"),
    ([*CSV, "dataset.manifest=nowhere.csv"], "nowhere.csv: no such manifest"),
    ([*CSV, "dataset.manifest=semicolons.csv"], "semicolons.csv: its columns are separated by semicolons"),
    ([*CSV, "dataset.manifest=tabs.csv"], "tabs.csv: its columns are separated by tabs; expected commas"),
    ([*CSV, "dataset.manifest=latin1.csv"], "latin1.csv line 2: byte 0xfc is not UTF-8; save it as CSV UTF-8"),
    ([*CSV, "dataset.manifest=empty.csv"], "empty.csv: is empty; expected the columns path, patient_id, label"),
    ([*CSV, "dataset.manifest=empty_rows.csv"], "empty_rows.csv: has no rows"),
    ([*CSV, "dataset.manifest=long_row.csv"], "long_row.csv: is not a table separated by commas"),
    (
        [*CSV, "dataset.manifest=no_patient.csv"],
        "no_patient.csv: no column patient_id; expected path, patient_id, label, and the first",
    ),
    (
        [*CSV, "dataset.manifest=patient.csv"],
        "patient.csv: no column patient_id; expected path, patient_id, label, and the first row has",
    ),
    ([*CSV, "dataset.manifest=outside.csv"], "row 2: path is '/etc/asthma/p0_asthma.wav'; expected a path"),
    ([*CSV, "dataset.manifest=val.csv"], "val.csv row 2: split is 'val'; expected 'validation'"),
    ([*CSV, "dataset.manifest=some_split.csv"], "some_split.csv row 6: split is ''; expected a part's name"),
    ([*CSV, "dataset.manifest=spaces.csv"], "row 2: label is 'asthma '; expected a label without spaces around it"),
    ([*CSV, "dataset.manifest=nobody.csv"], "nobody.csv row 5: patient_id is ''"),
    ([*CSV, "dataset.manifest=twice.csv"], "twice.csv row 26: path is 'asthma/p0_asthma.wav'; expected"),
    (
        [*CSV, "dataset.manifest=two_parts.csv"],
        "two_parts.csv: patient p0, p1, p10, p11, p2 and 7 more in more than one",
    ),
    ([*CSV, "dataset.manifest=case.csv"], "labels 'Asthma' and 'asthma' differ in case alone"),
    ([*CSV, "dataset.manifest=lonely.csv"], "class rare has one patient alone (p0), who cannot be in train and test"),
    ([*CSV, "dataset.manifest=one_label.csv"], "every recording is of class asthma; expected at least 2 classes"),
    ([*CSV, "dataset.manifest=blank.csv"], "task labels: no recording has a label in the column label"),
    ([*CSV, "dataset.manifest=few.csv"], "split: 3 patients cannot make the 5 groups of split.test_fraction=0.2"),
    ([*FLAT], "24 of 24 recordings are not under flat"),
    ([*CSV, "dataset.manifest=good.csv", "split.fold=7", "split=patient_kfold"], "split.fold is 7 of n_folds 5"),
    ([*FOLDER, "split.fold=2"], "split.fold is 2, which split=official does not use; set split=patient_kfold"),
    ([*CSV, "dataset.manifest=twin.csv"], "twin.csv: has the column label 2 times; expected once"),
    ([*CSV, "dataset.manifest=no_path.csv"], "no_path.csv row 2: path is ''; expected the recording's file"),
    ([*FLAT, "dataset.missing=skip"], "24 of 24 recordings are not"),
    ([*CSV, "dataset.manifest=good.csv", "split.from_parts=[trian]"], "split.from_parts is ['trian']"),
    # labels and classes
    (["run", "dataset=folder", "dataset.root=data"], "label asthma, healthy, noise belongs to no class; add it to"),
    ([*FOLDER, "task.drop=[nois]"], "task.drop has 'nois', which is no label; did you mean noise?"),
    ([*FOLDER, "task.drop=noise"], "task.drop is 'noise'; expected a list: task.drop=[noise]"),
    ([*FOLDER, "task.normal=healthi"], "task.normal is 'healthi', which is no class; did you mean healthy?"),
    ([*FOLDER, "task.classes={a:[asthma],b:[healthi]}", "task.drop=[noise]"], "label healthy belongs to no class"),
    ([*FOLDER, "task.classes={a:[asthma,noise],b:[healthy],c:[copd]}"], "no recording is of class c"),
    ([*FOLDER, "task.classes={a:asthma,b:[healthy]}"], "task.classes.a is 'asthma'; expected a list"),
    ([*FOLDER, "task.column=diagnos"], "the manifest has no column 'diagnos'; did you mean diagnosis?"),
    ([*FOLDER, "task.unit=event"], "is about events, and this data set has none; set dataset.events"),
    (
        [*FOLDER[:-1], "--config-dir", "settings", "task=nameless"],
        "task.name is not set; expected name: VALUE in its file",
    ),
    ([*FOLDER[:-1], "--config-dir", "settings", "task=tabs"], "a settings file is not YAML: while scanning"),
    (["run", "--config-dir", "settings", "experiment=bare"], "expected '# @package _global_' as the first line"),
    # bands and front end
    ([*FOLDER, "bands.keep_hz=600"], "bands.keep_hz is 600; expected a list: bands.keep_hz=[600]"),
    ([*FOLDER, "bands.keep_hz=[[0,600]]"], "bands.keep_hz is [[0.0, 600.0]] in bands=all, which feeds all bands"),
    ([*FOLDER, "bands=below_1500hz", "bands.keep_hz=[[0,600]]"], "bands.name is below_1500hz, but bands.keep_hz"),
    (
        [*FOLDER, "bands=below", "bands.keep_hz=[[200,1000]]"],
        "bands.name is below_1000hz, but bands.keep_hz is [[200",
    ),
    ([*FOLDER, "bands=ranges", "bands.keep_hz=[600,100]"], "bands.keep_hz has 600; expected [low, high] in Hz"),
    (
        [*FOLDER, "bands=ranges", "bands.keep_hz=[[600,100]]"],
        "bands.keep_hz has [600, 100]; expected [low, high] in Hz",
    ),
    ([*FOLDER, "bands=ranges", "bands.keep_hz=[[3000,4000]]"], "keeps no band by the centre rule"),
    ([*FOLDER, "bands=ranges"], "bands.keep_hz is []; expected at least one [low, high]"),
    ([*FOLDER, "front_end.f_max_hz=9000"], "expected 0 <= f_min_hz < f_max_hz <= 8000 Hz, half the sample rate"),
    ([*FOLDER, "front_end.f_max_hz=4000", "hz_groups.edges_hz=[100,1000,2000]"], "lie outside (2"),
    ([*FOLDER, "hz_groups.edges_hz=[100,150,2000]"], "expected rising edges at least 160 Hz apart"),
    (
        [*FOLDER, "front_end.sample_rate_hz=8000"],
        "audio.sample_rate_hz is 16000 and front_end.sample_rate_hz is 8000",
    ),
    # network and explanation
    ([*FOLDER, "model=timm", "model.name=resnet1"], "model.name is 'resnet1', which timm"),
    ([*FOLDER, "model=timm", "model.name=vit_tiny_patch16_224"], "does not take patches of 64 bands and 96 frames"),
    ([*FOLDER, "model.name=nowhere:Net"], "model.name is 'nowhere:Net'; there is no module nowhere in"),
    ([*FOLDER, "model.name=net_of_mistakes:Nett"], "has no class Nett"),
    ([*FOLDER, "model.name=net_of_mistakes:NoClasses"], "NoClasses(n_classes=3) is not possible"),
    ([*FOLDER, "model.name=net_of_mistakes:Wrong"], "network Wrong returned (2, 2, 62, 94) for 2 patches; expected"),
    (
        [*FOLDER, "model.name=net_of_mistakes:Net"],
        "Net names no blocks; name layers whose output is a map: 'explain.layers=[LAYER]' of conv, head",
    ),
    ([*FOLDER, "explain.layers=[blocks.9]"], "layer 'blocks.9' is not in the model; it has"),
    ([*FOLDER, "explain.layers=[head]"], "layer 'head' "),
    (
        [*FOLDER, "explain.target=wheeze"],
        "explain.target is 'wheeze'; there are true, predicted, asthma, healthy, noise",
    ),
    (
        [*FOLDER, "explain.parts=[tset]"],
        "explain.parts is ['tset']; did you mean test? There are holdout, test, validation",
    ),
    ([*FOLDER, "explain.parts=[]"], "explain.parts is []; expected at least one part, such as [test]"),
    ([*FOLDER, "model.name=not_python:Net"], "not_python.py line 1 is not Python"),
    ([*FOLDER, "explain.method=gradcam"], "explain.method is 'gradcam'; did you mean grad_cam?"),
    ([*FOLDER, "trust.methods=[gradcam]"], "trust.methods is ['gradcam']; expected some of"),
    ([*FOLDER, "training.precision=16"], "training.precision is '16'; expected auto, 32-true, bf16-mixed"),
    # other commands
    (["compare", "nowhere"], "nowhere: not a finished run (it has no provenance.json)"),
    (["compare"], "respcam compare: the following arguments are required: runs; see respcam compare --help"),
    (["compare", "nowhere", "--bse", "all"], "respcam compare: unrecognized arguments: --bse all"),
    (["run", "--sed=3"], "respcam run: unrecognized arguments: --sed=3; see respcam run --help"),
    (["compare", "nowhere", "--metric", "acuracy"], "invalid choice: 'acuracy'"),
    (["runs", "satte=failed"], "satte=failed: no column satte; did you mean state?"),
    (["runs", "state=failde"], "state=failde: no such state; did you mean failed?"),
    (["compare", "data", "--margin", "-1"], "margin is -1.0; expected above 0 and below 1"),
    (["rerun", "data"], "data: not a finished run (it has no config.yaml)"),
    (["manifest", "check", "dataset=nope"], "dataset=nope: no such option"),
    (["manifest", "check", "dataset=csv", "dataset.root=data", "dataset.manifest=tabs.csv"], "separated by tabs"),
    (["manifest", "make", "folder", "flat"], "flat: no audio in sub-folders"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_ends_in_one_line_before_audio_is_touched(respcam, tmp_path, arguments, message):
    few = ["dataset.synthetic.n_patients=20", "dataset.synthetic.duration_s=1"]
    is_synthetic = arguments[0] == "run" and not any(word.startswith("dataset") for word in arguments)
    status, _, err = respcam(*arguments, *(few if is_synthetic else []))
    assert status in (1, 2)
    lines = err.strip().splitlines()
    assert "Traceback" not in err
    assert message.format(here=tmp_path) in lines[-1] if "{here}" in message else message in lines[-1]
    assert lines[-1].startswith("error: ")
    assert [line for line in lines[:-1] if "[INFO]" not in line and "[WARNING]" not in line] == []
    assert not list(tmp_path.glob("outputs/store/[!s]*/*/provenance.json"))  # but for the synthetic sounds


FEATURES = ["until=features", "workers=1"]
TRAIN = ["until=train", "training=quick", "training.epochs=1", "split.validation_fraction=0.25", "workers=1"]


def test_an_experiment_of_several_runs_needs_its_m(respcam):
    sweep = [*FOLDER[:-1], *FEATURES, "--config-dir", "settings", "experiment=rates"]
    status, _, err = respcam(*sweep)
    assert status == 1
    assert "experiment=rates makes a run for each value of audio.quality; start it with -m: respcam run -m exp" in err
    status, out, err = respcam(*sweep, "-m")
    assert status == 0, err
    folders = [line for line in out.splitlines() if line.startswith("outputs/store/features/")]
    assert len(set(folders)) == 2


@pytest.mark.parametrize("manifest", ["good", "absolute", "with_bom"])
def test_three_columns_are_enough_in_any_order(respcam, manifest):
    status, out, err = respcam(*CSV, f"dataset.manifest={manifest}.csv", *FEATURES)
    assert status == 0, err
    assert "24 recordings of 12 patients, 2 each; for example patient 'p0' in asthma/p0_asthma.wav" in err
    assert "labels: asthma 8, healthy 8, noise 8" in err
    index = pd.read_csv(f"{out.strip()}/index.csv")
    assert index["recording_id"].tolist() == sorted(index["recording_id"])
    assert index["recording_id"][0] == "asthma_p0_asthma"


def test_a_folder_without_a_published_split_holds_patients_out_and_says_so(respcam):
    status, out, err = respcam(*FOLDER, *TRAIN)
    assert status == 0, err
    assert "split: data publishes none; patients are held out (split=patient_holdout)" in err
    units = pd.read_csv(f"{out.strip()}/units.csv")
    assert set(units["part"]) == {"train", "validation", "holdout"}
    assert units.groupby("patient_id")["part"].nunique().max() == 1
    status, named, err = respcam(*FOLDER, *TRAIN, "split=patient_holdout")
    assert (status, named) == (0, out)  # the same training


def test_labels_are_dropped_and_merged_on_the_command_line_and_in_a_file_of_five_lines(respcam):
    merged = ["task.drop=[noise]", "task.classes={well:[healthy],ill:[asthma]}", "task.normal=well"]
    folders = set()
    for task in (merged, ["--config-dir", "settings", "task=mine", "task.normal=well", "task.name=labels"]):
        words = [word for word in FOLDER if word != "task=labels" or task is merged]
        status, out, err = respcam(*words, *task, *TRAIN)
        assert status == 0, err
        folders.add(out)
    assert len(folders) == 1
    units = pd.read_csv(f"{out.strip()}/units.csv")
    assert set(units["label"]) == {"healthy", "asthma"}
    status, out, err = respcam(
        *FOLDER[:-1],
        "--config-dir",
        "settings",
        "experiment=mine",
        *TRAIN,
    )
    assert status == 0, err
    assert (pd.read_csv(f"{out.strip()}/units.csv")["target"] == (units["label"] == "asthma")).all()


def test_numbers_can_be_labels(respcam):
    numbers = [*CSV, "dataset.manifest=numbers.csv", *TRAIN]
    status, out, err = respcam(*numbers, "task.classes={0:[0],1:[1]}", "task.drop=[2]", "task.normal=0")
    assert status == 0, err
    assert set(pd.read_csv(f"{out.strip()}/units.csv")["target"]) == {0, 1}
    status, out, err = respcam(*numbers)
    assert set(pd.read_csv(f"{out.strip()}/units.csv")["target"]) == {0, 1, 2}


def test_what_a_pattern_finds_is_printed_and_what_is_suspicious_said(respcam):
    kauh = ["run", "dataset=folder", "dataset.root=kauh", "task=labels", *FEATURES]
    status, _, err = respcam(*kauh)
    assert status == 0
    assert "every recording is its own patient (30): if a patient has several, they would be in train and test" in err
    status, _, err = respcam(*kauh, 'dataset.patient_pattern="^(.)P"')
    assert "only 3 patients (B, D, E): a test on so few says little; dataset.patient_pattern says where" in err
    status, _, err = respcam(*kauh, r'dataset.patient_pattern="P(\d+)_"', 'dataset.device_pattern="^(.P)"')
    assert "30 recordings of 10 patients, 3 each; for example patient '0' in Asthma/BP0_Asthma,E W" in err
    assert "devices: BP 10, DP 10, EP 10" in err
    assert "own patient" not in err
    assert "says little" not in err


def test_audio_outside_the_folders_of_labels_is_named(respcam, place):
    sf.write(place / "data" / "stray.wav", SOUNDS[0], 4000)
    try:
        _, _, err = respcam(*FOLDER, *FEATURES)
    finally:
        (place / "data" / "stray.wav").unlink()
    assert "1 audio files are not in a folder of a label: stray.wav" in err


def test_a_network_that_names_no_blocks_runs_to_the_end_with_layers_of_the_users_own(respcam):
    status, out, err = respcam(
        *FOLDER, *TRAIN[1:], "model.name=net_of_mistakes:Net", "explain.layers=[conv]", "trust.first=8"
    )
    assert status == 0, err
    assert out.strip().endswith("report.html")
