"""What commands hand to programs: JSON on stdout, and the exit code that --require asks for."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.cli.consoles import complain, encodable, say
from bench.errors import NOT_MET, Interrupted
from bench.evidence.codec import encode
from bench.evidence.envelope import report_number
from bench.judge.catalog import ASSURANCE_LEVELS
from bench.terms import SYSTEM, Envelope, Evidence, Member, ModelEvidence, SystemEvidence


def summary(
    evidence: Evidence | ModelEvidence | SystemEvidence, signed: Envelope, *, path: Path, key: str | None
) -> dict[str, Any]:
    """What evidence says in its own words, without its samples or tensors."""
    if isinstance(evidence, ModelEvidence):
        return _model_summary(evidence, signed, path=path, key=key)
    if isinstance(evidence, SystemEvidence):
        return _system_summary(evidence, signed, path=path, key=key)
    return _run_summary(evidence, signed, path=path, key=key)


def _model_summary(
    evidence: ModelEvidence, signed: Envelope, *, path: Path, key: str | None
) -> dict[str, Any]:
    return {
        "report": report_number(signed),
        "evidence": str(path),
        "key": key,
        "hosted": evidence.hosted,
        "claim": None if evidence.claim is None else encode(evidence.claim),
        "count": None if evidence.count is None else encode(evidence.count),
        "verdict": encode(evidence.verdict),
        "doesNotShow": list(evidence.does_not_show),
    }


def _system_summary(
    evidence: SystemEvidence, signed: Envelope, *, path: Path, key: str | None
) -> dict[str, Any]:
    return {
        "report": report_number(signed),
        "evidence": str(path),
        "key": key,
        "mode": evidence.mode,
        "assurance": evidence.assurance,
        "interrupted": evidence.interrupted,
        "case": None if evidence.case is None else encode(evidence.case),
        # Named as the verdict names it, so that who reads the figures of a run can read these.
        "figures": [{"device": SYSTEM, **encode(figure)} for figure in evidence.figures],
        "members": [_member(member) for member in evidence.members],
        "verdict": encode(evidence.verdict),
        "doesNotShow": list(evidence.does_not_show),
    }


def _member(member: Member) -> dict[str, Any]:
    """A rank with its report's number in the report's place."""
    # Slow to import, and few files are of systems.
    from bench.evidence import parts

    number = None if member.report is None else parts.report_number(member.report)
    return {**encode(member), "report": number}


def _run_summary(evidence: Evidence, signed: Envelope, *, path: Path, key: str | None) -> dict[str, Any]:
    return {
        "report": report_number(signed),
        "evidence": str(path),
        "key": key,
        "mode": evidence.mode,
        "assurance": evidence.assurance,
        "interrupted": evidence.interrupted,
        "case": None if evidence.case is None else encode(evidence.case),
        "figures": [encode(figure) for figure in evidence.figures],
        "delivered": [encode(row) for row in evidence.delivered],
        "verdict": encode(evidence.verdict),
        "doesNotShow": list(evidence.does_not_show),
    }


# JSON itself escapes the controls below a space only. These too could steer a terminal, reorder what it
# shows, or not be written at all: C1 controls, zero-width and bidi marks, lone surrogates.
_UNSEEN = re.compile("[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def print_json(value: object) -> None:
    """What stdout cannot encode is escaped, so that programs lose nothing."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    if not encodable(text):
        text = json.dumps(value, indent=2, allow_nan=False)
    say(_UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def required_met(evidence: Evidence | ModelEvidence | SystemEvidence, required: Sequence[str]) -> int:
    """0 when each tier asked for has a row whose answer is threshold-met, and each level is reached.

    Of a model's parameters, when the answer to each item asked for is met. Else 1 and a line saying which.
    """
    met = _met(evidence)
    missing = [name for name in required if name not in met]
    if missing:
        complain(f"required, and not met: {', '.join(missing)}.")
    return NOT_MET if missing else 0


def _met(evidence: Evidence | ModelEvidence | SystemEvidence) -> set[str]:
    if isinstance(evidence, ModelEvidence):
        return {row.item for row in evidence.verdict.items if row.answer == "met"}
    met = {row.tier for row in evidence.verdict.thresholds if row.headline == "threshold-met"}
    return met | {*ASSURANCE_LEVELS[: ASSURANCE_LEVELS.index(evidence.assurance) + 1]}


@contextmanager
def naming(path: Path, *, after: str) -> Iterator[None]:
    """Whatever ends the program once evidence is written says where it lies; `after` names what was done."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted after {after}; the evidence is in {path}.") from error
    except Exception as error:
        error.add_note(f"The evidence is in {path}.")
        raise
