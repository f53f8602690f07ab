"""Runs held against each other: what belongs together, what forbids it, the answer, and how it is told."""

import csv
import io
import math
import random
import re
from dataclasses import replace
from typing import Any

import builders
import pytest
from rich.cells import cell_len
from rich.console import Console

from bench.cli.compare import _failures
from bench.evidence.codec import encode
from bench.measure import stats
from bench.register import compare
from bench.report import compare as told
from bench.report.compare import ComparedFile
from bench.terms import Device, Digest, Estimate, Evidence, Fact, Figure
from bench.terms.comparisons import Comparison

ROW = "torch_gemm/fp32/mm"
ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202e<script>alert(1)</script>"


def estimate(value: float, half: float, **changes: Any) -> Estimate:
    """`value` ± `half`, a share of it, over five visits."""
    usual = {"level": 0.95, "unit": "TFLOPS", "method": stats.METHOD, "visits": 5}
    return Estimate(value=value, low=value * (1 - half), high=value * (1 + half), **(usual | changes))


def run(value: float = 1e12, half: float = 0.01, *, row: Any = None, **changes: Any) -> Evidence:
    """A measurement whose one figure, fp32, is its one delivered row. `row` are changes to that."""
    evidence = builders.evidence()
    rate = estimate(value, half)
    delivered = replace(evidence.delivered[0], **({"estimate": rate} | (row or {})))
    figure = replace(evidence.figures[0], estimate=delivered.estimate)
    made: dict[str, Any] = {"mode": "default", "delivered": (delivered,), "figures": (figure,)}
    return replace(evidence, **(made | changes))


def on(evidence: Evidence, **changes: Any) -> Evidence:
    """The run with its one device changed, under the selector that it has then."""
    device = replace(evidence.devices[0], **changes)
    (measured, *others), at = evidence.measurements, device.selector
    return replace(
        evidence,
        devices=(device,),
        measurements=(replace(measured, workload=replace(measured.workload, device=at)), *others),
        delivered=tuple(replace(row, device=at) for row in evidence.delivered),
        figures=tuple(replace(figure, device=at) for figure in evidence.figures),
    )


def only(base: Evidence, other: Evidence, margin: float = 0.03) -> Comparison:
    (found,) = compare.figures(base, other, margin=margin)
    return found


def facts(found: Comparison) -> set[str]:
    return {each.fact for each in found.forbidding}


# ---------------------------------------------------------------------------------------- the answers


@pytest.mark.parametrize(
    ("times", "half", "word", "reason"),
    [
        (1.0, 0.005, "same", None),
        (1.01, 0.012, "same", None),
        (1.0, 0.05, "ambiguous", "wide"),
        (1.04, 0.04, "ambiguous", "wide"),
        (1.1, 0.01, "faster", None),
        (0.9, 0.01, "slower", None),
        (1.005, 0.001, "faster", None),
    ],
)
def test_the_answer_follows_from_the_interval_of_the_ratio(
    times: float, half: float, word: str, reason: str | None
) -> None:
    found = only(run(1e12, half), run(times * 1e12, half))
    assert (found.word, found.reason, found.forbidding) == (word, reason, ())
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(times)


def test_the_margin_decides_what_is_the_same() -> None:
    base, other = run(1e12, 0.02), run(1e12, 0.02)
    assert only(base, other, margin=0.03).word == "same"
    assert only(base, other, margin=0.02).word == "ambiguous"


def test_small_intervals_add_up_as_the_root_of_their_squares() -> None:
    found = only(run(1e12, 0.003), run(1e12, 0.004)).ratio
    assert found is not None
    assert math.log(found.high) == pytest.approx(0.005, rel=0.01)
    assert math.log(found.low) == pytest.approx(-0.005, rel=0.01)


def test_exchanging_the_runs_gives_the_reciprocal() -> None:
    base, other = run(1e12, 0.2), run(1.7e12, 0.05)
    one, another = only(base, other).ratio, only(other, base).ratio
    assert one is not None
    assert another is not None
    assert (1 / one.high, 1 / one.value, 1 / one.low) == pytest.approx(
        (another.low, another.value, another.high), rel=1e-8
    )


