"""Checkpoints of torch.save: what they hold, and what is refused before anything of it could run."""

import argparse
import collections
import datetime
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath

import numpy as np
import pytest

from bench.errors import ModelInvalid, UsageError
from bench.parameters import inventory, pytorch
from bench.parameters.inventory import Stored

torch = pytest.importorskip("torch", reason="pip install 'compute-evidence[measure]'")


def saved(folder: Path, what: object, name: str = "model.pt") -> Path:
    path = folder / name
    torch.save(what, path)
    return path


def found(path: Path) -> dict[str, Stored]:
    tensors = pytorch.read(path).tensors
    inventory.require_once(tensors)
    return {tensor.name: tensor for tensor in tensors}


def refusal(path: Path) -> str:
    with pytest.raises(ModelInvalid) as caught:
        pytorch.read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def archive(folder: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED, **records: bytes) -> Path:
    """A checkpoint with that data.pkl and those storages, written by the standard library."""
    path = folder / "model.pt"
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("model/data.pkl", pickled)
        for key, data in records.items():
            file.writestr(f"model/data/{key.removeprefix('_')}", data)
    return path


def changed(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    assert len(old) == len(new)
    return changed(path, lambda data: data.replace(old, new, 1))


def flat(value: object, name: str = "") -> dict[str, object]:
    """The tensors of what torch.load gives, by their names."""
    if isinstance(value, torch.Tensor):
        return {name: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {k: v for key, part in pairs for k, v in flat(part, f"{name}.{key}".lstrip(".")).items()}


def trained() -> dict[str, object]:
    """A training checkpoint: weights, the state of AdamW after a step, and words about the run."""
    model = torch.nn.Sequential(torch.nn.Embedding(10, 8), torch.nn.Linear(8, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    # Kernels that were measured before in this process have switched gradients off.
    with torch.enable_grad():
        model(torch.arange(6)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "epoch": 3,
        "losses": [0.5, 0.25],
        "rng": [torch.get_rng_state()],
        "note": b"bytes",
        "seen": {1, 2},
        "dtype": torch.float32,
        "shape": torch.Size([1, 2]),
        "device": torch.device("cpu"),
    }


# ----------------------------------------------------------------------------------- what is counted


def test_a_training_checkpoint_holds_what_torch_itself_loads_from_it(tmp_path: Path) -> None:
    path = saved(tmp_path, trained())
    tensors = found(path)
    loaded = flat(torch.load(path, weights_only=True))
    assert {name: t.shape for name, t in tensors.items()} == {n: tuple(t.shape) for n, t in loaded.items()}
    assert tensors["model.0.weight"].dtype == "F32"
    assert tensors["optimizer.state.0.exp_avg"].shape == (10, 8)
    assert tensors["model.2.num_batches_tracked"].dtype == "I64"
    data = path.read_bytes()
    for name, tensor in tensors.items():
        assert tensor.offset is not None
        here = data[tensor.offset : tensor.offset + tensor.nbytes]
        assert here == loaded[name].numpy().tobytes()


@pytest.mark.parametrize(
    ("dtype", "word", "size"),
    [
        ("float64", "F64", 8),
        ("float32", "F32", 4),
        ("float16", "F16", 2),
        ("bfloat16", "BF16", 2),
        ("float8_e4m3fn", "F8_E4M3", 1),
        ("float8_e5m2", "F8_E5M2", 1),
        ("float8_e8m0fnu", "F8_E8M0", 1),
        ("int64", "I64", 8),
        ("int32", "I32", 4),
        ("int16", "I16", 2),
        ("int8", "I8", 1),
        ("uint8", "U8", 1),
        ("uint16", "U16", 2),
        ("uint32", "U32", 4),
        ("bool", "BOOL", 1),
        ("complex64", "C64", 8),
        ("complex128", "C128", 16),
    ],
)
def test_types_are_named_as_safetensors_names_them(tmp_path: Path, dtype: str, word: str, size: int) -> None:
    tensor = found(saved(tmp_path, {"w": torch.ones(3, 5).to(getattr(torch, dtype))}))["w"]
    assert (tensor.dtype, tensor.nbytes, tensor.shape) == (word, 15 * size, (3, 5))


def test_tied_weights_count_once(tmp_path: Path) -> None:
    embed = torch.nn.Embedding(10, 4)
    head = torch.nn.Linear(4, 10, bias=False)
    head.weight = embed.weight
    tensors = found(saved(tmp_path, torch.nn.ModuleDict({"embed": embed, "head": head}).state_dict()))
    assert [t.shared for t in tensors.values()] == [False, True]
    assert tensors["head.weight"].offset == tensors["embed.weight"].offset


def test_one_tensor_object_under_two_names_counts_once(tmp_path: Path) -> None:
    weight = torch.ones(4)
    assert [t.shared for t in found(saved(tmp_path, {"a": weight, "b": [weight]})).values()] == [False, True]


def test_views_of_a_flat_buffer_count_each_and_the_buffer_instead_of_them(tmp_path: Path) -> None:
    buffer = torch.arange(100.0)
    views = {"a": buffer[:40].view(8, 5), "b": buffer[40:90].view(5, 10), "c": buffer[90:]}
    assert not any(t.shared for t in found(saved(tmp_path, views)).values())
    tensors = found(saved(tmp_path, {**views, "whole": buffer}))
    assert [name for name, t in tensors.items() if not t.shared] == ["whole"]


def test_of_views_that_overlap_the_largest_counts(tmp_path: Path) -> None:
    buffer = torch.arange(100.0)
    tensors = found(saved(tmp_path, {"small": buffer[:10], "large": buffer[5:95], "last": buffer[95:]}))
    assert [name for name, t in tensors.items() if t.shared] == ["small"]


def test_columns_of_one_matrix_count_each_and_with_the_matrix_none(tmp_path: Path) -> None:
    matrix = torch.ones(4, 5, 12)
    parts = dict(zip("qkv", matrix.chunk(3, dim=-1), strict=True))
    assert not any(t.shared for t in found(saved(tmp_path, parts)).values())
    rows = {"top": matrix[:2, :, :7], "bottom": matrix[2:, :, :7]}
    assert not any(t.shared for t in found(saved(tmp_path, rows)).values())
    tensors = found(saved(tmp_path, {**parts, "all": matrix}))
    assert [name for name, t in tensors.items() if not t.shared] == ["all"]
    tensors = found(
        saved(tmp_path, {"wide": matrix[..., :7], "over": matrix[..., 6:], "rest": matrix[..., 7:]})
    )
    assert [name for name, t in tensors.items() if t.shared] == ["over"]


def test_no_views_make_a_byte_count_twice(tmp_path: Path) -> None:
    drawn = random.Random(5)
    for _ in range(150):
        buffer = torch.arange(48)
        views = {}
        for name in "abcd":
            pitch = drawn.choice([4, 6, 6, 6])
            shape = drawn.randint(1, 3), drawn.randint(1, pitch)
            views[name] = buffer.as_strided(shape, (pitch, 1), drawn.randrange(20))
        tensors = found(saved(tmp_path, views))
        counted = [int(i) for name, t in tensors.items() if not t.shared for i in views[name].flatten()]
        assert len(counted) == len(set(counted)) > 0


def test_a_transposed_tensor_is_one_block_and_a_column_is_none(tmp_path: Path) -> None:
    matrix, other = torch.ones(3, 4), torch.ones(3, 4)
    tensors = found(saved(tmp_path, {"t": matrix.t(), "column": other[:, 1]}))
    assert tensors["t"].offset is not None
    assert tensors["column"].offset is None
    assert tensors["column"].nbytes == 12


def test_parameters_and_tensors_with_attributes_are_tensors(tmp_path: Path) -> None:
    plain, marked = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))
    tensor = torch.ones(4)
    marked.tensor_model_parallel, tensor.note = True, "x"
    shapes = [t.shape for t in found(saved(tmp_path, [plain, marked, tensor])).values()]
    assert shapes == [(2,), (3,), (4,)]


def test_a_tensor_alone_an_empty_one_and_a_scalar_are_read(tmp_path: Path) -> None:
    assert found(saved(tmp_path, torch.ones(3)))["tensor"].elements == 3
    tensors = found(saved(tmp_path, {"empty": torch.ones(0, 4), "scalar": torch.tensor(1.0)}))
    assert [t.elements for t in tensors.values()] == [0, 1]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_every_protocol_of_pickle_says_the_same(tmp_path: Path, protocol: int) -> None:
    state = trained()
    path = tmp_path / "p.pt"
    torch.save(state, path, pickle_protocol=protocol)
    plain = {n: (t.shape, t.dtype, t.shared) for n, t in found(saved(tmp_path, state)).items()}
    assert {n: (t.shape, t.dtype, t.shared) for n, t in found(path).items()} == plain


def test_a_file_beyond_4_gib_is_found_by_its_64_bit_sizes(tmp_path: Path) -> None:
    path = tmp_path / "large.pt"
    with torch.serialization.skip_data():
        torch.save({"w": torch.empty(1_200_000_000), "v": torch.empty(8)}, path)
    tensors = found(path)
    assert tensors["w"].nbytes == 4_800_000_000
    assert (tensors["v"].offset or 0) > 4_800_000_000


def test_a_cycle_and_a_container_met_again_hold_nothing_new(tmp_path: Path) -> None:
    inner: dict[str, object] = {"w": torch.ones(2)}
    inner["self"] = inner
    doubled: list[object] = []
    for _ in range(60):
        doubled = [doubled, doubled]
    path = saved(tmp_path, {"model": inner, "again": inner, "doubled": doubled})
    assert list(found(path)) == ["model.w"]


# --------------------------------------------------------------------------- what lies beside the weights


def beside() -> dict[str, object]:
    """What training scripts save beside the weights."""
    now = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    return {
        "args": argparse.Namespace(lr=0.1, out=Path("a/b"), nested=argparse.Namespace(deep=1)),
        "paths": [Path("/" + "x/" * 40), PurePosixPath("a"), PureWindowsPath("c:/a")],
        "best": np.float32(0.5),
        "step": np.int64(7),
        "done": np.bool_(True),
        "type": np.dtype("float32"),
        "when": (now, now.date(), now.time(), datetime.timedelta(1)),
        "meters": collections.defaultdict(list, {"loss": [0.5]}),
        "seen": collections.Counter("aab"),
        "factor": 1 + 2j,
        "kinds": [int, float, str, bool, complex, set, dict, list, tuple, frozenset, bytes],
        "none": [b"", set(), frozenset({1}), collections.Counter(), collections.defaultdict(int)],
        "keyed": {Path("a"): 1, np.int64(3): 2},
    }


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_scripts_save_beside_the_weights_is_passed_over(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "model.pt"
    torch.save({"model": {"w": torch.ones(3)}, **beside()}, path, pickle_protocol=protocol)
    tensors = found(path)
    assert {name: t.elements for name, t in tensors.items()} == {"model.w": 3}


@pytest.mark.parametrize("protocol", [2, 4])
def test_tensors_in_plain_objects_and_containers_are_found(tmp_path: Path, protocol: int) -> None:
    meters = collections.defaultdict(dict, {"ema": {"w": torch.ones(2)}})
    args = argparse.Namespace(w=torch.ones(3), more=argparse.Namespace(v=torch.ones(4)))
    path = tmp_path / "model.pt"
    torch.save({"meters": meters, "args": args}, path, pickle_protocol=protocol)
    assert sorted(t.elements for t in found(path).values()) == [2, 3, 4]
    torch.save([Runs(kind, [torch.ones(2)]) for kind in (list, tuple, set, frozenset)], path)
    assert len(found(path)) == 4
    torch.save(Runs(dict, {"w": torch.ones(2)}), path)
    assert list(found(path)) == ["w"]
    torch.save(Runs(collections.defaultdict, None, {"w": torch.ones(2)}), path)
    assert list(found(path)) == ["w"]


def test_tensors_under_keys_that_are_passed_over_are_each_found(tmp_path: Path) -> None:
    state = {Path("a"): [torch.ones(2)], 1: {np.int64(3): torch.ones(3)}}
    assert sorted(t.elements for t in found(saved(tmp_path, state)).values()) == [2, 3]
    two = {Path("a"): torch.ones(2), Path("b"): torch.ones(2)}
    assert len(pytorch.read(saved(tmp_path, two)).tensors) == 2


def test_a_name_that_is_passed_over_runs_nothing_and_imports_nothing(tmp_path: Path) -> None:
    archive(tmp_path, pickle.dumps([Runs(PosixPath, "a"), Runs(int, "9" * 5000), Runs(complex, "x")], 2))
    code = (
        "import sys; from pathlib import Path; from bench.parameters import pytorch\n"
        "before = set(sys.modules)\n"
        "print(pytorch.read(Path('model.pt')).tensors, set(sys.modules) - before)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert shown.stdout == "() set()\n"


def test_one_large_dictionary_given_to_many_plain_objects_takes_a_bounded_time(tmp_path: Path) -> None:
    many = b"".join(b"M" + struct.pack("<H", i) + b"N" for i in range(60_000))
    pickled = b"\x80\x02](}q\x00(" + many + b"u" + b"cargparse\nNamespace\nq\x01)\x81" + b"h\x00b" * 200_000
    begun = time.process_time()
    assert found(archive(tmp_path, pickled + b"e.")) == {}
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("dtype", ["float4_e2m1fn_x2", "uint4", "int4", "uint1", "int7", "bits2x4"])
def test_a_type_of_less_than_a_byte_is_refused_as_what_it_is(tmp_path: Path, dtype: str) -> None:
    kind = getattr(torch, dtype)
    # Of these torch 2.13 saves tensors of the first only.
    held = torch.zeros(4, dtype=torch.uint8).view(kind) if dtype.startswith("float4") else kind
    message = refusal(saved(tmp_path, {"w": held}))
    assert f"names the type torch.{dtype}, whose elements are no whole bytes" in message
    assert "import or run" not in message


# ------------------------------------------------------------------------------------- what carries code


class Runs:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("function", "argument", "named"),
    [
        (os.system, "touch made", "system"),
        (eval, "open('made', 'w')", "eval"),
        (bytearray, 10**12, "bytearray"),
        (getattr, "x", "getattr"),
    ],
)
def test_a_call_of_anything_else_is_refused_by_its_name(
    tmp_path: Path, function: Callable[..., object], argument: object, named: str, protocol: int
) -> None:
    pickled = pickle.dumps({"w": Runs(function, argument)}, protocol)
    message = refusal(archive(tmp_path, pickled))
    assert "whoever loads it is made to import or run" in message
    assert named in message
    assert "torch.save(model.state_dict(), FILE)" in message


def test_nothing_of_the_file_is_executed(tmp_path: Path) -> None:
    archive(tmp_path, pickle.dumps(Runs(os.system, "touch made"), 2))
    code = (
        "import sys; from pathlib import Path; from bench.parameters import pytorch\n"
        "try: pytorch.read(Path('model.pt'))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print('torch' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("ModelInvalid model.pt: whoever loads it is made to import or run")
    assert "posix.system" in shown.stdout
    assert shown.stdout.endswith("False\n")
    assert shown.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]
    with zipfile.ZipFile(tmp_path / "model.pt") as file, pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        # The file does what it is said to do where somebody does run it.
        pickle.loads(file.read("model/data.pkl"))
    assert (tmp_path / "made").exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    assert "torch.nn.modules.linear.Linear" in refusal(saved(tmp_path, torch.nn.Linear(2, 2)))


@pytest.mark.parametrize(
    "pickled",
    [
        pytest.param(b"(iposix\nsystem\n.", id="an object by INST"),
        pytest.param(b"\x82\x01.", id="an extension"),
        pytest.param(b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93.", id="a name by STACK_GLOBAL"),
        pytest.param(b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x940h\x00h\x01\x93.", id="by the memo"),
        pytest.param(b"comegaconf.dictconfig\nDictConfig\n.", id="a configuration"),
        pytest.param(b"cpathlib\nos\n.", id="a module of an allowed name"),
        pytest.param(b"cargparse\nNamespace.__init__\n.", id="an attribute of an allowed name"),
        pytest.param(b"\x80\x02cos\nsystem\n)\x81.", id="an object by NEWOBJ"),
        pytest.param(b"\x80\x02cnumpy\nload\n)R.", id="a name beside an allowed one"),
        pytest.param(b"cposix\nsystem\x1b[2J\n.", id="a name that controls the terminal"),
    ],
)
def test_no_detour_leads_to_a_name_that_is_not_allowed(tmp_path: Path, pickled: bytes) -> None:
    message = refusal(archive(tmp_path, pickled))
    assert "made to import or run" in message or "not as torch.save writes it" in message
    assert "\x1b" not in message


@pytest.mark.parametrize(
    "pickled",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x80\x02}", id="no end"),
        pytest.param(b"\x80\x02.", id="an empty stack"),
        pytest.param(b"\x80\x02h\x05.", id="a memo that was never put"),
        pytest.param(b"\x80\x02}]]s.", id="a list as a key"),
        pytest.param(b"\x80\x02K\x01K\x02\x86R.", id="a call of a number"),
        pytest.param(b"\x80\x02ccollections\nOrderedDict\n]\x85R.", id="a dictionary of pairs"),
        pytest.param(b"ctorch\\q\nSize\n.", id="a stray backslash"),
        pytest.param(b"\x80\x02" + b"K\x01" + b"\x85" * 10**5 + b"q\x00}h\x00K\x01s.", id="a deep key"),
        pytest.param(b"\x80\x02K\x01Q.", id="a storage that is a number"),
        pytest.param(b"\x80\x02ctorch\nSize\n(" + b"K\x01" * 10**5 + b"tR.", id="a long call"),
    ],
)
def test_a_pickle_that_torch_did_not_write_is_refused(tmp_path: Path, pickled: bytes) -> None:
    assert "not as torch.save writes it, at byte" in refusal(archive(tmp_path, pickled))


def test_a_deep_nest_is_refused_and_a_huge_memo_index_costs_nothing(tmp_path: Path) -> None:
    assert "deeper than 64" in refusal(
        archive(tmp_path, b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".")
    )
    assert found(archive(tmp_path, b"\x80\x02}r\xff\xff\xff\xff.")) == {}


def test_a_pickle_of_too_many_steps_or_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, trained())
    monkeypatch.setattr(pytorch, "MAX_STEPS", 100)
    assert "more than 100 steps" in refusal(path)
    monkeypatch.setattr(pytorch, "MAX_PICKLE_BYTES", 100)
    assert "at most 100 are read" in refusal(path)


def test_a_million_mentions_of_a_tensor_are_refused_in_bounded_time(tmp_path: Path) -> None:
    one = saved(tmp_path, [torch.ones(2)], "one.pt")
    with zipfile.ZipFile(one) as file:
        pickled, data = file.read("one/data.pkl"), file.read("one/data/0")
    # The last steps append the tensor to the list and end: append it again, as often.
    assert pickled[-2:] == b"a."
    tensor = pickled[:-2].rpartition(b"Rq")[2][:1]
    many = pickled[:-1] + b"(" + (b"h" + tensor) * 10**6 + b"e."
    begun = time.monotonic()
    assert "at most 500000 are counted" in refusal(archive(tmp_path, many, _0=data))
    assert time.monotonic() - begun < 20


def test_quantised_and_sparse_tensors_are_refused_as_what_they_are(tmp_path: Path) -> None:
    sparse = torch.eye(3).to_sparse()
    assert "_rebuild_sparse_tensor: tensors that are" in refusal(saved(tmp_path, {"w": sparse}))


# --------------------------------------------------------------------------- what contradicts itself


def test_a_shape_larger_than_its_storage_is_refused(tmp_path: Path) -> None:
    path = replaced(saved(tmp_path, {"w": torch.ones(4, 5)}), b"K\x04K\x05\x86", b"K\xc8K\x05\x86")
    assert "the tensor w of the shape [200, 5] asks for bytes up to 4000 of a storage of 80" in refusal(path)
    assert torch.load(path, map_location="meta", mmap=True, weights_only=True)["w"].numel() == 1000


def test_a_storage_larger_than_its_record_is_refused(tmp_path: Path) -> None:
    path = replaced(saved(tmp_path, {"w": torch.ones(20)}), b"K\x14tq", b"K\xc8tq")
    assert "the storage 0 of 800 bytes, the archive has 80 of it" in refusal(path)


def test_a_storage_smaller_than_its_record_is_refused(tmp_path: Path) -> None:
    path = replaced(saved(tmp_path, {"w": torch.ones(20)}), b"K\x14tq", b"K\x02tq")
    assert "the storage 0 of 8 bytes, the archive has 80 of it" in refusal(path)


def test_a_storage_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = replaced(saved(tmp_path, {"w": torch.ones(20)}), b"\x01\x00\x00\x000q", b"\x01\x00\x00\x007q")
    assert "the storage 7, which the archive does not have" in refusal(path)


@pytest.mark.parametrize(
    ("shape", "stride"), [((1000, 1000), (0, 0)), ((50, 2), (1, 1)), ((3, 2), (5, 5)), ((2, 50), (25, 1))]
)
def test_elements_that_are_the_same_bytes_are_refused(
    tmp_path: Path, shape: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    tensor = torch.ones(100).as_strided(shape, stride)
    assert "elements of which several are the same bytes" in refusal(saved(tmp_path, {"w": tensor}))


def test_an_expanded_extent_of_one_is_no_lie(tmp_path: Path) -> None:
    assert found(saved(tmp_path, {"ids": torch.arange(9).expand(1, 1, -1)}))["ids"].elements == 9


# ------------------------------------------------------------------------------------------- the archive


@pytest.mark.parametrize("protocol", [2, 4])
def test_torchs_old_format_is_refused_with_what_to_do(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "old.pt"
    torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    assert "torch's old format" in refusal(path)
    assert "torch 1.6 or later" in refusal(path)


class Doubled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self.inner(x)


@pytest.mark.filterwarnings("ignore")
def test_a_torchscript_archive_is_refused_as_a_program(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(Doubled()), path)
    with zipfile.ZipFile(path) as file:
        assert any(record.compress_type != zipfile.ZIP_STORED for record in file.infolist())
    assert "TorchScript archive: a program" in refusal(path)


def test_compressed_records_are_refused_and_with_them_zip_bombs(tmp_path: Path) -> None:
    path = archive(tmp_path, b"\x80\x02}.", zipfile.ZIP_DEFLATED, _0=bytes(10**8))
    assert path.stat().st_size < 10**6
    assert "compressed or encrypted" in refusal(path)


def test_encrypted_records_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, b"\x80\x02}.")
    at = path.read_bytes().rindex(b"PK\x01\x02") + 8
    changed(path, lambda data: data[:at] + b"\x01\x00" + data[at + 2 :])
    assert "compressed or encrypted" in refusal(path)


def test_records_over_one_another_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, b"\x80\x02}.", _0=bytes(100), _1=bytes(100))
    data = path.read_bytes()
    second, third = (i for i in range(len(data)) if data.startswith(b"PK\x03\x04", i) and i)
    entry = data.rindex(b"PK\x01\x02")
    assert data[entry + 42 : entry + 46] == struct.pack("<L", third)
    # Both entries name one local header, so that 100 bytes stand for 200.
    moved = data[: entry + 42] + struct.pack("<L", second) + data[entry + 46 :]
    path.write_bytes(moved.replace(b"model/data/1", b"model/data/0"))
    assert "over one another" in refusal(path)


def test_two_records_of_one_name_are_refused_whatever_their_case(tmp_path: Path) -> None:
    path = archive(tmp_path, b"\x80\x02}.", a=b"1", A=b"2")
    assert "model/data/A is there twice" in refusal(path)


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.99])
def test_a_file_cut_short_is_refused(tmp_path: Path, kept: float) -> None:
    path = changed(saved(tmp_path, trained()), lambda data: data[: int(len(data) * kept)])
    assert "cut short" in refusal(path)


