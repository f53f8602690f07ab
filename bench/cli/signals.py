"""Ctrl-C and SIGTERM during a run: both stop it once, and neither loses what was measured."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Ctrl-C is pressed again out of impatience while the first one still unwinds, which takes the time to
# compare a visit's outputs. Beyond this a library has swallowed the first one, and another must work.
_UNWINDING_S = 5.0


@dataclass(slots=True)
class Stop:
    """While it does not hold, a signal raises KeyboardInterrupt; while it holds, a signal waits."""

    _holds: bool = False
    _waiting: bool = False
    _raised_s: float = float("-inf")

    def hold(self) -> None:
        self._holds = True

    def release(self) -> None:
        """No longer hold; raises KeyboardInterrupt if a signal has waited."""
        self._holds = False
        if self._waiting:
            raise KeyboardInterrupt

    def signalled(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        now_s = time.monotonic()
        if self._holds:
            self._waiting = True
        elif now_s - self._raised_s > _UNWINDING_S:
            self._raised_s = now_s
            raise KeyboardInterrupt


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Both signals go to a Stop; afterwards they go where they went before. Only the main thread can."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    # Whoever started us with a signal ignored (nohup, a job in the background) wants it so.
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    taken = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, stop.signalled)
    try:
        yield stop
    finally:
        for number in taken:
            signal.signal(number, before[number])
