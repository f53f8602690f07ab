"""The harness beside what people would use instead, in one process, in turn, on the same work.

For each operation and precision the harness's own windows and every peer's are taken in turn, forwards
and backwards alternately, each after a settling of 0.2 s. Peers that two windows show far behind are
dropped first. The ratio is the harness's rate over the best peer's, round by round, with a 95 % interval
(Student's t). Rates mean little on a machine that others share; the ratio is what to read.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, sqrt
from pathlib import Path
from typing import Any

import click
import harness_side

from bench.measure import stats
from bench.precision import precision as precision_called
from bench.terms import Operation, Shape
from bench.units import format_rate

CASES: tuple[tuple[Operation, str], ...] = (
    *(("gemm", name) for name in ("fp64", "fp32", "bf16", "fp16", "int8")),
    *(("conv", name) for name in ("fp32", "bf16", "int8")),
)
# A peer that falls this far behind the best one in both of two windows will not become the best.
_BEHIND = 0.8
# Half precision in software takes ten seconds for a cube of 2048.
_LONGEST_LAUNCH_S = 2.0
# Ends every way of timing after its first calls.
_AT_ONCE_S = 1e-6


@dataclass(slots=True, kw_only=True)
class Contest:
    """All rates in op/s of one operation and precision, by name, a value per round."""

    operation: Operation
    precision: str
    shapes: dict[str, Shape] = field(default_factory=dict)
    own: list[str] = field(default_factory=list)
    rates: dict[str, list[float]] = field(default_factory=dict)
    tried: dict[str, list[float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def mean(self, name: str) -> float:
        return fsum(self.rates[name]) / len(self.rates[name])

    def fastest(self, names: Sequence[str]) -> str:
        return max(names, key=self.mean)

    def ratio(self, own: str, peer: str) -> tuple[float, float]:
        """The mean of the rounds' ratios, and the half-width of its 95 % interval."""
        ratios = [a / b for a, b in zip(self.rates[own], self.rates[peer], strict=True)]
        half = stats.t95(len(ratios) - 1) * stats.deviation(ratios) / sqrt(len(ratios))
        return fsum(ratios) / len(ratios), half


def hold(operation: Operation, precision: str, rounds: int, window_s: float, threads: int) -> Contest:
    """Open the harness's rows and the peers, and take their windows in turn."""
    contest = Contest(operation=operation, precision=precision)
    with harness_side.own_rows(precision, operation, window_s) as rows:
        visits: dict[str, Callable[[], float]] = {}
        for row in rows:
            contest.shapes[row.name] = row.shape
            contest.own.append(row.name)
            visits[row.name] = row.visit
        visits |= _entered(contest, threads, window_s)
        contest.rates = {name: [] for name in visits}
        for number in range(rounds):
            order = list(visits) if number % 2 == 0 else list(reversed(visits))
            for name in order:
                contest.rates[name].append(visits[name]())
    return contest


def _entered(contest: Contest, threads: int, window_s: float) -> dict[str, Callable[[], float]]:
    """The peers that are held against the harness: those near the best, and all at the harness's shapes.

    Each is tried twice and judged by its better window, so that a moment's disturbance drops nobody.
    """
    from peer_calls import Peer

    def visit(peer: Peer) -> Callable[[], float]:
        def settled() -> float:
            peer.rate(harness_side.SETTLE_S)
            return peer.rate(window_s)

        return settled

    same = {contest.shapes[name] for name in contest.own}
    found = {peer.name: peer for peer in _affordable(contest, threads)}
    visits = {name: visit(peer) for name, peer in found.items()}
    for order in (list(visits), list(reversed(visits))):
        for name in order:
            contest.tried.setdefault(name, []).append(visits[name]())
    best = {name: max(rates) for name, rates in contest.tried.items()}
    least = _BEHIND * max(best.values())
    for name, peer in found.items():
        contest.shapes[name] = peer.shape
    return {n: v for n, v in visits.items() if best[n] >= least or found[n].shape in same}