def test_bytes_added_at_either_end_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, trained())
    data = path.read_bytes()
    path.write_bytes(data + b"more")
    assert "cut short" in refusal(path)
    path.write_bytes(data[:4] + b"more" + data)
    assert "directory is not where" in refusal(path)


def test_a_record_said_to_be_larger_than_the_file_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, b"\x80\x02}.", _0=bytes(100))
    entry = path.read_bytes().rindex(b"PK\x01\x02")
    size = struct.pack("<LL", 10**9, 10**9)
    changed(path, lambda data: data[: entry + 20] + size + data[entry + 28 :])
    assert "over one another" in refusal(path)


def test_a_directory_of_too_many_entries_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch, "_MAX_RECORDS", 3)
    assert "at most 3 in" in refusal(saved(tmp_path, trained()))


def test_every_byte_of_a_small_checkpoint_changed_ends_in_a_sentence_or_a_count(tmp_path: Path) -> None:
    path = saved(tmp_path, {"w": torch.ones(2, 3)})
    data = path.read_bytes()
    for at in range(0, len(data), 3):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            pytorch.read(path)
        except ModelInvalid as error:
            assert str(error).startswith(str(path))  # noqa: PT017


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04", bytes(600), b"PK\x05\x06" + bytes(18)])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    assert "it is no checkpoint of torch.save" in refusal(path) or "cut short" in refusal(path)


def test_a_zip_archive_without_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/weights", b"1234")
    assert "no record data.pkl" in refusal(path)


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
def test_what_cannot_be_opened_is_the_users_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.pt"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(UsageError, match=r"cannot be read|not a regular file"):
        pytorch.read(path)
