"""Scripted figures for the real judge: a device, its delivered op/s, and a case around them."""

from collections.abc import Sequence
from typing import Any

from bench.judge import catalog
from bench.judge.verdict import Case
from bench.terms import BorneOut, Claim, Delivered, Device, Estimate, Figure, Threshold, Verdict

TERA = 10**12


def device(name: str, *, kind: str = "gpu", family: Any = "cuda", selector: str = "cuda:0") -> Device:
    return Device(selector=selector, family=family, kind=kind, name=name, vendor=None, facts=())


def estimate(value: float, half_width: float) -> Estimate:
    """`value` ± `half_width` in tera-operations per second."""
    low, high = (value - half_width) * TERA, (value + half_width) * TERA
    return Estimate(
        value=value * TERA, low=low, high=high, level=0.95, unit="op/s", method="scripted", visits=5
    )


def figure(
    precision: str,
    value: float | None,
    half_width: float = 0.1,
    *,
    of: str = "cuda:0",
    reason: str | None = None,
) -> Figure:
    measured = None if value is None else estimate(value, half_width)
    return Figure(device=of, precision=precision, row="scripted", estimate=measured, reason=reason)


def ceiling(precision: str, value: float, *, of: str = "cuda:0") -> Delivered:
    """A row that only tells what the device can do at most."""
    return Delivered(
        device=of,
        row="scripted",
        precision=precision,
        operation="gemm",
        backend="scripted",
        measured=None,
        error_ppm=None,
        estimate=None,
        median=None,
        best=None,
        ceiling=value * TERA,
        ceiling_reason=None,
        roof=None,
        roof_reason="bandwidth-not-measured",
        energy=None,
        energy_reason="no-energy-counter",
        per_second=(),
        drift=None,
        through=None,
        counts=True,
        reason=None,
    )


def case(
    *devices: Device,
    figures: Sequence[Figure] = (),
    claims: Sequence[Claim] = (),
    delivered: Sequence[Delivered] = (),
    **others: Any,
) -> Case:
    """A case with the shipped rule set and the shipped profiles, unless told otherwise."""
    facts: dict[str, Any] = {
        "rules": catalog.rules("tw-ai-hardware-2024"),
        "specs": {one.selector: catalog.device_spec(one) for one in devices},
        "quick": False,
        "assurance": "A0",
    }
    return Case(devices=devices, figures=figures, claims=claims, delivered=delivered, **(facts | others))


def declared(verdict: Verdict, precision: str, tera: float) -> BorneOut:
    """The one row about the figure of `tera` in `precision`."""
    (row,) = (
        row
        for row in verdict.declared
        if row.declared.precision == precision and row.declared.ops_per_s == tera * TERA
    )
    return row


def tier(verdict: Verdict, name: str, precision: str = "fp32", *, of: str = "cuda:0") -> Threshold:
    (row,) = (
        row for row in verdict.thresholds if (row.tier, row.precision, row.device) == (name, precision, of)
    )
    return row


def codes(verdict: Verdict) -> set[str]:
    return {finding.code for finding in verdict.findings}