@pytest.mark.parametrize(("deviation", "visits"), [(0.01, 5), (0.05, 5), (0.1, 8), (0.02, 30)])
def test_the_interval_covers_the_true_ratio_in_95_percent_of_cases(deviation: float, visits: int) -> None:
    draw, true, cases = random.Random(20261121), 1.3, 4000

    def measured(rate: float) -> Estimate:
        values = [draw.gauss(rate, rate * deviation) for _ in range(visits)]
        mean = math.fsum(values) / visits
        half = stats.t95(visits - 1) * stats.deviation(values) / math.sqrt(visits)
        return estimate(mean, half / mean)

    covered = 0
    for _ in range(cases):
        found, _ = compare.ratio(measured(1.0), measured(true))
        assert found is not None
        covered += found.low <= true <= found.high
    # At five visits Student's t of each run is wider than Welch's of both; it is never too narrow.
    assert 0.945 <= covered / cases <= 0.98


def test_fewer_than_five_visits_leave_it_ambiguous_and_tell_the_ratio() -> None:
    few = run(2e12, 0.01, row={"estimate": estimate(2e12, 0.01, visits=4)})
    found = only(run(), few)
    assert (found.word, found.reason) == ("ambiguous", "too-few-visits")
    assert found.ratio is not None


def test_an_estimate_without_an_interval_is_ambiguous() -> None:
    assert (only(run(1e12, 0.0), run()).word, only(run(1e12, 0.0), run()).reason) == ("ambiguous", "flat")


def test_an_interval_down_to_zero_has_no_ratio() -> None:
    found = only(run(), run(1e12, 1.0))
    assert (found.word, found.reason, found.ratio) == ("ambiguous", "unbounded", None)


# ---------------------------------------------------------------------------------- what forbids it


@pytest.mark.parametrize(
    ("row", "fact"),
    [
        ({"measured": "tf32"}, "arithmetic"),
        ({"operation": "conv"}, "operation"),
        ({"estimate": estimate(1e12, 0.01, method=stats.METHOD_HELD, visits=1)}, "estimate"),
    ],
)
def test_what_is_another_thing_is_not_compared(row: Any, fact: str) -> None:
    found = only(run(), run(row=row))
    assert (found.word, found.ratio, facts(found)) == ("not-comparable", None, {fact})


def test_a_smoke_test_is_compared_with_smoke_tests_only() -> None:
    quick = run(mode="quick")
    assert facts(only(run(), quick)) == {"mode"}
    assert only(quick, quick).word == "same"


def test_two_held_windows_are_compared_where_the_rows_were_visited_before() -> None:
    held = run(row={"estimate": estimate(1e12, 0.01, method=stats.METHOD_HELD, visits=1)})
    assert only(held, held).reason == "too-few-visits"  # the smallest evidence has two visits
    measured, *others = held.measurements
    whole = replace(held, measurements=(replace(measured, visits=measured.visits * 3), *others))
    assert only(whole, whole).word == "same"


def test_a_precision_that_one_run_lacks_is_named() -> None:
    figure = Figure(device="cpu", precision="int8", row=None, estimate=None, reason="arithmetic-differs")
    lacking = run()
    both, none = compare.figures(replace(lacking, figures=(*lacking.figures, figure)), lacking, margin=0.03)
    assert both.word == "same"
    assert (none.precision, none.word, none.reason, none.other) == (
        "int8",
        "not-comparable",
        "no-figure",
        None,
    )
    assert none.base is not None
    assert none.base.reason == "arithmetic-differs"


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda e: on(e, name="Another processor"), "device"),
        (lambda e: on(e, facts=(Fact(name="threads-usable", value=64, source="a"),)), "threads"),
        (lambda e: replace(e, system=(Fact(name="memory_limit_bytes", value=2**33, source="a"),)), "memory"),
        (lambda e: replace(e, harness=replace(e.harness, version="9.0.0")), "bench"),
        (
            lambda e: replace(
                e, harness=replace(e.harness, libraries=(Fact(name="torch", value="9", source="a"),))
            ),
            "library/torch",
        ),
        (lambda e: replace(e, profiles=(Digest(name="ladders/cpu", sha256="9" * 64),)), "ladder"),
        (lambda e: replace(e, schedule=replace(e.schedule, hold_ns=10**10)), "held"),
    ],
)
def test_what_one_compares_across_is_told_and_forbids_nothing(change: Any, fact: str) -> None:
    found = only(run(), change(run()))
    assert found.word == "same"
    assert [each.fact for each in found.beside] == [fact]


