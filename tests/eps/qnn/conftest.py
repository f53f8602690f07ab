"""The environment of the plugin onnxruntime-qnn, which on x86-64 is Qualcomm's simulator of an NPU."""

import pytest


@pytest.fixture(scope="session")
def provider() -> str:
    return "QNNExecutionProvider"
