"""Evidence and keys for the tests of this room."""

from pathlib import Path

import builders
import pytest

from bench.evidence import keys
from bench.evidence.keys import SigningKey
from bench.terms import Evidence


@pytest.fixture
def evidence() -> Evidence:
    return builders.evidence()


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return keys.new(tmp_path / "home" / "key", None)


@pytest.fixture
def p256_key(tmp_path: Path) -> SigningKey:
    return keys.load(builders.p256_file(tmp_path / "p256"))
