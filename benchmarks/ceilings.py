"""The ceilings of this processor beside what its instructions reach in registers alone, A B A B.

For each instruction of the profile that fits (profiles/arch) and that register_only.c has a loop for: the
loop runs for a moment on one CPU of each core, then the clock is measured as `bench run` measures it after
a window. The ratio is the loop's rate over operations per clock x the clock, with a 95 % interval over
rounds; "best" takes the best millisecond of each round in place of the mean over its CPU time, since a
neighbour on the host may take a share of a core. A mean above 1.02 for a widest instruction would say
that a ceiling accuses honest figures. Two kinds differ for a known reason: 256-bit instructions run at a
higher clock than the 512-bit ones that the clock is measured under, tile instructions at a lower one.
Needs gcc 12 and numba. Usage: python benchmarks/ceilings.py [ROUNDS] [RESULT.json]
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.devices import cpu
from bench.judge import ceiling, microarchitecture
from bench.judge.microarchitecture import Instruction
from bench.measure import stats
from bench.terms import Device
from bench.workload.registry import clock_chain

SOURCE = Path(__file__).with_name("register_only.c")
MILLISECONDS = 100


def build(folder: Path) -> Path:
    """The loops as a program; gcc 12 knows every instruction set that they use."""
    program = folder / "register_only"
    options = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread"]
    subprocess.run(["gcc", *options, str(SOURCE), "-o", str(program)], check=True)
    return program


def printed(program: Path, *arguments: str) -> list[dict[str, float]]:
    done = subprocess.run([str(program), *arguments], check=True, capture_output=True, text=True)
    found: list[dict[str, float]] = json.loads(done.stdout)
    return found


def rounds_of(
    program: Path, device: Device, rows: list[Instruction], cpus: tuple[int, ...], rounds: int
) -> dict[str, list[dict[str, float]]]:
    """For each round and instruction the loop's mean and best rate in op/s and the cores' clocks summed."""
    seen: dict[str, list[dict[str, float]]] = {row.name: [] for row in rows}
    chain = clock_chain()
    for _ in range(rounds):
        for row in rows:
            cores = printed(program, row.name, str(MILLISECONDS), *map(str, cpus))
            hertz = ceiling.clocks_hz(device, chain.multiplies_per_s(cpus))
            mean, best = (sum(core[key] for core in cores) for key in ("mean", "best"))
            seen[row.name].append({"mean": mean, "best": best, "hertz": float(sum(hertz))})
    return seen


def ratio(row: Instruction, seen: list[dict[str, float]], which: str) -> tuple[float, float]:
    """Loop over ceiling, the mean over rounds and the half-width of its 95 % interval."""
    ratios = [entry[which] / (row.ops_per_clock * entry["hertz"]) for entry in seen]
    half = stats.t95(len(ratios) - 1) * stats.deviation(ratios) / len(ratios) ** 0.5
    return sum(ratios) / len(ratios), half


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    (device,) = cpu.inventory(cpu.affinity_here()).devices
    arch = microarchitecture.match(device)
    if arch is None:
        sys.exit(f"{device.name}: no profile in profiles/arch fits.")
    cpus = cpu.clock_cpus(device, cpu.affinity_here())
    method = "/".join(clock_chain().compile())
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        loops = printed(program, "list")
        rows = [row for row in arch.instructions if row.name in loops]
        seen = rounds_of(program, device, rows, cpus, rounds)
    print(f"{arch.id}, {len(cpus)} cores, {method}, {rounds} rounds of {MILLISECONDS} ms")
    results = []
    for row in rows:
        (mean, mean_half), (best, best_half) = (ratio(row, seen[row.name], key) for key in ("mean", "best"))
        clock = sum(entry["hertz"] for entry in seen[row.name]) / rounds / len(cpus)
        print(
            f"{row.precision:5} {row.name:16} {row.ops_per_clock:5} per clock x {clock / 1e9:.3f} GHz  "
            f"loop/ceiling: mean {mean:.3f} ± {mean_half:.3f}, best {best:.3f} ± {best_half:.3f}"
        )
        results.append(
            {
                "precision": row.precision,
                "instruction": row.name,
                "opsPerClock": row.ops_per_clock,
                "clockHz": clock,
                "mean": mean,
                "meanHalfWidth": mean_half,
                "best": best,
                "bestHalfWidth": best_half,
                "rounds": seen[row.name],
            }
        )
    if len(sys.argv) > 2:
        result = {"device": device.name, "arch": arch.id, "cpus": cpus, "clock": method, "results": results}
        Path(sys.argv[2]).write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
