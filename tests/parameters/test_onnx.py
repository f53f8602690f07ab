"""ONNX models: what is read of files that the real libraries wrote, and each lie that is refused."""

import os
import tempfile
import tracemalloc
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bench.errors import ModelInvalid, UsageError
from bench.parameters import onnx as reader
from bench.parameters.inventory import Stored

RANDOM = np.random.default_rng(8)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, dtype=np.float32)


def kept(name: str, values: np.ndarray) -> Any:
    return numpy_helper.from_array(values, name)


def node(operator: str, inputs: Sequence[str], output: str = "y", domain: str = "", **words: Any) -> Any:
    return helper.make_node(operator, inputs, [output], domain=domain, **words)


def graph(nodes: Sequence[Any], stored: Sequence[Any] = (), name: str = "g", **words: Any) -> Any:
    """A graph of those nodes; it gives out what no node takes, or `outputs`."""
    taken = {name for step in nodes for name in step.input}
    given = words.pop("outputs", [name for step in nodes for name in step.output if name not in taken])
    x, *values = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", *given))
    return helper.make_graph(nodes, name, [x], values, stored, **words)


def saved(folder: Path, main: Any, functions: Sequence[Any] = ()) -> Path:
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    opsets.append(helper.make_opsetid("own", 1))
    path = folder / "m.onnx"
    model = helper.make_model(main, opset_imports=opsets, functions=functions)
    path.write_bytes(model.SerializeToString())
    return path


def read(path: Path) -> dict[str, Stored]:
    tensors = reader.read(path).tensors
    assert len({t.name for t in tensors}) == len(tensors)
    return {t.name: t for t in tensors}


def uses(path: Path) -> dict[str, str | None]:
    return {name: t.use for name, t in read(path).items()}


def refusal(path: Path, kind: type[Exception] = ModelInvalid) -> str:
    with pytest.raises(kind) as caught:
        reader.read(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(10, 8)
        self.conv = torch.nn.Conv1d(8, 16, 3)
        self.norm = torch.nn.BatchNorm1d(16)
        self.head = torch.nn.Linear(16, 4)
        # The exporter keeps equal tensors once, and a fresh norm has nothing but zeros and ones.
        with torch.no_grad():
            for values in (*self.norm.parameters(), self.norm.running_mean, self.norm.running_var):
                values.uniform_(0.5, 1.5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        seen = self.norm(self.conv(self.embed(tokens).transpose(1, 2)))
        return self.head(seen.transpose(1, 2).reshape(-1, 16))


def test_a_model_that_torch_exported_has_its_parameters(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    network = Network().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 9, dtype=torch.long),),
            str(path),
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
    found = read(path)
    for name, parameter in network.named_parameters():
        assert found[name].shape == tuple(parameter.shape)
        assert (found[name].dtype, found[name].use) == ("F32", None)
        offset = found[name].offset
        assert offset is not None
        held = path.read_bytes()[offset : offset + found[name].nbytes]
        assert held == parameter.detach().numpy().tobytes()
    rest = [t for name, t in found.items() if name not in dict(network.named_parameters())]
    assert {t.use for t in rest} == {"constant"}
    assert {"norm.running_mean", "norm.running_var"} < {t.name for t in rest}


ARRAYS = {
    "F32": floats(3, 4),
    "F64": np.zeros((2, 3)),
    "F16": np.zeros(5, np.float16),
    "I8": np.zeros(7, np.int8),
    "U8": np.zeros(7, np.uint8),
    "I16": np.zeros(7, np.int16),
    "U16": np.zeros(7, np.uint16),
    "I32": np.zeros(7, np.int32),
    "U32": np.zeros(7, np.uint32),
    "I64": np.zeros(7, np.int64),
    "U64": np.zeros(7, np.uint64),
    "BOOL": np.zeros(7, np.bool_),
    "C64": np.zeros(3, np.complex64),
    "C128": np.zeros(3, np.complex128),
}


@pytest.mark.parametrize("dtype", ARRAYS)
def test_every_numpy_type_has_its_word_and_its_bytes(tmp_path: Path, dtype: str) -> None:
    (found,) = reader.read(saved(tmp_path, graph([], [kept("w", ARRAYS[dtype])]))).tensors
    assert (found.dtype, found.shape, found.nbytes) == (dtype, ARRAYS[dtype].shape, ARRAYS[dtype].nbytes)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    ("kind", "dtype", "nbytes"),
    [
        ("FLOAT", "F32", 20),
        ("DOUBLE", "F64", 40),
        ("INT64", "I64", 40),
        ("UINT64", "U64", 40),
        ("UINT32", "U32", 20),
        ("INT32", "I32", 20),
        ("INT8", "I8", 5),
        ("BOOL", "BOOL", 5),
        ("FLOAT16", "F16", 10),
        ("BFLOAT16", "BF16", 10),
        ("FLOAT8E4M3FN", "F8_E4M3", 5),
        ("FLOAT8E5M2", "F8_E5M2", 5),
        ("INT4", "I4", 3),
        ("UINT4", "U4", 3),
        ("FLOAT4E2M1", "F4", 3),
        ("INT2", "I2", 2),
        ("UINT2", "U2", 2),
        ("COMPLEX64", "C64", 40),
    ],
)
def test_values_in_a_typed_field_or_raw_are_held_against_the_shape(
    tmp_path: Path, kind: str, dtype: str, nbytes: int, raw: bool
) -> None:
    number = TensorProto.DataType.Value(kind)
    values: Any = [1, 0, 1, 0, 1]
    if raw:
        tensor = helper.make_tensor("w", number, [5], bytes(nbytes), raw=True)
    else:
        tensor = helper.make_tensor("w", number, [5], values)
    (found,) = reader.read(saved(tmp_path, graph([], [tensor]))).tensors
    assert (found.dtype, found.elements, found.nbytes) == (dtype, 5, nbytes)
    assert (found.offset is not None) == (raw or kind in ("FLOAT", "DOUBLE", "COMPLEX64"))
    tensor.dims[0] = 9
    assert "the shape [9]" in refusal(saved(tmp_path, graph([], [tensor])))


