"""ONNX models, with their weights inside or in files beside them.

The format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, in the encoding of Protocol Buffers
(https://protobuf.dev/programming-guides/encoding/). A model of two gigabytes is one message, which the
library would load whole; so the message is first walked in place and copied without its tensors' values,
and without all that does not bear on them. The library parses that copy.

Which operator's input a tensor is says what it is for: the operators of ONNX
(https://onnx.ai/onnx/operators/) and of ONNX Runtime
(https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md).
"""

import mmap
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

from bench.errors import ModelInvalid, UsageError
from bench.parameters.files import opened
from bench.parameters.inventory import Header, Stored, require_few, require_plausible
from bench.printable import printable
from bench.terms import Fact, Use

# Everything but the values of tensors. The graphs of the largest published models take some 10 MB.
_MAX_GRAPH_BYTES = 64 * 2**20
# Each field costs time and, parsed, memory. Graphs of 100,000 nodes have some million.
_MAX_FIELDS = 2_000_000
# Messages in messages; the library itself stops at 100.
_MAX_DEPTH = 90
_SAMPLED_HEADER = 2**20
_MAX_TEXT = 1000
_MAX_METADATA = 50
# Shapes, axes, bounds and lists of attributes have a few elements, twice the rank at most.
_FEW = 64

# What is copied of each message: a field's number to the message in it, to "text" for UTF-8, or to None.
_MESSAGES: Mapping[str, Mapping[int, str | None]] = {
    "model": {2: "text", 3: "text", 7: "graph", 14: "entry", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 2: "text", 5: "tensor", 11: "value", 12: "value", 15: "sparse"},
    "node": {**dict.fromkeys((1, 2, 3, 4, 7, 8), "text"), 5: "attribute"},
    "attribute": {
        **dict.fromkeys((1, 21), "text"),
        **dict.fromkeys((2, 3, 7, 8, 20)),
        **dict.fromkeys((5, 10), "tensor"),
        **dict.fromkeys((6, 11), "graph"),
        **dict.fromkeys((22, 23), "sparse"),
    },
    "sparse": {1: "tensor", 2: "tensor", 3: None},
    "function": {1: "text", 5: "text", 7: "node", 10: "text", 11: "attribute", 13: "text"},
    "tensor": {1: None, 2: None, 3: None, 8: "text", 13: "entry", 14: None},
    "entry": {1: "text", 2: "text"},
    "value": {1: "text"},
}
# Messages that stand once. The encoding would merge a second one into the first; no program writes that.
_ONCE = {("model", 7), ("training", 1), ("training", 2), ("attribute", 5), ("attribute", 6)}
_ONCE |= {("attribute", 22), ("sparse", 1), ("sparse", 2)}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}

# Where a tensor's values can stand (TensorProto), and how one value that is not packed is encoded.
_RAW, _STRINGS = 9, 6
_VALUES = {4: _FIXED32, 5: _VARINT, _STRINGS: _BYTES, 7: _VARINT, _RAW: _BYTES, 10: _FIXED64, 11: _VARINT}
# The field that the copy has for none of its own: it keeps which of the payloads is the tensor's.
_DOC_STRING = 12

# TensorProto.DataType: the word (that of safetensors where it has one), the bits of an element, and the
# field for its values that is not raw_data.
_TYPES = {
    1: ("F32", 32, 4),
    2: ("U8", 8, 5),
    3: ("I8", 8, 5),
    4: ("U16", 16, 5),
    5: ("I16", 16, 5),
    6: ("I32", 32, 5),
    7: ("I64", 64, 7),
    8: ("STRING", 0, _STRINGS),
    9: ("BOOL", 8, 5),
    10: ("F16", 16, 5),
    11: ("F64", 64, 10),
    12: ("U32", 32, 11),
    13: ("U64", 64, 11),
    14: ("C64", 64, 4),
    15: ("C128", 128, 10),
    16: ("BF16", 16, 5),
    17: ("F8_E4M3", 8, 5),
    18: ("F8_E4M3FNUZ", 8, 5),
    19: ("F8_E5M2", 8, 5),
    20: ("F8_E5M2FNUZ", 8, 5),
    21: ("U4", 4, 5),
    22: ("I4", 4, 5),
    23: ("F4", 4, 5),
    24: ("F8_E8M0", 8, 5),
    25: ("U2", 2, 5),
    26: ("I2", 2, 5),
    27: ("F6_E2M3", 6, 5),
    28: ("F6_E3M2", 6, 5),
}
_EXTERNAL = 1
# AttributeProto.AttributeType
_FLOAT, _INT, _FLOATS, _INTS = 1, 2, 6, 7

