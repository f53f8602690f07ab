"""`--claim params=3B`: a stated number of parameters, and what its spelling leaves open.

Names of models are rounded: "7B" is said of 6.74 and of 7.24 billion. So a claim stands for half a unit of
its last digit on either side, and where that digit is a zero for two percent at least ("560M" is said of
559.2 million). An exact number has no unit: "params=1235814400".
"""

import re
from decimal import Decimal

from bench.errors import UsageError
from bench.terms import ParameterClaim

_SCALE = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_CLAIM = re.compile(r"params=(?P<number>[0-9]{1,16}(?:\.[0-9]{1,9})?)\s*(?P<unit>[KMBT]?)", re.I | re.A)
_LARGEST = 10**15
_ROUNDED_SHARE = Decimal("0.02")


def parse_claim(text: str) -> ParameterClaim:
    """`"params=3B"` as 2.5 to 3.5 billion. Raises UsageError with what to type."""
    match = _CLAIM.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"cannot read the claim {text!r}: expected params=NUMBER with K, M, B or T, "
            "for example --claim params=3B (8x7B: all parameters of all experts, 46.7B)."
        )
    number, scale = Decimal(match["number"]), _SCALE[match["unit"].upper()]
    value = number * scale
    if not 1 <= value <= _LARGEST or value != int(value):
        raise UsageError(f"a claim is a whole number of parameters up to 1000T, got {text.strip()}.")
    half = _half_width(match["number"], scale)
    return ParameterClaim(
        text=text.strip(),
        value=int(value),
        low=max(1, int(value - half)),
        high=int(value + half),
    )


def _half_width(number: str, scale: int) -> Decimal:
    if scale == 1:
        return Decimal(0)
    digits = Decimal(number)
    half = Decimal(1).scaleb(int(digits.as_tuple().exponent)) * scale / 2
    return max(half, digits * scale * _ROUNDED_SHARE) if number.endswith("0") else half