def test_text_is_a_tensor_of_strings(tmp_path: Path) -> None:
    tensor = helper.make_tensor("w", TensorProto.STRING, [3], [b"a", b"", b"bc"])
    found = read(saved(tmp_path, graph([], [tensor])))["w"]
    assert (found.dtype, found.elements, found.nbytes, found.use) == ("STRING", 3, 3, None)


def test_a_sparse_tensor_counts_what_it_stores(tmp_path: Path) -> None:
    sparse = helper.make_sparse_tensor(
        kept("w", floats(100)), kept("", np.arange(100, dtype=np.int64)), [64, 64]
    )
    found = read(saved(tmp_path, graph([], sparse_initializer=[sparse])))
    assert {name: (t.shape, t.use) for name, t in found.items()} == {
        "w": ((100,), None),
        "w/indices": ((100,), "index"),
    }


def test_indices_that_do_not_belong_to_the_values_are_refused(tmp_path: Path) -> None:
    sparse = helper.make_sparse_tensor(
        kept("w", floats(2)), kept("", np.arange(100, dtype=np.int64)), [64, 64]
    )
    assert "expected one index for each value" in refusal(
        saved(tmp_path, graph([], sparse_initializer=[sparse]))
    )


def test_constants_are_named_by_their_output(tmp_path: Path) -> None:
    nodes = [
        node("Constant", [], "w", value=kept("ignored", floats(8, 8))),
        node("Constant", [], "few", value_floats=[1.0, 2.0]),
        node("Constant", [], "one", value_float=1.0),
        node("Constant", [], "two", value_int=2),
        node("Constant", [], "shape", value_ints=[8, 8]),
        node("MatMul", ["x", "w"], "xw"),
        node("Reshape", ["xw", "shape"]),
    ]
    found = read(saved(tmp_path, graph(nodes)))
    assert {name: (t.dtype, t.shape, t.use) for name, t in found.items()} == {
        "w": ("F32", (8, 8), None),
        "few": ("F32", (2,), None),
        "one": ("F32", (), None),
        "two": ("I64", (), None),
        "shape": ("I64", (2,), "constant"),
    }


def test_weights_in_any_attribute_are_counted(tmp_path: Path) -> None:
    nodes = [node("Own", ["x"], "y", "own", t=kept("", floats(9)), list=[1.0] * 65, axes=[1, 2])]
    assert {name: t.elements for name, t in read(saved(tmp_path, graph(nodes))).items()} == {
        "y/t": 9,
        "y/list": 65,
    }


def test_the_branches_of_an_if_have_their_own_names(tmp_path: Path) -> None:
    inner = {
        name: helper.make_graph(
            [node("Add", ["outer", "w"], "out")],
            name,
            [],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
            [kept("w", floats(size))],
        )
        for name, size in (("yes", 3), ("no", 4))
    }
    nodes = [
        node("If", ["x"], "y", then_branch=inner["yes"], else_branch=inner["no"]),
        node("Reshape", ["x", "outer"], "z"),
    ]
    found = read(saved(tmp_path, graph(nodes, [kept("w", floats(5)), kept("outer", floats(2))])))
    assert {name: t.elements for name, t in found.items()} == {
        "w": 5,
        "outer": 2,
        "y/then_branch/w": 3,
        "y/else_branch/w": 4,
    }
    assert found["outer"].use is None


