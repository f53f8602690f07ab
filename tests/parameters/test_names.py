"""What a tensor is for, by its name: each rule by names that it takes and near ones that it must not."""

import pytest

from bench.errors import UsageError
from bench.parameters import names
from bench.parameters.inventory import pattern_of
from bench.terms import Role

MATRIX = (64, 32)

# By the order of the table: the role, names that the rule at this place decides, near names that it does not.
RULES: list[tuple[Role, list[str], list[str]]] = [
    (
        "optimizer",
        [
            *(
                "optimizer.x",
                "optimizer.state.0.exp_avg",
                "optimizer_state_dict.state.3.step",
                "optim.state.0.x",
            ),
            *("optimizer_states.0.state.1.x", "optimizers_state_dict.a", "optimizer_state.x", "optimizers.0"),
            *("lr_schedulers.0.last_lr", "lr_scheduler.x", "grad_scaler.scale"),
        ],
        ["model.optimizer.weight", "optimizer_head.weight", "scaler.weight", "scheduler.weight"],
    ),
    (
        "optimizer",
        [
            *("state.0.exp_avg", "0.exp_avg_sq", "exp_avg.layers.0.weight", "a.max_exp_avg_sq"),
            *("a.momentum_buffer", "fp32_from_fp16_groups.0", "single_partition_of_fp32_groups.0"),
        ],
        ["exp_avgs.weight", "layer.my_exp_avg", "momentum_encoder.weight"],
    ),
    (
        "optimizer",
        ["state.0.step", "state.12.square_avg", "state.7.state1"],
        ["state.weight", "state.0.proj.weight", "model.state.0.weight", "states.0.x"],
    ),
    (
        "copy",
        [
            *("ema.layers.0.weight", "model_ema.w", "ema_model.w", "ema_state_dict.w", "state_dict_ema.w"),
            *("shadow_params.0", "teacher.head.weight"),
        ],
        ["schema.weight", "layers.0.ema.weight", "ema", "teachers.weight", "emanet.weight"],
    ),
    (
        "adapter",
        [
            *(
                "lora_A.weight",
                "base_model.model.layers.0.q_proj.lora_A.weight",
                "q.lora_B.default.weight",
                "q.lora_up.weight",
            ),
            *("a.lora_down.weight", "blk.0.attn_q.weight.lora_a", "e.lora_embedding_A", "q.lora_embedding_B"),
            *("q.lora_magnitude_vector", "blk.0.attn_q.weight.lora_b"),
        ],
        ["model.lora_attention.weight", "w_lora.lora.0.weight", "explora_A.weight", "lora_C.weight"],
    ),
    (
        "adapter",
        [
            *("lora_unet_down_blocks_0_to_k.alpha", "lora_te_text_model.alpha", "lora_te1_text_model.alpha"),
            *("unet.to_q_lora.up.weight", "unet.to_q_lora.down.weight"),
        ],
        [
            "model.lora_unet_x.alpha",
            "to_q_lora.weight",
            "q_lora.up.weights",
            "q_lora.up.weight_a",
            "lora_teacher.weight",
            "unet.up.weight",
        ],
    ),
    (
        "adapter",
        [
            *("k.ia3_l.weight", "k.vera_lambda_b", "k.vera_lambda_d", "k.oft_r", "k.oft_R.weight"),
            *("k.hada_w1_a", "k.hada_w2_b", "k.lokr_w1", "k.lokr_w2_a", "prompt_embeddings"),
        ],
        ["prompt_embeddings_encoder.weight", "k.hada_w1.weight", "via3_l", "soft_r"],
    ),
    (
        "scale",
        [
            *("l.q_proj.weight_scale", "l.q_proj.input_scale", "l.o.output_scale", "l.o.activation_scale"),
            *("l.k_scale", "l.v_scale", "l.kv_scale", "q.weight_scale_inv", "q.weight_scale_2"),
            *("q.weight_global_scale", "q.input_global_scale", "experts.gate_up_proj_scale_inv"),
            *("experts.up_weight_scale", "weight_scale", "attn.q_scale"),
        ],
        [
            "rescale_inv",
            "q.scale_inv.weight",
            "overweight_scale",
            "logit_scale",
            "norm.scale",
            "weight_scale.weight",
            "layer_scale",
            "weight_scaled",
            "residual_scale",
        ],
    ),
    (
        "scale",
        [
            *("w.weight.absmax", "w.weight.nested_absmax", "w.weight.quant_map", "w.weight.nested_quant_map"),
            *("w.SCB", "w.weight_format", "w.weight.quant_state.bitsandbytes__nf4"),
            "w.weight.quant_state.bitsandbytes__fp4",
        ],
        [
            "w_absmax",
            "quant_state.bitsandbytes__nf4",
            "w.quant_state.bitsandbytes__nf4.weight",
            "absmax",
            "w.absmax.weight",
            "w.quant_state.weight",
            "w.SCB2",
        ],
    ),
    (
        "zero-point",
        ["l.qzeros", "l.weight_zero_point", "l.input_zero_point"],
        ["l.qzeros.weight", "qzeros.weight", "l.zero_point.weight", "l.myqzeros"],
    ),
    (
        "index",
        ["l.g_idx", "l.weight_g_idx", "l.weight_shape"],
        ["l.xg_idx", "l.g_idx.weight", "l.shape", "weight_shapes"],
    ),
    (
        "rotary",
        [
            *("layers.0.self_attn.rotary_emb.inv_freq", "rotary_emb.cos_cached", "encoder.rotary_pos_emb.x"),
            *(
                "rotary_emb.x",
                "l.cos_cached",
                "rope_factors_short.weight",
                "blk.0.rope_factors_long.weight",
                "rotary.freqs",
                "a.inv_freq",
                "inv_freq",
                "a.sin_cached",
                "freqs_cis",
                "rope_freqs.weight",
            ),
            *("rope_factors_long.weight", "blk.0.rope_factors_short.weight", "blk.3.rope_freqs.weight"),
        ],
        [
            "norotary.x",
            "reinv_freq",
            "rope_freqs.weight_a",
            "blk.0.rope_freqs.weight_a",
            "rotary_embedder.weight",
            "freqs_cis.weight",
            "my_rope_freqs.weight",
            "rope_freqs.bias",
        ],
    ),
    (
        "buffer",
        [
            *("bn.running_mean", "bn.running_var", "bn.num_batches_tracked", "embeddings.position_ids"),
            *("embeddings.token_type_ids", "h.0.attn.masked_bias", "attn.causal_mask", "running_mean"),
            *("blocks.0.attn.relative_position_index", "q._extra_state"),
        ],
        ["bn.running_mean.weight", "position_ids_proj", "attn.relative_position_bias_table", "unmasked_bias"],
    ),
    # By its rank: see the test of a bias.
    ("buffer", [], ["attn_bias", "attn.bias_table", "attn.c_attn.bias"]),
    (
        "expert",
        [
            *("model.layers.0.mlp.experts.7.down_proj.weight", "layers.0.feed_forward.experts.0.w1.weight"),
            *("l.mlp.experts.gate_up_proj_blocks", "blk.0.ffn_gate_exps.weight", "blk.0.ffn_down_exps.bias"),
            *(
                "blk.0.ffn_gate.3.weight",
                "blk.0.ffn_down.3.weight",
                "blk.0.ffn_up.3.weight",
                "experts.0.w1",
                "l.experts.gate_up_proj",
            ),
        ],
        [
            *("l.mlp.shared_experts.down_proj.weight", "l.shared_expert.up.weight", "l.mlp.expert_bias"),
            *(
                "experts_norm.weight",
                "blk.0.ffn_up.3.weight_a",
                "v.blk.0.ffn_up.3.weight",
                "blk.0.ffn_up_exps.weight_a",
                "blk.0.ffn_gate_shexp.weight",
                "blk.0.ffn_up.weight",
                "blk.0.exp_probs_b.bias",
                "l.experts",
            ),
            "blk.0.ffn_gate_inp.weight",
        ],
    ),
    (
        "embedding",
        [
            *("model.embed_tokens.weight", "wte.weight", "transformer.wpe.weight", "tok_embeddings.weight"),
            *("bert.embeddings.word_embeddings.weight", "token_embd.weight", "position_embd.weight"),
            *("shared.weight", "token_types.weight", "gpt_neox.embed_in.weight", "e.token_type_embeddings"),
            *(
                "e.position_embedding.weight",
                "e.position_embeddings.weight",
                "decoder.embed_positions.weight",
            ),
            *("text_model.embeddings.token_embedding.weight", "position_embedding"),
        ],
        [
            *("patch_embed.proj.weight", "token_embd_norm.weight", "embed_tokens_proj.weight", "time.swpe"),
            *("mlp.shared.up.weight", "rotary_embedding", "model.embed_tokens.bias"),
        ],
    ),
    (
        "head",
        [
            *("lm_head.weight", "language_model.lm_head.weight", "embed_out.weight", "output.weight"),
            "model.output.weight",
        ],
        [
            *(
                "model.layers.0.attention.output.weight",
                "my_lm_head.weight",
                "lm_head.weight_a",
                "output.weight_a",
                "encoder.layer.0.output.dense.weight",
                "lm_head.bias",
            ),
            *("model.layers.0.attention.output.dense.weight", "decoder.lm_head_norm.weight", "head.weight"),
            "blk.0.attn_output.weight",
        ],
    ),
]

