"""`bench run --repeat N`: the whole measurement again, each time in a fresh process, and how the runs differ.

Every run writes and signs its own evidence. What is told here is computed from their results and signed
by nobody.
"""

import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.cli import itself
from bench.cli.consoles import stdout, tell
from bench.cli.outcome import print_json
from bench.cli.signals import Stop, stoppable
from bench.errors import NOT_MET, CannotMeasure, Interrupted
from bench.evidence.codec import encode
from bench.measure import stats
from bench.measure.stats import Spread
from bench.printable import printable
from bench.report.language import marked, tr
from bench.units import format_rate, format_seconds

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """A device's figure for one precision over all runs. `spread` is None below two runs with a figure.

    `holding` counts the runs whose own interval holds the mean over all runs.
    """

    device: str
    precision: str
    unit: str
    spread: Spread | None
    holding: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """How one run ended; `interrupted` where the operator stopped it."""

    code: int
    out: str
    err: str
    interrupted: bool

    @property
    def whole(self) -> bool:
        return self.code in (0, NOT_MET) and bool(self.out)


def repeated(times: int, arguments: Sequence[str], *, as_json: bool, quiet: bool) -> int:
    """Do `bench run` with these arguments `times` times, tell how the runs differ; returns the exit code.

    A run that fails is the last one, and its code is returned. Raises Interrupted when the operator
    stopped it: after the run that was under way has saved what it had.
    """
    results: list[Mapping[str, Any]] = []
    not_met = False
    with stoppable() as stop:
        # A signal waits for the next run, but for those that come while one is under way.
        stop.hold()
        for number in range(1, times + 1):
            begun_s = time.monotonic()
            ended = _run(arguments, stop)
            if ended.whole:
                results.append(json.loads(ended.out))
                not_met |= ended.code == NOT_MET
            if not ended.whole or ended.interrupted:
                break
            tell(ended.err, end=False)
            if not quiet:
                taken = format_seconds(time.monotonic() - begun_s)
                file = printable(_evidence(results[-1]), limit=4096)
                words = tr("run {number} of {times}  {taken}", number=number, times=times, taken=taken)
                tell(f"{words}  {file}")
        _print(results, times, as_json=as_json)
        if ended.interrupted or not ended.whole:
            tell(ended.err, end=False)
            return _code(ended, f"run {number} of {times}", results)
    return NOT_MET if not_met else 0


def _code(ended: _Ended, which: str, results: Sequence[Mapping[str, Any]]) -> int:
    """The exit code of a run that was the last one; what only the parent knows of its end is raised."""
    files = ", ".join(_evidence(result) for result in results)
    kept = f"the evidence of whole runs is in {files}" if files else "no run was whole"
    if ended.interrupted:
        raise Interrupted(f"interrupted in {which}; {kept}.")
    if ended.code <= NOT_MET:
        # No code of a run without a result: the system ended it, for its memory perhaps.
        how = f"signal {-ended.code}" if ended.code < 0 else f"exit code {ended.code}"
        raise CannotMeasure(f"{which} was ended by {how} and brought no result; {kept}.")
    return ended.code


def _evidence(result: Mapping[str, Any]) -> str:
    return str(result["evidence"])


def _run(arguments: Sequence[str], stop: Stop) -> _Ended:
    # Files, not pipes: nobody has to read them while the run is under way. Without stdin a run cannot ask
    # for a passphrase, which nobody would be there to type again and again.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            itself.command("run", *arguments, "--json", "--quiet"),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        interrupted = _wait(process, stop)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return _Ended(code=process.returncode, out=texts[0], err=texts[1], interrupted=interrupted)


def _wait(process: subprocess.Popen[bytes], stop: Stop) -> bool:
    """Wait for a run to end; whether it was interrupted.

    Ctrl-C reaches the run by itself, as it goes to all of the terminal's group; a signal to this process
    alone does not, so that it is passed on. A run that gets both takes them for one (cli/signals).
    """
    interrupted = False
    while True:
        try:
            if not interrupted:
                stop.release()
            process.wait()
            stop.hold()
            return interrupted
        except KeyboardInterrupt:
            interrupted = True
            process.send_signal(signal.SIGINT)


# -------------------------------------------------------------------------------------- what is told


def spreads(results: Sequence[Mapping[str, Any]]) -> list[Repeated]:
    """What each device's figures came to over the runs' results, in the order in which they first came."""
    estimates: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for figure in (figure for result in results for figure in result["figures"]):
        if figure["estimate"] is not None:
            estimates.setdefault((figure["device"], figure["precision"]), []).append(figure["estimate"])
    return [_repeated(*key, found) for key, found in estimates.items()]


def _repeated(device: str, precision: str, estimates: Sequence[Mapping[str, Any]]) -> Repeated:
    spread = stats.between_runs([estimate["value"] for estimate in estimates])
    holding = None
    if spread is not None:
        holding = sum(estimate["low"] <= spread.mean <= estimate["high"] for estimate in estimates)
    return Repeated(
        device=device, precision=precision, unit=estimates[0]["unit"], spread=spread, holding=holding
    )


def summary_table(rows: Sequence[Repeated]) -> "Table":
    """A line for each device and precision; a dash where a single run has no spread."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in (marked("device"), marked("precision")):
        table.add_column(tr(column))
    for column in (marked("runs"), marked("mean (95 %)"), marked("between runs"), marked("in own interval")):
        table.add_column(tr(column), justify="right")
    for row in rows:
        table.add_row(printable(row.device), printable(row.precision), *_cells(row))
    return table


def _cells(row: Repeated) -> tuple[str, ...]:
    if row.spread is None:
        return "1", *["-"] * 3
    spread = row.spread
    half = (spread.high - spread.mean) / spread.mean
    return (
        str(spread.runs),
        f"{format_rate(spread.mean, row.unit)} ± {100 * half:.1f} %",
        f"{100 * spread.variation:.2f} %",
        tr("{holding} of {runs}", holding=row.holding, runs=spread.runs),
    )


def _print(results: Sequence[Mapping[str, Any]], times: int, *, as_json: bool) -> None:
    rows = spreads(results)
    try:
        if as_json:
            print_json({"runs": results, "spreads": [encode(row) for row in rows]})
        elif results:
            _print_text(results, rows, times)
    except Exception as error:
        error.add_note(f"The evidence is in {', '.join(_evidence(result) for result in results)}.")
        raise


def _print_text(results: Sequence[Mapping[str, Any]], rows: Sequence[Repeated], times: int) -> None:
    console = stdout()
    heading = tr("{runs} of {times} runs, each in a process of its own", runs=len(results), times=times)
    console.print(heading, style="bold")
    console.print(summary_table(rows))
    console.print(tr("between runs: the standard deviation of their figures, as a share of the mean"))
    console.print(tr("in own interval: in how many runs the run's own interval holds that mean"))
    console.print()
    for result in results:
        path = printable(_evidence(result), limit=4096)
        console.print(tr("evidence  {path}", path=path), soft_wrap=True)
