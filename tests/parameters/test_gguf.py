"""GGUF headers: what is read of files that the library wrote, and each lie that is refused."""

import os
import struct
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import ModelInvalid, UsageError
from bench.parameters import gguf as reader
from bench.parameters.inventory import Header

RANDOM = np.random.default_rng(8)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, dtype=np.float32)


def q4_k(weights: np.ndarray) -> np.ndarray:
    """Blocks of 256: two half-precision factors, eight scales and minima of six bits, 4-bit values.

    One scale and one minimum serve the whole block, which is a coarse but honest Q4_K.
    """
    blocks = weights.reshape(-1, 256)
    least = np.minimum(blocks.min(axis=1), 0)
    step = (blocks.max(axis=1) - least) / 15
    factors = np.stack([step / 32, -least / 32], axis=1).astype(np.float16).view(np.uint8)
    # Scale and minimum 32 in all eight: the low six bits of each byte, as four bits in the last four bytes.
    sixes = np.tile(np.array([32 | 0x80] * 4 + [32 | 0x80] * 4 + [0] * 4, np.uint8), (len(blocks), 1))
    values = np.clip(np.rint((blocks - least[:, None]) / step[:, None]), 0, 15).astype(np.uint8)
    pairs = values.reshape(-1, 4, 2, 32)
    nibbles = (pairs[:, :, 0] | pairs[:, :, 1] << 4).reshape(-1, 128)
    return np.concatenate([factors, sixes, nibbles], axis=1).reshape(*weights.shape[:-1], -1)


