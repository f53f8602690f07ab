"""Safetensors headers: what the library writes is read exactly, and no lie about a tensor passes."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bench.errors import ModelInvalid, UsageError
from bench.parameters.inventory import MAX_HEADER_BYTES, Stored
from bench.parameters.safetensors import BITS, read
from bench.printable import printable
from bench.terms import Fact

ROOT = Path(__file__).parents[2]
FOUR = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}


def written(
    folder: Path,
    header: Mapping[str, object] | bytes,
    data: bytes = b"",
    *,
    length: int | None = None,
    size: int | None = None,
    name: str = "model.safetensors",
) -> Path:
    """A file with that header, which may lie; `size` cuts or extends it, without taking space on disk."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / name
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    if size is not None:
        os.truncate(path, size)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModelInvalid) as caught:
        read(path)
    said = str(caught.value)
    assert said.startswith(printable(str(path)))
    assert "\n" not in said
    return said


def child(code: str, *words: str | Path) -> dict[str, Any]:
    """What `code` printed as JSON in a process of its own, with the CPU seconds and MB that it took.

    VmHWM and not ru_maxrss: the latter begins with the memory of the process that forked.
    """
    after = (
        "\nimport re, time\nfrom pathlib import Path\n"
        "peak = int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024\n"
        "print(json.dumps({**said, 'mb': peak, 'cpu_s': time.process_time()}))"
    )
    command = [sys.executable, "-c", "import json, sys\n" + code + after, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# ------------------------------------------------------------------------- what the library writes

WRITTEN = {
    "a.bf16": torch.zeros(3, 5, dtype=torch.bfloat16),
    "a.f16": torch.zeros(7, dtype=torch.float16),
    "a.f32": torch.zeros(2, 3, 4, dtype=torch.float32),
    "a.f64": torch.zeros(1, dtype=torch.float64),
    "a.f8": torch.zeros(5, 3).to(torch.float8_e4m3fn),
    "a.f8b": torch.zeros(3).to(torch.float8_e5m2),
    "a.i8": torch.zeros(11, dtype=torch.int8),
    "a.u8": torch.zeros(13, dtype=torch.uint8),
    "a.i64": torch.zeros(2, dtype=torch.int64),
    "a.c64": torch.zeros(2, dtype=torch.complex64),
    "a.bool": torch.zeros(9, dtype=torch.bool),
    "a.scalar": torch.tensor(1.5),
    "a.none": torch.zeros(0, 4),
}
TYPES = ("BF16", "F16", "F32", "F64", "F8_E4M3", "F8_E5M2", "I8", "U8", "I64", "C64", "BOOL", "F32", "F32")


def test_every_tensor_that_the_library_wrote_is_read_exactly(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(WRITTEN, path, metadata={"format": "pt"})
    header = read(path)
    found = {t.name: (t.dtype, t.shape, t.elements, t.nbytes, t.file) for t in header.tensors}
    assert found == {
        name: (dtype, tuple(t.shape), t.numel(), t.nbytes, "model.safetensors")
        for (name, t), dtype in zip(WRITTEN.items(), TYPES, strict=True)
    }
    assert header.stated == (Fact(name="metadata/format", value="pt", source="model.safetensors"),)
    assert header.size + sum(t.nbytes for t in header.tensors) == path.stat().st_size


def test_the_offset_is_where_the_tensor_lies_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({name: torch.full((64,), i, dtype=torch.uint8) for i, name in enumerate("abc", 1)}, path)
    for tensor in read(path).tensors:
        start = tensor.offset or 0
        assert path.read_bytes()[start : start + 64] == bytes(["_abc".index(tensor.name)]) * 64


@pytest.mark.parametrize("dtype", BITS)
def test_every_type_of_the_library_is_known_with_its_bits(tmp_path: Path, dtype: str) -> None:
    path = written(
        tmp_path, {"a": {"dtype": dtype, "shape": [8], "data_offsets": [0, BITS[dtype]]}}, b"", size=None
    )
    os.truncate(path, path.stat().st_size + BITS[dtype])
    assert read(path).tensors[0].nbytes == BITS[dtype]


def test_the_library_knows_no_further_type(tmp_path: Path) -> None:
    path = written(tmp_path, {"a": {**FOUR, "dtype": "F3"}}, b"1234")
    with pytest.raises(SafetensorError) as caught, safe_open(path, framework="numpy"):
        pass
    known = str(caught.value).split("expected one of ")[1].split(" at line")[0]
    assert {word.strip("`") for word in known.split(", ")} == set(BITS)


def test_a_header_without_tensors_and_with_spaces_behind_is_read(tmp_path: Path) -> None:
    header = read(written(tmp_path, b"{ }   "))
    assert (header.tensors, header.size) == ((), 14)


def test_metadata_is_cut_and_no_more_than_a_hundred_are_kept(tmp_path: Path) -> None:
    metadata = {f"k{i}": 'x{[,]}"\\é' * 500 for i in range(300)}
    stated = read(written(tmp_path, {"__metadata__": metadata, "a": FOUR}, b"1234")).stated
    assert [fact.name for fact in stated] == [f"metadata/k{i}" for i in range(100)]
    assert {fact.value for fact in stated} == {metadata["k0"][:1000]}


# ------------------------------------------------------------------------------------------ the lies


def tensor(dtype: str, shape: list[Any], begin: Any, end: Any) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_a_shape_larger_than_its_bytes_is_refused(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, {"a": tensor("BF16", [1000, 1000], 0, 4)}, b"1234"))
    assert "takes 2000000 bytes; its data_offsets [0, 4] give it 4" in said


def test_a_shape_of_half_bytes_is_refused(tmp_path: Path) -> None:
    assert "takes 28 bits" in refusal(written(tmp_path, {"a": tensor("F4", [7], 0, 4)}, b"1234"))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (tensor("U8", [-4], 0, 4), "negative dimension"),
        (tensor("U8", [1] * 17, 0, 1), "17 dimensions"),
        (tensor("U8", [2**60], 0, 2**60), "whole numbers"),
        (tensor("U8", [2**40, 2**40], 0, 4), "more elements than any model has"),
        (tensor("U8", [0, 2**63], 0, 0), "whole numbers"),
        (tensor("U8", [4.0], 0, 4), "whole numbers"),
        (tensor("U8", [True, 4], 0, 4), "whole numbers"),
        (tensor("U8", ["4"], 0, 4), "whole numbers"),
        (tensor("U8", [4], 4, 0), "give it -4"),
        (tensor("U8", [4], -4, 0), "overlaps the header"),
        (tensor("U8", [4], "0", 4), "whole numbers"),
        (tensor("Q4_K", [4], 0, 4), "of the type Q4_K; expected one of F4, "),
        (tensor("u8", [4], 0, 4), "of the type u8"),
        ({**FOUR, "data_offsets": [0, 4, 4]}, "two data_offsets"),
        ({**FOUR, "note": 1}, "is not described by"),
        ({"dtype": "U8", "shape": [4]}, "is not described by"),
        ({**FOUR, "shape": {"a": 4}}, "byte 9 of the file is not that of a safetensors header"),
        (["U8", [4], [0, 4]], "byte 9 of the file is not that of a safetensors header"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(tmp_path: Path, entry: object, words: str) -> None:
    assert words in refusal(written(tmp_path, {"a": entry}, b"1234"))


def test_tensors_that_overlap_are_refused(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, {"a": FOUR, "b": tensor("U8", [4], 2, 6)}, b"123456"))
    assert "the tensor b overlaps the tensor a" in said


def test_two_tensors_on_the_same_bytes_are_refused(tmp_path: Path) -> None:
    assert "overlaps" in refusal(written(tmp_path, {"a": FOUR, "b": FOUR}, b"1234"))


def test_a_hole_between_tensors_is_refused(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, {"a": FOUR, "b": tensor("U8", [4], 5, 9)}, b"123456789"))
    assert "the tensor b leaves a hole behind the tensor a" in said


