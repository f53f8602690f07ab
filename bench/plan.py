"""What a run will do, as a value: known, checked and refused before the first measurement."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.devices import cpu
from bench.errors import CannotMeasure, UsageError
from bench.evidence.challenge import Posed
from bench.measure import search, stopping
from bench.measure.stopping import OPENING, least_visit_ns, schedule
from bench.precision import precision
from bench.printable import printable
from bench.terms import Case, Challenge, Claim, Device, RuleSet, Schedule, Shape, Unavailable, Workload
from bench.units import NS_PER_S, format_bytes, format_seconds
from bench.workload import ladder, selection
from bench.workload.ladder import Refinement
from bench.workload.selection import Selected

# A default run ends in under three minutes with its imports, checks and writing; a quick one in
# twenty seconds.
DEFAULT_LIMIT_S = 155.0
QUICK_LIMIT_S = 10.0
# A held window is what a run with --sustain is about: this much goes to finding the row to hold.
SUSTAIN_LIMIT_S = 60.0
# All devices of a system hold a precision's best rows at once, and a GPU by itself holds its own: so long.
HELD_S, QUICK_HELD_S = 15.0, 3.0
# A GPU has more rows, and each precision is held: so the whole stays under five minutes.
CUDA_LIMIT_S = 70.0
# A launch that takes longer leaves the shortest of its windows too few samples.
_CUDA_LAUNCH_NS = 20_000_000
# Bandwidth, diagnoses, imports and checks, which no limit counts.
_BESIDE_S, _BESIDE_QUICK_S = 20.0, 4.0
# Shorter than this, five visits to every row have no window left.
LEAST_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRow:
    """A row to measure, or the reason why it cannot be: then it is reported, not dropped."""

    workload: Workload
    device: Device
    ladder: tuple[Shape, ...]
    refinement: Refinement
    threads: int
    unavailable: Unavailable | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything `bench run` decided from its arguments and the devices."""

    devices: tuple[Device, ...]
    asked: tuple[str, ...]
    rows: tuple[PlannedRow, ...]
    schedule: Schedule
    limit_s: float
    quick: bool
    claims: tuple[Claim, ...]
    rules: RuleSet
    challenge: Posed | None
    case: Case | None
    nonce: str
    room: int

    @property
    def expected_s(self) -> float:
        """How long the run takes: its limit, or what the least visits to every row need beyond it.

        On top come the held windows, one for each device and precision, and what no limit counts.
        """
        rows = [row.workload for row in self.rows if row.unavailable is None]
        visits_s = len(rows) * self.schedule.visits * least_visit_ns(self.schedule) / NS_PER_S
        window = stopping.held(self.schedule)
        hold_ns = self.schedule.hold_ns and self.schedule.hold_ns + window.settle_least_ns
        held = len({(row.device, row.precision) for row in rows}) * hold_ns / NS_PER_S
        beside = _BESIDE_QUICK_S if self.quick else _BESIDE_S
        return max(self.limit_s, visits_s / (1 - OPENING)) + held + beside


