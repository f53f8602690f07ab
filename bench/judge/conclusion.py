"""From what was observed to everything that follows from it: the one function run and verify both call."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.judge import catalog, gpu_architecture, inspection, microarchitecture
from bench.judge.assurance import does_not_show, level
from bench.judge.conditions import condition
from bench.judge.delivered import deliver
from bench.judge.verdict import METHOD, Case, judge
from bench.terms import (
    Claim,
    Condition,
    Delivered,
    Device,
    Diagnostic,
    Digest,
    Evidence,
    Fact,
    Figure,
    Inspection,
    Measurement,
    Opening,
    RuleSet,
    Telemetry,
    Transfer,
    Verdict,
)
from bench.workload import ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a run saw and was asked: the input of every conclusion, and nothing else is."""

    devices: Sequence[Device]
    clock: Fact
    measurements: Sequence[Measurement]
    memory: Sequence[Transfer]
    diagnostics: Sequence[Diagnostic]
    telemetry: Telemetry
    claims: Sequence[Claim]
    quick: bool
    challenge: Digest | None
    openings: Sequence[Opening]
    interrupted: bool
    inspection: Inspection
    with_case: bool


def observed_in(evidence: Evidence) -> Observed:
    """What the evidence says that the run saw."""
    return Observed(
        devices=evidence.devices,
        clock=evidence.clock,
        measurements=evidence.measurements,
        memory=evidence.memory,
        diagnostics=evidence.diagnostics,
        telemetry=evidence.telemetry,
        claims=evidence.claims,
        quick=evidence.mode == "quick",
        challenge=evidence.challenge,
        openings=evidence.openings,
        interrupted=evidence.interrupted,
        inspection=evidence.inspection,
        with_case=evidence.case is not None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    assurance: str
    does_not_show: tuple[str, ...]
    delivered: tuple[Delivered, ...]
    figures: tuple[Figure, ...]
    conditions: tuple[Condition, ...]
    verdict: Verdict


def conclude(observed: Observed, rules: RuleSet, *, method: str = METHOD) -> Conclusion:
    """Delivered figures, the device's figures and the verdict; the verdict carries all findings.

    Raises EvidenceInvalid for a method that this version does not know.
    """
    result = deliver(
        observed.devices,
        observed.measurements,
        observed.telemetry,
        memory=observed.memory,
        clock=observed.clock,
        openings=observed.openings,
    )
    reached = level(observed.challenge, result.figures, observed.openings, interrupted=observed.interrupted)
    case = Case(
        devices=observed.devices,
        delivered=result.rows,
        figures=result.figures,
        claims=observed.claims,
        rules=rules,
        specs={device.selector: catalog.device_spec(device) for device in observed.devices},
        quick=observed.quick,
        assurance=reached,
    )
    verdict = judge(case, method=method)
    findings = (*result.findings, *inspection.findings(observed.inspection), *verdict.findings)
    return Conclusion(
        assurance=reached,
        does_not_show=does_not_show(
            observed.challenge,
            result.figures,
            observed.openings,
            with_case=observed.with_case,
            external=any(device.family == "runner" for device in observed.devices),
        ),
        delivered=result.rows,
        figures=result.figures,
        conditions=tuple(map(condition, observed.diagnostics)),
        verdict=Verdict(
            method=verdict.method,
            declared=verdict.declared,
            thresholds=verdict.thresholds,
            findings=findings,
        ),
    )


def profile_digests(devices: Sequence[Device]) -> tuple[Digest, ...]:
    """The profiles that the search and the verdict used: ladders, microarchitectures, devices."""
    specs = (catalog.device_spec(device) for device in devices)
    cores = (
        microarchitecture.match(device) if device.family == "cpu" else gpu_architecture.match(device)
        for device in devices
    )
    families = dict.fromkeys(device.family for device in devices)
    return (
        *(
            Digest(name=f"ladders/{family}", sha256=sha)
            for family in families
            if (sha := ladder.digest(family))
        ),
        *(Digest(name=f"arch/{arch.id}", sha256=arch.digest) for arch in cores if arch is not None),
        *(Digest(name=f"devices/{spec.id}", sha256=spec.digest) for spec in specs if spec is not None),
    )
