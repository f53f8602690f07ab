"""Where the ranks of a run meet: waiting for one another, telling the time, handing in what was measured.

It is torch.distributed's TCPStore, the same that torchrun opens for its workers: all that is said there is
small. A rank shows once a second that it is alive, and that it goes on; one that does not is named by all the
others. No backend of collectives is needed, since no device's data is exchanged.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from bench.errors import BenchError, CannotMeasure, RankLost
from bench.fleet.ranks import Place
from bench.measure.together import offset
from bench.terms import Exchange, Rank

if TYPE_CHECKING:
    from torch.distributed import Store

# A sign of life is due each second. One that is missing for so long is a process that was killed, stopped or
# cut off, or a machine that swaps: what is measured beside that is nothing.
BEAT_S = 1.0
LOST_AFTER_S = 15.0
# A rank's thread still shows life when its device hangs. A step of the measuring takes seconds; openings of
# large outputs take longest.
HANGS_AFTER_S = 120.0
# How long ranks wait for one another at the start: the slowest of them imports torch over a network disk.
JOIN_S = 60.0
# How long others may take to hand in what they have once a run is interrupted; torchrun kills after 30 s.
_HAND_IN_S = 20.0
_LEAVE_S = 5.0
_POLL_S = 0.005
# Questions about the time; the shortest round trips are kept.
_QUESTIONS, _KEPT = 16, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What a rank has handed in: its report (an envelope's JSON).

    A reason code says why that is not its last one, or why there is none.
    """

    report: bytes | None
    exchanges: tuple[Exchange, ...]
    reason: str | None


