"""Execution providers beside what this processor's instructions reach in registers alone, A B A B.

For each precision and operation, on each provider that ONNX Runtime offers for the processor: a few shapes
are probed, and the fastest is run in rounds. A round is a moment of the register-only loop (register_only.c)
on every core, a window of launches through the sessions, bindings and operands that `bench run` uses, and
the loop again. The ratio is the window's rate over the loop's, with a 95 % interval over rounds.

The loop is the fastest that this processor has for the precision. Where it has tiles (AMX), the ratio over
the widest vector instruction is printed too; `ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI` keeps OpenVINO from tiles,
and with `--vectors` the loop of the widest vectors is the one that counts.
Needs gcc 12 and an environment of `make test-eps`. Usage: python benchmarks/eps.py [ROUNDS] [--vectors]
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ceilings import build, printed

from bench.devices import cpu, ort
from bench.errors import CannotMeasure
from bench.measure import stats
from bench.terms import ConvShape, Device, GemmShape, Shape, Workload
from bench.workload import opcount, operands, registry
from bench.workload.kernel import Prepared

# The loops of each precision, the widest first: tiles, then vectors.
LOOPS = {
    "int8": ("TDPBUSD tmm", "VPDPBUSD zmm", "VPDPBUSD ymm"),
    "fp32": ("VFMADD231PS zmm", "VFMADD231PS ymm"),
}
MILLISECONDS, WINDOW_S = 100, 1.0


def square(m: int, width: int, depth: int) -> GemmShape:
    return GemmShape(m=m, n=width, k=width, depth=depth)


def image(batch: int, channels: int, depth: int) -> ConvShape:
    return ConvShape(
        batch=batch,
        channels=channels,
        filters=channels,
        height=28,
        width=28,
        kernel=3,
        padding=1,
        depth=depth,
    )


SHAPES: dict[str, tuple[Shape, ...]] = {
    "ort_gemm": (square(1024, 512, 4), square(1024, 1024, 4), square(2048, 1024, 4), square(2048, 2048, 2)),
    "ort_conv": (image(1, 128, 8), image(4, 128, 8), image(1, 256, 8), image(4, 256, 4)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    workload: Workload
    prepared: Prepared

    def rate(self, seconds: float) -> float:
        """Operations a second over a window of launches, each on other operands."""
        begun, launches = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            self.prepared.launch(launches % operands.OFFSETS, real=False)
            self.prepared.finish()
            launches += 1
        return launches * opcount.ops(self.workload.shape) / (time.perf_counter() - begun)


def rows(device: Device, kernel: str, precision: str) -> Iterator[Ready]:
    """Every form of the precision at every shape that the provider takes."""
    found = registry.kernel(kernel)
    threads = device.fact("threads-usable")
    for form in found.forms:
        for shape in SHAPES[kernel]:
            if form.precision != precision or not form.chains or found.unavailable(form, device):
                continue
            workload = Workload(
                device=device.selector,
                kernel=kernel,
                backend=found.backend,
                operation=found.operation,
                form=form,
                shape=shape,
                seed="ab" * 32,
            )
            try:
                prepared = found.prepare(workload, device, threads=int(threads or 1), real=False)
            except CannotMeasure:
                continue
            yield Ready(workload=workload, prepared=prepared)


def fastest(device: Device, kernel: str, precision: str) -> Ready | None:
    best, most = None, 0.0
    for ready in rows(device, kernel, precision):
        ready.rate(0.1)
        rate = ready.rate(0.3)
        if rate > most:
            if best is not None:
                best.prepared.close()
            best, most = ready, rate
        else:
            ready.prepared.close()
    return best


def loop_rate(program: Path, name: str, cpus: tuple[int, ...]) -> float:
    return sum(core["mean"] for core in printed(program, name, str(MILLISECONDS), *map(str, cpus)))


def compared(ready: Ready, program: Path, loop: str, cpus: tuple[int, ...], rounds: int) -> str:
    ratios, rates = [], []
    for _ in range(rounds):
        before = loop_rate(program, loop, cpus)
        rates.append(ready.rate(WINDOW_S))
        ratios.append(rates[-1] * 2 / (before + loop_rate(program, loop, cpus)))
    mean = sum(ratios) / len(ratios)
    half = stats.t95(len(ratios) - 1) * stats.deviation(ratios) / len(ratios) ** 0.5
    rate = sum(rates) / len(rates) / 1e12
    return f"{rate:.3f} T/s  {mean:.3f} ± {half:.3f} (best {max(ratios):.3f}) of {loop}"


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "--vectors"]
    rounds = int(words[0]) if words else 8
    (processor,) = cpu.inventory(cpu.affinity_here()).devices
    cpus = cpu.clock_cpus(processor, cpu.affinity_here())
    devices = [device for device in ort.FAMILY.look().devices if device.kind == "cpu"]
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        known = printed(program, "list")
        for precision, names in LOOPS.items():
            loops = [name for name in names if name in known]
            for kernel in SHAPES:
                for device in devices:
                    if device.fact("simulator") is not None:
                        continue
                    ready = fastest(device, kernel, precision)
                    if ready is None:
                        print(f"{kernel} {precision:5} {device.fact('ep')}: no form is taken")
                        continue
                    shown = f"{kernel} {precision:5} {device.fact('ep')} {ready.workload.form.name}"
                    vectors = [name for name in loops if not name.endswith("tmm")]
                    for loop in vectors[:1] if "--vectors" in sys.argv else {*loops[:1], *vectors[:1]}:
                        print(f"{shown}: {compared(ready, program, loop, cpus, rounds)}")
                    print(f"    at {ready.workload.shape}")
                    ready.prepared.close()


if __name__ == "__main__":
    main()