@pytest.mark.parametrize(
    ("data", "words"), [(b"123", "It is cut short"), (b"12345", "No tensor has the bytes")]
)
def test_tensors_that_do_not_end_with_the_file_are_refused_with_both_sizes(
    tmp_path: Path, data: bytes, words: str
) -> None:
    path = written(tmp_path, {"a": FOUR}, data)
    size = path.stat().st_size
    said = refusal(path)
    assert f"its tensors end at byte {size - len(data) + 4}, and the file has {size} bytes" in said
    assert words in said


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, cut: int) -> None:
    refusal(written(tmp_path, {"a": FOUR}, b"1234", size=cut))


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 200_000_000, MAX_HEADER_BYTES + 1])
def test_a_header_longer_than_is_read_is_refused_before_it_is_read(tmp_path: Path, length: int) -> None:
    assert f"would have {length} bytes" in refusal(written(tmp_path, {"a": FOUR}, b"1234", length=length))


def test_a_header_longer_than_the_file_is_refused_with_both_ends(tmp_path: Path) -> None:
    path = written(tmp_path, {"a": FOUR}, b"1234", length=MAX_HEADER_BYTES)
    assert f"end at byte 100000008, and the file has {path.stat().st_size} bytes" in refusal(path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b'{"a":E,"a":E}', 'names "a" twice'),
        (b'{"a":E,"\\u0061":E}', 'names "a" twice'),
        (b'{"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}', "each once"),
        (b'{"a":{"dtype":"U8","shape":[9],"shape":[4],"data_offsets":[0,4]}}', "each once"),
        (b'{"__metadata__":{"k":"v","k":"w"},"a":E}', "each key once"),
        (b'{"__metadata__":{"k":1},"a":E}', "not strings"),
        (b'{"__metadata__":null,"a":E}', "byte 9"),
        (b'{"__metadata__":{"' + b"k" * 1025 + b'":"v"},"a":E}', "1024 characters"),
        (b' {"a":E}', "does not begin with"),
        (b'\xef\xbb\xbf{"a":E}', "does not begin with"),
        (b'[{"a":E}]', "does not begin with"),
        (b"", "does not begin with"),
        (b'{"a":E}x', "expected its end"),
        (b'{"a":E}{"b":E}', "expected its end"),
        (b'{"a":E,}', "is not that of a safetensors header"),
        (b'{"a":E', "is not that of a safetensors header"),
        (b'{"\xff":E}', "is not that of a safetensors header"),
        (b'{"a\n":E}', "is not that of a safetensors header"),
        (b'{"a":{"shape":' + b"[" * 2000 + b"]" * 2000 + b"}}", "is not that of a safetensors header"),
        (b'{"' + b"n" * 1025 + b'":E}', "a name of 1025 characters"),
        (b'{"\\ud800":E}', "the safetensors library refuses it: Error while deserializing header"),
        (b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[-0,4]}}', "the safetensors library refuses it"),
    ],
)
def test_a_header_that_two_readers_could_read_in_two_ways_is_refused(
    tmp_path: Path, header: bytes, words: str
) -> None:
    entry = json.dumps(FOUR).encode()
    assert words in refusal(written(tmp_path, header.replace(b"E", entry), b"1234"))


