"""Models whose number of parameters is published, rebuilt from their published configurations.

Every tensor of the checkpoint is listed as it is on the Hub. Figures are the Hub's own count of the
checkpoint ("safetensors parameters") unless a line says otherwise, and equal transformers' num_parameters().
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from bench.parameters import inventory
from bench.parameters.count import count
from bench.parameters.inventory import Stored
from bench.terms import ContentSample, Count, Fact, LookedAt, Role, TensorGroup

SIZES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "U8": 1, "I64": 8}

Tensors = Iterator[tuple[str, str, tuple[int, ...]]]


def counted(tensors: Tensors, **stated: int | bool) -> Count:
    listed = []
    for name, dtype, shape in tensors:
        elements = 1
        for extent in shape:
            elements *= extent
        listed.append(
            Stored(
                name=name,
                dtype=dtype,
                shape=shape,
                file="model.safetensors",
                offset=None,
                nbytes=elements * SIZES[dtype],
            )
        )
    facts = [
        Fact(name=name.replace("_", "-"), value=value, source="config.json") for name, value in stated.items()
    ]
    groups = inventory.grouped(listed)
    return count(groups, facts, looked_over(groups))


def looked_over(groups: Sequence[TensorGroup]) -> ContentSample:
    """Every tensor looked at, and nothing stands out."""
    return ContentSample(
        blocks=0,
        block_bytes=4096,
        groups=tuple(
            LookedAt(group=index, tensors=group.tensors, constant=0, repeated=0, entropy=7.9)
            for index, group in enumerate(groups)
        ),
    )


def parameters(counted: Count) -> int:
    """The one figure of a model about which nothing is in doubt."""
    assert counted.kind == "model"
    assert counted.doubts == ()
    assert counted.low == counted.high
    assert counted.high == sum(part.parameters for part in counted.parts)
    return counted.high


def part(counted: Count, role: Role) -> int:
    return sum(part.parameters for part in counted.parts if part.role == role)


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A decoder as the Llama of transformers has it, with what its relatives add: words of config.json."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int
    tied: bool = False
    biases: bool = False
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    head_norms: bool = False
    experts: int = 0
    expert_prefix: str = ""
    expert_names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
    inv_freq: bool = False

    def tensors(self) -> Tensors:
        yield "model.embed_tokens.weight", "BF16", (self.vocabulary, self.hidden)
        yield "model.norm.weight", "BF16", (self.hidden,)
        if not self.tied:
            yield "lm_head.weight", "BF16", (self.vocabulary, self.hidden)
        for i in range(self.layers):
            at = f"model.layers.{i}"
            yield from self._attention(f"{at}.self_attn")
            for norm in self.norms:
                yield f"{at}.{norm}.weight", "BF16", (self.hidden,)
            if self.experts:
                yield f"{at}.{self.expert_prefix}.gate.weight", "BF16", (self.experts, self.hidden)
            gate, up, down = self.expert_names
            for place in [f"{self.expert_prefix}.experts.{j}" for j in range(self.experts)] or ["mlp"]:
                yield f"{at}.{place}.{gate}.weight", "BF16", (self.inner, self.hidden)
                yield f"{at}.{place}.{up}.weight", "BF16", (self.inner, self.hidden)
                yield f"{at}.{place}.{down}.weight", "BF16", (self.hidden, self.inner)

    def _attention(self, at: str) -> Tensors:
        for name, heads in (("q", self.heads), ("k", self.kv_heads), ("v", self.kv_heads)):
            yield f"{at}.{name}_proj.weight", "BF16", (heads * self.head, self.hidden)
            if self.biases:
                yield f"{at}.{name}_proj.bias", "BF16", (heads * self.head,)
        yield f"{at}.o_proj.weight", "BF16", (self.hidden, self.heads * self.head)
        if self.head_norms:
            yield f"{at}.q_norm.weight", "BF16", (self.head,)
            yield f"{at}.k_norm.weight", "BF16", (self.head,)
        if self.inv_freq:
            yield f"{at}.rotary_emb.inv_freq", "F32", (self.head // 2,)


MISTRAL_7B = Decoder(layers=32, hidden=4096, inner=14336, heads=32, kv_heads=8, head=128, vocabulary=32000)
LLAMA_3_1_8B = replace(MISTRAL_7B, vocabulary=128256)
LLAMA_3_2_1B = Decoder(
    layers=16, hidden=2048, inner=8192, heads=32, kv_heads=8, head=64, vocabulary=128256, tied=True
)
LLAMA_2_7B = replace(MISTRAL_7B, inner=11008, kv_heads=32, inv_freq=True)
QWEN2_5_0_5B = Decoder(
    layers=24,
    hidden=896,
    inner=4864,
    heads=14,
    kv_heads=2,
    head=64,
    vocabulary=151936,
    tied=True,
    biases=True,
)
GEMMA_2_2B = Decoder(
    layers=26,
    hidden=2304,
    inner=9216,
    heads=8,
    kv_heads=4,
    head=256,
    vocabulary=256000,
    tied=True,
    norms=(
        *("input_layernorm", "post_attention_layernorm"),
        *("pre_feedforward_layernorm", "post_feedforward_layernorm"),
    ),
)
MIXTRAL_8X7B = replace(
    MISTRAL_7B, experts=8, expert_prefix="block_sparse_moe", expert_names=("w1", "w3", "w2")
)
QWEN3_30B_A3B = Decoder(
    layers=48,
    hidden=2048,
    inner=768,
    heads=32,
    kv_heads=4,
    head=128,
    vocabulary=151936,
    head_norms=True,
    experts=128,
    expert_prefix="mlp",
)


@pytest.mark.parametrize(
    ("configuration", "published"),
    [
        pytest.param(LLAMA_3_1_8B, 8_030_261_248, id="meta-llama/Llama-3.1-8B"),
        pytest.param(LLAMA_3_2_1B, 1_235_814_400, id="meta-llama/Llama-3.2-1B"),
        pytest.param(LLAMA_2_7B, 6_738_415_616, id="meta-llama/Llama-2-7b-hf"),
        pytest.param(QWEN2_5_0_5B, 494_032_768, id="Qwen/Qwen2.5-0.5B"),
        pytest.param(MISTRAL_7B, 7_241_732_096, id="mistralai/Mistral-7B-v0.1"),
        pytest.param(GEMMA_2_2B, 2_614_341_888, id="google/gemma-2-2b"),
    ],
)
def test_a_decoder_has_the_published_number_of_parameters(configuration: Decoder, published: int) -> None:
    seen = counted(configuration.tensors())
    assert parameters(seen) == published
    assert (seen.experts, seen.experts_reason) == (None, None)


def test_a_head_stored_beside_its_tied_embedding_counts_once() -> None:
    separate = replace(LLAMA_3_2_1B, tied=False)
    seen = counted(separate.tensors(), tied_embeddings=True)
    assert parameters(seen) == 1_235_814_400
    assert seen.embeddings == 128256 * 2048


def test_phi_3_mini() -> None:
    """microsoft/Phi-3-mini-4k-instruct: one matrix for queries, keys and values, one for gate and up."""

    def tensors() -> Tensors:
        yield "model.embed_tokens.weight", "BF16", (32064, 3072)
        yield "model.norm.weight", "BF16", (3072,)
        yield "lm_head.weight", "BF16", (32064, 3072)
        for i in range(32):
            at = f"model.layers.{i}"
            yield f"{at}.self_attn.qkv_proj.weight", "BF16", (3 * 3072, 3072)
            yield f"{at}.self_attn.o_proj.weight", "BF16", (3072, 3072)
            yield f"{at}.mlp.gate_up_proj.weight", "BF16", (2 * 8192, 3072)
            yield f"{at}.mlp.down_proj.weight", "BF16", (3072, 8192)
            yield f"{at}.input_layernorm.weight", "BF16", (3072,)
            yield f"{at}.post_attention_layernorm.weight", "BF16", (3072,)

    assert parameters(counted(tensors())) == 3_821_079_552


def test_gpt_2_without_the_masks_that_its_file_holds() -> None:
    """openai-community/gpt2. The Hub's 137,022,720 counts the masks too, 12 of 1024 x 1024."""

    def tensors() -> Tensors:
        yield "wte.weight", "F32", (50257, 768)
        yield "wpe.weight", "F32", (1024, 768)
        for i in range(12):
            yield f"h.{i}.attn.bias", "F32", (1, 1, 1024, 1024)
            for name, inputs, outputs in (
                *(("attn.c_attn", 768, 2304), ("attn.c_proj", 768, 768)),
                *(("mlp.c_fc", 768, 3072), ("mlp.c_proj", 3072, 768)),
            ):
                yield f"h.{i}.{name}.weight", "F32", (inputs, outputs)
                yield f"h.{i}.{name}.bias", "F32", (outputs,)
            for name in ("ln_1", "ln_2"):
                yield f"h.{i}.{name}.weight", "F32", (768,)
                yield f"h.{i}.{name}.bias", "F32", (768,)
        yield "ln_f.weight", "F32", (768,)
        yield "ln_f.bias", "F32", (768,)

    seen = counted(tensors())
    assert parameters(seen) == 124_439_808
    assert sum(part.elements for part in seen.parts) == 137_022_720
    assert seen.embeddings == (50257 + 1024) * 768


