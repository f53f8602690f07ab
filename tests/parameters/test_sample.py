"""Blocks of a model's tensors and digests of its files, at places that the nonce draws."""

import hashlib
import math
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.errors import ModelInvalid, UsageError
from bench.parameters import inventory, sample
from bench.parameters.inventory import Stored
from bench.terms import ContentSample, LookedAt

NONCE = "5f" * 32
OTHER = "a0" * 32

Arrays = dict[str, np.ndarray]
RANDOM = np.random.default_rng(7)


def weights(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, np.float32)


def file_of(folder: Path, arrays: Arrays, name: str = "model.bin") -> list[Stored]:
    """A file with the arrays one after the other, as its header would list them."""
    tensors, offset = [], 100
    with (folder / name).open("wb") as file:
        file.write(bytes(offset))
        for key, array in arrays.items():
            file.write(array.tobytes())
            tensors.append(stored(key, array.shape, array.nbytes, offset, str(array.dtype).upper(), name))
            offset += array.nbytes
    return tensors


def stored(
    name: str, shape: tuple[int, ...], nbytes: int, offset: int, dtype: str = "F32", file: str = "model.bin"
) -> Stored:
    return Stored(name=name, dtype=dtype, shape=shape, file=file, offset=offset, nbytes=nbytes)


def look(folder: Path, tensors: list[Stored], nonce: str = NONCE) -> ContentSample:
    return sample.look(tensors, {t.file: folder / t.file for t in tensors}, nonce)


def looked(folder: Path, arrays: Arrays, nonce: str = NONCE) -> dict[str, LookedAt]:
    """What was seen of each group, by its pattern."""
    tensors = file_of(folder, arrays)
    groups = inventory.grouped(tensors)
    return {groups[seen.group].pattern: seen for seen in look(folder, tensors, nonce).groups}


# ------------------------------------------------------------------------------------- the tensors


def test_trained_weights_stand_out_in_nothing(tmp_path: Path) -> None:
    arrays = {f"layers.{i}.w": weights(256, 512) for i in range(6)} | {"embed": weights(1000, 128)}
    for nonce in (NONCE, OTHER):
        seen = looked(tmp_path, arrays, nonce)
        assert {key: (s.tensors, s.constant, s.repeated) for key, s in seen.items()} == {
            "layers.#.w": (6, 0, 0),
            "embed": (1, 0, 0),
        }
        assert all(6.0 < s.entropy < 8.0 for s in seen.values())


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_a_tensor_of_one_value_is_constant(tmp_path: Path, value: float) -> None:
    arrays = {"layers.0.w": weights(256, 512), "layers.1.w": np.full((256, 512), value, np.float32)}
    seen = looked(tmp_path, arrays)["layers.#.w"]
    assert (seen.tensors, seen.constant, seen.repeated) == (2, 1, 0)
    # Of the bytes of 1.5 two are zero and two are not.
    assert seen.entropy == (0.0 if value == 0.0 else 1.5)


def test_many_constant_tensors_are_constant_and_not_repeated(tmp_path: Path) -> None:
    arrays = {f"layers.{i}.w": np.zeros((256, 512), np.float32) for i in range(4)}
    seen = looked(tmp_path, arrays)["layers.#.w"]
    assert (seen.constant, seen.repeated) == (4, 0)


def test_copies_of_a_layer_are_repeated_and_the_first_is_not(tmp_path: Path) -> None:
    layer = weights(256, 512)
    arrays = {f"layers.{i}.w": layer for i in range(4)} | {"layers.4.w": weights(256, 512)}
    for nonce in (NONCE, OTHER):
        seen = looked(tmp_path, arrays, nonce)["layers.#.w"]
        assert (seen.tensors, seen.constant, seen.repeated) == (5, 0, 3)


