"""Which of several processes this is, by the environment that torchrun sets."""

from collections.abc import Mapping

import pytest

from bench.errors import UsageError
from bench.fleet.ranks import place
from bench.terms import Rank

# What torchrun 2.13 sets for the second of two ranks on the second of two machines (the ones that are read).
TORCHRUN: Mapping[str, str] = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "GROUP_RANK": "1",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_RESTART_COUNT": "0",
}


def test_torchruns_variables_tell_rank_node_and_meeting_place() -> None:
    found = place(TORCHRUN)
    assert found is not None
    assert found.rank == Rank(number=3, of=4, node=1)
    assert (found.local, found.local_of) == (1, 2)
    assert (found.address, found.port, found.hosts) == ("10.0.0.1", 29500, False)


def test_a_process_by_itself_has_no_rank() -> None:
    assert place({}) is None
    assert place({**TORCHRUN, "WORLD_SIZE": "1", "RANK": "0"}) is None


def test_where_no_agent_keeps_the_meeting_place_rank_0_opens_it() -> None:
    plain = {name: value for name, value in TORCHRUN.items() if not name.startswith("TORCHELASTIC")}
    first = {**plain, "RANK": "0", "LOCAL_RANK": "0"}
    hosts = [found.hosts for found in map(place, (plain, first)) if found]
    assert hosts == [False, True]


def test_a_second_start_of_the_same_ranks_meets_elsewhere() -> None:
    runs = {
        found.run
        for found in map(place, (TORCHRUN, {**TORCHRUN, "TORCHELASTIC_RESTART_COUNT": "1"}))
        if found
    }
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RANK": None}, "RANK is not set"),
        ({"MASTER_ADDR": None, "MASTER_PORT": None}, "MASTER_ADDR, MASTER_PORT is not set"),
        ({"RANK": "4"}, "rank 4 of 4"),
        ({"LOCAL_RANK": "2"}, "2 of 2 on this machine"),
        ({"RANK": "-1"}, "RANK is '-1'"),
        ({"WORLD_SIZE": "four"}, "WORLD_SIZE is 'four'"),
        ({"MASTER_PORT": "٢"}, "MASTER_PORT is '٢'"),
    ],
)
def test_a_place_that_cannot_be_is_refused(changes: Mapping[str, str | None], words: str) -> None:
    environment = {name: value for name, value in {**TORCHRUN, **changes}.items() if value is not None}
    with pytest.raises(UsageError, match="torchrun") as refused:
        place(environment)
    assert words in str(refused.value)
