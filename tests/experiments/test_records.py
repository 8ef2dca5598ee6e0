import json

import pytest
from made_up_runs import run_in

from respcam.experiments import records
from respcam.experiments.records import keeping_record, table


def finished(folder, configuration="a", overrides=("seed=0",)):
    with keeping_record(folder, configuration, overrides) as attempt:
        attempt.run = folder / "run"


def test_a_run_is_on_record_from_its_start(tmp_path):
    with keeping_record(tmp_path, "a", ["seed=0"]) as attempt:
        assert table(tmp_path)["state"].tolist() == ["running"]
        attempt.run = tmp_path / "run"
    row = table(tmp_path).iloc[0]
    assert (row["state"], row["overrides"], row["attempts"]) == ("finished", "seed=0", 1)


def test_a_failure_is_kept_with_its_error_and_tried_again(tmp_path):
    with pytest.raises(ValueError, match="no such"), keeping_record(tmp_path, "a", []):
        raise ValueError("no such\nthing")
    row = table(tmp_path).iloc[0]
    assert (row["state"], row["error"]) == ("failed", "ValueError: no such thing")
    finished(tmp_path)
    row = table(tmp_path).iloc[0]
    assert (row["state"], row["error"], row["attempts"]) == ("finished", "", 2)


def test_an_interrupted_run_is_told_from_a_failed_one(tmp_path):
    with pytest.raises(KeyboardInterrupt), keeping_record(tmp_path, "a", []):
        raise KeyboardInterrupt
    assert table(tmp_path)["state"].tolist() == ["interrupted"]


def test_a_run_whose_process_is_gone_is_interrupted(tmp_path):
    finished(tmp_path)
    path = next(tmp_path.glob("*.json"))
    content = json.loads(path.read_text()) | {"state": "running", "pid": 2**22 + 1}  # above any process number
    path.write_text(json.dumps(content))
    assert records.read(path).state == "interrupted"
    elsewhere = content | {"host": "another machine"}
    path.write_text(json.dumps(elsewhere))
    assert records.read(path).state == "running"


def test_finding_everything_done_leaves_the_duration(tmp_path, monkeypatch):
    clock = iter([0.0, 60.0, 100.0, 101.0])
    monkeypatch.setattr(records.time, "monotonic", lambda: next(clock))
    finished(tmp_path)
    finished(tmp_path)
    assert table(tmp_path)["duration_s"].tolist() == [60.0]


def test_other_settings_are_another_run(tmp_path):
    finished(tmp_path, "a")
    finished(tmp_path, "b", ["seed=1"])
    assert sorted(table(tmp_path)["overrides"]) == ["seed=0", "seed=1"]


def test_no_runs_make_an_empty_table(tmp_path):
    assert table(tmp_path).empty


def test_a_finished_run_is_listed_with_its_metrics(tmp_path):
    run = run_in(tmp_path / "runs", "below", seed=3)
    with keeping_record(tmp_path, "a", ["seed=3"]) as attempt:
        attempt.run = run.folder
    with pytest.raises(ValueError, match="no"), keeping_record(tmp_path, "b", []):
        raise ValueError("no")
    listed = table(tmp_path).set_index("state")
    assert listed.loc["finished", ["bands", "seed", "digest", "test.auroc"]].tolist() == [
        "below", 3, run.digest()[:16], 0.8,
    ]  # fmt: skip
    assert listed.loc["failed", ["bands", "test.auroc"]].isna().all()
    last = ["duration_s", "attempts", "started", "overrides", "digest", "run", "error"]
    assert list(listed)[-len(last) :] == last


def test_a_finished_run_that_was_removed_stays_on_record(tmp_path):
    finished(tmp_path)
    assert "bands" not in table(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": "a", "unknown": 1}', b"\xff"])
def test_a_damaged_record_is_named_and_replaced_by_the_next_attempt(tmp_path, content, caplog):
    finished(tmp_path)
    path = next(tmp_path.glob("*.json"))
    path.write_bytes(content)
    assert table(tmp_path).empty
    assert f"{path} is damaged" in caplog.text
    finished(tmp_path)
    assert table(tmp_path)["state"].tolist() == ["finished"]
