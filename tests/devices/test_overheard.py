"""What is written to the descriptors below Python while somebody listens."""

import os

import pytest

from bench.devices.overheard import overheard


def test_what_is_written_meanwhile_is_told_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with overheard() as words:
        assert words() == ""
        os.write(2, b"one\n")
        assert words() == "one"
        os.write(1, b"two\n")
        assert words() == "one | two"
    os.write(2, b"heard again\n")
    assert capfd.readouterr() == ("", "heard again\n")


def test_whoever_listens_inside_keeps_the_words(capfd: pytest.CaptureFixture[str]) -> None:
    with overheard() as outer:
        os.write(2, b"before\n")
        with overheard() as inner:
            os.write(2, b"inside\n")
            assert inner() == "inside"
        os.write(2, b"after\n")
        assert outer() == "before | after"
    assert capfd.readouterr() == ("", "")


def test_terminal_sequences_are_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    with overheard() as words:
        os.write(2, b"\x1b[1;31mFailed to parse\x1b[m\n\n")
        assert words() == "Failed to parse"
    assert capfd.readouterr() == ("", "")


def test_an_error_gives_the_terminal_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="within"), overheard():
        raise ValueError("within")
    os.write(2, b"heard again\n")
    assert capfd.readouterr().err == "heard again\n"