def _affordable(contest: Contest, threads: int) -> Iterator[Any]:
    """Every peer at every shape, smallest first, but none whose one launch would take too long."""
    from peer_calls import TYPED, peers

    from bench.workload import opcount

    seconds_per_op: dict[str, float] = {}
    shapes = {*TYPED[contest.operation], *(contest.shapes[name] for name in contest.own)}
    for shape in sorted(shapes, key=opcount.ops):
        for peer in peers(contest.operation, contest.precision, shape, threads):
            predicted_s = seconds_per_op.get(peer.call, 0.0) * opcount.ops(shape)
            if predicted_s > _LONGEST_LAUNCH_S:
                contest.left_out[peer.name] = f"one launch would take about {predicted_s:.0f} s"
                continue
            seconds_per_op[peer.call] = 1 / peer.rate(_AT_ONCE_S)
            yield peer


def result(contest: Contest) -> dict[str, Any]:
    """What a contest came to, every round's rates included."""
    own = contest.fastest(contest.own)
    peers = [name for name in contest.rates if name not in contest.own]
    alike = [name for name in peers if contest.shapes[name] == contest.shapes[own]]
    best = contest.fastest(peers)
    return {
        "operation": contest.operation,
        "precision": contest.precision,
        "harness": _side(contest, own),
        "bestPeer": _against(contest, own, best),
        "sameShape": _against(contest, own, contest.fastest(alike)) if alike else None,
        "rates": contest.rates,
        "tried": contest.tried,
        "leftOut": contest.left_out,
    }


def _side(contest: Contest, name: str) -> dict[str, Any]:
    from peer_calls import words

    return {"name": name, "shape": words(contest.shapes[name]), "rate": contest.mean(name)}


def _against(contest: Contest, own: str, peer: str) -> dict[str, Any]:
    ratio, half = contest.ratio(own, peer)
    return {**_side(contest, peer), "ratio": ratio, "halfWidth": half}


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """A contest as people read it."""
    unit = precision_called(found["precision"]).unit
    yield f"{found['operation']} {found['precision']}"
    for title, key in (("harness", "harness"), ("best peer", "bestPeer"), ("same shape", "sameShape")):
        side = found[key]
        if side is None:
            yield f"  {title:<10}  no peer ran there"
            continue
        name = side["name"].removesuffix(f" {side['shape']}")
        ratio = f"  harness / peer {side['ratio']:.3f} ± {side['halfWidth']:.3f}" if "ratio" in side else ""
        yield f"  {title:<10}  {name:<36} {side['shape']:<26} {format_rate(side['rate'], unit):>13}{ratio}"
    for name, reason in found["leftOut"].items():
        yield f"  left out    {name}: {reason}"


def cuda_lines(precision: str) -> Iterator[str]:
    from peer_calls import do_bench_rates

    rates = do_bench_rates(precision)
    if isinstance(rates, str):
        yield f"  do_bench    {rates}"
        return
    for shape, rate in rates.items():
        shown = format_rate(rate, precision_called(precision).unit)
        yield f"  do_bench    torch on cuda, where the harness has no row  {shape:<15} {shown}"


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(min=2), default=8, show_default=True)
@click.option("--precision", "precisions", multiple=True, help="One or more. [default: all]")
@click.option("--operation", "operations", multiple=True, type=click.Choice(["gemm", "conv"]))
@click.option("--window", "window_s", type=float, default=0.5, show_default=True, help="Seconds each.")
@click.option("-o", "--result", "path", type=click.Path(path_type=Path), help="Write all rates as JSON.")
def main(
    rounds: int, precisions: tuple[str, ...], operations: tuple[str, ...], window_s: float, path: Path | None
) -> None:
    device, threads = harness_side.processor()
    # numpy's BLAS reads this when it is imported, which nothing has done yet.
    os.environ["OPENBLAS_NUM_THREADS"] = str(threads)
    harness_side.share_onnxruntime_pool(threads)
    click.echo(f"{device.name}, {threads} threads, {rounds} rounds, windows of {window_s:g} s")
    results = []
    for operation, precision in CASES:
        if (operations and operation not in operations) or (precisions and precision not in precisions):
            continue
        results.append(result(hold(operation, precision, rounds, window_s, threads)))
        for line in lines(results[-1]):
            click.echo(line)
        if operation == "gemm":
            for line in cuda_lines(precision):
                click.echo(line)
    if path is not None:
        whole = {"device": device.name, "threads": threads, "windowS": window_s, "results": results}
        path.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
