"""Which of several processes this is, as torchrun tells it by environment variables.

https://docs.pytorch.org/docs/stable/elastic/run.html, "Environment Variables". Other launchers that set RANK,
WORLD_SIZE, MASTER_ADDR and MASTER_PORT do as well; without a node's number each machine is node 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.errors import UsageError
from bench.terms import Rank

_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

# Whoever started the ranks keeps the place where they meet, as torchrun's agent does.
AGENT_KEEPS = {"TORCHELASTIC_USE_AGENT_STORE": "True"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """This process among all, and among those of its machine; where all of them meet.

    `hosts` says whether this process opens the meeting place, `run` tells one run of a launcher from another.
    """

    rank: Rank
    local: int
    local_of: int
    address: str
    port: int
    hosts: bool
    run: str


def place(environment: Mapping[str, str]) -> Place | None:
    """This process's place, None where it is the only one. UsageError for a place that cannot be."""
    if environment.get("WORLD_SIZE", "1") == "1":
        return None
    missing = [name for name in _NEEDED if name not in environment]
    if missing:
        raise UsageError(
            f"WORLD_SIZE says that {environment['WORLD_SIZE']} processes measure, and {', '.join(missing)} "
            "is not set: expected what torchrun sets. Type torchrun --nproc-per-node=N -m bench run, or "
            "unset WORLD_SIZE to measure in this process alone."
        )
    numbers = {name: _number(environment, name) for name in _NEEDED if name != "MASTER_ADDR"}
    number, of = numbers["RANK"], numbers["WORLD_SIZE"]
    local, local_of = numbers["LOCAL_RANK"], numbers["LOCAL_WORLD_SIZE"]
    if not (number < of and local < local_of <= of):
        raise UsageError(
            f"this cannot be rank {number} of {of}, and {local} of {local_of} on this machine: both count "
            "from 0. Let torchrun set these variables."
        )
    agent = AGENT_KEEPS.items() <= environment.items()
    names = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")
    return Place(
        rank=Rank(number=number, of=of, node=_number(environment, "GROUP_RANK", default="0")),
        local=local,
        local_of=local_of,
        address=environment["MASTER_ADDR"],
        port=numbers["MASTER_PORT"],
        hosts=number == 0 and not agent,
        run="/".join(("bench", *(environment.get(name, "0") for name in names))),
    )


def _number(environment: Mapping[str, str], name: str, default: str = "") -> int:
    text = environment.get(name, default)
    if not (text.isascii() and text.isdecimal() and len(text) < 7):
        raise UsageError(f"{name} is {text!r}: expected a number. Let torchrun set it.")
    return int(text)