@dataclass(slots=True)
class Meeting:
    """This rank's way to the others. One thread measures and meets; another shows life and watches."""

    place: Place
    _store: "Store"
    _beats: "Store"
    _exchanges: list[Exchange] = field(default_factory=list)
    _lost: dict[int, str] = field(default_factory=dict)
    _ended: str | None = None
    _alive_at_s: float = field(default_factory=time.monotonic)
    _waits: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def rank(self) -> Rank:
        return self.place.rank

    @property
    def others(self) -> list[int]:
        return [number for number in range(self.rank.of) if number != self.rank.number]

    # ------------------------------------------------------------------------------ waiting for one another

    def meet(self, where: str, said: Sequence[str] = ()) -> list[list[str]]:
        """Wait until every rank has come here; what each of them said, in the order of ranks.

        Raises RankLost where one cannot come any more.
        """
        keys = [f"at/{where}/{number}" for number in range(self.rank.of)]
        self._waits = True
        try:
            self._set(keys[self.rank.number], json.dumps(list(said)))
            while not self._check(keys):
                self._require_all()
                time.sleep(_POLL_S)
            return [list(json.loads(self._get(key))) for key in keys]
        finally:
            self._waits = False
            self.alive()

    def alive(self) -> None:
        """This rank goes on: called at every step of the measuring."""
        self._alive_at_s = time.monotonic()

    def fail(self, why: str) -> None:
        """Tell the others that this rank cannot go on; they end too."""
        if self._ended is None and not self._lost:
            told = f"rank {self.rank.number} of {self.rank.of}: {why}"
            self._set("over", json.dumps([self.rank.number, told]))

    def _require_all(self) -> None:
        why = self.why_ended()
        if why is not None:
            raise RankLost(why)

    def why_ended(self) -> str | None:
        """Which rank was lost, or why one gave up; None while all go on."""
        return next(iter(self._lost.values()), self._ended)

    # ------------------------------------------------------------------------------------ telling the time

    def exchange(self, phase: Literal["before", "after"], now_ns: Callable[[], int]) -> None:
        """Every rank asks rank 0 for its time in turn; `now_ns` is this rank's own."""
        self._waits = True
        try:
            if self.rank.number == 0:
                for number in self.others:
                    self._answer(f"time/{phase}/{number}", now_ns)
            else:
                self._exchanges += self._ask(phase, now_ns)
        finally:
            self._waits = False
            self.alive()

    def _answer(self, where: str, now_ns: Callable[[], int]) -> None:
        for index in range(_QUESTIONS):
            self._await(f"{where}/{index}/asked")
            received = now_ns()
            self._set(f"{where}/{index}/answered", json.dumps([received, now_ns()]))

    def _ask(self, phase: Literal["before", "after"], now_ns: Callable[[], int]) -> list[Exchange]:
        found = []
        for index in range(_QUESTIONS):
            where = f"time/{phase}/{self.rank.number}/{index}"
            sent = now_ns()
            self._set(f"{where}/asked", "")
            self._await(f"{where}/answered")
            received, answered = json.loads(self._get(f"{where}/answered"))
            found.append(
                Exchange(
                    phase=phase,
                    sent_ns=sent,
                    received_ns=received,
                    answered_ns=answered,
                    back_ns=now_ns(),
                )
            )
        shortest = sorted(found, key=lambda each: offset(each).uncertainty_ns)[:_KEPT]
        return sorted(shortest, key=lambda each: each.sent_ns)

    # ------------------------------------------------------------------------- handing in what was measured

    def save(self, report: bytes) -> None:
        """Leave what was measured so far, which counts if this rank is lost."""
        self._set(f"saved/{self.rank.number}", report)

    def hand_in(self, report: bytes) -> None:
        """Give rank 0 this rank's report, whatever became of the run. Nothing is interrupted any more."""
        self._waits = True
        exchanges = [[e.phase, e.sent_ns, e.received_ns, e.answered_ns, e.back_ns] for e in self._exchanges]
        self._set(f"exchanges/{self.rank.number}", json.dumps(exchanges))
        self._set(f"report/{self.rank.number}", report)

    def collect(self, *, interrupted: bool) -> list[Handed]:
        """What every rank has handed in. Rank 0 waits for all that live; once interrupted not for long."""
        until_s = time.monotonic() + _HAND_IN_S if interrupted else None
        return [self._handed(number, until_s) for number in range(self.rank.of)]

    def _handed(self, number: int, until_s: float | None) -> Handed:
        while not self._check([f"report/{number}"]):
            if number in self._lost:
                return self._left_by(number, "rank-lost")
            if until_s is None and self.why_ended() is not None:
                until_s = time.monotonic() + _HAND_IN_S
            if until_s is not None and time.monotonic() > until_s:
                return self._left_by(number, "report-not-received")
            time.sleep(_POLL_S)
        exchanges = tuple(
            Exchange(phase=phase, sent_ns=sent, received_ns=received, answered_ns=answered, back_ns=back)
            for phase, sent, received, answered, back in json.loads(self._get(f"exchanges/{number}"))
        )
        return Handed(report=self._get(f"report/{number}"), exchanges=exchanges, reason=None)

    def _left_by(self, number: int, reason: str) -> Handed:
        saved = f"saved/{number}"
        report = self._get(saved) if self._check([saved]) else None
        return Handed(report=report, exchanges=(), reason=reason)

    def written(self, ranks: Sequence[int]) -> None:
        """By rank 0: the system's file is there, and holds what these ranks handed in."""
        self._set("written", json.dumps(list(ranks)))

    def is_written(self) -> bool:
        """Whether rank 0 has written what this rank handed in. Waits until it has, or cannot any more."""
        while not self._check(["written"]):
            if 0 in self._lost or self._check(["left/0"]):
                break
            time.sleep(_POLL_S)
        return self._check(["written"]) and self.rank.number in json.loads(self._get("written"))

    def leave(self) -> None:
        """The end. Rank 0 goes last, since the meeting place may be its own."""
        self._stop.set()
        self._set(f"left/{self.rank.number}", "")
        until_s = time.monotonic() + _LEAVE_S
        waiting = [f"left/{number}" for number in self.others if number not in self._lost]
        while self.place.hosts and not self._check(waiting) and time.monotonic() < until_s:
            time.sleep(_POLL_S)

    # ------------------------------------------------------------------------------ showing life, watching

    def watch(self) -> None:
        """Show life and look for the others', until leave(). Measuring is interrupted once one is lost."""
        seen = {number: (b"", time.monotonic()) for number in self._watched()}
        beat = 0
        while not self._stop.wait(BEAT_S if beat else 0.0):
            beat += 1
            try:
                if self._waits or time.monotonic() - self._alive_at_s < HANGS_AFTER_S:
                    self._beats.set(f"beat/{self.rank.number}", str(beat))
                for number in seen:
                    seen[number] = self._seen(number, seen[number])
                if self._ended is None and self._beats.check(["over"]):
                    by, told = json.loads(self._beats.get("over"))
                    if by != self.rank.number:
                        self._end(told)
            except RuntimeError as error:
                self._end(self._gone(error))
                return

    def _watched(self) -> list[int]:
        """Rank 0 looks at all others, and they at it: through it each hears of everyone."""
        return self.others if self.rank.number == 0 else [0]

    def _seen(self, number: int, before: tuple[bytes, float]) -> tuple[bytes, float]:
        now_s = time.monotonic()
        key = f"beat/{number}"
        beat = self._beats.get(key) if self._beats.check([key]) else b""
        if beat != before[0] or number in self._lost or self._beats.check([f"left/{number}"]):
            return beat, now_s
        # One that has never been here may still be starting.
        allowed_s = LOST_AFTER_S if before[0] else JOIN_S
        if now_s - before[1] > allowed_s:
            why = f"rank {number} of {self.rank.of} has given no sign of life for {allowed_s:.0f} s"
            self._lost[number] = why
            if self.rank.number == 0:
                self._beats.set("over", json.dumps([self.rank.number, why]))
            self._end(why)
        return before

    def _end(self, why: str) -> None:
        """Stop measuring: what is measured beside a rank that is gone is no system's."""
        if self._ended is None:
            self._ended = why
            if not self._waits and not self._stop.is_set():
                os.kill(os.getpid(), signal.SIGINT)

    # ------------------------------------------------------------------------------------ the place itself

    def _set(self, key: str, value: str | bytes) -> None:
        with self._reached():
            self._store.set(key, value)

    def _get(self, key: str) -> bytes:
        with self._reached():
            return bytes(self._store.get(key))

    def _check(self, keys: list[str]) -> bool:
        with self._reached():
            return bool(self._store.check(keys))

    def _await(self, key: str) -> None:
        """Wait in the store itself, which answers at once when the key is set."""
        while not self._check([key]):
            self._require_all()
            # A wait that is over its time is asked again, so that a lost rank ends it.
            with suppress(RuntimeError):
                self._store.wait([key], timedelta(seconds=BEAT_S))

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise RankLost(self._gone(error)) from error

    def _gone(self, error: Exception) -> str:
        return f"the meeting place at {self.place.address}:{self.place.port} is gone: {_line(error)}"


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


