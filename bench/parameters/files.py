"""Which files make up the model that a path names, and how a file beside them is read safely.

An index and the names in it are as the Hub's libraries write them: `model.safetensors.index.json` with
`weight_map`, a file for each tensor, and shards named `model-00001-of-00005.safetensors`
(https://huggingface.co/docs/huggingface_hub/package_reference/serialization); GGUF shards are named alike
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "File Naming Convention"). A variant such as
fp16 stands before the suffix or before the number, and in the index's name before `.json`
(https://huggingface.co/docs/diffusers/using-diffusers/loading, "Checkpoint variants").
"""

import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeGuard

from bench.errors import ModelInvalid, UsageError
from bench.parameters.inventory import MAX_COUNT, Stored, require_few
from bench.printable import printable
from bench.terms import ModelFormat

MAX_INDEX_BYTES = 64 * 2**20
# Brackets, braces and commas, wherever they stand: no JSON value has more parts. An index of the most
# tensors that are counted has as many commas.
_MAX_MARKS = 1_000_000

# In the order of preference: where a folder holds a model in several formats, the first is counted.
_FORMATS: Mapping[str, ModelFormat] = {
    ".safetensors": "safetensors",
    ".gguf": "gguf",
    ".onnx": "onnx",
    ".pt": "pytorch",
    ".pth": "pytorch",
    ".ckpt": "pytorch",
    ".bin": "pytorch",
}
_INDEX = re.compile(r"(?P<model>.+)\.index(?:\.\w+)?\.json", re.A)
_READABLE = f"{', '.join(_FORMATS)}, and *.safetensors.index.json or *.bin.index.json"
_SHARD = re.compile(
    r"(?P<stem>.+)-(?P<number>[0-9]{1,6})-of-(?P<total>[0-9]{1,6})"
    r"(?P<suffix>(?P<variant>\.\w+)?(?P<last>\.[a-z]+))",
    re.I | re.A,
)
# What a training run leaves beside its model, and what models of other programs keep their words in.
_NO_MODEL = re.compile(
    r"optimizer.*|(?:scheduler|scaler)(?:_[0-9]+)?\.(?:pt|bin)|rng_state.*\.pth|training_args\.bin"
    r"|.*optim_states\.pt|(?:tokenizer|vocab).*\.bin",
    re.I,
)
# What changes or serves the model beside it; alone it is what there is to count.
_SERVES = re.compile(r"adapter_model.*|mmproj.*\.gguf", re.I)
# The same model once more as its maker's own program has it, beside the one with an index.
_CONSOLIDATED = re.compile(r"consolidated\b.*", re.I)
# Part of a model whose matrices are each cut, as for several GPUs at once (tensor parallelism).
_CUT = re.compile(r"consolidated\.(?P<number>[0-9]+)(?P<suffix>\.[a-z]+)", re.I)
_ZIP = b"PK\x03\x04"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_MOST_LISTED = 10
_MOST_FOLDERS = 5
_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The files of one model, all in `folder`: shards by their number, others by name.

    With an index, `tensors_by_file` is the file that it states for each tensor, and `stated_bytes` its
    `total_size`. `beside` are the names of the folder's other model files, which are not counted.
    """

    format: ModelFormat
    files: tuple[Path, ...]
    folder: Path
    tensors_by_file: Mapping[str, str] | None
    stated_bytes: int | None
    beside: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    tensors_by_file: Mapping[str, str]
    stated_bytes: int | None


def choose(path: Path) -> Chosen:
    """The model that `path` names: a folder with one model, one of its files, or its index.

    A shard means all shards of its model. Raises UsageError where there is no model or more than one, and
    ModelInvalid where an index or the numbers of the shards contradict the files that are there.
    """
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return _in_folder(path) if is_folder else _of_file(path)


def require_index(chosen: Chosen, tensors: Sequence[Stored]) -> None:
    """Raises ModelInvalid unless each tensor lies in the file that the index states, and none is unlisted."""
    stated = chosen.tensors_by_file
    if stated is None:
        return
    absent = sorted(stated.keys() - {t.name for t in tensors})
    unlisted = [t for t in tensors if t.name not in stated]
    elsewhere = [t for t in tensors if stated.get(t.name, t.file) != t.file]
    what = None
    if absent:
        example = f"{printable(absent[0])} in {printable(stated[absent[0]])}"
        what = f"lists tensors that its files do not hold ({len(absent)}), such as {example}"
    elif unlisted:
        example = f"{printable(unlisted[0].name)} in {printable(unlisted[0].file)}"
        what = f"does not list tensors that its files hold ({len(unlisted)}), such as {example}"
    elif elsewhere:
        first = elsewhere[0]
        example = f"{printable(first.name)}: {printable(stated[first.name])}, and it lies in "
        what = (
            f"states the wrong file for tensors ({len(elsewhere)}), such as {example}{printable(first.file)}"
        )
    if what is not None:
        raise ModelInvalid(
            f"{_shown(chosen.folder)}: the model's index {what}. Index and files are not of one model."
        )


# ------------------------------------------------------------------------------------- reading a file


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The regular file at `path` for reading, links followed. Raises UsageError, and never waits."""
    try:
        # Without O_NONBLOCK opening a FIFO would wait for a writer for ever.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{_shown(path)}: it is not a regular file. Give a file with a model in it.")
            yield file
    except OSError as error:
        raise _unreadable(path, error) from error


