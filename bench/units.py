"""The one place where SI base units (op/s, s, B) meet the scaled units that people read and type."""

import re
from decimal import Decimal

from bench.errors import UsageError

NS_PER_S = 1_000_000_000
TERA = 10**12

# Decimal prefixes of a rate. TFLOPS is floating point, TOPS integers; the letter case is the data
# sheets' own and is not enforced on what people type.
_PREFIX = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}
# A comma separates whole thousands and nothing else: "1,5" would be read as 15.
_NUMBER = r"(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9][0-9_]{0,30})(?:\.[0-9]+)?)"
_RATE = re.compile(_NUMBER + r"\s*(?P<prefix>[KMGTPE]?)(?P<unit>FLOPS|FLOP/S|OPS)", re.I)


def parse_rate(text: str) -> tuple[float, str]:
    """`"48TFLOPS"` -> (48e12, "FLOPS"); raises UsageError for anything else.

    The unit is returned beside the value because TFLOPS and TOPS are different quantities.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"cannot read the rate {text!r}: expected a number with a unit such as 48TFLOPS or 5TOPS."
        )
    number = Decimal(match["number"].replace(",", "").replace("_", ""))
    unit = "OPS" if match["unit"].upper() == "OPS" else "FLOPS"
    return float(number * _PREFIX[match["prefix"].upper()]), unit


def scaled(ops_per_s: float, unit: str) -> tuple[float, str]:
    """A rate in op/s with the prefix that leaves one to three digits before the point.

    `unit` is "TFLOPS" or "TOPS" and only says which family of names is used.
    """
    family = unit[1:]
    for prefix in ("E", "P", "T", "G", "M", "K"):
        if abs(ops_per_s) >= _PREFIX[prefix]:
            return ops_per_s / _PREFIX[prefix], prefix + family
    return ops_per_s, family


def format_rate(ops_per_s: float, unit: str) -> str:
    """Four significant digits and the unit, for example `"38.20 TFLOPS"`."""
    # Rounded first, so that 999.96 GFLOPS becomes 1.000 TFLOPS and not 1000.0 GFLOPS.
    value, name = scaled(float(f"{ops_per_s:.4g}"), unit)
    digits = max(0, 4 - len(str(int(abs(value)))))
    return f"{value:.{digits}f} {name}"


def format_count(count: int) -> str:
    """Three significant digits in words: `"8.03 billion"`."""
    for scale, word in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if count >= scale:
            return f"{float(f'{count / scale:.3g}'):g} {word}"
    return f"{count:,}"


def format_bytes(count: float) -> str:
    """Decimal multiples: `"2.1 GB"` is 2.1e9 bytes."""
    for prefix in ("T", "G", "M", "K"):
        if count >= _PREFIX[prefix]:
            return f"{count / _PREFIX[prefix]:.1f} {'k' if prefix == 'K' else prefix}B"
    return f"{count:.0f} B"


def format_seconds(seconds: float) -> str:
    """`"2 min 05 s"`, or `"12 s"` below a minute."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def parse_seconds(text: str) -> float:
    """`"600s"`, `"10min"` or `"90"` -> seconds; raises UsageError for anything else."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)\s*(s|min|m|h)?", text.strip())
    if match is None:
        raise UsageError(f"cannot read the time {text!r}: expected for example 120s or 2min.")
    return float(match[1]) * {"s": 1, None: 1, "m": 60, "min": 60, "h": 3600}[match[2]]


def parse_share(text: str) -> float:
    """`"5%"` or `"0.05"` -> 0.05, not bounded above; raises UsageError for anything else."""
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*(%?)", text.strip())
    if match is None:
        raise UsageError(f"cannot read the share {text!r}: expected for example 5% or 0.05.")
    return float(match[1]) / 100 if match[2] else float(match[1])
