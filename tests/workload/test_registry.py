"""The registry: kernels are the files of one folder, and finding them loads no backend."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.errors import UsageError
from bench.workload import registry

ROOT = Path(bench.__file__).parents[1]
BACKENDS = {"torch", "onnxruntime", "onnx"}


def python(code: str, checkout: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """What a fresh interpreter says in a checkout."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout that a test may add kernel files to."""
    for folder in ("bench", "kernels"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    return tmp_path


def add_kernel(checkout: Path, file: str, name: str) -> None:
    """Another file in the folder: a copy of ort_gemm under the given name."""
    text = (checkout / "kernels" / "ort_gemm.py").read_text()
    (checkout / "kernels" / file).write_text(text.replace('name = "ort_gemm"', f'name = "{name}"'))


LIST = "from bench.workload.registry import kernels; print(*kernels())"


def test_every_file_of_the_folder_is_a_kernel_or_an_instrument() -> None:
    files = {path.stem for path in (ROOT / "kernels").glob("*.py") if not path.stem.startswith("_")}
    instruments = (registry.clock_chain(), registry.window_clock(), registry.bandwidth())
    modules = {type(kernel).__module__ for kernel in (*registry.kernels().values(), *instruments)}
    assert modules == {f"bench.kernels.{file}" for file in files}


def test_kernels_are_known_by_their_own_names() -> None:
    assert all(kernel.name == name for name, kernel in registry.kernels().items())


def test_kernels_come_in_the_files_alphabetical_order() -> None:
    assert list(registry.kernels()) == [
        "cuda_conv", "cuda_gemm", "ort_conv", "ort_gemm", "torch_conv", "torch_gemm",
    ]  # fmt: skip


def test_a_new_file_is_a_new_kernel(checkout: Path) -> None:
    add_kernel(checkout, "another.py", "another")
    assert python(LIST, checkout).stdout.split()[0] == "another"


def test_a_file_with_a_leading_underscore_is_no_kernel(checkout: Path) -> None:
    (checkout / "kernels" / "_helper.py").write_text("raise SystemExit('imported')\n")
    told = python(LIST, checkout)
    assert (told.returncode, told.stdout.split()) == (0, list(registry.kernels()))


def test_two_files_of_one_name_are_an_error_naming_both(checkout: Path) -> None:
    add_kernel(checkout, "again.py", "ort_gemm")
    told = python(LIST, checkout)
    assert told.returncode == 1
    assert "two kernel files define 'ort_gemm': bench.kernels.again and bench.kernels.ort_gemm" in told.stderr


def test_collecting_a_name_twice_is_an_error_naming_both_files() -> None:
    kernel = registry.kernel("ort_gemm")
    with pytest.raises(UsageError, match=r"'ort_gemm': first\.py and second\.py\. Rename one"):
        registry.collect([("first.py", kernel), ("second.py", kernel)])


def test_a_kernel_is_found_by_its_name() -> None:
    assert registry.kernel("torch_gemm") is registry.kernels()["torch_gemm"]


def test_an_unknown_kernel_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown kernel 'gemm': known are cuda_conv, cuda_gemm, ort_conv"):
        registry.kernel("gemm")


def test_finding_all_kernels_loads_no_backend() -> None:
    told = python(f"import sys; {LIST}; print(sorted({BACKENDS} & set(sys.modules)))")
    assert told.stdout.splitlines()[-1] == "[]"
