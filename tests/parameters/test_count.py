"""The count, role by role and rule by rule."""

import time
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from bench.judge import catalog
from bench.parameters import inventory, model
from bench.parameters.conclusion import conclude
from bench.parameters.count import METHOD, count
from bench.parameters.inventory import Stored
from bench.terms import ContentSample, Count, Experts, Fact, LookedAt, TensorGroup, Use

BITS = {"F64": 64, "F32": 32, "BF16": 16, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4, "U8": 8, "I8": 8, "BOOL": 8}
BITS |= {"I16": 16, "U16": 16, "I32": 32, "U32": 32, "I64": 64, "U64": 64, "Q4_K": 4}
NONCE = "3c" * 32
OTHER = "a7" * 32


def stored(
    name: str,
    *shape: int,
    dtype: str = "F32",
    use: Use | None = None,
    weights: int | None = None,
    shared: bool = False,
) -> Stored:
    return Stored(
        name=name,
        dtype=dtype,
        shape=shape,
        file="model.safetensors",
        offset=None,
        nbytes=prod(shape) * BITS[dtype] // 8,
        use=use,
        weights=weights,
        shared=shared,
    )


def looked_over(groups: Sequence[TensorGroup], seen: Iterable[LookedAt] = ()) -> ContentSample:
    """Every tensor looked at: nothing stands out but what `seen` tells of its groups."""
    found = {
        index: LookedAt(group=index, tensors=group.tensors, constant=0, repeated=0, entropy=7.9)
        for index, group in enumerate(groups)
    }
    told = found | {looked.group: looked for looked in seen}
    return ContentSample(blocks=0, block_bytes=4096, groups=tuple(told.values()))


def counted(*tensors: Stored, seen: Iterable[LookedAt] = (), **stated: int | bool | str) -> Count:
    facts = [
        Fact(name=name.replace("_", "-"), value=value, source="config.json") for name, value in stated.items()
    ]
    groups = inventory.grouped(tensors)
    return count(groups, facts, looked_over(groups, seen))


@pytest.mark.parametrize(("unseen", "doubted"), [(4, {}), (6, {"not-looked-at": 6})])
def test_more_than_a_twentieth_that_nobody_looked_at_is_in_doubt(
    unseen: int, doubted: dict[str, int]
) -> None:
    groups = inventory.grouped([stored("a.w", 100 - unseen), stored("b.w", unseen)])
    looked = ContentSample(blocks=2, block_bytes=4096, groups=looked_over(groups).groups[:1])
    found = count(groups, (), looked)
    assert doubts(found) == doubted
    assert figures(found) == (100 - sum(doubted.values()), 100)


def roles(found: Count) -> dict[str, int]:
    return {part.role: part.parameters for part in found.parts}


def figures(found: Count) -> tuple[int, int]:
    return found.low, found.high


def doubts(found: Count) -> dict[str, int]:
    return {doubt.code: doubt.parameters for doubt in found.doubts}


W = stored("layers.0.w", 10, 10)


# ------------------------------------------------------------------------------------------ one tensor


def test_nothing_is_counted_as_nothing() -> None:
    found = counted()
    assert (found.method, found.kind, figures(found), found.parts, found.types) == (
        *(METHOD, "nothing", (0, 0)),
        *((), ()),
    )


@pytest.mark.parametrize("dtype", ["F64", "F32", "BF16", "F8_E4M3", "F4"])
def test_floating_point_of_any_rank_is_weights(dtype: str) -> None:
    found = counted(
        stored("a.weight", 6, dtype=dtype), stored("b", 2, 3, 4, dtype=dtype), stored("c", dtype=dtype)
    )
    assert roles(found) == {"weight": 31}
    assert figures(found) == (31, 31)
    assert [(t.dtype, t.tensors, t.elements) for t in found.types] == [(dtype, 3, 31)]


@pytest.mark.parametrize("dtype", ["I64", "U64", "BOOL"])
def test_indices_and_masks_are_buffers(dtype: str) -> None:
    found = counted(W, stored("layers.0.table", 10, 10, dtype=dtype))
    assert roles(found) == {"weight": 100, "buffer": 0}