def test_bert_base_without_its_position_numbers() -> None:
    """google-bert/bert-base-uncased as BertModel: num_parameters() of transformers."""

    def tensors() -> Tensors:
        yield "embeddings.position_ids", "I64", (1, 512)
        for name, rows in (("word", 30522), ("position", 512), ("token_type", 2)):
            yield f"embeddings.{name}_embeddings.weight", "F32", (rows, 768)
        yield "embeddings.LayerNorm.weight", "F32", (768,)
        yield "embeddings.LayerNorm.bias", "F32", (768,)
        for i in range(12):
            at = f"encoder.layer.{i}"
            for name, outputs, inputs in (
                *((f"attention.self.{part}", 768, 768) for part in ("query", "key", "value")),
                ("attention.output.dense", 768, 768),
                *(("intermediate.dense", 3072, 768), ("output.dense", 768, 3072)),
            ):
                yield f"{at}.{name}.weight", "F32", (outputs, inputs)
                yield f"{at}.{name}.bias", "F32", (outputs,)
            for name in ("attention.output", "output"):
                yield f"{at}.{name}.LayerNorm.weight", "F32", (768,)
                yield f"{at}.{name}.LayerNorm.bias", "F32", (768,)
        yield "pooler.dense.weight", "F32", (768, 768)
        yield "pooler.dense.bias", "F32", (768,)

    seen = counted(tensors())
    assert parameters(seen) == 109_482_240
    assert seen.embeddings == (30522 + 512 + 2) * 768