# Names that no rule takes: plain weights.
WEIGHTS = [
    *("model.layers.0.self_attn.q_proj.weight", "model.norm.weight", "norm.scale", "logit_scale", "sinks"),
    *(
        "scaler.weight",
        "scheduler.weight",
        "mlp.gate.e_score_correction_bias",
        "model.layers.0.mlp.gate.weight",
    ),
    *("model.layers.0.attention.output.dense.weight", "weight", "0", "", "h.0.attn.c_attn.bias"),
]


def deciding(name: str, shape: tuple[int, ...] = MATRIX) -> int | None:
    """The place in the table of the rule that decides."""
    _, rules = names.table()
    fitting = (
        place
        for place, rule in enumerate(rules)
        if rule.rank in (None, len(shape)) and rule.pattern.search(pattern_of(name))
    )
    return next(fitting, None)


def test_the_rules_here_are_those_of_the_table() -> None:
    digest, rules = names.table()
    assert [rule.role for rule in rules] == [role for role, _, _ in RULES]
    assert digest.name == "names"


@pytest.mark.parametrize("place", range(len(RULES)))
def test_a_rule_takes_its_names_and_no_near_ones(place: int) -> None:
    role, taken, near = RULES[place]
    for name in taken:
        assert names.role_of(pattern_of(name), MATRIX) == role, name
        decided = deciding(name)
        assert decided is not None
        assert RULES[decided][0] == role, name
    _, rules = names.table()
    assert [name for name in near if rules[place].pattern.search(pattern_of(name))] == []


