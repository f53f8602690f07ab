"""The line between a backend and this program: what a broken one raises becomes a refusal in its words.

A backend that is installed and does not import, or lacks what it should have, ends its own rows only.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.errors import CannotMeasure
from bench.terms import Workload


def refusal(workload: Workload, what: str, error: Exception) -> CannotMeasure:
    """`what` names the backend and what it did, for example "torch failed"."""
    return CannotMeasure(f"{workload.row}: {what}: {str(error) or type(error).__name__}")


@contextmanager
def refused_by(backend: str, workload: Workload) -> Iterator[None]:
    """Around all that prepares: raises CannotMeasure for anything a backend raises.

    No list of kinds would do: a missing library is an OSError, a missing function an AttributeError, a
    half-installed package an ImportError, and the backends' own kinds stand under Exception alone.
    """
    try:
        yield
    except CannotMeasure:
        raise
    except Exception as error:
        raise refusal(workload, f"{backend} refused", error) from error
