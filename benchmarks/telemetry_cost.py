"""What the telemetry costs: a GEMM row's rate with the recorder running over its rate without.

Blocks of half a second with and without it alternate in one run, each pair in the other order than the
one before, so that a drift of the machine falls on both. The ratio's 95 % interval is Student's t over
the pairs' differences. The cost is shown to be below 0.5 % when the interval's lower end is above 0.995.
Beside it stands what does not depend on the neighbours: the CPU time of the recorder's thread per reading,
as a share of one core, which is also about what the rate can lose when all threads wait for that core.
Usage: python benchmarks/telemetry_cost.py [PAIRS] [RESULT.json]
"""

import json
import sys
import threading
import time
from pathlib import Path

from bench.devices import family
from bench.devices.cpu import affinity_here
from bench.devices.telemetry import PERIOD_NS, Recorder, host_probes
from bench.measure import stats
from bench.terms import Device, GemmShape, Workload
from bench.workload import opcount, operands
from bench.workload.kernel import Prepared
from bench.workload.registry import kernels

PAIRS = 24
BLOCK_S = 0.5
# The recorder's first tick comes a period after its start: begun half a period late, a block has its five.
LEAD_S = PERIOD_NS / 2e9
# Launches between two looks at the clock, some 10 ms.
BATCH = 8
LEAST_RATIO = 0.995
SHAPE = GemmShape(m=512, n=512, k=512)


def gemm(device: Device, threads: int) -> Prepared:
    """torch.mm in fp32, as a row of `bench run` has it."""
    kernel = kernels()["torch_gemm"]
    form = next(form for form in kernel.forms if form.precision == "fp32")
    workload = Workload(
        device="cpu",
        kernel=kernel.name,
        backend=kernel.backend,
        operation="gemm",
        form=form,
        shape=SHAPE,
        seed="5e" * 32,
    )
    return kernel.prepare(workload, device, threads=threads, real=False)


def launches_per_s(prepared: Prepared, seconds: float) -> float:
    launches, begun = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < seconds:
        for _ in range(BATCH):
            prepared.launch(launches % operands.OFFSETS, real=False)
            launches += 1
        prepared.finish()
    return launches / elapsed


class Recorded:
    """Blocks with the recorder, and the CPU time that its thread took over all their readings."""

    def __init__(self) -> None:
        self.cpu_ns = 0
        self.readings = 0
        self.affinity = affinity_here()
        self.probes = host_probes(self.affinity)

    def block(self, prepared: Prepared) -> float:
        recorder = Recorder(
            clock_ns=time.monotonic_ns,
            affinity=self.affinity,
            probes=self.probes,
            origin_unix_us=time.time_ns() // 1000,
        )
        with recorder:
            launches_per_s(prepared, LEAD_S)
            rate = launches_per_s(prepared, BLOCK_S)
            thread = next(thread for thread in threading.enumerate() if thread.name == "telemetry")
            assert thread.ident is not None
            self.cpu_ns += time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident))
            # The first reading was the start's, in this thread.
            self.readings += len(recorder.snapshot().readings) - 1
        return rate

    def sensors(self) -> int:
        with Recorder(
            clock_ns=time.monotonic_ns, affinity=self.affinity, probes=self.probes, origin_unix_us=0
        ) as recorder:
            return sum(sensor.reason is None for sensor in recorder.snapshot().sensors)


def plain(prepared: Prepared) -> float:
    launches_per_s(prepared, LEAD_S)
    return launches_per_s(prepared, BLOCK_S)


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    (device,) = family.select(["cpu"], family.inventory())
    threads = int(str(device.fact("threads-usable")))
    prepared, recorded = gemm(device, threads), Recorded()
    launches_per_s(prepared, 1.0)
    without, within = [], []
    for pair in range(pairs):
        if pair % 2:
            within.append(recorded.block(prepared))
        without.append(plain(prepared))
        if not pair % 2:
            within.append(recorded.block(prepared))
    plain_rate = sum(without) / pairs
    differences = [a - b for a, b in zip(within, without, strict=True)]
    ratio = 1 + sum(differences) / pairs / plain_rate
    half = stats.t95(pairs - 1) * stats.deviation(differences) / pairs**0.5 / plain_rate
    per_reading_us = recorded.cpu_ns / recorded.readings / 1000
    share = recorded.cpu_ns / recorded.readings / PERIOD_NS
    ops = opcount.ops(SHAPE)
    print(
        f"rate {ops * sum(within) / pairs / 1e9:.1f} G with the recorder, "
        f"{ops * plain_rate / 1e9:.1f} G without: "
        f"ratio {ratio:.4f}, 95 % interval {ratio - half:.4f} to {ratio + half:.4f} ({pairs} pairs)"
    )
    shown = ratio - half > LEAST_RATIO
    print(f"cost below {1 - LEAST_RATIO:.1%}: {'shown' if shown else 'not shown'} by the rates")
    print(
        f"{per_reading_us:.0f} us of CPU time per reading ({recorded.readings} readings, "
        f"{recorded.sensors()} sensors): {share:.3%} of one core, {share / threads:.3%} of {threads}"
    )
    if len(sys.argv) > 2:
        result = {
            "device": device.name,
            "threads": threads,
            "pairs": pairs,
            "blockSeconds": BLOCK_S,
            "with": within,
            "without": without,
            "ratio": ratio,
            "halfWidth": half,
            "shown": shown,
            "cpuNsPerReading": per_reading_us * 1000,
            "shareOfOneCore": share,
            "sensors": recorded.sensors(),
        }
        Path(sys.argv[2]).write_text(json.dumps(result, indent=1), "utf-8")


if __name__ == "__main__":
    main()
