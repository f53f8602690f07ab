"""The command that starts this very program again, however it was started."""

import sys

# Not `-m bench`, which would first look into the folder it stands in.
_PROGRAM = "import sys; sys.path[:] = {path!r}; sys.argv[0] = 'bench'; from bench.cli import main; main()"


def command(*words: str) -> list[str]:
    """What to start for `bench` and these words."""
    return [sys.executable, "-c", _PROGRAM.format(path=sys.path), *words]