def write(
    path: Path,
    fill: Callable[[gguf.GGUFWriter], None],
    endian: gguf.GGUFEndian = gguf.GGUFEndian.LITTLE,
) -> Path:
    writer = gguf.GGUFWriter(path, "llama", endianess=endian)
    fill(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def model(writer: gguf.GGUFWriter) -> None:
    writer.add_name("A model")
    writer.add_block_count(2)
    writer.add_embedding_length(256)
    writer.add_token_list(["a", "b", "ö"])
    writer.add_tensor("token_embd.weight", floats(6, 256))
    writer.add_tensor("blk.0.ffn_up.weight", floats(3, 5, 64).astype(np.float16))
    bf16 = gguf.GGMLQuantizationType.BF16
    writer.add_tensor("blk.0.attn_q.weight", gguf.quants.quantize(floats(4, 32), bf16), raw_dtype=bf16)
    q8_0 = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("blk.1.attn_q.weight", gguf.quants.quantize(floats(4, 64), q8_0), raw_dtype=q8_0)
    writer.add_tensor("blk.1.ffn_up.weight", q4_k(floats(3, 512)), raw_dtype=gguf.GGMLQuantizationType.Q4_K)


def facts(header: Header) -> dict[str, object]:
    return {fact.name: fact.value for fact in header.stated}


def listed(header: Header) -> list[tuple[object, ...]]:
    return [(t.name, t.dtype, t.shape, t.elements, t.nbytes, t.offset) for t in header.tensors]


def listed_by_the_library(path: Path) -> list[tuple[object, ...]]:
    return [
        (
            t.name,
            t.tensor_type.name,
            tuple(int(extent) for extent in reversed(t.shape)),
            t.n_elements,
            t.n_bytes,
            t.data_offset,
        )
        for t in gguf.GGUFReader(path).tensors
    ]


def refusal(path: Path) -> str:
    with pytest.raises(ModelInvalid) as caught:
        reader.read(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_a_header_is_what_the_library_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", model)
    header = reader.read(path)
    assert listed(header) == listed_by_the_library(path)
    assert {t.name: t.weights for t in header.tensors}["blk.1.ffn_up.weight"] == 3 * 512
    assert {t.file for t in header.tensors} == {"m.gguf"}
    assert header.size < min(t.offset or 0 for t in header.tensors) < header.size + 32


def test_a_tensors_bytes_are_where_the_header_says(tmp_path: Path) -> None:
    kept = floats(7, 32)

    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_tensor("a", floats(5))
        writer.add_tensor("b", kept)

    path = write(tmp_path / "m.gguf", fill)
    b = reader.read(path).tensors[1]
    assert b.offset is not None
    assert path.read_bytes()[b.offset : b.offset + b.nbytes] == kept.tobytes()


def test_the_blocks_of_q4_k_are_near_what_they_encode() -> None:
    weights = floats(3, 512)
    decoded = gguf.quants.dequantize(q4_k(weights), gguf.GGMLQuantizationType.Q4_K)
    assert np.abs(decoded - weights).max() < (weights.max() - weights.min()) / 15


def test_a_big_endian_file_reads_the_same(tmp_path: Path) -> None:
    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_block_count(7)
        writer.add_tensor("a", floats(3, 5))

    big = write(tmp_path / "big.gguf", fill, gguf.GGUFEndian.BIG)
    assert listed(reader.read(big)) == listed_by_the_library(big)
    assert facts(reader.read(big))["layers"] == 7


def test_version_2_reads_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", model)
    three = listed(reader.read(path))
    data = bytearray(path.read_bytes())
    data[4] = 2
    path.write_bytes(data)
    assert listed(reader.read(path)) == three == listed_by_the_library(path)


def test_the_facts_are_the_headers_own_words(tmp_path: Path) -> None:
    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_type("model")
        writer.add_name("x" * 3000)
        writer.add_size_label("8x7B")
        writer.add_license("apache-2.0")
        writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
        writer.add_block_count(32)
        writer.add_embedding_length(4096)
        writer.add_expert_count(8)
        writer.add_expert_used_count(2)
        writer.add_token_list([f"t{i}" for i in range(77)])
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, "Base")
        writer.add_uint16("split.no", 0)
        writer.add_uint16("split.count", 3)
        writer.add_int32("split.tensors.count", 291)

    assert facts(reader.read(write(tmp_path / "m.gguf", fill))) == {
        "architecture": "llama",
        "model-type": "model",
        "card-name": "x" * 1000,
        "size-label": "8x7B",
        "license": "apache-2.0",
        "quantisation": "MOSTLY_Q4_K_M",
        "experts": 8,
        "experts-used": 2,
        "layers": 32,
        "hidden-size": 4096,
        "vocabulary": 77,
        "base-model": "Base",
        "shards": 3,
        "shard": 0,
        "tensors-in-all": 291,
    }


def test_facts_of_another_type_or_about_no_experts_are_left_out(tmp_path: Path) -> None:
    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_expert_count(0)
        writer.add_string("llama.block_count", "32")
        writer.add_int32("llama.embedding_length", -1)
        writer.add_uint32("general.file_type", 9999)
        writer.add_uint32("other.block_count", 5)
        writer.add_tensor("a", floats(4))

    assert facts(reader.read(write(tmp_path / "m.gguf", fill))) == {"architecture": "llama"}


def test_a_big_vocabulary_takes_no_memory(tmp_path: Path) -> None:
    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_token_list([f"token {i}" for i in range(300_000)])
        writer.add_token_scores([0.0] * 300_000)
        writer.add_tensor("a", floats(4))

    path = write(tmp_path / "m.gguf", fill)
    tracemalloc.start()
    header = reader.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    assert facts(header)["vocabulary"] == 300_000
    assert [t.name for t in header.tensors] == ["a"]


def test_a_vocabulary_alone_is_refused_with_what_to_give_instead(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", lambda w: w.add_token_list(["a"]))
    with pytest.raises(ModelInvalid, match=r"no tensors, only a vocabulary .* Give the GGUF file that has"):
        reader.read(path)


def test_the_first_part_of_a_model_in_parts_may_hold_words_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", lambda w: w.add_uint16("split.count", 2))
    assert reader.read(path).tensors == ()


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
def test_what_is_no_file_or_cannot_be_read_is_a_wrong_word(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.gguf"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(UsageError, match=r"cannot be read|not a regular file"):
        reader.read(path)


# ---------------------------------------------------------------------------- files made by hand


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def key(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def tensor(name: str | bytes = "a", shape: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def made(
    folder: Path,
    *tensors: bytes,
    keys: tuple[bytes, ...] = (),
    counts: tuple[int, int] | None = None,
    data: int = 64,
    version: int = 3,
) -> Path:
    path = folder / "m.gguf"
    header = b"GGUF" + struct.pack("<IQQ", version, *(counts or (len(tensors), len(keys))))
    header += b"".join((*keys, *tensors))
    path.write_bytes(header + bytes(-len(header) % 32) + bytes(data))
    return path


def test_a_file_made_by_hand_is_read_as_the_library_does(tmp_path: Path) -> None:
    path = made(tmp_path, tensor("a", (2, 3)), tensor("b", (), offset=32), data=64)
    assert listed(reader.read(path)) == listed_by_the_library(path)
    assert [t.shape for t in reader.read(path).tensors] == [(3, 2), ()]


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        (
            [tensor(shape=(17,))],
            "the tensor a of the shape [17] and the type F32 needs 68 bytes, and the file",
        ),
        ([tensor(shape=(2**40, 2**8))], f"needs {2**50} bytes"),
        ([tensor(shape=(2**60, 2**60))], "more elements than any model has"),
        ([tensor(shape=(2**62, 2**62, 2**62, 2**62, 2**8))], "more elements than any model has"),
        ([tensor(offset=64)], "needs 16 bytes, and the file has 0 from its offset on"),
        ([tensor(offset=2**63)], "from its offset on"),
        ([tensor(offset=8)], "the offset 8, which is no multiple of 32"),
        ([tensor("a", (9,)), tensor("b", offset=32)], "a and b lie on the same bytes"),
        ([tensor("a"), tensor("b")], "lie on the same bytes"),
        ([tensor("a"), tensor("a", offset=32)], "the tensor a is listed twice"),
        ([tensor(kind=8, shape=(33,))], "33 columns, which are no multiple of its block of 32"),
        ([tensor(kind=8, shape=())], "1 columns, which are no multiple of its block of 32"),
        ([tensor(kind=8, shape=(31, 32))], "31 columns"),
        ([tensor(kind=5)], "is of the type 5, which the package gguf does not know"),
        ([tensor(kind=2**31)], "is of the type 2147483648"),
        ([tensor(shape=(1,) * 17)], "17 dimensions"),
        ([tensor("x" * 1025)], "a name of 1025 characters"),
        ([tensor("x" * 5000)], "the name of tensor 0 has 5000 bytes"),
        ([tensor(b"\xff")], "the name of tensor 0 is no UTF-8 text"),
        ([struct.pack("<Q", 2**60)], f"the name of tensor 0 has {2**60} bytes"),
        ([text("a") + struct.pack("<I", 2**32 - 1)], "4294967295 dimensions"),
    ],
)
def test_a_lie_about_a_tensor_is_refused(tmp_path: Path, tensors: list[bytes], says: str) -> None:
    assert says in refusal(made(tmp_path, *tensors))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ([key("a", 4, bytes(4)), key("a", 4, bytes(4))], "the key a stands in it twice"),
        ([key("a", 13, b"")], "the value of a is of the type 13, which the package gguf does not know"),
        ([key("a", 8, struct.pack("<Q", 2**60))], f"the value of a takes {2**60} bytes"),
        ([key("general.name", 8, struct.pack("<Q", 2**60))], "the value of general.name takes"),
        ([key("a", 9, struct.pack("<IQ", 4, 2**60))], f"takes {2**62} bytes"),
        ([key("a", 9, struct.pack("<IQ", 8, 2**60))], f"{2**60} texts in the value of a"),
        ([key("a", 9, struct.pack("<IQ", 9, 2**60))], f"{2**60} arrays in the value of a"),
        ([key("a", 9, struct.pack("<IQQ", 8, 1, 2**60))], f"a text in the value of a takes {2**60}"),
        ([key("a", 9, struct.pack("<IQ", 99, 0))], "is of the type 99"),
        (
            [key("a", 9, struct.pack("<IQ", 8, 2_000_001) + bytes(8 * 2_000_001))],
            "with the value of a its arrays have 2000001 texts and arrays",
        ),
        ([key("a", 9, struct.pack("<IQ", 9, 1) * 9)], "arrays in arrays, more than 4 deep"),
        ([key("general.alignment", 4, struct.pack("<I", 0))], "its general.alignment is 0"),
        ([key("general.alignment", 4, struct.pack("<I", 48))], "expected a power of two"),
        ([key("general.alignment", 4, struct.pack("<I", 2**31))], "expected a power of two"),
        ([key("general.alignment", 8, text("32"))], "expected a power of two"),
        ([key("general.alignment", 7, b"\1")], "its general.alignment is True"),
    ],
)
def test_a_lie_among_the_keys_is_refused(tmp_path: Path, keys: list[bytes], says: str) -> None:
    assert says in refusal(made(tmp_path, keys=tuple(keys)))


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ((2**60, 0), f"lists {2**60} tensors"),
        ((400_000, 0), "400000 tensors, which take at least 9600000 bytes"),
        ((0, 2**60), f"lists {2**60} keys"),
        ((0, 60_000), "60000 keys, which take at least"),
        ((2, 0), "lie on the same bytes"),
        ((4, 0), "takes"),
    ],
)
def test_a_count_that_the_file_cannot_hold_is_refused_at_once(
    tmp_path: Path, counts: tuple[int, int], says: str
) -> None:
    path = made(tmp_path, tensor(), counts=counts)
    begin = time.monotonic()
    assert says in refusal(path)
    assert time.monotonic() - begin < 0.2


