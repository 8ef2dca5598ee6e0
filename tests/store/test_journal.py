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
        file.write('{"piece": "b", "outc')
    assert Journal(tmp_path, WHOLE).outcomes() == {"a": 1}
    with Journal(tmp_path, WHOLE) as journal:
        journal.append("c", 2)
    assert Journal(tmp_path, WHOLE).outcomes() == {"a": 1, "c": 2}
    journal.remove()
    assert not list(tmp_path.iterdir())
