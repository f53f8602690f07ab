"""What is signed: challenge, openings, the evidence of a run, its envelope."""

import re
from dataclasses import dataclass
from typing import Literal

from bench.printable import MAX_CHARACTERS, printable
from bench.terms.checks import require
from bench.terms.devices import Device, Fact
from bench.terms.judgement import Claim, Condition, Delivered, Figure, Verdict
from bench.terms.measurements import Diagnostic, Measurement, Schedule, Telemetry, Transfer

# More than any one order holds, and well within what JSON's numbers keep.
_MOST_SERVERS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """SHA-256 of the bytes that `name` names."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What an auditor asks of one run: the nonce that seeds it, what to measure, for whom, until when.

    `vendor` and `device` are what the vendor claims, None where that is left open; `device` is the name
    that a device calls itself by, or the id of its profile. No `precisions` means the default.
    `sustain_s` is the least time that each precision's best row is held under load, 0 for none.
    So many outputs are opened that leaving out `skipped_share` of the committed rows is caught. Times are
    RFC 3339 in UTC, to the second.
    """

    format: str
    nonce: str
    auditor: str
    vendor: str | None
    device: str | None
    rules: Digest
    precisions: tuple[str, ...]
    sustain_s: int
    skipped_share: float
    issued: str
    expires: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who buys or sells. `registration` is the number in the register of Taiwan's businesses (統一編號).

    Its eight digits are checked by the rule of the Ministry of Finance in force since 1 April 2023, which
    holds every number of the older rule too: 營利事業統一編號檢查碼邏輯修正說明, Fiscal Information Agency,
    https://www.fia.gov.tw/singlehtml/3?cntId=c4d9cff38c8642ef8872774ee9987283
    """

    name: str
    registration: str | None

    def __post_init__(self) -> None:
        _require_line("name", self.name)
        _require_registration(self.registration)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSheet:
    """The document that the vendor's figures are taken from; the digest is of the whole file."""

    title: str
    page: str | None
    sha256: str | None

    def __post_init__(self) -> None:
        _require_line("title", self.title)
        _require_line("page", self.page)
        require(
            self.sha256 is None or re.fullmatch("[0-9a-f]{64}", self.sha256) is not None,
            "sha256: expected 64 lower-case hexadecimal digits",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is stated about the visit by whoever ran the measurement: none of it was measured.

    The server measured is number `server_number` of `servers` identical ones.
    """

    number: str
    buyer: Party | None
    vendor: Party | None
    site: str | None
    chassis_serial: str | None
    data_sheet: DataSheet | None
    server_number: int | None
    servers: int | None
    cooling: str | None
    ambient_celsius: float | None
    operator: str | None
    witness: str | None

    def __post_init__(self) -> None:
        for name in ("number", "site", "chassis_serial", "cooling", "operator", "witness"):
            _require_line(name, getattr(self, name))
        if self.server_number is None or self.servers is None:
            require(self.server_number == self.servers, "server_number: it goes with servers, n of N")
        else:
            require(
                1 <= self.server_number <= self.servers <= _MOST_SERVERS,
                f"server_number: expected n of N with 1 <= n <= N <= {_MOST_SERVERS}, got "
                f"{self.server_number} of {self.servers}",
            )
        require(
            self.ambient_celsius is None or -40.0 <= self.ambient_celsius <= 80.0,
            f"ambient_celsius: expected -40 to 80 degrees Celsius, got {self.ambient_celsius}",
        )


def _require_line(name: str, text: str | None) -> None:
    """What prints as it is: people compare it with paper."""
    require(
        text is None or (text.strip() != "" and printable(text) == text),
        f"{name}: expected one line of 1 to {MAX_CHARACTERS} characters that are all seen",
    )


def _require_registration(number: str | None) -> None:
    if number is None:
        return
    shown = printable(number, limit=20)
    require(
        re.fullmatch("[0-9]{8}", number) is not None,
        f"registration: a 統一編號 is 8 digits, got {shown}",
    )
    products = (int(digit) * weight for digit, weight in zip(number, (1, 2, 1, 2, 1, 2, 4, 1), strict=True))
    total = sum(product // 10 + product % 10 for product in products)
    # A seventh digit 7 gives 28 and so 10, whose digits add up to 1: either may be counted.
    fits = total % 5 == 0 or (number[6] == "7" and (total + 1) % 5 == 0)
    require(fits, f"registration: {shown} is not a 統一編號, as its check digit is wrong. Compare each digit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of a row's work an opening covers: `committed` of the `timed` launches.

    Launches read windows of one pool, so that the rows of two of them may be the same in part.

    Whoever left out `skipped_share` of the committed rows, and tried 2^64 commitments for one that would
    hide it, is caught with probability `confidence`.
    """

    committed: int
    timed: int
    skipped_share: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Outputs of timed launches of a row: committed by a Merkle root, opened where nonce and root say.

    `stays` are the row's windows (its visits in order, then the held one), from 0, whose last launch is
    committed; `leaves` counts the rows of their outputs and `opened` those that were drawn. `siblings` is
    the base64 of the digests that lead from the opened leaves to `root`. `reason` says why there is none.
    """

    device: str
    row: str
    stays: tuple[int, ...]
    leaves: int
    opened: int
    root: str | None
    siblings: str | None
    covers: Coverage | None
    reason: str | None

    def __post_init__(self) -> None:
        parts = (self.root, self.siblings, self.covers)
        whole = all(part is not None for part in parts)
        none = all(part is None for part in parts)
        require(whole if self.reason is None else none, f"{self.row}: an opening or a reason, not both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What the process that measured says about itself: a claim of the machine, never a proof.

    `libraries` are the shared objects that it had loaded when it ended, by their file's name.
    """

    facts: tuple[Fact, ...]
    libraries: tuple[Digest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """The measuring program, as it describes itself: a claim of the machine, not a proof."""

    version: str
    files: tuple[Digest, ...]
    libraries: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """Which of several processes measured, each a device of one system: `number` and `node` count from 0."""

    number: int
    of: int
    node: int

    def __post_init__(self) -> None:
        require(0 <= self.number < self.of and 0 <= self.node < self.of, f"no rank: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The predicate of the signed statement: everything the verdict follows from, and the verdict.

    `asked` are the precisions asked for, none where the default was run: with the devices' facts they
    decide which rows there are. `schedule` is the one that the visits followed; `clock` says how the
    cores' clock was measured, or why it was not. `challenge` is the digest of the auditor's challenge that
    the run answers, whose nonce is then `nonce`. `case` is what was stated about the visit. `rank` is there
    for a part of a system.
    """

    format: str
    created: str
    mode: Literal["default", "quick"]
    assurance: str
    interrupted: bool
    nonce: str
    challenge: Digest | None
    case: Case | None
    rank: Rank | None = None
    harness: Harness
    inspection: Inspection
    system: tuple[Fact, ...]
    devices: tuple[Device, ...]
    claims: tuple[Claim, ...]
    rules: Digest
    profiles: tuple[Digest, ...]
    asked: tuple[str, ...]
    schedule: Schedule
    clock: Fact
    measurements: tuple[Measurement, ...]
    openings: tuple[Opening, ...]
    memory: tuple[Transfer, ...]
    diagnostics: tuple[Diagnostic, ...]
    telemetry: Telemetry
    delivered: tuple[Delivered, ...]
    figures: tuple[Figure, ...]
    conditions: tuple[Condition, ...]
    verdict: Verdict
    does_not_show: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature of an envelope: the key's OpenSSH fingerprint (a hint only) and the raw bytes."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """DSSE: the exact payload bytes, their type, and who signed them."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]
