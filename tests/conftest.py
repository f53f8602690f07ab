"""What tests of several rooms share."""

import os
import shutil
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def needs_program() -> Callable[[str, str], str]:
    """The path of a program; without it the test skips, naming the package, and fails where CI=true."""

    def find(name: str, package: str) -> str:
        path = shutil.which(name)
        if path is not None:
            return path
        reason = f"{name} is not installed: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

    return find