def make(
    *,
    devices: Sequence[Device],
    precisions: Sequence[str],
    claims: Sequence[Claim],
    rules: RuleSet,
    quick: bool,
    limit_s: float | None,
    sustain_s: float | None = None,
    challenge: Posed | None = None,
    case: Case | None = None,
    nonce: str,
    room: int,
    at_once: bool = False,
) -> Plan:
    """The plan, or UsageError / CannotMeasure saying why there cannot be one.

    `room` is the memory in bytes that operands may take together. No precisions means the default.
    With `sustain_s` the best row of each precision is held that long once all have been visited; `at_once`
    says that this is one device of several, which hold theirs together.
    A `challenge` says what to measure where nothing else does, and its nonce stands for `nonce`.
    """
    if challenge is not None:
        asks = challenge.challenge
        _refuse_other_than_asked(asks, precisions, rules, sustain_s, quick=quick)
        precisions, nonce = asks.precisions or precisions, asks.nonce
        sustain_s = sustain_s if sustain_s is not None else asks.sustain_s or None
    _refuse_company(devices)
    usual = _usual_limit_s(devices, quick=quick, held=sustain_s is not None)
    limit = limit_s if limit_s is not None else usual
    if limit < LEAST_LIMIT_S:
        raise UsageError(f"--time {limit:g}s is too short: expected at least {LEAST_LIMIT_S:g}s.")
    if sustain_s is not None and sustain_s > stopping.LONGEST_S:
        raise _too_long(sustain_s)
    hold_s = sustain_s if sustain_s is not None else _usual_hold_s(devices, quick=quick, at_once=at_once)
    asked = tuple(dict.fromkeys(precision(name).name for name in precisions))
    rows = [
        _row(device, selected, quick=quick, nonce=nonce, moved=challenge is not None)
        for device in devices
        for selected in selection.select(device, asked, quick=quick)
    ]
    _refuse_unmeasured(devices, asked, rows)
    measurable = [row for row in rows if row.unavailable is None]
    held = len({(row.workload.device, row.workload.precision) for row in measurable}) * hold_s
    if limit + held > stopping.LONGEST_S:
        raise _too_long(limit + held)
    # What can be held is shared evenly; the rest stays free for the backends' own buffers.
    own = _for_operands(devices, room)
    _refuse_without_room(measurable, own // len(measurable))
    paced = schedule(len(measurable), limit, quick=quick, hold_s=hold_s)
    if any(device.queues_launches for device in devices):
        paced = replace(paced, launch_most_ns=min(paced.launch_most_ns, _CUDA_LAUNCH_NS))
    return Plan(
        devices=tuple(devices),
        asked=asked,
        rows=tuple(rows),
        schedule=paced,
        limit_s=limit,
        quick=quick,
        claims=tuple(claims),
        rules=rules,
        challenge=challenge,
        case=case,
        nonce=nonce,
        room=own,
    )


def _for_operands(devices: Sequence[Device], room: int) -> int:
    """Half of a machine's memory, since operands are packed and drawn there; of a GPU's own four fifths."""
    return room * 4 // 5 if any(device.queues_launches for device in devices) else room // 2


def _usual_limit_s(devices: Sequence[Device], *, quick: bool, held: bool) -> float:
    if quick:
        return QUICK_LIMIT_S
    if held:
        return SUSTAIN_LIMIT_S
    return CUDA_LIMIT_S if any(device.family == "cuda" for device in devices) else DEFAULT_LIMIT_S


def _usual_hold_s(devices: Sequence[Device], *, quick: bool, at_once: bool) -> float:
    if at_once:
        return QUICK_HELD_S if quick else HELD_S
    return HELD_S if not quick and any(device.family == "cuda" for device in devices) else 0.0


def _refuse_company(devices: Sequence[Device]) -> None:
    """A GPU is measured in a process of its own, with its own clocks and without a processor's load."""
    gpu = next((device for device in devices if device.family == "cuda"), None)
    if gpu is not None and len(devices) > 1:
        others = ", ".join(device.selector for device in devices if device is not gpu)
        raise UsageError(
            f"{gpu.selector} is measured by itself, and {others} was named beside it. Type one run for each, "
            "or --device cuda for all GPUs at once."
        )


def _too_long(seconds: float) -> UsageError:
    return UsageError(
        f"measuring for {format_seconds(seconds)} is too long: expected at most "
        f"{format_seconds(stopping.LONGEST_S)}. Shorten --time or --sustain, or hold fewer precisions with "
        "--precision."
    )


def _refuse_other_than_asked(
    asks: Challenge, precisions: Sequence[str], rules: RuleSet, sustain_s: float | None, *, quick: bool
) -> None:
    """What was typed may ask for more than the challenge where that leaves it open, never for less."""
    if rules.digest != asks.rules.sha256:
        raise UsageError(
            f"the challenge is about rule set {printable(asks.rules.name)} with digest "
            f"{printable(asks.rules.sha256, limit=12)}, --rules gave {rules.id} with {rules.digest[:12]}. "
            "Leave --rules out, or give the auditor's file with --rules FILE.toml."
        )
    if asks.precisions and precisions and {*precisions} != {*asks.precisions}:
        raise UsageError(
            f"the challenge asks for {', '.join(asks.precisions)}, --precision for {', '.join(precisions)}. "
            "Leave --precision out."
        )
    if asks.sustain_s and (quick or (sustain_s is not None and sustain_s < asks.sustain_s)):
        typed = "--quick holds nothing" if quick else f"--sustain says {format_seconds(sustain_s or 0.0)}"
        raise UsageError(
            f"the challenge asks for windows held for {format_seconds(asks.sustain_s)}; {typed}. "
            f"Leave {'--quick' if quick else '--sustain'} out."
        )


def _row(device: Device, selected: Selected, *, quick: bool, nonce: str, moved: bool) -> PlannedRow:
    kernel, form = selected.kernel, selected.form
    by = nonce if moved else None
    shapes = ladder.rungs(kernel.operation, form, device.family, quick=quick, nonce=by)
    workload = Workload(
        device=device.selector,
        kernel=kernel.name,
        backend=kernel.backend,
        operation=kernel.operation,
        form=form,
        shape=shapes[0],
        seed=nonce,
    )
    threads = device.fact("threads-usable")
    return PlannedRow(
        workload=workload,
        ladder=shapes,
        device=device,
        refinement=ladder.refinement(kernel.operation, form, device.family, quick=quick),
        threads=threads if isinstance(threads, int) else cpu.threads_here(),
        unavailable=selected.unavailable,
    )


def _refuse_unmeasured(devices: Sequence[Device], asked: tuple[str, ...], rows: Sequence[PlannedRow]) -> None:
    for device in devices:
        known = sorted(selection.offered_precisions(device))
        if not known:
            raise CannotMeasure(
                f"{device.selector} ({device.name}) is here, but no kernel of this version measures the "
                f"family {device.family}. Type --device cpu."
            )
        for name in asked:
            if name not in known:
                raise CannotMeasure(
                    f"{name} is not available on {device.selector}: no kernel computes it there. "
                    f"Available are {', '.join(known)}: type for example --precision {known[0]}."
                )
    if all(row.unavailable is not None for row in rows):
        reasons = dict.fromkeys(
            f"{r.unavailable.subject}: {r.unavailable.detail}" for r in rows if r.unavailable
        )
        raise CannotMeasure(f"nothing can be measured here. {'; '.join(reasons)}.")


def _refuse_without_room(rows: Sequence[PlannedRow], room: int) -> None:
    for row in rows:
        need = search.bytes_needed(row.workload, row.device.family)
        if need > room:
            raise CannotMeasure(
                f"no room for the operands: {row.workload.row} needs {format_bytes(need)} at its smallest "
                f"shape, and {format_bytes(room)} are free for it. Free memory, or measure fewer "
                f"precisions at a time with --precision {row.workload.precision}."
            )
