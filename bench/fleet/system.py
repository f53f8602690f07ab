"""The use case of `bench run` over many ranks: each measures its device, rank 0 puts all of it together."""

import base64
import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.errors import Interrupted, RankLost, UsageError
from bench.evidence import envelope, harness, statement
from bench.evidence.destination import Destination
from bench.evidence.keys import SigningKey
from bench.evidence.verify_system import read_parts
from bench.fleet.meeting import Handed, Meeting
from bench.judge import system
from bench.judge.system import Part
from bench.measure.row import Row
from bench.plan import Plan
from bench.run import Progress, Run
from bench.terms import Claim, Device, Digest, Envelope, Member, SystemEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class PartDestination(Destination):
    """A rank's own file: it lies where a run's partial one does, until the system's is written.

    What is saved on the way is left with the other ranks too.
    """

    meeting: Meeting

    def save(self, signed: Envelope) -> None:
        super(PartDestination, self).save(signed)
        with suppress(RankLost):
            self.meeting.save(envelope.to_json(signed))

    def finish(self, signed: Envelope, *, whole: bool) -> Path:  # noqa: ARG002
        self.save(signed)
        return self.partial


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What a rank says of itself before it measures."""

    node: int
    device: str
    family: str
    key: str
    # What must be the same everywhere, and the words for it.
    same: tuple[tuple[str, str], ...]


class Alive:
    """A Progress that shows the other ranks with every word that this one goes on."""

    def __init__(self, watched: Progress, meeting: Meeting) -> None:
        self._watched, self._meeting = watched, meeting

    def phase(self, row: Row, phase: str, visit: int) -> None:
        self._meeting.alive()
        self._watched.phase(row, phase, visit)

    def rate(self, row: Row, ops_per_s: float) -> None:
        self._meeting.alive()
        self._watched.rate(row, ops_per_s)

    def stage(self, words: str) -> None:
        self._meeting.alive()
        self._watched.stage(words)


def own_device(chosen: Sequence[Device], local: int, local_of: int) -> Device:
    """The device of a machine's `local`-th rank of `local_of`: a device for each, or a processor for all.

    Raises UsageError where there are more or fewer.
    """
    if len(chosen) == local_of:
        return chosen[local]
    if len(chosen) == 1 and chosen[0].family == "cpu":
        return chosen[0]
    names = ", ".join(device.selector for device in chosen)
    raise UsageError(
        f"{local_of} ranks on this machine, and {len(chosen)} devices were named ({names}): expected one for "
        f"each rank, or cpu, whose cores they share. Type --nproc-per-node={len(chosen)}."
    )


def join(meeting: Meeting, plan: Plan, key: SigningKey) -> list[Joined]:
    """Say what this rank will do and hear it of all others. UsageError where that is no one system's run."""
    (device,) = plan.devices
    own = Joined(
        node=meeting.rank.node,
        device=device.selector,
        family=device.family,
        key=key.public.line,
        same=(
            ("the family of devices", device.family),
            ("--precision", " ".join(plan.asked)),
            ("--quick", str(plan.quick)),
            ("--sustain", str(plan.schedule.hold_ns)),
            ("--rules", plan.rules.digest),
            ("--challenge", plan.challenge.digest if plan.challenge else ""),
            ("--case", repr(plan.case)),
            ("the program of bench", _program()),
        ),
    )
    said = meeting.meet("joined", [json.dumps(asdict(own))])
    everyone = [_joined(words[0]) for words in said]
    for number, other in enumerate(everyone):
        for (what, ours), (_, theirs) in zip(everyone[0].same, other.same, strict=True):
            if ours != theirs:
                raise UsageError(
                    f"rank {number} differs from rank 0 in {what}: all ranks measure one system in one way. "
                    "Type the same words everywhere, and install one version of bench."
                )
    places = [(other.node, other.device) for other in everyone if other.family != "cpu"]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        raise UsageError(
            f"two ranks of node {twice[0]} would measure {twice[1]}: expected a device for each. Name as "
            "many devices as there are ranks, or --device cuda for all."
        )
    return everyone


def _program() -> str:
    described = harness.describe()
    return f"{described.version}/{_hash_of(described.files)}"


def _hash_of(files: Sequence[Digest]) -> str:
    """One word for all files: equal where each of them is."""
    words = "".join(f"{file.name}:{file.sha256}\n" for file in files)
    return hashlib.sha256(words.encode()).hexdigest()


def _joined(words: str) -> Joined:
    told = json.loads(words)
    return Joined(**{**told, "same": tuple((what, value) for what, value in told["same"])})


def measure(run: Run, meeting: Meeting) -> bool:
    """This rank's own run, handed in whatever became of it; whether it was interrupted."""
    try:
        run()
    except Interrupted:
        with suppress(RankLost):
            meeting.fail("it was interrupted")
        return True
    finally:
        with suppress(RankLost):
            if run.signed is not None:
                meeting.hand_in(envelope.to_json(run.signed))
    return False


def assemble(
    plan: Plan, claims: Sequence[Claim], joined: Sequence[Joined], handed: Sequence[Handed]
) -> tuple[SystemEvidence, tuple[Part, ...]]:
    """The system's evidence, and its parts, from what every rank said and handed in."""
    members = tuple(
        Member(
            rank=number,
            node=said.node,
            device=said.device,
            key=said.key,
            report=None if gave.report is None else base64.b64encode(gave.report).decode("ascii"),
            exchanges=gave.exchanges,
            reason=gave.reason,
        )
        for number, (said, gave) in enumerate(zip(joined, handed, strict=True))
    )
    parts = read_parts(members)
    concluded = system.conclude(parts, plan.rules, claims, quick=plan.quick)
    whole = all(part.evidence is not None and not part.evidence.interrupted for part in parts)
    posed = plan.challenge
    evidence = SystemEvidence(
        format=statement.SYSTEM_FORMAT,
        created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        mode="quick" if plan.quick else "default",
        assurance=concluded.assurance,
        interrupted=not whole,
        nonce=plan.nonce,
        challenge=None if posed is None else Digest(name="challenge", sha256=posed.digest),
        case=plan.case,
        harness=harness.describe(),
        claims=tuple(claims),
        rules=Digest(name=plan.rules.id, sha256=plan.rules.digest),
        members=members,
        figures=concluded.figures,
        verdict=concluded.verdict,
        does_not_show=concluded.does_not_show,
    )
    return evidence, parts
