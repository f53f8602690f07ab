"""From hand-built measurements to delivered figures: what counts, what does not, and what is found."""

from dataclasses import replace
from typing import Any

import pytest
import scripted_device
from scripted_device import FP32, INT8, MS, device, workload

from bench.judge.ceiling import NO_CLOCK
from bench.judge.delivered import Result, deliver
from bench.measure import stats
from bench.terms import (
    SPARSE_LAYOUT,
    Check,
    ConvShape,
    Cost,
    Delivered,
    Finding,
    Form,
    GemmShape,
    Measurement,
    Reading,
    Sample,
    Trial,
    Visit,
)

# One launch of 10^9 operations a ms: 1 TFLOPS.
OPS = 10**9
TERA = 10**12
QDQ = Form(
    precision="int8", name="QDQ", a="u8", b="s8", out="u8", operand_set="int8", layout="row-major"
)  # fmt: skip
SHAPE = GemmShape(m=512, n=512, k=512)

RIGHT = Check(launches=3, compared=384, wrong=0, off_by_one=0, real_compared=0, real_error_ppm=None)
TIMED = Check(launches=40, compared=70, wrong=0, off_by_one=0, real_compared=90, real_error_ppm=0.2)
PROBE = Check(launches=1, compared=0, wrong=0, off_by_one=0, real_compared=512, real_error_ppm=0.3)
EXACT = Check(launches=1, compared=512, wrong=0, off_by_one=0, real_compared=0, real_error_ppm=None)


def sample(host_ns: int = MS, **others: int) -> Sample:
    values = {"raw_ns": host_ns, "cpu_ns": host_ns, "launches": 1, "real": 0, "start_ns": 0}
    return Sample(host_ns=host_ns, **(values | others))


def visit(*samples: Sample, settle_ended: str = "settled") -> Visit:
    return Visit(
        settle=(),
        settle_ended=settle_ended,
        samples=samples,
        device_ns=(),
        clocks_hz=(),
        ended="window-full",
    )


STEADY = visit(*[sample()] * 4, sample(real=1), *[sample()] * 3)


def measurement(form: Form = FP32, *, kernel: str = "one", **changes: Any) -> Measurement:
    """A row that counts, with changes."""
    integer = form.precision == "int8"
    values: dict[str, Any] = {
        "workload": workload(form, shape=SHAPE, kernel=kernel),
        "cost": Cost(ops=OPS, bytes=1),
        "tried": (),
        "before": RIGHT,
        "probe": EXACT if integer else PROBE,
        "admission": None,
        "visits": (STEADY,) * 5,
        "held": None,
        "timed": replace(TIMED, real_compared=0, real_error_ppm=None) if integer else TIMED,
        "ended": "precise",
        "findings": (),
    }
    return Measurement(**(values | changes))


def at(tera: float, visits: int = 5) -> tuple[Visit, ...]:
    return (visit(*[sample(round(MS / tera))] * 8),) * visits


def judged(*measurements: Measurement, telemetry: tuple[Reading, ...] = ()) -> Result:
    return deliver([device()], measurements, scripted_device.telemetry(*telemetry), clock=NO_CLOCK)


def only(one: Measurement) -> Delivered:
    (row,) = judged(one).rows
    return row


def codes(result: Result) -> list[tuple[str, str]]:
    return [(finding.status, finding.code) for finding in result.findings]


# ------------------------------------------------------------------------------------- what counts


def test_a_right_row_counts_and_is_the_devices_figure_without_a_finding() -> None:
    result = judged(measurement())
    assert (result.rows[0].counts, result.rows[0].reason, result.rows[0].measured) == (True, None, "fp32")
    assert result.findings == ()
    (figure,) = result.figures
    assert (figure.device, figure.precision, figure.row) == ("cpu", "fp32", "one/fp32/mm")
    assert figure.estimate is not None
    assert (figure.estimate.value, figure.estimate.unit) == (TERA, "TFLOPS")


