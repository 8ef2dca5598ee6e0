"""A run, a comparison and a prediction in which every name that a user can give is an attack."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from browser import address_of, browser, needs_chromium
from conftest import SMALL
from report.made_up_page import EVIL

LABELS = [EVIL[0], EVIL[3]]  # a script; a formula, commas and semicolons
N_PATIENTS = 16
RATE_HZ = 8000
NAMES = [name.replace("/", "\N{DIVISION SLASH}").replace("\\", "")[:120] for name in EVIL]  # these name folders


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Wheezes and noise of patients with hostile names, listed in a CSV."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(N_PATIENTS):
        is_wheeze = patient % 2
        time_s = np.arange(2 * RATE_HZ) / RATE_HZ
        sound = 0.05 * rng.standard_normal(len(time_s)) + 0.2 * is_wheeze * np.sin(2 * np.pi * 600 * time_s)
        path = f"{patient} {NAMES[patient % len(NAMES)]}.wav"
        sf.write(folder / path, sound, RATE_HZ)
        part = "train" if patient < N_PATIENTS // 2 else "validation" if patient < N_PATIENTS * 3 // 4 else "test"
        name = EVIL[patient % len(EVIL)]
        rows.append([f"r{patient}", path, f"{patient} {name}", LABELS[is_wheeze], part, name])
    with open(folder / "list.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["recording_id", "path", "patient_id", "label", "split", "device"], *rows])
    return folder


@pytest.fixture(scope="module")
def pages(sounds, tmp_path_factory):
    """Folder that the commands ran in, and the page of each."""
    from respcam.cli import main as cli

    folder = tmp_path_factory.mktemp("hostile") / "work"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)

        def call(*arguments):
            patch.setattr("sys.argv", ["respcam", *arguments])
            cli.main()  # a refusal would exit

        small = [setting for setting in SMALL if "synthetic" not in setting]
        for bands in ("all", "below_1500hz"):
            call("run", "dataset=csv", "dataset.name=../../evil", f"dataset.root={sounds}", f"dataset.manifest={sounds / 'list.csv'}", "task=labels",
                 f"bands={bands}", *small)  # fmt: skip
        runs = sorted(path.parent for path in folder.rglob("report.html"))
        call("compare", *map(str, runs))
        call(
            "predict", str(runs[0]), str(sounds), "--labels", str(sounds / "list.csv"), "--out", str(folder / "asked")
        )
    return folder, {
        "report": runs[0] / "report.html",
        "comparison": next(folder.rglob("comparison.html")),
        "prediction": next(folder.rglob("predict.html")),
    }


def test_nothing_is_written_outside(pages, sounds):
    folder, _ = pages
    assert [path.name for path in folder.parent.iterdir()] == ["work"]
    assert len(list(sounds.iterdir())) == N_PATIENTS + 1
    assert {path.name for path in folder.iterdir()} == {"outputs", "asked"}
    assert all(path.resolve().is_relative_to(folder) for path in folder.rglob("*"))


@pytest.mark.parametrize("kind", ["report", "comparison", "prediction"])
def test_names_are_text_in_the_source_of_a_page(pages, kind):
    text = Path(pages[1][kind]).read_text(encoding="utf-8")
    assert "<script>window.isAttacked" not in text
    assert "<img src=x" not in text


@needs_chromium
@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("kind", ["report", "comparison", "prediction"])
def test_names_are_text_on_a_page(pages, kind, width):
    shown = {
        "report": [*LABELS, *EVIL[4:]],
        "comparison": [LABELS[1], "r12"],
        "prediction": [*LABELS, *NAMES],
    }
    with browser(width) as opened:
        page = opened.open(address_of(pages[1][kind])).page
        opened.drawn()
        text = " ".join(page.locator("body").inner_text().split())
        for word in shown[kind]:
            assert " ".join(word.split()) in text, word
        assert page.evaluate("window.isAttacked") is None
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for link in page.locator("a[href]").all():
            target = link.get_attribute("href")
            assert target.startswith("#") or (pages[1][kind].parent / target).is_file()
        assert opened.errors == []
        assert opened.outside() == []
