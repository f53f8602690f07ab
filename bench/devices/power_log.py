"""A wall meter's log, written by whatever reads the meter, as the energy that the whole machine took.

The log is a CSV file with a header row: a column `time` (ISO 8601 with an offset or Z, or seconds since
1970) and one energy counter, `energy_j`, `energy_wh` or `energy_kwh`; other columns are ignored. Power is
not taken: samples of it cover only part of the time, and a counter covers all of it.
"""

import csv
import hashlib
import io
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from bench.errors import UsageError
from bench.printable import printable
from bench.terms import Meter, MeterReading

MAX_BYTES = 64 * 2**20

_TIME = "time"
# Microjoules in the unit of each counter.
_COUNTERS = {"energy_j": 10**6, "energy_wh": 3_600 * 10**6, "energy_kwh": 3_600_000 * 10**6}
_COLUMNS = f"{_TIME} and one of {', '.join(_COUNTERS)}"

_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# No meter was read before 1970 or will be from the year 5138 on: such seconds are milliseconds.
_SECONDS_END = 10**11


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    line: int
    unix_us: int
    energy_uj: int


def check(path: Path) -> None:
    """Try the log before the run: its header and the rows so far, none of which need be there yet.

    Raises UsageError with the line, what was expected and what to do.
    """
    _rows(path, _read(path))