_W: Use = "weight"
_S: Use = "scale"
_Z: Use = "zero-point"
_I: Use = "index"
_C: Use = "constant"
_Inputs = tuple[Use | None, ...]
_QUANTISED: _Inputs = (_W, _S, _Z)
_BINARY: _Inputs = (*_QUANTISED, *_QUANTISED, _S, _Z)
_UNARY: _Inputs = (*_QUANTISED, _S, _Z)
_SHAPED: _Inputs = (None, _C)
_STANDARD: Mapping[str, _Inputs] = {
    "DequantizeLinear": _QUANTISED,
    "QuantizeLinear": (None, _S, _Z),
    "QLinearMatMul": _BINARY,
    "QLinearConv": (*_BINARY, _W),
    "MatMulInteger": (_W, _W, _Z, _Z),
    "ConvInteger": (_W, _W, _Z, _Z),
    # Running mean and variance, which PyTorch keeps as buffers.
    "BatchNormalization": (None, None, None, _C, _C),
    "Gather": _SHAPED,
    "ConstantOfShape": (_C,),
    "Range": (_C, _C, _C),
    "Slice": (None, _C, _C, _C, _C),
    "Pad": (None, _C, _C, _C),
    "Clip": (None, _C, _C),
    "Resize": (None, _C, _C, _C),
    **dict.fromkeys(("Reshape", "Expand", "Tile", "Unsqueeze", "Squeeze", "Split", "TopK"), _SHAPED),
    **dict.fromkeys(("CumSum", "Trilu", "Upsample"), _SHAPED),
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"), _SHAPED),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp"), _SHAPED),
    "ReduceSumSquare": _SHAPED,
}
_EXPERTS: _Inputs = (_W, _S, _W)
_MICROSOFT: Mapping[str, _Inputs] = {
    "DequantizeLinear": _QUANTISED,
    "QuantizeLinear": (None, _S, _Z),
    "QGemm": (*_QUANTISED, *_QUANTISED, _W, _S, _Z),
    "QLinearAdd": _BINARY,
    "QLinearMul": _BINARY,
    "QLinearSigmoid": _UNARY,
    "QLinearLeakyRelu": _UNARY,
    "QLinearSoftmax": _UNARY,
    "QLinearAveragePool": _UNARY,
    "QLinearGlobalAveragePool": _UNARY,
    "QAttention": (None, _W, _W, _S, _S, None, _Z, _Z),
    "DynamicQuantizeMatMul": (None, _W, _S, _Z, _W),
    "MatMulIntegerToFloat": (_W, _W, _S, _S, _Z, _Z, _W),
    "MatMulNBits": (None, _W, _S, _Z, _I, _W),
    "MatMulBnb4": (None, _W, _S),
    "GatherBlockQuantized": (_W, _C, _S, _Z),
    "QMoE": (None, None, *_EXPERTS, *_EXPERTS, *_EXPERTS, _Z, _Z, _Z),
}
# Which inputs are the packed weights and their scales.
_DATA_AND_SCALES = {"MatMulNBits": (1, 2), "MatMulBnb4": (1, 2), "GatherBlockQuantized": (0, 2)}
_OF_QUANTISED: Mapping[str, Use] = {"_scale": _S, "_zero_point": _Z}
_OPERATORS = {"": _STANDARD, "ai.onnx": _STANDARD, "com.microsoft": _MICROSOFT}


@dataclass(slots=True)
class _Payload:
    """The values of one tensor: in which field, how many entries of it, and where when in one piece."""

    field: int = 0
    pieces: int = 0
    offset: int = 0
    nbytes: int = 0
    entries: int = 0


@dataclass(slots=True)
class _Entry:
    """A tensor with what its users say of it: `room` is the largest stored tensor that it serves."""

    stored: Stored
    uses: set[Use | None] = field(default_factory=set)
    weights: set[int] = field(default_factory=set)
    room: int = 0


