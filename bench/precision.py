"""The number formats a figure can be given in, one row each.

Kernels and judges ask a precision for its properties; nothing branches on its name.
"""

from dataclasses import dataclass
from typing import Literal

from bench.errors import UsageError

Kind = Literal["floating", "integer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """One number format of the operands, and the format its products are summed in.

    `significand_bits` counts the implicit leading bit; for integers it is the number of value bits.
    `unit_roundoff` is 2^-significand_bits for floating point (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd ed., section 2.1) and None for integers, which do not round.
    """

    name: str
    bits: int
    kind: Kind
    significand_bits: int
    accumulator: str

    @property
    def unit_roundoff(self) -> float | None:
        return 2.0**-self.significand_bits if self.kind == "floating" else None

    @property
    def unit(self) -> str:
        """Unit of a rate: floating-point operations are FLOPS, integer ones OPS."""
        return "TFLOPS" if self.kind == "floating" else "TOPS"


# Significands: IEEE 754-2019 table 3.5 (fp64, fp32, fp16); bfloat16 and TF32: NVIDIA A100 whitepaper
# (2020), p. 27; fp8: OCP 8-bit Floating Point Specification 1.0, table 1.
_ROWS = (
    Precision(name="fp64", bits=64, kind="floating", significand_bits=53, accumulator="fp64"),
    Precision(name="fp32", bits=32, kind="floating", significand_bits=24, accumulator="fp32"),
    Precision(name="tf32", bits=32, kind="floating", significand_bits=11, accumulator="fp32"),
    Precision(name="bf16", bits=16, kind="floating", significand_bits=8, accumulator="fp32"),
    Precision(name="fp16", bits=16, kind="floating", significand_bits=11, accumulator="fp32"),
    Precision(name="fp8_e4m3", bits=8, kind="floating", significand_bits=4, accumulator="fp32"),
    Precision(name="fp8_e5m2", bits=8, kind="floating", significand_bits=3, accumulator="fp32"),
    Precision(name="int8", bits=8, kind="integer", significand_bits=7, accumulator="int32"),
)

PRECISIONS: dict[str, Precision] = {row.name: row for row in _ROWS}

# What vendors declare figures in and nothing here measures, each with the precision whose figure would be
# comparable and whose unit it shares. "_tc" and "_mx" are matrix units' own rates, "_acc16" sums in fp16.
DECLARED_ONLY: dict[str, str] = {
    "fp64_tc": "fp64",
    "fp64_mx": "fp64",
    "fp32_mx": "fp32",
    "fp16_acc16": "fp16",
    "fp8_acc16": "fp8_e4m3",
    "fp6": "fp8_e4m3",
    "fp4": "fp8_e4m3",
    "int16": "int8",
    "int4": "int8",
    "unstated": "int8",
}
DECLARABLE = (*PRECISIONS, *DECLARED_ONLY)


def precision(name: str) -> Precision:
    """The precision called `name`; raises UsageError quoting the known ones."""
    try:
        return PRECISIONS[name]
    except KeyError:
        raise UsageError(
            f"unknown precision {name!r}: known are {', '.join(PRECISIONS)}. "
            "Type for example --precision fp32."
        ) from None


def comparable_precision(name: str) -> Precision:
    """The measured precision that a figure declared in `name` belongs beside; KeyError unless DECLARABLE."""
    return PRECISIONS[DECLARED_ONLY.get(name, name)]
