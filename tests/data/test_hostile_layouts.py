"""Annotations of published data sets that are damaged or made up: each is listed, or refused in one line.

Nothing outside the root is read, whatever the names in the tables say.
"""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from respcam.data.layouts import list_layout, write_manifest
from respcam.errors import Refused

ANNOTATION = {"record_annotation": "CAS", "event_annotation": [{"start": "84", "end": "1824", "type": "Wheeze"}]}
NAME = "101_1b1_Al_sc_Meditron"
TREES = {
    "sprsound2022": {
        "SPRSound_patient_summary.csv": ",patient_num,disease,age,gender\n0,41,Asthma,6.1,F\n",
        "train_json/41_6.1_1_p2_7.json": json.dumps(ANNOTATION),
        "test_json/intra_test_json/41_6.1_1_p1_8.json": json.dumps(ANNOTATION),
        "test_json/inter_test_json/41_6.1_1_p3_9.json": json.dumps(ANNOTATION),
    },
    "icbhi2017": {
        "ICBHI_challenge_train_test.txt": f"{NAME}\ttest\n",
        "patient_diagnosis.csv": "101,URTI\n",
        "demographic_info.txt": "101 3 F NA 19 99\n",
        f"ICBHI_final_database/{NAME}.txt": "0.036\t0.579\t0\t0\n0.579\t2.45\t1\t0\n",
    },
}
FILES = [(layout, name) for layout, files in TREES.items() for name in files]
CONTENTS = {
    "empty": b"", "a line end": b"\n", "nul": b"\0", "nuls": bytes(5000), "half a character": b"\xe2\x82", "quote": b'"',
    "utf-16": "101,URTI\n".encode("utf-16"), "png": b"\x89PNG\r\n\x1a\n" + bytes(50), "long rows": b"a b c d e f g h i\n" * 3,
    "a list": b"[]", "a number": b"7", "null": b"null", "nested": b"[" * 100_000, "half": b'{"record_annotation": "CAS", ',
    "no events": b'{"record_annotation": "CAS"}', "events of text": b'{"record_annotation": "CAS", "event_annotation": "no"}',
    "numbers of 5000 digits": b'{"record_annotation": "CAS", "event_annotation": [{"start": "' + b"9" * 5000 + b'"}]}',
    "a large time": b'{"record_annotation": "CAS", "event_annotation": [{"start": 1e999, "end": 1, "type": "W"}]}',
    "lists for texts": b'{"record_annotation": [], "event_annotation": [{"start": 1, "end": [2], "type": {}}]}',
    "another header": b"a,b\n1,2\n", "twice the patient": b"101 URTI\n101 COPD\n", "twice with commas": b"101,a\n101,b\n",
    "no patient": b"999,URTI\n", "kinds of cycles": b"0 1 2 0\n", "negative kinds": b"0 1 -1 2\n", "text for times": b"a b 0 0\n",
    "not a number": b"nan inf 0 0\n", "blank columns": b"0.5\n", "a path above": b"../../../x_1_2_3_4 train\n",
    "an absolute path": b"/etc/x_1_2_3_4 train\n", "a nul in a name": b"a\0b_1_2_3_4 train\n", "a long name": b"a" * 3000 + b" train\n",
}  # fmt: skip


def laid_out(folder, layout):
    for name, content in TREES[layout].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def outcome_of(layout, root):
    """The listing, or the line that refused it; any other error is a defect."""
    try:
        listing = list_layout(layout, root)
        assert listing.recordings.map(lambda value: isinstance(value, str)).all(axis=None)
        write_manifest(layout, root, root / "out")
        return listing
    except Refused as refusal:
        line = str(refusal)
        assert 0 < len(line) < 2000
        assert "\n" not in line
        return line


@pytest.mark.parametrize("layout", TREES)
def test_the_trees_are_listed_where_nothing_is_damaged(tmp_path, layout):
    assert not isinstance(outcome_of(layout, laid_out(tmp_path, layout)), str)


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize(("layout", "name"), FILES)
def test_annotations_are_read_or_refused_in_a_line(tmp_path, layout, name, content):
    (laid_out(tmp_path, layout) / name).write_bytes(CONTENTS[content])
    outcome = outcome_of(layout, tmp_path)
    if isinstance(outcome, str) and "_test.txt" not in name:
        assert Path(name).name in outcome or "_events.csv" in outcome or ".csv row" in outcome


@pytest.mark.parametrize(("layout", "name"), FILES)
@pytest.mark.parametrize("kind", ["fifo", "folder", "dangling link", "device"])
def test_what_is_no_file_is_not_waited_for(tmp_path, layout, name, kind):
    path = laid_out(tmp_path, layout) / name
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "nothing")
    outcome = outcome_of(layout, tmp_path)
    assert isinstance(outcome, str) or kind == "dangling link"


@pytest.mark.parametrize(
    "content", [*CONTENTS.values(), b"path,sha256,sample_rate_hz,n_samples\na.wav,,,\na.wav,,,\n"]
)
def test_a_damaged_table_of_checksums_is_refused_in_a_line(tmp_path, content):
    path, root = tmp_path / "sums.csv", laid_out(tmp_path / "data", "icbhi2017")
    path.write_bytes(content)
    with pytest.raises(Refused, match=r"sums\.csv: n"):
        write_manifest("icbhi2017", root, tmp_path / "out", path)


def test_a_name_does_not_lead_out_of_the_root(tmp_path):
    root = laid_out(tmp_path / "data", "icbhi2017")
    for suffix in (".wav", ".txt"):
        (tmp_path / f"101_1b1_Al_sc_x{suffix}").write_text("0 1 1 0\n")
    (root / "ICBHI_challenge_train_test.txt").write_text("../../101_1b1_Al_sc_x train\n")
    assert "not the name of a recording" in outcome_of("icbhi2017", root)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["record_annotation", "event_annotation", "start", "end", "type"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES, VALUES)
def test_any_json_is_read_or_refused_in_a_line(tmp_path, label, events):
    root = laid_out(tmp_path, "sprsound2022")
    content = {"record_annotation": label, "event_annotation": events}
    (root / "train_json/41_6.1_1_p2_7.json").write_text(json.dumps(content))
    outcome_of("sprsound2022", root)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(list(TREES["icbhi2017"])),
    st.one_of(st.binary(max_size=60), st.text("01. \tNAabF_,-\n", max_size=60)),
)
def test_any_bytes_in_a_table_are_read_or_refused_in_a_line(tmp_path, name, content):
    root = laid_out(tmp_path, "icbhi2017")
    content = content if isinstance(content, bytes) else content.encode()
    (root / name).write_bytes(content)
    outcome_of("icbhi2017", root)
