"""What commands hand to programs: JSON on stdout, and the exit code that --require asks for."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.errors import NOT_MET
from bench.evidence.codec import encode
from bench.evidence.envelope import report_number
from bench.terms import Envelope, Evidence, Verdict


def summary(evidence: Evidence, signed: Envelope, *, path: Path, key: str | None) -> dict[str, Any]:
    """The result of a run in the evidence's own words, without its samples."""
    return {
        "report": report_number(signed),
        "evidence": str(path),
        "key": key,
        "mode": evidence.mode,
        "assurance": evidence.assurance,
        "interrupted": evidence.interrupted,
        "figures": [encode(figure) for figure in evidence.figures],
        "delivered": [encode(row) for row in evidence.delivered],
        "verdict": encode(evidence.verdict),
        "doesNotShow": list(evidence.does_not_show),
    }


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def required_tiers_met(verdict: Verdict, required: Sequence[str]) -> int:
    """0 when each tier asked for has a row whose answer is threshold-met, else 1 and a line saying which."""
    met = {row.tier for row in verdict.thresholds if row.headline == "threshold-met"}
    missing = [tier for tier in required if tier not in met]
    if missing:
        click.echo(f"bench: required, and not met: {', '.join(missing)}.", err=True)
    return NOT_MET if missing else 0