def read_object(path: Path, limit: int) -> dict[str, object]:
    """The JSON object that the file at `path` holds, of at most `limit` bytes.

    Raises ModelInvalid for what is no JSON object, names a key twice, or holds a lone surrogate, and
    UsageError for a file that cannot be read. NaN and infinities are taken: configurations have them.
    """
    with opened(path) as file:
        data = file.read(limit + 1)
    # Counted before parsing: "[],[],[],…" takes thirty times its size as a Python value.
    marks = sum(data.count(mark) for mark in (b"[", b"{", b","))
    if len(data) > limit or marks > _MAX_MARKS:
        what = f"more than {limit} bytes" if len(data) > limit else f"more than {_MAX_MARKS} values"
        raise ModelInvalid(f"{_shown(path)}: it has {what}, which no such file needs.")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_once_each)
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ModelInvalid(
            f"{_shown(path)}: it is no JSON that can be read: {printable(str(error))}."
        ) from error
    if not isinstance(value, dict):
        raise ModelInvalid(f"{_shown(path)}: its JSON is not an object.")
    return value


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f'the key "{printable(twice)}" stands twice in one object')
    return values


# ---------------------------------------------------------------------------------- one file, a folder


def _of_file(path: Path) -> Chosen:
    folder, name = path.parent, path.name
    form = _format(name)
    if form is None:
        raise UsageError(f"{_shown(path)}: a file of this name is not read. Readable are {_READABLE}.")
    names = _model_files(folder)
    if _is_index(name):
        return _chosen(folder, names, form, index=name)
    shard = _SHARD.fullmatch(name)
    if shard is None:
        return _chosen(folder, names, form, files=(name,))
    for index in _indexes_of(shard):
        if index in names:
            whole = _chosen(folder, names, form, index=index)
            if path in whole.files:
                return whole
    return _chosen(folder, names, form, files={name, *(n for n in names if _same_set(shard, n))})


def _indexes_of(shard: re.Match[str]) -> Iterator[str]:
    """The names that the index of its model can have."""
    model, variant = shard["stem"], shard["variant"] or ""
    yield f"{model}{shard['last']}.index{variant}.json"
    model, dot, variant = model.rpartition(".")
    if dot:
        yield f"{model}{shard['last']}.index.{variant}.json"


def _in_folder(folder: Path) -> Chosen:
    names = _model_files(folder)
    models = [name for name in names if not _NO_MODEL.fullmatch(name)]
    models = [name for name in models if not _SERVES.fullmatch(name)] or models
    if any(_is_index(name) and not _CONSOLIDATED.fullmatch(name) for name in models):
        models = [name for name in models if not _CONSOLIDATED.fullmatch(name)]
    form = next((f for f in _FORMATS.values() if any(_format(name) == f for name in models)), None)
    if form is None:
        raise _no_model(folder)
    of_format = [name for name in models if _format(name) == form]
    indexes = [name for name in of_format if _is_index(name)]
    if len(indexes) > 1:
        raise _several(folder, indexes)
    chosen = _chosen(folder, names, form, index=indexes[0]) if indexes else None
    counted = {file.name for file in chosen.files} if chosen is not None else set()
    sets: dict[tuple[str, str], list[str]] = {}
    for name in of_format:
        if name not in counted and name not in indexes:
            if chosen is not None and name.lower().endswith(".bin") and not _is_zip(folder / name):
                continue
            sets.setdefault(_set_of(name), []).append(name)
    if len(indexes) + len(sets) > 1:
        raise _several(folder, [*indexes, *(names[0] for names in sets.values())])
    if chosen is not None:
        return chosen
    (files,) = sets.values()
    return _chosen(folder, names, form, files=files)


