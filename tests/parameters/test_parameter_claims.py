"""A stated number of parameters, and the interval that its spelling leaves open."""

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.parameters.claims import parse_claim


@pytest.mark.parametrize(
    ("text", "value", "low", "high"),
    [
        ("params=3B", 3_000_000_000, 2_500_000_000, 3_500_000_000),
        ("params=3b", 3_000_000_000, 2_500_000_000, 3_500_000_000),
        ("PARAMS=3B", 3_000_000_000, 2_500_000_000, 3_500_000_000),
        ("  params=3 B ", 3_000_000_000, 2_500_000_000, 3_500_000_000),
        ("params=0.5b", 500_000_000, 450_000_000, 550_000_000),
        ("params=560M", 560_000_000, 548_800_000, 571_200_000),
        ("params=46.7B", 46_700_000_000, 46_650_000_000, 46_750_000_000),
        ("params=70B", 70_000_000_000, 68_600_000_000, 71_400_000_000),
        ("params=10B", 10_000_000_000, 9_500_000_000, 10_500_000_000),
        ("params=3.0B", 3_000_000_000, 2_940_000_000, 3_060_000_000),
        ("params=125K", 125_000, 124_500, 125_500),
        ("params=1.501K", 1501, 1500, 1501),
        ("params=0.001K", 1, 1, 1),
        ("params=1T", 10**12, 5 * 10**11, 15 * 10**11),
        ("params=1000T", 10**15, 98 * 10**13, 102 * 10**13),
        ("params=1235814400", 1_235_814_400, 1_235_814_400, 1_235_814_400),
        ("params=3", 3, 3, 3),
        ("params=1000000000000000", 10**15, 10**15, 10**15),
    ],
)
def test_a_claim_stands_for_what_is_rounded_to_it(text: str, value: int, low: int, high: int) -> None:
    claim = parse_claim(text)
    assert (claim.text, claim.value, claim.low, claim.high) == (text.strip(), value, low, high)


@pytest.mark.parametrize(
    ("text", "published"),
    [
        ("7B", 6_738_415_616),
        ("7B", 7_241_732_096),
        ("8B", 8_030_261_248),
        ("560M", 559_214_592),
        ("0.5B", 494_032_768),
        ("70B", 68_976_648_192),
        ("46.7B", 46_702_792_704),
        ("671B", 671_026_419_200),
        ("1235814400", 1_235_814_400),
    ],
)
def test_the_names_of_published_models_hold_their_numbers(text: str, published: int) -> None:
    claim = parse_claim(f"params={text}")
    assert claim.low <= published <= claim.high


@pytest.mark.parametrize(
    ("text", "published"),
    [("3B", 3_500_000_001), ("3B", 2_499_999_999), ("1.2B", 1_250_000_001), ("70B", 68_599_999_999)],
)
def test_a_claim_ends_where_rounding_does(text: str, published: int) -> None:
    claim = parse_claim(f"params={text}")
    assert not claim.low <= published <= claim.high


@pytest.mark.parametrize(
    "text",
    [
        *("", "3B", "params", "params=", "params=B", "params=8x7B", "params=-1B", "params=+1B"),
        *("params=1e9", "params=1,000", "params=1_000", "params=.5B", "params=5.B", "params=1.2.3B"),
        *("params=3BB", "params=3G", "params=NaN", "params=inf", "params=3B params=4B", "params=3B\nx"),
        *("params=٣B", "params=３B", "params=3\u212a", "param\u017f=3B", "params=3\u00a0B", "params=²B"),
        *("params=12345678901234567", "params=0.1234567890B", "params=\x00"),
    ],
)
def test_what_is_no_claim_is_refused_with_what_to_type(text: str) -> None:
    with pytest.raises(UsageError, match="expected params=NUMBER with K, M, B or T, for example --claim"):
        parse_claim(text)


@pytest.mark.parametrize(
    "text",
    [
        *("params=0", "params=0B", "params=0.0M", "params=1.5", "params=0.5", "params=0.0001K"),
        *("params=1001T", "params=9999999999999999T", "params=1000000000000001"),
    ],
)
def test_a_claim_is_a_whole_number_of_one_to_a_thousand_trillion(text: str) -> None:
    with pytest.raises(UsageError, match="a whole number of parameters up to 1000T, got params="):
        parse_claim(text)


UNITS = st.sampled_from(["", "K", "M", "B", "T", "k", "b"])


@settings(deadline=None)
@given(number=st.decimals(min_value=0, max_value=10**6, places=3), unit=UNITS)
def test_the_interval_holds_the_value(number: Decimal, unit: str) -> None:
    try:
        claim = parse_claim(f"params={number}{unit}")
    except UsageError:
        return
    assert 1 <= claim.low <= claim.value <= claim.high
    assert claim.high - claim.low <= max(claim.value, 1)


@settings(deadline=None)
@given(text=st.text(max_size=30))
def test_any_text_is_a_claim_or_refused(text: str) -> None:
    for claimed in (text, f"params={text}", f"params=3{text}"):
        try:
            parse_claim(claimed)
        except UsageError:
            continue


@settings(deadline=None)
@given(
    parameters=st.integers(min_value=1000, max_value=10**14),
    digits=st.integers(min_value=1, max_value=6),
    unit=st.sampled_from(["K", "M", "B"]),
)
def test_a_number_rounded_and_claimed_is_held_by_its_claim(parameters: int, digits: int, unit: str) -> None:
    exact = Decimal(parameters) / {"K": 10**3, "M": 10**6, "B": 10**9}[unit]
    step = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    rounded = exact.quantize(step, ROUND_HALF_EVEN)
    if step > 1 or exact.adjusted() - digits + 1 < -9:
        return
    try:
        claim = parse_claim(f"params={rounded:f}{unit}")
    except UsageError:
        # Fractions of one parameter.
        assert rounded * {"K": 10**3, "M": 10**6, "B": 10**9}[unit] % 1
        return
    assert claim.low <= parameters <= claim.high
