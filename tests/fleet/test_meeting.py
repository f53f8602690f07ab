"""Ranks meet in a real store; each of them is a thread here, and a process where one must be killed."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import pytest

from bench.errors import CannotMeasure, RankLost
from bench.fleet import meeting
from bench.fleet.meeting import Meeting, joined
from bench.fleet.ranks import AGENT_KEEPS, Place, place
from bench.measure import together

Result = TypeVar("Result")


@pytest.fixture
def port() -> Iterator[int]:
    number, kept = meeting.keep()
    yield number
    del kept


def environment(number: int, of: int, port: int) -> dict[str, str]:
    return {
        "RANK": str(number),
        "WORLD_SIZE": str(of),
        "LOCAL_RANK": str(number),
        "LOCAL_WORLD_SIZE": str(of),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        **AGENT_KEEPS,
    }


def seat(number: int, of: int, port: int) -> Place:
    found = place(environment(number, of, port))
    assert found is not None
    return found


def all_at_once(of: int, port: int, act: Callable[[Meeting], Result]) -> list[Result]:
    """What each rank comes to, all in threads of their own."""

    def one(number: int) -> Result:
        with joined(seat(number, of, port)) as met:
            return act(met)

    with ThreadPoolExecutor(of) as ranks:
        return list(ranks.map(one, range(of)))


def test_every_rank_hears_what_all_said_in_the_order_of_ranks(port: int) -> None:
    heard = all_at_once(4, port, lambda met: met.meet("here", [f"rank {met.rank.number}", "?"]))
    assert heard == [[[f"rank {number}", "?"] for number in range(4)]] * 4


def test_nobody_goes_on_before_the_last_one_is_there(port: int) -> None:
    came: list[int] = []

    def act(met: Meeting) -> list[int]:
        if met.rank.number == 1:
            time.sleep(0.5)
        came.append(met.rank.number)
        met.meet("here")
        return list(came)

    assert [sorted(seen) for seen in all_at_once(2, port, act)] == [[0, 1], [0, 1]]


def test_ranks_tell_how_far_apart_their_clocks_are(port: int) -> None:
    """The second rank's clock is 5 s behind, the third's 2 s ahead."""
    ahead = {0: 0, 1: -5 * 10**9, 2: 2 * 10**9}

    def act(met: Meeting) -> list[together.Timebase | None]:
        def now() -> int:
            return time.monotonic_ns() + ahead[met.rank.number]

        met.exchange("before", now)
        met.meet("measured")
        met.exchange("after", now)
        met.hand_in(b"report")
        handed = met.collect(interrupted=False) if met.rank.number == 0 else []
        return [together.timebase(each.exchanges) for each in handed[1:]]

    first, second = all_at_once(3, port, act)[0]
    assert isinstance(first, together.Timebase)
    assert isinstance(second, together.Timebase)
    for found, expected in ((first, 5 * 10**9), (second, -2 * 10**9)):
        assert abs(found.before.ns - expected) <= found.uncertainty_ns < 10**8
        assert found.agrees


def test_what_each_rank_hands_in_arrives_as_it_was(port: int) -> None:
    reports = [bytes([number]) * 300_000 for number in range(3)]

    def act(met: Meeting) -> list[bytes | None]:
        met.hand_in(reports[met.rank.number])
        if met.rank.number:
            assert met.is_written()
            return []
        found = [each.report for each in met.collect(interrupted=False)]
        met.written([0, 1, 2])
        return found

    assert all_at_once(3, port, act)[0] == reports


def test_a_rank_that_gives_up_ends_the_others_with_its_words(port: int) -> None:
    def act(met: Meeting) -> str:
        if met.rank.number == 1:
            met.fail("unknown device 'cuda:9'")
            return ""
        with pytest.raises(RankLost) as lost:
            met.meet("here")
        return str(lost.value)

    assert all_at_once(2, port, act)[0] == "rank 1 of 2: unknown device 'cuda:9'"


def test_whatever_ends_a_rank_before_its_time_is_told_to_the_others(port: int) -> None:
    def act(met: Meeting) -> str:
        if met.rank.number == 1:
            raise KeyboardInterrupt
        with pytest.raises(RankLost) as lost:
            met.meet("here")
        return str(lost.value)

    def one(number: int) -> str:
        try:
            with joined(seat(number, 2, port)) as met:
                return act(met)
        except KeyboardInterrupt:
            return "interrupted"

    with ThreadPoolExecutor(2) as ranks:
        told = list(ranks.map(one, range(2)))
    assert told == ["rank 1 of 2: it ended (KeyboardInterrupt)", "interrupted"]


def test_nobody_waits_for_a_file_that_rank_0_could_not_write(port: int) -> None:
    def act(met: Meeting) -> bool | None:
        met.meet("measured")
        return met.is_written() if met.rank.number else None

    assert all_at_once(2, port, act) == [None, False]


OTHER = """
import os, sys, time
from bench.fleet.meeting import joined
from bench.fleet.ranks import place
with joined(place(os.environ)) as met:
    met.meet("here")
    met.save(b"what it had")
    print("met", flush=True)
    {then}
