"""True weights in packed and quantised tensors, told by the tensors that lie beside them.

What a layer's quantised weight unpacks to follows from the shapes of its scales; the number of bits that
the configuration states is asked only where they leave it open. Shapes as these libraries write them:

- GPTQ (AutoGPTQ, GPTQModel): qweight I32 (in · bits/32, out), scales (groups, out), g_idx (in) and qzeros
  (groups, out · bits/32).
- AWQ (AutoAWQ): qweight I32 (in, out · bits/32), scales (groups, out).
- bitsandbytes: 4-bit weight of any type (bytes, 1) beside weight.absmax; 8-bit weight I8 beside SCB.
- compressed-tensors: weight_packed I32 (out, in · bits/32) beside weight_scale; U8 holds two NVFP4.
- ModelOpt NVFP4 and Quark MXFP4: weight U8 (out, in/2) beside weight_scale of one byte each (out, groups).
- BitNet: weight U8 (out/4, in) beside a single weight_scale.
- MXFP4 as in gpt-oss: x_blocks U8 (…, groups, 16) of two values each, beside x_scales (…, groups).
- MLX: weight U32 (out, in · bits/32) beside scales and biases (out, groups).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.terms import Fact, TensorGroup

# Bits that one stored element takes, where elements can hold several weights.
_WORDS = {"I32": 32, "U32": 32, "I16": 16, "U16": 16, "U8": 8, "I8": 8}
_BITS = (2, 3, 4, 5, 6, 8)
# Weights that share one absmax (bitsandbytes), and one scale of a byte in NVFP4 and MXFP4.
_ABSMAX_BLOCKS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
_FP4_BLOCKS = (16, 32)
# Bytes of one MXFP4 block, and what bitsandbytes calls a 4-bit tensor's description.
_MXFP4_BYTES = 16
_STATES_OF_4_BIT = ("quant_state.bitsandbytes__nf#", "quant_state.bitsandbytes__fp#")
_BYTE_SCALES = ("F8_E4M3", "F8_E8M0", "U8")
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
    """Whether a tensor is the `scales`, `biases`, `scale` or `x_scales` of a packed one of the same layer."""
    layer, dot, last = pattern.rpartition(".")
    prefix = layer + dot
    if last in ("scales", "biases"):
        return any(_integers(beside.get(prefix + name, ())) for name in ("qweight", "weight"))
    if last == "scale":
        weights = beside.get(f"{prefix}weight", ())
        return any(group.dtype.startswith(("F8_", "F4")) or group.dtype in ("I8", "U8") for group in weights)
    if last.endswith("_scales"):
        return f"{prefix}{last.removesuffix('scales')}blocks" in beside
    return False


def unpacked(group: TensorGroup, beside: Beside, stated: Mapping[str, Fact]) -> Unpacked | None:
    """What one tensor holds; None where it belongs to no packing scheme that is known here."""
    layer, dot, last = group.pattern.rpartition(".")
    prefix = layer + dot

    def near(name: str) -> Sequence[TensorGroup]:
        return beside.get(prefix + name, ())

    elements = group.elements
    nibbles = 2 * group.nbytes
    if (
        group.shape[-1:] == (1,)
        and any(near(f"{last}.{state}") for state in _STATES_OF_4_BIT)
        and any(_is_share(nibbles, absmax.elements) for absmax in near(f"{last}.absmax"))
    ):
        return Unpacked.exactly(nibbles)
    if group.dtype not in _WORDS or not group.shape:
        return None
    if last == "qweight" and len(group.shape) == 2:
        return _qweight(group, near("scales"), near("g_idx"), near("qzeros"), stated)
    if last == "weight_packed" and near("weight_scale"):
        if group.dtype == "U8":
            return Unpacked.exactly(2 * elements) if _is_fp4(group, near("weight_scale")) else None
        return _rows_of_words(group, near("weight_scale"), stated)
    if last.endswith("_blocks") and group.dtype == "U8" and group.shape[-1] == _MXFP4_BYTES:
        scales = near(last.removesuffix("blocks") + "scales")
        if any(scale.shape == group.shape[:-1] for scale in scales):
            return Unpacked.exactly(2 * elements)
    if last == "weight":
        if group.dtype == "U32" and near("scales"):
            return _rows_of_words(group, near("scales"), stated)
        scaled = ("SCB", "weight_scale", "weight_scale_inv", "scales", "scale")
        scales = [scale for name in scaled for scale in near(name)]
        if group.dtype in ("I8", "U8") and scales:
            return _bytes(group, scales, stated)
    return None


def most(group: TensorGroup) -> int:
    """The most weights that one tensor of integers can hold: of the narrowest width in use."""
    return group.elements * _WORDS.get(group.dtype, min(_BITS)) // min(_BITS)


def _integers(groups: Sequence[TensorGroup]) -> bool:
    return any(group.dtype in _WORDS for group in groups)


def _qweight(
    group: TensorGroup,
    scales: Sequence[TensorGroup],
    g_idx: Sequence[TensorGroup],
    qzeros: Sequence[TensorGroup],
    stated: Mapping[str, Fact],
) -> Unpacked:
    """GPTQ packs along the inputs, AWQ along the outputs; the scales have all outputs in either."""
    word = _WORDS[group.dtype]
    rows, columns = group.shape
    outputs = {scale.shape[-1] for scale in scales if len(scale.shape) == 2}
    if columns in outputs:
        inputs = {index.shape[0] for index in g_idx if len(index.shape) == 1}
        # Zero points are packed as the weights are, along the outputs: they tell the width once more.
        zeros = {zero.shape[-1] * word for zero in qzeros if len(zero.shape) == 2}
        inputs |= {rows * word // (bits // columns) for bits in zeros if _is_width(bits, columns)}
        fitting = {count for count in inputs if _is_width(rows * word, count)}
        return _one_of({count * columns for count in fitting}) or _by_bits(group, word, stated)
    fitting = {count for count in outputs if _is_width(columns * word, count)}
    return _one_of({rows * count for count in fitting}) or _by_bits(group, word, stated)


def _rows_of_words(group: TensorGroup, scales: Sequence[TensorGroup], stated: Mapping[str, Fact]) -> Unpacked:
    """Rows of packed words whose scales (…, groups) tell the inputs, if it is known how many share one."""
    word = _WORDS[group.dtype]
    share = _number(stated, "quantisation-group")
    packed = group.shape[-1] * word
    rows = group.shape[:-1]
    inputs = {scale.shape[-1] * share for scale in scales if scale.shape and scale.shape[:-1] == rows}
    fitting = {count for count in inputs if _is_width(packed, count)}
    return _one_of({group.elements // group.shape[-1] * count for count in fitting}) or _by_bits(
        group, word, stated
    )


def _bytes(group: TensorGroup, scales: Sequence[TensorGroup], stated: Mapping[str, Fact]) -> Unpacked:
    """Bytes of one 8-bit weight, of two in four bits each, or of four of BitNet's."""
    if _is_fp4(group, [scale for scale in scales if scale.dtype in _BYTE_SCALES]):
        return Unpacked.exactly(2 * group.elements)
    if group.dtype == "I8":
        return Unpacked.exactly(group.elements)
    method = stated.get("quantisation")
    if method is not None and method.value == "bitnet" and all(scale.elements == 1 for scale in scales):
        return Unpacked.exactly(4 * group.elements)
    return Unpacked(low=group.elements, high=most(group))


