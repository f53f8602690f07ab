"""NVML's number, torch's number and the UUID of each GPU of a machine with eight: one mapping, by hand.

The machine's CUDA lists the GPUs as NVML's 6, 1, 3, 5, 0, 2, 4, 7.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from recorded_nvml import RecordedNvml, RecordedTorch, readings

from bench.devices import cuda, cuda_visible, nvml, torch_view
from bench.devices.family import Inventory, select
from bench.devices.nvml import Gpu
from bench.devices.torch_view import TorchView
from bench.errors import CannotMeasure, UsageError
from bench.terms import Device, Unavailable

UNLIKE, WITH_MIG = readings("eight-unlike.json"), readings("eight-with-mig.json")
IN_CUDAS_ORDER = (6, 1, 3, 5, 0, 2, 4, 7)
LARGE, SMALL = "MIG-2e2e2e2e-1111-5000-8000-000000000002", "MIG-9e9e9e9e-1111-5000-8000-000000000009"


def uuid(index: int) -> str:
    return f"GPU-{index}a{index}b{index}c{index}d-0000-4000-8000-00000000000{index}"


def inventory(
    shown: str | None = None, *, mig: bool = False, by_slot: bool = False, torch: RecordedTorch | None = None
) -> Inventory:
    told = WITH_MIG if mig else UNLIKE
    environ = {} if shown is None else {"CUDA_VISIBLE_DEVICES": shown}
    if by_slot:
        environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return cuda.inventory(RecordedNvml(told), torch or RecordedTorch(told), environ, Path("/nowhere"))


def numbers(found: Inventory) -> Mapping[str, object]:
    """torch's number of each GPU that is offered."""
    return {device.selector: device.fact("torch-index") for device in found.devices}


def codes(found: Inventory) -> Mapping[str, str]:
    return {why.subject: why.code for why in found.unavailable}


def device(found: Inventory, selector: str) -> Device:
    (only,) = select([selector], [found])
    return only


def test_each_gpu_has_nvmls_number_torchs_number_and_its_uuid() -> None:
    found = inventory()
    assert [each.selector for each in found.devices] == [f"cuda:{index}" for index in range(8)]
    assert [each.fact("uuid") for each in found.devices] == [uuid(index) for index in range(8)]
    assert numbers(found) == {f"cuda:{index}": IN_CUDAS_ORDER.index(index) for index in range(8)}


def test_what_torch_tells_of_a_gpu_goes_to_the_one_with_its_uuid() -> None:
    for each in inventory().devices:
        assert each.fact("sm-count") == {"NVIDIA H100 PCIe": 114, "NVIDIA L40S": 142}[each.name]


@pytest.mark.parametrize(
    ("shown", "left"),
    [
        # Numbers count in CUDA's order, and torch numbers anew what is left.
        ("0,4", [6, 0]),
        ("7,1", [7, 1]),
        ("0,1,2,3,4,5,6,7", IN_CUDAS_ORDER),
        # All behind the first word that names nothing is hidden.
        ("2,-1,0", [3]),
        ("2,8,0", [3]),
        ("8", []),
        ("", []),
        ("none", []),
        ("NoDevFiles", []),
        # As strtol reads numbers.
        (" 1gpu,+2x", [1, 3]),
        # One that is named twice hides all.
        ("1,2,1", []),
        ("GPU-3a,GPU-3a3b", []),
        ("GPU-3a,GPU-3a", []),
        ("GPU-3a,GPU-ff,GPU-3a", []),
        # UUIDs may be cut while one alone begins so.
        (uuid(4), [4]),
        ("GPU-7a,GPU-0a0b", [7, 0]),
        ("GPU-", []),
        ("GPU-3a,GPU-ff,GPU-0a", [3]),
        ("GPU-3a,0", [3]),
        ("GPU-3a, GPU-0a", [3]),
        ("MIG-3a", []),
    ],
)
def test_cuda_visible_devices_hides_what_it_hides_from_cuda(shown: str, left: list[int]) -> None:
    found = inventory(shown)
    assert numbers(found) == {f"cuda:{index}": number for number, index in enumerate(left)}
    assert codes(found) == {f"cuda:{index}": "not-visible" for index in range(8) if index not in left}


