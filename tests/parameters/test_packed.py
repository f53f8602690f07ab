"""One model in every packed layout that is read: each file holds as many parameters as the fp32 original.

The layouts are those that the libraries named in bench/parameters/packed.py document; what is packed here
is unpacked again, GGUF's blocks by the gguf library.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.judge import catalog
from bench.parameters import model
from bench.parameters.conclusion import conclude
from bench.terms import Count

LAYERS, HIDDEN, INNER, KV, VOCABULARY = 2, 128, 256, 64, 512
LINEAR = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (KV, HIDDEN),
    "self_attn.v_proj": (KV, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}
PACKED = LAYERS * sum(rows * columns for rows, columns in LINEAR.values())
NONCE = "3c" * 32

Ints = np.ndarray[Any, np.dtype[Any]]
Tensors = dict[str, torch.Tensor]
# From a layer's name and its integers (outputs, inputs) to the tensors that stand for it.
Pack = Callable[[str, Ints], Tensors]
Unpack = Callable[[Tensors, str], Ints]


def others() -> Tensors:
    """What a quantised model keeps in floating point."""
    random = torch.Generator().manual_seed(1)
    kept = {
        "model.embed_tokens.weight": torch.randn(VOCABULARY, HIDDEN, generator=random),
        "lm_head.weight": torch.randn(VOCABULARY, HIDDEN, generator=random),
        "model.norm.weight": torch.randn(HIDDEN, generator=random),
    }
    for i in range(LAYERS):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            kept[f"model.layers.{i}.{norm}.weight"] = torch.randn(HIDDEN, generator=random)
        kept[f"model.layers.{i}.self_attn.q_proj.bias"] = torch.randn(HIDDEN, generator=random)
    return kept


TRUE = PACKED + sum(tensor.numel() for tensor in others().values())


def linear_layers(bits: int) -> dict[str, Ints]:
    random = np.random.default_rng(bits)
    return {
        f"model.layers.{i}.{name}": random.integers(0, 2**bits, shape, dtype=np.uint32)
        for i in range(LAYERS)
        for name, shape in LINEAR.items()
    }


def counted(path: Path) -> Count:
    read = model.read(path, nonce=NONCE, covers="full")
    found = conclude(read, None, catalog.rules("tw-ai-hardware-2024")).count
    assert found is not None
    return found


def written(
    folder: Path, bits: int, pack: Pack, unpack: Unpack, config: Mapping[str, object] | None = None
) -> Count:
    """The model packed, written, held against what was packed, and counted."""
    layers = linear_layers(bits)
    tensors = others()
    for name, ints in layers.items():
        tensors |= {key: value.clone().contiguous() for key, value in pack(name, ints).items()}
    save_file(tensors, folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    back = load_file(folder / "model.safetensors")
    for name, ints in layers.items():
        assert np.array_equal(unpack(back, name), ints)
    return counted(folder)


def exact(count: Count) -> int:
    assert count.doubts == ()
    assert count.low == count.high
    return count.high


# ------------------------------------------------------------------------------------- packing bits


def words(ints: Ints, bits: int) -> Ints:
    """Each row as a stream of bits, the lowest first, in 32-bit words."""
    stream = (ints[..., None] >> np.arange(bits, dtype=np.uint32)) & 1
    packed = np.packbits(stream.reshape(*ints.shape[:-1], -1).astype(np.uint8), axis=-1, bitorder="little")
    return packed.view(np.uint32)


def ints_of(packed: Ints, bits: int) -> Ints:
    stream = np.unpackbits(np.ascontiguousarray(packed).view(np.uint8), axis=-1, bitorder="little")
    places = stream.reshape(*stream.shape[:-1], -1, bits).astype(np.uint32)
    return (places << np.arange(bits, dtype=np.uint32)).sum(-1, dtype=np.uint32)


def i32(array: Ints) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array).view(np.int32))


def nibbles(ints: Ints) -> torch.Tensor:
    """Two to a byte, the first in the lower half."""
    return torch.from_numpy((ints[..., 0::2] | ints[..., 1::2] << 4).astype(np.uint8))


def ints_of_nibbles(packed: torch.Tensor) -> Ints:
    array = packed.numpy().astype(np.uint32)
    return np.stack([array & 15, array >> 4], -1).reshape(*array.shape[:-1], -1)


def scales(*shape: int, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(2)).to(dtype)


def config(method: str, bits: int, group: int) -> dict[str, object]:
    return {"quantization_config": {"quant_method": method, "bits": bits, "group_size": group}}


# ------------------------------------------------------------------------------------------ originals


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_a_model_in_floating_point_holds_its_elements(tmp_path: Path, dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(3)
    layers = {
        f"model.layers.{i}.{name}.weight": torch.randn(*shape, generator=random).to(dtype)
        for i in range(LAYERS)
        for name, shape in LINEAR.items()
    }
    save_file(others() | layers, tmp_path / "model.safetensors")
    assert exact(counted(tmp_path)) == TRUE


# ----------------------------------------------------------------------------------------- GPTQ, AWQ


def gptq(bits: int, beside: tuple[str, ...], group: int = 32) -> Pack:
    def pack(name: str, ints: Ints) -> Tensors:
        outputs, inputs = ints.shape
        zeros = np.full((inputs // group, outputs), 2 ** (bits - 1) - 1, np.uint32)
        all_of = {
            "g_idx": torch.arange(inputs, dtype=torch.int32) // group,
            "qzeros": i32(words(zeros, bits)),
        }
        return {
            f"{name}.qweight": i32(words(ints, bits).T),
            f"{name}.scales": scales(inputs // group, outputs),
            **{f"{name}.{key}": all_of[key] for key in beside},
        }

    return pack


def from_gptq(bits: int) -> Unpack:
    return lambda tensors, name: ints_of(tensors[f"{name}.qweight"].numpy().view(np.uint32).T, bits)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("beside", [("g_idx", "qzeros"), ("g_idx",), ("qzeros",)])
def test_gptq_needs_no_configuration(tmp_path: Path, bits: int, beside: tuple[str, ...]) -> None:
    count = written(tmp_path, bits, gptq(bits, beside), from_gptq(bits))
    assert exact(count) == TRUE
    assert {part.role: part.parameters for part in count.parts if part.role not in ("weight", "scale")} == {
        "embedding": VOCABULARY * HIDDEN,
        "head": VOCABULARY * HIDDEN,
        **({"zero-point": 0} if "qzeros" in beside else {}),
        **({"index": 0} if "g_idx" in beside else {}),
    }


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gptq_by_the_stated_bits_where_its_tensors_leave_them_open(tmp_path: Path, bits: int) -> None:
    assert exact(written(tmp_path, bits, gptq(bits, ()), from_gptq(bits), config("gptq", bits, 32))) == TRUE


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gptq_without_anything_that_tells_the_bits_has_two_figures(tmp_path: Path, bits: int) -> None:
    count = written(tmp_path, bits, gptq(bits, ()), from_gptq(bits))
    assert [doubt.code for doubt in count.doubts] == ["packed-width-open"]
    assert count.low <= TRUE <= count.high
    assert count.low == TRUE - PACKED + PACKED * bits // 8
    assert count.high == TRUE - PACKED + PACKED * bits // 2


def test_stated_bits_do_not_outdo_the_tensors(tmp_path: Path) -> None:
    count = written(tmp_path, 8, gptq(8, ("g_idx",)), from_gptq(8), config("gptq", 2, 32))
    assert exact(count) == TRUE


AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def awq(name: str, ints: Ints) -> Tensors:
    outputs, inputs = ints.shape
    ordered = ints.T.reshape(inputs, -1, 8)[..., AWQ_ORDER].reshape(inputs, outputs)
    return {
        f"{name}.qweight": i32(words(ordered, 4)),
        f"{name}.qzeros": i32(words(np.full((inputs // 64, outputs), 7, np.uint32), 4)),
        f"{name}.scales": scales(inputs // 64, outputs),
    }


def from_awq(tensors: Tensors, name: str) -> Ints:
    ordered = ints_of(tensors[f"{name}.qweight"].numpy().view(np.uint32), 4)
    inputs, outputs = ordered.shape
    return ordered.reshape(inputs, -1, 8)[..., np.argsort(AWQ_ORDER)].reshape(inputs, outputs).T


@pytest.mark.parametrize("stated", [None, config("awq", 4, 64)])
def test_awq(tmp_path: Path, stated: dict[str, object] | None) -> None:
    assert exact(written(tmp_path, 4, awq, from_awq, stated)) == TRUE


# ---------------------------------------------------------------------------------------- bitsandbytes


def bnb_4bit(nested: bool, storage: torch.dtype) -> Pack:
    def pack(name: str, ints: Ints) -> Tensors:
        flat = ints.reshape(-1)
        packed = torch.from_numpy((flat[0::2] << 4 | flat[1::2]).astype(np.uint8)).view(storage)
        blocks = len(flat) // 64
        tensors = {
            f"{name}.weight": packed.reshape(-1, 1),
            f"{name}.weight.absmax": scales(blocks, dtype=torch.float32),
            f"{name}.weight.quant_map": scales(16, dtype=torch.float32),
            f"{name}.weight.quant_state.bitsandbytes__nf4": torch.tensor(list(b'{"blocksize": 64}')).byte(),
        }
        if nested:
            tensors[f"{name}.weight.absmax"] = torch.arange(blocks).remainder(251).byte()
            tensors[f"{name}.weight.nested_absmax"] = scales(-(-blocks // 256), dtype=torch.float32)
            tensors[f"{name}.weight.nested_quant_map"] = scales(256, dtype=torch.float32)
        return tensors

    return pack


def from_bnb_4bit(tensors: Tensors, name: str) -> Ints:
    array = tensors[f"{name}.weight"].view(torch.uint8).reshape(-1).numpy().astype(np.uint32)
    shape = LINEAR[name.split(".", 3)[3]]
    return np.stack([array >> 4, array & 15], -1).reshape(shape)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("storage", [torch.uint8, torch.bfloat16, torch.float32])
def test_bitsandbytes_in_4_bit(tmp_path: Path, nested: bool, storage: torch.dtype) -> None:
    """The storage type can be any: bnb_4bit_quant_storage of transformers."""
    assert exact(written(tmp_path, 4, bnb_4bit(nested, storage), from_bnb_4bit)) == TRUE


def test_an_absmax_that_fits_no_block_size_packs_nothing(tmp_path: Path) -> None:
    def pack(name: str, ints: Ints) -> Tensors:
        whole = bnb_4bit(False, torch.float32)(name, ints)
        return whole | {f"{name}.weight.absmax": scales(3, dtype=torch.float32)}

    assert exact(written(tmp_path, 4, pack, from_bnb_4bit)) == TRUE - PACKED + PACKED // 8


def plain(suffix: str, scale: Callable[[Ints], torch.Tensor], **more: torch.Tensor) -> Pack:
    """8-bit weights, one in each element."""

    def pack(name: str, ints: Ints) -> Tensors:
        weight = torch.from_numpy(ints.astype(np.uint8).view(np.int8))
        return {
            f"{name}.weight": weight,
            f"{name}.{suffix}": scale(ints),
            **{f"{name}.{key}": value for key, value in more.items()},
        }

    return pack


def from_plain(tensors: Tensors, name: str) -> Ints:
    return tensors[f"{name}.weight"].view(torch.uint8).numpy().astype(np.uint32)


def test_bitsandbytes_in_8_bit(tmp_path: Path) -> None:
    pack = plain("SCB", lambda ints: scales(len(ints)), weight_format=torch.tensor(0, dtype=torch.uint8))
    assert exact(written(tmp_path, 8, pack, from_plain)) == TRUE


@pytest.mark.parametrize("suffix", ["weight_scale", "weight_scale_inv", "scale", "scales"])
def test_int8_with_scales(tmp_path: Path, suffix: str) -> None:
    pack = plain(suffix, lambda ints: scales(len(ints), 1))
    assert exact(written(tmp_path, 8, pack, from_plain)) == TRUE


# --------------------------------------------------------------------------------- compressed-tensors


def compressed(bits: int, group: int) -> Pack:
    def pack(name: str, ints: Ints) -> Tensors:
        outputs, inputs = ints.shape
        return {
            f"{name}.weight_packed": i32(words(ints, bits)),
            f"{name}.weight_scale": scales(outputs, inputs // group if group > 0 else 1),
            f"{name}.weight_shape": torch.tensor([outputs, inputs]),
        }

    return pack


def from_compressed(bits: int) -> Unpack:
    return lambda tensors, name: ints_of(tensors[f"{name}.weight_packed"].numpy().view(np.uint32), bits)


def compressed_config(bits: int | None, group: int | None) -> dict[str, object]:
    weights = {"num_bits": bits, "group_size": group}
    return {
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "config_groups": {"group_0": {"weights": weights}},
        }
    }


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group", [32, -1])
def test_compressed_tensors_packed_integers(tmp_path: Path, bits: int, group: int) -> None:
    stated = compressed_config(bits, group)
    assert exact(written(tmp_path, bits, compressed(bits, group), from_compressed(bits), stated)) == TRUE


@pytest.mark.parametrize("bits", [4, 8])
def test_the_scales_outdo_stated_bits(tmp_path: Path, bits: int) -> None:
    stated = compressed_config(2, 32)
    assert exact(written(tmp_path, bits, compressed(bits, 32), from_compressed(bits), stated)) == TRUE


def test_compressed_tensors_without_configuration_has_two_figures(tmp_path: Path) -> None:
    count = written(tmp_path, 4, compressed(4, 32), from_compressed(4))
    assert count.low < TRUE < count.high
    assert count.low == TRUE - PACKED // 2


# ------------------------------------------------------------------------------------------ 4-bit floats


def nvfp4_compressed(name: str, ints: Ints) -> Tensors:
    outputs, inputs = ints.shape
    return {
        f"{name}.weight_packed": nibbles(ints),
        f"{name}.weight_scale": scales(outputs, inputs // 16, dtype=torch.float8_e4m3fn),
        f"{name}.weight_global_scale": scales(1, dtype=torch.float32),
        f"{name}.input_global_scale": scales(1, dtype=torch.float32),
    }


def nvfp4_modelopt(name: str, ints: Ints) -> Tensors:
    outputs, inputs = ints.shape
    return {
        f"{name}.weight": nibbles(ints),
        f"{name}.weight_scale": scales(outputs, inputs // 16, dtype=torch.float8_e4m3fn),
        f"{name}.weight_scale_2": scales(1, dtype=torch.float32).reshape(()),
        f"{name}.input_scale": scales(1, dtype=torch.float32).reshape(()),
    }


def mxfp4_quark(name: str, ints: Ints) -> Tensors:
    outputs, inputs = ints.shape
    return {
        f"{name}.weight": nibbles(ints),
        f"{name}.weight_scale": torch.full((outputs, inputs // 32), 127, dtype=torch.uint8),
    }


def mxfp4_signed(name: str, ints: Ints) -> Tensors:
    outputs, inputs = ints.shape
    return {
        f"{name}.weight": nibbles(ints).view(torch.int8),
        f"{name}.scale": torch.full((outputs, inputs // 32), 127).byte().view(torch.float8_e8m0fnu),
    }


def mxfp4_blocks(name: str, ints: Ints) -> Tensors:
    outputs, inputs = ints.shape
    return {
        f"{name}_blocks": nibbles(ints).reshape(outputs, inputs // 32, 16),
        f"{name}_scales": torch.full((outputs, inputs // 32), 127, dtype=torch.uint8),
    }


@pytest.mark.parametrize(
    ("pack", "key"),
    [
        (nvfp4_compressed, ".weight_packed"),
        (nvfp4_modelopt, ".weight"),
        (mxfp4_quark, ".weight"),
        (mxfp4_signed, ".weight"),
        (mxfp4_blocks, "_blocks"),
    ],
)
def test_four_bit_floats_two_in_a_byte(tmp_path: Path, pack: Pack, key: str) -> None:
    def unpack(tensors: Tensors, name: str) -> Ints:
        packed = tensors[name + key].view(torch.uint8)
        return ints_of_nibbles(packed.reshape(len(packed), -1))

    assert exact(written(tmp_path, 4, pack, unpack)) == TRUE


@pytest.mark.parametrize("suffix", ["weight_scale", "weight_scale_inv", "scale"])
def test_fp8_with_scales(tmp_path: Path, suffix: str) -> None:
    def pack(name: str, ints: Ints) -> Tensors:
        outputs, inputs = ints.shape
        return {
            f"{name}.weight": torch.from_numpy(ints.astype(np.uint8)).view(torch.float8_e4m3fn),
            f"{name}.{suffix}": scales(-(-outputs // 128), -(-inputs // 128), dtype=torch.float32),
            f"{name}.input_scale": scales(1, dtype=torch.float32),
        }

    assert exact(written(tmp_path, 8, pack, from_plain)) == TRUE


# ----------------------------------------------------------------------------------------------- BitNet


def bitnet(name: str, ints: Ints) -> Tensors:
    """transformers' pack_weights: four rows far apart share a byte."""
    packed = sum(part << 2 * i for i, part in enumerate(np.split(ints, 4)))
    return {
        f"{name}.weight": torch.from_numpy(np.asarray(packed).astype(np.uint8)),
        f"{name}.weight_scale": scales(1, dtype=torch.bfloat16),
    }


