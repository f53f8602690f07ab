"""What a vendor states beside a model: known keys, the right types, each fact once, nothing more."""

import json
import os
import time
from pathlib import Path

import pytest

from bench.parameters.stated import read
from bench.terms import Fact


def put(folder: Path, name: str, value: object) -> None:
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")


def stated(folder: Path) -> dict[str, tuple[object, str]]:
    facts = read(folder)
    assert len({fact.name for fact in facts}) == len(facts)
    return {fact.name: (fact.value, fact.source) for fact in facts}


def of_config(folder: Path, **config: object) -> dict[str, object]:
    put(folder, "config.json", config)
    return {name: value for name, (value, _) in stated(folder).items()}


def test_an_empty_folder_states_nothing(tmp_path: Path) -> None:
    assert read(tmp_path) == ()


def test_a_configuration_is_read_by_its_known_keys(tmp_path: Path) -> None:
    assert of_config(
        tmp_path,
        architectures=["MixtralForCausalLM", "Other"],
        model_type="mixtral",
        num_local_experts=8,
        num_experts_per_tok=2,
        tie_word_embeddings=False,
        torch_dtype="bfloat16",
        num_hidden_layers=32,
        vocab_size=32000,
        hidden_size=4096,
        time_step_limit=[0.0, float("inf")],
        rope_theta=1e6,
    ) == {
        "architecture": "MixtralForCausalLM",
        "model-type": "mixtral",
        "experts": 8,
        "experts-used": 2,
        "tied-embeddings": False,
        "stored-type": "bfloat16",
        "layers": 32,
        "vocabulary": 32000,
        "hidden-size": 4096,
    }


@pytest.mark.parametrize(
    "key", ["num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts"]
)
def test_experts_go_by_several_names(tmp_path: Path, key: str) -> None:
    assert of_config(tmp_path, **{key: 64}) == {"experts": 64}


@pytest.mark.parametrize(
    "key",
    [
        *("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "moe_topk"),
        *("top_k_experts", "experts_per_token"),
    ],
)
def test_the_experts_of_a_token_go_by_several_names(tmp_path: Path, key: str) -> None:
    assert of_config(tmp_path, **{key: 4}) == {"experts-used": 4}


@pytest.mark.parametrize("part", ["text_config", "llm_config", "language_config"])
def test_the_top_level_wins_over_a_nested_part(tmp_path: Path, part: str) -> None:
    put(tmp_path, "config.json", {"hidden_size": 1, part: {"hidden_size": 2, "vocab_size": 3}})
    assert stated(tmp_path) == {
        "hidden-size": (1, "config.json"),
        "vocabulary": (3, f"config.json/{part}"),
    }


@pytest.mark.parametrize("value", [True, 0, -1, 8.0, "8", None, [8], 2**53])
def test_a_number_of_another_type_is_not_taken(tmp_path: Path, value: object) -> None:
    assert of_config(tmp_path, num_experts=value, vocab_size=value) == {}


@pytest.mark.parametrize("value", [1, "true", None])
def test_a_truth_value_of_another_type_is_not_taken(tmp_path: Path, value: object) -> None:
    assert of_config(tmp_path, tie_word_embeddings=value, architectures=value) == {}


@pytest.mark.parametrize(
    ("config", "facts"),
    [
        (
            {"quantization_config": {"quant_method": "awq", "w_bit": 4, "group_size": 128}},
            {"quantisation": "awq", "quantisation-bits": 4, "quantisation-group": 128},
        ),
        (
            {
                "quantization_config": {
                    "quant_method": "bitsandbytes",
                    "load_in_4bit": True,
                    "load_in_8bit": False,
                }
            },
            {"quantisation": "bitsandbytes", "quantisation-bits": 4},
        ),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 8, "group_size": -1}},
            {"quantisation": "gptq", "quantisation-bits": 8, "quantisation-group": -1},
        ),
        ({"quantization_config": {"load_in_8bit": True}}, {"quantisation-bits": 8}),
        (
            {
                "quantization": {"group_size": 64, "bits": 4},
                "quantization_config": {"group_size": 64, "bits": 4},
            },
            {"quantisation": "mlx", "quantisation-bits": 4, "quantisation-group": 64},
        ),
        ({"quantization": {}}, {}),
        ({"text_config": {"quantization_config": {"quant_method": "fp8"}}}, {"quantisation": "fp8"}),
    ],
)
def test_a_quantisation_is_read_from_each_writers_keys(
    tmp_path: Path, config: dict[str, object], facts: dict[str, object]
) -> None:
    assert of_config(tmp_path, **config) == facts


def test_the_file_of_gptq_says_gptq_and_config_json_wins(tmp_path: Path) -> None:
    put(tmp_path, "quantize_config.json", {"bits": 4, "group_size": 128})
    assert stated(tmp_path) == {
        "quantisation": ("gptq", "quantize_config.json"),
        "quantisation-bits": (4, "quantize_config.json"),
        "quantisation-group": (128, "quantize_config.json"),
    }
    put(tmp_path, "config.json", {"quantization_config": {"quant_method": "marlin", "bits": 8}})
    assert stated(tmp_path)["quantisation"] == ("marlin", "config.json")
    assert stated(tmp_path)["quantisation-bits"] == (8, "config.json")


