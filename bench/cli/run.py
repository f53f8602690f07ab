"""`bench run`: the typed words become a plan, the run is watched, and its report is printed."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.consoles import complain
from bench.cli.outcome import print_json, required_tiers_met, summary
from bench.cli.signals import stoppable
from bench.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.terms import Envelope, Evidence


# A held window shorter than this has no first and last fifth to compare.
_SHORTEST_HELD_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long to measure, in the words typed."""

    quick: bool
    time: str | None
    sustain: str | None

    def check(self) -> None:
        for option, given in (("--time", self.time), ("--sustain", self.sustain)):
            if self.quick and given is not None:
                raise click.UsageError(f"--quick and {option} exclude each other: type one of them.")


def _seconds(option: str, text: str | None) -> float | None:
    from bench.units import parse_seconds

    if text is None:
        return None
    seconds = parse_seconds(text)
    if option == "--sustain" and seconds < _SHORTEST_HELD_S:
        raise UsageError(f"{option} {text} is too short: expected at least {_SHORTEST_HELD_S}s.")
    return seconds


@click.command()
@click.option(
    "--device",
    "devices",
    multiple=True,
    default=("cpu",),
    show_default=True,
    help="A selector from `bench devices`; repeatable.",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    help="fp64 fp32 bf16 fp16 int8; repeatable. [default: all]",
)
@click.option(
    "--claim",
    "claims",
    multiple=True,
    help="A vendor's word, fp32=48TFLOPS or int8=5TOPS,dense,npu.",
)
@click.option(
    "--rules", default="tw-ai-hardware-2024", show_default=True, help="Rule set: an id or FILE.toml."
)
@click.option(
    "--require",
    "required",
    multiple=True,
    help="Exit 1 unless this tier, e.g. edge-device, is met.",
)
@click.option("--quick", is_flag=True, help="Smoke test in under 20 s; decides nothing.")
@click.option("--time", "time_text", help="Time of all visits: 120s or 5min. [default: 155s]")
@click.option(
    "--sustain",
    "sustain_text",
    help="Then keep each precision's best row under load: 600s.",
)
@click.option(
    "--repeat",
    type=click.IntRange(min=2, max=1000),
    metavar="N",
    help="Run N times, each in a process and file of its own.",
)
@click.option(
    "--power-log",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A wall meter's CSV with columns time and energy_j.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Evidence file. [default: a new one in results/]",
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
    sustain_text: str | None,
    repeat: int | None,
    power_log: Path | None,
    output: Path | None,
    key_file: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Measure this machine, judge the figures, sign the evidence."""
    from bench import run as use_case
    from bench.cli import keys_here
    from bench.cli.progress import Watcher
    from bench.devices import power_log as meter
    from bench.devices.clock import HostClock
    from bench.evidence.destination import destination

    times = Times(quick=quick, time=time_text, sustain=sustain_text)
    if repeat is not None:
        if output is not None:
            raise click.UsageError("-o and --repeat exclude each other: each run writes a file of its own.")
        _plan(devices, precisions, claims, rules, required, times)
        from bench.cli.repeat import repeated

        typed = _typed(devices, precisions, claims, rules, required, times)
        files = [*_option("--power-log", power_log), *_option("--key", key_file)]
        return repeated(repeat, [*typed, *files], as_json=as_json, quiet=quiet)
    with stoppable() as stop:
        plan = _plan(devices, precisions, claims, rules, required, times)
        if power_log is not None:
            meter.check(power_log)
        to = destination(output, plan.devices[0], datetime.now(UTC))
        to.check()
        key = keys_here.signing_key(key_file)
        watcher = Watcher(plan, quiet=quiet)
        watcher.announce()
        with watcher:
            measuring = use_case.Run(
                plan=plan,
                key=key,
                to=to,
                clock=HostClock(),
                progress=watcher,
                power_log=power_log,
                hold=stop.hold,
            )
            path, evidence, signed = measuring()
        with _naming(path):
            stop.release()
            if as_json:
                print_json(summary(evidence, signed, path=path, key=key.fingerprint))
            else:
                _print(evidence, plan, signed, path, key.fingerprint)
            if measuring.unread is not None:
                complain(f"{measuring.unread} What was measured without it is in {path}.")
                return measuring.unread.exit_code
            return required_tiers_met(evidence.verdict, required)


def _option(name: str, value: object) -> list[str]:
    return [] if value is None else [name, str(value)]


def _typed(
    devices: tuple[str, ...],
    precisions: tuple[str, ...],
    claims: tuple[str, ...],
    rules: str,
    required: tuple[str, ...],
    times: Times,
) -> list[str]:
    """The words that ask for the same measurement once."""
    several = {"--device": devices, "--precision": precisions, "--claim": claims, "--require": required}
    words = [word for name, values in several.items() for value in values for word in (name, value)]
    times_typed = [*_option("--time", times.time), *_option("--sustain", times.sustain)]
    return [*words, "--rules", rules, *times_typed, *(["--quick"] if times.quick else [])]


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
    times: Times,
) -> "Plan":
    """Everything that can be refused is refused here, before anything is measured."""
    from bench import plan
    from bench.devices import family, host
    from bench.judge import catalog
    from bench.judge.claims import parse_claim
    from bench.precision import precision

    times.check()
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
        quick=times.quick,
        limit_s=_seconds("--time", times.time),
        sustain_s=_seconds("--sustain", times.sustain),
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
