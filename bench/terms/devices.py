"""Devices as they were observed, and why something cannot be had."""

from dataclasses import dataclass
from typing import Literal

from bench.terms.checks import require

Scalar = str | int | float | bool
Family = Literal["cpu", "cuda", "ort", "runner"]
DeviceKind = Literal["cpu", "gpu", "npu", "accelerator"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One observed property: where it was read, or the reason code why it could not be."""

    name: str
    value: Scalar | None
    source: str
    reason: str | None = None

    def __post_init__(self) -> None:
        require(
            (self.value is None) == (self.reason is not None), f"{self.name}: a value or a reason, not both"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What is measured: the identity that was observed, as the machine itself tells it."""

    selector: str
    family: Family
    kind: DeviceKind
    name: str
    vendor: str | None
    facts: tuple[Fact, ...]

    @property
    def takes_graphs(self) -> bool:
        """Whether it is reached by handing ONNX graphs to something else that runs them, unseen."""
        return self.family in ("ort", "runner")

    @property
    def queues_launches(self) -> bool:
        """Whether launches are queued, so that waiting for each of them leaves the device idle in between."""
        return self.family == "cuda"

    def fact(self, name: str) -> Scalar | None:
        """The value of the fact called `name`, None when it is absent or was not readable."""
        return next((fact.value for fact in self.facts if fact.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """Why something cannot be had here: a code, and the words of whoever refused."""

    subject: str
    code: str
    detail: str
