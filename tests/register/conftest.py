"""Where the smallest evidence is built, and where the forger's tools lie."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).resolve().parent.parent / room) for room in ("evidence", "verify")]
