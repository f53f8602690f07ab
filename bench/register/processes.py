"""Work on many files spread over processes that end with this one."""

import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from bench.errors import CannotMeasure

Part = TypeVar("Part")
Result = TypeVar("Result")


def usable() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def over(work: Callable[[Part], Result], parts: Sequence[Part], jobs: int) -> Generator[Result, None, None]:
    """`work(part)` for each part, in the order in which they are done, `jobs` at a time.

    Both travel to processes that import them anew. One part, or one job, is worked on in this process.
    Raises CannotMeasure when the system ends one of the processes.
    """
    if jobs == 1 or len(parts) <= 1:
        yield from map(work, parts)
        return
    from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # A process that was forked may hold what another thread of this one had locked.
    pool = ProcessPoolExecutor(min(jobs, len(parts)), get_context("spawn"), _end_with_parent)
    waiting: set[Future[Result]] = set()
    try:
        for part in parts:
            with _interrupts_held():
                waiting.add(pool.submit(work, part))
            # Few wait, so that an interrupt leaves little to be finished.
            if len(waiting) > 2 * jobs:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    except BrokenProcessPool as error:
        raise CannotMeasure(
            "the system ended a process that read files, for its memory perhaps. Type the command again "
            "with fewer at a time: --jobs 1."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A process that begins here never gets the terminal's Ctrl-C, which this one answers for all."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    from multiprocessing import parent_process
    from threading import Thread

    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()
