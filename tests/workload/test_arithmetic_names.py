"""Whether the arithmetic that was really computed is named: honest products, and others in their place."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import other_arithmetic as other
import pytest
from other_arithmetic import Product
from workload_cases import FORMS, SMALL_GEMM, workload
from workload_references import check, everywhere, whole_gemm, with_form

from bench.terms import Check, Form, GemmShape, Workload
from bench.workload import accuracy, operands, sampling
from bench.workload.accuracy import Outputs

# ------------------------------------------------------------------------------- naming the arithmetic


def probed(form: Form, multiply: Product) -> tuple[Workload, Check]:
    """The check of a real-valued probe whose product is `multiply`, on as many outputs as the real one."""
    row = workload(form, GemmShape(m=16, n=32, k=1024))
    values = operands.round_to(whole_gemm(row, multiply, real=True), form.out)
    return row, accuracy.tally(row, Outputs(place=everywhere(row, real=True), values=values)).check()


def named(form: Form, multiply: Product) -> str:
    return accuracy.name_arithmetic(*probed(form, multiply))


def exact_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a @ b


def fp32_running_sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return other.running_sum(a, b, np.float32)


def truncated_tf32(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return other.fp32_sum(other.truncated(a, 11), other.truncated(b, 11))


def int8_reals(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return other.quantised(a, 8) @ other.quantised(b, 8)


def two_int8_products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A as a high and a low byte, B as one byte, each over a step that is a power of two."""
    a_step, b_step = (2.0 ** (math.ceil(math.log2(np.abs(x).max())) - bits) for x, bits in ((a, 13), (b, 6)))
    a_codes, b_codes = np.rint(a / a_step), np.rint(b / b_step)
    high = np.rint(a_codes / 128)
    low = a_codes - 128 * high
    assert max(np.abs(codes).max() for codes in (high, low, b_codes)) <= 127
    return (128 * (high @ b_codes) + low @ b_codes) * a_step * b_step


