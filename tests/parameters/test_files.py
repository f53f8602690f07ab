"""Which files a path means: whole models, one at a time, and nothing that an index could lead astray."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.errors import ModelInvalid, UsageError
from bench.parameters.files import Chosen, choose, require_index
from bench.parameters.inventory import Stored
from bench.printable import printable

INDEX = "model.safetensors.index.json"
SHARDS = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]


def folder(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def index(path: Path, weight_map: object, metadata: object = None, name: str = INDEX) -> Path:
    value = {"metadata": {"total_size": 12} if metadata is None else metadata, "weight_map": weight_map}
    (path / name).write_text(json.dumps(value))
    return path / name


def names(chosen: Chosen) -> list[str]:
    assert {file.parent for file in chosen.files} == {chosen.folder}
    return [file.name for file in chosen.files]


def unusable(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        choose(path)
    assert str(caught.value).startswith(printable(str(path)))
    return str(caught.value)


def invalid(path: Path) -> str:
    with pytest.raises(ModelInvalid) as caught:
        choose(path)
    return str(caught.value)


# ------------------------------------------------------------------------------------------ one file


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.safetensors", "safetensors"),
        ("a.Q4_K_M.gguf", "gguf"),
        ("a.onnx", "onnx"),
        *((f"a{suffix}", "pytorch") for suffix in (".pt", ".pth", ".ckpt", ".bin")),
        ("A.GGUF", "gguf"),
    ],
)
def test_a_file_is_of_the_format_of_its_suffix(tmp_path: Path, name: str, form: str) -> None:
    path = folder(tmp_path, name) / name
    chosen = choose(path)
    assert (chosen.format, chosen.files, chosen.tensors_by_file) == (form, (path,), None)
    assert choose(tmp_path) == chosen


@pytest.mark.parametrize("name", ["a.txt", "a", "a.gguf.index.json", "config.json", "a.index.json"])
def test_another_suffix_is_refused_with_those_that_are_read(tmp_path: Path, name: str) -> None:
    said = unusable(folder(tmp_path, name) / name)
    assert ".safetensors, .gguf, .onnx, .pt, .pth, .ckpt, .bin" in said


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "no such file" in unusable(tmp_path / "a.gguf")
    assert "cannot be read" in unusable(tmp_path / ("a" * 300))
    with pytest.raises(UsageError):
        choose(Path("a\0.gguf"))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub.safetensors").mkdir()
    folder(tmp_path, "config.json", "optimizer.pt", "._model.safetensors")
    assert "no model file lies in it" in unusable(tmp_path)


def test_a_fifo_is_no_model_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    for path in (tmp_path, tmp_path / "a.safetensors"):
        with pytest.raises(UsageError, match="not a regular file"):
            choose(path)


def test_a_fifo_as_index_or_shard_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / INDEX)
    with pytest.raises(UsageError, match="not a regular file"):
        choose(tmp_path)
    (tmp_path / INDEX).unlink()
    os.mkfifo(folder(tmp_path, *SHARDS[:2]) / SHARDS[2])
    with pytest.raises(UsageError, match="not a regular file"):
        choose(tmp_path)


def test_a_name_that_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    for name in ("a\x1b[2J.gguf", "a\udcff.gguf"):
        path = folder(tmp_path, name) / name
        with pytest.raises(UsageError, match="Rename the file"):
            choose(path)
        path.unlink()


# ------------------------------------------------------------------------------------------ one model


def test_formats_are_preferred_in_order_and_the_others_are_named(tmp_path: Path) -> None:
    order = ["model.safetensors", "model.gguf", "model.onnx", "pytorch_model.bin"]
    folder(tmp_path, *order)
    for i, name in enumerate(order):
        chosen = choose(tmp_path)
        assert names(chosen) == [name]
        assert list(chosen.beside) == sorted(order[i + 1 :])
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    "two",
    [
        ("model-Q4_0.gguf", "model-Q8_0.gguf"),
        ("model.fp16.safetensors", "model.safetensors"),
        ("adapter_model.safetensors", "adapter_model_2.safetensors"),
        ("a.ckpt", "b.pt"),
        ("a.bin", "b.bin"),
    ],
)
def test_two_models_of_a_format_are_listed_and_either_can_be_given(
    tmp_path: Path, two: tuple[str, str]
) -> None:
    said = unusable(folder(tmp_path, *two))
    assert f"2 models: {two[0]}, {two[1]}. Give the path of one of them." in said
    assert choose(tmp_path / two[1]).beside == (two[0],)


def test_a_set_of_shards_and_a_file_are_two_models(tmp_path: Path) -> None:
    said = unusable(folder(tmp_path, *SHARDS, "other.safetensors"))
    assert f"{SHARDS[0]}, other.safetensors. " in said
    index(tmp_path, dict(zip("abc", SHARDS, strict=True)))
    assert f"2 models: {INDEX}, other.safetensors. " in unusable(tmp_path)
    assert choose(tmp_path / INDEX).beside == ("other.safetensors",)


@pytest.mark.parametrize(
    "again",
    [
        ("consolidated.safetensors",),
        ("consolidated.00.pth", "consolidated.01.pth"),
        ("consolidated-00001-of-00002.safetensors", "consolidated-00002-of-00002.safetensors"),
    ],
)
def test_a_model_with_an_index_goes_before_the_same_in_its_makers_own_files(
    tmp_path: Path, again: tuple[str, ...]
) -> None:
    index(folder(tmp_path, *SHARDS, *again), dict(zip("abc", SHARDS, strict=True)))
    if "-of-" in again[0]:
        index(tmp_path, {"a": again[0], "b": again[1]}, name="consolidated.safetensors.index.json")
    assert (names(choose(tmp_path)), choose(tmp_path).beside) == (SHARDS, again)


def test_a_consolidated_safetensors_goes_after_an_index_of_checkpoints(tmp_path: Path) -> None:
    index(folder(tmp_path, "x.bin", "consolidated.safetensors"), {"t": "x.bin"}, name="x.bin.index.json")
    assert names(choose(tmp_path)) == ["x.bin"]


@pytest.mark.parametrize("given", [".", "consolidated.00.pth", "consolidated.01.pth"])
def test_a_part_of_a_model_that_is_cut_across_its_tensors_is_not_counted_alone(
    tmp_path: Path, given: str
) -> None:
    folder(tmp_path, "consolidated.00.pth", "consolidated.01.pth", "params.json")
    with pytest.raises(UsageError) as caught:
        choose(tmp_path / given)
    said = str(caught.value)
    assert said.startswith(str(tmp_path / "consolidated.0"))
    assert "a part of one model that is cut across its tensors (2 parts are here)" in said
    assert "Merge the parts or convert them to safetensors first" in said
    assert "of one of them" not in said


def test_the_only_part_of_a_model_is_the_model_unless_its_number_says_otherwise(tmp_path: Path) -> None:
    assert names(choose(folder(tmp_path, "consolidated.00.pth"))) == ["consolidated.00.pth"]
    (tmp_path / "consolidated.00.pth").rename(tmp_path / "consolidated.01.pth")
    with pytest.raises(UsageError, match="cut across its tensors"):
        choose(tmp_path)


FP16 = [f"model-0000{i}-of-00002.fp16.safetensors" for i in (1, 2)]
PLAIN = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]


@pytest.mark.parametrize("fp16", [FP16, [f"model.fp16-0000{i}-of-00002.safetensors" for i in (1, 2)]])
@pytest.mark.parametrize("indexed", [False, True])
def test_shards_of_a_variant_are_a_model_of_their_own(tmp_path: Path, fp16: list[str], indexed: bool) -> None:
    folder(tmp_path, *fp16)
    if indexed:
        index(tmp_path, dict(zip("ab", fp16, strict=True)), name="model.safetensors.index.fp16.json")
    assert names(choose(tmp_path)) == fp16
    assert (choose(tmp_path).stated_bytes == 12) == indexed
    folder(tmp_path, *PLAIN)
    said = unusable(tmp_path)
    assert "2 models: " in said
    assert PLAIN[0] in said
    assert PLAIN[1] not in said
    for given in (fp16, PLAIN):
        assert names(choose(tmp_path / given[1])) == given
    assert (choose(tmp_path / fp16[1]).stated_bytes == 12) == indexed


def test_two_variants_without_an_index_are_listed_by_their_first_files(tmp_path: Path) -> None:
    assert f"2 models: {FP16[0]}, {PLAIN[0]}. " in unusable(folder(tmp_path, *FP16, *PLAIN))


def test_a_missing_shard_of_a_variant_is_named_with_it(tmp_path: Path) -> None:
    assert f"files are missing: {FP16[1]}." in invalid(folder(tmp_path, FP16[0]))


def test_two_indexes_are_two_models(tmp_path: Path) -> None:
    index(folder(tmp_path, "a.safetensors", "b.safetensors"), {"t": "a.safetensors"})
    index(tmp_path, {"t": "b.safetensors"}, name="other.safetensors.index.json")
    assert f"2 models: {INDEX}, other.safetensors.index.json" in unusable(tmp_path)


def test_no_more_than_ten_models_are_listed(tmp_path: Path) -> None:
    said = unusable(folder(tmp_path, *(f"{i:02}.gguf" for i in range(30))))
    assert "30 models: 00.gguf" in said
    assert "09.gguf and 20 more" in said
    assert "10.gguf" not in said


def test_what_training_leaves_is_no_model_but_named(tmp_path: Path) -> None:
    left = ["optimizer.pt", "rng_state.pth", "rng_state_0.pth", "scheduler.pt", "training_args.bin"]
    chosen = choose(folder(tmp_path, *left, "pytorch_model.bin"))
    assert names(chosen) == ["pytorch_model.bin"]
    assert list(chosen.beside) == left


@pytest.mark.parametrize(
    ("left", "model"),
    [
        ("adapter_model.safetensors", "model.safetensors"),
        ("adapter_model.safetensors", "pytorch_model.bin"),
        ("adapter_model.bin", "model.pt"),
        ("mmproj-model-f16.gguf", "model-Q4_0.gguf"),
        ("bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", "mp_rank_00_model_states.pt"),
        ("optimizer.safetensors", "pytorch_model.bin"),
        ("optimizer-00001-of-00002.pt", "model.pt"),
        ("tokenizer.bin", "model.bin"),
        ("vocab_bpe.bin", "model.bin"),
    ],
)
def test_what_serves_a_model_is_beside_it(tmp_path: Path, left: str, model: str) -> None:
    chosen = choose(folder(tmp_path, left, model))
    assert (names(chosen), chosen.beside) == ([model], (left,))


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "mmproj-model-f16.gguf"])
def test_an_adapter_or_a_projector_alone_is_counted(tmp_path: Path, name: str) -> None:
    assert names(choose(folder(tmp_path, name))) == [name]


def test_a_bin_that_is_no_checkpoint_is_beside_a_model_with_an_index(tmp_path: Path) -> None:
    index(folder(tmp_path, "x.bin"), {"t": "x.bin"}, name="x.bin.index.json")
    (tmp_path / "words.bin").write_bytes(b"tok\0")
    assert (names(choose(tmp_path)), choose(tmp_path).beside) == (["x.bin"], ("words.bin",))
    (tmp_path / "words.bin").write_bytes(b"PK\x03\x04")
    assert "2 models: x.bin.index.json, words.bin. " in unusable(tmp_path)


def test_folders_below_that_hold_models_are_named_to_type_next(tmp_path: Path) -> None:
    for i in range(7):
        (tmp_path / f"part{i}").mkdir()
        folder(tmp_path / f"part{i}", "model.safetensors")
    (tmp_path / "words").mkdir()
    folder(tmp_path / "words", "optimizer.pt", "merges.txt")
    said = unusable(tmp_path)
    assert f"in folders below it: {tmp_path / 'part0'}, {tmp_path / 'part1'}, " in said
    assert f"{tmp_path / 'part4'} and 2 more. Give the path of one of them." in said
    folder(tmp_path, "model.safetensors")
    assert names(choose(tmp_path)) == ["model.safetensors"]


# ------------------------------------------------------------------------------------------- shards


@pytest.mark.parametrize("suffix", ["safetensors", "gguf", "bin"])
def test_a_shard_means_all_shards_in_the_order_of_their_numbers(tmp_path: Path, suffix: str) -> None:
    shards = [f"m-{i}-of-11.{suffix}" for i in range(1, 12)]
    folder(tmp_path, *shards, f"other.{suffix}")
    assert names(choose(tmp_path / shards[4])) == shards
    assert choose(tmp_path / shards[4]).beside == (f"other.{suffix}",)


def test_a_shard_with_an_index_beside_is_held_to_the_index(tmp_path: Path) -> None:
    path = index(folder(tmp_path, *SHARDS), dict(zip("abc", SHARDS, strict=True)))
    assert choose(tmp_path / SHARDS[1]) == choose(path) == choose(tmp_path)
    assert choose(path).stated_bytes == 12
    assert names(choose(path)) == SHARDS


@pytest.mark.parametrize("given", [".", SHARDS[0]])
def test_a_missing_shard_is_refused_by_name(tmp_path: Path, given: str) -> None:
    said = invalid(folder(tmp_path, SHARDS[0], SHARDS[2]) / given)
    assert f"1 of the model's 3 files are missing: {SHARDS[1]}." in said


def test_many_missing_shards_are_counted(tmp_path: Path) -> None:
    said = invalid(folder(tmp_path, "m-00002-of-00009.gguf"))
    assert "8 of the model's 9 files are missing: m-00001-of-00009.gguf, m-00003" in said
    assert "m-00004-of-00009.gguf and 5 more." in said


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("model-1-of-3.safetensors", "the 4 shards such as"),
        ("model-00004-of-00003.safetensors", "not numbered 1 to 3, each once"),
        ("model-00000-of-00003.safetensors", "not numbered 1 to 3, each once"),
        ("model-00001-of-00002.safetensors", "do not agree on how many there are: 2, 3"),
    ],
)
def test_shards_that_repeat_or_disagree_are_refused(tmp_path: Path, extra: str, words: str) -> None:
    assert words in invalid(folder(tmp_path, *SHARDS, extra))


def test_an_index_that_leaves_out_a_shard_is_refused(tmp_path: Path) -> None:
    index(folder(tmp_path, *SHARDS), {"a": SHARDS[0], "b": SHARDS[1]})
    assert f"files are missing: {SHARDS[2]}" in invalid(tmp_path)


def test_links_are_followed_as_in_a_cache_of_the_hub(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    for i, name in enumerate(SHARDS):
        (folder(blobs, f"{i}") / f"{i}").write_bytes(b"x")
        (snapshot / name).symlink_to(f"../blobs/{i}")
    assert names(choose(snapshot)) == SHARDS
    (blobs / "1").unlink()
    assert f"1 of the model's 3 files are missing: {SHARDS[1]}" in invalid(snapshot)


# ------------------------------------------------------------------------------------------- indexes


@pytest.mark.parametrize(
    "file",
    [
        *("../a.safetensors", "/etc/a.safetensors", "sub/a.safetensors", "..\\a.safetensors"),
        *("C:a.safetensors", "a\0.safetensors", "a\ud800.safetensors", "a\n.safetensors", "..", ".", ""),
        *("pytorch_model.bin", "config.json", "a.safetensors.index.json", ".a.safetensors", "a"),
    ],
)
def test_a_name_in_an_index_that_is_no_plain_name_of_the_format_is_refused(tmp_path: Path, file: str) -> None:
    index(folder(tmp_path, "a.safetensors", "pytorch_model.bin"), {"t": file})
    said = invalid(tmp_path)
    assert "expected the plain name of a safetensors file" in said or "surrogates not allowed" in said


def test_a_name_in_an_index_longer_than_any_file_system_takes_is_missing(tmp_path: Path) -> None:
    assert "1 of the model's 1 files are missing" in invalid(
        index(tmp_path, {"t": "a" * 5000 + ".safetensors"})
    )


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "[]",
            "null",
            "{}",
            '{"weight_map": {}}',
            '{"weight_map": []}',
            '{"weight_map": {"a": 1}}',
        ),
        '{"weight_map": {"a": {}}}',
        '{"weight_map": {"a": "a.safetensors"}, "metadata": []}',
        '{"weight_map": {"a": "a.safetensors", "a": "a.safetensors"}}',
        '{"weight_map": {"a": "a.safetensors"}, "weight_map": {"a": "a.safetensors"}}',
        *(
            f'{{"weight_map": {{"a": "a.safetensors"}}, "metadata": {{"total_size": {size}}}}}'
            for size in ('"4"', "true", "-1", "NaN", "Infinity", "1e300", str(2**60))
        ),
        '{"weight_map": ' + "[" * 100_000,
        '{"weight_map": {"a": "a.safetensors"}}' + " " * 64 * 2**20,
    ],
    ids=lambda text: text[:30],
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (folder(tmp_path, "a.safetensors") / INDEX).write_text(text)
    said = invalid(tmp_path)
    assert said.startswith(printable(str(tmp_path / INDEX)))


def test_an_index_of_more_values_than_any_has_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    (folder(tmp_path, "a.safetensors") / INDEX).write_text('{"weight_map": [' + "[]," * 600_000 + "[]]}")
    assert "more than 1000000 values" in invalid(tmp_path)


@pytest.mark.parametrize(
    ("metadata", "stated"), [({}, None), ({"total_size": 7}, 7), ({"total_size": 6.5}, 7)]
)
def test_the_size_that_an_index_states_is_given(tmp_path: Path, metadata: object, stated: int | None) -> None:
    index(folder(tmp_path, "a.safetensors"), {"t": "a.safetensors"}, metadata)
    assert choose(tmp_path).stated_bytes == stated


def test_an_index_of_pytorch_is_read_alike(tmp_path: Path) -> None:
    path = index(folder(tmp_path, "x.bin"), {"t": "x.bin"}, name="pytorch_model.bin.index.json")
    assert choose(path).format == "pytorch"
    assert choose(tmp_path) == choose(path)


def held(weight_map: Mapping[str, str], *tensors: tuple[str, str]) -> None:
    files = tuple(Path("m", name) for name in sorted(set(weight_map.values())))
    chosen = Chosen(
        format="safetensors",
        files=files,
        folder=Path("m"),
        tensors_by_file=weight_map,
        stated_bytes=None,
        beside=(),
    )
    require_index(
        chosen,
        [Stored(name=n, dtype="U8", shape=(1,), file=f, offset=0, nbytes=1) for n, f in tensors],
    )


def test_an_index_that_the_files_bear_out_is_accepted() -> None:
    held({"t": "a", "u": "b"}, ("t", "a"), ("u", "b"))


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ((("t", "a"),), "lists tensors that its files do not hold (1), such as u in b"),
        (
            (("t", "a"), ("u", "b"), ("v", "b")),
            "does not list tensors that its files hold (1), such as v in b",
        ),
        ((("t", "a"), ("u", "a")), "states the wrong file for tensors (1), such as u: b, and it lies in a"),
        ((("t", "a"), ("u", "b"), ("t", "b")), "states the wrong file for tensors (1), such as t: a"),
    ],
)
def test_an_index_that_the_files_contradict_is_refused(
    tensors: tuple[tuple[str, str], ...], words: str
) -> None:
    with pytest.raises(ModelInvalid) as caught:
        held({"t": "a", "u": "b"}, *tensors)
    assert words in str(caught.value)