@pytest.mark.parametrize("dtype", ["I8", "U8", "I16", "U16", "I32", "U32"])
def test_integers_of_one_dimension_are_buffers(dtype: str) -> None:
    assert roles(counted(W, stored("layers.0.table", 100, dtype=dtype))) == {"weight": 100, "buffer": 0}


@pytest.mark.parametrize(
    ("dtype", "most"), [("I8", 4), ("U8", 4), ("I16", 8), ("U16", 8), ("I32", 16), ("U32", 16)]
)
def test_integers_in_matrices_that_nothing_explains_are_in_doubt(dtype: str, most: int) -> None:
    """They may be packed in two bits each: the upper figure holds them whatever they are."""
    found = counted(W, stored("layers.0.table", 10, 10, dtype=dtype))
    assert figures(found) == (100, 100 + 100 * most)
    assert roles(found) == {"weight": 100, "unexplained": 100 * most}
    assert doubts(found) == {"integers-unexplained": 100 * most}


@pytest.mark.parametrize("use", ["scale", "zero-point", "index", "constant"])
def test_the_formats_word_goes_before_the_name(use: Use) -> None:
    assert roles(counted(W, stored("lm_head.weight", 10, 10, use=use))) == {"weight": 100, use: 0}


def test_a_weight_by_the_formats_word_counts_whatever_its_type() -> None:
    found = counted(
        stored("model.embed_tokens.weight", 5, 8, dtype="U8", use="weight", weights=80),
        stored("x", 3, 8, dtype="I8", use="weight"),
        stored("bn.running_mean", 8, use="weight"),
    )
    assert roles(found) == {"weight": 24, "embedding": 80, "buffer": 0}
    assert figures(found) == (104, 104)


def test_the_formats_number_of_weights_goes_before_the_shape() -> None:
    found = counted(stored("blk.0.ffn_up.weight", 4, 256, dtype="Q4_K", weights=1024), stored("x", 7))
    assert figures(found) == (1031, 1031)


def test_a_shared_tensor_is_a_copy_of_another() -> None:
    found = counted(W, stored("layers.0.view", 10, 10, shared=True))
    assert roles(found) == {"weight": 100, "copy": 0}
    assert [(t.tensors, t.elements) for t in found.types] == [(1, 100)]


@pytest.mark.parametrize("dtype", ["I8", "U8"])
def test_a_number_beside_a_scale_is_no_packed_matrix(dtype: str) -> None:
    found = counted(W, stored("a.weight", dtype=dtype), stored("a.weight_scale"))
    assert figures(found) == (100, 100)


def test_scales_and_biases_count_unless_they_belong_to_packed_weights() -> None:
    def beside(weight: Stored) -> dict[str, int]:
        names = ("scales", "biases", "scale")
        return roles(counted(weight, *(stored(f"a.{name}", 10) for name in names)))

    assert beside(stored("a.weight", 10, 10)) == {"weight": 130}
    assert beside(stored("b.weight", 10, 10, dtype="U32"))["weight"] == 30
    assert beside(stored("a.weight", 10, 8, dtype="I8")) == {"weight": 80, "scale": 0}
    assert beside(stored("a.weight", 10, 8, dtype="F8_E4M3")) == {"weight": 80 + 20, "scale": 0}


def test_packed_weights_without_a_layer_before_their_names() -> None:
    found = counted(
        stored("qweight", 4, 32, dtype="I32"), stored("scales", 1, 32), stored("g_idx", 32, dtype="I32")
    )
    assert figures(found) == (1024, 1024)
    blocks = counted(stored("x_blocks", 2, 16, dtype="U8"), stored("x_scales", 2, dtype="U8"))
    assert roles(blocks) == {"weight": 64, "scale": 0}


def test_a_layer_is_explained_by_its_own_scales_only() -> None:
    found = counted(stored("a.weight", 4, 8, dtype="U32"), stored("b.scales", 4, 1))
    assert roles(found) == {"weight": 4, "unexplained": 4 * 8 * 16}