def test_a_local_function_is_counted_once_and_means_what_the_model_says(tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", 21)]
    own = helper.make_function(
        "own",
        "Layer",
        ["x"],
        ["y"],
        [node("Constant", [], "w", value=kept("", floats(4, 4))), node("MatMul", ["x", "w"])],
        opsets,
    )
    fake = helper.make_function(
        "com.microsoft", "QGemm", ["a", "b"], ["y"], [node("MatMul", ["a", "b"])], opsets
    )
    nodes = [
        node("Layer", ["x"], "h", "own"),
        node("Layer", ["h"], "i", "own"),
        node("QGemm", ["i", "v"], "y", "com.microsoft"),
    ]
    found = read(saved(tmp_path, graph(nodes, [kept("v", floats(4))]), [own, fake]))
    assert {name: (t.elements, t.use) for name, t in found.items()} == {
        "own.Layer/w": (16, None),
        "v": (4, None),
    }


def test_a_model_of_scales_and_zero_points_says_what_is_what(tmp_path: Path) -> None:
    stored = [
        kept("w", np.zeros((16, 16), np.int8)),
        kept("s", floats(16)),
        kept("z", np.zeros(16, np.int8)),
        kept("xs", floats()),
        kept("xz", np.zeros((), np.uint8)),
        kept("b", np.zeros(16, np.int32)),
    ]
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], "xq"),
        node("DequantizeLinear", ["xq", "xs", "xz"], "xd"),
        node("DequantizeLinear", ["w", "s", "z"], "wd", axis=0),
        node("DequantizeLinear", ["b", "xs"], "bd"),
        node("Gemm", ["xd", "wd", "bd"]),
    ]
    assert uses(saved(tmp_path, graph(nodes, stored))) == {
        "w": "weight",
        "b": "weight",
        "s": "scale",
        "xs": "scale",
        "z": "zero-point",
        "xz": "zero-point",
    }


@pytest.mark.parametrize(
    ("domain", "operator", "inputs"),
    [
        ("", "QLinearMatMul", ["x", "s1", "z1", "w", "s2", "z2", "s3", "z3"]),
        ("", "QLinearConv", ["x", "s1", "z1", "w", "s2", "z2", "s3", "z3", "w2"]),
        ("", "MatMulInteger", ["x", "w", "z1", "z2"]),
        ("", "ConvInteger", ["x", "w", "z1", "z2"]),
        ("com.microsoft", "QGemm", ["x", "s1", "z1", "w", "s2", "z2", "w2", "s3", "z3"]),
        ("com.microsoft", "MatMulIntegerToFloat", ["x", "w", "s1", "s2", "z1", "z2", "w2"]),
        ("com.microsoft", "DynamicQuantizeMatMul", ["x", "w", "s1", "z1", "w2"]),
    ],
)
def test_an_operator_on_integers_says_what_its_inputs_are(
    tmp_path: Path, domain: str, operator: str, inputs: list[str]
) -> None:
    stored = [kept(name, np.zeros(9, np.uint8)) for name in inputs if name != "x"]
    words = {"w": "weight", "s": "scale", "z": "zero-point"}
    assert uses(saved(tmp_path, graph([node(operator, inputs, "y", domain)], stored))) == {
        name: words[name[0]] for name in inputs if name != "x"
    }


def test_shapes_axes_bounds_and_running_statistics_are_constants(tmp_path: Path) -> None:
    nodes = [
        node("Reshape", ["x", "r"], "a"),
        node("Slice", ["a", "s1", "s2", "s3", "s4"], "b"),
        node("Gather", ["b", "i"], "c"),
        node("Clip", ["c", "", "m"], "d"),
        node("ReduceSum", ["d", "ax"], "e"),
        node("ConstantOfShape", ["cs"], "f", value=kept("", floats(1))),
        node("BatchNormalization", ["e", "gamma", "beta", "mean", "var"]),
    ]
    serving = ["r", "s1", "s2", "s3", "s4", "i", "m", "ax", "cs"]
    stored = [kept(name, floats(2)) for name in serving]
    stored += [kept(name, floats(128)) for name in ("gamma", "beta", "mean", "var")]
    assert uses(saved(tmp_path, graph(nodes, stored))) == {
        **dict.fromkeys((*serving, "f/value", "mean", "var"), "constant"),
        "gamma": None,
        "beta": None,
    }


def test_a_weight_for_one_user_is_a_weight_and_a_tensor_that_is_multiplied_is_no_constant(
    tmp_path: Path,
) -> None:
    nodes = [
        node("DequantizeLinear", ["w", "s"], "a"),
        node("Reshape", ["x", "w"], "b"),
        node("Reshape", ["x", "v"], "c"),
        node("MatMul", ["x", "v"], "d"),
        node("Reshape", ["x", "y"], "e"),
    ]
    stored = [
        kept("w", np.zeros(4, np.int8)),
        kept("s", floats()),
        kept("v", floats(4)),
        kept("y", floats(4)),
    ]
    path = saved(tmp_path, graph(nodes, stored, outputs=[*"abcde", "y"]))
    assert uses(path) == {"w": "weight", "s": "scale", "v": None, "y": None}


@pytest.mark.parametrize(
    "nodes",
    [
        [node("DequantizeLinear", ["x", "w"])],
        [node("DequantizeLinear", ["one", "w"])],
        [node("Gather", ["x", "w"])],
        [node("Gather", ["one", "w"])],
        [node("Reshape", ["x", "w"])],
    ],
)
def test_what_is_larger_than_all_that_it_serves_is_not_taken_for_its_scale_or_index(
    tmp_path: Path, nodes: list[Any]
) -> None:
    assert uses(saved(tmp_path, graph(nodes, [kept("w", floats(65)), kept("one", floats(1))])))["w"] is None


