"""The family `runner`: a board without an execution provider, behind a command that its vendor gives.

What it is, the command alone says: its words are facts. Where its graphs run, nobody tells.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.devices.family import DeviceFamily, Inventory
from bench.devices.runner_client import Described, Runner, shown, start, words_of
from bench.devices.tree import absent
from bench.errors import CannotMeasure
from bench.printable import printable
from bench.terms import Device, Fact, Unavailable

# Characters of its own words that name the device in tables.
_NAME = 60

# The runner of this process and the device that it stands for: there is one --runner.
_CONNECTED: dict[str, tuple[Runner, Device]] = {}


@contextmanager
def connected_to(command: str | None) -> Iterator[None]:
    """While it lasts the command runs, and its device is found like any other; None: there is none."""
    if command is None:
        yield
        return
    with start(command) as running:
        device = device_of(command, running.describe())
        _CONNECTED[device.selector] = (running, device)
        try:
            yield
        finally:
            _CONNECTED.clear()


def connected(device: Device) -> Runner:
    """The runner that stands for the device. Raises CannotMeasure when it was ended."""
    if device.selector not in _CONNECTED:
        raise CannotMeasure(f"no runner stands for {device.selector}. Give its command with --runner.")
    return _CONNECTED[device.selector][0]


def _here() -> Inventory:
    missing = Unavailable(subject="runner", code="no-runner", detail="bench run --runner 'python3 runner.py'")
    devices = tuple(device for _, device in _CONNECTED.values())
    return Inventory(family="runner", devices=devices, unavailable=() if devices else (missing,))


FAMILY = DeviceFamily(name="runner", look=_here)


def device_of(command: str, described: Described) -> Device:
    """The device as the runner tells it, and which programs told it. Reads the command's files."""
    words = words_of(command)
    told = {"device-says": described.device, "driver-says": described.driver}
    return Device(
        selector="runner",
        family="runner",
        kind="accelerator",
        name=printable(described.device, limit=_NAME).strip(),
        vendor=None,
        facts=(
            Fact(name="route", value="external", source="--runner"),
            Fact(name="runner-command", value=printable(shown(words)), source="--runner"),
            *_digests(words),
            *(_told(name, printable(text).strip()) for name, text in told.items()),
            absent("placement", "runner", "not-told"),
        ),
    )


def _digests(words: Sequence[str]) -> Iterator[Fact]:
    """Of the program, and of each other word that is a file: the script, mostly."""
    for i, word in enumerate(words):
        path = Path((shutil.which(word) if i == 0 else None) or word)
        name, source = "runner-sha256" if i == 0 else f"runner-sha256.{i}", "runner-command"
        try:
            if i == 0 or path.is_file():
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                yield Fact(name=name, value=digest, source=source)
        except OSError:
            yield absent(name, source, "not-readable")


def _told(name: str, text: str) -> Fact:
    return Fact(name=name, value=text, source="runner") if text else absent(name, "runner", "not-told")
