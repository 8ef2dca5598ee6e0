import pytest

from respcam.data.listing import Listing, required
from respcam.data.manifest import EVENT_COLUMNS, OPTIONAL_COLUMNS, RECORDING_COLUMNS
from respcam.errors import Refused


def test_rows_become_sorted_tables_with_every_column():
    recordings = [{"recording_id": "b", "label": "wheeze"}, {"recording_id": "a", "sex": "female"}]
    events = [("b", 2.0, 3.0, "wheeze"), ("a", 0.5, 0.9, "wheeze"), ("b", 1.0, 1.5, "crackle")]
    listing = Listing.of(recordings, events)
    assert listing.recordings.columns.tolist() == [*RECORDING_COLUMNS, *OPTIONAL_COLUMNS]
    assert listing.recordings["recording_id"].tolist() == ["a", "b"]
    assert listing.recordings.loc[0, ["label", "sex"]].tolist() == ["", "female"]
    assert listing.events.columns.tolist() == list(EVENT_COLUMNS)
    assert listing.events["start_s"].tolist() == [0.5, 1.0, 2.0]


def test_a_listing_without_events_has_an_empty_table():
    listing = Listing.of({"recording_id": name} for name in "ab")
    assert len(listing.events) == 0
    assert listing.events.columns.tolist() == list(EVENT_COLUMNS)


def test_what_is_required_is_there_or_refused(tmp_path):
    assert required(tmp_path) == tmp_path
    with pytest.raises(
        Refused, match="absent: not there; the data set's annotations must lie as they were published"
    ):
        required(tmp_path / "absent")
