"""`bench run`: the typed words become a plan, the run is watched, and its report is printed."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.consoles import complain, say
from bench.cli.outcome import naming, print_json, required_met, summary
from bench.cli.signals import stoppable
from bench.errors import UsageError
from bench.judge.catalog import DEFAULT_RULES
from bench.report.language import tr

if TYPE_CHECKING:
    from bench.evidence.challenge import Posed
    from bench.plan import Plan
    from bench.terms import Device, Envelope, Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What to measure and how to judge it, in the words typed."""

    devices: tuple[str, ...]
    ep_libraries: tuple[str, ...]
    ep_options: tuple[str, ...]
    runner: str | None
    precisions: tuple[str, ...]
    claims: tuple[str, ...]
    rules: str | None
    required: tuple[str, ...]
    challenge: Path | None
    case: Path | None
    quick: bool
    time: str | None
    sustain: str | None

    def check(self) -> None:
        for option, given in (("--time", self.time), ("--sustain", self.sustain)):
            if self.quick and given is not None:
                raise click.UsageError(f"--quick and {option} exclude each other: type one of them.")

    def words(self) -> list[str]:
        """The words that ask for the same measurement once."""
        several = {
            "--device": self.devices,
            "--ep-library": self.ep_libraries,
            "--ep-option": self.ep_options,
            "--precision": self.precisions,
            "--claim": self.claims,
            "--require": self.required,
        }
        single = {
            "--runner": self.runner,
            "--rules": self.rules,
            "--challenge": self.challenge,
            "--case": self.case,
            "--time": self.time,
            "--sustain": self.sustain,
        }
        return [
            *(word for name, values in several.items() for value in values for word in (name, value)),
            *(word for name, value in single.items() for word in option(name, value)),
            *(["--quick"] if self.quick else []),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files named for one run."""

    output: Path | None
    key: Path | None
    power_log: Path | None

    def words(self) -> list[str]:
        """Those that several runs can share."""
        return [*option("--power-log", self.power_log), *option("--key", self.key)]


def _seconds(option: str, text: str | None) -> float | None:
    from bench.evidence.challenge import SHORTEST_HELD_S
    from bench.units import parse_seconds

    if text is None:
        return None
    seconds = parse_seconds(text)
    if option == "--sustain" and seconds < SHORTEST_HELD_S:
        raise UsageError(f"{option} {text} is too short: expected at least {SHORTEST_HELD_S}s.")
    return seconds


@click.command()
@click.option(
    "--device",
    "devices",
    multiple=True,
    help="One of `bench devices`; repeatable. [default: cpu]",
)
@click.option(
    "--ep-library",
    "ep_libraries",
    multiple=True,
    help="Of an execution provider, NAME=PATH; repeatable.",
)
@click.option(
    "--ep-option",
    "ep_options",
    multiple=True,
    help="Of the execution provider, KEY=VALUE; repeatable.",
)
@click.option("--runner", metavar="CMD", help="Measure the board behind this command (docs/runner.md).")
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
    "--challenge",
    type=click.Path(path_type=Path, dir_okay=False),
    help="An auditor's, which seeds the run and says what to do.",
)
@click.option(
    "--case",
    "case_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML: what is stated; --case-template prints one.",
)
@click.option("--case-template", is_flag=True, hidden=True)
@click.option("--rules", help=f"Rule set: an id or FILE. [default: {DEFAULT_RULES}]")
@click.option(
    "--require",
    "required",
    multiple=True,
    help="Exit 1 unless this tier, or level (A1), is reached.",
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
    help="N runs, each a process and a file.",
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
# Whoever reads this has found it; the page has 24 lines.
@click.help_option("-h", "--help", hidden=True)
def run(
    devices: tuple[str, ...],
    ep_libraries: tuple[str, ...],
    ep_options: tuple[str, ...],
    runner: str | None,
    precisions: tuple[str, ...],
    claims: tuple[str, ...],
    challenge: Path | None,
    case_file: Path | None,
    case_template: bool,
    rules: str | None,
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
    if case_template:
        from bench.evidence.case import TEMPLATE

        say(TEMPLATE.rstrip("\n"))
        return 0
    from bench import run as use_case
    from bench.cli import keys_here
    from bench.cli.progress import Watcher
    from bench.devices import power_log as meter
    from bench.devices import runner as external
    from bench.devices.clock import HostClock
    from bench.evidence.destination import destination
    from bench.fleet import ranks

    typed = Typed(
        devices=devices or (("cpu",) if runner is None else ("runner",)),
        ep_libraries=ep_libraries,
        ep_options=ep_options,
        runner=runner,
        precisions=precisions,
        claims=claims,
        rules=rules,
        required=required,
        challenge=challenge,
        case=case_file,
        quick=quick,
        time=time_text,
        sustain=sustain_text,
    )
    files = Files(output=output, key=key_file, power_log=power_log)
    place = ranks.place(os.environ)
    if place is not None:
        if repeat is not None or runner is not None:
            raise click.UsageError("--repeat and --runner are for one process: leave them out with torchrun.")
        from bench.cli.system import run_as_rank

        return run_as_rank(place, typed, files, as_json=as_json, quiet=quiet)
    if repeat is not None:
        _refuse_single("--repeat", **{"-o": output, "--challenge": challenge})
        with external.connected_to(runner):
            make_plan(typed, chosen_devices(typed))
        from bench.cli.repeat import repeated

        return repeated(repeat, [*typed.words(), *files.words()], as_json=as_json, quiet=quiet)
    with stoppable() as stop, external.connected_to(runner):
        chosen = chosen_devices(typed)
        if len(chosen) > 1 and all(device.family == "cuda" for device in chosen):
            from bench.cli.system import run_on_each

            return run_on_each(chosen, typed, files, as_json=as_json, quiet=quiet)
        take(chosen)
        plan = make_plan(typed, chosen)
        if power_log is not None:
            meter.check(power_log)
        to = destination(output, plan.devices[0].selector, datetime.now(UTC))
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
        with naming(path, after="measuring"):
            stop.release()
            if as_json:
                print_json(summary(evidence, signed, path=path, key=key.fingerprint))
            else:
                _print(evidence, plan, signed, path, key.fingerprint, typed)
            if measuring.unread is not None:
                complain(f"{measuring.unread} What was measured without it is in {path}.")
                return measuring.unread.exit_code
            return required_met(evidence, required)


def option(name: str, value: object) -> list[str]:
    return [] if value is None else [name, str(value)]


def _refuse_single(option: str, **given: Path | None) -> None:
    """What names one run cannot be asked of many."""
    for name, value in given.items():
        if value is not None:
            raise click.UsageError(f"{name} and {option} exclude each other: {name} is for one run.")


def chosen_devices(typed: Typed) -> "tuple[Device, ...]":
    """The devices that were named, as they are found here."""
    from bench.devices import family, ort

    typed.check()
    ort.name_libraries(typed.ep_libraries)
    return ort.with_options(family.select(typed.devices, family.inventory()), typed.ep_options)


def take(chosen: "Sequence[Device]") -> None:
    """Let this process have the GPU that was chosen, and no other. Before anything opens one."""
    from bench.devices import cuda

    for device in chosen:
        if device.family == "cuda":
            cuda.pin(device)
            cuda.require_pinned(device)


def make_plan(
    typed: Typed, chosen: "Sequence[Device]", *, nonce: str | None = None, sharing: int | None = None
) -> "Plan":
    """Everything that can be refused is refused here, before anything is measured.

    Of a system's ranks each has one device, the same `nonce`, and memory that is shared by so many of them;
    what is claimed is claimed of the system.
    """
    from bench import plan
    from bench.evidence import case
    from bench.judge import catalog
    from bench.judge.claims import parse_claim
    from bench.precision import precision

    stated = None if typed.case is None else case.read(typed.case)
    posed = None if typed.challenge is None else _posed(typed.challenge, chosen)
    rule_set = catalog.rules(typed.rules or _asked_rules(posed))
    catalog.require_known(rule_set, typed.required)
    asked_claims = [parse_claim(text) for text in typed.claims]
    for name in typed.precisions:
        precision(name)
    return plan.make(
        devices=chosen,
        precisions=typed.precisions,
        claims=asked_claims if sharing is None else [],
        rules=rule_set,
        quick=typed.quick,
        limit_s=_seconds("--time", typed.time),
        sustain_s=_seconds("--sustain", typed.sustain),
        challenge=posed,
        case=stated,
        nonce=nonce or secrets.token_hex(32),
        room=_room(chosen, sharing or 1),
        at_once=sharing is not None,
    )


def _room(chosen: "Sequence[Device]", sharing: int) -> int:
    """Memory in bytes for the operands: a GPU's own, else this process's share of the machine's."""
    from bench.devices import host

    own = chosen[0].fact("memory-free-bytes")
    return own if isinstance(own, int) else host.memory_room() // sharing


def _asked_rules(posed: "Posed | None") -> str:
    """The shipped rule set that the challenge is about: no file is opened that another file names."""
    from bench.judge import catalog
    from bench.printable import printable

    name = DEFAULT_RULES if posed is None else posed.challenge.rules.name
    if name not in catalog.rule_ids():
        raise UsageError(
            f"the challenge is about rule set {printable(name)}, which is not shipped with this bench. "
            "Give the auditor's file with --rules FILE.toml."
        )
    return name


def _posed(path: Path, devices: "Sequence[Device]") -> "Posed":
    """The challenge in a file: of an auditor who is trusted here, still open, and about these devices."""
    from bench.evidence import answer, challenge, trust

    now = datetime.now(UTC)
    posed = challenge.read(path, trust.read(), now, trust.read_revoked())
    answer.require_open(posed, now)
    answer.require_devices(posed, devices)
    return posed


def verifying(path: Path, typed: Typed) -> str:
    """The command that verifies this run by what it went by: its challenge, and rules of one's own."""
    from bench.judge import catalog
    from bench.report.typed import typed_verify

    own = typed.rules is not None and typed.rules not in catalog.rule_ids()
    return typed_verify(
        str(path),
        {
            "--challenge": None if typed.challenge is None else str(typed.challenge),
            "--rules": typed.rules if own else None,
        },
    )


def _print(
    evidence: "Evidence", plan: "Plan", signed: "Envelope", path: Path, key: str, typed: Typed
) -> None:
    from bench.cli.consoles import stdout
    from bench.evidence.envelope import report_number
    from bench.printable import printable
    from bench.report import text

    console = stdout()
    text.report(console, evidence, plan.rules, report_number(signed))
    console.print()
    shown = printable(str(path), limit=4096)
    for line in (
        tr("evidence  {path}", path=shown),
        tr("key       {key}", key=key),
        tr("verify    {command}", command=verifying(path, typed)),
    ):
        console.print(line, soft_wrap=True)
