"""The harness on a machine that is loaded on purpose: the figure must fall, and the report must say why.

A child process keeps one CPU busy for 40 of every 100 ms. `bench run` runs without and with it, in turn.
Exit code 1 when a loaded run does not name the load, or the loaded figure is the higher one.
"""

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from math import fsum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import harness_side

BUSY_S, IDLE_S = 0.040, 0.060
# What another process's CPU time is called, of the whole run and of one row's windows.
NAMES_THE_LOAD = ("foreign-load", "row-foreign-load")


def _busy(cpu: int) -> None:
    """Keep a CPU busy in short stretches until killed."""
    os.sched_setaffinity(0, {cpu})
    while True:
        end = time.perf_counter() + BUSY_S
        while time.perf_counter() < end:
            pass
        time.sleep(IDLE_S)


@contextmanager
def load() -> Iterator[None]:
    """Another process on the last of the CPUs that this one may use."""
    cpu = max(os.sched_getaffinity(0))
    child = multiprocessing.get_context("spawn").Process(target=_busy, args=(cpu,), daemon=True)
    child.start()
    try:
        yield
    finally:
        child.terminate()
        child.join()


def run(precision: str, time_text: str) -> dict[str, Any]:
    """One `bench run`: its figure with its half-width, and the codes of its warnings."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "run.evidence.json"
        words = ("run", "--time", time_text, "--precision", precision, "--json", "--quiet", "-o", file)
        said = json.loads(harness_side.measured(*words).out)
    (figure,) = said["figures"]
    estimate = figure["estimate"]
    if estimate is None:
        raise SystemExit(f"no figure for {precision}: {figure['reason']}")
    findings = [f for f in said["verdict"]["findings"] if f["status"] != "info"]
    return {
        "value": estimate["value"],
        "halfWidth": (estimate["high"] - estimate["low"]) / 2 / estimate["value"],
        "row": figure["row"],
        "findings": findings,
    }


def show(words: str, found: dict[str, Any]) -> None:
    click.echo(f"{words:<9} {found['value'] / 1e9:10.1f} G  ± {found['halfWidth']:6.2%}  {found['row']}")
    for finding in found["findings"]:
        numbers = ", ".join(f"{name} {value}" for name, value in finding["numbers"].items())
        click.echo(f"{'':<9} {finding['status']} {finding['code']} ({finding['subject']}) {numbers}")


def names_the_load(found: dict[str, Any]) -> bool:
    return any(finding["code"] in NAMES_THE_LOAD for finding in found["findings"])


def _mean(runs: list[dict[str, Any]]) -> float:
    return fsum(run["value"] for run in runs) / len(runs)


@click.command(help=__doc__)
@click.option("--pairs", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--time", "time_text", default="30s", show_default=True, help="Of each run.")
@click.option("--precision", default="fp32", show_default=True)
@click.option("-o", "--result", "path", type=click.Path(path_type=Path), help="Write the runs as JSON.")
def main(pairs: int, time_text: str, precision: str, path: Path | None) -> None:
    runs: dict[str, list[dict[str, Any]]] = {"unloaded": [], "loaded": []}
    for _ in range(pairs):
        for words, around in (("unloaded", nullcontext()), ("loaded", load())):
            with around:
                runs[words].append(run(precision, time_text))
            show(words, runs[words][-1])
    ratio = _mean(runs["loaded"]) / _mean(runs["unloaded"])
    named = {words: sum(map(names_the_load, found)) for words, found in runs.items()}
    click.echo(
        f"loaded / unloaded {ratio:.3f}; the load is named in {named['loaded']} of {pairs} loaded runs, "
        f"and a load in {named['unloaded']} of the others"
    )
    if path is not None:
        path.write_text(json.dumps({**runs, "ratio": ratio, "named": named}, indent=1) + "\n", "utf-8")
    raise SystemExit(0 if named["loaded"] == pairs and ratio < 1 else 1)


if __name__ == "__main__":
    main()
