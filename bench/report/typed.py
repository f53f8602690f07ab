"""Commands as they are typed, with the names of files in them."""

import shlex
from collections.abc import Mapping

from bench.printable import printable

# The longest path that Linux takes.
LONGEST_PATH = 4096


def typed_name(name: str) -> str:
    """A file's name as it is typed in a command: one word for the shell, and no option."""
    shown = printable(name, limit=LONGEST_PATH)
    return shlex.quote(f"./{shown}" if shown.startswith("-") else shown)


def typed_verify(file: str, options: Mapping[str, str | None]) -> str:
    """`bench verify FILE --challenge FILE`: the command that verifies a file, with the options given."""
    words = (f"{name} {typed_name(value)}" for name, value in options.items() if value is not None)
    return " ".join(["bench verify", typed_name(file), *words])