def test_mixtral_8x7b_and_what_a_token_meets() -> None:
    """mistralai/Mixtral-8x7B-v0.1. The paper (arXiv 2401.04088) says 47B in all and 13B active."""
    seen = counted(MIXTRAL_8X7B.tensors(), experts=8, experts_used=2)
    assert parameters(seen) == 46_702_792_704
    assert seen.experts is not None
    assert seen.experts.parameters == 32 * 8 * 3 * 4096 * 14336
    assert seen.experts.active == 46_702_792_704 - 32 * 6 * 3 * 4096 * 14336 == 12_879_925_248


def test_qwen3_30b_a3b_and_what_a_token_meets() -> None:
    """Qwen/Qwen3-30B-A3B; the model card says 30.5B in all and 3.3B activated."""
    seen = counted(QWEN3_30B_A3B.tensors(), experts=128, experts_used=8)
    assert parameters(seen) == 30_532_122_624
    assert seen.experts is not None
    assert seen.experts.active == 3_353_032_704


def test_gpt_oss_20b_with_its_experts_in_mxfp4() -> None:
    """openai/gpt-oss-20b. The model card (arXiv 2508.10925): 20.91B in all, 3.61B active.

    Its active figure counts the head and not the embedding (its table 1).
    """

    def tensors() -> Tensors:
        yield "model.embed_tokens.weight", "BF16", (201088, 2880)
        yield "lm_head.weight", "BF16", (201088, 2880)
        yield "model.norm.weight", "BF16", (2880,)
        for i in range(24):
            at = f"model.layers.{i}"
            for name, rows, columns in (
                *(("q_proj", 4096, 2880), ("k_proj", 512, 2880), ("v_proj", 512, 2880)),
                ("o_proj", 2880, 4096),
            ):
                yield f"{at}.self_attn.{name}.weight", "BF16", (rows, columns)
                yield f"{at}.self_attn.{name}.bias", "BF16", (rows,)
            yield f"{at}.self_attn.sinks", "BF16", (64,)
            yield f"{at}.input_layernorm.weight", "BF16", (2880,)
            yield f"{at}.post_attention_layernorm.weight", "BF16", (2880,)
            yield f"{at}.mlp.router.weight", "BF16", (32, 2880)
            yield f"{at}.mlp.router.bias", "BF16", (32,)
            for name, rows in (("gate_up_proj", 5760), ("down_proj", 2880)):
                yield f"{at}.mlp.experts.{name}_blocks", "U8", (32, rows, 90, 16)
                yield f"{at}.mlp.experts.{name}_scales", "U8", (32, rows, 90)
                yield f"{at}.mlp.experts.{name}_bias", "BF16", (32, rows)

    seen = counted(tensors(), experts=32, experts_used=4)
    assert parameters(seen) == 20_914_757_184
    assert part(seen, "head") == seen.embeddings
    assert seen.experts is not None
    assert round((seen.experts.active - seen.embeddings) / 1e9, 2) == 3.61


