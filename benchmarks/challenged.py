"""What a challenge costs: moved shapes against the ladder's own, and opening and verifying outputs.

Shapes: for each row and each of some nonces, the best rate over the ladder's rungs as they are and as the
nonce moves them, probed in turn within each round, so that the machine's own changes meet both.

Openings, with FILE, the evidence of a run that answered a challenge: how long it takes to verify each of
its opened rows, and what their paths add to the file. (Opening them verifies them too.)
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import click
import harness_side

from bench.workload import ladder, opcount, openings, registry
from bench.workload.kernel import Prepared

_PROBE_S = 0.03
# Rungs above this many operations take too long to be prepared again and again.
_MOST_OPS = 2 * 10**10


def rate(prepared: Prepared, ops: int) -> float:
    """Operations per second over about _PROBE_S, after one launch that is not counted."""
    prepared.launch(0, real=False)
    prepared.finish()
    begun, launches = time.perf_counter(), 0
    while time.perf_counter() - begun < _PROBE_S:
        prepared.launch(launches % 16, real=False)
        prepared.finish()
        launches += 1
    return ops * launches / (time.perf_counter() - begun)


def moved(kernel_name: str, precision: str, nonces: int, rounds: int) -> dict[str, Any]:
    """The best rate on moved rungs over that on the ladder's own, for each nonce."""
    kernel = registry.kernel(kernel_name)
    form = next(form for form in kernel.forms if form.precision == precision)
    shapes = {None: ladder.rungs(kernel.operation, form, "cpu", quick=False)}
    for number in range(nonces):
        nonce = f"{number:064x}"
        shapes[nonce] = ladder.rungs(kernel.operation, form, "cpu", quick=False, nonce=nonce)
    best: dict[str | None, list[float]] = {nonce: [] for nonce in shapes}
    ready: dict[Any, Prepared] = {}
    for _ in range(rounds):
        for nonce, rungs in shapes.items():
            fitting = [shape for shape in rungs if opcount.ops(shape) <= _MOST_OPS]
            for shape in fitting:
                if shape not in ready:
                    ready[shape] = harness_side.prepared(kernel, form, shape)
            best[nonce].append(max(rate(ready[shape], opcount.ops(shape)) for shape in fitting))
    usual = fmean(best.pop(None))
    ratios = [fmean(rates) / usual for rates in best.values()]
    return {"row": f"{kernel_name}/{precision}", "usual": usual, "ratios": ratios}


def opened(file: Path) -> Iterator[dict[str, Any]]:
    """Seconds that verifying each opened row takes, and its bytes in the file."""
    evidence = harness_side.evidence(file)
    rows = {(m.workload.device, m.workload.row): m for m in evidence.measurements}
    for opening in evidence.openings:
        measurement = rows[opening.device, opening.row]
        begun = time.perf_counter()
        fits = opening.reason is None and openings.fits(measurement.workload, measurement.stays, opening)
        yield {
            "row": opening.row,
            "opened": opening.opened,
            "leaves": opening.leaves,
            "fits": fits,
            "verifyS": time.perf_counter() - begun,
            # The envelope's base64 takes four bytes for three.
            "fileBytes": len(opening.siblings or "") * 4 // 3,
        }


_ROWS = (
    ("torch_gemm", "fp32"),
    ("torch_gemm", "bf16"),
    ("torch_gemm", "fp64"),
    ("ort_gemm", "int8"),
    ("ort_gemm", "fp32"),
    ("ort_conv", "fp32"),
    ("torch_conv", "bf16"),
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True), required=False)
@click.option("--nonces", default=6, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write all that was seen as JSON.")
def main(file: Path | None, nonces: int, rounds: int, output: Path | None) -> None:
    """What a challenge costs."""
    seen: dict[str, Any] = {"moved": [], "opened": []}
    for kernel, precision in () if file else _ROWS:
        found = moved(kernel, precision, nonces, rounds)
        seen["moved"].append(found)
        ratios = found["ratios"]
        click.echo(
            f"{found['row']:<18} moved / usual {fmean(ratios):.3f} ± {stdev(ratios):.3f}  "
            f"(lowest {min(ratios):.3f} of {len(ratios)} nonces)"
        )
    for row in opened(file) if file else ():
        seen["opened"].append(row)
        click.echo(
            f"{row['row']:<36} {row['opened']} of {row['leaves']} rows  verified in {row['verifyS']:.2f} s  "
            f"{row['fileBytes'] / 1000:.0f} kB in the file  {'fits' if row['fits'] else 'does not fit'}"
        )
    if output is not None:
        output.write_text(json.dumps(seen, indent=1))


if __name__ == "__main__":
    main()
