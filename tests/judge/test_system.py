"""What the system delivered at once, and the verdict on it, from scripted parts of two and of four ranks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from builders import ESTIMATE, TELEMETRY, evidence, measured_row

from bench.judge import catalog, system
from bench.judge.system import Part
from bench.judge.verdict import METHOD
from bench.terms import (
    SYSTEM,
    Claim,
    Device,
    Evidence,
    Exchange,
    Fact,
    Finding,
    Measurement,
    Member,
    Sample,
    SystemFigure,
    Visit,
)
from bench.units import NS_PER_S, TERA

MS = 1_000_000
RULES = catalog.rules("tw-ai-hardware-2024")
OPS = 10**12
H100 = "NVIDIA H100 80GB HBM3"


def window(
    *, start: int = 0, number: int = 150, each: int = 100 * MS, launches: int = 1, reals_slower: float = 1.0
) -> Visit:
    """Samples without a pause; every eighth is on real-valued operands, and may take longer."""
    samples, at = [], start
    for index in range(number):
        real = int(index % 8 == 3)
        ns = round(each * (reals_slower if real else 1))
        samples.append(Sample(start_ns=at, host_ns=ns, raw_ns=ns, cpu_ns=ns, launches=launches, real=real))
        at += ns
    return Visit(
        settle=(),
        settle_ended="settled",
        samples=tuple(samples),
        device_ns=(),
        clocks_hz=(),
        ended="window-full",
    )


def gpu(number: int, *, name: str = H100) -> Device:
    """Without facts that could exclude its profile."""
    return Device(selector=f"cuda:{number}", family="cuda", kind="gpu", name=name, vendor="NVIDIA", facts=())


def cpu(*, cores: int, usable: int) -> Device:
    facts = tuple(Fact(name=n, value=v, source="") for n, v in (("cores", cores), ("cores-usable", usable)))
    return Device(selector="cpu", family="cpu", kind="cpu", name="A processor", vendor=None, facts=facts)


def report(device: Device, held: Visit | None, *, alone: Visit | None = None, **changes: Any) -> Evidence:
    """A rank's evidence with one row in fp32 that counts; a launch is a tera-operation."""
    base = evidence()
    row = measured_row()
    measurement: Measurement = replace(
        row,
        workload=replace(row.workload, device=device.selector),
        cost=replace(row.cost, ops=OPS),
        visits=(),
        alone=alone,
        held=held,
    )
    delivered = replace(base.delivered[0], device=device.selector, estimate=ESTIMATE)
    made = replace(
        base,
        mode="default",
        devices=(device,),
        claims=(),
        measurements=(measurement,),
        telemetry=TELEMETRY,
        delivered=(delivered,),
        figures=(replace(base.figures[0], device=device.selector),),
        verdict=replace(base.verdict, thresholds=(), findings=()),
    )
    return replace(made, **changes)


def exchanges(ahead_ns: int, *, drift_ns: int = 0) -> tuple[Exchange, ...]:
    """Rank 0's clock is ahead by so much, and after 30 s by the drift more."""

    def one(phase: Any, at: int, ahead: int) -> Exchange:
        return Exchange(
            phase=phase, sent_ns=at, received_ns=at + ahead + 10, answered_ns=at + ahead + 10, back_ns=at + 20
        )

    return one("before", 0, ahead_ns), one("after", 30 * NS_PER_S, ahead_ns + drift_ns)


def part(rank: int, found: Evidence | None, **changes: Any) -> Part:
    member = Member(
        rank=rank,
        node=0,
        device=found.devices[0].selector if found else f"cuda:{rank}",
        key="",
        report="e30=" if found else None,
        exchanges=exchanges(0) if rank else (),
        reason=None if found else "rank-lost",
    )
    return Part(member=replace(member, **changes), evidence=found)


def of(parts: Sequence[Part]) -> SystemFigure:
    """The figure in fp32."""
    return next(figure for figure in system.figures(parts) if figure.precision == "fp32")


def conclude(parts: Sequence[Part], *claims: Claim) -> system.Conclusion:
    return system.conclude(parts, RULES, claims, quick=False, method=METHOD)


