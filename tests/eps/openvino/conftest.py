"""The environment of onnxruntime-openvino, whose provider's library lies inside ONNX Runtime's folder."""

import pytest


@pytest.fixture(scope="session")
def provider() -> str:
    return "OpenVINOExecutionProvider"