def nbits(folder: Path, rows: int, columns: int, bits: int, block: int, nbytes: int) -> Path:
    blocks = -(-columns // block)
    stored = [
        kept("B", np.zeros((nbytes,), np.uint8)),
        kept("s", floats(rows * blocks)),
        kept("z", np.zeros(rows * -(-blocks * bits // 8), np.uint8)),
        kept("g", np.zeros(columns, np.int32)),
        kept("bias", floats(rows)),
    ]
    words = {"K": columns, "N": rows, "bits": bits, "block_size": block}
    nodes = [node("MatMulNBits", ["x", "B", "s", "z", "g", "bias"], "y", "com.microsoft", **words)]
    return saved(folder, graph(nodes, stored))


@pytest.mark.parametrize(
    ("rows", "columns", "bits", "block", "nbytes"),
    [
        (32, 64, 4, 32, 1024),
        (32, 60, 4, 32, 1024),
        (32, 64, 8, 16, 2048),
        (32, 64, 2, 16, 512),
        (8, 32, 3, 32, 96),
    ],
)
def test_a_matrix_of_n_bits_holds_k_times_n_weights(
    tmp_path: Path, rows: int, columns: int, bits: int, block: int, nbytes: int
) -> None:
    found = read(nbits(tmp_path, rows, columns, bits, block, nbytes))
    assert (found["B"].weights, found["B"].use) == (rows * columns, "weight")
    assert [found[name].use for name in ("s", "z", "g", "bias")] == ["scale", "zero-point", "index", "weight"]


@pytest.mark.parametrize(
    ("rows", "columns", "bits", "block"),
    [
        (64, 64, 4, 32),
        (16, 64, 4, 32),
        (-32, -64, 4, 32),
        (32, 64, 4, 0),
        (32, 64, 64, 32),
        (2**40, 2**40, 4, 32),
    ],
)
def test_a_matrix_of_n_bits_that_its_bytes_do_not_hold_is_refused(
    tmp_path: Path, rows: int, columns: int, bits: int, block: int
) -> None:
    words = {"K": columns, "N": rows, "bits": bits, "block_size": block}
    nodes = [node("MatMulNBits", ["x", "B", "s"], "y", "com.microsoft", **words)]
    stored = [kept("B", np.zeros((32, 2, 16), np.uint8)), kept("s", floats(64))]
    assert "the tensor B has 1024 bytes" in refusal(saved(tmp_path, graph(nodes, stored)))


def test_users_that_differ_in_how_many_weights_a_tensor_holds_are_refused(tmp_path: Path) -> None:
    nodes = [
        node("MatMulNBits", ["x", "B", "s"], f"y{k}", "com.microsoft", K=k, N=32, block_size=32)
        for k in (63, 64)
    ]
    stored = [kept("B", np.zeros((32, 2, 16), np.uint8)), kept("s", floats(64))]
    assert "differ in how many weights" in refusal(saved(tmp_path, graph(nodes, stored)))


def test_packed_embeddings_and_experts_hold_what_their_bits_say(tmp_path: Path) -> None:
    nodes = [
        node("GatherBlockQuantized", ["e8", "x", "s"], "c", "com.microsoft", bits=4),
        node("GatherBlockQuantized", ["e4", "x", "s"], "b", "com.microsoft"),
        node("QMoE", ["x", "x", "m1", "s", "", "m2", "s"], "y", "com.microsoft", expert_weight_bits=8,
             fc2_expert_weight_bits=2),
        node("MatMulBnb4", ["x", "n4", "a"], "d", "com.microsoft", K=9, N=9, block_size=16),
    ]  # fmt: skip
    stored = [kept(name, np.zeros((8, 16), np.uint8)) for name in ("e8", "m1", "m2")]
    stored.append(helper.make_tensor("e4", TensorProto.UINT4, [8, 16], bytes(64), raw=True))
    stored += [kept("n4", np.zeros(41, np.uint8)), kept("s", floats(8, 1)), kept("a", floats(6))]
    found = read(saved(tmp_path, graph(nodes, stored)))
    assert {name: t.weights for name, t in found.items()} == {
        "e8": 256,
        "m1": 128,
        "m2": 512,
        "e4": None,
        "n4": 81,
        "s": None,
        "a": None,
    }
    assert {t.use for name, t in found.items() if name not in ("s", "a")} == {"weight"}


@pytest.mark.parametrize(
    ("kind", "scales", "operator", "words"),
    [
        (np.uint8, None, "MatMulNBits", {"K": 64, "N": 32}),
        (np.uint8, (63,), "MatMulNBits", {"K": 64, "N": 32}),
        (np.uint8, (1,), "MatMulNBits", {"K": 64, "N": 32}),
        (np.int8, (64,), "MatMulNBits", {"K": 64, "N": 32}),
        (np.uint8, (65,), "MatMulBnb4", {"K": 64, "N": 32}),
        (np.uint8, None, "GatherBlockQuantized", {}),
        (np.uint8, (64,), "GatherBlockQuantized", {"quantize_axis": 2}),
        (np.uint8, (32, 2, 2), "GatherBlockQuantized", {"quantize_axis": 2}),
        (np.uint8, (16, 2, 1), "GatherBlockQuantized", {"quantize_axis": 2}),
        (np.uint8, (32, 2, 1), "GatherBlockQuantized", {"quantize_axis": 1}),
        (np.uint8, (32, 2, 1), "GatherBlockQuantized", {"quantize_axis": 2, "gather_axis": 1}),
        (np.int8, (32, 2, 1), "GatherBlockQuantized", {"quantize_axis": 2}),
    ],
)
def test_packed_weights_whose_type_or_scales_are_not_the_operators_count_as_they_are_stored(
    tmp_path: Path, kind: Any, scales: tuple[int, ...] | None, operator: str, words: dict[str, int]
) -> None:
    def weights(kind: Any, scales: tuple[int, ...] | None, words: dict[str, int]) -> int | None:
        inputs = ["B", "x"] if operator == "GatherBlockQuantized" else ["x", "B"]
        made = node(operator, [*inputs, "s"], "y", "com.microsoft", block_size=32, **words)
        stored = [kept("B", np.zeros((32, 2, 16), kind))]
        stored += [kept("s", floats(*scales))] if scales is not None else []
        return read(saved(tmp_path, graph([made], stored)))["B"].weights

    assert weights(kind, scales, words) is None
    right = (32, 2, 1) if operator == "GatherBlockQuantized" else (64,)
    assert weights(np.uint8, right, {**words, "quantize_axis": 2, "gather_axis": 0}) == 2048


@pytest.mark.parametrize(
    "dead",
    [
        node("MatMulNBits", ["x", "w", "s"], "dead", "com.microsoft", K=64, N=64, bits=2, block_size=16),
        node("GatherBlockQuantized", ["w", "x", "s"], "dead", "com.microsoft", bits=2, block_size=16),
        node("MatMulInteger", ["x", "w"], "dead"),
        node("If", ["x"], "dead", then_branch=helper.make_graph(
            [node("MatMulInteger", ["x", "w"], "out")], "b", [],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)])),
        node("DequantizeLinear", ["w", "s"], "dead"),
    ],
)  # fmt: skip
def test_a_node_that_no_output_depends_on_says_nothing_about_its_inputs(tmp_path: Path, dead: Any) -> None:
    stored = [kept("w", np.zeros((64, 16), np.uint8)), kept("s", floats(64, 4))]
    chain = [dead, node("Relu", ["dead"], "further"), node("Relu", ["x"], "y")]
    for nodes in (chain, chain[::-1]):
        found = read(saved(tmp_path, graph(nodes, stored, outputs=["y"])))
        assert {(t.use, t.weights) for t in found.values()} == {(None, None)}
    used = read(saved(tmp_path, graph(chain, stored, outputs=["y", "further"])))
    assert used["w"].use is not None


def test_a_branch_that_names_a_value_as_a_dead_one_outside_does_not_use_that(tmp_path: Path) -> None:
    def giving(name: str, nodes: Sequence[Any], **words: Any) -> Any:
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
        return helper.make_graph(nodes, "b", words.pop("inputs", []), values, **words)

    dead = node("MatMulInteger", ["x", "w"], "d")
    stored = [kept("w", np.zeros((4, 4), np.uint8))]
    at = helper.make_tensor_value_info("d", TensorProto.FLOAT, None)
    for body in (
        giving("d", [], inputs=[at]),
        giving("d", [node("Relu", ["x"], "d")]),
        giving("d", [], initializer=[kept("d", floats(2))]),
    ):
        nodes = [dead, node("Loop", ["x"], "y", body=body)]
        assert read(saved(tmp_path, graph(nodes, stored, outputs=["y"])))["w"].use is None
    nodes = [dead, node("Loop", ["x"], "y", body=giving("e", [node("Relu", ["d"], "e")]))]
    assert read(saved(tmp_path, graph(nodes, stored, outputs=["y"])))["w"].use == "weight"


def test_a_function_that_nobody_calls_says_nothing_about_its_tensors(tmp_path: Path) -> None:
    body = [
        node("Constant", [], "w", value=kept("", np.zeros((4, 4), np.uint8))),
        node("MatMulInteger", ["x", "w"], "y"),
    ]
    own = helper.make_function("own", "Layer", ["x"], ["y"], body, [helper.make_opsetid("", 21)])
    called = [node("Layer", ["x"], "y", "own")]
    assert read(saved(tmp_path, graph(called), [own]))["own.Layer/w"].use == "weight"
    unused = [*called, node("Relu", ["x"], "z")]
    assert read(saved(tmp_path, graph(unused, outputs=["z"]), [own]))["own.Layer/w"].use is None


@pytest.mark.parametrize("per_channel", [False, True])
def test_what_dynamic_quantisation_writes_has_its_scales_told_from_its_weights(
    tmp_path: Path, per_channel: bool
) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    plain, path = tmp_path / "plain.onnx", tmp_path / "m.onnx"
    nodes = [node("MatMul", ["x", "w"], "h"), node("Add", ["h", "b"])]
    main = graph(nodes, [kept("w", floats(64, 32)), kept("b", floats(32))])
    main.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64]))
    main.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 32]))
    opsets = [helper.make_opsetid("", 21)]
    onnx.save(helper.make_model(main, opset_imports=opsets, ir_version=10), plain)
    quantization.quantize_dynamic(plain, path, per_channel=per_channel)
    found = read(path)
    assert {name: t.use for name, t in found.items()} == {
        "w_quantized": "weight",
        "w_scale": "scale",
        "w_zero_point": "zero-point",
        "b": None,
    }
    assert found["w_scale"].elements == (32 if per_channel else 1)