def test_by_slot_numbers_count_as_nvml_does() -> None:
    assert numbers(inventory("0,4", by_slot=True)) == {"cuda:0": 0, "cuda:4": 1}


def test_a_hidden_gpu_is_refused_with_what_to_type() -> None:
    with pytest.raises(CannotMeasure, match=r"leaves out GPU-1a.* Type: unset CUDA_VISIBLE_DEVICES"):
        select(["cuda:1"], [inventory("GPU-3a")])


# ------------------------------------------------------------------------------------------------------- MIG


def test_a_gpu_in_mig_mode_is_its_instances() -> None:
    found = inventory(mig=True)
    assert [each.selector for each in found.devices] == [
        *(f"cuda:{index}" for index in range(5)),
        "cuda:5:mig:0",
        "cuda:5:mig:2",
        "cuda:7",
    ]
    assert codes(found) == {"cuda:6": "in-mig-mode"}


def test_an_instance_has_facts_of_its_own_and_of_its_gpu() -> None:
    small = device(inventory(mig=True), "cuda:5:mig:2")
    assert small.name == "NVIDIA H100 PCIe MIG 1g.10gb"
    names = [item.name for item in small.facts]
    assert len({*names}) == len(names)
    own = (
        "uuid",
        "sm-count",
        "gpu-instance",
        "compute-instance",
        "gpu-slices",
        "compute-slices",
        "mig-index",
    )
    assert [small.fact(name) for name in own] == [SMALL, 16, 9, 0, 1, 1, 2]
    assert small.fact("memory-bytes") == 10_468_982_784
    of_gpu = ("index", "gpu-uuid", "pci-id", "compute-capability", "mig")
    assert [small.fact(name) for name in of_gpu] == [5, uuid(5), "00000000:A1:00.0", "9.0", True]
    reasons = {item.name: item.reason for item in small.facts}
    assert (reasons["l2-bytes"], reasons["torch-index"]) == ("not-told", "order-not-known")


@pytest.mark.parametrize("selector", ["cuda:5", f"cuda:{uuid(5)}"])
def test_the_name_of_a_gpu_that_is_cut_names_all_of_its_instances(selector: str) -> None:
    chosen = select([selector], [inventory(mig=True)])
    assert [each.selector for each in chosen] == ["cuda:5:mig:0", "cuda:5:mig:2"]


def test_an_instance_is_named_by_its_own_uuid() -> None:
    assert device(inventory(mig=True), f"cuda:{LARGE}").selector == "cuda:5:mig:0"


def test_an_instance_that_is_not_there_is_unknown() -> None:
    with pytest.raises(UsageError, match="unknown device 'cuda:5:mig:1'"):
        select(["cuda:5:mig:1"], [inventory(mig=True)])


def test_mig_mode_without_an_instance_is_refused_with_what_to_type() -> None:
    with pytest.raises(CannotMeasure, match=r"\(in-mig-mode\): .* Type: sudo nvidia-smi mig -i 6"):
        select(["cuda:6"], [inventory(mig=True)])


def test_a_machine_with_nothing_but_an_empty_mig_mode_says_that_and_not_what_torch_says() -> None:
    alone = {**WITH_MIG, "gpus": [WITH_MIG["gpus"][6]]}
    refused = Unavailable(subject="cuda", code="torch-fails", detail="No CUDA GPUs are available")
    found = cuda.inventory(RecordedNvml(alone), lambda _: refused, {}, Path("/nowhere"))
    assert codes(found) == {"cuda:0": "in-mig-mode"}