def _is_fp4(group: TensorGroup, scales: Sequence[TensorGroup]) -> bool:
    """Whether scales of blocks that fp4 has say that each byte of a row holds two weights."""
    rows, columns = group.shape[:-1], 2 * group.shape[-1]
    shapes = [scale.shape for scale in scales if scale.shape and scale.shape[:-1] == rows]
    return any(shape[-1] * block == columns for shape in shapes for block in _FP4_BLOCKS)


def _is_share(weights: int, scales: int) -> bool:
    """Whether there are as many scales as weights in blocks of a size that is in use need."""
    return any(-(-weights // block) == scales for block in _ABSMAX_BLOCKS)


def _is_width(bits: int, count: int) -> bool:
    """Whether `count` weights fill exactly so many bits, at a width that is in use."""
    return count > 0 and bits % count == 0 and bits // count in _BITS


def _one_of(candidates: set[int]) -> Unpacked | None:
    return Unpacked(low=min(candidates), high=max(candidates)) if candidates else None


def _by_bits(group: TensorGroup, word: int, stated: Mapping[str, Fact]) -> Unpacked:
    """By the stated width; else between the widest and the narrowest in use."""
    bits = _number(stated, "quantisation-bits")
    if bits in _BITS:
        return Unpacked.exactly(group.elements * word // bits)
    return Unpacked(low=group.elements * word // max(_BITS), high=most(group))


def _number(stated: Mapping[str, Fact], name: str) -> int:
    fact = stated.get(name)
    return fact.value if fact is not None and type(fact.value) is int else 0
