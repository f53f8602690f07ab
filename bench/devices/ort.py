"""The family `ort`: what ONNX Runtime's execution providers (EPs) offer as devices. Identity only.

A device is what `get_ep_devices()` offers; `get_available_providers()` proves nothing and is only
held against it. An installation in which two distributions own the same folder is refused.
"""

import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath, PureWindowsPath
from typing import IO, Any

from bench.devices.family import DeviceFamily, Inventory
from bench.terms import Device, Fact, Unavailable

INSTALL = "pip install 'compute-evidence[measure]'"
EP_DEVICES = "onnxruntime get_ep_devices()"


def inventory(runtime: Any, owners: Iterable[str]) -> Inventory:
    """`runtime` is the module onnxruntime; `owners` are the distributions that installed it."""
    raise NotImplementedError