def from_bitnet(tensors: Tensors, name: str) -> Ints:
    packed = tensors[f"{name}.weight"].numpy().astype(np.uint32)
    return np.concatenate([packed >> 2 * i & 3 for i in range(4)])


def test_bitnet_as_its_configuration_says(tmp_path: Path) -> None:
    stated = {"quantization_config": {"quant_method": "bitnet"}}
    assert exact(written(tmp_path, 2, bitnet, from_bitnet, stated)) == TRUE


def test_bytes_of_an_unknown_width_have_two_figures(tmp_path: Path) -> None:
    count = written(tmp_path, 2, bitnet, from_bitnet)
    assert [doubt.code for doubt in count.doubts] == ["packed-width-open"]
    assert (count.low, count.high) == (TRUE - PACKED + PACKED // 4, TRUE)


# -------------------------------------------------------------------------------------------------- MLX


def mlx(bits: int, group: int) -> Pack:
    def pack(name: str, ints: Ints) -> Tensors:
        outputs, inputs = ints.shape
        return {
            f"{name}.weight": torch.from_numpy(words(ints, bits)),
            f"{name}.scales": scales(outputs, inputs // group),
            f"{name}.biases": scales(outputs, inputs // group),
        }

    return pack


def from_mlx(bits: int) -> Unpack:
    return lambda tensors, name: ints_of(tensors[f"{name}.weight"].numpy(), bits)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_mlx(tmp_path: Path, bits: int) -> None:
    stated = {"quantization": {"group_size": 64, "bits": bits}}
    assert exact(written(tmp_path, bits, mlx(bits, 64), from_mlx(bits), stated)) == TRUE


def test_mlx_with_some_layers_in_other_bits_than_stated(tmp_path: Path) -> None:
    """mlx_lm keeps some layers in 6 bits beside 4: the size of a group tells them, as it is one for all."""
    stated = {"quantization": {"group_size": 64, "bits": 4}}
    assert exact(written(tmp_path, 6, mlx(6, 64), from_mlx(6), stated)) == TRUE


@pytest.mark.parametrize("bits", [3, 4, 6])
def test_mlx_without_configuration_has_two_figures(tmp_path: Path, bits: int) -> None:
    count = written(tmp_path, bits, mlx(bits, 64), from_mlx(bits))
    assert [doubt.code for doubt in count.doubts] == ["packed-width-open"]
    assert count.low < TRUE < count.high
    assert count.doubts[0].parameters == count.high - count.low


# ------------------------------------------------------------------------------------------------- GGUF

GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
GGUF_OTHERS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "lm_head.weight": "output.weight",
    "model.norm.weight": "output_norm.weight",
}


def q4_k(weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Blocks of 256: scale and minimum as F16, eight of six bits each in 12 bytes, 128 bytes of nibbles.

    Every block gets the scale 1/16, no minimum and eight scales of 1, so that the weights are n / 16.
    """
    ints = np.clip(np.round(weight * 4 + 8), 0, 15).astype(np.uint8).reshape(*weight.shape[:-1], -1, 4, 2, 32)
    head = np.array([1 / 16, 0], np.float16).view(np.uint8)
    six_bits = np.array([1] * 4 + [0] * 4 + [1] * 4, np.uint8)
    start = np.broadcast_to(np.concatenate([head, six_bits]), (*ints.shape[:-3], 16))
    halves = (ints[..., 0, :] | ints[..., 1, :] << 4).reshape(*ints.shape[:-3], 128)
    return np.concatenate([start, halves], axis=-1).reshape(*weight.shape[:-1], -1)


def quantised(weight: np.ndarray[Any, Any], kind: gguf.GGMLQuantizationType) -> np.ndarray[Any, Any]:
    if kind != gguf.GGMLQuantizationType.Q4_K:
        return gguf.quants.quantize(weight, kind)
    packed = q4_k(weight)
    expected = np.clip(np.round(weight * 4 + 8), 0, 15) / 16
    assert np.array_equal(gguf.quants.dequantize(packed, kind), expected)
    return packed


def test_gguf_holds_as_many_whatever_its_type(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    types = gguf.GGMLQuantizationType
    for kind in (types.F32, types.F16, types.BF16, types.Q8_0, types.Q4_0, types.Q5_1, types.Q4_K):
        path = tmp_path / f"model-{kind.name}.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        for name, tensor in others().items():
            bias = name.replace("model.layers", "blk").replace("self_attn.q_proj.bias", "attn_q.bias")
            known = bias.replace("input_layernorm", "attn_norm").replace(
                "post_attention_layernorm", "ffn_norm"
            )
            writer.add_tensor(GGUF_OTHERS.get(name, known), tensor.numpy())
        writer.add_tensor("rope_freqs.weight", np.ones(32, np.float32))
        for i in range(LAYERS):
            for name, (rows, columns) in LINEAR.items():
                # A block of Q4_K is 256 weights in a row.
                shape = (rows // 2, columns * 2) if columns % 256 else (rows, columns)
                weight = random.standard_normal(shape, np.float32)
                writer.add_tensor(
                    f"blk.{i}.{GGUF_NAMES[name]}.weight", quantised(weight, kind), raw_dtype=kind
                )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        count = counted(path)
        assert exact(count) == TRUE
        assert {part.role: part.tensors for part in count.parts} == {
            "weight": 1 + LAYERS * (len(LINEAR) + 3),
            "embedding": 1,
            "head": 1,
            "rotary": 1,
        }