@pytest.mark.parametrize(("field", "code"), [("before", "wrong-outputs"), ("timed", "wrong-timed-outputs")])
def test_a_single_wrong_output_gives_no_figure(field: str, code: str) -> None:
    good = {"before": RIGHT, "timed": TIMED}[field]
    result = judged(measurement(**{field: replace(good, wrong=1)}))
    assert codes(result) == [("failure", code)]
    assert (result.rows[0].counts, result.rows[0].reason, result.rows[0].estimate) == (False, code, None)
    assert (result.rows[0].median, result.rows[0].best) == (None, None)
    assert (result.figures[0].row, result.figures[0].reason) == (None, code)


def test_timed_reals_that_err_more_than_the_precision_may_give_no_figure() -> None:
    result = judged(measurement(timed=replace(TIMED, real_error_ppm=261.0)))
    assert codes(result) == [("failure", "wrong-timed-reals")]
    assert result.findings[0].numbers == {"error_ppm": 261.0, "compared": 90}
    assert result.rows[0].estimate is None


@pytest.mark.parametrize("visits", [0, 1, 4])
def test_fewer_than_five_visits_do_not_count(visits: int) -> None:
    row = only(measurement(visits=(STEADY,) * visits))
    assert (row.counts, row.reason) == (False, "too-few-visits")


def test_a_figure_on_reals_from_fewer_than_five_visits_does_not_count() -> None:
    # Five visits, but only two of them ran on the real-valued operands that are the slower ones.
    slow = visit(*[sample()] * 4, sample(2 * MS, real=1), *[sample()] * 3)
    row = only(measurement(visits=(slow, slow, *at(1.0, visits=3))))
    assert row.estimate is not None
    assert (row.estimate.visits, row.counts, row.reason) == (2, False, "too-few-visits")


@pytest.mark.parametrize(
    "unchecked",
    [
        {"before": None},
        {"timed": None},
        {"probe": None},
        {"timed": replace(TIMED, real_compared=0, real_error_ppm=None)},
    ],
    ids=["no check before", "no timed check", "no probe", "no timed reals"],
)
def test_a_row_that_was_not_checked_on_every_operand_set_does_not_count(unchecked: dict[str, Any]) -> None:
    row = only(measurement(**unchecked))
    assert (row.counts, row.reason) == (False, "not-checked")


def test_integers_need_no_timed_reals() -> None:
    assert only(measurement(INT8)).counts


def test_an_arithmetic_other_than_asked_is_named_and_does_not_count() -> None:
    result = judged(measurement(probe=replace(PROBE, real_error_ppm=261.0)))
    assert codes(result) == [("warning", "arithmetic-differs")]
    assert result.findings[0].numbers == {"asked": "fp32", "measured": "tf32-or-fp16"}
    assert (result.rows[0].counts, result.rows[0].reason) == (False, "arithmetic-differs")
    # It is shown all the same, for what it is.
    assert result.rows[0].estimate is not None
    assert result.figures[0].estimate is None


def test_an_int8_row_whose_same_sign_probe_errs_is_floating_point() -> None:
    result = judged(measurement(INT8, probe=replace(EXACT, wrong=250)))
    assert (result.rows[0].measured, result.rows[0].counts) == ("floating-point", False)


def test_a_row_that_failed_keeps_its_own_finding_and_has_no_figure() -> None:
    own = Finding(subject="one/fp32/mm", status="failure", code="backend-failed", numbers={"detail": "lost"})
    result = judged(measurement(findings=(own,), ended="refused"))
    assert result.findings == (own,)
    assert (result.rows[0].reason, result.rows[0].estimate) == ("backend-failed", None)


def test_a_refused_row_without_any_measurement_is_reported_with_its_reason() -> None:
    own = Finding(subject="one/fp32/mm", status="failure", code="not-installed", numbers={"detail": "pip"})
    empty = {"before": None, "probe": None, "timed": None, "visits": ()}
    row = only(measurement(findings=(own,), ended="refused", **empty))
    assert (row.counts, row.reason, row.measured) == (False, "not-installed", None)


# -------------------------------------------------------------------------- behind an output of 8 bits


