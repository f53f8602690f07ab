"""The road through the rooms: a file imports only from rooms below its own, and owns its heavy libraries."""

import ast
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent

# From the top of the road to its ground; a room may use every room of a later row.
ROAD = (
    ("cli",),
    ("bench.cli",),
    ("bench.fleet",),
    ("bench.run",),
    ("bench.plan", "bench.core_clock"),
    ("bench.register",),
    ("bench.evidence",),
    ("bench.parameters",),
    ("bench.judge",),
    ("bench.measure",),
    ("bench.kernels",),
    ("bench.devices",),
    ("bench.workload",),
    ("bench.report",),
    ("bench.terms",),
    ("bench.precision", "bench.units", "bench.printable"),
    ("bench.errors", "bench"),
)
RANK = {room: rank for rank, row in enumerate(ROAD) for room in row}

# Libraries that are slow to import or not everywhere, and the files that may name them.
OWNERS = {
    "torch": {
        "bench/devices/torch_view.py",
        "bench/fleet/meeting.py",
        "kernels/_torch.py",
        "kernels/memory.py",
        "kernels/torch_gemm.py",
        "kernels/torch_conv.py",
        "kernels/_cuda.py",
        "kernels/cuda_gemm.py",
        "kernels/cuda_conv.py",
        "kernels/cuda_clock.py",
    },
    "onnxruntime": {"kernels/_ort.py", "bench/devices/ort.py"},
    "onnx": {"kernels/_ort_graph.py", "bench/parameters/onnx.py"},
    "safetensors": {"bench/parameters/safetensors.py"},
    "gguf": {"bench/parameters/gguf.py"},
    "pynvml": {"bench/devices/nvml.py"},
    "cryptography": {"bench/evidence/keys.py", "bench/evidence/timestamp.py"},
    "bcrypt": {"bench/evidence/keys.py"},
    "rfc3161_client": {"bench/evidence/timestamp.py"},
    "numba": {"kernels/clock.py"},
    "triton": {"kernels/cuda_clock.py"},
    "llvmlite": {"kernels/clock.py"},
    "jsonschema": set(),
    "matplotlib": {"bench/report/plot.py"},
    "jinja2": {"bench/report/page.py", "bench/report/catalogue.py"},
    "babel": {"bench/report/catalogue.py"},
    "segno": {"bench/report/html.py"},
}

SOURCES = sorted(
    path
    for folder in ("bench", "kernels")
    for path in (TOP / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)


def module_of(path: Path) -> str:
    parts = path.relative_to(TOP).with_suffix("").parts
    if parts[0] == "kernels":
        parts = ("bench", *parts)
    return ".".join(part for part in parts if part != "__init__")


def room_of(module: str) -> str | None:
    """The longest name on the road that the module is or lies in."""
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((name for name in names if name in RANK and (name != "bench" or module == "bench")), None)


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Imported modules, and whether the import stands at the top of the module and runs."""
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.If)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) not in lazy
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner if inner in MODULES else node.module), id(node) not in lazy


MODULES = {module_of(path) for path in SOURCES}


def test_every_source_lies_in_a_room_of_the_road() -> None:
    assert [m for m in MODULES if room_of(m) is None and m != "bench.__main__"] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(TOP)))
def test_a_file_imports_only_from_its_own_room_or_below(path: Path) -> None:
    module = module_of(path)
    own = room_of(module)
    upward = []
    for name, _ in imports(ast.parse(path.read_text("utf-8"))):
        room = room_of(name)
        if room is not None and own is not None and room != own and RANK[room] <= RANK[own]:
            upward.append(name)
    assert upward == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(TOP)))
def test_a_heavy_library_is_imported_inside_functions_of_the_files_that_own_it(path: Path) -> None:
    relative = path.relative_to(TOP).as_posix()
    for name, at_top in imports(ast.parse(path.read_text("utf-8"))):
        library = name.split(".")[0]
        if library in OWNERS:
            assert relative in OWNERS[library], f"{relative} imports {library}"
            assert not at_top, f"{relative} imports {library} when it is imported"


def test_the_packages_in_setup_cfg_are_the_folders() -> None:
    config = ConfigParser()
    config.read(TOP / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    folders = {"bench", "bench.kernels", "bench.profiles"} | {
        f"bench.{path.parent.name}" for path in (TOP / "bench").glob("*/__init__.py")
    }
    assert listed == folders


def test_only_the_registry_names_the_folder_of_kernels() -> None:
    naming = [p for p in SOURCES if '"bench.kernels"' in p.read_text("utf-8")]
    assert [p.name for p in naming] == ["registry.py"]