def test_a_matrix_is_no_scale_by_its_name(tmp_path: Path) -> None:
    def use(shape: tuple[int, ...], quantised: Any) -> str | None:
        stored = [kept("w_quantized", quantised), kept("w_scale", floats(*shape))]
        nodes = [node("Mul", ["x", "w_scale"]), node("MatMulInteger", ["x", "w_quantized"], "z")]
        return uses(saved(tmp_path, graph(nodes, stored)))["w_scale"]

    assert use((8,), np.zeros((8, 4), np.uint8)) == "scale"
    assert use((8, 4), np.zeros((8, 4), np.uint8)) is None
    assert use((8,), np.zeros((8, 4), np.float32)) is None


def test_the_facts_are_the_headers_own_words(tmp_path: Path) -> None:
    model = helper.make_model(graph([], name="main"), producer_name="maker", producer_version="1.2")
    helper.set_model_props(model, {f"key{i:02}": "x" * 2000 for i in range(60)})
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    facts = {fact.name: fact.value for fact in reader.read(path).stated}
    assert (facts["producer"], facts["graph"]) == ("maker 1.2", "main")
    assert len(facts) == 52
    assert facts["metadata/key49"] == "x" * 1000


def test_a_large_model_takes_no_memory(tmp_path: Path) -> None:
    numbers = helper.make_tensor("i", TensorProto.INT64, [2**20], np.zeros(2**20, np.int64))
    path = saved(tmp_path, graph([], [kept("w", np.zeros((64, 2**18), np.float32)), numbers]))
    read(path)
    tracemalloc.start()
    found = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
    assert (found["w"].nbytes, found["i"].elements, found["i"].offset) == (2**26, 2**20, None)


