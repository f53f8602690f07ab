"""From what was observed to everything that follows from it: the one function run and verify both call."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.judge import catalog
from bench.judge.delivered import deliver
from bench.judge.verdict import METHOD, Case, judge
from bench.terms import Claim, Delivered, Device, Digest, Figure, Measurement, Reading, RuleSet, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a run saw and was asked: the input of every conclusion, and nothing else is."""

    devices: Sequence[Device]
    measurements: Sequence[Measurement]
    telemetry: Sequence[Reading]
    claims: Sequence[Claim]
    quick: bool
    assurance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    delivered: tuple[Delivered, ...]
    figures: tuple[Figure, ...]
    verdict: Verdict


def conclude(observed: Observed, rules: RuleSet, *, method: str = METHOD) -> Conclusion:
    """Delivered figures, the device's figures and the verdict; the verdict carries all findings.

    Raises EvidenceInvalid for a method that this version does not know.
    """
    result = deliver(observed.devices, observed.measurements, observed.telemetry)
    case = Case(
        devices=observed.devices,
        delivered=result.rows,
        figures=result.figures,
        claims=observed.claims,
        rules=rules,
        specs={device.selector: catalog.device_spec(device) for device in observed.devices},
        quick=observed.quick,
        assurance=observed.assurance,
    )
    verdict = judge(case, method=method)
    findings = (*result.findings, *verdict.findings)
    return Conclusion(
        delivered=result.rows,
        figures=result.figures,
        verdict=Verdict(
            method=verdict.method,
            declared=verdict.declared,
            thresholds=verdict.thresholds,
            findings=findings,
        ),
    )


def profile_digests(devices: Sequence[Device]) -> tuple[Digest, ...]:
    """The device profiles that the verdict used."""
    specs = (catalog.device_spec(device) for device in devices)
    return tuple(Digest(name=spec.id, sha256=spec.digest) for spec in specs if spec is not None)
