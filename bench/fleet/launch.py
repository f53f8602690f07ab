"""A rank for each of several devices of this machine, started here: what torchrun does for several machines.

The ranks meet at a place that this process keeps, so that it outlives each of them.
"""

import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from bench.errors import CannotMeasure
from bench.fleet import meeting
from bench.fleet.ranks import AGENT_KEEPS


def launch(commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> int:
    """Run each of these commands, a rank for each in their order; rank 0's exit code.

    Raises CannotMeasure where rank 0 was killed.
    """
    port, kept = meeting.keep()
    own = {
        "WORLD_SIZE": str(len(commands)),
        "LOCAL_WORLD_SIZE": str(len(commands)),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        **AGENT_KEEPS,
    }
    ranks = [
        subprocess.Popen(
            command,
            env={**environment, **own, "RANK": str(number), "LOCAL_RANK": str(number)},
        )
        for number, command in enumerate(commands)
    ]
    with _passing_on(ranks):
        codes = [rank.wait() for rank in ranks]
    del kept
    if codes[0] < 0:
        raise CannotMeasure(
            f"rank 0 was killed by {signal.Signals(-codes[0]).name}. What the ranks had measured until then "
            "lies beside where the evidence was to go, in files called partial."
        )
    return codes[0]


@contextmanager
def _passing_on(ranks: Sequence["subprocess.Popen[bytes]"]) -> Iterator[None]:
    """A signal is for the ranks: they save what they have, and this process waits for them.

    A terminal's Ctrl-C reaches them by itself too; they take two in a row for one.
    """

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        for rank in ranks:
            if rank.poll() is None:
                rank.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