def _set_of(name: str) -> tuple[str, str]:
    """What the files of one model have in common."""
    shard = _SHARD.fullmatch(name)
    if shard is not None:
        return shard["stem"], shard["suffix"]
    cut = _CUT.fullmatch(name)
    return ("consolidated", cut["suffix"]) if cut is not None else (name, "")


def _is_zip(path: Path) -> bool:
    """Whether it begins as a checkpoint of torch.save does."""
    try:
        with opened(path) as file:
            return file.read(len(_ZIP)) == _ZIP
    except UsageError:
        return False


def _no_model(folder: Path) -> UsageError:
    with os.scandir(folder) as entries:
        below = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    held = [printable(str(folder / name)) for name in below if _has_model(folder / name)]
    if held:
        more = f" and {len(held) - _MOST_FOLDERS} more" if len(held) > _MOST_FOLDERS else ""
        return UsageError(
            f"{_shown(folder)}: no model file lies in it, but in folders below it: "
            f"{', '.join(held[:_MOST_FOLDERS])}{more}. Give the path of one of them."
        )
    return UsageError(
        f"{_shown(folder)}: no model file lies in it. Readable are {_READABLE}; give the folder or the "
        "file that holds the model."
    )


def _has_model(folder: Path) -> bool:
    try:
        return any(not _NO_MODEL.fullmatch(name) for name in _model_files(folder))
    except UsageError:
        return False


def _several(folder: Path, models: Sequence[str]) -> UsageError:
    more = f" and {len(models) - _MOST_LISTED} more" if len(models) > _MOST_LISTED else ""
    return UsageError(
        f"{_shown(folder)}: it holds {len(models)} models: "
        f"{', '.join(printable(name) for name in models[:_MOST_LISTED])}{more}. Give the path of one of them."
    )


def _chosen(
    folder: Path,
    names: Sequence[str],
    form: ModelFormat,
    *,
    files: Iterable[str] = (),
    index: str | None = None,
) -> Chosen:
    stated = _read_index(folder / index, form) if index is not None else None
    used = sorted(set(stated.tensors_by_file.values()) if stated is not None else files, key=_by_number)
    said_by = folder / index if index is not None else folder
    _require_there(said_by, used, [name for name in used if not _is_there(folder / name)])
    _require_uncut(folder, used, names)
    _require_all_shards(said_by, used)
    for name in used:
        # The name is signed and printed.
        if not name.isprintable():
            raise UsageError(
                f"{_shown(folder / name)}: its name has characters that cannot be shown. Rename the file."
            )
        with opened(folder / name):
            pass
    return Chosen(
        format=form,
        files=tuple(folder / name for name in used),
        folder=folder,
        tensors_by_file=stated.tensors_by_file if stated is not None else None,
        stated_bytes=stated.stated_bytes if stated is not None else None,
        beside=tuple(printable(n) for n in names if n not in set(used) and not _is_index(n)),
    )


def _model_files(folder: Path) -> list[str]:
    """Sorted, with the indexes. Hidden files are left out: some systems leave one beside each file."""
    try:
        with os.scandir(folder) as entries:
            found = [
                entry.name for entry in entries if _format(entry.name) is not None and not entry.is_dir()
            ]
    except OSError as error:
        raise _unreadable(folder, error) from error
    return sorted(name for name in found if not name.startswith("."))


def _format(name: str) -> ModelFormat | None:
    """By the suffix, of an index that of its model; None for what is not read."""
    index = _INDEX.fullmatch(name)
    form = _FORMATS.get(Path(index["model"] if index is not None else name).suffix.lower())
    return form if index is None or form in ("safetensors", "pytorch") else None


def _is_index(name: str) -> bool:
    return _INDEX.fullmatch(name) is not None


# --------------------------------------------------------------------------------- shards and indexes


def _by_number(name: str) -> tuple[int, str]:
    shard = _SHARD.fullmatch(name)
    return (int(shard["number"]) if shard is not None else 0), name


def _same_set(shard: re.Match[str], name: str) -> bool:
    other = _SHARD.fullmatch(name)
    return other is not None and other.group("stem", "suffix") == shard.group("stem", "suffix")


