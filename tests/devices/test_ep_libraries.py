"""Plugin packages as they are installed, libraries inside ONNX Runtime's folder, and those that are named."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.devices import ep_libraries
from bench.devices.ep_libraries import Library
from bench.errors import UsageError
from bench.terms import Unavailable

PLUGIN = """
from pathlib import Path
def get_library_path(): return str(Path(__file__).with_name("libx.so"))
def get_ep_names(): return ["XExecutionProvider"]
"""


class Site:
    """A folder of installed packages, each of its own distribution."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, package: str, source: str, *, library: bool = True) -> Path:
        name = package.replace("_", "-")
        info = self.folder / f"{package}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "RECORD").write_text(f"{package}/__init__.py,,\n")
        (self.folder / package).mkdir()
        (self.folder / package / "__init__.py").write_text(source)
        path = self.folder / package / "libx.so"
        if library:
            path.write_bytes(b"")
        return path

    def found(self) -> list[Library | Unavailable]:
        """Of this folder, whatever else is installed."""
        return [each for each in ep_libraries.installed() if "1.2" in str(each)]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(tmp_path)
    yield Site(tmp_path)
    for module in [name for name in sys.modules if name.startswith("onnxruntime_scripted")]:
        del sys.modules[module]


def test_an_installed_plugin_is_found_by_its_package(site: Site) -> None:
    path = site.install("onnxruntime_scripted", PLUGIN)
    assert site.found() == [Library(name="XExecutionProvider", path=path, package="onnxruntime-scripted 1.2")]


def test_a_package_that_is_no_plugin_is_not_imported(site: Site) -> None:
    site.install("onnxruntime_scripted", "raise AssertionError('imported')")
    assert site.found() == []
    assert "onnxruntime_scripted" not in sys.modules


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (PLUGIN + "raise OSError('libfoo.so is missing')", "libfoo.so is missing"),
        (PLUGIN + "def get_library_path(): raise FileNotFoundError('no library')", "no library"),
        ("def get_ep_names(): return ['X']", "has no attribute 'get_library_path'"),
        (PLUGIN + "def get_ep_names(): return []", "expected one file for one EP, got libx.so for none"),
        (PLUGIN + "def get_ep_names(): return ['X', 'Y']", "got libx.so for X, Y"),
    ],
)
def test_a_broken_plugin_is_named_with_its_own_words(site: Site, source: str, said: str) -> None:
    site.install("onnxruntime_scripted", source)
    (why,) = site.found()
    assert isinstance(why, Unavailable)
    assert (why.subject, why.code) == ("ort:onnxruntime_scripted", "ep-plugin-broken")
    assert said in why.detail


def test_a_plugin_without_its_library_is_named(site: Site) -> None:
    site.install("onnxruntime_scripted", PLUGIN, library=False)
    (why,) = site.found()
    assert isinstance(why, Unavailable)
    assert why.code == "ep-plugin-broken"


def test_a_library_inside_the_runtime_has_the_name_of_its_listed_provider(tmp_path: Path) -> None:
    (tmp_path / "capi").mkdir()
    for name in ("openvino", "nv_tensorrt_rtx", "shared", "cuda"):
        (tmp_path / "capi" / f"libonnxruntime_providers_{name}.so").write_bytes(b"")
    listed = ["NvTensorRTRTXExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider"]
    runtime = SimpleNamespace(__file__=str(tmp_path / "__init__.py"), get_available_providers=lambda: listed)
    found = list(ep_libraries.bundled(runtime, "onnxruntime-all 1.2"))
    assert [(library.name, library.path.name) for library in found] == [
        ("NvTensorRTRTXExecutionProvider", "libonnxruntime_providers_nv_tensorrt_rtx.so"),
        ("OpenVINOExecutionProvider", "libonnxruntime_providers_openvino.so"),
    ]


def test_a_library_is_registered_once_in_a_process(tmp_path: Path) -> None:
    calls: list[tuple[str, str]] = []

    class Runtime:
        def register_execution_provider_library(self, *call: Any) -> None:
            calls.append(call)

    runtime, library = Runtime(), Library(name="X", path=tmp_path / "libx.so", package=None)
    assert [ep_libraries.register(runtime, library) for _ in range(2)] == ["", ""]
    assert calls == [("X", str(tmp_path / "libx.so"))]


def test_a_named_library_is_the_file_wherever_it_was_named_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libx.so").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    (library,) = ep_libraries.named(["XExecutionProvider=libx.so"])
    assert library == Library(name="XExecutionProvider", path=tmp_path / "libx.so", package=None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["libx.so"], "expected NAME=PATH"),
        (["=libx.so"], "expected NAME=PATH"),
        (["X="], "expected NAME=PATH"),
        (["X:NPU=libx.so"], "NAME of letters and digits"),
        (["X=missing.so"], "there is no file 'missing.so'"),
        (["X=libx.so", "X=libx.so"], "names 'X' twice"),
    ],
)
def test_words_that_name_no_library_are_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libx.so").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        ep_libraries.named(words)