# ----------------------------------------------------------------------------------- external data


def external(folder: Path, *tensors: Any) -> Path:
    path = folder / "m.onnx"
    model = helper.make_model(graph([], tensors))
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    return path


def changed(path: Path, index: int = 0, **words: str) -> Path:
    """The same model with other words about where a tensor's bytes lie."""
    model = onnx.load(path, load_external_data=False)
    tensor = model.graph.initializer[index]
    for entry in tensor.external_data:
        entry.value = words.pop(entry.key, entry.value)
    for key, value in words.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def test_tensors_in_another_file_lie_there(tmp_path: Path) -> None:
    values = [floats(3, 5), floats(7)]
    found = read(external(tmp_path, kept("a", values[0]), kept("b", values[1])))
    data = (tmp_path / "m.data").read_bytes()
    for name, array in zip("ab", values, strict=True):
        offset = found[name].offset
        assert offset is not None
        assert data[offset : offset + found[name].nbytes] == array.tobytes()
        assert (found[name].file, found[name].shape) == ("m.data", array.shape)


@pytest.mark.parametrize(
    "location",
    ["../m.data", "/etc/passwd", "sub/m.data", "..", ".", "", "C:m.data", "..\\m.data", "m.data\0", "m.onnx"],
)
def test_a_location_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    path = changed(external(tmp_path, kept("a", floats(3))), location=location)
    assert "expected the plain name of another file" in refusal(path)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"offset": "1"}, "needs 12 bytes from byte 1 of m.data on, and that file has 12 bytes"),
        ({"offset": str(10**18)}, "and that file has 12 bytes"),
        ({"offset": "-4"}, "that is no number"),
        ({"offset": "9" * 5000}, "that is no number"),
        ({"length": "8"}, "needs 12 bytes, and its length is 8"),
        ({"length": "16"}, "needs 12 bytes, and its length is 16"),
        ({"length": "²"}, "that is no number"),
    ],
)
def test_a_place_that_the_other_file_does_not_have_is_refused(
    tmp_path: Path, words: dict[str, str], says: str
) -> None:
    assert says in refusal(changed(external(tmp_path, kept("a", floats(3))), **words))


def test_a_shape_larger_than_the_other_file_is_refused(tmp_path: Path) -> None:
    path = external(tmp_path, kept("a", floats(3)))
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].dims[0] = 10**9
    del model.graph.initializer[0].external_data[1:]
    path.write_bytes(model.SerializeToString())
    assert "needs 4000000000 bytes" in refusal(path)


