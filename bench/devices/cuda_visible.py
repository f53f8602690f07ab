"""Which GPUs CUDA_VISIBLE_DEVICES leaves visible, and how torch numbers them: pure, over readings.

The rules are those of the CUDA Programming Guide (section "CUDA Environment Variables"). What it leaves out,
numbers with other text behind them and repeated names, is as torch.cuda reads it, which its authors compared
with the driver (pytorch/pytorch pull request 92315). NVML's order is not CUDA's: by default CUDA puts the
fastest GPU first, by a rule that nobody tells.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile

from bench.devices.nvml import Gpu

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"


def order(gpus: Sequence[Gpu], environ: Mapping[str, str], listed: Sequence[str]) -> tuple[str, ...] | None:
    """UUIDs of all GPUs as CUDA would number them if nothing were hidden; None where nobody tells.

    `listed` are those that torch lists with nothing hidden, in its order: they tell it unless one is missing.
    """
    if environ.get(ORDER) == "PCI_BUS_ID" or len(gpus) == 1:
        return tuple(gpu.uuid for gpu in sorted(gpus, key=lambda gpu: str(gpu.fact("pci-id"))))
    return tuple(listed) if {*listed} == {gpu.uuid for gpu in gpus} else None


def visible(
    gpus: Sequence[Gpu], shown: str | None, numbered: Sequence[str] | None
) -> Mapping[str, int | None] | None:
    """UUID of each GPU and MIG instance that `shown` leaves visible, with the number that torch gives it.

    `shown` is CUDA_VISIBLE_DEVICES, `numbered` what `order` says. The number is None where CUDA would list
    something else: beside a MIG instance it lists nothing, and of several the first. The whole is None where
    `shown` counts GPUs in an order that nobody tells. A GPU in MIG mode stands for all of its instances.
    """
    parts = {gpu.uuid: gpu.uuids for gpu in gpus}
    if shown is None:
        named: Sequence[str] | None = [gpu.uuid for gpu in gpus] if numbered is None else numbered
    elif shown.startswith("GPU-"):
        named = _by_name(shown.split(","), "GPU-", {gpu.uuid: gpu.uuid for gpu in gpus})
    elif shown.startswith("MIG-"):
        names = {
            name: instance.uuid
            for gpu in gpus
            for instance in gpu.instances
            for name in (instance.uuid, instance.also)
        }
        named = _by_name(shown.split(","), "MIG-", names)
    else:
        named = _by_number(shown.split(","), numbered)
    if named is None:
        return None
    left = [uuid for name in named for uuid in parts.get(name, (name,))]
    whole = {gpu.uuid for gpu in gpus if not gpu.mig}
    known = {*left} <= whole and (shown is not None or numbered is not None)
    # With nothing hidden CUDA lists instances first, and no GPU beside them.
    return {uuid: index if known else None for index, uuid in enumerate(left)}


def _by_name(words: Sequence[str], prefix: str, names: Mapping[str, str]) -> list[str]:
    """Beginnings of names that only one has, up to the first that is none; nothing if one is named twice."""
    found: list[str] = []
    words = list(takewhile(lambda word: word.startswith(prefix), words))
    for word in words:
        fitting = {names[word]} if word in names else {names[name] for name in names if name.startswith(word)}
        if len(fitting) != 1:
            break
        found += fitting
    return found if len({*found}) == len(found) and len({*words}) == len(words) else []


def _by_number(words: Sequence[str], numbered: Sequence[str] | None) -> list[str] | None:
    """Numbers, up to the first that is none or too large; nothing if one is there twice."""
    numbers: list[int] = []
    for word in words:
        # As strtol reads: "1gpu" is 1.
        number = re.match(r"\s*[+]?([0-9]+)", word)
        if number is None:
            break
        numbers.append(int(number[1]))
    if not numbers or len({*numbers}) != len(numbers):
        return []
    if numbered is None:
        return None
    wrong = next((at for at, number in enumerate(numbers) if number >= len(numbered)), len(numbers))
    return [numbered[number] for number in numbers[:wrong]]
