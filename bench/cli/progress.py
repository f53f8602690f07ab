"""What the operator sees while a run measures: a live line on a terminal, plain lines elsewhere.

It prints between samples only and at most four times a second, so that watching costs nothing timed.
"""

import time
from types import TracebackType

from bench.cli.consoles import stderr, tell
from bench.measure.row import Row
from bench.plan import Plan
from bench.precision import precision
from bench.report.language import listed, marked, tr
from bench.units import format_bytes, format_rate, format_seconds

_LEAST_S = 0.25

# What is done with a row, and what belongs to none: said by `phase` and `stage`.
_WORDS = (
    *(
        marked("admit"),
        marked("search"),
        marked("check"),
        marked("settle"),
        marked("measure"),
        marked("hold"),
        marked("alone"),
    ),
    *(marked("memory bandwidth"), marked("diagnoses"), marked("openings")),
)


class Watcher:
    """A Progress for the loop, and a context in which the live line is shown."""

    def __init__(self, plan: Plan, *, quiet: bool) -> None:
        self._plan = plan
        self._quiet = quiet
        self._console = stderr()
        self._live = self._console.is_terminal and not quiet
        self._begun = self._shown = 0.0
        self._where = ""
        self._round = 0

    def announce(self) -> None:
        """The first line: what will be done, and how long it takes."""
        if self._quiet:
            return
        refused = sum(row.unavailable is not None for row in self._plan.rows)
        words = tr(
            "measuring {rows} rows on {devices}: about {time}, at most {memory} of memory. Ctrl-C keeps what "
            "was measured.",
            rows=len(self._plan.rows) - refused,
            devices=listed(device.selector for device in self._plan.devices),
            time=format_seconds(self._plan.expected_s),
            memory=format_bytes(self._plan.room),
        )
        tell(words)

    def __enter__(self) -> "Watcher":
        self._begun = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            tell("\r\x1b[2K", end=False)

    def phase(self, row: Row, phase: str, visit: int) -> None:
        """A phase begins: a plain line for each row that is opened and for each round of visits."""
        visits = tr("visit {visit}", visit=visit) if visit else ""
        self._where = f"{row.workload.device} {row.workload.row} {visits} {tr(phase)}"
        if self._live:
            self._draw("")
        elif not self._quiet and (phase in ("search", "alone", "hold") or visit > self._round):
            self._round = max(visit, self._round)
            words = tr("round {visit}: every row in turn", visit=visit) if visit else self._where
            tell(f"{self._elapsed():6.1f} s  {words}")

    def stage(self, words: str) -> None:
        """What belongs to no row begins: the memory's bandwidth, a diagnosis."""
        self._where = tr(words)
        if self._live:
            self._draw("")
        elif not self._quiet:
            tell(f"{self._elapsed():6.1f} s  {self._where}")

    def rate(self, row: Row, ops_per_s: float) -> None:
        if self._live and time.monotonic() - self._shown > _LEAST_S:
            self._draw(format_rate(ops_per_s, precision(row.workload.precision).unit))

    def _elapsed(self) -> float:
        return time.monotonic() - self._begun

    def _draw(self, rate: str) -> None:
        from rich.cells import cell_len, set_cell_size

        self._shown = time.monotonic()
        left = tr("{time} left", time=format_seconds(max(0.0, self._plan.expected_s - self._elapsed())))
        line = f"{self._where}  {rate}  {left}"
        tell(f"\r\x1b[2K{set_cell_size(line, min(cell_len(line), self._console.width - 1))}", end=False)
