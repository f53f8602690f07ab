"""A model read from its files: chosen, every header read and cross-checked, its content looked at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from bench.errors import ModelInvalid
from bench.parameters import files, sample, stated
from bench.parameters.files import Chosen
from bench.parameters.inventory import (
    MAX_COUNT,
    Header,
    Stored,
    grouped,
    listing,
    require_few,
    require_once,
)
from bench.terms import Fact, Finding, Model, ModelFormat

Covers = Literal["full", "sampled"]

# The module that reads each format's headers; each imports its library when it is asked.
READERS: Mapping[ModelFormat, str] = {
    "safetensors": "bench.parameters.safetensors",
    "gguf": "bench.parameters.gguf",
    "onnx": "bench.parameters.onnx",
    "pytorch": "bench.parameters.pytorch",
}

# Counts of separate tensors may pass no integer that JSON holds, however they are unpacked.
_MOST_ELEMENTS = MAX_COUNT // 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """The headers of all files, in the order of `chosen.files`."""

    chosen: Chosen
    headers: tuple[Header, ...]

    @property
    def tensors(self) -> tuple[Stored, ...]:
        return tuple(tensor for header in self.headers for tensor in header.tensors)


def read(path: Path, *, nonce: str, covers: Covers, progress: Callable[[int], None] | None = None) -> Model:
    """The model in the file or folder at `path`, looked at where `nonce` draws.

    `covers` says what of each file its digest covers; `progress` is told the bytes that were digested.
    Raises UsageError when there is no model, ModelInvalid when its files contradict themselves.
    """
    found = _headers(files.choose(path))
    tensors = found.tensors
    _require_countable(path, tensors)
    paths = _paths(found)
    facts = _facts(found)
    return Model(
        format=found.chosen.format,
        files=tuple(
            sample.digest(file, _header_size(found, file), nonce, covers, progress) for file in paths.values()
        ),
        listing=listing(tensors),
        groups=grouped(tensors),
        stated=facts,
        findings=tuple(_findings(found, tensors, facts, whole_folder=path.is_dir())),
        sample=sample.look(tensors, paths, nonce),
    )


def covers(model: Model) -> Covers:
    """What the digests of a model's files were asked to cover: small files are always covered whole."""
    return "sampled" if any(file.covers == "sampled" for file in model.files) else "full"


def _headers(chosen: Chosen) -> _Read:
    reader: Callable[[Path], Header] = import_module(READERS[chosen.format]).read
    headers: list[Header] = []
    for file in chosen.files:
        headers.append(reader(file))
        require_few(str(chosen.folder), sum(len(header.tensors) for header in headers))
    found = _Read(chosen=chosen, headers=tuple(headers))
    require_once(found.tensors)
    files.require_index(chosen, found.tensors)
    if chosen.format == "gguf":
        _require_whole_split(found)
    return found


def _require_countable(path: Path, tensors: Sequence[Stored]) -> None:
    if not tensors:
        raise ModelInvalid(f"{path}: it holds no tensors.")
    if sum(max(tensor.elements, tensor.weights or 0) for tensor in tensors) > _MOST_ELEMENTS:
        raise ModelInvalid(f"{path}: its tensors together have more elements than any model.")


def _require_whole_split(found: _Read) -> None:
    """A GGUF model in parts says in each how many there are, and how many tensors in all."""
    for number, header in enumerate(found.headers):
        said = {fact.name: fact.value for fact in header.stated}
        parts, place = said.get("shards", 1), said.get("shard", 0)
        if parts != len(found.headers) or place != number:
            raise ModelInvalid(
                f"{found.chosen.files[number]}: it says that it is part {place} (from 0) of {parts}, and is "
                f"read as part {number} of {len(found.headers)}. Give a folder with all parts of one model."
            )
        if (total := said.get("tensors-in-all", len(found.tensors))) != len(found.tensors):
            raise ModelInvalid(
                f"{found.chosen.files[number]}: it says that all parts hold {total} tensors, and they hold "
                f"{len(found.tensors)}."
            )


def _paths(found: _Read) -> dict[str, Path]:
    """Every file of the model by its name: those chosen, then those that these name beside them."""
    paths = {file.name: file for file in found.chosen.files}
    for tensor in found.tensors:
        paths.setdefault(tensor.file, found.chosen.folder / tensor.file)
    return paths


def _header_size(found: _Read, file: Path) -> int:
    sizes = {path: header.size for path, header in zip(found.chosen.files, found.headers, strict=True)}
    return sizes.get(file, 0)


def _facts(found: _Read) -> tuple[Fact, ...]:
    """What is stated, each once: a configuration's word goes before a header's, the first file's first."""
    facts: dict[str, Fact] = {}
    for fact in (*stated.read(found.chosen.folder), *(f for header in found.headers for f in header.stated)):
        facts.setdefault(fact.name, fact)
    return tuple(facts.values())


def _findings(
    found: _Read, tensors: Sequence[Stored], facts: Sequence[Fact], *, whole_folder: bool
) -> list[Finding]:
    findings = []
    said = found.chosen.stated_bytes
    stored = sum(tensor.nbytes for tensor in tensors if not tensor.shared)
    if said is not None and said != stored:
        findings.append(_finding("warning", "index-size-differs", stated=said, stored=stored))
    if found.chosen.beside and whole_folder:
        findings.append(_finding("info", "other-files-beside", files=len(found.chosen.beside)))
    if any(fact.reason is not None for fact in facts):
        findings.append(_finding("warning", "statement-not-understood"))
    return findings


def _finding(status: Literal["info", "warning"], code: str, **numbers: int) -> Finding:
    return Finding(subject="files", status=status, code=code, numbers=numbers)
