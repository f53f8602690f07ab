"""Where the forger's tools lie: evidence changed and signed again."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "verify"))
