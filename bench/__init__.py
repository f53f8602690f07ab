"""Measure the AI compute a machine delivers, judge it against claims, and sign the evidence."""

from pathlib import Path

__version__ = "0.1.0"

# The folders kernels/ and profiles/ stand at the top of the repository and are installed as
# bench.kernels and bench.profiles. In a checkout the top of the repository therefore joins this
# package's path; in an installed wheel both folders are here already and nothing happens.
_here = Path(__file__).resolve().parent
_top = _here.parent
if not (_here / "kernels").is_dir() and (_top / "setup.cfg").is_file():
    __path__.append(str(_top))