def test_a_missing_or_unreadable_other_file_is_named(tmp_path: Path) -> None:
    path = external(tmp_path, kept("a", floats(3)))
    (tmp_path / "m.data").unlink()
    assert "Put that file into the model's folder" in refusal(path, UsageError)
    os.mkfifo(tmp_path / "m.data")
    assert "not a regular file" in refusal(path)


def test_two_tensors_on_the_same_bytes_are_one_and_its_share(tmp_path: Path) -> None:
    path = external(tmp_path, kept("a", floats(3)), kept("b", floats(3)))
    offset = read(path)["a"].offset
    found = read(changed(path, 1, offset=str(offset)))
    assert {name: t.shared for name, t in found.items()} == {"a": False, "b": True}


def test_tensors_on_parts_of_each_other_are_refused(tmp_path: Path) -> None:
    path = external(tmp_path, kept("a", floats(8)), kept("b", floats(8)))
    assert "a and b lie on the same bytes" in refusal(changed(path, 1, offset="4"))


def test_a_scale_on_a_weights_bytes_does_not_make_the_weight_the_copy(tmp_path: Path) -> None:
    main = graph([node("DequantizeLinear", ["x", "a"])], [kept("a", floats(3)), kept("b", floats(3))])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(main), path, save_as_external_data=True, location="d", size_threshold=0)
    path = changed(path, 1, offset=str(read(path)["a"].offset))
    assert {name: t.shared for name, t in read(path).items()} == {"a": True, "b": False}


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_links_to_one_file_are_that_file(tmp_path: Path, link: Any) -> None:
    path = external(tmp_path, kept("a", floats(8)), kept("b", floats(8)))
    link(tmp_path / "m.data", tmp_path / "n.data")
    offset = read(path)["a"].offset
    found = read(changed(path, 1, location="n.data", offset=str(offset)))
    assert {name: (t.file, t.shared) for name, t in found.items()} == {
        "a": ("m.data", False),
        "b": ("n.data", True),
    }
    assert "a and b lie on the same bytes" in refusal(changed(path, 1, offset="4"))


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_link_to_the_model_itself_is_no_other_file(tmp_path: Path, link: Any) -> None:
    path = external(tmp_path, kept("a", floats(3)))
    (tmp_path / "m.data").unlink()
    link(path, tmp_path / "m.data")
    assert "a link to the model itself" in refusal(path)


# ------------------------------------------------------------------------------------------- lies


def tensor(**words: Any) -> Any:
    made = kept("w", floats(4))
    for name, value in words.items():
        if name == "dims":
            made.ClearField("dims")
            made.dims.extend(value)
        elif name == "float_data":
            made.float_data.extend(value)
        else:
            setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        (tensor(dims=[5]), "needs 20 bytes, and the file has 16"),
        (tensor(dims=[3]), "needs 12 bytes, and the file has 16"),
        (tensor(dims=[2**40]), f"needs {2**42} bytes"),
        (tensor(dims=[2**62, 2**62]), "more elements than any model has"),
        (tensor(dims=[-4]), "a negative dimension"),
        (tensor(dims=[1] * 17), "17 dimensions"),
        (tensor(dims=[0]), "needs 0 bytes, and the file has 16"),
        (tensor(data_type=0), "is of the type 0"),
        (tensor(data_type=99), "is of the type 99"),
        (tensor(data_type=11), "needs 32 bytes"),
        (tensor(data_type=8), "the type STRING has its values in the field 9"),
        (tensor(raw_data=b""), "has its values nowhere"),
        (tensor(raw_data=b"", float_data=[1.0]), "needs 4 values, and the file has 1"),
        (tensor(raw_data=b"", float_data=[1.0] * 4, data_type=6), "expected them in the field 5"),
        (tensor(float_data=[1.0] * 4), "has its values in two places"),
        (tensor(data_location=1), "said to lie in another file, and cannot"),
        (tensor(name=""), "has no name"),
        (tensor(name="x" * 1025), "a name of 1025 characters"),
    ],
)  # fmt: skip
def test_a_lie_about_a_tensor_is_refused(tmp_path: Path, lie: Any, says: str) -> None:
    assert says in refusal(saved(tmp_path, graph([], [lie])))


def test_a_segment_of_a_tensor_is_refused(tmp_path: Path) -> None:
    part = tensor()
    part.segment.begin = 1
    assert "is a segment of one" in refusal(saved(tmp_path, graph([], [part])))


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    assert "the tensor w stands in it twice" in refusal(saved(tmp_path, graph([], [tensor(), tensor()])))
    both = graph([node("Constant", [], "w", value=tensor())], [tensor()])
    assert "the value w is made twice" in refusal(saved(tmp_path, both))
    assert "the value a is made twice" in refusal(
        saved(tmp_path, graph([node("Relu", ["x"], "a"), node("Abs", ["x"], "a")]))
    )


