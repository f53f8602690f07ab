"""Exit codes: what errors.py documents is what its classes carry."""

import re

import pytest

from bench import errors
from bench.errors import BenchError, EvidenceInvalid, SignatureNotTrusted

DOCUMENTED = {name: int(code) for name, code in re.findall(r"[├└]── (\w+) +(\d+) ", errors.__doc__ or "")}


def test_every_error_is_drawn_in_the_tree() -> None:
    assert set(DOCUMENTED) == {kind.__name__ for kind in BenchError.__subclasses__()}


@pytest.mark.parametrize("kind", BenchError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_an_error_ends_the_program_with_its_documented_code(kind: type[BenchError]) -> None:
    assert kind.exit_code == DOCUMENTED[kind.__name__]


def test_no_two_errors_share_a_code() -> None:
    assert len(set(DOCUMENTED.values())) == len(DOCUMENTED)


def test_no_error_shares_a_code_with_success_or_not_met() -> None:
    assert errors.NOT_MET == 1
    assert {0, errors.NOT_MET}.isdisjoint(DOCUMENTED.values())


def test_invalid_evidence_carries_the_step_that_found_it() -> None:
    error = EvidenceInvalid("the digest differs.", step=4)
    assert (str(error), error.step) == ("the digest differs.", 4)


def test_an_untrusted_signature_is_found_by_the_second_step() -> None:
    assert SignatureNotTrusted("unknown key").step == 2
