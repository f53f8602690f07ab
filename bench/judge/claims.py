"""The one claim grammar: `--claim PRECISION=RATE[,dense|sparse][,ENGINE[+ENGINE...]]`.

A typed claim is somebody's word. It is compared with what was delivered, and it never meets a tier. A format
that vendors declare and nobody measures here (int4) is taken down as it is said, and compared with nothing.
"""

import math
import re
from typing import get_args

from bench.errors import UsageError
from bench.precision import DECLARABLE, DECLARED_ONLY, PRECISIONS, comparable_precision
from bench.terms import Claim, Density
from bench.units import parse_rate

ENGINES = ("cpu", "gpu", "npu", "dla")

# The rate may hold commas between digits (1,000TFLOPS); the words that follow it start after a unit.
_CLAIM = re.compile(r"(?P<precision>[^=]*)=(?P<rate>[^=,A-Za-z]*(?:,[0-9]+)*[^=,]*)(?P<words>(?:,[^=,]*)*)")
_EXAMPLE = "Type for example --claim int8=5TOPS,dense,npu."


def parse_claim(text: str) -> Claim:
    """`"int8=5TOPS,dense,npu"` as a Claim; raises UsageError with what was got, known, and to type."""
    match = _CLAIM.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"cannot read the claim {text!r}: expected PRECISION=RATE. {_EXAMPLE}")
    precision = match["precision"].strip().lower()
    ops_per_s = _rate(match["rate"], precision, _unit(precision))
    density, engines = _words([word.strip().lower() for word in match["words"].split(",")[1:]], text)
    return Claim(precision=precision, ops_per_s=ops_per_s, density=density, engines=engines)


def _unit(precision: str) -> str:
    if precision not in DECLARABLE:
        raise UsageError(
            f"unknown precision {precision!r} in the claim: known are {', '.join(PRECISIONS)}; and, compared "
            f"with nothing, {', '.join(DECLARED_ONLY)}. {_EXAMPLE}"
        )
    return comparable_precision(precision).unit


def _rate(text: str, precision: str, expected: str) -> float:
    ops_per_s, unit = parse_rate(text)
    if unit != expected[1:]:
        mended = re.sub(r"(FLOPS|FLOP/S|OPS)$", expected[1:], text.strip(), flags=re.I)
        raise UsageError(
            f"a claim in {precision} is counted in {expected}, got {text.strip()}. "
            f"Type --claim {precision}={mended}."
        )
    if not (ops_per_s > 0 and math.isfinite(ops_per_s)):
        raise UsageError(f"a claim is a positive rate, got {text.strip()}. {_EXAMPLE}")
    return ops_per_s


def _words(words: list[str], text: str) -> tuple[Density, tuple[str, ...]]:
    """What follows the rate: at most one density and one group of engines, in any order."""
    densities = [word for word in get_args(Density) if word in words]
    groups = [tuple(word.split("+")) for word in words if word not in get_args(Density)]
    unknown = [engine for group in groups for engine in group if engine not in ENGINES]
    if unknown:
        known = ", ".join((*get_args(Density), *ENGINES))
        raise UsageError(f"unknown word {unknown[0]!r} in the claim {text!r}: known are {known}. {_EXAMPLE}")
    if len(words) != len(set(words)) or len(densities) > 1 or len(groups) > 1:
        raise UsageError(
            f"the claim {text!r} names a density or its engines twice: one of each, "
            "engines that work together joined by + (gpu+npu)."
        )
    return (densities[0] if densities else "unstated"), (groups[0] if groups else ())
