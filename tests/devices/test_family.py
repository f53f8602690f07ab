"""The registry of families, and what typed selectors choose."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.devices.family import Inventory, families, inventory, select
from bench.errors import CannotMeasure, UsageError
from bench.terms import Device, Fact, Family, Unavailable

MakePackage = Callable[..., str]


def device(selector: str, family: Family, uuid: str | None = None) -> Device:
    facts = (Fact(name="uuid", value=uuid, source="scripted"),) if uuid else ()
    return Device(
        selector=selector, family=family, kind="accelerator", name=selector, vendor=None, facts=facts
    )


def why(subject: str, code: str, detail: str) -> Unavailable:
    return Unavailable(subject=subject, code=code, detail=detail)


CPU = Inventory(family="cpu", devices=(device("cpu", "cpu"),), unavailable=())
NO_CUDA = Inventory(
    family="cuda", devices=(), unavailable=(why("cuda", "no-nvml", "NVML Shared Library Not Found"),)
)
FOUR = tuple(device(f"cuda:{i}", "cuda", f"GPU-{i}{i}") for i in range(4))
CUDA = Inventory(family="cuda", devices=FOUR, unavailable=())
LOST = Inventory(family="cuda", devices=FOUR[:3], unavailable=(why("cuda:3", "gpu-lost", "GPU is lost"),))
ORT = Inventory(
    family="ort",
    devices=(
        device("ort:CPUExecutionProvider:CPU:0", "ort"),
        device("ort:QNNExecutionProvider:NPU:0", "ort"),
        device("ort:QNNExecutionProvider:CPU:0", "ort"),
        device("ort:QNNExecutionProvider:NPU:1", "ort"),
    ),
    unavailable=(why("ort:AzureExecutionProvider", "no-ep-device", "offers no device"),),
)


def chosen(*selectors: str, inventories: tuple[Inventory, ...] = (CPU, CUDA, ORT)) -> list[str]:
    return [item.selector for item in select(selectors, inventories)]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("cpu", ["cpu"]),
        ("cuda", ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        ("cuda:3", ["cuda:3"]),
        ("cuda:GPU-22", ["cuda:2"]),
        ("ort:CPUExecutionProvider", ["ort:CPUExecutionProvider:CPU:0"]),
        (
            "ort:QNNExecutionProvider:NPU",
            ["ort:QNNExecutionProvider:NPU:0", "ort:QNNExecutionProvider:NPU:1"],
        ),
        ("ort:QNNExecutionProvider:NPU:1", ["ort:QNNExecutionProvider:NPU:1"]),
    ],
)
def test_a_selector_means_what_it_says(selector: str, expected: list[str]) -> None:
    assert chosen(selector) == expected


def test_devices_come_in_the_order_asked() -> None:
    assert chosen("cuda:2", "cpu", "cuda:0") == ["cuda:2", "cpu", "cuda:0"]


def test_a_device_asked_for_twice_is_chosen_once() -> None:
    assert chosen("cuda:1", "cuda", "cuda:GPU-11") == ["cuda:1", "cuda:0", "cuda:2", "cuda:3"]


def test_an_index_that_begins_another_is_not_that_one() -> None:
    eleven = Inventory(family="cuda", devices=(device("cuda:11", "cuda"),), unavailable=())
    with pytest.raises(UsageError):
        chosen("cuda:1", inventories=(CPU, eleven))


@pytest.mark.parametrize(
    "selector", ["npu", "cuda:4", "cuda:GPU-99", "cuda:None", "cpu:1", "CPU", "ort:X", "", "cuda:"]
)
def test_an_unknown_device_is_refused_with_got_known_and_what_to_type(selector: str) -> None:
    with pytest.raises(UsageError) as refused:
        chosen(selector)
    message = str(refused.value)
    assert f"unknown device {selector!r}" in message
    assert "cpu, cuda:0, cuda:1, cuda:2, cuda:3, ort:CPUExecutionProvider:CPU:0" in message
    assert "Type for example --device cpu" in message


def test_no_selector_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="no device was named"):
        chosen()


@pytest.mark.parametrize("selector", ["cuda", "cuda:3", "cuda:GPU-22"])
def test_an_unavailable_family_is_refused_with_the_probes_reason_and_the_next_command(selector: str) -> None:
    with pytest.raises(CannotMeasure) as refused:
        chosen(selector, inventories=(CPU, NO_CUDA))
    assert refused.value.exit_code == 3
    assert str(refused.value) == (
        f"cannot measure on {selector!r}: cuda is unavailable (no-nvml): NVML Shared Library Not Found. "
        "Type `bench devices` to see what is there."
    )


def test_all_of_a_family_is_refused_while_one_is_lost() -> None:
    with pytest.raises(CannotMeasure, match=r"cuda:3 is unavailable .*\(cuda:0, cuda:1, cuda:2\)"):
        chosen("cuda", inventories=(CPU, LOST))


def test_a_sound_device_is_chosen_beside_a_lost_one() -> None:
    assert chosen("cuda:2", inventories=(CPU, LOST)) == ["cuda:2"]


def test_a_provider_without_a_device_is_refused_with_its_reason() -> None:
    with pytest.raises(CannotMeasure, match="ort:AzureExecutionProvider is unavailable"):
        chosen("ort:AzureExecutionProvider:NPU")


def test_a_family_without_a_device_must_say_why() -> None:
    with pytest.raises(ValueError, match="says why"):
        Inventory(family="cuda", devices=(), unavailable=())


def test_the_families_are_found_in_their_folder() -> None:
    assert list(families()) == ["cpu", "cuda", "ort", "runner"]


def test_this_machine_answers_for_every_family() -> None:
    answers = inventory()
    assert [item.family for item in answers] == list(families())
    assert all(item.devices or item.unavailable for item in answers)


def test_selectors_of_this_machine_are_unique_and_choose_themselves() -> None:
    answers = inventory()
    selectors = [each.selector for item in answers for each in item.devices]
    assert [each.selector for each in select(selectors, answers)] == selectors


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePackage]:
    """Writes a package of the given files, each defining the family it is given."""
    name = "scripted_families"

    def make(**families_by_file: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "helper.py").write_text("")
        for file, family in families_by_file.items():
            (folder / f"{file}.py").write_text(
                "from bench.devices.family import DeviceFamily, Inventory\n"
                f"FAMILY = DeviceFamily(name={family!r}, look=lambda: None)\n"
            )
        return name

    monkeypatch.syspath_prepend(tmp_path)
    yield make
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]


def test_a_new_family_is_one_new_file(make_package: MakePackage) -> None:
    assert list(families(make_package(abacus="abacus", cpu="cpu"))) == ["abacus", "cpu"]


def test_a_family_defined_twice_is_refused_naming_both_files(make_package: MakePackage) -> None:
    package = make_package(cpu="cpu", cpu_fork="cpu")
    with pytest.raises(
        CannotMeasure, match=r"cpu\.py and cpu_fork\.py .* both define the device family 'cpu'"
    ):
        families(package)