def deepseek_v3(mtp: bool) -> Tensors:
    """deepseek-ai/DeepSeek-V3: config.json and README_WEIGHTS.md of the repository."""

    def fp8(name: str, rows: int, columns: int) -> Tensors:
        yield f"{name}.weight", "F8_E4M3", (rows, columns)
        yield f"{name}.weight_scale_inv", "F32", (-(-rows // 128), -(-columns // 128))

    def feed_forward(at: str, inner: int) -> Tensors:
        yield from fp8(f"{at}.gate_proj", inner, 7168)
        yield from fp8(f"{at}.up_proj", inner, 7168)
        yield from fp8(f"{at}.down_proj", 7168, inner)

    def layer(i: int) -> Tensors:
        at = f"model.layers.{i}"
        yield from fp8(f"{at}.self_attn.q_a_proj", 1536, 7168)
        yield from fp8(f"{at}.self_attn.q_b_proj", 128 * 192, 1536)
        yield from fp8(f"{at}.self_attn.kv_a_proj_with_mqa", 512 + 64, 7168)
        yield from fp8(f"{at}.self_attn.kv_b_proj", 128 * 256, 512)
        yield from fp8(f"{at}.self_attn.o_proj", 7168, 128 * 128)
        yield f"{at}.self_attn.q_a_layernorm.weight", "BF16", (1536,)
        yield f"{at}.self_attn.kv_a_layernorm.weight", "BF16", (512,)
        yield f"{at}.input_layernorm.weight", "BF16", (7168,)
        yield f"{at}.post_attention_layernorm.weight", "BF16", (7168,)
        if i < 3:
            yield from feed_forward(f"{at}.mlp", 18432)
            return
        yield f"{at}.mlp.gate.weight", "BF16", (256, 7168)
        yield f"{at}.mlp.gate.e_score_correction_bias", "F32", (256,)
        yield from feed_forward(f"{at}.mlp.shared_experts", 2048)
        for j in range(256):
            yield from feed_forward(f"{at}.mlp.experts.{j}", 2048)

    yield "model.embed_tokens.weight", "BF16", (129280, 7168)
    yield "model.norm.weight", "BF16", (7168,)
    yield "lm_head.weight", "BF16", (129280, 7168)
    for i in range(61):
        yield from layer(i)
    if mtp:
        yield from layer(61)
        yield "model.layers.61.embed_tokens.weight", "BF16", (129280, 7168)
        yield "model.layers.61.shared_head.head.weight", "BF16", (129280, 7168)
        yield "model.layers.61.shared_head.norm.weight", "BF16", (7168,)
        for name in ("enorm", "hnorm"):
            yield f"model.layers.61.{name}.weight", "BF16", (7168,)
        yield "model.layers.61.eh_proj.weight", "BF16", (7168, 2 * 7168)


def test_deepseek_v3_in_fp8_and_what_a_token_meets() -> None:
    """README_WEIGHTS.md of the repository: 671B in all; 36.6B active with the head, without the embedding."""
    began = time.process_time()
    seen = counted(deepseek_v3(mtp=False), experts=256, experts_used=8)
    assert parameters(seen) == 671_026_419_200
    assert part(seen, "scale") == 0
    assert seen.experts is not None
    assert seen.experts.parameters == 58 * 256 * 3 * 7168 * 2048
    assert seen.experts.active == 671_026_419_200 - 58 * 248 * 3 * 7168 * 2048
    assert round((seen.experts.active - seen.embeddings) / 1e9, 1) == 36.6
    assert time.process_time() - began < 5.0


def test_deepseek_v3_with_its_module_for_a_further_token() -> None:
    """The Hub counts 684,531,386,000 elements, 41,555,600 of them F32: scales, and 59 biases of 256.

    The module's embedding and head are stored again beside the model's: only their bytes show that.
    """
    seen = counted(deepseek_v3(mtp=True), experts=256, experts_used=8)
    f32 = next(t.elements for t in seen.types if t.dtype == "F32")
    assert sum(t.elements for t in seen.types) == 684_531_386_000
    assert f32 == 41_555_600
    assert parameters(seen) == 684_531_386_000 - f32 + 59 * 256
