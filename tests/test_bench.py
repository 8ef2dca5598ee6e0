"""The benchmarks say what they measured; one is run for real, the others at least start."""

import json
import runpy
import subprocess
import sys

import numpy as np
import pytest
from conftest import PROJECT

FOLDER = PROJECT / "scripts" / "bench"
sys.path.insert(0, str(FOLDER))
import measure  # noqa: E402


def test_a_limit_is_compared_with_the_median():
    row = measure.ratio("b", "what", "on", [2.0, 9.0, 4.0], [1.0, 3.0, 4.0], "<= 2")
    assert (row.figure, row.low, row.high) == (2.0, 1.0, 3.0)
    assert row.is_met
    assert not measure.ratio("b", "what", "on", [3.0], [1.0], "<= 2").is_met
    assert measure.ratio("b", "what", "on", [3.0], [1.0], ">= 2").is_met
    assert measure.ratio("b", "what", "on", [3.0], [1.0]).is_met is None


def test_numpy_figures_are_written_like_any_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    row = measure.spread("b", "what", "on", list(np.array([0.1, 0.3])), limit=">= 0.1")
    measure.write("numbers", [row], measure.machine())
    assert json.loads((tmp_path / "outputs/bench/numbers.json").read_text())["rows"][0]["is_met"] is True
    assert "met" in capsys.readouterr().out


def test_works_take_turns():
    order = []
    by_work = measure.alternate(
        {name: lambda name=name: order.append(name) for name in "ab"}, rounds=4, per_round_s=0
    )
    assert [len(seconds) for seconds in by_work.values()] == [4, 4]
    assert order[-8:] == list("baabbaab")


def test_a_missed_limit_stands_in_the_table():
    text = measure.table([measure.ratio("b", "what", "on", [3.0], [1.0], "<= 2")])
    assert text.splitlines()[1].endswith("MISSED")


@pytest.mark.parametrize("path", sorted(set(FOLDER.glob("*.py"))), ids=lambda path: path.stem)
def test_every_benchmark_explains_itself(path, monkeypatch, capsys):
    assert '"""' in path.read_text().splitlines()[0]
    if "__main__" in path.read_text():
        monkeypatch.setattr(sys, "argv", [str(path), "--help"])
        with pytest.raises(SystemExit) as end:  # in this process, which has imported torch
            runpy.run_path(str(path), run_name="__main__")
        assert not end.value.code
        assert "usage" in capsys.readouterr().out


def test_a_benchmark_prints_a_table_and_writes_json(tmp_path):
    command = [sys.executable, FOLDER / "occlusion.py", "--rounds", "2", "--patches", "40", "training.threads=1"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    written = json.loads((tmp_path / result.stdout.splitlines()[-1]).read_text())
    assert written["machine"]["versions"]["torch"] != "absent"
    assert [row["what"] for row in written["rows"]] == ["12 sets over inference", "speed against the naive loop"]
    assert all(row["low"] <= row["figure"] <= row["high"] for row in written["rows"])