# ------------------------------------------------------------------------------ what belongs together


def test_the_only_devices_of_a_kind_belong_together_whatever_their_selectors() -> None:
    one, another = on(run(), selector="cuda:0", kind="gpu"), on(run(2e12), selector="cuda:1", kind="gpu")
    found = only(one, another)
    assert found.word == "faster"
    assert found.base is not None
    assert found.other is not None
    assert (found.base.device, found.other.device) == ("cuda:0", "cuda:1")


def test_of_several_devices_of_a_kind_none_is_guessed() -> None:
    one = on(run(), selector="cuda:0", kind="gpu")
    third: Device = replace(one.devices[0], selector="cuda:2")
    other = on(run(), selector="cuda:1", kind="gpu")
    found = compare.figures(one, replace(other, devices=(*other.devices, third)), margin=0.03)
    assert [(each.word, each.reason) for each in found] == [("not-comparable", "no-figure")] * 2


def test_devices_of_one_selector_go_before_those_of_one_kind() -> None:
    # The GPU of the one has the name that the other's CPU has; that CPU has a namesake in the one.
    one = on(run(), selector="b", kind="gpu")
    cpu = replace(one.devices[0], selector="a", kind="cpu")
    other = on(run(), selector="a", kind="gpu")
    pairs = list(compare._pairs((cpu, *one.devices), other.devices))
    assert [(ours and ours.selector, theirs and theirs.selector) for ours, theirs in pairs] == [
        ("a", "a"),
        ("b", None),
    ]


def test_rows_are_held_against_rows_of_their_name() -> None:
    (found,) = compare.rows(run(), run(1.1e12), margin=0.03)
    assert (found.row, found.word) == (ROW, "faster")


def test_a_row_of_other_elements_or_that_no_longer_counts_is_not_compared() -> None:
    other = run(row={"counts": False, "reason": "fast-algorithm"})
    measured, *rest = other.measurements
    form = replace(measured.workload.form, layout="column")
    changed = replace(measured, workload=replace(measured.workload, form=form))
    (found,) = compare.rows(run(), replace(other, measurements=(changed, *rest)), margin=0.03)
    assert facts(found) == {"form", "counts"}


def test_slower_is_what_lies_below_the_allowed_share_with_its_whole_interval() -> None:
    base = run(1e12, 0.001)
    found = [only(base, run(times * 1e12, 0.001)) for times in (0.90, 0.96, 0.98, 1.1)]
    assert compare.slower_than(found, 0.03) == (found[0], found[1])
    assert compare.slower_than([only(base, run(0.96e12, 0.05))], 0.03) == ()


def failures(base: Evidence, other: Evidence) -> list[str]:
    first, second = files(base, other, every_row=False)
    return _failures(first, [second], 0.03)


def test_a_figure_of_the_base_that_was_lost_or_is_another_thing_now_is_a_failure_with_its_reason() -> None:
    whole = run()
    int8 = replace(whole.delivered[0], row="torch_gemm/int8/mm", precision="int8")
    measured = whole.measurements[0]
    form = replace(measured.workload.form, precision="int8")
    workload = replace(measured.workload, form=form)
    whole = replace(
        whole,
        figures=(*whole.figures, replace(whole.figures[0], precision="int8", row=int8.row)),
        delivered=(*whole.delivered, int8),
        measurements=(*whole.measurements, replace(measured, workload=workload)),
    )
    assert failures(whole, whole) == []
    lost = replace(whole, figures=whole.figures[:1])
    assert failures(whole, lost) == [
        "2.json: int8 on cpu could not be compared with the base: 2.json did not measure it."
    ]
    conv = replace(whole, delivered=(whole.delivered[0], replace(int8, operation="conv")))
    (line,) = failures(whole, conv)
    assert line.startswith("2.json: int8 on cpu could not be compared with the base: operation: ")
    assert line.endswith(" in base.json, conv in 2.json.")


def test_a_figure_that_the_base_has_not_is_no_failure() -> None:
    more = run()
    new = Figure(device="cpu", precision="int8", row=None, estimate=None, reason="arithmetic-differs")
    without = replace(more, figures=(*more.figures, new))
    assert failures(run(), without) == []
    assert failures(without, run()) == []