@dataclass(frozen=True, slots=True)
class _Scope:
    """The values that a graph itself names: tensors stored in it, outputs of its nodes, its inputs."""

    prefix: str
    outer: "_Scope | None"
    names: dict[str, _Entry] = field(default_factory=dict)
    made: dict[str, "_Step"] = field(default_factory=dict)
    inputs: set[str] = field(default_factory=set)

    def home(self, name: str) -> "_Scope | None":
        """The innermost graph around that has a value of this name."""
        scope: _Scope | None = self
        while scope is not None and not (name in scope.names or name in scope.made or name in scope.inputs):
            scope = scope.outer
        return scope

    def find(self, name: str) -> _Entry | None:
        scope = self.home(name)
        return scope.names.get(name) if scope is not None else None


@dataclass(slots=True)
class _Step:
    """A node in its graph. `inner` are the graphs in its attributes with the names that each gives out."""

    node: Any
    scope: _Scope
    inner: list[tuple[_Scope, Sequence[str]]] = field(default_factory=list)
    is_used: bool = False


def read(path: Path) -> Header:
    """The tensors of one ONNX model. Raises ModelInvalid, and UsageError where there is nothing to read.

    These are the initializers, dense and sparse, and the tensors and long lists in the attributes of nodes,
    in every graph, function and branch. One of a branch has the branch before its name, one of a function
    the function. A tensor whose values are encoded as varints has no offset, and takes in memory `nbytes`.

    An ONNX file has no header apart: `size` is its first megabyte.
    """
    where = printable(str(path))
    library, decode_error = _library()
    with opened(path) as file:
        state = os.fstat(file.fileno())
        if not state.st_size:
            raise ModelInvalid(f"{where}: it is empty.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            walk = _Walk(where, data)
            reduced = walk.message("model", 0, len(data), 0)
    model = library.ModelProto()
    try:
        model.ParseFromString(bytes(reduced))
        inventory = _Inventory(path, _identity(state), walk.payloads)
        inventory.model(model)
        stated = tuple(_facts(model))
    except decode_error as error:
        raise ModelInvalid(f"{where}: it is no ONNX model: {printable(str(error))}.") from error
    return Header(size=min(state.st_size, _SAMPLED_HEADER), tensors=inventory.tensors(), stated=stated)


def _library() -> tuple[Any, type[Exception]]:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise UsageError(
            "ONNX models are read with the package onnx, which is not installed. "
            "Type pip install 'compute-evidence[params]'."
        ) from error
    return onnx, DecodeError


def _facts(model: Any) -> Iterator[Fact]:
    texts = {"producer": f"{model.producer_name} {model.producer_version}".strip(), "graph": model.graph.name}
    for entry in model.metadata_props[:_MAX_METADATA]:
        texts.setdefault(f"metadata/{entry.key[:_MAX_TEXT]}", entry.value)
    for name, text in texts.items():
        if text:
            yield Fact(name=name, value=text[:_MAX_TEXT], source="header")


# ------------------------------------------------------------------------------- the encoded message


class _Walk:
    """A message copied without the values of its tensors, which are kept as places in the file."""

    def __init__(self, where: str, data: mmap.mmap) -> None:
        self._where = where
        self._data = data
        self._fields = 0
        self._kept = 0
        self.payloads: list[_Payload] = []

    def message(self, kind: str, at: int, end: int, depth: int) -> bytearray:
        """The copy of the message in the bytes `at` to `end`."""
        if depth > _MAX_DEPTH:
            raise ModelInvalid(f"{self._where}: its graphs lie in each other more than {depth} deep.")
        wanted = _MESSAGES[kind]
        payload = _Payload() if kind == "tensor" else None
        out = bytearray()
        once = set()
        while at < end:
            begin = at
            number, wire, start, at = self._field(at, end)
            if payload is not None and number in _VALUES:
                self._add(payload, number, wire, start, at)
            elif number in wanted:
                inner = wanted[number]
                if inner is None or inner == "text":
                    if inner is not None and not _is_text(self._data[start:at]):
                        raise self._malformed(start, "a text that is no UTF-8")
                    self._keep(out, self._data[begin:at])
                    continue
                if wire != _BYTES or number in once:
                    raise self._malformed(begin, f"a {inner} where none can stand")
                if (kind, number) in _ONCE:
                    once.add(number)
                copied = self.message(inner, start, at, depth + 1)
                out += _varint(number << 3 | _BYTES) + _varint(len(copied))
                out += copied
        if payload is not None:
            index = str(len(self.payloads)).encode()
            self.payloads.append(payload)
            self._keep(out, _varint(_DOC_STRING << 3 | _BYTES) + _varint(len(index)) + index)
        return out

    def _keep(self, out: bytearray, data: bytes) -> None:
        self._kept += len(data)
        if self._kept > _MAX_GRAPH_BYTES:
            raise ModelInvalid(
                f"{self._where}: its graph alone takes more than {_MAX_GRAPH_BYTES} bytes, the values of "
                "tensors left out."
            )
        out += data

    def _field(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Of the field at `at` its number and encoding, and where its value starts and ends."""
        self._fields += 1
        if self._fields > _MAX_FIELDS:
            raise ModelInvalid(f"{self._where}: it has more than {_MAX_FIELDS} fields.")
        tag, start = self._number(at, end)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            after = self._number(start, end)[1]
        elif wire == _BYTES:
            length, start = self._number(start, end)
            after = start + length
        elif wire in _FIXED:
            after = start + _FIXED[wire]
        else:
            raise self._malformed(at, f"an encoding {wire}, which no field of a model has")
        if not number or after > end:
            raise self._malformed(at, f"a field {number} up to byte {after} in a message that ends at {end}")
        return number, wire, start, after

    def _number(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for index in range(10):
            if at + index >= end:
                break
            byte = self._data[at + index]
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                return value, at + index + 1
        raise self._malformed(at, "a number without an end")

    def _malformed(self, at: int, what: str) -> ModelInvalid:
        return ModelInvalid(f"{self._where}: it is no ONNX model: at byte {at} there is {what}.")

    def _add(self, payload: _Payload, number: int, wire: int, start: int, end: int) -> None:
        """Values of a tensor, which may stand packed, one by one, or both."""
        single = _VALUES[number]
        if wire not in (_BYTES, single):
            raise self._malformed(start, "a tensor's values in another encoding than they have")
        if start == end and number != _STRINGS:
            return
        if payload.field not in (0, number) or (payload.field == _RAW):
            raise self._malformed(start, "a tensor that has its values in two places")
        if wire == single and number != _RAW:
            entries = 1
        elif number == _RAW:
            entries = end - start
        elif single == _VARINT:
            entries = self._varints(start, end)
        else:
            entries, rest = divmod(end - start, _FIXED[single])
            if rest:
                raise self._malformed(start, f"{end - start} bytes for values of {_FIXED[single]} bytes each")
        payload.field = number
        payload.offset = start
        payload.pieces += 1
        payload.nbytes += end - start
        payload.entries += entries

    def _varints(self, start: int, end: int) -> int:
        """How many varints the bytes hold: each ends with a byte below 0x80."""
        import numpy

        if self._data[end - 1] >= 0x80:
            raise self._malformed(start, "a number without an end")
        step = 2**20
        return sum(
            int(numpy.count_nonzero(numpy.frombuffer(self._data[at : min(at + step, end)], "u1") < 0x80))
            for at in range(start, end, step)
        )


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


# -------------------------------------------------------------------------------- graphs and tensors

# Device and inode, which all links to one file have in common.
_Identity = tuple[int, int]


def _identity(state: os.stat_result) -> _Identity:
    return state.st_dev, state.st_ino


class _Inventory:
    """The tensors of a model, gathered graph by graph."""

    def __init__(self, path: Path, identity: _Identity, payloads: Sequence[_Payload]) -> None:
        self._path = path
        self._where = printable(str(path))
        self._payloads = payloads
        self._entries: dict[str, _Entry] = {}
        self._visited = 0
        self._identity = identity
        self._others: dict[str, os.stat_result] = {}
        self._own: set[tuple[str, str]] = set()
        self._bodies: dict[tuple[str, str, str], tuple[_Scope, Sequence[str]]] = {}

    def tensors(self) -> tuple[Stored, ...]:
        finished = {name: self._finished(entry) for name, entry in self._entries.items()}
        return self._with_shared([_of_pair(tensor, finished) for tensor in finished.values()])

    def model(self, model: Any) -> None:
        if not model.HasField("graph"):
            raise ModelInvalid(f"{self._where}: it is no ONNX model: it has no graph.")
        # An operator that the model defines itself does what the model says, whatever its name.
        self._own = {(function.domain, function.name) for function in model.functions}
        main = self._graph(model.graph, "", None)
        given = [main]
        for index, training in enumerate(model.training_info):
            for name in ("initialization", "algorithm"):
                prefix = f"training_info.{index}.{name}/"
                given.append(self._graph(getattr(training, name), prefix, main[0]))
        for function in model.functions:
            overload = f":{function.overload}" if function.overload else ""
            scope = _Scope(f"{function.domain}.{function.name}{overload}/", None, inputs=set(function.input))
            for attribute in function.attribute_proto:
                self._attribute(attribute, attribute.name, scope)
            self._nodes(function.node, scope)
            self._bodies[function.domain, function.name, function.overload] = scope, function.output
        if self._visited != len(self._payloads):
            raise ModelInvalid(f"{self._where}: a tensor stands where no runtime looks for one.")
        self._follow(given)

    def _graph(self, graph: Any, prefix: str, outer: _Scope | None) -> tuple[_Scope, Sequence[str]]:
        """The graph's values, and the names of those that it gives out."""
        scope = _Scope(prefix, outer, inputs={value.name for value in graph.input})
        for tensor in graph.initializer:
            self._tensor(tensor, tensor.name, scope)
        for sparse in graph.sparse_initializer:
            self._sparse(sparse, sparse.values.name, scope)
        self._nodes(graph.node, scope)
        return scope, [output.name for output in graph.output]

    def _nodes(self, nodes: Any, scope: _Scope) -> None:
        stored = set(scope.names)
        for node in nodes:
            step = _Step(node, scope)
            for output in node.output:
                if output in scope.made or output in stored:
                    full = printable(f"{scope.prefix}{output}")
                    raise ModelInvalid(f"{self._where}: the value {full} is made twice in one graph.")
                if output:
                    scope.made[output] = step
            name = node.output[0] if node.output else node.name
            for attribute in node.attribute:
                is_constant = node.op_type == "Constant" and node.domain in ("", "ai.onnx")
                self._attribute(attribute, name if is_constant else f"{name}/{attribute.name}", scope)
                graphs = [attribute.g] if attribute.HasField("g") else []
                for index, graph in enumerate((*graphs, *attribute.graphs)):
                    of = f"{attribute.name}.{index}" if attribute.graphs else attribute.name
                    step.inner.append(self._graph(graph, f"{scope.prefix}{name}/{of}/", scope))

    def _follow(self, given: Sequence[tuple[_Scope, Sequence[str]]]) -> None:
        """Notes what tensors are for, back from what the graphs give out.

        A node that nothing given out depends on is never computed, and says nothing about its inputs.
        """
        waiting = list(given)
        while waiting:
            scope, names = waiting.pop()
            # What a graph gives out may be used for anything.
            self._used_as(scope, names, ())
            steps = list(self._made_by(scope, names))
            while steps:
                step = steps.pop()
                if step.is_used:
                    continue
                step.is_used = True
                self._uses(step.node, step.scope)
                waiting += step.inner
                body = self._bodies.pop((step.node.domain, step.node.op_type, step.node.overload), None)
                if body is not None:
                    waiting.append(body)
                steps += self._made_by(step.scope, step.node.input)

    def _made_by(self, scope: _Scope, names: Sequence[str]) -> Iterator[_Step]:
        for name in names:
            home = scope.home(name)
            if home is not None and name in home.made:
                yield home.made[name]

    def _attribute(self, attribute: Any, name: str, scope: _Scope) -> None:
        """The tensors in an attribute, and its numbers where they are many."""
        if attribute.HasField("t"):
            self._tensor(attribute.t, name, scope)
        if attribute.HasField("sparse_tensor"):
            self._sparse(attribute.sparse_tensor, name, scope)
        for index, tensor in enumerate(attribute.tensors):
            self._tensor(tensor, f"{name}.{index}", scope)
        for index, sparse in enumerate(attribute.sparse_tensors):
            self._sparse(sparse, f"{name}.s{index}", scope)
        for numbers, dtype, width, kind in (
            (attribute.floats, "F32", 4, "floats"),
            (attribute.ints, "I64", 8, "ints"),
        ):
            if len(numbers) > _FEW or (numbers and attribute.name == f"value_{kind}"):
                self._add(name, scope, dtype, (len(numbers),), len(numbers) * width)
        if attribute.name == "value_float" and attribute.HasField("f"):
            self._add(name, scope, "F32", (), 4)
        if attribute.name == "value_int" and attribute.HasField("i"):
            self._add(name, scope, "I64", (), 8)

    def _sparse(self, sparse: Any, name: str, scope: _Scope) -> None:
        """The values that are stored, and where in the dense tensor they stand."""
        values, indices = sparse.values.dims, sparse.indices.dims
        if len(values) != 1 or list(indices) not in ([values[0]], [values[0], len(sparse.dims)]):
            raise ModelInvalid(
                f"{self._where}: the sparse tensor {printable(name)} has values of the shape {list(values)} "
                f"and indices of the shape {list(indices)}; expected one index for each value."
            )
        self._tensor(sparse.values, name, scope)
        entry = self._tensor(sparse.indices, f"{name}/indices", scope)
        entry.uses.add("index")
        entry.room = entry.stored.elements

    def _tensor(self, tensor: Any, name: str, scope: _Scope) -> _Entry:
        full = f"{scope.prefix}{name}"
        what = f"{self._where}: the tensor {printable(full)}"
        self._visited += 1
        if tensor.HasField("segment"):
            raise ModelInvalid(f"{what} is a segment of one; no runtime reads those.")
        if tensor.data_type not in _TYPES:
            raise ModelInvalid(
                f"{what} is of the type {tensor.data_type}; types 1 to {max(_TYPES)} of onnx.proto are read."
            )
        dtype, bits, own_field = _TYPES[tensor.data_type]
        require_plausible(self._where, full, tensor.dims, 0)
        shape = tuple(tensor.dims)
        elements = prod(shape)
        needed = -(-elements * bits // 8)
        payload = self._payloads[int(tensor.doc_string)]
        if tensor.data_location == _EXTERNAL:
            if payload.field or dtype == "STRING":
                raise ModelInvalid(f"{what} is said to lie in another file, and cannot.")
            file, offset = self._external(tensor, what, needed)
            return self._add(name, scope, dtype, shape, needed, file, offset)
        if elements and payload.field not in (own_field, _RAW if bits else own_field):
            where = f"in the field {payload.field}" if payload.field else "nowhere"
            raise ModelInvalid(
                f"{what} of the shape {list(shape)} and the type {dtype} has its values {where}; expected "
                f"them in the field {own_field} or {_RAW}."
            )
        entries = _entries(elements, dtype, bits, payload.field)
        if payload.entries != entries:
            unit = "bytes" if payload.field == _RAW else "values"
            raise ModelInvalid(
                f"{what} of the shape {list(shape)} and the type {dtype} needs {entries} {unit}, and the "
                f"file has {payload.entries}."
            )
        in_place = payload.pieces == 1 and _VALUES[payload.field] != _VARINT and bits
        return self._add(
            name,
            scope,
            dtype,
            shape,
            needed if bits else payload.nbytes,
            offset=payload.offset if in_place else None,
        )

    def _add(
        self,
        name: str,
        scope: _Scope,
        dtype: str,
        shape: tuple[int, ...],
        nbytes: int,
        file: str | None = None,
        offset: int | None = None,
    ) -> _Entry:
        full = f"{scope.prefix}{name}"
        if not name:
            raise ModelInvalid(
                f"{self._where}: a tensor of {printable(scope.prefix) or 'the graph'} has no name."
            )
        if full in self._entries:
            raise ModelInvalid(f"{self._where}: the tensor {printable(full)} stands in it twice.")
        require_plausible(self._where, full, shape, nbytes)
        require_few(self._where, len(self._entries) + 1)
        entry = _Entry(
            Stored(
                name=full,
                dtype=dtype,
                shape=shape,
                file=file or self._path.name,
                offset=offset,
                nbytes=nbytes,
            )
        )
        self._entries[full] = scope.names[name] = entry
        return entry

    # ------------------------------------------------------------------------------ external files

    def _external(self, tensor: Any, what: str, needed: int) -> tuple[str, int]:
        """The file that holds the tensor's bytes, and where in it."""
        words: dict[str, str] = {}
        for entry in tensor.external_data:
            if entry.key in words:
                raise ModelInvalid(f"{what} states its {printable(entry.key)} twice.")
            words[entry.key] = entry.value
        location = words.get("location", "")
        # A path could lead out of the model's folder; exporters write plain names.
        if location in ("", ".", "..", self._path.name) or set(location) & set("/\\:\0"):
            raise ModelInvalid(
                f"{what} is said to lie in {printable(location) or 'a file without a name'}; expected the "
                "plain name of another file in the model's folder."
            )
        size = self._other(location, what).st_size
        offset = _decimal(words.get("offset", "0"))
        length = _decimal(words.get("length", str(needed)))
        if offset is None or length is None:
            raise ModelInvalid(
                f"{what} has an offset or a length in {printable(location)} that is no number."
            )
        if length != needed:
            raise ModelInvalid(
                f"{what} of the shape {list(tensor.dims)} and the type {_TYPES[tensor.data_type][0]} needs "
                f"{needed} bytes, and its length is {length}."
            )
        if offset + length > size:
            raise ModelInvalid(
                f"{what} needs {needed} bytes from byte {offset} of {printable(location)} on, and that file "
                f"has {size} bytes."
            )
        return location, offset

    def _other(self, location: str, what: str) -> os.stat_result:
        if location not in self._others:
            try:
                state = (self._path.parent / location).stat()
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                raise UsageError(
                    f"{what} lies in {printable(location)}, which cannot be read: {why}. "
                    "Put that file into the model's folder."
                ) from error
            if not stat.S_ISREG(state.st_mode):
                raise ModelInvalid(f"{what} lies in {printable(location)}, which is not a regular file.")
            if _identity(state) == self._identity:
                raise ModelInvalid(
                    f"{what} is said to lie in {printable(location)}, which is a link to the model itself."
                )
            self._others[location] = state
        return self._others[location]

    def _with_shared(self, tensors: Sequence[Stored]) -> tuple[Stored, ...]:
        """Tensors on the very same bytes of an external file, all but one marked as shared.

        Links to one file, symbolic or hard, are that file. Raises ModelInvalid where tensors lie on parts
        of each other, or are of two types.
        """
        # The one that is a parameter goes before one that only serves another.
        rank = {"weight": 0, None: 1}
        at = {
            t.name: (_identity(self._others[t.file]), t.offset or 0)
            for t in tensors
            if t.file in self._others and t.nbytes
        }
        spans = sorted(
            (t for t in tensors if t.name in at),
            key=lambda t: (at[t.name], rank.get(t.use, 2), -(t.weights or t.elements), t.name),
        )
        shared = set()
        for before, after in pairwise(spans):
            if at[before.name] == at[after.name] and (before.nbytes, before.dtype) == (
                after.nbytes,
                after.dtype,
            ):
                shared.add(after.name)
            elif at[before.name][0] == at[after.name][0] and (
                at[before.name][1] + before.nbytes > at[after.name][1]
            ):
                raise ModelInvalid(
                    f"{self._where}: the tensors {printable(before.name)} and {printable(after.name)} lie on "
                    f"the same bytes of {printable(after.file)}."
                )
        return tuple(replace(t, shared=True) if t.name in shared else t for t in tensors)

    # ----------------------------------------------------------------------- what tensors are for

    def _uses(self, node: Any, scope: _Scope) -> None:
        own = (node.domain, node.op_type) in self._own
        inputs = () if own else _OPERATORS.get(node.domain, {}).get(node.op_type, ())
        self._used_as(scope, node.input, inputs)
        if own:
            return
        if node.domain == "com.microsoft":
            self._packed(node, scope)
        value = scope.names.get(f"{node.output[0]}/value") if node.output else None
        if value is not None and node.op_type == "ConstantOfShape":
            value.uses.add("constant")

    def _used_as(self, scope: _Scope, names: Sequence[str], inputs: _Inputs) -> None:
        """Notes for each tensor among `names` what it is for, None from the end of `inputs` on.

        What only serves another tensor is no larger than that: see _finished.
        """
        found = [
            (entry, inputs[index] if index < len(inputs) else None)
            for index, name in enumerate(names)
            if (entry := scope.find(name)) is not None
        ]
        room = max((entry.stored.elements for entry, use in found if use in (None, "weight")), default=0)
        for entry, use in found:
            entry.uses.add(use)
            entry.room = max(entry.room, room)

    def _packed(self, node: Any, scope: _Scope) -> None:
        """The true weights in inputs whose elements hold several."""
        numbers = {attribute.name: attribute.i for attribute in node.attribute}
        inputs = [scope.find(name) for name in node.input]
        data, scales = (
            [*inputs, None, None, None][index] for index in _DATA_AND_SCALES.get(node.op_type, (0, 0))
        )
        if node.op_type == "QMoE":
            for layer, entry in zip((1, 2, 3), inputs[2:11:3], strict=False):
                bits = numbers.get(f"fc{layer}_expert_weight_bits") or numbers.get("expert_weight_bits", 4)
                self._bytes(entry, bits)
        elif data is None or scales is None or data.stored.dtype != "U8":
            return
        elif node.op_type in ("MatMulNBits", "MatMulBnb4"):
            self._matrix(data, scales, node.op_type, numbers)
        elif node.op_type == "GatherBlockQuantized" and _is_scaled_in_rows(data, scales, numbers):
            self._bytes(data, numbers.get("bits", 4))

    def _matrix(self, entry: _Entry, scales: _Entry, operator: str, numbers: Mapping[str, int]) -> None:
        """A matrix of K · N weights, in blocks along K that are filled up, each a whole number of bytes.

        MatMulBnb4 has its blocks along the whole matrix. Without a scale for each block no runtime
        multiplies with it, and its bytes stay what they are.
        """
        columns, rows = numbers.get("K", 0), numbers.get("N", 0)
        bits, block = numbers.get("bits", 4), numbers.get("block_size", 0)
        if operator == "MatMulBnb4":
            needed = -(-columns * rows // 2)
            blocks = -(-columns * rows // max(block, 1))
        else:
            block_bytes = -(-block * bits // 8)
            blocks = rows * -(-columns // max(block, 1))
            needed = blocks * block_bytes
        if min(columns, rows, block) < 1 or not 2 <= bits <= 8 or needed != entry.stored.nbytes:
            raise ModelInvalid(
                f"{self._where}: the tensor {printable(entry.stored.name)} has {entry.stored.nbytes} bytes, "
                f"and {operator} says that it holds {rows} x {columns} weights of {bits} bits in blocks of "
                f"{block}, which take {needed} bytes."
            )
        if scales.stored.elements == blocks:
            entry.weights.add(columns * rows)

    def _bytes(self, entry: _Entry | None, bits: int) -> None:
        """Weights of `bits` bits in bytes; in any other type, one in each element."""
        if entry is None or entry.stored.dtype != "U8":
            return
        if bits not in (2, 4, 8):
            raise ModelInvalid(
                f"{self._where}: the tensor {printable(entry.stored.name)} is said to hold weights of {bits} "
                "bits; expected 2, 4 or 8."
            )
        entry.weights.add(entry.stored.elements * 8 // bits)

    def _finished(self, entry: _Entry) -> Stored:
        """The tensor with what it is for: a weight for one user is one; else where all users agree.

        A scale, zero point, index or constant that is larger than whatever it serves is not believed: the
        operators allow any float matrix to stand as the scale of a computed one.
        """
        use: Use | None = None
        uses = entry.uses - {None}
        if "weight" in uses:
            use = "weight"
        elif None not in entry.uses and uses and entry.stored.elements <= max(_FEW, entry.room):
            use = min(word for word in uses if word is not None)
        if len(entry.weights) > 1:
            raise ModelInvalid(
                f"{self._where}: the operators that use the tensor {printable(entry.stored.name)} differ in "
                f"how many weights it holds: {', '.join(map(str, sorted(entry.weights)))}."
            )
        return replace(entry.stored, use=use, weights=next(iter(entry.weights), None))


def _is_scaled_in_rows(data: _Entry, scales: _Entry, numbers: Mapping[str, int]) -> bool:
    """Whether each row of bytes has a scale for each block of weights, as GatherBlockQuantized asks for."""
    *rows, columns = data.stored.shape or (0,)
    bits, block = numbers.get("bits", 4), numbers.get("block_size", 128)
    axis = numbers.get("quantize_axis", 1)
    if not rows or min(bits, block) < 1 or axis not in (len(rows), -1) or numbers.get("gather_axis", 0):
        return False
    return scales.stored.shape == (*rows, -(-columns * (8 // bits) // block))


def _of_pair(tensor: Stored, tensors: Mapping[str, Stored]) -> Stored:
    """With its use where it belongs to quantised weights by its name, as onnxruntime.quantization names it.

    What it writes for dynamic quantisation multiplies scales apart from the weights.
    """
    for suffix, use in _OF_QUANTISED.items():
        if tensor.use is None and tensor.name.endswith(suffix):
            weights = tensors.get(tensor.name.removesuffix(suffix) + "_quantized")
            if (
                weights is not None
                and weights.dtype in ("I8", "U8")
                and (tensor.elements == 1 or tensor.elements in weights.shape)
            ):
                return replace(tensor, use=use)
    return tensor


def _entries(elements: int, dtype: str, bits: int, place: int) -> int:
    """The bytes of raw_data, or the entries of a repeated field, for so many elements."""
    if place == _RAW:
        return -(-elements * bits // 8)
    if dtype in ("C64", "C128"):
        return 2 * elements
    # In int32_data as in raw_data, four-bit elements stand in pairs and two-bit ones in fours.
    return -(-elements * bits // 8) if bits in (2, 4) else elements


def _decimal(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
