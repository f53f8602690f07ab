"""What verifying is made of, whatever the evidence is about: steps, what is asked for, what was found."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import EvidenceInvalid
from bench.evidence import challenge
from bench.evidence.challenge import Posed
from bench.evidence.keys import PublicKey
from bench.evidence.timestamp import Stamped, Unchecked
from bench.evidence.trust import Signer, Trusted
from bench.judge import catalog
from bench.printable import printable
from bench.terms import Envelope, Evidence, ModelEvidence, RuleSet, Scalar, SystemEvidence
from bench.units import format_seconds

if TYPE_CHECKING:
    from bench.evidence.timestamp import Roots
    from bench.judge.system import Part

NAMES = (
    "read",
    "envelope",
    "signature",
    "decode",
    "rules-and-profiles",
    "challenge",
    "recompute-figures",
    "openings",
    "recompute-verdict",
    "plausibility",
)

# The same of a model's parameters, whose files take the place of opened outputs.
MODEL_NAMES = (*NAMES[:7], "model-files", *NAMES[8:])

# A clock that is ahead by more than this makes a report from the future; hosts without NTP drift by
# minutes, so that a day accuses nobody.
_FUTURE = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that did not fail: its number, a code for what it found, and the code's values."""

    number: int
    code: str
    values: dict[str, Scalar]
    names: tuple[str, ...] = NAMES

    @property
    def name(self) -> str:
        return self.names[self.number]


@dataclass(frozen=True, slots=True, kw_only=True)
class AtHand:
    """A model's files, and the nonce by which the verifier looks at them: who counted could not know it."""

    path: Path
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the verifier asks for: who is trusted, which rules, and how old evidence may be.

    `challenge` and `model` are what is at hand to hold the evidence against.
    """

    signers: Sequence[Signer]
    now: datetime
    revoked: frozenset[PublicKey] = frozenset()
    roots: "Roots" = ()
    challenge: Posed | None = None
    rules_file: str | None = None
    max_age: timedelta | None = None
    model: AtHand | None = None


@dataclass(slots=True)
class Verified:
    """Filled step by step; `evidence` is set only from bytes whose signature was checked.

    `stamped_at` is when a time stamp shows that a trusted first signature existed. Where its challenge was
    not at hand, the level, the limits and the verdict in it are those that are left without one. `parts`
    are those of a system.
    """

    envelope: Envelope | None = None
    stamp: Stamped | Unchecked | None = None
    stamped_at: datetime | None = None
    signers: tuple[Trusted, ...] = ()
    evidence: Evidence | ModelEvidence | SystemEvidence | None = None
    parts: "tuple[Part, ...]" = ()
    rules: RuleSet | None = None


@contextmanager
def computable(step: int = 6) -> Iterator[None]:
    """What bench writes can be computed with: a count of zero or an unknown precision is not its own."""
    try:
        yield
    except (ArithmeticError, LookupError, ValueError) as error:
        raise EvidenceInvalid(
            f"it holds values that nothing can be computed from ({type(error).__name__}: "
            f"{printable(str(error))}).",
            step=step,
        ) from error


def age_days(evidence: Evidence | ModelEvidence | SystemEvidence, request: Request) -> int:
    """How many whole days old it is; refused when it is from the future or older than asked for."""
    age = request.now - _created(evidence)
    if age < -_FUTURE:
        raise EvidenceInvalid(f"it says it was made at {evidence.created}, which is in the future.", step=9)
    if request.max_age is not None and age > request.max_age:
        raise EvidenceInvalid(
            f"it was made at {evidence.created}, {_long(age)} ago: older than --max-age allows "
            f"({_long(request.max_age)}).",
            step=9,
        )
    return max(0, age.days)


def _created(evidence: Evidence | ModelEvidence | SystemEvidence) -> datetime:
    """When it was made, written in one way only: what is read more freely is written back otherwise."""
    try:
        return challenge.moment(evidence.created)
    except ValueError as error:
        raise EvidenceInvalid(f"{error}.", step=9) from error


def _long(time: timedelta) -> str:
    return f"{time.days} days" if time.days > 1 else format_seconds(time.total_seconds())


def rules_of(evidence: Evidence | ModelEvidence | SystemEvidence, rules_file: str | None) -> RuleSet:
    """The rule set of the evidence: the shipped one, or `rules_file`, if its digest is the same."""
    name = rules_file
    if name is None:
        name = evidence.rules.name
        if name not in catalog.rule_ids():
            raise EvidenceInvalid(
                f"rule set {printable(name)} is not shipped with this bench "
                f"({', '.join(catalog.rule_ids())}): give its file with --rules FILE.toml.",
                step=4,
            )
    rules = catalog.rules(name)
    if rules.digest != evidence.rules.sha256:
        raise EvidenceInvalid(
            f"rule set {rules.id}: the evidence was judged by one with digest "
            f"{printable(evidence.rules.sha256, limit=12)}, this one has {rules.digest[:12]}. "
            "Give the right file with --rules FILE.toml.",
            step=4,
        )
    return rules


def require_limits(evidence: Evidence | ModelEvidence | SystemEvidence, codes: Sequence[str]) -> None:
    """Raise EvidenceInvalid (step 6) unless it says that it does not show what it cannot show."""
    if tuple(codes) == evidence.does_not_show:
        return
    missing = [code for code in codes if code not in evidence.does_not_show]
    words = f"{', '.join(missing)} left out" if missing else "it says something else there"
    raise EvidenceInvalid(f"it does not say what it does not show: {words}.", step=6)
