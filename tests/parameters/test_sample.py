"""Blocks of a model's tensors and digests of its files, at places that the nonce draws."""

import hashlib
import math
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

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
    tensors = file_of(tmp_path, {"small": weights(255, 257), "whole": weights(256, 256)})
    whole = tensors[1]
    assert tensors[0].elements == sample.LEAST_ELEMENTS - 1
    more = [replace(whole, name="scattered", offset=None), replace(whole, name="tied", shared=True)]
    found = look(tmp_path, [*tensors, *more])
    assert [inventory.grouped([*tensors, *more])[s.group].pattern for s in found.groups] == ["whole"]
    assert (found.blocks, found.block_bytes, found.least_elements) == (2, 4096, 65536)


def test_the_entropy_is_the_least_of_the_blocks_and_computed_right(tmp_path: Path) -> None:
    # Every block of four values, of which one is as frequent as the other three together.
    data = RANDOM.permuted(np.tile(np.frombuffer(b"aaabcd", np.uint8), (64, 700)), axis=1)[:, :4096]
    array = np.ascontiguousarray(data)
    seen = looked(tmp_path, {"w": array})["w"]
    places = sample._places(inventory.grouped(file_of(tmp_path, {"w": array}))[0], NONCE)
    expected = []
    for begin in places.begins:
        _, counts = np.unique(array.reshape(-1)[begin : begin + 4096], return_counts=True)
        shares = counts / counts.sum()
        expected.append(float(-(shares * np.log2(shares)).sum()))
    assert seen.entropy == pytest.approx(min(expected), abs=0.0006)
    assert seen.entropy == round(seen.entropy, 3)


def test_the_places_are_rows_within_the_tensor_and_differ_by_the_nonce(tmp_path: Path) -> None:
    group = inventory.grouped(file_of(tmp_path, {"w": weights(1000, 2048)}))[0]
    begins = set()
    for number in range(200):
        places = sample._places(group, f"{number:064x}")
        first, second = places.begins
        assert second - first == 256 * 8192
        assert first % 8192 == 0
        assert 0 <= first < second <= 1000 * 8192 - places.length
        begins.add(first // 8192)
    assert len(begins) > 100


@pytest.mark.parametrize("shape", [(65536,), (1, 65536), (2, 32768), (65536, 1), (3, 5, 4400), (131, 501)])
@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_both_blocks_lie_within_any_shape(shape: tuple[int, ...], size: int) -> None:
    group = inventory.grouped([stored("w", shape, math.prod(shape) * size, 0)])[0]
    for number in range(50):
        places = sample._places(group, f"{number:064x}")
        assert all(0 <= begin <= group.nbytes - 4096 and begin % size == 0 for begin in places.begins)
        assert places.begins[1] - places.begins[0] >= places.length


def test_the_same_nonce_gives_the_same_answer_in_any_order(tmp_path: Path) -> None:
    arrays = {f"layers.{i}.w": weights(256, 300) for i in range(5)}
    tensors = file_of(tmp_path, arrays)
    assert look(tmp_path, tensors) == look(tmp_path, tensors[::-1])


def test_of_very_many_tensors_each_group_has_its_share_and_two_at_least(tmp_path: Path) -> None:
    with (tmp_path / "model.bin").open("wb") as file:
        file.truncate(2**20)
    many = [stored(f"experts.{i}.w", (256, 256), 2**18, 0) for i in range(6000)]
    some = [stored(f"layers.{i}.v", (256, 256), 2**18, 0) for i in range(3000)]
    few = [stored(f"heads.{i}.u", (256, 256), 2**18, 0) for i in range(3)]
    found = look(tmp_path, [*many, *some, *few])
    counts = {inventory.grouped([*many, *some, *few])[s.group].pattern: s.tensors for s in found.groups}
    assert sum(counts.values()) == sample.MAX_TENSORS_LOOKED
    assert counts["heads.#.u"] == 2
    assert counts["experts.#.w"] == pytest.approx(2 * counts["layers.#.v"], abs=3)
    assert all(s.constant == s.tensors for s in found.groups)


def test_more_kinds_than_tensors_that_may_be_looked_at_have_one_each(tmp_path: Path) -> None:
    with (tmp_path / "model.bin").open("wb") as file:
        file.truncate(2**20)
    names = [f"{chr(97 + i // 676)}{chr(97 + i // 26 % 26)}{chr(97 + i % 26)}" for i in range(2500)]
    tensors = [stored(f"{name}.{i}", (256, 256), 2**18, 0) for name in names for i in range(2)]
    assert [s.tensors for s in look(tmp_path, tensors).groups] == [1] * 2000


def test_a_large_model_of_zeros_is_seen_through_in_a_moment(tmp_path: Path) -> None:
    """723 tensors in ten sparse files of 14 GB."""
    nbytes = 2 * 8192 * 11832
    tensors = []
    for i in range(723):
        name, at = f"part-{i // 73}.bin", i % 73 * nbytes
        tensors.append(stored(f"layers.{i}.w", (8192, 11832), nbytes, at, "BF16", name))
    for name in {t.file for t in tensors}:
        with (tmp_path / name).open("wb") as file:
            file.truncate(73 * nbytes)
    begun = time.monotonic()
    found = look(tmp_path, tensors)
    assert time.monotonic() - begun < 2
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
