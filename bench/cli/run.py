"""`bench run`: the typed words become a plan, the run is watched, and its report is printed."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.outcome import print_json, required_tiers_met, summary
from bench.cli.signals import stoppable
from bench.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.terms import Envelope, Evidence

# Every sample is kept, 50 a second of about 60 bytes: some six hours fill the largest file that is read.
_LONGEST_S = 4 * 3600


@click.command()
@click.option(
    "--device",
    "devices",
    multiple=True,
    default=("cpu",),
    show_default=True,
    help="What to measure: a selector from `bench devices`; may be repeated.",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    help="fp64 fp32 bf16 fp16 int8; may be repeated. [default: all]",
)
@click.option(
    "--claim",
    "claims",
    multiple=True,
    help="A vendor's word, e.g. fp32=48TFLOPS or int8=5TOPS,dense,npu; may be repeated.",
)
@click.option(
    "--rules", default="tw-ai-hardware-2024", show_default=True, help="Rule set: an id or FILE.toml."
)
@click.option(
    "--require",
    "required",
    multiple=True,
    help="Exit 1 unless this tier is met, e.g. inference-server; may be repeated.",
)
@click.option("--quick", is_flag=True, help="Smoke test in under 20 s; never a positive verdict.")
@click.option("--time", "time_text", help="Time to measure for, e.g. 120s or 5min. [default: 130s]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Evidence file. [default: results/<time>-<device>-<number>.evidence.json]",
)
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Signing key. [default: this machine's own]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def run(
    devices: tuple[str, ...],
    precisions: tuple[str, ...],
    claims: tuple[str, ...],
    rules: str,
    required: tuple[str, ...],
    quick: bool,
    time_text: str | None,
    output: Path | None,
    key_file: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Measure this machine, judge the figures, sign the evidence."""
    from bench import run as use_case
    from bench.cli import keys_here
    from bench.cli.progress import Watcher
    from bench.devices.clock import HostClock

    with stoppable() as stop:
        plan = _plan(devices, precisions, claims, rules, required, quick=quick, time_text=time_text)
        to = use_case.destination(output, plan.devices[0], datetime.now(UTC))
        to.check()
        key = keys_here.signing_key(key_file)
        watcher = Watcher(plan, quiet=quiet)
        watcher.announce()
        with watcher:
            path, evidence, signed = use_case.Run(
                plan=plan, key=key, to=to, clock=HostClock(), progress=watcher, hold=stop.hold
            )()
        with _naming(path):
            stop.release()
            if as_json:
                print_json(summary(evidence, signed, path=path, key=key.fingerprint))
            else:
                _print(evidence, plan, signed, path, key.fingerprint)
            return required_tiers_met(evidence.verdict, required)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Whatever ends the program once evidence is written says where it lies."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted after measuring; the evidence is in {path}.") from error
    except Exception as error:
        error.add_note(f"The evidence is in {path}.")
        raise


def _plan(
    devices: tuple[str, ...],
    precisions: tuple[str, ...],
    claims: tuple[str, ...],
    rules: str,
    required: tuple[str, ...],
    *,
    quick: bool,
    time_text: str | None,
) -> "Plan":
    """Everything that can be refused is refused here, before anything is measured."""
    from bench import plan
    from bench.devices import family, host
    from bench.judge import catalog
    from bench.judge.claims import parse_claim
    from bench.precision import precision
    from bench.units import parse_seconds

    if quick and time_text is not None:
        raise click.UsageError("--quick and --time exclude each other: type one of them.")
    limit_s = parse_seconds(time_text) if time_text is not None else None
    if limit_s is not None and limit_s > _LONGEST_S:
        raise UsageError(f"--time {time_text} is too long: expected at most {_LONGEST_S // 3600}h.")
    rule_set = catalog.rules(rules)
    catalog.require_tiers(rule_set, required)
    asked_claims = [parse_claim(text) for text in claims]
    for name in precisions:
        precision(name)
    chosen = family.select(devices, family.inventory())
    return plan.make(
        devices=chosen,
        precisions=precisions,
        claims=asked_claims,
        rules=rule_set,
        quick=quick,
        limit_s=limit_s,
        nonce=secrets.token_hex(32),
        room=host.memory_room(),
    )


def _print(evidence: "Evidence", plan: "Plan", signed: "Envelope", path: Path, key: str) -> None:
    from bench.cli.consoles import stdout
    from bench.evidence.envelope import report_number
    from bench.printable import printable
    from bench.report import text

    console = stdout()
    text.report(console, evidence, plan.rules, report_number(signed))
    console.print()
    shown = printable(str(path), limit=4096)
    console.print(f"evidence  {shown}", soft_wrap=True)
    console.print(f"key       {key}", soft_wrap=True)
    console.print(f"verify    bench verify {shown}", soft_wrap=True)