def test_beside_instances_torch_is_shown_the_whole_gpus_by_name() -> None:
    torch = RecordedTorch(WITH_MIG)
    found = inventory("0", mig=True, by_slot=True, torch=torch)
    (environ,) = torch.asked
    assert environ["CUDA_VISIBLE_DEVICES"] == ",".join(uuid(index) for index in (0, 1, 2, 3, 4, 7))
    assert device(found, "cuda:0").fact("sm-count") == 142


@pytest.mark.parametrize(
    ("shown", "left"),
    [
        (f"{LARGE}", ["cuda:5:mig:0"]),
        ("MIG-9e,MIG-2e", ["cuda:5:mig:0", "cuda:5:mig:2"]),
        (f"MIG-{uuid(5)}/9/0", ["cuda:5:mig:2"]),
        ("MIG-", []),
        (f"MIG-9e,{uuid(0)}", ["cuda:5:mig:2"]),
        (uuid(5), ["cuda:5:mig:0", "cuda:5:mig:2"]),
        (f"{uuid(0)},{uuid(7)}", ["cuda:0", "cuda:7"]),
    ],
)
def test_instances_are_shown_by_their_uuids_or_their_gpus(shown: str, left: list[str]) -> None:
    found = inventory(shown, mig=True)
    assert [each.selector for each in found.devices] == left
    assert codes(found)["cuda:1"] == "not-visible"


def test_a_number_shows_the_instances_of_the_gpu_in_that_slot() -> None:
    found = inventory("5,7", mig=True, by_slot=True)
    assert numbers(found) == {"cuda:5:mig:0": None, "cuda:5:mig:2": None, "cuda:7": None}


def test_numbers_in_an_order_that_nobody_tells_choose_nothing() -> None:
    found = inventory("0,1", mig=True)
    assert found.devices == ()
    assert codes(found) == {
        f"cuda:{index}": "in-mig-mode" if index == 6 else "order-not-known" for index in range(8)
    }
    assert "Type: export CUDA_DEVICE_ORDER=PCI_BUS_ID" in found.unavailable[-1].detail


@pytest.mark.parametrize("said", [SMALL, uuid(5)])
def test_cuda_may_call_an_instance_by_its_gpus_uuid(said: str) -> None:
    small = device(inventory(mig=True), "cuda:5:mig:2")
    cuda.require_same(small, [said.partition("-")[2]])
    with pytest.raises(CannotMeasure, match="cuda:5:mig:2 was chosen"):
        cuda.require_same(small, [LARGE.partition("-")[2]])


# ---------------------------------------------------------------------------------------------- on a real GPU


@pytest.mark.hardware
@pytest.mark.parametrize(
    "shown",
    [
        "0",
        "1",
        "1,0",
        "0,-1,1",
        "0,99",
        "0,0",
        "",
        "none",
        " 0x",
        "GPU-",
        "{first}",
        "{first:.12}",
        "{last},0",
    ],
)
def test_what_is_visible_is_what_a_real_cuda_lists(shown: str) -> None:
    found = cuda.FAMILY.look()
    if not found.devices:
        pytest.skip(found.unavailable[0].detail)
    gpus = [each for each in nvml.read(nvml.load()) if isinstance(each, Gpu)]
    if any(gpu.mig for gpu in gpus):
        pytest.skip("a GPU is in MIG mode: CUDA lists one instance alone")
    environ = {name: text for name, text in os.environ.items() if name != cuda_visible.VISIBLE}
    shown = shown.format(first=gpus[0].uuid, last=gpus[-1].uuid)
    whole = torch_view.ask(environ)
    assert isinstance(whole, TorchView)
    numbered = cuda_visible.order(gpus, environ, [f"GPU-{seen.uuid}" for seen in whole.devices])
    expected = cuda_visible.visible(gpus, shown, numbered)
    assert expected is not None
    listed = torch_view.ask({**environ, cuda_visible.VISIBLE: shown})
    # torch refuses to start without a GPU.
    seen = listed.devices if isinstance(listed, TorchView) else ()
    assert [f"GPU-{each.uuid}" for each in seen] == [*expected]
