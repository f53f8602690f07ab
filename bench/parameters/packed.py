"""True weights in packed and quantised tensors, told by the tensors that lie beside them.

What a layer's quantised weight unpacks to follows from the shapes of its scales; the number of bits that
the configuration states is asked only where they leave it open. Shapes as these libraries write them:

- GPTQ (AutoGPTQ, GPTQModel): qweight I32 (in · bits/32, out), scales (groups, out), g_idx (in).
- AWQ (AutoAWQ): qweight I32 (in, out · bits/32), scales (groups, out).
- bitsandbytes: 4-bit weight U8 (n/2, 1) beside weight.absmax; 8-bit weight I8 beside SCB.
- compressed-tensors: weight_packed I32 (out, in · bits/32) beside weight_scale; U8 holds two NVFP4.
- MXFP4 as in gpt-oss: x_blocks U8 (…, groups, 16) of two values each, beside x_scales (…, groups).
- MLX: weight U32 (out, in · bits/32) beside scales and biases (out, groups).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.terms import Fact, TensorGroup

# Bits that one stored element takes, where elements can hold several weights.
_WORDS = {"I32": 32, "U32": 32, "I16": 16, "U16": 16, "U8": 8, "I8": 8}
_BITS = (2, 3, 4, 5, 6, 8)
_FLOATS = ("F64", "F32", "F16", "BF16", "C64", "C128")

Beside = Mapping[str, Sequence[TensorGroup]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """True weights in one tensor: between `low` and `high`, which differ where the files leave it open."""

    low: int
    high: int

    @classmethod
    def exactly(cls, weights: int) -> "Unpacked":
        return cls(low=weights, high=weights)


def is_float(dtype: str) -> bool:
    """Whether an element is one floating-point number (and not a part of a packed one)."""
    return dtype in _FLOATS or dtype.startswith(("F8_", "F6_", "F4"))


def by_pattern(groups: Sequence[TensorGroup]) -> Beside:
    """Groups by their name pattern, under which tensors of several shapes may lie."""
    found: dict[str, list[TensorGroup]] = {}
    for group in groups:
        found.setdefault(group.pattern, []).append(group)
    return found


def is_beside_packed(pattern: str, beside: Beside) -> bool:
    """Whether a tensor is the `scales`, `biases` or `x_scales` of a packed one of the same layer."""
    layer, _, last = pattern.rpartition(".")
    if last in ("scales", "biases"):
        return any(_integers(beside.get(f"{layer}.{name}", ())) for name in ("qweight", "weight"))
    if last.endswith("_scales"):
        return f"{layer}.{last.removesuffix('scales')}blocks".lstrip(".") in beside
    return False


def unpacked(group: TensorGroup, beside: Beside, stated: Mapping[str, Fact]) -> Unpacked | None:
    """What one tensor of an integer type holds; None where it belongs to no scheme that is known here."""
    layer, _, last = group.pattern.rpartition(".")
    prefix = f"{layer}." if layer else ""

    def near(name: str) -> Sequence[TensorGroup]:
        return beside.get(prefix + name, ())

    elements = group.elements
    if last == "qweight" and len(group.shape) == 2:
        return _qweight(group, near("scales"), near("g_idx"), stated)
    if last == "weight_packed" and near("weight_scale"):
        if group.dtype == "U8":
            return Unpacked.exactly(2 * elements)
        return _rows_of_words(group, near("weight_scale"), stated)
    if last.endswith("_blocks") and group.dtype == "U8" and near(last.removesuffix("blocks") + "scales"):
        return Unpacked.exactly(2 * elements)
    if last == "weight":
        if group.dtype == "U8" and near("weight.absmax"):
            return Unpacked.exactly(2 * elements)
        if group.dtype == "U32" and near("scales"):
            return _rows_of_words(group, near("scales"), stated)
        scaled = ("SCB", "weight_scale", "weight_scale_inv", "scales", "scale")
        if group.dtype in ("I8", "U8") and any(near(name) for name in scaled):
            return Unpacked.exactly(elements)
    return None


def _integers(groups: Sequence[TensorGroup]) -> bool:
    return any(group.dtype in _WORDS for group in groups)


def _qweight(
    group: TensorGroup,
    scales: Sequence[TensorGroup],
    g_idx: Sequence[TensorGroup],
    stated: Mapping[str, Fact],
) -> Unpacked | None:
    """GPTQ packs along the inputs, AWQ along the outputs; the scales have all outputs in either."""
    word = _WORDS.get(group.dtype)
    if word is None:
        return None
    rows, columns = group.shape
    outputs = {scale.shape[-1] for scale in scales if len(scale.shape) == 2}
    if columns in outputs:
        inputs = {index.shape[0] for index in g_idx if len(index.shape) == 1}
        fitting = {count for count in inputs if _is_width(rows * word, count)}
        return _one_of({count * columns for count in fitting}) or _by_bits(group, word, stated)
    fitting = {count for count in outputs if count > columns and _is_width(columns * word, count)}
    return _one_of({rows * count for count in fitting}) or _by_bits(group, word, stated)


def _rows_of_words(
    group: TensorGroup, scales: Sequence[TensorGroup], stated: Mapping[str, Fact]
) -> Unpacked | None:
    """Rows of packed words whose scales (…, groups) tell the inputs, if it is known how many share one."""
    word = _WORDS.get(group.dtype, 0)
    if not word or not group.shape:
        return None
    share = _number(stated, "quantisation-group")
    packed = group.shape[-1] * word
    inputs = {scale.shape[-1] * share for scale in scales if share and scale.shape[:-1] == group.shape[:-1]}
    fitting = {count for count in inputs if _is_width(packed, count)}
    return _one_of({group.elements // group.shape[-1] * count for count in fitting}) or _by_bits(
        group, word, stated
    )


def _is_width(bits: int, count: int) -> bool:
    """Whether `count` weights fill exactly so many bits, at a width that is in use."""
    return count > 0 and bits % count == 0 and bits // count in _BITS


def _one_of(candidates: set[int]) -> Unpacked | None:
    return Unpacked(low=min(candidates), high=max(candidates)) if candidates else None


def _by_bits(group: TensorGroup, word: int, stated: Mapping[str, Fact]) -> Unpacked:
    """By the stated width; else between 8-bit and 4-bit weights, the widths that are common."""
    bits = _number(stated, "quantisation-bits")
    if bits in _BITS:
        return Unpacked.exactly(group.elements * word // bits)
    return Unpacked(low=group.elements * word // 8, high=group.elements * word // 4)


def _number(stated: Mapping[str, Fact], name: str) -> int:
    fact = stated.get(name)
    return fact.value if fact is not None and type(fact.value) is int and fact.value > 0 else 0
