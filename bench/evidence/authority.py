"""One question to a time stamping authority over HTTP (RFC 3161, section 3.4), within limits.

Nothing is followed to another address, and what the answer is worth is not decided here (timestamp.py).
"""

import http.client
import threading
import urllib.request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from bench.errors import CannotMeasure, UsageError
from bench.printable import printable
from bench.units import format_seconds

# A token with its authority's whole chain is under 10 kB; with revocation lists inside, some ten times that.
MAX_BYTES = 2**17
# Authorities answer within a second; some are slow on purpose when asked often (15 s between questions).
TIMEOUT_S = 30.0

_HEADERS = {
    "Content-Type": "application/timestamp-query",
    "Accept": "application/timestamp-reply",
    "User-Agent": "compute-evidence",
}


def post(url: str, question: bytes, *, timeout_s: float = TIMEOUT_S) -> bytes:
    """What the authority at `url` answers to `question`, the DER of a TimeStampReq.

    Raises UsageError for what is no address, and CannotMeasure when no answer is had within `timeout_s`.
    """
    _require_address(url)
    outcome: list[bytes | CannotMeasure] = []
    # Sockets time out by the single read; neither the look-up of a name nor an answer that comes byte by
    # byte would ever end. A daemon does not keep the program from ending.
    exchange = threading.Thread(
        target=lambda: outcome.append(_exchange(url, question, timeout_s)), daemon=True
    )
    exchange.start()
    exchange.join(timeout_s)
    if not outcome:
        raise _unanswered(url, f"no answer within {format_seconds(timeout_s)}")
    if isinstance(outcome[0], CannotMeasure):
        raise outcome[0]
    return outcome[0]


def _require_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(
            f"{printable(url)} is no address of an authority: expected http://HOST/... or https://HOST/..., "
            "without a name or password in it."
        )


def _exchange(url: str, question: bytes, timeout_s: float) -> bytes | CannotMeasure:
    request = urllib.request.Request(url, data=question, headers=_HEADERS, method="POST")
    try:
        # Whoever waits has gone by then; this only lets the thread end.
        with _opener().open(request, timeout=2 * timeout_s) as response:
            answer: bytes = response.read(MAX_BYTES + 1)
    except HTTPError as error:
        with error:
            return _unanswered(url, _status(error))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _unanswered(url, _why(error))
    if len(answer) > MAX_BYTES:
        return _unanswered(url, f"the answer has more than {MAX_BYTES} bytes, which no time stamp has")
    return answer


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS, through the environment's proxy; no files, no FTP, and no redirects."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _status(error: HTTPError) -> str:
    moved = error.headers.get("Location")
    to = f" and points to {printable(moved)}, which is not followed" if moved else ""
    return f"it answered HTTP {error.code} ({printable(str(error.reason), limit=60)}){to}"


def _why(error: Exception) -> str:
    """The cause that urllib wraps, in the words of the system."""
    cause = error.reason if isinstance(error, URLError) else error
    words = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return printable(words).lower()


def _unanswered(url: str, reason: str) -> CannotMeasure:
    return CannotMeasure(
        f"no time stamp from {printable(url)}: {reason}. Type the same command later, or, without a network, "
        "--request FILE and carry that to an authority."
    )