def test_layers_of_one_name_in_two_widths_have_two_figures() -> None:
    """Groups do not tell which index belongs to which layer."""
    words = [stored(f"layers.{i}.qweight", 8, 32, dtype="I32") for i in range(2)]
    scales = [stored(f"layers.{i}.scales", 1, 32) for i in range(2)]
    indices = [stored(f"layers.{i}.g_idx", count, dtype="I32") for i, count in enumerate((32, 64))]
    assert figures(counted(*words, *scales, *indices)) == (2 * 1024, 2 * 2048)


def test_what_the_tensors_of_a_layer_do_not_fit_packs_nothing() -> None:
    """Each would be a further weight or a crash, if only the names were looked at."""

    def low_and_high(*tensors: Stored, **stated: int | str) -> tuple[int, int]:
        return figures(counted(*tensors, **stated))

    qweight, words = stored("a.qweight", 4, 32, dtype="I32"), stored("a.weight", 4, 8, dtype="U32")
    scales, open_qweight, open_words = stored("a.scales", 1, 32), (512, 2048), (128, 512)
    assert low_and_high(qweight, stored("a.scales")) == open_qweight
    assert low_and_high(qweight, scales, stored("a.g_idx", dtype="I32")) == open_qweight
    assert low_and_high(qweight, scales, stored("a.qzeros", dtype="I32")) == open_qweight
    assert low_and_high(qweight, scales, stored("a.qzeros", 1, 0, dtype="I32")) == open_qweight
    assert low_and_high(qweight, scales, stored("a.qzeros", 1, 33, dtype="I32")) == open_qweight
    assert low_and_high(qweight, scales, quantisation_bits=7) == open_qweight
    assert low_and_high(qweight, scales, quantisation_bits=-4) == open_qweight
    assert low_and_high(words, stored("a.scales", 5, 1), quantisation_group=64) == open_words
    assert low_and_high(words, stored("a.scales", 4, 0), quantisation_group=64) == open_words
    assert low_and_high(words, stored("a.scales", 4, 1), quantisation_group=-64) == open_words
    eight = stored("a.weight", 4, 64, dtype="I8")
    assert low_and_high(eight, stored("a.weight_scale", 4, 8)) == (256, 256)
    assert low_and_high(eight, stored("a.weight_scale", 2, 8, dtype="F8_E4M3")) == (256, 256)
    assert low_and_high(eight, stored("a.weight_scale", 4, 8, dtype="F8_E4M3")) == (512, 512)
    row = stored("a.weight", 8, dtype="I8")
    assert low_and_high(row, stored("a.weight_scale", dtype="F8_E4M3")) == (8, 8)
    ternary = stored("a.weight", 4, 8, dtype="U8")
    assert low_and_high(ternary, stored("a.weight_scale", 4, 1), quantisation="bitnet") == (32, 128)
    assert low_and_high(ternary, stored("a.weight_scale", 1), quantisation="other") == (32, 128)
    said = stored("a.weight", 4, 8, dtype="U8", weights=32)
    assert low_and_high(said, stored("a.weight_scale", 1)) == (32, 32)
    single = stored("a.weight_packed", 8, dtype="I32")
    assert low_and_high(single, stored("a.weight_scale"), quantisation_group=64) == (32, 128)
    assert low_and_high(stored("a.qweight", 1, 4, 32, dtype="I32"), scales) == (0, 2048)
    assert low_and_high(stored("x_blocks", 2, 16, dtype="U8")) == (0, 128)
    blocks = stored("x_blocks", 2, 16, dtype="I32")
    assert low_and_high(blocks, stored("x_scales", 2, dtype="U8")) == (0, 512)


# ------------------------------------------------------------------------------------------ tied heads

EMBEDDING = stored("model.embed_tokens.weight", 1000, 100)
HEAD = stored("lm_head.weight", 1000, 100)


def test_a_head_counts_beside_its_embedding_unless_it_is_tied() -> None:
    assert roles(counted(EMBEDDING, HEAD)) == {"embedding": 100_000, "head": 100_000}
    assert roles(counted(EMBEDDING, HEAD, tied_embeddings=False))["head"] == 100_000
    tied = counted(EMBEDDING, HEAD, tied_embeddings=True)
    assert roles(tied) == {"embedding": 100_000, "copy": 0}
    assert (tied.low, tied.embeddings) == (100_000, 100_000)