def test_an_8_bit_output_whose_probe_is_exact_counts() -> None:
    row = only(measurement(QDQ, kernel="qdq"))
    assert (row.measured, row.counts, row.reason) == ("int8", True, None)


@pytest.mark.parametrize("seen", [{"wrong": 1}, {"off_by_one": 1}], ids=["wrong", "off by one"])
def test_an_8_bit_output_whose_probe_errs_is_floating_point_however_fast_it_is(seen: dict[str, int]) -> None:
    result = judged(measurement(QDQ, kernel="qdq", visits=at(50.0), probe=replace(EXACT, **seen)))
    row = result.rows[0]
    assert (row.measured, row.counts, row.reason) == ("floating-point", False, "arithmetic-differs")
    assert codes(result) == [("warning", "arithmetic-differs")]
    assert result.figures[0].estimate is None


# ----------------------------------------------------------------------------------- layers on one another

DEEP = GemmShape(m=512, n=512, k=512, depth=4)
DEEP_TIMED = replace(TIMED, compared=0)


def deep(form: Form = FP32, **changes: Any) -> Measurement:
    """A right row of four layers: a single one is exact before, and timed launches run on reals alone."""
    values = {"before": replace(RIGHT, real_compared=384, real_error_ppm=0.2), "timed": DEEP_TIMED}
    return measurement(form, **(values | {"workload": workload(form, shape=DEEP, kernel="one")} | changes))


def test_a_deep_row_that_errs_as_its_precision_does_counts_without_exact_timed_outputs() -> None:
    row = only(deep())
    assert (row.counts, row.reason) == (True, None)


def test_a_row_of_one_layer_without_exact_timed_outputs_does_not_count() -> None:
    row = only(measurement(timed=DEEP_TIMED))
    assert (row.counts, row.reason) == (False, "not-checked")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"timed": replace(DEEP_TIMED, real_error_ppm=261.0)}, "wrong-timed-reals"),
        ({"before": replace(RIGHT, wrong=1, real_compared=384, real_error_ppm=0.2)}, "wrong-outputs"),
        ({"before": replace(RIGHT, real_compared=384, real_error_ppm=261.0)}, "wrong-outputs"),
    ],
    ids=["timed", "its single layer", "the whole of it"],
)
def test_a_deep_row_that_errs_more_gives_no_figure(changes: dict[str, Check], code: str) -> None:
    result = judged(deep(**changes))
    assert codes(result) == [("failure", code)]
    assert result.rows[0].estimate is None


def test_a_deep_row_without_timed_reals_does_not_count() -> None:
    row = only(deep(timed=replace(DEEP_TIMED, real_compared=0, real_error_ppm=None)))
    assert (row.counts, row.reason) == (False, "not-checked")


@pytest.mark.parametrize(("error_ppm", "counts"), [(29_000.0, True), (40_000.0, False)])
def test_deep_codes_may_be_off_by_one_here_and_there(error_ppm: float, counts: bool) -> None:
    """A code on a twentieth of the outputs of each of four layers is 29,800 ppm; 90 outputs scatter."""
    seen = {"real_compared": 90, "real_error_ppm": error_ppm}
    row = only(
        deep(
            QDQ,
            probe=EXACT,
            before=replace(RIGHT, **seen),
            timed=replace(DEEP_TIMED, **seen),
        )
    )
    assert row.counts == counts


# ---------------------------------------------------------------------------------- the device's figure


def test_the_best_backend_is_the_devices_figure_and_all_are_reported() -> None:
    rows = [measurement(kernel=name, visits=at(tera)) for name, tera in (("a", 1.0), ("b", 1.25), ("c", 0.5))]
    result = judged(*rows)
    (figure,) = result.figures
    assert (figure.row, figure.reason, len(result.rows)) == ("b/fp32/mm", None, 3)
    assert figure.estimate is not None
    assert figure.estimate.value == 1.25 * TERA


def test_a_faster_row_that_does_not_count_is_not_the_figure() -> None:
    cheat = measurement(kernel="cheat", visits=at(9.0), probe=replace(PROBE, real_error_ppm=261.0))
    result = judged(cheat, measurement(kernel="honest"))
    assert result.figures[0].row == "honest/fp32/mm"


