"""The claim grammar: what a vendor's word may look like, and what is said when it does not."""

import pytest

from bench.errors import UsageError
from bench.judge.claims import parse_claim


def test_a_claim_holds_precision_rate_density_and_engine() -> None:
    claim = parse_claim("int8=5TOPS,dense,npu")
    assert (claim.precision, claim.ops_per_s) == ("int8", 5e12)
    assert (claim.density, claim.engines) == ("dense", ("npu",))


def test_what_is_not_said_stays_unstated() -> None:
    claim = parse_claim("fp32=48TFLOPS")
    assert (claim.ops_per_s, claim.density, claim.engines) == (48e12, "unstated", ())


@pytest.mark.parametrize(
    "text", ["fp32=1,000TFLOPS", "FP32 = 1PFLOPS", "fp32=1_000 tflops", "fp32=1000TFLOP/S"]
)
def test_one_rate_may_be_typed_in_several_ways(text: str) -> None:
    assert parse_claim(text).ops_per_s == 1e15


def test_thousands_and_words_may_both_have_commas() -> None:
    claim = parse_claim("int8=1,321.2TOPS,sparse,gpu")
    assert (claim.ops_per_s, claim.density, claim.engines) == (1321.2e12, "sparse", ("gpu",))


def test_density_and_engines_come_in_any_order() -> None:
    assert parse_claim("int8=34TOPS,npu+gpu+cpu,dense").engines == ("npu", "gpu", "cpu")


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown precision 'int3'.*known are fp64, fp32.*int4.*Type"):
        parse_claim("int3=40TOPS")


@pytest.mark.parametrize(
    ("text", "precision", "ops_per_s"),
    [
        ("int4=40TOPS,dense,npu", "int4", 40e12),
        ("unstated=45TOPS,npu", "unstated", 45e12),
        ("fp4=2PFLOPS,sparse,gpu", "fp4", 2e15),
    ],
)
def test_a_format_that_nobody_measures_here_is_taken_down_as_it_is_said(
    text: str, precision: str, ops_per_s: float
) -> None:
    claim = parse_claim(text)
    assert (claim.precision, claim.ops_per_s) == (precision, ops_per_s)


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("int8=5TFLOPS", "--claim int8=5TOPS"),
        ("fp32=48TOPS", "--claim fp32=48TFLOPS"),
        ("int4=40TFLOPS", "--claim int4=40TOPS"),
    ],
)
def test_the_wrong_unit_is_refused_with_what_to_type(text: str, typed: str) -> None:
    with pytest.raises(UsageError, match=typed):
        parse_claim(text)


@pytest.mark.parametrize("text", ["fp32=0TFLOPS", "fp32=-1TFLOPS", f"fp32={'9' * 400}TFLOPS"])
def test_a_rate_that_is_not_positive_and_finite_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="rate"):
        parse_claim(text)


@pytest.mark.parametrize(
    "text", ["", "fp32", "48TFLOPS", "fp32=", "fp32=fast", "=48TFLOPS", "a=b=c", "fp32=48"]
)
def test_what_is_no_claim_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_claim(text)
    assert "\n" not in str(refused.value)


def test_an_unknown_word_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown word 'fast'.*known are dense, sparse, unstated, cpu"):
        parse_claim("int8=5TOPS,fast")


@pytest.mark.parametrize("text", ["int8=5TOPS,dense,sparse", "int8=5TOPS,dense,dense", "int8=5TOPS,npu,gpu"])
def test_two_densities_or_two_groups_of_engines_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="twice"):
        parse_claim(text)