def test_a_head_of_another_shape_is_not_tied() -> None:
    found = counted(EMBEDDING, stored("lm_head.weight", 1001, 100), tied_embeddings=True)
    assert figures(found) == (200_100, 200_100)


def test_a_head_without_an_embedding_is_not_tied() -> None:
    assert figures(counted(HEAD, tied_embeddings=True)) == (100_000, 100_000)


def test_what_is_stated_otherwise_than_true_ties_nothing() -> None:
    assert figures(counted(EMBEDDING, HEAD, tied_embeddings="true")) == (200_000, 200_000)
    assert figures(counted(EMBEDDING, HEAD, tied_embeddings=1)) == (200_000, 200_000)


def written(
    folder: Path, tensors: Mapping[str, torch.Tensor], config: str | None = None, nonce: str = NONCE
) -> Count:
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(config)
    read = model.read(folder, nonce=nonce, covers="full")
    found = conclude(read, None, catalog.rules("tw-ai-hardware-2024")).count
    assert found is not None
    return found


def weights(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("nonce", [NONCE, OTHER])
def test_bytes_show_a_tied_head_that_nothing_states(tmp_path: Path, nonce: str) -> None:
    table = weights(2000, 64)
    tensors = {"model.embed_tokens.weight": table, "lm_head.weight": table, "norm.weight": weights(64)}
    found = written(tmp_path, tensors, nonce=nonce)
    assert figures(found) == (128_064, 256_064)
    assert doubts(found) == {"repeated-tensors": 128_000}


@pytest.mark.parametrize("nonce", [NONCE, OTHER])
def test_a_tied_head_that_is_stated_is_not_left_out_twice(tmp_path: Path, nonce: str) -> None:
    """The embedding is read after the head and found to repeat it; but the head is no parameter already."""
    table = weights(2000, 64)
    tensors = {"model.embed_tokens.weight": table, "lm_head.weight": table}
    found = written(tmp_path, tensors, '{"tie_word_embeddings": true}', nonce)
    assert figures(found) == (128_000, 128_000)


def test_a_copy_accounts_for_one_tensor_and_no_more(tmp_path: Path) -> None:
    layer = weights(256, 256)
    tensors = {f"layers.{i}.weight": layer for i in range(5)} | {"ema.layers.0.weight": layer}
    found = written(tmp_path, tensors)
    assert figures(found) == (65_536, 5 * 65_536)


# ---------------------------------------------------------------------------- adapters, copies, training

LORA = [
    stored("base_model.model.layers.0.q_proj.lora_A.weight", 8, 64),
    stored("base_model.model.layers.0.q_proj.lora_B.weight", 64, 8),
]


def test_an_adapter_alone_is_no_model() -> None:
    found = counted(*LORA)
    assert (found.kind, figures(found), roles(found)) == ("adapter", (0, 0), {"adapter": 0})
    assert found.parts[0].elements == 2 * 8 * 64


def test_an_adapter_beside_weights_adds_nothing() -> None:
    found = counted(W, *LORA)
    assert (found.kind, figures(found)) == ("model", (100, 100))


def test_the_state_of_an_optimizer_adds_nothing() -> None:
    states = [stored(f"optimizer.state.0.{name}", 10, 10) for name in ("exp_avg", "exp_avg_sq", "step")]
    assert roles(counted(W, *states)) == {"weight": 100, "optimizer": 0}
    assert counted(*states).kind == "nothing"


def test_averaged_copies_beside_the_weights_add_nothing() -> None:
    found = counted(W, stored("ema.layers.0.w", 10, 10))
    assert roles(found) == {"weight": 100, "copy": 0}


def test_averaged_copies_alone_are_the_model_by_the_rest_of_their_names() -> None:
    found = counted(
        stored("ema.embed_tokens.weight", 10, 10),
        stored("ema.bn.running_mean", 10),
        stored("ema.bn.num_batches_tracked", dtype="I64"),
        stored("ema.view", 10, 10, shared=True),
        stored("ema.layers.0.qweight", 4, 32, dtype="I32"),
        stored("ema.layers.0.scales", 1, 32),
        stored("ema.layers.0.g_idx", 32, dtype="I32"),
        stored("optimizer.state.0.exp_avg", 10, 10),
    )
    assert roles(found) == {
        "weight": 1024,
        "embedding": 100,
        **dict.fromkeys(("scale", "index", "buffer", "optimizer", "copy"), 0),
    }
    assert figures(found) == (1124, 1124)


def test_copies_in_a_copys_name_are_the_model_too() -> None:
    assert figures(counted(stored("ema.shadow_params.0", 10, 10))) == (100, 100)
    adapter = counted(stored("ema.q.lora_A.weight", 8, 64))
    assert (adapter.kind, figures(adapter)) == ("adapter", (0, 0))


def test_shared_tensors_alone_are_nothing() -> None:
    found = counted(LORA[0], stored("ema.x", 8, 64, shared=True))
    assert (found.kind, figures(found)) == ("adapter", (0, 0))


def test_buffers_rotary_tables_and_zero_points_add_nothing() -> None:
    found = counted(
        W,
        stored("bn.running_mean", 10),
        stored("bn.running_var", 10),
        stored("layers.0.self_attn.rotary_emb.inv_freq", 64),
        stored("h.0.attn.bias", 1, 1, 8, 8),
        stored("l.qzeros", 2, 2, dtype="I32"),
    )
    assert roles(found) == {"weight": 100, "buffer": 0, "rotary": 0, "zero-point": 0}


def test_scales_and_shifts_of_batch_normalisation_count(tmp_path: Path) -> None:
    """As torch writes it: of the five tensors two are trained."""
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    found = written(tmp_path, module.state_dict())
    trained = sum(parameter.numel() for parameter in module.parameters())
    assert figures(found) == (trained, trained)
    assert roles(found) == {"weight": trained, "buffer": 0}


# ---------------------------------------------------------------------------------------------- experts


def test_experts_in_a_tensor_each() -> None:
    experts = [stored(f"layers.{i}.mlp.experts.{j}.w1.weight", 4, 5) for i in range(3) for j in range(8)]
    found = counted(W, *experts, experts=8, experts_used=2)
    assert found.experts == Experts(total=8, used=2, parameters=480, active=100 + 120)
    assert (found.experts_reason, roles(found)) == (None, {"weight": 100, "expert": 480})


@pytest.mark.parametrize(
    ("name", "dtype", "weights"),
    [("layers.0.mlp.experts.gate_up_proj", "F32", None), ("blk.0.ffn_up_exps.weight", "Q4_K", 160)],
)
def test_experts_together_in_a_tensor(name: str, dtype: str, weights: int | None) -> None:
    experts = [stored(name.replace("0", str(i)), 8, 4, 5, dtype=dtype, weights=weights) for i in range(3)]
    found = counted(W, *experts, experts=8, experts_used=2)
    assert found.experts == Experts(total=8, used=2, parameters=480, active=100 + 120)


def test_what_a_token_meets_of_the_experts_is_rounded_down() -> None:
    found = counted(stored("mlp.experts.w", 3, 5), W, experts=3, experts_used=2)
    assert found.experts is not None
    assert found.experts.active == 110


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"experts": 8},
        {"experts_used": 2},
        {"experts": "8", "experts_used": 2},
        {"experts": -8, "experts_used": -2},
    ],
)
def test_experts_that_are_not_stated(stated: dict[str, Any]) -> None:
    found = counted(W, stored("mlp.experts.w", 8, 5), **stated)
    assert (found.experts, found.experts_reason, found.high) == (None, "experts-not-stated", 140)