def test_each_device_and_precision_has_one_figure_of_its_own() -> None:
    other = measurement(kernel="other")
    other = replace(other, workload=replace(other.workload, device="cpu:1"), visits=at(3.0))
    result = deliver(
        [device(), device(selector="cpu:1")],
        [measurement(), measurement(INT8), other],
        scripted_device.telemetry(),
        clock=NO_CLOCK,
    )
    assert [(f.device, f.precision, f.row) for f in result.figures] == [
        ("cpu", "fp32", "one/fp32/mm"),
        ("cpu", "int8", "one/int8/mm"),
        ("cpu:1", "fp32", "other/fp32/mm"),
    ]


def test_a_precision_without_a_counting_row_has_no_figure_and_the_first_reason() -> None:
    result = judged(measurement(visits=(STEADY,)), measurement(kernel="b", before=replace(RIGHT, wrong=2)))
    (figure,) = result.figures
    assert (figure.row, figure.estimate, figure.reason) == (None, None, "too-few-visits")


def test_no_measurements_give_no_figures() -> None:
    assert judged() == Result(rows=(), figures=(), findings=())


def test_the_figure_is_the_mean_rate_and_not_the_median_or_the_best() -> None:
    # Every fourth sample takes five times as long: 4 launches in 8 ms, while the median says 1 ms each.
    throttled = visit(*[sample(), sample(), sample(), sample(5 * MS)] * 2)
    row = only(measurement(INT8, visits=(throttled,) * 5))
    assert row.estimate is not None
    assert (row.estimate.value, row.median, row.best) == (0.5 * TERA, TERA, TERA)


# -------------------------------------------------------------------------------- the two operand sets


def real_rate(factor: float) -> tuple[Visit, ...]:
    return (visit(*[sample()] * 4, sample(round(MS * factor), real=1), *[sample()] * 3),) * 5


def test_reals_slower_by_more_than_two_percent_are_the_figure() -> None:
    result = judged(measurement(visits=real_rate(1.25)))
    assert codes(result) == [("warning", "operand-rates-differ")]
    assert result.findings[0].numbers == {"value": 0.8, "low": 0.8, "high": 0.8}
    assert result.rows[0].estimate is not None
    assert result.rows[0].estimate.value == 0.8 * TERA
    assert result.rows[0].counts


def noisy_reals(factors: list[float]) -> tuple[Visit, ...]:
    return tuple(
        visit(*[sample()] * 4, sample(round(MS * factor), real=1), *[sample()] * 3) for factor in factors
    )


def test_reals_slower_within_their_own_scatter_count_with_all_samples() -> None:
    factors = [1.0, 1.01, 1.025, 1.03, 1.025, 1.01, 1.03, 1.025, 1.03, 1.0]
    result = judged(measurement(visits=noisy_reals(factors)))
    assert "operand-rates-differ" not in {code for _, code in codes(result)}


def test_reals_that_scatter_so_much_that_nothing_is_known_are_the_figure() -> None:
    result = judged(measurement(visits=noisy_reals([0.7, 1.5, 1.4, 1.6, 0.7, 1.5])))
    assert "operand-rates-differ" in {code for _, code in codes(result)}


def test_reals_slower_by_less_than_two_percent_count_with_all_samples() -> None:
    result = judged(measurement(visits=real_rate(1.01)))
    assert result.findings == ()
    assert result.rows[0].estimate is not None
    assert result.rows[0].estimate.value == stats.rounded(8 / 8.01 * TERA)


def test_reals_that_run_faster_are_found_and_do_not_raise_the_figure() -> None:
    result = judged(measurement(visits=real_rate(0.5)))
    # Blocks of samples hold more or fewer of the fast ones: the interval says so, too.
    assert codes(result) == [("warning", "operand-rates-differ"), ("warning", "wide-interval")]
    assert result.rows[0].estimate is not None
    assert result.rows[0].estimate.value == stats.rounded(8 / 7.5 * TERA)