def field(number: int, content: bytes) -> bytes:
    """A field of bytes or of a message, as Protocol Buffers encode it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + varint(value >> 7)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"GGUF", "it is no ONNX model"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "it is no ONNX model"),
        (b"\x3a\x80", "a number without an end"),
        (b"\x80" * 30, "a number without an end"),
        (b"\x3b", "an encoding 3"),
        (b"\x00\x00", "a field 0"),
        (field(2, b"x"), "it has no graph"),
        (field(7, b"") * 2, "a graph where none can stand"),
        (field(7, field(2, b"\xff")), "a text that is no UTF-8"),
        (field(7, field(5, field(13, field(1, b"\xff")))), "a text that is no UTF-8"),
        (field(7, field(5, field(8, b"w") + field(4, b"12345"))), "5 bytes for values of 4 bytes each"),
        (field(7, field(5, field(8, b"w") + field(7, b"\x80"))), "a number without an end"),
        (field(7, field(5, field(8, b"w") + b"\x48\x01")), "in another encoding"),
        (field(7, field(5, field(9, b"1") * 2)), "has its values in two places"),
        (field(7, b"\x28\x01"), "a tensor where none can stand"),
        (field(7, b"") + field(25, field(11, field(6, field(5, b"")))), "where no runtime looks for one"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_model_are_refused(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    assert says in refusal(path)


def test_graphs_too_deep_in_each_other_are_refused(tmp_path: Path) -> None:
    data = b""
    for _ in range(40):
        data = field(1, field(3, b"n") + field(5, field(1, b"body") + field(6, data)))
    path = tmp_path / "m.onnx"
    path.write_bytes(field(7, data))
    assert "lie in each other more than" in refusal(path)


def test_a_graph_beyond_its_limits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, graph([node("Identity", ["x"])], [tensor()]))
    monkeypatch.setattr(reader, "_MAX_FIELDS", 10)
    assert "more than 10 fields" in refusal(path)
    monkeypatch.setattr(reader, "_MAX_FIELDS", 1000)
    monkeypatch.setattr(reader, "_MAX_GRAPH_BYTES", 10)
    assert "takes more than 10 bytes" in refusal(path)


def test_what_is_no_file_or_cannot_be_read_is_a_wrong_word(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.onnx"):
        refusal(path, UsageError)


def test_a_name_that_controls_the_terminal_is_made_safe(tmp_path: Path) -> None:
    assert "\x1b" not in refusal(saved(tmp_path, graph([], [tensor(name="\x1b[2Ja", dims=[9])])))


@pytest.fixture(scope="module")
def small() -> bytes:
    branch = helper.make_graph(
        [node("Add", ["w", "v"], "out")],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [kept("v", floats(2))],
    )
    own = helper.make_function(
        "own",
        "Layer",
        ["x"],
        ["y"],
        [node("Constant", [], "c", value=kept("", floats(2)))],
        [helper.make_opsetid("", 21)],
    )
    outside = kept("e", floats(2))
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="m.data")
    nodes = [
        node("MatMulNBits", ["x", "B", "s"], "y", "com.microsoft", K=32, N=1, bits=4, block_size=16),
        node("If", ["x"], "z", then_branch=branch, else_branch=branch),
    ]
    stored = [
        kept("w", floats(2, 3)),
        kept("B", np.zeros((1, 2, 8), np.uint8)),
        kept("s", floats(2)),
        outside,
    ]
    stored.append(helper.make_tensor("i", TensorProto.INT64, [3], [1, 2, 3]))
    sparse = helper.make_sparse_tensor(kept("q", floats(2)), kept("", np.arange(2)), [8])
    with tempfile.TemporaryDirectory() as folder:
        main = graph(nodes, stored, sparse_initializer=[sparse])
        return saved(Path(folder), main, [own]).read_bytes()


@settings(max_examples=400, deadline=2000)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 2**16), st.integers(0, 255), st.sampled_from(["set", "cut", "add"])),
        min_size=1,
        max_size=4,
    )
)
def test_a_changed_model_is_refused_in_a_sentence_or_read(
    small: bytes, changes: list[tuple[int, int, str]]
) -> None:
    data = bytearray(small)
    for where, value, how in changes:
        at = where % len(data)
        if how == "set":
            data[at] = value
        elif how == "cut":
            del data[at]
        else:
            data.insert(at, value)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(data)
        (Path(folder) / "m.data").write_bytes(bytes(8))
        try:
            header = reader.read(path)
        except (ModelInvalid, UsageError):
            return
        assert all(t.nbytes <= len(data) for t in header.tensors if t.offset is not None)
        try:
            model = onnx.load(path, load_external_data=False)
        except DecodeError:
            return
        ours = {t.name: t.shape for t in header.tensors}
        assert all(ours[t.name] == tuple(t.dims) for t in model.graph.initializer)


def test_the_model_that_is_changed_is_read_as_it_is(small: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(small)
    (tmp_path / "m.data").write_bytes(bytes(8))
    assert set(read(tmp_path / "m.onnx")) == {
        *("w", "B", "s", "e", "i", "q", "q/indices"),
        *("z/then_branch/v", "z/else_branch/v", "own.Layer/c"),
    }
