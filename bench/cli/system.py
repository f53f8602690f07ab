"""`bench run` as one rank of several: each measures its device, rank 0 watches, writes and prints."""

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli import itself, keys_here
from bench.cli.consoles import complain
from bench.cli.outcome import naming, print_json, required_met, summary
from bench.cli.progress import Watcher
from bench.cli.run import Files, Typed, chosen_devices, make_plan, option, take, verifying
from bench.cli.signals import Stop, stoppable
from bench.devices import cpu
from bench.devices.clock import HostClock
from bench.errors import CannotMeasure, Interrupted, RankLost
from bench.evidence import envelope, statement
from bench.evidence.destination import Destination, destination
from bench.fleet import launch, meeting, system
from bench.fleet.ranks import Place
from bench.report.language import tr
from bench.run import Run

if TYPE_CHECKING:
    from bench.evidence.keys import SigningKey
    from bench.fleet.meeting import Handed, Meeting
    from bench.fleet.system import Joined
    from bench.judge.system import Part
    from bench.plan import Plan
    from bench.terms import Device, Envelope, SystemEvidence


def run_on_each(
    devices: "Sequence[Device]", typed: Typed, files: Files, *, as_json: bool, quiet: bool
) -> int:
    """A process for each of this machine's devices; what can be refused is refused before they start."""
    for device in devices:
        make_plan(typed, [device], sharing=len(devices))
    keys_here.signing_key(files.key)
    shared = [*replace(typed, devices=()).words(), *files.words()]
    first = [*option("-o", files.output), *(["--json"] if as_json else []), *(["--quiet"] if quiet else [])]
    commands = [
        itself.command("run", "--device", device.selector, *shared, *(["--quiet"] if number else first))
        for number, device in enumerate(devices)
    ]
    return launch.launch(commands, os.environ)


def run_as_rank(place: Place, typed: Typed, files: Files, *, as_json: bool, quiet: bool) -> int:
    """Measure this rank's device in step with all others."""
    with stoppable() as stop, meeting.joined(place) as met:
        plan, key, everyone = _prepare(met, typed, files)
        to = _own_file(met, plan, files)
        watcher = Watcher(plan, quiet=quiet or met.rank.number > 0)
        watcher.announce()
        with watcher:
            run = Run(
                plan=plan,
                key=key,
                to=to,
                clock=HostClock(),
                progress=system.Alive(watcher, met),
                power_log=files.power_log if place.local == 0 else None,
                hold=stop.hold,
                company=met,
            )
            interrupted = system.measure(run, met)
        if met.rank.number > 0:
            code = _leave_to_rank_0(met, to)
        else:
            handed = met.collect(interrupted=interrupted)
            code = _write(met, plan, key, everyone, handed, typed, files, own=to, stop=stop, as_json=as_json)
        if run.unread is not None:
            complain(f"rank {met.rank.number}: {run.unread} What was measured without it is in the evidence.")
            return run.unread.exit_code
        return code


def _prepare(met: "Meeting", typed: Typed, files: Files) -> "tuple[Plan, SigningKey, list[Joined]]":
    """This rank's plan, key, and what all ranks say of themselves."""
    place = met.place
    if {*typed.devices} == {"cpu"}:
        _take_own_cores(place)
    device = system.own_device(chosen_devices(typed), place.local, place.local_of)
    take([device])
    nonce = met.meet("nonce", [secrets.token_hex(32)])[0][0]
    plan = make_plan(typed, [device], nonce=nonce, sharing=place.local_of)
    key = _key(met, files)
    return plan, key, system.join(met, plan, key)


def _key(met: "Meeting", files: Files) -> "SigningKey":
    """Where there is no key yet one rank makes it, and not all at once: machines may share a home folder."""
    makes = "first" if met.rank.number == 0 else "each" if met.place.local == 0 else "none"
    for turn in ("first", "each"):
        if makes == turn:
            keys_here.signing_key(files.key)
        met.meet(f"{turn} key")
    return keys_here.signing_key(files.key)


def _take_own_cores(place: Place) -> None:
    """Ranks that share a processor share its cores, so that none works on another's."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpu.share(cpu.affinity_here(), place.local, place.local_of))


def _own_file(met: "Meeting", plan: "Plan", files: Files) -> Destination:
    subject = f"rank{met.rank.number}-{plan.devices[0].selector}"
    usual = destination(None, subject, datetime.now(UTC))
    folder = usual.folder if files.output is None else files.output.parent
    own = system.PartDestination(output=None, folder=folder, stem=usual.stem, meeting=met)
    own.check()
    if met.rank.number == 0:
        _system_file(files).check()
    return own


def _system_file(files: Files) -> Destination:
    return destination(files.output, "system", datetime.now(UTC))


def _leave_to_rank_0(met: "Meeting", own: Destination) -> int:
    """The own file goes once rank 0 has written all; where it cannot, the file stays and is named."""
    with suppress(RankLost):
        if met.is_written():
            with suppress(OSError):
                own.partial.unlink()
            return 0
    raise CannotMeasure(
        f"rank {met.rank.number}: rank 0 has not written what this rank measured "
        f"({met.why_ended() or 'it is gone'}). It is in {own.partial}."
    )


def _write(
    met: "Meeting",
    plan: "Plan",
    key: "SigningKey",
    everyone: "Sequence[Joined]",
    handed: "Sequence[Handed]",
    typed: Typed,
    files: Files,
    *,
    own: Destination,
    stop: Stop,
    as_json: bool,
) -> int:
    """Gather all parts, sign the system's evidence, print it."""
    from bench.judge.claims import parse_claim

    with naming(own.partial, after="measuring"):
        claims = [parse_claim(text) for text in typed.claims]
        evidence, parts = system.assemble(plan, claims, everyone, handed)
        signed = envelope.sign(statement.build(evidence), envelope.PAYLOAD_TYPE, [key])
        path = _system_file(files).finish(signed, whole=not evidence.interrupted)
    with suppress(RankLost):
        met.written([member.rank for member in evidence.members if member.reason is None])
    with suppress(OSError):
        own.partial.unlink()
    why = met.why_ended()
    if any(member.reason is not None for member in evidence.members):
        raise CannotMeasure(f"{why or 'a rank is missing'}; what was measured by then is in {path}.")
    if evidence.interrupted:
        raise Interrupted(f"interrupted{f' ({why})' if why else ''}; what was measured is in {path}.")
    with naming(path, after="measuring"):
        stop.release()
        if as_json:
            print_json(summary(evidence, signed, path=path, key=key.fingerprint))
        else:
            _print(evidence, parts, plan, signed, path, key.fingerprint, typed)
        return required_met(evidence, typed.required)


def _print(
    evidence: "SystemEvidence",
    parts: "Sequence[Part]",
    plan: "Plan",
    signed: "Envelope",
    path: Path,
    key: str,
    typed: Typed,
) -> None:
    from bench.cli.consoles import stdout
    from bench.evidence.parts import shown
    from bench.printable import printable
    from bench.report.system import report

    console = stdout()
    report(console, evidence, shown(parts), plan.rules, envelope.report_number(signed))
    console.print()
    for line in (
        tr("evidence  {path}", path=printable(str(path), limit=4096)),
        tr("key       {key}", key=key),
        tr("verify    {command}", command=verifying(path, typed)),
    ):
        console.print(line, soft_wrap=True)
