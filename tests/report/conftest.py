"""Where the smallest evidence is built."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "evidence"))