def skipping_a_tenth(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    kept = a.shape[1] * 9 // 10
    return other.fp32_sum(a[:, :kept], b[:kept])


def of_13_bits(promoted: int | None) -> Product:
    """Sums as Hopper's and Ada's tensor cores make them of fp8, which keep 13 bits behind the leading one."""
    return partial(other.coarse_sum, bits=13, block=32, promoted=promoted)


def of_23_bits(operands_as: Callable[[np.ndarray], np.ndarray], block: int) -> Product:
    """Sums as tensor cores make them of wider types, cut off where fp32 ends."""
    return lambda a, b: other.coarse_sum(operands_as(a), operands_as(b), bits=23, block=block, promoted=None)


def as_they_are(values: np.ndarray) -> np.ndarray:
    return values


HONEST = {
    "fp32": (FORMS["fp32"], other.fp32_sum),
    "fp32-one-by-one": (FORMS["fp32"], fp32_running_sum),
    "bf16": (FORMS["bf16"], other.fp32_sum),
    "bf16-one-by-one": (FORMS["bf16"], fp32_running_sum),
    "bf16-to-fp32": (replace(FORMS["bf16"], out="f32"), other.fp32_sum),
    "bf16-to-fp32-by-exact-sums": (replace(FORMS["bf16"], out="f32"), exact_product),
    "fp16": (FORMS["fp16"], other.fp32_sum),
    "fp16-to-fp32": (replace(FORMS["fp16"], out="f32"), other.fp32_sum),
    "bf16-on-tensor-cores": (FORMS["bf16"], of_23_bits(as_they_are, 16)),
    "bf16-to-fp32-on-tensor-cores": (replace(FORMS["bf16"], out="f32"), of_23_bits(as_they_are, 16)),
    "fp16-to-fp32-on-tensor-cores": (replace(FORMS["fp16"], out="f32"), of_23_bits(as_they_are, 4)),
    "tf32": (FORMS["tf32"], other.in_bits(11)),
    "tf32-truncated": (FORMS["tf32"], truncated_tf32),
    "tf32-on-tensor-cores": (FORMS["tf32"], of_23_bits(lambda x: other.rounded(x, 11), 8)),
    "tf32-truncated-on-tensor-cores": (FORMS["tf32"], of_23_bits(lambda x: other.truncated(x, 11), 8)),
    "fp8": (FORMS["fp8_e4m3"], other.fp32_sum),
    "fp8-promoted": (FORMS["fp8_e4m3"], of_13_bits(128)),
    "fp8-not-promoted": (FORMS["fp8_e4m3"], of_13_bits(None)),
    "fp8-pair": (FORMS["fp8_e5m2"], other.fp32_sum),
    "fp8-pair-promoted": (FORMS["fp8_e5m2"], of_13_bits(128)),
    "fp8-pair-not-promoted": (FORMS["fp8_e5m2"], of_13_bits(None)),
    "fp64": (FORMS["fp64"], exact_product),
    "fp64-one-by-one": (FORMS["fp64"], lambda a, b: other.running_sum(a, b, np.float64)),
}


@pytest.mark.parametrize(("form", "multiply"), HONEST.values(), ids=HONEST.keys())
def test_honest_arithmetic_is_named_as_asked(form: Form, multiply: Product) -> None:
    assert named(form, multiply) == form.precision


@pytest.mark.parametrize(("form", "multiply"), HONEST.values(), ids=HONEST.keys())
def test_honest_arithmetic_fits_the_timed_check(form: Form, multiply: Product) -> None:
    assert accuracy.real_error_fits(*probed(form, multiply))


def in_fp8(a: str, b: str) -> Product:
    return lambda left, right: other.fp32_sum(other.in_fp8(left, a), other.in_fp8(right, b))


OTHERWISE = {
    "bf16-for-tf32": ("tf32", other.in_bits(8), "bf16"),
    "fp8-for-tf32": ("tf32", in_fp8("f8_e4m3", "f8_e4m3"), "fp8_e4m3"),
    "fp8-for-fp32": ("fp32", in_fp8("f8_e4m3", "f8_e4m3"), "fp8_e4m3"),
    "fp8-for-bf16": ("bf16", in_fp8("f8_e4m3", "f8_e4m3"), "fp8_e4m3"),
    "fp8-for-fp16": ("fp16", in_fp8("f8_e4m3", "f8_e4m3"), "fp8_e4m3"),
    "fp8-pair-for-bf16": ("bf16", in_fp8("f8_e5m2", "f8_e4m3"), "fp8_e5m2"),
    "fp8-e5m2-for-bf16": ("bf16", in_fp8("f8_e5m2", "f8_e5m2"), "fp8_e5m2"),
    "fp4-for-fp8": ("fp8_e4m3", other.in_bits(2), "unknown"),
    "tf32-for-fp32": ("fp32", other.in_bits(11), "tf32-or-fp16"),
    "truncated-tf32-for-fp32": ("fp32", truncated_tf32, "tf32-truncated"),
    "bf16-for-fp32": ("fp32", other.in_bits(8), "bf16"),
    "fp16-sums-for-fp32": ("fp32", other.fp16_running_sum, "int8-or-fp16-sums"),
    "fp16-sums-for-fp16": ("fp16", other.fp16_running_sum, "int8-or-fp16-sums"),
    "fp16-sums-for-bf16": ("bf16", other.fp16_running_sum, "int8-or-fp16-sums"),
    "bf16-for-fp16": ("fp16", other.in_bits(8), "bf16"),
    "int8-for-fp32": ("fp32", int8_reals, "int8-or-fp16-sums"),
    "int8-for-fp16": ("fp16", int8_reals, "int8-or-fp16-sums"),
    "int8-for-bf16": ("bf16", int8_reals, "int8-or-fp16-sums"),
    "fp32-for-fp64": ("fp64", other.fp32_sum, "fp32"),
    "a-tenth-skipped": ("fp32", skipping_a_tenth, "unknown"),
    "zeros": ("fp32", lambda a, b: 0 * exact_product(a, b), "unknown"),
}


@pytest.mark.parametrize(("asked", "multiply", "name"), OTHERWISE.values(), ids=OTHERWISE.keys())
def test_other_arithmetic_is_named_for_what_it_is(asked: str, multiply: Product, name: str) -> None:
    assert named(FORMS[asked], multiply) == name


@pytest.mark.parametrize(("asked", "multiply", "name"), OTHERWISE.values(), ids=OTHERWISE.keys())
def test_other_arithmetic_does_not_fit_the_timed_check(asked: str, multiply: Product, name: str) -> None:
    assert not accuracy.real_error_fits(*probed(FORMS[asked], multiply)), name


def test_fp32_under_a_tf32_claim_is_named_fp32_and_errs_no_more_than_allowed() -> None:
    # It is slower and no lie about a figure; the row says what was measured, and does not count as tf32.
    row, seen = probed(FORMS["tf32"], other.fp32_sum)
    assert accuracy.name_arithmetic(row, seen) == "fp32"
    assert accuracy.real_error_fits(row, seen)


@pytest.mark.parametrize("name", ["fp8_e4m3", "fp8_e5m2"])
@pytest.mark.parametrize("promoted", [128, None])
def test_coarse_sums_of_fp8_fit_the_timed_check_up_to_the_longest_sum(
    name: str, promoted: int | None
) -> None:
    row = workload(FORMS[name], GemmShape(m=8, n=16, k=operands.OPERAND_SETS[name].k_max))
    values = operands.round_to(whole_gemm(row, of_13_bits(promoted), real=True), "bf16")
    seen = accuracy.tally(row, Outputs(place=everywhere(row, real=True), values=values)).check()
    assert accuracy.real_error_fits(row, seen)


@pytest.mark.parametrize("name", ["fp8_e4m3", "fp8_e5m2"])
def test_coarse_sums_of_fp8_are_exact_on_the_integers_that_decide(name: str) -> None:
    row = workload(FORMS[name], GemmShape(m=8, n=16, k=operands.OPERAND_SETS[name].k_max))
    values = operands.round_to(whole_gemm(row, of_13_bits(None)), "bf16")
    assert accuracy.exact(accuracy.tally(row, Outputs(place=everywhere(row), values=values)).check())


@pytest.mark.parametrize("name", ["bf16", "fp16", "tf32"])
def test_sums_cut_off_at_fp32_are_exact_on_the_integers_that_decide(name: str) -> None:
    form = replace(FORMS[name], out="f32")
    row = workload(form, GemmShape(m=8, n=16, k=operands.OPERAND_SETS[name].k_max))
    values = whole_gemm(row, of_23_bits(as_they_are, 8))
    assert accuracy.exact(accuracy.tally(row, Outputs(place=everywhere(row), values=values)).check())


def test_two_int8_products_are_exact_on_the_integers_of_fp32() -> None:
    # This is why a share of the timed launches runs on reals.
    row = workload(FORMS["fp32"], GemmShape(m=16, n=32, k=1024))
    values = whole_gemm(row, two_int8_products)
    assert accuracy.exact(accuracy.tally(row, Outputs(place=everywhere(row), values=values)).check())


def test_two_int8_products_are_not_fp32_on_reals() -> None:
    row, seen = probed(FORMS["fp32"], two_int8_products)
    assert accuracy.name_arithmetic(row, seen) != "fp32"
    assert not accuracy.real_error_fits(row, seen)


def test_more_exact_arithmetic_than_asked_is_not_named_as_asked() -> None:
    # fp32 outputs of fp64 sums err by the last rounding alone, a quarter of the band's lower end.
    assert named(FORMS["fp32"], exact_product) == "fp32-out-of-band"


def test_without_real_outputs_the_arithmetic_is_unknown() -> None:
    row = workload(FORMS["fp32"], SMALL_GEMM)
    assert accuracy.name_arithmetic(row, check(compared=100)) == "unknown"


def test_without_real_outputs_the_timed_check_does_not_fit() -> None:
    row = workload(FORMS["fp32"], SMALL_GEMM)
    assert not accuracy.real_error_fits(row, check(compared=100))


def test_a_band_gives_way_to_the_scatter_of_few_outputs() -> None:
    few, many = (accuracy.band(FORMS["bf16"], 1024, compared) for compared in (18, 100_000))
    assert few[0] < many[0] < many[1] < few[1]


def test_a_band_of_many_outputs_is_the_one_of_the_trials() -> None:
    # Four deviations of an RMS over 10^8 outputs are 0.03 %.
    assert accuracy.band(FORMS["fp16"], 1024, 10**8) == pytest.approx((180.0, 240.0), rel=3e-4)


def test_a_band_of_unrounded_sums_grows_with_their_length() -> None:
    upper = [accuracy.band(FORMS["fp32"], k, 10**8)[1] for k in (1024, 4096)]
    assert upper[1] == pytest.approx(2 * upper[0])


def test_a_band_of_rounded_outputs_does_not_grow() -> None:
    assert accuracy.band(FORMS["bf16"], 8192, 100) == accuracy.band(FORMS["bf16"], 1024, 100)


# ------------------------------------------------------------------------------------ naming integers


def named_integers(form: Form, multiply: Product) -> str:
    row = workload(form, GemmShape(m=16, n=32, k=2048))
    values = whole_gemm(row, multiply)
    return accuracy.name_arithmetic(
        row, accuracy.tally(row, Outputs(place=everywhere(row), values=values)).check()
    )


def test_int32_sums_are_named_int8() -> None:
    assert named_integers(FORMS["int8-same-sign"], exact_product) == "int8"


@pytest.mark.parametrize("multiply", [other.fp32_sum, fp32_running_sum], ids=["blas", "one-by-one"])
def test_integer_sums_in_fp32_are_named_floating_point(multiply: Product) -> None:
    assert named_integers(FORMS["int8-same-sign"], multiply) == "floating-point"


def test_zero_mean_integers_could_not_tell() -> None:
    # This is why the probe's integers have one sign.
    assert named_integers(FORMS["int8"], other.fp32_sum) == "int8"


def test_the_saturating_form_keeps_its_name() -> None:
    assert named_integers(FORMS["int8-saturating"], exact_product) == "int8-saturating"


def requantised_probe() -> Workload:
    """The probe of a form with an 8-bit output, on fewer outputs."""
    form = replace(FORMS["int8"], a="u8", out="u8")
    probe = sampling.probe_workload(workload(form, SMALL_GEMM))
    assert isinstance(probe.shape, GemmShape)
    return replace(probe, shape=replace(probe.shape, m=16, n=32))


def quantised(row: Workload, sums: np.ndarray) -> Check:
    """What is seen of these sums once they are 8-bit codes, their scale 1."""
    values = np.clip(np.rint(sums), -128, 127) + 128
    return accuracy.tally(row, Outputs(place=everywhere(row), values=values)).check()


def running_in_fp32(left: np.ndarray, right: np.ndarray, *, block: int) -> np.ndarray:
    """Sums of `block` products at a time, added to what there is: all in fp32."""
    a, b = left.astype(np.float32), right.astype(np.float32)
    total = np.zeros((a.shape[0], b.shape[1]), dtype=np.float32)
    for first in range(0, a.shape[1], block):
        total += a[:, first : first + block] @ b[first : first + block]
    return total.astype(np.float64)


def test_int32_sums_are_named_int8_behind_a_requantised_output() -> None:
    row = requantised_probe()
    assert accuracy.name_arithmetic(row, quantised(row, whole_gemm(row, exact_product))) == "int8"


@pytest.mark.parametrize("block", [1, 4, 64, 256, 1024])
def test_a_running_sum_in_fp32_is_seen_through_a_requantised_output(block: int) -> None:
    row = requantised_probe()
    sums = whole_gemm(row, partial(running_in_fp32, block=block))
    assert accuracy.name_arithmetic(row, quantised(row, sums)) == "floating-point"


@pytest.mark.parametrize("multiply", [other.fp32_sum, fp32_running_sum], ids=["blas", "one-by-one"])
def test_fp32_sums_are_seen_through_a_requantised_output(multiply: Product) -> None:
    row = requantised_probe()
    assert accuracy.name_arithmetic(row, quantised(row, whole_gemm(row, multiply))) == "floating-point"


def in_lanes(left: np.ndarray, right: np.ndarray, *, lanes: int) -> np.ndarray:
    """Sums in fp32 of every `lanes`-th product, running; the lanes are added at the end."""
    sums = [fp32_running_sum(left[:, lane::lanes], right[lane::lanes]) for lane in range(lanes)]
    return np.asarray(np.sum(sums, axis=0))


@pytest.mark.parametrize(("lanes", "name"), [(2, "floating-point"), (3, "floating-point"), (16, "int8")])
def test_three_interleaved_sums_are_still_seen_and_many_are_not(lanes: int, name: str) -> None:
    # Not caught: each of 16 lanes comes to 3.4 million only and stays exact; it takes a K 50 times as large.
    row = requantised_probe()
    sums = whole_gemm(row, partial(in_lanes, lanes=lanes))
    assert accuracy.name_arithmetic(row, quantised(row, sums)) == name


def test_zero_mean_integers_could_not_tell_behind_a_requantised_output() -> None:
    # This is why the probe's sums cancel: those of the timed operands stay exact in fp32.
    row = with_form(workload(FORMS["int8"], GemmShape(m=16, n=32, k=2048)), out="s8")
    exact, floating = (whole_gemm(row, multiply) for multiply in (exact_product, other.fp32_sum))
    assert np.array_equal(exact, floating)


@pytest.mark.parametrize("counts", [{"wrong": 1}, {"off_by_one": 1}])
def test_a_single_wrong_code_of_the_probe_is_named_floating_point(counts: dict[str, int]) -> None:
    row = requantised_probe()
    assert accuracy.name_arithmetic(row, check(compared=100, **counts)) == "floating-point"


def test_integers_of_which_none_was_compared_are_not_named_int8() -> None:
    row = workload(FORMS["int8"], SMALL_GEMM)
    assert accuracy.name_arithmetic(row, check(compared=0)) != "int8"


@pytest.mark.parametrize("k", [1024, 4096, 8192])
@pytest.mark.parametrize("block", [4, 8, 16])
def test_sums_that_tensor_cores_cut_off_stay_within_the_band_at_every_k(block: int, k: int) -> None:
    """They err to one side, and so in proportion to K."""
    random = np.random.default_rng(7)
    left, right = (other.rounded(random.uniform(-0.5, 0.5, size), 8) for size in ((24, k), (k, 24)))
    made = other.coarse_sum(left, right, bits=23, block=block, promoted=None)
    right_one = left @ right
    error = 1e6 * float(np.sqrt(((made - right_one) ** 2).sum() / (right_one**2).sum()))
    form = replace(FORMS["bf16"], out="f32")
    assert error <= accuracy.band(form, k, 5000)[1] < 190