def meter(path: Path, origin_unix_us: int, end_ns: int) -> Meter:
    """The readings that cover the run, which began at `origin_unix_us` and took `end_ns`.

    From the last one at or before its begin to the first one at or after its end that shows a new count;
    fewer where the log begins later or ends earlier. A last line without a line end is still being
    written, and is left out. The digest is of the file as it was read. Raises UsageError.
    """
    data = _read(path)
    rows = _rows(path, data)
    end_us = origin_unix_us + -(-end_ns // 1000)
    chosen = _covering(rows, origin_unix_us, end_us)
    _require_within(path, rows, chosen, origin_unix_us, end_us)
    _require_growing(path, chosen)
    readings = (
        MeterReading(at_ns=(row.unix_us - origin_unix_us) * 1000, energy_uj=row.energy_uj) for row in chosen
    )
    return Meter(file=printable(path.name), sha256=hashlib.sha256(data).hexdigest(), readings=tuple(readings))


def _covering(rows: Sequence[_Row], begin_us: int, end_us: int) -> Sequence[_Row]:
    first = max((i for i, row in enumerate(rows) if row.unix_us <= begin_us), default=0)
    # Meters that move in steps say when the run's last joule was counted only with their next step.
    within = [row.energy_uj for row in rows[first:] if row.unix_us < end_us]
    counted = within[-1] if within else -1
    for last in range(first, len(rows)):
        if rows[last].unix_us >= end_us and rows[last].energy_uj > counted:
            return rows[first : last + 1]
    return rows[first:]


def _require_within(path: Path, rows: Sequence[_Row], chosen: Sequence[_Row], begin: int, end: int) -> None:
    if any(begin <= row.unix_us <= end for row in chosen) and len(chosen) > 1:
        return
    span = f"{_utc(rows[0].unix_us)} to {_utc(rows[-1].unix_us)}" if rows else "no time, it has no rows"
    raise UsageError(
        f"{_name(path)} says nothing about the run: it covers {span}, and the run took place from "
        f"{_utc(begin)} to {_utc(end)}. Set the clock of what writes the log, let it write several times a "
        "second while the run goes on, and run again."
    )


def _require_growing(path: Path, chosen: Sequence[_Row]) -> None:
    for before, after in pairwise(chosen):
        if after.energy_uj < before.energy_uj:
            raise _wrong(
                path,
                after.line,
                f"the energy counter fell from {before.energy_uj} to {after.energy_uj} uJ",
                "a counter that only grows. The meter was reset during the run: run again without that",
            )
    if chosen[-1].energy_uj == chosen[0].energy_uj:
        raise _wrong(
            path,
            chosen[-1].line,
            f"the energy counter stood at {chosen[-1].energy_uj} uJ through the whole run",
            "one that grows. See that the machine hangs on this meter and the log shows all its digits",
        )


# ----------------------------------------------------------------------------------------- the file


def _read(path: Path) -> bytes:
    try:
        # Without O_NONBLOCK opening a FIFO would wait for a writer for ever.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_BYTES + 1) if regular else b""
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UsageError(
            f"cannot read the wall meter's log {_name(path)}: {why}. "
            "Type --power-log FILE.csv with a file that exists and that you may read."
        ) from error
    if not regular or len(data) > MAX_BYTES:
        what = f"it has more than {MAX_BYTES} bytes" if regular else "it is not a regular file"
        raise UsageError(
            f"{_name(path)} is no wall meter's log: {what}. "
            "Type --power-log FILE.csv with a CSV file that began with this run."
        )
    return data


def _rows(path: Path, data: bytes) -> list[_Row]:
    # Other columns may be in any encoding; the ones that are read are ASCII.
    text = data.decode("utf-8-sig", "replace")
    lines = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    try:
        header = [name.strip().lower() for name in next(lines, [])]
        time_column, energy_column, unit_uj = _columns(path, header)
        rows = []
        for cells in lines:
            row = _row(path, lines.line_num, cells, time_column, energy_column, unit_uj)
            if row is not None:
                rows.append(row)
    except csv.Error as error:
        raise _wrong(path, lines.line_num, str(error), "comma-separated values") from error
    _require_order(path, rows)
    return rows


def _columns(path: Path, header: Sequence[str]) -> tuple[int, int, int]:
    """Where the time and the energy stand, and the energy's unit in uJ."""
    counters = [name for name in header if name in _COUNTERS]
    if not counters and "power_w" in header:
        raise UsageError(
            f"{_name(path)} has power (power_w) but no energy counter: power that is sampled covers only "
            "part of the time, and the joules of a run come from a counter, which covers all of it. "
            f"Log the meter's own counter, as a column {', '.join(_COUNTERS)}."
        )
    if header.count(_TIME) != 1 or len(counters) != 1:
        seen = printable(", ".join(header)) or "nothing"
        raise _wrong(path, 1, f"the header has {seen}", f"the columns {_COLUMNS}, once each")
    return header.index(_TIME), header.index(counters[0]), _COUNTERS[counters[0]]


def _row(path: Path, line: int, cells: Sequence[str], time: int, energy: int, unit_uj: int) -> _Row | None:
    """None for an empty line, and for one on which the meter did not answer: an empty energy."""
    if not cells:
        return None
    if len(cells) <= max(time, energy):
        raise _wrong(
            path, line, f"{len(cells)} columns", f"at least {max(time, energy) + 1}, as in the header"
        )
    count = cells[energy].strip()
    if not count:
        return None
    if not _NUMBER.fullmatch(count):
        raise _wrong(path, line, f"the energy is {printable(count)}", "a decimal number such as 1234.5")
    unix_us = _unix_us(cells[time].strip())
    if unix_us is None:
        raise _wrong(
            path,
            line,
            f"the time is {printable(cells[time].strip()) or 'empty'}",
            "2026-01-31T12:00:00+01:00, the same with Z, or seconds since 1970",
        )
    return _Row(line=line, unix_us=unix_us, energy_uj=round(Decimal(count) * unit_uj))


def _unix_us(text: str) -> int | None:
    """Microseconds since 1970, None for what is no time or a time of nobody knows which zone."""
    if _NUMBER.fullmatch(text):
        unix_us = round(Decimal(text) * 10**6)
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        if moment.utcoffset() is None:
            return None
        unix_us = (moment - _EPOCH) // timedelta(microseconds=1)
    return unix_us if 0 <= unix_us < _SECONDS_END * 10**6 else None


def _require_order(path: Path, rows: Sequence[_Row]) -> None:
    for before, after in pairwise(rows):
        if after.unix_us <= before.unix_us:
            raise _wrong(
                path,
                after.line,
                f"the time {_utc(after.unix_us)} comes after {_utc(before.unix_us)}",
                "each row later than the one before",
            )


def _wrong(path: Path, line: int, got: str, expected: str) -> UsageError:
    return UsageError(
        f"{_name(path)}, line {line}: {got}; expected {expected}. Mend the log, or run without --power-log."
    )


def _name(path: Path) -> str:
    return printable(str(path))


def _utc(unix_us: int) -> str:
    return f"{_EPOCH + timedelta(microseconds=unix_us):%Y-%m-%dT%H:%M:%S.%fZ}"
