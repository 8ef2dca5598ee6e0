from respcam.store.journal import Journal
from respcam.store.shard import WHOLE, Shard


def test_pieces_of_every_share_are_read(tmp_path):
    for index in (0, 1):
        with Journal(tmp_path, Shard(index, 2)) as journal:
            journal.append(f"piece {index}", {"n": index})
    assert Journal(tmp_path, WHOLE).outcomes() == {"piece 0": {"n": 0}, "piece 1": {"n": 1}}


def test_a_line_that_was_cut_off_does_not_count_and_does_no_harm(tmp_path):
    with Journal(tmp_path, WHOLE) as journal:
        journal.append("a", 1)
    with journal.path.open("a") as file:
        file.write('1234abcd ["b", 1')
    assert Journal(tmp_path, WHOLE).outcomes() == {"a": 1}
    with Journal(tmp_path, WHOLE) as journal:
        journal.append("c", 2)
    assert Journal(tmp_path, WHOLE).outcomes() == {"a": 1, "c": 2}
    journal.remove()
    assert not list(tmp_path.iterdir())


def test_a_line_whose_content_has_changed_does_not_count(tmp_path):
    with Journal(tmp_path, WHOLE) as journal:
        journal.append("a", 1)
        journal.append("b", 2)
    journal.path.write_bytes(journal.path.read_bytes().replace(b'["a", 1]', b'["a", 7]') + b"\xff\xfe\n[]\n")
    assert Journal(tmp_path, WHOLE).outcomes() == {"b": 2}
