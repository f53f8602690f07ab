"""The harness beside what people would type instead, in one run, interleaved A B A B.

Peers: torch.mm and an ONNX Runtime MatMul at the best of 512, 1024 and 2048 cubed (fp32), torch._int_mm
and MatMulInteger (int8), torch.mm (bf16), timed as plain loops. Each round runs the harness's own row
for one window and then every peer for one window; the ratio is the harness's rate over the best
peer's, with a 95 % interval over rounds. Absolute rates mean little on a shared machine; the ratio is
what to read. Usage: python benchmarks/side_by_side.py [ROUNDS] [RESULT.json]
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from bench.devices import family
from bench.devices.clock import HostClock
from bench.measure import row as rows
from bench.measure import search, stats
from bench.measure.loop import Loop
from bench.measure.row import Row
from bench.measure.stopping import schedule
from bench.terms import Workload
from bench.workload import ladder, operands
from bench.workload.registry import kernels

SIZES = (512, 1024, 2048)
WINDOW_S = 0.6
TENSORS = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.uint8): TensorProto.UINT8}


class Silent:
    """A progress that watches nothing."""

    def phase(self, row: Row, phase: str, visit: int) -> None:
        pass

    def rate(self, row: Row, ops_per_s: float) -> None:
        pass


def window(call: Callable[[], object], ops: int) -> float:
    """Mean rate of a plain loop over one window, after a short warm-up, in op/s."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < 0.2:
        call()
    launches, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < WINDOW_S:
        call()
        launches += 1
    return ops * launches / (time.perf_counter() - begun)


def torch_peers(
    precision: str, rng: np.random.Generator, threads: int
) -> dict[str, tuple[Callable[[], object], int]]:
    torch.set_num_threads(threads)
    peers = {}
    for n in SIZES:
        if precision == "int8":
            a, b = (torch.from_numpy(rng.integers(-127, 128, (n, n), dtype=np.int8)) for _ in range(2))
            call = lambda a=a, b=b: torch._int_mm(a, b)  # noqa: E731
        else:
            kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
            a, b = (torch.from_numpy(rng.uniform(-0.5, 0.5, (n, n))).to(kind) for _ in range(2))
            out = torch.empty((n, n), dtype=kind)
            call = lambda a=a, b=b, out=out: torch.mm(a, b, out=out)  # noqa: E731
        peers[f"torch {n}"] = (call, 2 * n**3)
    return peers


def ort_peers(precision: str, rng: np.random.Generator) -> dict[str, tuple[Callable[[], object], int]]:
    peers: dict[str, tuple[Callable[[], object], int]] = {}
    if precision == "bf16":
        return peers
    for n in SIZES:
        if precision == "int8":
            x = rng.integers(1, 256, (n, n), dtype=np.uint8)
            w = rng.integers(-127, 128, (n, n), dtype=np.int8)
            node = helper.make_node("MatMulInteger", ["x", "w", "z"], ["y"])
            initializers = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(np.uint8(128), "z")]
            out = TensorProto.INT32
        else:
            x = rng.uniform(-0.5, 0.5, (n, n)).astype(np.float32)
            w = rng.uniform(-0.5, 0.5, (n, n)).astype(np.float32)
            node = helper.make_node("MatMul", ["x", "w"], ["y"])
            initializers, out = [numpy_helper.from_array(w, "w")], TensorProto.FLOAT
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            [node], "peer", [value("x", TENSORS[x.dtype], [n, n])], [value("y", out, [n, n])], initializers
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        options = onnxruntime.SessionOptions()
        # The process has one pool of threads, and the harness's kernels have set its size.
        options.use_per_session_threads = False
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        peers[f"onnxruntime {n}"] = (lambda session=session, x=x: session.run(None, {"x": x}), 2 * n**3)
    return peers


def harness_rows(precision: str, threads: int, rounds: int) -> tuple[Loop, list[Row]]:
    """The harness's GEMM rows of a precision, opened as `bench run` opens them."""
    plan = schedule(4, 4 * rounds * 2.0, quick=False)
    plan = replace(plan, window_ns=int(WINDOW_S * 1e9))
    nothing = lambda: None  # noqa: E731
    loop = Loop(
        clock=HostClock(),
        schedule=plan,
        room=8 << 30,
        progress=Silent(),
        before_visit=nothing,
        after_visit=nothing,
    )
    opened = []
    for kernel in kernels().values():
        if kernel.operation != "gemm":
            continue
        for form in kernel.forms:
            if form.precision != precision or "saturating" in form.name:
                continue
            shapes = ladder.rungs("gemm", form, "cpu", quick=False)
            workload = Workload(
                device="cpu",
                kernel=kernel.name,
                backend=kernel.backend,
                operation="gemm",
                form=form,
                shape=shapes[0],
                seed="5e" * 32,
            )
            row = Row(workload=workload, kernel=kernel, ladder=shapes, threads=threads)
            search.search(row, loop.clock, plan, 4 << 30, lambda _rate: None)
            row.prepared = rows.prepare(row, row.workload, real=operands.has_reals(row.workload))
            row.offsets = operands.offsets(row.workload)
            rows.check(row)
            opened.append(row)
    best = max(trial.ops_per_s or 0 for row in opened for trial in row.tried)
    # Forms at a fraction of the best rate only cost time here.
    return loop, [row for row in opened if max(t.ops_per_s or 0 for t in row.tried) > best / 2]


def compare(precision: str, rounds: int, threads: int) -> dict[str, object]:
    rng = np.random.default_rng(1)
    loop, own = harness_rows(precision, threads, rounds)
    peers = torch_peers(precision, rng, threads) | ort_peers(precision, rng)
    rates: dict[str, list[float]] = {name: [] for name in [*peers, *(row.workload.row for row in own)]}
    for _ in range(rounds):
        for row in own:
            loop._visit(row)
            rates[row.workload.row].append(stats.rate(row.visits[-1].samples, row.ops))
        for name, (call, ops) in peers.items():
            rates[name].append(window(call, ops))
    mean = {name: sum(values) / len(values) for name, values in rates.items()}
    mine = max((row.workload.row for row in own), key=mean.__getitem__)
    theirs = max(peers, key=mean.__getitem__)
    ratios = [a / b for a, b in zip(rates[mine], rates[theirs], strict=True)]
    half = stats.t95(rounds - 1) * stats.deviation(ratios) / rounds**0.5
    shape = next(row.workload.shape for row in own if row.workload.row == mine)
    result = {
        "precision": precision,
        "harness": mine,
        "shape": str(shape),
        "harnessRate": mean[mine],
        "peer": theirs,
        "peerRate": mean[theirs],
        "ratio": mean[mine] / mean[theirs],
        "halfWidth": half,
        "rounds": rounds,
        "rates": rates,
    }
    print(
        f"{precision:5} {mine:36} {mean[mine] / 1e9:8.1f} G  "
        f"best peer {theirs:18} {mean[theirs] / 1e9:8.1f} G  "
        f"ratio {mean[mine] / mean[theirs]:.3f} ± {half:.3f}",
        flush=True,
    )
    return result


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    (device,) = family.select(["cpu"], family.inventory())
    threads = int(str(device.fact("threads-usable")))
    results = [compare(precision, rounds, threads) for precision in ("fp32", "bf16", "int8")]
    if len(sys.argv) > 2:
        result = {"device": device.name, "threads": threads, "results": results}
        Path(sys.argv[2]).write_text(json.dumps(result, indent=1), "utf-8")


if __name__ == "__main__":
    main()