def _require_uncut(folder: Path, used: Iterable[str], names: Iterable[str]) -> None:
    """Raises UsageError for one of several parts that each have a piece of every matrix."""
    for name in used:
        cut = _CUT.fullmatch(name)
        if cut is not None:
            parts = {n for n in names if _set_of(n) == _set_of(name)} | {name}
            if len(parts) > 1 or int(cut["number"]):
                raise UsageError(
                    f"{_shown(folder / name)}: it is a part of one model that is cut across its tensors "
                    f"({len(parts)} parts are here), and no part has a whole one. Merge the parts or convert "
                    "them to safetensors first, and give the folder of what comes out."
                )


def _require_all_shards(said_by: Path, names: Iterable[str]) -> None:
    """Those of `names` that are numbered are numbered from 1 to the one total that they state."""
    sets: dict[tuple[str, str], list[re.Match[str]]] = {}
    for name in names:
        shard = _SHARD.fullmatch(name)
        if shard is not None:
            sets.setdefault((shard["stem"], shard["suffix"]), []).append(shard)
    for (stem, suffix), shards in sets.items():
        totals = sorted({int(shard["total"]) for shard in shards})
        numbers = [int(shard["number"]) for shard in shards]
        example = printable(shards[0].group())
        if len(totals) > 1:
            raise ModelInvalid(
                f"{_shown(said_by)}: shards such as {example} do not agree on how many there are: "
                f"{', '.join(str(total) for total in totals[:_EXAMPLES])}."
            )
        if len(set(numbers)) < len(numbers) or not set(numbers) <= set(range(1, totals[0] + 1)):
            raise ModelInvalid(
                f"{_shown(said_by)}: the {len(numbers)} shards such as {example} are not numbered 1 to "
                f"{totals[0]}, each once."
            )
        width, of = len(shards[0]["number"]), shards[0]["total"]
        missing = sorted(set(range(1, totals[0] + 1)) - set(numbers))
        _require_there(
            said_by,
            range(totals[0]),
            [f"{stem}-{number:0{width}}-of-{of}{suffix}" for number in missing],
        )


def _require_there(said_by: Path, wanted: Sequence[object], missing: Sequence[str]) -> None:
    if missing:
        more = f" and {len(missing) - _EXAMPLES} more" if len(missing) > _EXAMPLES else ""
        raise ModelInvalid(
            f"{_shown(said_by)}: {len(missing)} of the model's {len(wanted)} files are missing: "
            f"{', '.join(printable(name) for name in missing[:_EXAMPLES])}{more}. Put them beside the others."
        )


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def _read_index(path: Path, form: ModelFormat) -> _Index:
    value = read_object(path, MAX_INDEX_BYTES)
    listed, metadata = value.get("weight_map"), value.get("metadata", {})
    if not isinstance(listed, dict) or not isinstance(metadata, dict) or not _names_texts(listed):
        raise ModelInvalid(
            f'{_shown(path)}: it is no index; expected {{"metadata": {{…}}, "weight_map": {{tensor: file}}}}.'
        )
    require_few(_shown(path), len(listed))
    for file in set(listed.values()):
        # A separator or drive of any system: the same folder is read by others elsewhere.
        plain = file.isprintable() and not set(file) & set("/\\:") and not file.startswith(".")
        if not plain or _is_index(file) or _format(file) != form:
            raise ModelInvalid(
                f"{_shown(path)}: it places a tensor in {printable(file) or 'no file'}; expected the "
                f"plain name of a {form} file beside it."
            )
    return _Index(tensors_by_file=listed, stated_bytes=_total_size(path, metadata))


def _names_texts(listed: dict[str, object]) -> TypeGuard[dict[str, str]]:
    return bool(listed) and all(isinstance(file, str) for file in listed.values())


def _total_size(path: Path, metadata: Mapping[str, object]) -> int | None:
    size = metadata.get("total_size")
    if size is None:
        return None
    # A float where a writer took a truth value for an eighth of a byte.
    if isinstance(size, bool) or not isinstance(size, int | float) or not 0 <= size <= MAX_COUNT:
        raise ModelInvalid(
            f"{_shown(path)}: its total_size is {printable(str(size))}, expected a number of bytes."
        )
    return math.ceil(size)


def _unreadable(path: Path, error: Exception) -> UsageError:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return UsageError(f"{_shown(path)}: it cannot be read: {why.lower()}. Give a file or folder that can be.")


def _shown(path: Path) -> str:
    return printable(str(path))
