"""The two ways out: results to stdout, talk to stderr; no colour when not a terminal, or not wanted.

A result that cannot be written ends the program, talk that cannot be written does not. What a terminal
cannot show is replaced.
"""

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# Room for the longest path that a system takes, and the sentence around it.
_LONGEST_LINE = 6000

# What is piped is not wrapped to a terminal that is not there.
_PIPED_WIDTH = 500

# 128 + SIGPIPE: what a shell reports of a program whose reader closed the pipe. No answer was told, so
# that it is the code of none.
READER_GONE = 141


class StdoutFailed(Exception):
    """Stdout takes no more. No BenchError, and no OSError either: neither a command nor click answers it
    (click would make exit 1 of a closed pipe, which says that evidence is valid).
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write to stdout: {(error.strerror or str(error)).lower()}.")
        self.reader_gone = isinstance(error, BrokenPipeError)
        self.exit_code = READER_GONE if self.reader_gone else 3


class _Results(io.TextIOWrapper):
    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise self._failed(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> StdoutFailed:
        # What is still held back would fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        return StdoutFailed(error)


class _Talk(io.TextIOWrapper):
    def write(self, text: str, /) -> int:
        with contextlib.suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()


def open_streams() -> None:
    """Make stdout and stderr write what the terminal can show, and fail as this file says."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _over(sys.stdout, _Results, "replace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _over(sys.stderr, _Talk, "backslashreplace")


def _over(stream: io.TextIOWrapper, kind: type[io.TextIOWrapper], errors: str) -> io.TextIOWrapper:
    return kind(stream.buffer, encoding=stream.encoding, errors=errors, line_buffering=stream.line_buffering)


def _console(**options: Any) -> "Console":
    from rich.console import Console

    # What is printed comes from files: brackets and colons in it are text, not markup.
    return Console(highlight=False, markup=False, emoji=False, **options)


def stdout() -> "Console":
    console = _console()
    if not console.is_terminal:
        return _console(width=_PIPED_WIDTH, color_system=None)
    # Without colours the library would still write codes for bold.
    return _console(color_system=None) if console.no_color else console


def stderr() -> "Console":
    return _console(stderr=True)


def encodable(text: str) -> bool:
    """Whether stdout can write it without replacing anything."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def say(line: str) -> None:
    """One line of a result on stdout."""
    import click

    # Without a file click writes UTF-8 where the encoding is ASCII, whatever the terminal can show.
    click.echo(line, file=sys.stdout)


def tell(words: str, *, end: bool = True) -> None:
    """Talk on stderr."""
    import click

    click.echo(words, file=sys.stderr, nl=end)


def complain(message: str) -> None:
    """One line on stderr; what it quotes from a file or an argument cannot steer the terminal."""
    from bench.printable import printable

    tell(f"bench: {printable(message, limit=_LONGEST_LINE)}")
