"""What libraries write to the terminal from below Python, kept and told in place of printed.

Neither an option nor an environment variable stops ONNX Runtime's own words about graphics cards that it
cannot read (microsoft/onnxruntime issue 27092), and much that an execution provider refuses is told there
alone.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

from bench.printable import printable

# Of one line: what a provider says about one node is shorter, and a compiler's dump is not wanted.
_LINE = 1000


@contextmanager
def overheard() -> Iterator[Callable[[], str]]:
    """Meanwhile descriptors 1 and 2 lead to a file; what it yields tells what was written so far.

    The lines are joined by " | ", without terminal sequences; "" where nothing was said. May be nested.
    """
    with tempfile.TemporaryFile() as file:
        kept = dict(_copies((1, 2)))
        _flush()
        for number in kept:
            os.dup2(file.fileno(), number)
        try:
            yield lambda: _words(file)
        finally:
            _flush()
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)


def _copies(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Of those descriptors that are open."""
    for number in numbers:
        with suppress(OSError):
            yield number, os.dup(number)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _words(file: IO[bytes]) -> str:
    _flush()
    # Not by seeking: the descriptors that are written to share the file's position.
    written = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
    lines = written.decode(errors="replace").split("\n")
    return " | ".join(line for line in (printable(line, limit=_LINE).strip() for line in lines) if line)