@pytest.mark.parametrize("stated", [{"experts": 7, "experts_used": 2}, {"experts": 8, "experts_used": 9}])
def test_experts_that_are_stated_wrongly(stated: dict[str, Any]) -> None:
    found = counted(W, stored("mlp.experts.w", 8, 5), **stated)
    assert (found.experts, found.experts_reason, found.high) == (None, "experts-differ", 140)


def test_a_number_among_the_experts_is_not_theirs_together() -> None:
    assert counted(W, stored("mlp.experts.w"), experts=8, experts_used=2).experts_reason == "experts-differ"


def test_stated_experts_make_none() -> None:
    found = counted(W, stored("mlp.shared_experts.w", 8, 5), experts=8, experts_used=2)
    assert (found.experts, found.experts_reason) == (None, None)


# ---------------------------------------------------------------------------------------------- content


def looked(group: int, tensors: int, constant: int = 0, repeated: int = 0) -> LookedAt:
    return LookedAt(group=group, tensors=tensors, constant=constant, repeated=repeated, entropy=7.0)


LAYERS = [stored(f"layers.{i}.w", 10, 10) for i in range(8)]


def test_what_stands_out_in_a_sample_is_left_out_of_the_lower_figure() -> None:
    found = counted(*LAYERS, seen=[looked(0, 8, constant=2, repeated=3)])
    assert figures(found) == (300, 800)
    assert doubts(found) == {"constant-tensors": 200, "repeated-tensors": 300}


