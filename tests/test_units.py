"""Units: what people type becomes SI base units, and figures become what people read."""

import pytest

from bench.errors import UsageError
from bench.units import (
    format_bytes,
    format_rate,
    format_seconds,
    parse_rate,
    parse_seconds,
    parse_share,
    scaled,
)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("48TFLOPS", 48e12, "FLOPS"),
        ("5TOPS", 5e12, "OPS"),
        ("5 TOPS", 5e12, "OPS"),
        ("  5 tops ", 5e12, "OPS"),
        ("0.5 PFLOPS", 5e14, "FLOPS"),
        ("1,979 TFLOPS", 1979e12, "FLOPS"),
        ("1_000GOPS", 1e12, "OPS"),
        ("1000 TFLOP/s", 1e15, "FLOPS"),
        ("33.5tflops", 33.5e12, "FLOPS"),
        ("2EFLOPS", 2e18, "FLOPS"),
        ("7MOPS", 7e6, "OPS"),
        ("7KOPS", 7e3, "OPS"),
        ("12 OPS", 12.0, "OPS"),
        ("12FLOPS", 12.0, "FLOPS"),
    ],
)
def test_a_rate_is_read_in_operations_a_second(text: str, value: float, unit: str) -> None:
    assert parse_rate(text) == (value, unit)


def test_a_decimal_rate_is_scaled_before_it_is_rounded() -> None:
    # 1.07 is no binary fraction: as a float, times 10^12, it misses 1,070,000,000,000.
    assert 1.07 * 10**12 != 1_070_000_000_000
    assert parse_rate("1.07TFLOPS")[0] == 1_070_000_000_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "48",
        "48T",
        "TFLOPS",
        "48 TB",
        "48 TFLOPS fast",
        "-48TFLOPS",
        "+48TFLOPS",
        "4e3GFLOPS",
        ".5TFLOPS",
        "5.TFLOPS",
        "1.5.5TFLOPS",
        ",5TFLOPS",
        "1,5TFLOPS",
        "1,0000TFLOPS",
        "nanTFLOPS",
        "infTFLOPS",
        "48TIFLOPS",
        "48 T FLOPS",
        "٤٨TFLOPS",
    ],
)
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="48TFLOPS") as refused:
        parse_rate(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("ops_per_s", "unit", "text"),
    [
        (38e12, "TFLOPS", "38.00 TFLOPS"),
        (38.196e12, "TFLOPS", "38.20 TFLOPS"),
        (1.2345e12, "TOPS", "1.234 TOPS"),
        (123.456e9, "TFLOPS", "123.5 GFLOPS"),
        (1e15, "TFLOPS", "1.000 PFLOPS"),
        (2.5e18, "TOPS", "2.500 EOPS"),
        (999e9, "TOPS", "999.0 GOPS"),
        (5e6, "TFLOPS", "5.000 MFLOPS"),
        (1e3, "TFLOPS", "1.000 KFLOPS"),
        (12.5, "TFLOPS", "12.50 FLOPS"),
        (0.0, "TOPS", "0.000 OPS"),
        (999.96e9, "TFLOPS", "1.000 TFLOPS"),
        (9.99996e12, "TOPS", "10.00 TOPS"),
    ],
)
def test_a_rate_is_shown_with_four_digits(ops_per_s: float, unit: str, text: str) -> None:
    assert format_rate(ops_per_s, unit) == text


@pytest.mark.parametrize(
    ("ops_per_s", "value", "unit"),
    [
        (999.0, 999.0, "FLOPS"),
        (1e3, 1.0, "KFLOPS"),
        (1e12, 1.0, "TFLOPS"),
        (999e12, 999.0, "TFLOPS"),
        (1e15, 1.0, "PFLOPS"),
        (2e21, 2000.0, "EFLOPS"),
    ],
)
def test_a_rate_gets_the_largest_prefix_that_fits(ops_per_s: float, value: float, unit: str) -> None:
    assert scaled(ops_per_s, "TFLOPS") == (value, unit)


def test_what_is_shown_is_read_back() -> None:
    assert parse_rate(format_rate(38.2e12, "TFLOPS")) == (38.2e12, "FLOPS")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (2_100_000, "2.1 MB"),
        (2.1e9, "2.1 GB"),
        (3e12, "3.0 TB"),
    ],
)
def test_bytes_are_shown_in_decimal_multiples(count: float, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (12.4, "12 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3600, "60 min 00 s")],
)
def test_seconds_are_shown_in_minutes_from_one_minute_on(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("600s", 600.0), ("10min", 600.0), ("2m", 120.0), ("1.5 h", 5400.0), (" 12 s ", 12.0)],
)
def test_a_time_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-5s", "5ms", "5 days", "1e3s", "2min 5s", "nan", "5,5s", "٥s"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="120s or 2min") as refused:
        parse_seconds(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "share"),
    [("5%", 0.05), (" 0.05 ", 0.05), ("2.5 %", 0.025), ("0", 0.0), ("100%", 1.0), ("3", 3.0)],
)
def test_a_share_is_read_as_percent_or_as_a_number(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "half", "-1%", "5%%", "5 percent", "1e-2", "1,5%", "nan"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read the share .* for example 5% or 0\.05"):
        parse_share(text)
