"""What is stated about a model beside its files: the vendor's own words, and unchecked.

The keys are those of published configurations: `config.json` of transformers and of MLX, GPTQ's
`quantize_config.json`, PEFT's `adapter_config.json`, and the front matter of a model card
(https://huggingface.co/docs/hub/model-cards#model-card-metadata).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench.errors import ModelInvalid, UsageError
from bench.parameters.files import opened, read_object
from bench.parameters.inventory import MAX_COUNT
from bench.terms import Fact

MAX_CONFIG_BYTES = 4 * 2**20
MAX_CARD_BYTES = 64 * 2**10
NOT_UNDERSTOOD = "not-understood"

_Value = str | int | bool
_Read = Callable[[object], _Value | None]

_MAX_VALUE = 1000
# Models of several parts describe their language model in one of these.
_NESTED = ("text_config", "llm_config", "language_config")

_CARD_FACTS = {
    "license": "license",
    "license_name": "license-name",
    "base_model": "base-model",
    "pipeline_tag": "pipeline-tag",
    "library_name": "library-name",
    "model_name": "card-name",
}
# A value that is kept has at most 1,000 characters; with its key and a comment, no card needs more.
_MAX_LINE = 1200
_COMMENT = re.compile(r"[ \t]#")
# What begins with one of these is no plain scalar but a list, a block, an alias, a tag or a comment.
_NOT_PLAIN = frozenset("\"'[]{}|>&*!%@`#,?:-")


def read(folder: Path) -> tuple[Fact, ...]:
    """What the configuration and the card in `folder` state, each name once; nothing where there are none.

    The source is the file's name, with "/text_config" or the like where it stands in such a part. A file
    that cannot be understood is a fact of its own name without a value.
    """
    facts: dict[str, Fact] = {}
    for reading in (_config, _gptq, _adapter, _card):
        for fact in reading(folder):
            facts.setdefault(fact.name, fact)
    return tuple(facts.values())


def _text(value: object) -> str | None:
    return value[:_MAX_VALUE] if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 < value <= MAX_COUNT else None


def _group_size(value: object) -> int | None:
    """-1 is a whole row."""
    return -1 if type(value) is int and value == -1 else _count(value)


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _first(value: object) -> str | None:
    return _text(value[0]) if isinstance(value, list) and value else None


_MODEL_KEYS: Mapping[str, tuple[_Read, tuple[str, ...]]] = {
    "architecture": (_first, ("architectures",)),
    "model-type": (_text, ("model_type",)),
    "experts": (
        _count,
        ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts"),
    ),
    "experts-used": (
        _count,
        (
            *("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "moe_topk"),
            *("top_k_experts", "experts_per_token"),
        ),
    ),
    "tied-embeddings": (_truth, ("tie_word_embeddings",)),
    "stored-type": (_text, ("torch_dtype", "dtype")),
    "layers": (_count, ("num_hidden_layers",)),
    "vocabulary": (_count, ("vocab_size",)),
    "hidden-size": (_count, ("hidden_size",)),
}
_QUANTISATION_KEYS: Mapping[str, tuple[_Read, tuple[str, ...]]] = {
    "quantisation": (_text, ("quant_method",)),
    "quantisation-bits": (_count, ("bits", "w_bit")),
    "quantisation-group": (_group_size, ("group_size",)),
}


_GROUP_KEYS: Mapping[str, tuple[_Read, tuple[str, ...]]] = {
    "quantisation-bits": (_count, ("num_bits",)),
    "quantisation-group": (_group_size, ("group_size",)),
}


def _facts(
    part: Mapping[str, object], keys: Mapping[str, tuple[_Read, tuple[str, ...]]], source: str
) -> Iterator[Fact]:
    for name, (value_of, spellings) in keys.items():
        values = (value_of(part.get(key)) for key in spellings)
        value = next((value for value in values if value is not None), None)
        if value is not None:
            yield Fact(name=name, value=value, source=source)


def _quantisation(part: Mapping[str, object], source: str) -> Iterator[Fact]:
    yield from _facts(part, _QUANTISATION_KEYS, source)
    # compressed-tensors: one group of layers or several; where these differ, none holds for all.
    groups = [_part(group, "weights") for group in _part(part, "config_groups").values()]
    if groups and all(group == groups[0] for group in groups):
        yield from _facts(groups[0], _GROUP_KEYS, source)
    for key, bits in (("load_in_4bit", 4), ("load_in_8bit", 8)):
        if part.get(key) is True:
            yield Fact(name="quantisation-bits", value=bits, source=source)


def _config(folder: Path) -> Iterator[Fact]:
    name = "config.json"
    config, failed = _object(folder, name)
    yield from failed
    parts = [(name, config), *((f"{name}/{key}", _part(config, key)) for key in _NESTED)]
    for source, part in parts:
        yield from _facts(part, _MODEL_KEYS, source)
        yield from _quantisation(_part(part, "quantization_config"), source)
    mlx = _part(config, "quantization")
    if mlx.keys() & {"group_size", "bits"}:
        yield Fact(name="quantisation", value="mlx", source=name)
        yield from _quantisation(mlx, name)


def _gptq(folder: Path) -> Iterator[Fact]:
    name = "quantize_config.json"
    config, failed = _object(folder, name)
    yield from failed
    yield from _quantisation(config, name)
    if config:
        yield Fact(name="quantisation", value="gptq", source=name)


def _adapter(folder: Path) -> Iterator[Fact]:
    name = "adapter_config.json"
    config, failed = _object(folder, name)
    yield from failed
    yield from _facts(config, {"adapter-type": (_text, ("peft_type",))}, name)


def _card(folder: Path) -> Iterator[Fact]:
    name = "README.md"
    path = folder / name
    if not path.exists():
        return
    try:
        with opened(path) as file:
            text = file.read(MAX_CARD_BYTES).decode("utf-8", "replace")
    except UsageError:
        yield Fact(name=name, value=None, source=name, reason=NOT_UNDERSTOOD)
        return
    lines = [line.rstrip() for line in text.split("\n")]
    if lines[0] != "---" or "---" not in lines[1:]:
        return
    for line in lines[1 : lines.index("---", 1)]:
        key, colon, rest = line.partition(":")
        if key in _CARD_FACTS and colon and rest[:1] in (" ", "\t") and len(line) <= _MAX_LINE:
            value = _text(_scalar(rest.strip(" \t")))
            if value is not None:
                yield Fact(name=_CARD_FACTS[key], value=value, source=name)


def _scalar(text: str) -> str | None:
    """A plain or quoted scalar of one line without the comment behind it; None for anything else in YAML."""
    mark = text[:1]
    if mark in ("'", '"'):
        inside, end, after = text[1:].partition(mark)
        # Text is stripped at its end, so that what follows the quote is a comment or no YAML.
        closed = end and (not after or (after[0] in " \t" and after.lstrip(" \t")[0] == "#"))
        return inside if closed and not (mark == '"' and "\\" in inside) else None
    if mark in _NOT_PLAIN:
        return None
    return _COMMENT.split(text, maxsplit=1)[0].rstrip(" \t")


def _part(config: object, key: str) -> Mapping[str, object]:
    part = config.get(key) if isinstance(config, dict) else None
    return part if isinstance(part, dict) else {}


def _object(folder: Path, name: str) -> tuple[Mapping[str, object], tuple[Fact, ...]]:
    """The object in the file of that name, empty without one; and the fact that it is not understood."""
    path = folder / name
    if not path.exists():
        return {}, ()
    try:
        return read_object(path, MAX_CONFIG_BYTES), ()
    except (ModelInvalid, UsageError):
        return {}, (Fact(name=name, value=None, source=name, reason=NOT_UNDERSTOOD),)