@contextmanager
def joined(place: Place) -> Iterator[Meeting]:
    """The meeting with this rank in it; whatever ends it before its time is told to the others.

    Raises CannotMeasure where the place cannot be reached within a minute.
    """
    try:
        meeting = Meeting(place=place, _store=_client(place, hosts=place.hosts), _beats=_client(place))
    except RuntimeError as error:
        raise CannotMeasure(
            f"rank {place.rank.number} cannot reach the others at {place.address}:{place.port} (MASTER_ADDR, "
            f"MASTER_PORT): {_line(error)}. Start all ranks within {JOIN_S:.0f} s of each other, and let no "
            "firewall stand between."
        ) from error
    watching = threading.Thread(target=meeting.watch, name="ranks", daemon=True)
    watching.start()
    try:
        yield meeting
    except BaseException as error:
        with suppress(RankLost):
            meeting.fail(
                str(error) if isinstance(error, BenchError) else f"it ended ({type(error).__name__})"
            )
        raise
    finally:
        with suppress(RankLost):
            meeting.leave()
        watching.join(2 * BEAT_S)


def _client(place: Place, *, hosts: bool = False) -> "Store":
    """A connection of its own for each thread: one that waits holds its connection."""
    # Torch's C++ writes stacks to stderr about what is told here in a line.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    from torch.distributed import PrefixStore, TCPStore

    store = TCPStore(
        place.address,
        place.port,
        is_master=hosts,
        timeout=timedelta(seconds=JOIN_S),
        wait_for_workers=False,
    )
    return PrefixStore(place.run, store)


def keep() -> tuple[int, object]:
    """Open a meeting place on this machine: its port, and what keeps it open."""
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    return store.port, store
