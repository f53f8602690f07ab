"""A system of two ranks, put together from the smallest evidence; its figures are made up."""

from dataclasses import replace

from builders import CASE, ESTIMATE, evidence

from bench.report.parts import Part
from bench.terms import (
    Declaration,
    Digest,
    Estimate,
    Evidence,
    Exchange,
    Finding,
    Harness,
    Member,
    Share,
    SystemEvidence,
    SystemFigure,
    Threshold,
    Verdict,
)

DECLARED = Declaration(
    precision="bf16",
    ops_per_s=200e12,
    density="dense",
    engines=("gpu",),
    source="data sheet",
    date=None,
    provenance="S1",
    verified=True,
    contradicted_by=None,
    remark=None,
)
AT_ONCE = Estimate(
    value=150e12,
    low=149e12,
    high=151e12,
    level=0.95,
    unit="TFLOPS",
    method="work-in-common-window/1",
    visits=1,
)
OWN = replace(ESTIMATE, unit="TFLOPS")
REPORT = "e30="
KEYS = ("ssh-ed25519 AAAA", "ssh-ed25519 BBBB")


def exchanges() -> tuple[Exchange, ...]:
    return tuple(
        Exchange(phase=phase, sent_ns=0, received_ns=5_000, answered_ns=6_000, back_ns=9_000)
        for phase in ("before", "before", "after")
    )


def member(rank: int, *, node: int = 0, reason: str | None = None) -> Member:
    return Member(
        rank=rank,
        node=node,
        device="cpu",
        key=KEYS[rank],
        report=REPORT if reason is None else None,
        exchanges=exchanges() if rank else (),
        reason=reason,
    )


def figure() -> SystemFigure:
    return SystemFigure(
        precision="bf16",
        estimate=AT_ONCE,
        begin_ns=2 * 10**9,
        end_ns=17 * 10**9,
        shares=(
            Share(rank=0, row="torch_gemm/bf16/mm", rate=80e12, own_rate=81e12, alone=90e12),
            Share(rank=1, row="torch_gemm/bf16/mm", rate=70e12, own_rate=75e12, alone=None),
        ),
        total=156e12,
        slowest=1,
        spread=0.133,
        loss=0.111,
        reason=None,
    )


def cut_off() -> SystemEvidence:
    """Rank 1 was lost after it had left what it had measured by then."""
    lost, _ = without_rank_1()
    return replace(lost, members=(member(0), replace(member(1, node=1), exchanges=(), reason="rank-lost")))


def no_figure(precision: str, reason: str) -> SystemFigure:
    return replace(
        figure(),
        precision=precision,
        estimate=None,
        begin_ns=None,
        end_ns=None,
        shares=(),
        total=None,
        slowest=None,
        spread=None,
        loss=None,
        reason=reason,
    )


def threshold() -> Threshold:
    return Threshold(
        tier="training-server",
        device="system",
        kind="gpu",
        precision="bf16",
        limit=180e12,
        declared=DECLARED,
        declared_word="threshold-met",
        declared_reason=None,
        delivered=AT_ONCE,
        delivered_word="threshold-not-met",
        delivered_reason=None,
        headline="threshold-met",
    )


def system(**changes: object) -> SystemEvidence:
    """Two ranks on two machines, a figure in bf16 and none in fp32."""
    whole = SystemEvidence(
        format="1",
        created="2026-01-02T03:04:05Z",
        mode="default",
        assurance="A0",
        interrupted=False,
        nonce="5eed",
        challenge=None,
        case=CASE,
        harness=Harness(version="0.1.0", files=(), libraries=()),
        claims=(),
        rules=Digest(name="tw-ai-hardware-2024", sha256="1" * 64),
        members=(member(0), member(1, node=1)),
        figures=(figure(), no_figure("fp32", "rank-without-figure")),
        verdict=Verdict(
            method="verdict/1",
            declared=(),
            thresholds=(threshold(),),
            findings=(
                Finding(subject="system", status="info", code="declared-is-sum", numbers={"devices": 2}),
                Finding(
                    subject="system",
                    status="info",
                    code="ranks-share-cores",
                    numbers={"node": 0, "used": 4, "cores": 2},
                ),
            ),
        ),
        does_not_show=("no-challenge", "ranks-vouched-by-rank-0", "offsets-by-network"),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def own_report(rank: int) -> Evidence:
    """A rank's own, with a figure in fp32."""
    found = evidence()
    figures = tuple(replace(row, estimate=row.estimate and OWN) for row in found.figures)
    device = replace(found.devices[0], name=f"GPU of rank {rank}" if rank else found.devices[0].name)
    return replace(found, figures=figures, devices=(device,))


def part(rank: int, *, there: bool = True) -> Part:
    return Part(
        rank=rank,
        evidence=own_report(rank) if there else None,
        number=f"{rank}" * 12 if there else None,
        fingerprint=f"SHA256:{'kx'[rank] * 43}",
        offset_ns=1_234_567_000.0 if rank else None,
        uncertainty_ns=12_000.0 if rank else None,
    )


def parts() -> tuple[Part, ...]:
    return (part(0), part(1))


def without_rank_1() -> tuple[SystemEvidence, tuple[Part, ...]]:
    """Rank 1 gave no sign of life: no report of it, and no figure."""
    lost = system(
        interrupted=True,
        members=(member(0), replace(member(1, node=1, reason="rank-lost"), exchanges=())),
        figures=(no_figure("bf16", "rank-missing"), no_figure("fp32", "rank-missing")),
    )
    return lost, (part(0), replace(part(1, there=False), offset_ns=None, uncertainty_ns=None))
