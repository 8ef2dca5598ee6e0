"""Tables that are damaged, of another encoding or no tables at all: each is read, or refused in one line."""

import gzip
import zipfile

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from respcam.data import manifest as rules
from respcam.errors import Refused

ROWS = [("ann/1.wav", "ann", "wheeze"), ("bob/1.wav", "bob", "normal"), ("eve/1.wav", "eve", "normal")]
TEXT = "path,patient_id,label\n" + "".join(f"{','.join(row)}\n" for row in ROWS)
NUMBERS = ["9" * 5000, "1e5", "1e999", "-1", "inf", "nan", "0x10", "1_000", "٣", "1.5.2", "+1", " 1", "1 ", "²"]
WORDS = ["NA", "nan", "None", "null", "007", "1e5", "True", "-", "$\\frac$", "é" * 10, "a" * 300, "\x07", "‮abc"]


def with_cell(column, value, base=("a.wav", "ann", "wheeze")):
    """A table in which one more column, or one of the three, has a value."""
    columns = dict(zip(("path", "patient_id", "label"), base, strict=True)) | {column: value}
    return f"{','.join(columns)}\n{','.join(columns.values())}\n".encode()


def zipped(folder):
    with zipfile.ZipFile(folder / "list.zip", "w") as file:
        file.writestr("list.csv", TEXT)
    return (folder / "list.zip").read_bytes()


CONTENTS = {
    "empty": b"", "a line end": b"\n", "blank lines": b"\n\n\n", "a space": b" ", "nul": b"\0", "nuls": bytes(5000),
    "utf-16": TEXT.encode("utf-16"), "utf-16 without mark": TEXT.encode("utf-16-le"), "utf-32": TEXT.encode("utf-32"),
    "latin-1": TEXT.replace("wheeze", "Rasselgeräusch").encode("latin-1"), "utf-8 with mark": TEXT.encode("utf-8-sig"),
    "gzip": gzip.compress(TEXT.encode()), "png": b"\x89PNG\r\n\x1a\n" + bytes(200), "wav": b"RIFF" + bytes(100),
    "half a character": TEXT.encode() + b"\xe2\x82", "header alone": b"path,patient_id,label\n",
    "no header": TEXT.encode().partition(b"\n")[2], "semicolons": TEXT.replace(",", ";").encode(),
    "tabs": TEXT.replace(",", "\t").encode(), "bars": TEXT.replace(",", "|").encode(), "cr": TEXT.replace("\n", "\r").encode(),
    "crlf": TEXT.replace("\n", "\r\n").encode(), "a quote": TEXT.encode() + b'"a.wav,x,y\n', "quotes": b'"' * 1001,
    "a quote in the header": b'"path,patient_id,label\n' + TEXT.encode(), "a long row": TEXT.encode() + b"a,b,c,d,e\n",
    "a short row": TEXT.encode() + b"a\n", "a very long row": TEXT.encode() + b"," * 100_000 + b"\n",
    "twice the header": TEXT.encode() + b"path,patient_id,label\n", "a column twice": TEXT.replace("label", "path").encode(),
    "unnamed columns": TEXT.replace("label", "").encode(), "spaces in the header": TEXT.replace(",", " , ").encode(),
    "capitals": TEXT.upper().encode(), "only commas": b",,,\n,,,\n", "json": b'{"path": "a.wav"}', "yaml": b"path: a.wav\n",
    "html": b"<html><body>not here</body></html>", "a row twice": (TEXT + TEXT.partition("\n")[2]).encode(),
    "a nul in a path": with_cell("path", "a\0.wav"), "a line end in a path": with_cell("path", '"a\nb.wav"'),
    "a carriage return in a path": with_cell("path", '"a\rb.wav"'), "an absolute path": with_cell("path", "/etc/passwd"),
    "a path above": with_cell("path", "../a.wav"), "a path above within": with_cell("path", "a/../../b.wav"),
    "a path of windows": with_cell("path", "C:\\a.wav"), "a path with an escape": with_cell("path", "a\\..\\b.wav"),
    "a very long path": with_cell("path", "a/" * 3000 + "b.wav"), "a very long name": with_cell("path", "a" * 300 + ".wav"),
    "a folder": with_cell("path", "a/"), "a dot": with_cell("path", "."), "a home": with_cell("path", "~/a.wav"),
    "a url": with_cell("path", "file:///etc/passwd"), "spaces around": with_cell("path", '" a.wav "'),
    **{f"{column} {value[:12]!r} {len(value)}": with_cell(column, value)
       for column in ("recording_id", "patient_id", "label", "split", "device", "sha256") for value in WORDS},
    **{f"{column} {value[:12]!r} {len(value)}": with_cell(column, value)
       for column in ("sample_rate_hz", "n_samples", "age_years") for value in NUMBERS},
}  # fmt: skip


def outcome_of(read):
    """The table that was read, or the line that refused it; any other error is a defect."""
    try:
        return read()
    except Refused as refusal:
        line = str(refusal)
        assert line
        assert len(line) < 2000
        return line


@pytest.mark.parametrize("name", CONTENTS)
def test_a_manifest_is_read_or_refused_in_a_line(tmp_path, name):
    path = tmp_path / "list.csv"
    path.write_bytes(CONTENTS[name])
    outcome = outcome_of(lambda: rules.read_recordings(path, root=tmp_path))
    if not isinstance(outcome, str):
        assert len(outcome)
        for column in rules.REQUIRED_COLUMNS:
            assert outcome[column].map(type).eq(str).all()
        for recording in outcome["recording_id"]:
            assert len(recording.encode()) <= rules.LONGEST_ID
        for relative in outcome["path"]:
            assert (tmp_path / relative).resolve().is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize("name", ["zip", "folder", "absent", "below a file"])
def test_what_is_no_file_of_text_is_refused(tmp_path, name):
    path = tmp_path / "list.csv"
    if name == "zip":
        path.write_bytes(zipped(tmp_path))
    elif name == "folder":
        path.mkdir()
    elif name == "below a file":
        path.write_text("")
        path = path / "list.csv"
    assert isinstance(outcome_of(lambda: rules.read_recordings(path)), str)


EVENTS = [*NUMBERS, "0", "-0", "1e-5", "", "a", "1,5"]


@pytest.mark.parametrize("column", ["recording_id", "start_s", "end_s", "label"])
@pytest.mark.parametrize("value", EVENTS)
def test_events_are_read_or_refused_in_a_line(tmp_path, column, value):
    recordings = rules.read_recordings(write(tmp_path / "list.csv", TEXT))
    row = {"recording_id": "ann_1", "start_s": "0.5", "end_s": "1.5", "label": "wheeze"} | {column: value}
    path = write(tmp_path / "events.csv", f"{','.join(row)}\n{','.join(row.values())}\n")
    outcome = outcome_of(lambda: rules.read_events(path, recordings))
    if not isinstance(outcome, str):
        assert (outcome["end_s"] > outcome["start_s"]).all()
        assert outcome["end_s"].max() < float("inf")


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.builds(
    lambda where, what: TEXT.encode()[:where] + what + TEXT.encode()[where:],
    st.integers(0, len(TEXT)), st.binary(min_size=1, max_size=6),
)))  # fmt: skip
@example(b"path,patient_id,label\n\x00,a,b\n")
def test_any_bytes_are_read_or_refused_in_a_line(tmp_path, content):
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    outcome_of(lambda: rules.read_recordings(path, root=tmp_path))
