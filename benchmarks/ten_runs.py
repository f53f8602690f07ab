"""How far runs on one machine agree, and whether each run's own interval tells the truth about it.

For every row, and every precision's figure: the mean over the runs, the coefficient of variation between
them, and in how many runs the run's own 95 % interval holds the mean of all. With limits the exit code
is 1 when a precision misses one.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import Any

import click
import harness_side

from bench.measure import stats
from bench.precision import precision
from bench.terms import Estimate, Evidence
from bench.units import format_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One row's or precision's figures over the runs that have one, in op/s."""

    name: str
    precision: str
    rows: tuple[str, ...]
    estimates: tuple[Estimate, ...]
    runs: int

    @property
    def mean(self) -> float:
        return fsum(e.value for e in self.estimates) / len(self.estimates)

    @property
    def variation(self) -> float | None:
        """The coefficient of variation between runs; None of one run alone."""
        values = [e.value for e in self.estimates]
        return stats.deviation(values) / self.mean if len(values) > 1 else None

    @property
    def covered(self) -> int:
        return sum(e.low <= self.mean <= e.high for e in self.estimates)

    @property
    def half_width(self) -> float:
        """The runs' mean half-width, as a share of the figure."""
        return fsum(map(stats.half_width, self.estimates)) / len(self.estimates)


def rows(files: Sequence[Evidence]) -> Iterator[Agreement]:
    """Each row that brought a figure in at least one run."""
    found: dict[tuple[str, str], list[Estimate]] = {}
    for file in files:
        for row in file.delivered:
            if row.estimate is not None:
                found.setdefault((row.row, row.precision), []).append(row.estimate)
    for (name, kind), estimates in found.items():
        yield Agreement(name=name, precision=kind, rows=(name,), estimates=tuple(estimates), runs=len(files))


def figures(files: Sequence[Evidence]) -> Iterator[Agreement]:
    """Each precision that has a figure in at least one run, and the rows it came from."""
    found: dict[str, list[tuple[str, Estimate]]] = {}
    for file in files:
        for figure in file.figures:
            if figure.estimate is not None:
                found.setdefault(figure.precision, []).append((str(figure.row), figure.estimate))
    for kind, pairs in found.items():
        yield Agreement(
            name=kind,
            precision=kind,
            rows=tuple(sorted({row for row, _ in pairs})),
            estimates=tuple(estimate for _, estimate in pairs),
            runs=len(files),
        )


def line(one: Agreement) -> str:
    rate = format_rate(one.mean, precision(one.precision).unit)
    cv = "      -" if one.variation is None else f"{one.variation:7.2%}"
    share = f"{one.covered:2} of {len(one.estimates):2}"
    absent = one.runs - len(one.estimates)
    missing = f"  no figure in {absent}" if absent else ""
    changing = f"  rows: {', '.join(one.rows)}" if len(one.rows) > 1 else ""
    return f"{one.name:<36} {rate:>13} {cv} {one.half_width:8.2%}  {share}{missing}{changing}"


def missed(found: Iterable[Agreement], most: float | None, least: int | None) -> Iterator[str]:
    """What lies beyond the limits; a figure that some run has not is beyond the least number covered."""
    for one in found:
        if most is not None and (one.variation is None or one.variation > most):
            shown = "unknown" if one.variation is None else f"{one.variation:.2%}"
            yield f"{one.name}: the variation between runs is {shown}, the limit {most:.2%}."
        if least is not None and one.covered < least:
            yield f"{one.name}: {one.covered} intervals hold the mean, the limit is {least}."


def as_json(one: Agreement) -> dict[str, Any]:
    return {
        "name": one.name,
        "rows": one.rows,
        "mean": one.mean,
        "variation": one.variation,
        "covered": one.covered,
        "runs": one.runs,
        "estimates": [{"low": e.low, "value": e.value, "high": e.high} for e in one.estimates],
    }


@click.command(help=__doc__)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--most-variation", type=float, help="Limit of the coefficient of variation, e.g. 0.02.")
@click.option("--least-covered", type=int, help="Least number of runs whose interval holds the mean.")
@click.option("-o", "--result", "path", type=click.Path(path_type=Path), help="Write everything as JSON.")
def main(
    files: tuple[Path, ...], most_variation: float | None, least_covered: int | None, path: Path | None
) -> None:
    read = [harness_side.evidence(file) for file in files]
    by_row, by_precision = list(rows(read)), list(figures(read))
    click.echo(f"{'':<36} {'mean':>13} {'CV':>7} {'± 95 %':>8}  covered")
    for one in (*by_row, *by_precision):
        click.echo(line(one))
    if path is not None:
        whole = {"rows": list(map(as_json, by_row)), "figures": list(map(as_json, by_precision))}
        path.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    beyond = list(missed(by_precision, most_variation, least_covered))
    for words in beyond:
        click.echo(words, err=True)
    raise SystemExit(1 if beyond else 0)


if __name__ == "__main__":
    main()