def test_a_share_of_those_looked_at_holds_for_the_group_and_is_rounded_up() -> None:
    found = counted(*LAYERS, seen=[looked(0, 3, constant=1)])
    assert doubts(found) == {"constant-tensors": 267}


def test_the_lower_figure_is_never_below_nothing() -> None:
    found = counted(*LAYERS, seen=[looked(0, 3, constant=1, repeated=2)])
    assert doubts(found) == {"constant-tensors": 267, "repeated-tensors": 534}
    assert figures(found) == (0, 800)


def test_what_is_no_parameter_leaves_nothing_out() -> None:
    found = counted(W, stored("optimizer.x", 10, 10), seen=[looked(1, 1, constant=1)])
    assert (figures(found), found.doubts) == ((100, 100), ())


def test_copies_account_for_as_many_repeats_as_they_are() -> None:
    copies = [stored(f"ema.{i}.w", 10, 10) for i in range(3)]
    other = stored("ema.x", 10, 11)
    by_pattern = [group.pattern for group in inventory.grouped([*LAYERS, *copies, other])]
    assert by_pattern == ["ema.#.w", "ema.x", "layers.#.w"]
    first, third = looked(0, 3, constant=1), looked(2, 8, repeated=5)
    found = counted(*LAYERS, *copies, other, seen=[first, looked(1, 1), third])
    assert doubts(found) == {"repeated-tensors": 300}
    again = counted(*LAYERS, *copies, other, seen=[looked(0, 3, repeated=3), looked(1, 1), third])
    assert doubts(again) == {"repeated-tensors": 500}
    some = counted(*LAYERS, *copies, other, seen=[looked(0, 3, repeated=2), looked(1, 1), third])
    assert doubts(some) == {"repeated-tensors": 400}


def test_a_copy_accounts_for_one_tensor_of_all_groups() -> None:
    further = [stored(f"more.{i}.w", 10, 10) for i in range(8)]
    copy = stored("ema.0.w", 10, 10)
    seen = [looked(0, 1), looked(1, 8, repeated=5), looked(2, 8, repeated=5)]
    assert doubts(counted(*LAYERS, *further, copy, seen=seen)) == {"repeated-tensors": 900}


def test_open_widths_are_left_out_once() -> None:
    """Of packed weights in doubt the sample leaves out a share of the lower figure only."""
    found = counted(
        stored("a.qweight", 10, 32, dtype="I32"), stored("a.scales", 1, 32), seen=[looked(0, 1, constant=1)]
    )
    assert figures(found) == (0, 320 * 16)
    assert doubts(found) == {"packed-width-open": 320 * 12, "constant-tensors": 320 * 4}


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_a_model_of_one_value_has_a_lower_figure_of_nothing(tmp_path: Path, value: float) -> None:
    found = written(tmp_path, {f"layers.{i}.w": torch.full((256, 256), value) for i in range(4)})
    assert figures(found) == (0, 4 * 65_536)
    assert doubts(found) == {"constant-tensors": 4 * 65_536}