# ----------------------------------------------------------------------------------------- how told


def files(base: Evidence, *others: Evidence, every_row: bool = True) -> list[ComparedFile]:
    first = ComparedFile(place=1, path="base.json", number="0" * 12, evidence=base, comparisons=())
    rest = [
        ComparedFile(
            place=place,
            path=f"{place}.json",
            number=str(place) * 12,
            evidence=other,
            comparisons=(
                *compare.figures(base, other, margin=0.03),
                *(compare.rows(base, other, margin=0.03) if every_row else ()),
            ),
        )
        for place, other in enumerate(others, 2)
    ]
    return [first, *rest]


def printed(base: ComparedFile, *others: ComparedFile, width: int = 80) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False, emoji=False, color_system=None)
    told.report(console, base, others, margin=0.03)
    return out.getvalue()


def test_the_table_has_both_rates_the_ratio_and_the_answer() -> None:
    text = " ".join(printed(*files(run(1e12, 0.01), run(1.1e12, 0.01), every_row=False)).split())
    assert "cpu fp32 1.000 TFLOPS 1.100 TFLOPS 1.100 faster ± 1.0 % ± 1.0 % 1.085 to 1.116" in text


def test_what_differs_is_told_with_both_values() -> None:
    text = printed(*files(run(), run(row={"measured": "tf32"}), on(run(), name="Another")))
    assert "[1] measured arithmetic: fp32 in 1, tf32 in 2" in text
    assert re.search(r"^device +A 處理器 +Another *$", text, re.MULTILINE)


@pytest.mark.parametrize("width", [80, 160])
def test_no_line_is_longer_than_the_console_and_no_cell_is_cut(width: int) -> None:
    long = run(1e12, 0.5)
    row = "ort_gemm/int8/MatMulInteger-u8s8"
    form = replace(long.measurements[0].workload.form, precision="int8", name="MatMulInteger-u8s8")
    workload = replace(long.measurements[0].workload, kernel="ort_gemm", form=form)
    long = replace(
        long,
        measurements=(replace(long.measurements[0], workload=workload),),
        delivered=(replace(long.delivered[0], row=row, precision="int8"),),
        figures=(replace(long.figures[0], row=row, precision="int8"),),
    )
    text = printed(*files(long, long, run(mode="quick"), replace(long, mode="quick")), width=width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "…" not in text


def test_hostile_strings_neither_steer_a_terminal_nor_enter_a_page() -> None:
    hostile = on(run(row={"measured": ESCAPES}), name=ESCAPES)
    library = Fact(name=ESCAPES, value=ESCAPES, source="a")
    hostile = replace(hostile, harness=replace(hostile.harness, libraries=(library,)))
    found = files(run(), hostile)
    for text in (printed(*found), told.page(found[0], found[1:], margin=0.03)):
        assert not re.search("[\x1b\x9b\x07\u202e]", text)
    page = told.page(found[0], found[1:], margin=0.03)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_spreadsheet_has_a_line_for_each_comparison_with_plain_numbers() -> None:
    base, *others = files(run(), run(0.9e12), run(row={"measured": "tf32"}), every_row=False)
    one, another = rows_of(told.csv_text(base, others))
    assert (one["base_rate"], one["other_rate"], one["answer"]) == (
        "1000000000000.0",
        "900000000000.0",
        "slower",
    )
    assert float(one["ratio_low"]) < float(one["ratio"]) < float(one["ratio_high"])
    assert (another["answer"], another["ratio"]) == ("not-comparable", "")
    assert another["forbidding"] == "arithmetic: fp32 | tf32"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t=", " =", "＝", "\x1b[2J="])
def test_no_cell_of_the_spreadsheet_begins_a_formula(begin: str) -> None:
    base, *others = files(run(), run())
    file = replace(others[0], path=f"{begin}HYPERLINK(1)")
    (cell,) = {line["other_file"] for line in rows_of(told.csv_text(base, [file]))}
    assert cell.startswith("'")
    assert cell.endswith("HYPERLINK(1)")


def test_a_comparison_can_be_written_as_json() -> None:
    found = encode(only(run(), run(0.9e12)))
    assert (found["word"], found["ratio"]["value"], found["forbidding"]) == ("slower", 0.9, [])