# ----------------------------------------------------------------------------------------------- clocks


def clocked(**others: int) -> Result:
    one = visit(*[sample(**others)] * 8)
    return judged(measurement(INT8, visits=(one,) * 5))


@pytest.mark.parametrize("raw_ns", [MS // 2, 2 * MS, MS * 98 // 100])
def test_clocks_that_disagree_are_a_failure_and_leave_no_figure(raw_ns: int) -> None:
    result = clocked(raw_ns=raw_ns)
    assert codes(result) == [("failure", "clocks-disagree")]
    assert result.findings[0].numbers == {"host_ns": 40 * MS, "raw_ns": 40 * raw_ns}
    assert (result.rows[0].counts, result.rows[0].estimate) == (False, None)


def test_clocks_within_a_percent_agree() -> None:
    assert clocked(raw_ns=MS * 1009 // 1000).findings == ()


def test_cpu_time_above_threads_times_elapsed_time_is_a_failure() -> None:
    result = clocked(cpu_ns=4 * MS)
    assert codes(result) == [("failure", "cpu-time-exceeds-elapsed")]
    assert result.findings[0].numbers == {"cpu_ns": 160 * MS, "host_ns": 40 * MS, "cpus": 2}
    assert result.rows[0].estimate is None


def test_cpu_time_of_all_threads_and_the_granularity_of_ticks_is_no_finding() -> None:
    assert clocked(cpu_ns=2 * MS + MS // 20).findings == ()


# ------------------------------------------------------------------------------------------ steadiness


def test_a_rate_that_did_not_settle_in_most_visits_is_a_warning_and_counts() -> None:
    limit = replace(STEADY, settle_ended="settle-limit")
    result = judged(measurement(visits=(limit, limit, limit, STEADY, STEADY)))
    assert codes(result) == [("warning", "not-settled")]
    assert result.findings[0].numbers == {"visits": 5, "unsettled": 3}
    assert result.rows[0].counts


def test_a_rate_that_did_not_settle_in_two_of_five_visits_is_none() -> None:
    limit = replace(STEADY, settle_ended="settle-limit")
    assert judged(measurement(visits=(limit, limit, STEADY, STEADY, STEADY))).findings == ()


def test_a_wide_interval_is_a_warning() -> None:
    uneven = (*at(1.0, 3), *at(1.25, 2))
    result = judged(measurement(INT8, visits=uneven))
    assert codes(result) == [("warning", "wide-interval")]


# ------------------------------------------------------------------------------------------- the machine


def readings(
    *, busy: float = 0.5, own: float = 0.5, steal: float = 0.0, seconds: int = 10
) -> tuple[Reading, ...]:
    """Shares of two processors' time, between two readings that do not begin at zero."""
    capacity_us = 2 * seconds * 10**6
    first = Reading(at_ns=5 * 10**9, busy_us=9 * 10**9, own_us=10**6, steal_us=77)
    last = Reading(
        at_ns=first.at_ns + seconds * 10**9,
        busy_us=first.busy_us + round(busy * capacity_us),
        own_us=first.own_us + round(own * capacity_us),
        steal_us=first.steal_us + round(steal * capacity_us),
    )
    return first, last


def test_a_quiet_machine_gives_no_finding() -> None:
    assert judged(measurement(), telemetry=readings(busy=1.0, own=0.97, steal=0.01)).findings == ()


def test_stolen_time_above_two_percent_is_a_finding_about_the_machine() -> None:
    result = judged(measurement(), telemetry=readings(steal=0.03))
    (finding,) = result.findings
    assert (finding.subject, finding.status, finding.code) == ("machine", "warning", "steal")
    assert finding.numbers == {"share": 0.03}
    assert result.rows[0].counts


def test_a_device_loaded_by_a_foreign_process_is_found_and_its_figure_not_corrected() -> None:
    # 40 % of one processor in two, as measured in trials: the figure falls to 0.74, and stays there.
    result = judged(measurement(INT8, visits=at(0.74)), telemetry=readings(busy=1.0, own=0.8))
    (finding,) = result.findings
    assert (finding.code, finding.numbers) == ("foreign-load", {"share": 0.2})
    assert result.figures[0].estimate is not None
    assert result.figures[0].estimate.value == pytest.approx(0.74 * TERA, rel=1e-6)


def test_the_load_of_the_run_itself_is_not_foreign() -> None:
    assert judged(measurement(), telemetry=readings(busy=1.0, own=1.0)).findings == ()


@pytest.mark.parametrize("number", [0, 1])
def test_fewer_than_two_readings_tell_nothing_about_the_machine(number: int) -> None:
    assert judged(measurement(), telemetry=readings(steal=0.5)[:number]).findings == ()


def test_readings_in_between_do_not_change_the_share_over_the_whole_run() -> None:
    first, last = readings(steal=0.03)
    burst = replace(first, at_ns=first.at_ns + 1, steal_us=last.steal_us)
    assert [f.numbers for f in judged(measurement(), telemetry=(first, burst, last)).findings] == [
        {"share": 0.03}
    ]


# ------------------------------------------------------------- what a row is, besides right and wrong


def test_a_processor_that_hardly_worked_did_not_do_the_work() -> None:
    result = clocked(cpu_ns=MS // 100)
    assert codes(result) == [("failure", "work-elsewhere")]
    assert result.rows[0].estimate is None


def test_a_processor_that_was_kept_waiting_is_a_warning_and_counts() -> None:
    result = clocked(cpu_ns=MS // 2)
    assert codes(result) == [("warning", "processor-waited")]
    assert result.rows[0].counts


IMAGE = ConvShape(batch=1, channels=16, filters=16, height=18, width=18, kernel=3, padding=0)
CONV = {"workload": replace(workload(FP32, shape=SHAPE), operation="conv", shape=IMAGE)}
INEXACT: dict[str, Any] = {"before": replace(RIGHT, wrong=100, real_compared=384, real_error_ppm=0.4)}


def test_a_sparse_product_has_its_rate_and_never_counts_as_a_dense_one() -> None:
    form = replace(FP32, layout=SPARSE_LAYOUT)
    result = judged(measurement(workload=workload(form, shape=SHAPE)))
    assert result.rows[0].estimate is not None
    assert (result.rows[0].counts, result.rows[0].reason) == (False, "sparse")
    assert (result.figures[0].estimate, result.figures[0].reason) == (None, "sparse")


def test_an_inexact_convolution_within_its_precisions_error_is_a_fast_algorithm_and_does_not_count() -> None:
    result = judged(measurement(**CONV, **INEXACT))
    assert codes(result) == [("info", "fast-algorithm")]
    assert result.rows[0].estimate is not None
    assert (result.rows[0].counts, result.rows[0].reason) == (False, "fast-algorithm")


def test_an_inexact_product_is_no_fast_algorithm() -> None:
    assert codes(judged(measurement(**INEXACT))) == [("failure", "wrong-outputs")]


def test_an_inexact_convolution_that_errs_more_than_its_precision_is_wrong() -> None:
    before = replace(INEXACT["before"], real_error_ppm=261.0)
    assert codes(judged(measurement(**CONV, before=before))) == [("failure", "wrong-outputs")]


def test_a_row_refused_for_a_reason_of_its_own_has_that_reason_and_accuses_nobody() -> None:
    why = Finding(subject="x", status="info", code="saturates", numbers={"detail": "no VNNI"})
    row = only(measurement(INT8, visits=(), ended="refused", findings=(why,)))
    assert (row.counts, row.reason, row.estimate) == (False, "saturates", None)


def test_shapes_that_had_no_room_are_said() -> None:
    skipped = Trial(shape=SHAPE, round=0, ops_per_s=(), spent_ns=0, reason="no-memory")
    result = judged(measurement(tried=(skipped, skipped)))
    assert codes(result) == [("info", "shapes-without-room")]
    assert result.findings[0].numbers == {"shapes": 2}


def test_noise_alone_makes_no_row_the_best() -> None:
    steady = measurement(visits=at(1.0))
    # Faster on the average and in most visits, but one visit says that nothing is known.
    wild = tuple(one for tera in (1.6, 1.6, 0.2, 1.6, 1.6) for one in at(tera, visits=1))
    other = measurement(kernel="other", visits=wild)
    (figure,) = judged(steady, other).figures
    assert figure.row == "one/fp32/mm"


# ------------------------------------------------------------------------------------ held under load


def held_at(tera: float, samples: int = 40) -> Visit:
    return visit(*[sample(round(MS / tera))] * samples)


def test_a_row_that_was_held_is_the_figure_before_a_faster_one_that_was_not() -> None:
    slower = measurement(kernel="held", visits=at(1.0), held=held_at(0.6))
    result = judged(measurement(kernel="other", visits=at(2.0)), slower)
    (figure,) = result.figures
    assert figure.row == "held/fp32/mm"
    assert figure.estimate is not None
    assert figure.estimate.value == pytest.approx(0.6 * TERA, rel=1e-6)


def test_a_held_row_that_was_wrong_while_it_was_held_is_no_figure() -> None:
    wrong = measurement(kernel="held", held=held_at(3.0), timed=replace(TIMED, wrong=1))
    assert judged(measurement(kernel="other"), wrong).figures[0].row == "other/fp32/mm"


def test_a_held_window_does_not_stand_in_for_visits() -> None:
    row = only(measurement(visits=at(1.0, visits=2), held=held_at(1.0)))
    assert (row.counts, row.reason) == (False, "too-few-visits")


# ------------------------------------------------------------------------- the kernel's own count of time


def taken(busy_us: int, steal_us: int = 0, *, seconds: float = 10.0) -> Result:
    """A row of two CPUs in a run over which the kernel counted so much."""
    end = round(seconds * 1e9)
    readings = (
        Reading(at_ns=0, busy_us=0, own_us=0, steal_us=0),
        Reading(at_ns=end, busy_us=busy_us, own_us=0, steal_us=steal_us),
    )
    return deliver([device()], [measurement()], scripted_device.telemetry(*readings), clock=NO_CLOCK)


def test_processors_busy_for_longer_than_the_run_took_tell_on_its_clock() -> None:
    result = taken(26_600_000)
    (finding,) = [found for found in result.findings if found.code == "processors-exceed-elapsed"]
    assert (finding.status, finding.numbers) == ("failure", {"share": 1.33, "cpus": 2})
    assert result.rows[0].reason == "processors-exceed-elapsed"
    assert taken(10_000_000, 12_000_000).rows[0].reason == "processors-exceed-elapsed"


def test_processors_that_were_busy_all_the_time_are_no_finding() -> None:
    assert taken(20_000_000).rows[0].counts
    assert taken(12_000_000, 8_500_000).rows[0].counts


def test_a_run_too_short_for_the_kernels_ticks_accuses_nobody() -> None:
    assert taken(2_000_000, seconds=0.9).rows[0].counts


def test_a_run_that_idles_between_its_windows_does_not_hide_what_they_took() -> None:
    """Five windows of 0.3 s in a minute: in them both processors count a third more than has passed."""
    second = 10**9
    begins = [10 * second * number for number in range(1, 6)]
    length = 3 * second // 10
    moments, busy_us = [0], [0]
    for begin in begins:
        moments += [begin, begin + length]
        busy_us += [busy_us[-1], busy_us[-1] + 2 * length * 4 // 3 // 1000]
    readings = [
        Reading(at_ns=at_ns, busy_us=busy, own_us=0, steal_us=0)
        for at_ns, busy in zip(moments, busy_us, strict=True)
    ]
    visits = tuple(visit(sample(length, start_ns=begin)) for begin in begins)
    row = measurement(visits=visits)
    result = deliver([device()], [row], scripted_device.telemetry(*readings), clock=NO_CLOCK)
    (finding,) = [found for found in result.findings if found.code == "processors-exceed-elapsed"]
    assert finding.numbers["share"] == pytest.approx(4 / 3, abs=1e-4)