def test_layers_that_are_all_one_layer_count_as_one(tmp_path: Path) -> None:
    layer = weights(256, 256)
    found = written(tmp_path, {f"layers.{i}.w": layer for i in range(4)})
    assert figures(found) == (65_536, 4 * 65_536)


def test_trained_weights_raise_no_doubt(tmp_path: Path) -> None:
    found = written(tmp_path, {f"layers.{i}.w": weights(256, 256, seed=i) for i in range(4)})
    assert (figures(found), found.doubts) == ((4 * 65_536, 4 * 65_536), ())


# ---------------------------------------------------------------------------------------------- all of it

NAMES = st.sampled_from(
    [
        *("layers.0.weight", "layers.1.weight", "lm_head.weight", "embed_tokens.weight", "ema.a.weight"),
        *("a.qweight", "a.scales", "a.g_idx", "a.qzeros", "a.weight", "a.biases", "a.weight.absmax", "a.SCB"),
        *("a.weight_packed", "a.weight_scale", "x_blocks", "x_scales", "mlp.experts.0.w", "optimizer.x"),
        *("q.lora_A.weight", "attn.bias", "ema.ema.x", "scale", "weight", "ema."),
    ]
)
TENSORS = st.lists(
    st.builds(
        lambda name, dtype, shape, use, shared: stored(name, *shape, dtype=dtype, use=use, shared=shared),
        NAMES,
        st.sampled_from(sorted(set(BITS) - {"Q4_K"})),
        st.lists(st.sampled_from([0, 1, 2, 3, 4, 8, 16, 32, 64]), max_size=3),
        st.sampled_from([None, None, None, "weight", "scale"]),
        st.booleans(),
    ),
    max_size=12,
    unique_by=lambda t: t.name,
)
STATED = st.fixed_dictionaries(
    {},
    optional={
        "quantisation_bits": st.sampled_from([0, 1, 2, 3, 4, 7, 8, "4"]),
        "quantisation_group": st.sampled_from([-1, 0, 1, 16, 64]),
        "experts": st.integers(0, 4),
        "experts_used": st.integers(0, 5),
        "tied_embeddings": st.booleans(),
        "quantisation": st.sampled_from(["bitnet", "gptq"]),
    },
)


@settings(deadline=None)
@given(tensors=TENSORS, stated=STATED, data=st.data())
def test_any_tensors_are_counted_within_their_bits(
    tensors: list[Stored], stated: dict[str, Any], data: st.DataObject
) -> None:
    groups = inventory.grouped(tensors)
    seen = []
    for index, group in enumerate(groups):
        constant = data.draw(st.integers(0, group.tensors))
        repeated = data.draw(st.integers(0, group.tensors - constant))
        if data.draw(st.booleans()):
            seen.append(looked(index, group.tensors, constant, repeated))
    found = counted(*tensors, seen=seen, **stated)
    assert 0 <= found.low <= found.high == sum(part.parameters for part in found.parts)
    assert sum(part.tensors for part in found.parts) == len(tensors)
    # No type stores more than a weight in two bits.
    assert found.high <= sum(t.elements * max(1, BITS[t.dtype] // 2) for t in tensors)
    assert found == counted(*reversed(tensors), seen=seen, **stated)


def test_a_hundred_thousand_tensors_are_counted_fast() -> None:
    tensors = [
        stored(f"layers.{i}.experts.{j}.{name}.weight", 4, 5)
        for i in range(50)
        for j in range(1000)
        for name in ("a", "b")
    ]
    apart = [
        stored(f"x{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{chr(97 + i // 676)}.w", 3) for i in range(4_000)
    ]
    began = time.process_time()
    found = counted(*tensors, *apart, experts=1000, experts_used=8)
    assert time.process_time() - began < 5.0
    assert found.high == 100_000 * 20 + 4_000 * 3
    assert found.experts is not None
    assert found.experts.active == 100_000 * 20 * 8 // 1000 + 4_000 * 3


def test_counts_stay_exact_integers() -> None:
    """No step rounds through floating point: 671 billion and one are told apart."""
    found = counted(stored("a", 2**40 + 1, 3), seen=[looked(0, 3, constant=1)])
    assert found.low == 2 * (2**40 + 1)