"""


@contextmanager
def other(then: str, port: int) -> "Iterator[subprocess.Popen[str]]":
    """The second of two ranks, which has met the first one once, in a process of its own."""
    program = OTHER.format(then=then)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, **environment(1, 2, port)},
        stdout=subprocess.PIPE,
        text=True,
    ) as rank:
        try:
            yield rank
        finally:
            rank.kill()


def has_met(rank: "subprocess.Popen[str]") -> None:
    assert rank.stdout is not None
    assert rank.stdout.readline() == "met\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rank_that_dies_or_stands_still_is_named_and_what_it_saved_is_there(
    port: int, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "LOST_AFTER_S", 2.0)
    with other("time.sleep(600)", port) as rank, joined(seat(0, 2, port)) as met:
        met.meet("here")
        has_met(rank)
        rank.send_signal(number)
        with pytest.raises(RankLost, match="rank 1 of 2 has given no sign of life"):
            met.meet("there")
        met.hand_in(b"own")
        own, lost = met.collect(interrupted=True)
        assert (own.report, own.reason) == (b"own", None)
        assert (lost.report, lost.reason) == (b"what it had", "rank-lost")


def test_measuring_is_interrupted_when_a_rank_is_lost(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "LOST_AFTER_S", 2.0)
    with other("time.sleep(600)", port) as rank, joined(seat(0, 2, port)) as met:
        met.meet("here")
        has_met(rank)
        rank.kill()
        with pytest.raises(KeyboardInterrupt):
            time.sleep(60)
        assert met.why_ended() == "rank 1 of 2 has given no sign of life for 2 s"


def test_a_rank_whose_measuring_hangs_shows_no_life(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads live on: it is the steps of the measuring that are missing."""
    monkeypatch.setattr(meeting, "LOST_AFTER_S", 2.0)
    hangs = "from bench.fleet import meeting; meeting.HANGS_AFTER_S = 0.5; time.sleep(600)"
    with other(hangs, port), joined(seat(0, 2, port)) as met:
        met.meet("here")
        with pytest.raises(RankLost, match="rank 1 of 2"):
            met.meet("there")


def test_a_rank_that_has_left_is_not_lost(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "LOST_AFTER_S", 1.0)
    with other("pass", port) as rank, joined(seat(0, 2, port)) as met:
        met.meet("here")
        assert rank.wait(30) == 0
        time.sleep(3)
        assert met.why_ended() is None


def test_a_rank_that_is_slow_to_start_is_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "LOST_AFTER_S", 0.5)
    with joined(seat(0, 2, port)) as met:
        time.sleep(2)
        with other("time.sleep(0)", port):
            met.meet("here")


def test_a_rank_that_never_comes_is_named(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "JOIN_S", 2.0)
    with (
        joined(seat(0, 2, port)) as met,
        pytest.raises(RankLost, match="rank 1 of 2 has given no sign of life for 2 s"),
    ):
        met.meet("here")


def test_a_meeting_place_that_nobody_opened_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "JOIN_S", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    with (
        pytest.raises(CannotMeasure, match=rf"rank 1 cannot reach the others at 127\.0\.0\.1:{closed}"),
        joined(seat(1, 2, closed)),
    ):
        pass


def test_the_watching_thread_ends_with_the_meeting(port: int) -> None:
    all_at_once(2, port, lambda met: met.meet("here"))
    assert not [thread.name for thread in threading.enumerate() if thread.name == "ranks"]