# ------------------------------------------------------------------------------------------- the figure


def test_all_ranks_work_in_the_common_window_over_its_length() -> None:
    """Ten launches a second each, the second rank 2 s later: 13 s are common."""
    found = of([part(0, report(gpu(0), window())), part(1, report(gpu(1), window(start=2 * NS_PER_S)))])
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(20 * TERA)
    assert (found.begin_ns, found.end_ns) == (2 * NS_PER_S + 10, 15 * NS_PER_S)
    assert found.total == pytest.approx(20 * TERA)
    assert (found.loss, found.spread) == (None, pytest.approx(0))


def test_a_rank_whose_clock_is_behind_is_brought_to_rank_0s_time() -> None:
    ahead = 7 * NS_PER_S
    later = report(gpu(1), window(start=-ahead))
    found = of([part(0, report(gpu(0), window())), part(1, later, exchanges=exchanges(ahead))])
    assert (found.begin_ns, found.end_ns) == (10, 15 * NS_PER_S - 10)
    without = of([part(0, report(gpu(0), window())), part(1, later)])
    assert without.end_ns == 15 * NS_PER_S - ahead - 10


def test_the_slowest_rank_the_spread_and_the_loss_against_running_alone() -> None:
    alone = window(start=-10 * NS_PER_S, number=10, launches=4)
    fast = report(gpu(0), window(launches=3), alone=alone)
    found = of([part(0, fast), part(1, report(gpu(1), window(launches=1)))])
    assert (found.slowest, found.spread, found.loss) == (1, pytest.approx(1.0), pytest.approx(0.25))
    assert [share.alone for share in found.shares] == [pytest.approx(40 * TERA), None]


def test_work_on_exact_operands_counts_at_the_rate_of_real_ones_where_these_are_slower() -> None:
    slower = window(reals_slower=1.25)
    found = of([part(0, report(gpu(0), slower)), part(1, report(gpu(1), window()))])
    assert found.estimate is not None
    assert [share.rate for share in found.shares] == [
        pytest.approx(8 * TERA, rel=1e-3),
        pytest.approx(10 * TERA),
    ]


def test_the_figure_never_exceeds_the_sum_of_the_devices_own_rates() -> None:
    pausing = window()
    gaps = tuple(
        replace(sample, start_ns=sample.start_ns + index * 20 * MS)
        for index, sample in enumerate(pausing.samples)
    )
    found = of([part(0, report(gpu(0), replace(pausing, samples=gaps))), part(1, report(gpu(1), window()))])
    assert found.estimate is not None
    assert found.total == pytest.approx(20 * TERA)
    assert found.estimate.value == pytest.approx((10 / 1.2 + 10) * TERA, rel=2e-3)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (part(1, None), "rank-missing"),
        (part(1, report(gpu(1), window()), reason="rank-lost"), "rank-missing"),
        (part(1, report(gpu(1), None)), "rank-without-figure"),
        (part(1, report(gpu(1), window(), delivered=())), "rank-without-figure"),
        (part(1, report(gpu(1), replace(window(), ended="interrupted"))), "no-common-window"),
        (part(1, report(gpu(1), window(start=60 * NS_PER_S))), "no-common-window"),
        (part(1, report(gpu(1), window()), exchanges=exchanges(0)[:1]), "no-common-window"),
        (part(1, report(gpu(1), window()), exchanges=exchanges(0, drift_ns=4 * MS)), "clocks-disagree"),
        (part(1, report(gpu(1), window(number=15, each=1000 * MS))), "too-few-samples"),
    ],
)
def test_there_is_no_figure_where_a_rank_brings_nothing_to_the_window(second: Part, reason: str) -> None:
    found = of([part(0, report(gpu(0), window())), second])
    assert (found.estimate, found.reason, found.shares) == (None, reason, ())


def test_a_rank_above_what_its_device_can_do_leaves_no_figure() -> None:
    above = Finding(subject="cuda:1/fp32", status="failure", code="delivered-above-ceiling", numbers={})
    liar = report(gpu(1), window())
    liar = replace(liar, verdict=replace(liar.verdict, findings=(above,)))
    assert of([part(0, report(gpu(0), window())), part(1, liar)]).reason == "rank-above-ceiling"