@pytest.mark.parametrize("place", [place for place, (_, taken, _) in enumerate(RULES) if taken])
def test_no_rule_is_made_idle_by_those_above_it(place: int) -> None:
    assert any(deciding(name) == place for name in RULES[place][1])


@pytest.mark.parametrize("name", WEIGHTS)
def test_what_no_rule_takes_is_left_open(name: str) -> None:
    assert names.role_of(pattern_of(name), MATRIX) is None


@pytest.mark.parametrize("name", ["h.0.attn.bias", "gpt_neox.layers.0.attention.bias", "attn.bias"])
def test_a_bias_is_a_mask_only_in_four_dimensions(name: str) -> None:
    pattern = pattern_of(name)
    assert names.role_of(pattern, (1, 1, 1024, 1024)) == "buffer"
    assert names.role_of(pattern, (1024,)) is None
    assert names.role_of(pattern, (1, 1024, 1024)) is None
    assert names.role_of(pattern_of("h.0.attn.c_attn.bias"), (1, 1, 4, 4)) is None


TABLE = """version = "1"

[[rule]]
role = "weight"
pattern = 'a'
source = "b"
"""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("'a'", "'('", "not a regular expression"),
        ('"weight"', '"wheel"', "role"),
        ("pattern =", "patern =", "pattern"),
        ('source = "b"', "", "source"),
        ('source = "b"', 'source = "b"\nranks = 2', "ranks"),
        ('version = "1"', "", "version"),
        ("[[rule]]", "[[rules]]", "rule"),
    ],
)
def test_a_table_with_a_slip_is_refused_by_its_place(old: str, new: str, complaint: str) -> None:
    assert [rule.role for rule in names.read(TABLE.encode(), "t.toml")] == ["weight"]
    with pytest.raises(UsageError, match=complaint) as caught:
        names.read(TABLE.replace(old, new).encode(), "t.toml")
    assert "t.toml" in str(caught.value)