def test_an_adapter_says_its_type(tmp_path: Path) -> None:
    put(tmp_path, "adapter_config.json", {"peft_type": "LORA", "r": 8})
    assert stated(tmp_path) == {"adapter-type": ("LORA", "adapter_config.json")}


def test_a_card_is_read_by_its_plain_lines(tmp_path: Path) -> None:
    lines = ["license: other # see below", 'license_name: "llama3: 1"', "base_model: 'org/base-7B'", "tags:"]
    lines += ["- license: no", "  model_name: no", "pipeline_tag: text-generation  ", "model_name: a: b"]
    lines += ["library_name: transformers\r", "license: second"]
    put(tmp_path, "README.md", "\n".join(["---", *lines, "---", "license: mit", ""]))
    assert stated(tmp_path) == {
        "license": ("other", "README.md"),
        "license-name": ("llama3: 1", "README.md"),
        "base-model": ("org/base-7B", "README.md"),
        "pipeline-tag": ("text-generation", "README.md"),
        "card-name": ("a: b", "README.md"),
        "library-name": ("transformers", "README.md"),
    }


@pytest.mark.parametrize(
    "value", ["", "[a, b]", "|", ">-", "&x a", "*x", "!t a", "{a: b}", "- a", '"a\\n"', '""']
)
def test_a_value_of_the_card_that_is_no_plain_scalar_is_not_taken(tmp_path: Path, value: str) -> None:
    put(tmp_path, "README.md", f"---\nbase_model: {value}\n---\n")
    assert stated(tmp_path) == {}


@pytest.mark.parametrize(
    "text", ["", "license: mit\n", "---\nlicense: mit\n", "# A\n---\nlicense: mit\n---\n"]
)
def test_a_card_without_front_matter_states_nothing(tmp_path: Path, text: str) -> None:
    put(tmp_path, "README.md", text)
    assert stated(tmp_path) == {}


def test_a_card_is_read_to_its_first_64_kib_only(tmp_path: Path) -> None:
    put(tmp_path, "README.md", "---\nlicense: mit\n" + "x" * 2**16 + "\n---\n")
    assert stated(tmp_path) == {}
    (tmp_path / "README.md").write_bytes(b"---\nlicense: mit\n---\n" + b"\xff" * 2**24)
    assert stated(tmp_path) == {"license": ("mit", "README.md")}


def test_a_long_text_is_cut(tmp_path: Path) -> None:
    assert of_config(tmp_path, model_type="x" * 5000) == {"model-type": "x" * 1000}
    put(tmp_path, "README.md", f"---\nlicense: {'y' * 1100}\n---\n")
    assert stated(tmp_path)["license"] == ("y" * 1000, "README.md")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("license: mit # a # b", "mit"),
        ("license: mit#a", "mit#a"),
        ("license: mit\t#a", "mit"),
        ("license: 'mit' # a", "mit"),
        ('license: "mit"\t # a', "mit"),
        ("license: 'mit'#a", None),
        ("license: 'mit' a", None),
        ("license: 'it''s'", None),
        ("license: 'mit", None),
        ("license: # mit", None),
        ("license:mit", None),
        ("license : mit", None),
        ("license", None),
        ("license: " + "y" * 1200, None),
    ],
)
def test_a_comment_is_no_part_of_a_value(tmp_path: Path, line: str, value: str | None) -> None:
    put(tmp_path, "README.md", f"---\n{line}\n---\n")
    assert stated(tmp_path) == ({} if value is None else {"license": (value, "README.md")})


@pytest.mark.parametrize("middle", [" ", "\t", " #", "#", "'"])
def test_a_card_made_to_stall_its_reader_is_read_at_once(tmp_path: Path, middle: str) -> None:
    lines = [f"license: a{(middle * 60_000)[:length]}b #" for length in (60_000, *[1150] * 3)]
    put(tmp_path, "README.md", "\n".join(["---", *lines, "---"]))
    begun = time.process_time()
    read(tmp_path)
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '"a"', '{"a": 1, "a": 2}', '{"vocab_size": 1, "vocab_size": 2}', '{"a": "\\ud800"}'),
        *("[" * 100_000, '{"a": ' + "1" * 5000 + "}", '{"vocab_size": 1}' + " " * 2**22),
    ],
    ids=lambda text: text[:20],
)
@pytest.mark.parametrize("name", ["config.json", "quantize_config.json", "adapter_config.json"])
def test_a_file_that_is_not_understood_is_said_so(tmp_path: Path, name: str, text: str) -> None:
    put(tmp_path, name, text)
    assert read(tmp_path) == (Fact(name=name, value=None, source=name, reason="not-understood"),)


def test_a_fifo_is_not_understood_and_nobody_waits_for_it(tmp_path: Path) -> None:
    for name in ("config.json", "README.md"):
        os.mkfifo(tmp_path / name)
    assert [(fact.name, fact.reason) for fact in read(tmp_path)] == [
        ("config.json", "not-understood"),
        ("README.md", "not-understood"),
    ]