@pytest.mark.parametrize("period", [1, 2, 16, 64])
def test_rows_that_come_again_are_repeated(tmp_path: Path, period: int) -> None:
    arrays = {"w": np.tile(weights(period, 1024), (300 // period + 1, 1))[:300]}
    for nonce in (NONCE, OTHER):
        assert looked(tmp_path, arrays, nonce)["w"].repeated == 1


def test_a_flat_tensor_that_repeats_itself_is_repeated(tmp_path: Path) -> None:
    assert looked(tmp_path, {"w": np.tile(weights(4096), 64)})["w"].repeated == 1
    assert looked(tmp_path, {"w": weights(4096 * 64)})["w"].repeated == 0


def test_packed_blocks_that_are_all_alike_are_constant(tmp_path: Path) -> None:
    block, count = bytes(range(18)), 256 * 512 // 32
    tensors = [
        stored("w", (256, 512), 18 * count, 0, "Q4_0"),
        stored("v", (256, 512), 65536, 18 * count, "I4"),
    ]
    (tmp_path / "model.bin").write_bytes(block * count + b"\x21" * 65536)
    assert [(s.constant, s.repeated) for s in look(tmp_path, tensors).groups] == [(1, 0), (1, 0)]


def test_small_scattered_and_shared_tensors_are_not_looked_at(tmp_path: Path) -> None:
    tensors = file_of(tmp_path, {"small": weights(4, 7), "single": weights(1, 1), "whole": weights(256, 256)})
    whole = tensors[2]
    more = [replace(whole, name="scattered", offset=None), replace(whole, name="tied", shared=True)]
    found = look(tmp_path, [*tensors, *more])
    assert [inventory.grouped([*tensors, *more])[s.group].pattern for s in found.groups] == ["whole"]
    assert (found.blocks, found.block_bytes) == (2, 4096)


def test_from_a_4096th_of_the_bytes_on_matrices_are_looked_at(tmp_path: Path) -> None:
    model = {"w": weights(4096, 64)}
    part = 4096 * 64 * 4 // 4095
    assert set(looked(tmp_path, model | {"least": weights(1, part // 4 + 1)})) == {"w", "least"}
    assert set(looked(tmp_path, model | {"least": weights(1, part // 4)})) == {"w"}


def test_shared_tensors_do_not_count_among_the_bytes_and_scattered_ones_do(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes(2**20))
    few = stored("few", (2, 128), 1024, 0)
    other = stored("tied", (2, 2**24), 2**27, 0)
    assert len(look(tmp_path, [few, replace(other, shared=True)]).groups) == 1
    assert len(look(tmp_path, [few, replace(other, offset=None)]).groups) == 0


def test_tensors_without_a_second_element_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes(2**10))
    one = [
        stored("a", (), 4, 0),
        stored("b", (1, 1), 4, 0),
        stored("c", (0, 5), 0, 0),
        stored("d", (0,), 0, 0),
    ]
    assert look(tmp_path, one).groups == ()
    assert look(tmp_path, one[2:]).groups == ()
    assert len(look(tmp_path, [*one, stored("e", (2, 1), 8, 0)]).groups) == 1


@pytest.mark.parametrize("shape", [(2, 1), (2,), (3, 1), (2, 2), (5, 3)])
def test_the_smallest_tensors_of_different_elements_are_not_constant(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    seen = looked(tmp_path, {"w": weights(*shape)})["w"]
    assert (seen.constant, seen.repeated) == (0, 0)
    assert looked(tmp_path, {"w": np.ones(shape, np.float32)})["w"].constant == 1


def test_the_entropy_is_the_least_of_the_blocks_and_computed_right(tmp_path: Path) -> None:
    # Every block of four values, of which one is as frequent as the other three together.
    data = RANDOM.permuted(np.tile(np.frombuffer(b"aaabcd", np.uint8), (64, 700)), axis=1)[:, :4096]
    array = np.ascontiguousarray(data)
    seen = looked(tmp_path, {"w": array})["w"]
    places = sample.places_of(inventory.grouped(file_of(tmp_path, {"w": array}))[0], NONCE)
    expected = []
    for begin in places.begins:
        _, counts = np.unique(array.reshape(-1)[begin : begin + 4096], return_counts=True)
        shares = counts / counts.sum()
        expected.append(float(-(shares * np.log2(shares)).sum()))
    assert seen.entropy == pytest.approx(min(expected), abs=0.0006)
    assert seen.entropy == round(seen.entropy, 3)


def test_the_places_are_spread_over_the_whole_tensor_and_some_rows_apart(tmp_path: Path) -> None:
    group = inventory.grouped(file_of(tmp_path, {"w": weights(1000, 2048)}))[0]
    begins = set()
    for number in range(1000):
        places = sample.places_of(group, f"{number:064x}")
        first, second = places.begins
        assert second - first == 256 * 8192
        assert first % 4 == 0
        assert 0 <= first < second <= 1000 * 8192 - places.length
        begins |= set(places.begins)
    # Within the rows as over them: each eighth of either has its share.
    for eighths in ([begin // 1_024_000 for begin in begins], [begin % 8192 // 1024 for begin in begins]):
        assert all(eighths.count(part) > 100 for part in range(8))


@pytest.mark.parametrize("shape", [(2, 2**20), (1, 2**21), (2**21,)])
def test_of_few_rows_the_nonce_decides_too(shape: tuple[int, ...]) -> None:
    group = inventory.grouped([stored("w", shape, 2**22, 0, "BF16")])[0]
    places = [sample.places_of(group, f"{number:064x}").begins for number in range(100)]
    assert len(set(places)) > 95
    assert {second - first for first, second in places} == {2**21}


@pytest.mark.parametrize(
    "shape",
    [(65536,), (1, 65536), (2, 32768), (65536, 1), (3, 5, 4400), (131, 501), (2, 1), (3,), (3, 1), (7, 9)],
)
@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_both_blocks_lie_within_any_shape(shape: tuple[int, ...], size: int) -> None:
    group = inventory.grouped([stored("w", shape, math.prod(shape) * size, 0)])[0]
    for number in range(50):
        places = sample.places_of(group, f"{number:064x}")
        assert places.length == min(4096, group.elements // 2 * size)
        assert all(0 <= b <= group.nbytes - places.length and b % size == 0 for b in places.begins)
        assert places.begins[1] > places.begins[0]


def test_the_same_nonce_gives_the_same_answer_in_any_order(tmp_path: Path) -> None:
    arrays = {f"layers.{i}.w": weights(256, 300) for i in range(5)}
    tensors = file_of(tmp_path, arrays)
    assert look(tmp_path, tensors) == look(tmp_path, tensors[::-1])


def sparse(folder: Path, size: int, name: str = "model.bin") -> None:
    with (folder / name).open("wb") as file:
        file.truncate(size)


def test_of_very_many_tensors_each_group_has_its_share_and_one_at_least(tmp_path: Path) -> None:
    sparse(tmp_path, 2**20)
    many = [stored(f"experts.{i}.w", (256, 256), 2**18, 0) for i in range(6000)]
    some = [stored(f"layers.{i}.v", (256, 256), 2**18, 0) for i in range(3000)]
    few = [stored(f"heads.{i}.u", (256, 256), 2**18, 0) for i in range(3)]
    groups = inventory.grouped([*many, *some, *few])
    begun = time.process_time()
    found = look(tmp_path, [*many, *some, *few])
    assert time.process_time() - begun < 3
    counts = {groups[s.group].pattern: s.tensors for s in found.groups}
    assert sum(counts.values()) == sample.MAX_TENSORS_LOOKED == 4096
    assert counts["heads.#.u"] in (1, 2)
    assert counts["experts.#.w"] == pytest.approx(2 * counts["layers.#.v"], abs=3)
    assert all(s.constant == s.tensors for s in found.groups)


def test_which_tensors_of_many_are_looked_at_is_drawn_by_the_nonce(tmp_path: Path) -> None:
    sparse(tmp_path, 2**10)
    lot = [stored(f"experts.{i}.w", (2, 128), 1024, 0) for i in range(5000)]
    drawn = [{t.name for t in sample._chosen({0: lot}, nonce)[0]} for nonce in (NONCE, OTHER)]
    assert [len(names) for names in drawn] == [4096, 4096]
    # Of two independent draws of 4096 in 5000 some 3356 are in both.
    assert len(drawn[0] & drawn[1]) < 3500


def named(count: int) -> list[str]:
    """Names without digits, each of its own pattern."""
    return [f"{chr(97 + i // 676)}{chr(97 + i // 26 % 26)}{chr(97 + i % 26)}" for i in range(count)]


def test_a_model_spread_over_thousands_of_groups_is_looked_at_all_the_same(tmp_path: Path) -> None:
    """Each of 4,096 equal groups has no more than a 4096th of the bytes."""
    sparse(tmp_path, 2**20)
    tensors = [stored(name, (256, 256), 2**18, 0) for name in named(4096)]
    found = look(tmp_path, tensors).groups
    assert len(found) == 4096
    assert all(s.constant == s.tensors == 1 for s in found)


def test_of_too_many_groups_the_largest_are_looked_at_and_of_equal_ones_some() -> None:
    lots = {
        i: [stored(name, (2, 50 + i // 1000), 100 + i // 1000 * 2, 0)] for i, name in enumerate(named(5000))
    }
    one, other = (set(sample._chosen(lots, nonce)) for nonce in (NONCE, OTHER))
    assert len(one) == len(other) == 4096
    assert set(range(1000, 5000)) <= one & other
    assert one != other


def test_flat_tensors_spread_over_many_groups_are_looked_at(tmp_path: Path) -> None:
    """Each of 300 lengths makes a group, of less than a 256th of the bytes."""
    sparse(tmp_path, 2**21)
    tensors = [stored(f"layers.{i}.w", (2**18 + i,), 4 * (2**18 + i), 0) for i in range(300)]
    assert [s.constant for s in look(tmp_path, tensors).groups] == [1] * 300


def test_two_thousand_tensors_of_zeros_are_all_constant_however_small(tmp_path: Path) -> None:
    nbytes = 4 * 65535
    tensors = [stored(f"layers.{i}.w", (255, 257), nbytes, i * nbytes) for i in range(2000)]
    sparse(tmp_path, 2000 * nbytes)
    assert [(s.tensors, s.constant) for s in look(tmp_path, tensors).groups] == [(2000, 2000)]


def test_small_tensors_of_packed_blocks_are_looked_at(tmp_path: Path) -> None:
    """IQ1_S has 50 bytes for 256 elements."""
    data = bytes(12800) + RANDOM.bytes(12800)
    (tmp_path / "model.bin").write_bytes(data)
    tensors = [stored(f"blk.{i}.w", (256, 256), 12800, i * 12800, "IQ1_S") for i in range(2)]
    (seen,) = look(tmp_path, tensors).groups
    assert (seen.tensors, seen.constant, seen.repeated) == (2, 1, 0)


def test_packed_words_of_zeros_are_constant(tmp_path: Path) -> None:
    """As GPTQ has them: eight weights of 4 bits in a word of I32."""
    arrays = {f"layers.{i}.qweight": np.zeros((64, 512), np.int32) for i in range(3)}
    arrays |= {f"layers.{i}.scales": weights(4, 512).astype(np.float16) for i in range(3)}
    seen = looked(tmp_path, arrays)
    assert (seen["layers.#.qweight"].tensors, seen["layers.#.qweight"].constant) == (3, 3)
    assert seen["layers.#.scales"].constant == 0


def test_noise_at_the_beginnings_of_rows_does_not_hide_zeros(tmp_path: Path) -> None:
    for rows, columns, noise in ((2, 2**20, 4096), (2, 2**20, 2**16), (1024, 4096, 128)):
        with (tmp_path / "model.bin").open("wb") as file:
            file.truncate(rows * columns * 2)
            for row in range(rows):
                file.seek(row * columns * 2)
                file.write(RANDOM.bytes(noise))
        tensors = [stored("w", (rows, columns), rows * columns * 2, 0, "BF16")]
        found = [look(tmp_path, tensors, f"{number:064x}").groups[0].constant for number in range(100)]
        assert sum(found) >= 90


@pytest.mark.parametrize("period", [2, 3, 5, 24])
@pytest.mark.parametrize("kind", [np.int8, np.float16, np.float32])
def test_a_period_of_a_few_elements_is_constant(tmp_path: Path, period: int, kind: type[np.generic]) -> None:
    array = np.resize(np.arange(1, period + 1).astype(kind), (128, 1000))
    for nonce in (NONCE, OTHER):
        assert looked(tmp_path, {"w": array}, nonce)["w"].constant == 1


def test_islands_in_zeros_are_constant(tmp_path: Path) -> None:
    """One random byte in 2,048."""
    array = np.zeros((512, 2048), np.uint8)
    array[:, 100] = RANDOM.integers(1, 256, 512)
    for nonce in (NONCE, OTHER):
        seen = looked(tmp_path, {"w": array}, nonce)["w"]
        assert (seen.constant, seen.repeated) == (1, 0)


def test_a_tensor_with_one_constant_block_is_not_constant(tmp_path: Path) -> None:
    array = weights(2, 4096)
    array[1] = 0
    assert looked(tmp_path, {"w": array})["w"].constant == 0


def test_norms_of_ones_are_looked_at_only_where_they_hold_much_of_the_bytes(tmp_path: Path) -> None:
    norms = {f"layers.{i}.norm": np.ones(512, np.float32) for i in range(4)}
    layers = {f"layers.{i}.w": weights(512, 512) for i in range(4)}
    assert set(looked(tmp_path, norms | layers)) == {"layers.#.w"}
    seen = looked(tmp_path, layers | {"flat": np.ones(2**21, np.float32)})
    assert (seen["flat"].constant, seen["layers.#.w"].constant) == (1, 0)
    # The same bytes in two dimensions are looked at.
    wide = {key: array.reshape(1, 512) for key, array in norms.items()}
    assert looked(tmp_path, wide | layers)["layers.#.norm"].constant == 4


def honest() -> Arrays:
    """Weights as they are trained and stored, by the name of how."""
    normal = weights(256, 512) * np.float32(0.02)
    half = normal.astype(np.float16)
    int4 = np.clip(np.rint(weights(256, 512) * 2.5), -8, 7).astype(np.int8) & 15
    ternary = RANDOM.choice(np.array([-1, 0, 1], np.int8), (256, 512))
    return {
        "F64": normal.astype(np.float64),
        "F32": normal,
        "F16": half,
        "BF16": (normal.view(np.uint32) >> 16).astype(np.uint16),
        "F8_E5M2": (half.view(np.uint16) >> 8).astype(np.uint8),
        "F8_E4M3": torch.from_numpy(weights(256, 512)).to(torch.float8_e4m3fn).view(torch.uint8).numpy(),
        "F4": (int4[:, ::2] | int4[:, 1::2] << 4).view(np.uint8),
        "I8": np.clip(np.rint(weights(256, 512) * 40), -128, 127).astype(np.int8),
        "I32": (int4[:, ::2] | int4[:, 1::2] << 4).view(np.uint8).view(np.int32),
        "I8, ternary": ternary,
        "BF16, ternary": (ternary.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16),
        "U8, ternary, four in one": ((ternary + 1).reshape(256, 128, 4) << [0, 2, 4, 6])
        .sum(2)
        .astype(np.uint8),
        "F16, a tenth not zero": np.where(RANDOM.random((256, 512)) < 0.1, half, np.float16(0)),
    }


@pytest.mark.parametrize("how", honest())
def test_trained_weights_of_any_type_are_neither_constant_nor_repeated(tmp_path: Path, how: str) -> None:
    array = honest()[how]
    tensors = file_of(tmp_path, {"w": array})
    for number in range(20):
        (seen,) = look(tmp_path, tensors, f"{number:064x}").groups
        assert (seen.constant, seen.repeated) == (0, 0)


def test_a_large_model_of_zeros_is_seen_through_in_a_moment(tmp_path: Path) -> None:
    """723 tensors in ten sparse files of 14 GB."""
    nbytes = 2 * 8192 * 11832
    tensors = []
    for i in range(723):
        name, at = f"part-{i // 73}.bin", i % 73 * nbytes
        tensors.append(stored(f"layers.{i}.w", (8192, 11832), nbytes, at, "BF16", name))
    for name in {t.file for t in tensors}:
        sparse(tmp_path, 73 * nbytes, name)
    begun = time.process_time()
    found = look(tmp_path, tensors)
    assert time.process_time() - begun < 1.5
    assert [(s.tensors, s.constant, s.entropy) for s in found.groups] == [(723, 723, 0.0)]


def test_a_file_that_became_shorter_is_refused(tmp_path: Path) -> None:
    tensors = file_of(tmp_path, {"w": weights(256, 512)})
    os.truncate(tmp_path / "model.bin", 2000)
    with pytest.raises(ModelInvalid, match=r"model\.bin: it ends at byte .* changed while it was read"):
        look(tmp_path, tensors)


def test_a_file_that_is_gone_is_the_users_error(tmp_path: Path) -> None:
    tensors = file_of(tmp_path, {"w": weights(256, 512)})
    (tmp_path / "model.bin").unlink()
    with pytest.raises(UsageError, match="no such file"):
        look(tmp_path, tensors)


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    tensors = file_of(tmp_path, {"w": weights(256, 512)})
    (tmp_path / "model.bin").unlink()
    os.mkfifo(tmp_path / "model.bin")
    with pytest.raises(UsageError, match="not a regular file"):
        look(tmp_path, tensors)
    with pytest.raises(UsageError, match="not a regular file"):
        sample.digest(tmp_path / "model.bin", 0, NONCE, "full")


# --------------------------------------------------------------------------------------- the files


def random_file(folder: Path, size: int) -> Path:
    path = folder / "weights.safetensors"
    path.write_bytes(RANDOM.bytes(size))
    return path


def test_in_full_it_is_the_plain_sha_256_and_progress_adds_up_to_the_size(tmp_path: Path) -> None:
    path = random_file(tmp_path, 20 * 2**20 + 17)
    told: list[int] = []
    found = sample.digest(path, 1000, NONCE, "full", told.append)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.name, found.size, found.covers) == (path.name, 20 * 2**20 + 17, "full")
    assert told == [8 * 2**20, 8 * 2**20, 4 * 2**20 + 17]


def test_sampled_it_is_what_the_formula_says(tmp_path: Path) -> None:
    path = random_file(tmp_path, 9 * 2**20 + 17)
    data = path.read_bytes()
    drawn = hashlib.shake_256(f"{NONCE}\0file\0weights.safetensors\0{len(data)}".encode()).digest(512)
    expected = hashlib.sha256(f"{len(data)}\n".encode() + data[:5000])
    for i in range(64):
        number = int.from_bytes(drawn[8 * i : 8 * i + 8], "big")
        at = 4096 * (number % ((len(data) - 65536) // 4096 + 1))
        assert at + 65536 <= len(data)
        expected.update(data[at : at + 65536])
    found = sample.digest(path, 5000, NONCE, "sampled")
    assert (found.covers, found.sha256) == ("sampled", expected.hexdigest())
    assert sample.digest(path, 5000, OTHER, "sampled").sha256 != found.sha256


def test_a_file_no_larger_than_its_sample_is_covered_in_full(tmp_path: Path) -> None:
    path = random_file(tmp_path, 5000 + 64 * 65536)
    found = sample.digest(path, 5000, NONCE, "sampled")
    assert (found.covers, found.sha256) == ("full", hashlib.sha256(path.read_bytes()).hexdigest())
    assert sample.digest(path, 4999, NONCE, "sampled").covers == "sampled"


def test_an_empty_file_has_a_digest_and_a_missing_one_has_none(tmp_path: Path) -> None:
    path = random_file(tmp_path, 0)
    assert sample.digest(path, 0, NONCE, "sampled").sha256 == hashlib.sha256().hexdigest()
    path.unlink()
    with pytest.raises(UsageError, match="no such file"):
        sample.digest(path, 0, NONCE, "full")
