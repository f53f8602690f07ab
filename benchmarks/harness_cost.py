"""What the harness itself costs: to start, beside its timed samples, in memory, on disk, and per row.

Starts: `bench --help`, `bench verify FILE`, and `bench run --quick` up to its first launch.

Real runs: where their wall time went, by their evidence; resident memory and file size; with --subsets
for ever more rows.

Scripted rows: kernels that take no time, so that what remains is the Python of a sample and a visit.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import harness_side

from bench.units import format_bytes

SCRIPTED_ROWS = (1, 2, 4, 8, 16, 32)
# From two rows to all of them.
SUBSETS = (("fp16",), ("bf16",), ("fp64",), ("fp32",), ("fp32", "bf16"), ("int8",), ("int8", "fp32"), ())
_LAUNCHER = ("-c", "import harness_side; harness_side.run_to_first_launch()")


def starts(file: Path, repeats: int) -> Iterator[dict[str, Any]]:
    """Best and median wall time of processes that start, do one thing and end."""
    quick = ("run", "--quick", "--precision", "fp32", "--quiet", "-o", file.with_name("never-written.json"))
    cases: Sequence[tuple[str, Sequence[str | Path], Sequence[str]]] = (
        ("bench --help", ("--help",), ("-m", "bench")),
        (f"bench verify ({format_bytes(file.stat().st_size)})", ("verify", file), ("-m", "bench")),
        ("bench run --quick, to its first launch", quick, _LAUNCHER),
    )
    for name, words, launcher in cases:
        ended = [harness_side.bench(*words, launcher=launcher) for _ in range(repeats)]
        failed = next((one for one in ended if one.code != 0), None)
        if failed is not None:
            raise SystemExit(f"{name} ended with {failed.code}: {failed.err.strip()}")
        walls = [one.wall_s for one in ended]
        yield {"name": name, "bestS": min(walls), "medianS": median(walls), "all": walls}


def real_run(precisions: Sequence[str], time_text: str, file: Path) -> dict[str, Any]:
    """A real run's own wall time and memory beside what its evidence accounts for."""
    asked = [word for name in precisions for word in ("--precision", name)]
    ended = harness_side.measured("run", "--time", time_text, *asked, "--quiet", "-o", file)
    name = f"run --time {time_text} {' '.join(precisions) or '(all precisions)'}"
    return _accounted(name, file, ended.wall_s, ended.resident_bytes)


def _accounted(name: str, file: Path, wall_s: float, resident_bytes: int | None) -> dict[str, Any]:
    spent = harness_side.spent(harness_side.evidence(file))
    timed_s = spent.settle_s + spent.windows_s + spent.bandwidth_s + spent.diagnoses_s
    return {
        "name": name,
        "wallS": wall_s,
        **asdict(spent),
        "samplesShare": (spent.settle_s + spent.windows_s) / wall_s,
        "otherS": wall_s - timed_s - spent.search_s,
        "residentBytes": resident_bytes,
        "fileBytes": file.stat().st_size,
    }


_HEAD = (
    "rows samples    wall  search  settle windows  memory diagnos   other  samples' share  resident      file"
)


def _run_line(run: dict[str, Any]) -> str:
    seconds = ("wallS", "search_s", "settle_s", "windows_s", "bandwidth_s", "diagnoses_s", "otherS")
    parts = " ".join(f"{run[name]:6.1f}s" for name in seconds)
    resident = format_bytes(run["residentBytes"]) if run["residentBytes"] is not None else "-"
    return (
        f"{run['rows']:4} {run['samples']:7} {parts} {run['samplesShare']:15.1%} "
        f"{resident:>9} {format_bytes(run['fileBytes']):>9}  {run['name']}"
    )


def _subset_runs(time_text: str, folder: Path) -> Iterator[dict[str, Any]]:
    for number, precisions in enumerate(SUBSETS):
        yield real_run(precisions, time_text, folder / f"subset-{number}.evidence.json")


def loops() -> Iterator[dict[str, Any]]:
    for rows in SCRIPTED_ROWS:
        cost = harness_side.scripted_loop(rows)
        yield {
            **asdict(cost),
            "perSampleS": cost.seconds / cost.samples,
            "perVisitS": cost.seconds / cost.visits,
            "shareOfSample": cost.seconds / cost.samples / (harness_side.SCRIPTED_SAMPLE_NS / 1e9),
        }


def _loop_line(cost: dict[str, Any]) -> str:
    return (
        f"{cost['rows']:4} {cost['visits']:6} {cost['samples']:7} {cost['perSampleS'] * 1e6:11.0f} us "
        f"{cost['perVisitS'] * 1e3:10.2f} ms {cost['shareOfSample']:16.2%}"
    )


@click.command(help=__doc__, context_settings={"max_content_width": 110})
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Of each start.")
@click.option("--time", "time_text", default="20s", show_default=True, help="Of the real fp32 run.")
@click.option(
    "--evidence",
    "given",
    type=click.Path(exists=True, path_type=Path),
    help="The file of a run made before, a default one for example; its wall time is its telemetry's.",
)
@click.option("--subsets", is_flag=True, help="Also real runs of ever more rows, some minutes in all.")
@click.option("--subset-time", default="10s", show_default=True, help="Of each of these.")
@click.option("-o", "--result", "path", type=click.Path(path_type=Path), help="Write everything as JSON.")
def main(
    repeats: int, time_text: str, given: Path | None, subsets: bool, subset_time: str, path: Path | None
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "run.evidence.json"
        click.echo(_HEAD)
        runs = [real_run(("fp32",), time_text, file)]
        click.echo(_run_line(runs[0]))
        if given is not None:
            wall_s = harness_side.spent(harness_side.evidence(given)).run_s
            runs.append(_accounted(given.name, given, wall_s, None))
            click.echo(_run_line(runs[-1]))
        for run in _subset_runs(subset_time, folder) if subsets else ():
            runs.append(run)
            click.echo(_run_line(run))
        begun = []
        click.echo(f"\n{'start':<42} {'best':>8} {'median':>8}")
        for start in starts(file, repeats):
            begun.append(start)
            click.echo(f"{start['name']:<42} {start['bestS']:7.2f}s {start['medianS']:7.2f}s")
    costs = []
    click.echo("\nrows visits samples    per sample     per visit  share of 20 ms")
    for cost in loops():
        costs.append(cost)
        click.echo(_loop_line(cost))
    if path is not None:
        whole = {"runs": runs, "starts": begun, "loop": costs}
        path.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
