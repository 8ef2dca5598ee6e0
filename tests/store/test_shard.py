import pytest

from respcam.store.shard import WHOLE, Shard


def test_shares_divide_the_work_without_rest():
    shards = [Shard(index, 3) for index in range(3)]
    assert all(sum(shard.holds(number) for shard in shards) == 1 for number in range(10))
    assert all(WHOLE.holds(number) for number in range(10))


@pytest.mark.parametrize(
    ("index", "count", "message"),
    [
        (0, 0, "shard.count is 0; expected at least 1"),
        (4, 4, "shard.index is 4; expected 0 to 3, as shard.count is 4"),
    ],
)
def test_a_share_that_does_not_exist_is_refused(index, count, message):
    with pytest.raises(ValueError, match=message):
        Shard(index, count)