def test_another_alignment_moves_the_tensors(tmp_path: Path) -> None:
    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_custom_alignment(4096)
        writer.add_tensor("a", floats(3))
        writer.add_tensor("b", floats(3))

    path = write(tmp_path / "m.gguf", fill)
    assert [t.offset for t in reader.read(path).tensors] == [4096, 8192]
    assert listed(reader.read(path)) == listed_by_the_library(path)


def test_a_header_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path, keys=(key("a", 8, struct.pack("<Q", 2**30)),))
    with path.open("r+b") as file:
        file.truncate(2**31)
    assert "a header ends at the latest at byte 100000000" in refusal(path)


@pytest.mark.parametrize("version", [0, 1, 4, 2**16])
def test_another_version_is_named(tmp_path: Path, version: int) -> None:
    assert f"GGUF version {version}" in refusal(made(tmp_path, version=version))


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "m.gguf", model).read_bytes()
    last = max(t.offset + t.nbytes for t in reader.read(tmp_path / "m.gguf").tensors if t.offset)
    path = tmp_path / "cut.gguf"
    for end in (*range(700), last // 2, last - 1):
        path.write_bytes(data[:end])
        refusal(path)


def test_a_name_that_controls_the_terminal_is_made_safe(tmp_path: Path) -> None:
    assert "\x1b" not in refusal(made(tmp_path, tensor("\x1b[2Ja", (99,))))


@pytest.fixture(scope="module")
def small() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder) / "m.gguf", model).read_bytes()


@settings(max_examples=400, deadline=2000)
@given(changes=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_changed_file_is_refused_or_reads_as_the_library_reads_it(
    small: bytes, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(small)
    for at, value in changes:
        data[at] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.gguf"
        path.write_bytes(data)
        try:
            header = reader.read(path)
        except ModelInvalid:
            return
        try:
            expected = listed_by_the_library(path)
        except (ValueError, KeyError, IndexError, OverflowError):
            return
        assert listed(header) == expected