def test_a_name_that_controls_the_terminal_is_made_safe(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, {"a\x1b[2J\nb": tensor("U8", [5], 0, 4)}, b"1234"))
    assert "the tensor a b of shape [5]" in said


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    for path in (tmp_path / "model.safetensors", tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(UsageError, match=r"regular file|cannot be read"):
            read(path)


# ----------------------------------------------------------------------------- whatever the bytes are

SMALL = {
    "__metadata__": {"format": "pt"},
    "a": tensor("BF16", [2, 3], 0, 12),
    "b.weight": tensor("F4", [2, 4], 12, 16),
    "c": tensor("I64", [], 16, 24),
}
_numbers = st.integers(-2, 30) | st.sampled_from([2**31, 2**53, 2**63, 2**64])
_json = st.none() | st.booleans() | _numbers | st.floats() | st.text(max_size=3) | st.sampled_from([*BITS])
_values = st.recursive(
    _json, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A small file with an entry replaced, bytes of its header replaced, or another length in front."""
    header: dict[str, Any] = json.loads(json.dumps(SMALL))
    if draw(st.booleans()):
        name = draw(st.sampled_from(["a", "b.weight", "c"]))
        key = draw(st.sampled_from(["dtype", "shape", "data_offsets"]))
        header[name][key] = draw(_values | st.lists(_numbers, max_size=3) | st.sampled_from([*BITS]))
    raw = bytearray(json.dumps(header).encode())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(raw) - 1))
        raw[at : at + draw(st.integers(0, 2))] = draw(
            st.binary(max_size=2) | st.sampled_from([b'"', b"}", b" ", b"0"])
        )
    length = len(raw) + draw(st.sampled_from([0, 0, 0, 1, -1, 8, 2**40, 2**63]))
    return (
        struct.pack("<Q", length % 2**64) + bytes(raw) + bytes(24 + draw(st.sampled_from([0, 0, 0, 1, -1])))
    )


@given(data=_mutated())
@settings(max_examples=600, deadline=None)
def test_what_is_read_the_library_reads_alike_and_all_else_is_refused(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.safetensors"
    path.write_bytes(data)
    try:
        tensors = read(path).tensors
    except ModelInvalid:
        return
    with safe_open(path, framework="numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118, it is no dict
        theirs = {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    assert {t.name: (t.dtype, t.shape) for t in tensors} == theirs
    assert sum(t.nbytes for t in tensors) == len(data) - 8 - int.from_bytes(data[:8], "little")


# --------------------------------------------------------------------------------- bounded, whatever

READ = """
from pathlib import Path
from bench.errors import ModelInvalid
from bench.parameters import safetensors
try:
    said = {"tensors": len(safetensors.read(Path(sys.argv[1])).tensors)}
except ModelInvalid as error:
    said = {"error": str(error)}
"""


def test_a_million_tensors_are_refused_in_bounded_time_and_memory(tmp_path: Path) -> None:
    entry = '":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    header = "{" + ",".join(f'"m.{i}{entry}' for i in range(10**6)) + "}"
    said = child(READ, written(tmp_path, header.encode()))
    assert "lists 1000000 tensors, at most 500000" in said["error"]
    assert said["cpu_s"] < 2
    assert said["mb"] < 150


def test_an_entry_with_escapes_would_not_be_counted_and_is_refused(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"U8","shape":[4],"data_offset\\u0073":[0,4]}}'
    assert "is not that of a safetensors header" in refusal(written(tmp_path, header, b"1234"))


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"U8","shape":[' + b"[]," * 10_000_000,
        b'{"__metadata__":{' + b'"":"",' * 5_000_000 + b'"":""}}',
        b'{"' + b"\\u0061" * 5_000_000,
        b"{" + b" " * 30_000_000,
    ],
    ids=["lists", "metadata", "a name", "spaces"],
)
def test_a_header_made_to_exhaust_its_reader_is_refused_in_bounded_time_and_memory(
    tmp_path: Path, header: bytes
) -> None:
    said = child(READ, written(tmp_path, header))
    assert "is not that of a safetensors header" in said["error"]
    assert said["cpu_s"] < 2
    assert said["mb"] < 150


# ------------------------------------------------------------------------------------ a model of 70 B


def llama_70b() -> dict[str, list[int]]:
    """Names and shapes of Llama 2 and 3's largest common size; with a vocabulary of 128,256 here."""
    shapes = {"model.embed_tokens.weight": [128_256, 8192], "lm_head.weight": [128_256, 8192]}
    shapes["model.norm.weight"] = [8192]
    for i in range(80):
        layer = f"model.layers.{i}."
        for part, shape in {
            "self_attn.q_proj": [8192, 8192],
            "self_attn.k_proj": [1024, 8192],
            "self_attn.v_proj": [1024, 8192],
            "self_attn.o_proj": [8192, 8192],
            "mlp.gate_proj": [28_672, 8192],
            "mlp.up_proj": [28_672, 8192],
            "mlp.down_proj": [8192, 28_672],
            "input_layernorm": [8192],
            "post_attention_layernorm": [8192],
        }.items():
            shapes[f"{layer}{part}.weight"] = shape
    return shapes


def sparse_model(folder: Path, shapes: Mapping[str, list[int]], shards: int) -> None:
    """The model in bf16 with its index; the tensors' bytes are holes that take no space on disk."""
    weight_map = {}
    for number in range(shards):
        name, at, header = f"model-{number + 1:05}-of-{shards:05}.safetensors", 0, {}
        for tensor_name in list(shapes)[number::shards]:
            end = at + 2 * prod(shapes[tensor_name])
            header[tensor_name] = tensor("BF16", shapes[tensor_name], at, end)
            weight_map[tensor_name], at = name, end
        raw = json.dumps(header).encode()
        written(folder, raw, size=8 + len(raw) + at, name=name)
    total = {"total_size": 2 * sum(map(prod, shapes.values()))}
    index = json.dumps({"metadata": total, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(index)


def test_a_model_of_70_b_parameters_in_30_files_takes_two_seconds_and_little_memory(tmp_path: Path) -> None:
    sparse_model(tmp_path, llama_70b(), 30)
    said = child(
        """
from pathlib import Path
from bench.judge import catalog
from bench.parameters import model
from bench.parameters.conclusion import conclude
found = model.read(Path(sys.argv[1]), nonce="5a" * 32, covers="sampled")
counted = conclude(found, None, catalog.rules(catalog.DEFAULT_RULES)).count
said = {"parameters": counted.high, "low": counted.low, "groups": len(found.groups),
        "files": [file.size for file in found.files], "findings": len(found.findings)}
""",
        tmp_path,
    )
    assert said["parameters"] == 70_553_706_496
    # Holes hold nothing: but for its norms, which are not looked at, the model is empty.
    assert said["low"] == 161 * 8192
    assert sum(said["files"]) > 2 * 70_553_706_496
    assert (len(said["files"]), said["groups"], said["findings"]) == (30, 12, 0)
    assert said["mb"] < 300
    assert said["cpu_s"] < 2


def test_what_is_read_is_a_stored_tensor(tmp_path: Path) -> None:
    (found,) = read(written(tmp_path, {"a": FOUR}, b"1234")).tensors
    assert found == Stored(
        name="a",
        dtype="U8",
        shape=(4,),
        file="model.safetensors",
        offset=8 + len(json.dumps({"a": FOUR})),
        nbytes=4,
    )