# ------------------------------------------------------------------------------------------ the verdict


def four(launches: int = 1) -> list[Part]:
    return [part(number, report(gpu(number), window(launches=launches))) for number in range(4)]


def test_a_server_is_judged_by_all_its_devices_at_once() -> None:
    """Four cards at 50 TFLOPS each reach what none of them does."""
    concluded = conclude(four(launches=5))
    rows = {row.tier: row for row in concluded.verdict.thresholds}
    assert {*rows} == {"training-server", "inference-server"}
    training = rows["training-server"]
    assert (training.device, training.kind, training.delivered_word) == (SYSTEM, "gpu", "threshold-met")
    assert training.delivered is not None
    assert training.delivered.value == pytest.approx(200 * TERA)
    slow = {row.tier: row.delivered_word for row in conclude(four(launches=4)).verdict.thresholds}
    assert slow == {"training-server": "threshold-not-met", "inference-server": "threshold-met"}


def test_the_declared_figure_is_the_sum_of_the_data_sheets_and_says_so() -> None:
    concluded = conclude(four())
    (training,) = [row for row in concluded.verdict.thresholds if row.tier == "training-server"]
    assert training.declared is not None
    assert training.declared.ops_per_s == 4 * 67 * TERA
    assert training.declared_word == "threshold-met"
    (told,) = [finding for finding in concluded.verdict.findings if finding.code == "declared-is-sum"]
    assert told.numbers == {"devices": 4}


def test_one_device_without_a_data_sheet_leaves_the_system_without_one() -> None:
    mixed = [*four()[:3], part(3, report(gpu(3, name="A card"), window()))]
    (training,) = [row for row in conclude(mixed).verdict.thresholds if row.tier == "training-server"]
    assert (training.declared, training.declared_reason) == (None, "no-declared-figure")


def test_no_reference_of_one_device_is_taken_for_a_system() -> None:
    assert {row.word for row in conclude(four()).verdict.declared if row.delivered} == {"no-reference"}


def test_a_claim_is_about_the_system() -> None:
    claim = Claim(precision="fp32", ops_per_s=180.0 * TERA, density="dense", engines=())
    rows = [row for row in conclude(four(), claim).verdict.declared if row.declared.source == "--claim"]
    assert [(row.device, row.declared.ops_per_s) for row in rows] == [(SYSTEM, 180 * TERA)]


def test_a_missing_rank_decides_nothing_and_is_named() -> None:
    concluded = conclude([*four(launches=9)[:3], part(3, None)])
    assert {row.headline for row in concluded.verdict.thresholds} == {"inconclusive"}
    assert [
        (finding.subject, finding.status, finding.numbers["why"])
        for finding in concluded.verdict.findings
        if finding.code == "rank-missing"
    ] == [("rank 3", "failure", "rank-lost")]


def test_processors_whose_ranks_share_cores_are_told_of() -> None:
    def processors(usable: int) -> set[str]:
        device = cpu(cores=2, usable=usable)
        parts = [part(number, report(device, window())) for number in range(2)]
        return {finding.code for finding in conclude(parts).verdict.findings}

    assert "ranks-share-cores" not in processors(1)
    assert "ranks-share-cores" in processors(2)


def test_the_lowest_of_the_ranks_levels_is_the_systems() -> None:
    first, second = (report(gpu(number), window()) for number in range(2))
    answered = replace(first, assurance="A1")
    both = [part(0, answered), part(1, replace(second, assurance="A1"))]
    assert conclude(both).assurance == "A1"
    assert conclude([part(0, answered), part(1, second)]).assurance == "A0"
    assert conclude([part(0, answered), part(1, None)]).assurance == "A0"


def test_what_no_rank_shows_no_system_shows_and_who_the_ranks_are_neither() -> None:
    assert conclude(four()).does_not_show == ("who-measured", "ranks-vouched-by-rank-0")
    apart = [part(0, report(gpu(0), window())), part(1, report(gpu(1), window()), node=1)]
    assert conclude(apart).does_not_show[-1] == "offsets-by-network"
