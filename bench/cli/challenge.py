"""`bench challenge`: an auditor poses challenges, and closes each with the one report that answers it."""

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.consoles import say, stdout, tell
from bench.cli.outcome import print_json
from bench.errors import CannotMeasure, ChallengeRefused, EvidenceInvalid, SignatureNotTrusted, UsageError
from bench.judge.catalog import DEFAULT_RULES
from bench.printable import printable
from bench.report.typed import LONGEST_PATH, typed_name
from bench.units import parse_share

if TYPE_CHECKING:
    from bench.evidence.challenge import Posed
    from bench.evidence.keys import SigningKey
    from bench.evidence.ledger import Entry
    from bench.evidence.steps import Request
    from bench.terms import Challenge, Evidence, SystemEvidence

_FILE = click.Path(path_type=Path, dir_okay=False)

# What catching other shares costs is told beside the one that was chosen.
_PRICES = (0.10, 0.05, 0.01)


@click.group()
def challenge() -> None:
    """Pose challenges to vendors, and close them."""


# -------------------------------------------------------------------------------------------- new


@challenge.command()
@click.option("--vendor", help="Who is asked. [default: anybody]")
@click.option("--device", help="Its name, or its profile's id. [default: any]")
@click.option("--rules", default=DEFAULT_RULES, show_default=True, help="An id or FILE.toml.")
@click.option("--precision", "precisions", multiple=True, help="Repeatable. [default: left open]")
@click.option("--sustain", help="Hold each precision's best row: 600s.")
@click.option("--expires", default="72h", show_default=True, help="Time from now.")
@click.option("--skipped", default="5%", show_default=True, help="Share of rows left out to catch.")
@click.option("--auditor", help="Who asks. [default: the key's fingerprint]")
@click.option("--key", "key_file", type=_FILE, help="Signing key. [default: this machine's own]")
@click.option("-o", "--output", type=_FILE, required=True, help="Where to; never overwritten.")
def new(
    vendor: str | None,
    device: str | None,
    rules: str,
    precisions: tuple[str, ...],
    sustain: str | None,
    expires: str,
    skipped: str,
    auditor: str | None,
    key_file: Path | None,
    output: Path,
) -> None:
    """Make and sign a challenge, and enter it in the ledger."""
    from bench.cli import keys_here
    from bench.evidence import keys
    from bench.evidence.challenge import FORMAT, faults, spelled
    from bench.judge import catalog
    from bench.terms import Challenge, Digest

    rule_set = catalog.rules(rules)
    issued = datetime.now(UTC)
    asks = Challenge(
        format=FORMAT,
        nonce=secrets.token_hex(32),
        auditor="to be signed" if auditor is None else auditor,
        vendor=vendor,
        device=device,
        rules=Digest(name=rule_set.id, sha256=rule_set.digest),
        precisions=precisions,
        sustain_s=_held_s(sustain, len(precisions)),
        skipped_share=parse_share(skipped),
        issued=spelled(issued),
        expires=spelled(_later(issued, expires)),
    )
    for fault in faults(asks):
        raise UsageError(f"{fault}. See: bench challenge new --help")
    _refuse_taken(output)
    key = keys_here.signing_key(key_file)
    if auditor is None:
        asks = replace(asks, auditor=key.fingerprint)
    posed = _hand_out(asks, key, output)
    _announce(posed, key, key_file or keys.key_path(), output, rules)


def _held_s(text: str | None, precisions: int) -> int:
    """Whole seconds; refused where no run could hold so many rows for so long."""
    from bench.measure.stopping import LONGEST_S
    from bench.plan import SUSTAIN_LIMIT_S
    from bench.units import format_seconds, parse_seconds

    if text is None:
        return 0
    seconds = parse_seconds(text)
    if seconds != int(seconds) or not seconds:
        raise UsageError(f"--sustain {text} is not a whole number of seconds: type e.g. 600s.")
    longest = int(LONGEST_S - SUSTAIN_LIMIT_S) // max(1, precisions)
    if seconds > longest:
        raise UsageError(
            f"--sustain {text} is too long: no run holds {max(1, precisions)} row(s) for more than "
            f"{format_seconds(longest)} each."
        )
    return int(seconds)


def _later(issued: datetime, text: str) -> datetime:
    from bench.units import parse_seconds

    try:
        return issued + timedelta(seconds=parse_seconds(text))
    except OverflowError as error:
        raise UsageError(f"--expires {text} is longer than time is counted here: type e.g. 72h.") from error


def _refuse_taken(output: Path) -> None:
    if os.path.lexists(output):
        raise _taken(output)


def _taken(output: Path) -> UsageError:
    return UsageError(f"{output} is there already, and no challenge overwrites it. Choose another: -o FILE")


def _hand_out(asks: "Challenge", key: "SigningKey", output: Path) -> "Posed":
    """Write the challenge and enter it in the ledger. One that is in no ledger is not left lying about."""
    from bench.evidence import challenge as challenges
    from bench.evidence import envelope, ledger, store

    data = envelope.to_json(challenges.sign(asks, key))
    posed = challenges.unchecked(data, str(output))
    try:
        store.write_new(output, data, 0o644)
    except FileExistsError as error:
        raise _taken(output) from error
    except OSError as error:
        raise CannotMeasure(
            f"cannot write {output}: {(error.strerror or str(error)).lower()}. "
            "Give a file in a folder you may write: -o FILE"
        ) from error
    with _taken_back(output):
        ledger.record(posed)
    return posed


@contextmanager
def _taken_back(output: Path) -> Iterator[None]:
    """Whatever keeps the challenge out of the ledger removes its file, or says that it is still there."""
    try:
        yield
    except BaseException as error:
        try:
            output.unlink()
        except OSError as kept:
            error.add_note(
                f"{output} cannot be removed ({kept.strerror}): it is in no ledger. Do not hand it out."
            )
        else:
            error.add_note(f"No challenge was made: {output} was removed.")
        raise


def _announce(posed: "Posed", key: "SigningKey", key_file: Path, output: Path, rules: str) -> None:
    """What was made, what it costs, and what the vendor needs and types."""
    from bench.evidence.challenge import percent
    from bench.workload import openings

    asks = posed.challenge
    file = printable(str(output), limit=LONGEST_PATH)
    public = key_file.with_name(f"{key_file.name}.pub")
    named = public if public.exists() else Path("auditor.pub")
    # A name that `bench key trust` takes, and no shell reads otherwise.
    name = asks.auditor if re.fullmatch(r"\w[\w.@+-]*", asks.auditor) else "auditor"
    own_rules = f" --rules {typed_name(Path(rules).name)}" if rules.endswith(".toml") else ""
    prices = ", ".join(f"{percent(share)}: {openings.count(share)}" for share in _PRICES)
    say(f"challenge {posed.number}  {file}")
    say(f"nonce     {asks.nonce}")
    say(f"expires   {asks.expires}")
    say(f"opens     {_opens(asks)}")
    say(f"prices    rows to open, by the share that is caught: {prices}")
    say(f"vendor    needs {file} and your public key, {printable(str(named), limit=LONGEST_PATH)}")
    say(f"          ({key.fingerprint}), and types:")
    say(f"          bench key trust --auditor {name} {typed_name(named.name)}")
    say(f"          bench run --challenge {typed_name(output.name)}{own_rules}")
    say("then      bench challenge close REPORT")
    if asks.vendor is not None and asks.vendor not in _principals():
        tell(
            f"no key is trusted here under the name {printable(asks.vendor)}, so that who signs the report "
            "cannot be held against it. Trust the vendor's key by that name: bench key trust VENDOR FILE.pub"
        )


def _principals() -> set[str]:
    from bench.evidence import trust

    return {name for signer in trust.read() for name in signer.principal.split(",")}


def _opens(asks: "Challenge") -> str:
    from bench.evidence.challenge import percent
    from bench.workload.openings import CONFIDENCE, count

    return (
        f"{count(asks.skipped_share)} rows of the outputs behind each figure: leaving out "
        f"{percent(asks.skipped_share)} of all rows is caught at {percent(CONFIDENCE)}"
    )


# ------------------------------------------------------------------------------------ show and list


@challenge.command()
@click.argument("file", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
def show(file: Path, as_json: bool) -> None:
    """Print what a challenge asks, and who signed it.

    It need not be trusted to be shown.
    """
    from bench.evidence import challenge as challenges
    from bench.evidence.codec import encode

    now = datetime.now(UTC)
    posed = challenges.read_unchecked(file)
    posed, untrusted = _checked(posed, now)
    if as_json:
        print_json(
            {
                "file": str(file),
                "number": posed.number,
                "digest": posed.digest,
                "signers": [{"principal": s.principal, "fingerprint": s.fingerprint} for s in posed.signers],
                "signature": untrusted,
                "challenge": encode(posed.challenge),
            }
        )
        return
    for name, words in _told(posed, untrusted, now):
        say(f"{name:<9} {printable(words, limit=LONGEST_PATH)}")


def _checked(posed: "Posed", now: datetime) -> tuple["Posed", str | None]:
    """The challenge with the signers whom this user trusts, or the reason why there are none."""
    from bench.evidence import trust

    signers = trust.read()
    try:
        found = trust.check_signatures(
            posed.envelope, signers, now, trust.read_revoked(), namespace=trust.CHALLENGES
        )
    except SignatureNotTrusted as error:
        known = {signer.key.fingerprint for signer in signers}
        if any(signature.keyid in known for signature in posed.envelope.signatures):
            return posed, f"signature refused: {error}"
        return posed, f"signature not checked: key not trusted here ({error})"
    return replace(posed, signers=found), None


def _told(posed: "Posed", untrusted: str | None, now: datetime) -> Iterator[tuple[str, str]]:
    from bench.evidence.challenge import moment
    from bench.units import format_seconds

    asks = posed.challenge
    yield "challenge", posed.number
    yield "auditor", asks.auditor
    yield "signed", untrusted or ", ".join(f"{s.principal} ({s.fingerprint})" for s in posed.signers)
    yield "vendor", asks.vendor or "anybody"
    yield "device", asks.device or "any"
    yield "rules", f"{asks.rules.name} (digest {asks.rules.sha256[:12]})"
    yield "precision", ", ".join(asks.precisions) or "left open"
    held = f"each precision's best row for {format_seconds(asks.sustain_s)}" if asks.sustain_s else "nothing"
    yield "held", held
    yield "opens", _opens(asks)
    yield "nonce", asks.nonce
    yield "issued", asks.issued
    yield "expires", f"{asks.expires}{' (expired)' if now > moment(asks.expires) else ''}"


@challenge.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
def list_(as_json: bool) -> None:
    """List the ledger: challenges made here, open, expired or used."""
    from bench.evidence import ledger

    now = datetime.now(UTC)
    entries = ledger.entries()
    if as_json:
        print_json([_as_json(entry, now) for entry in entries])
        return
    if not entries:
        tell("no challenge was made here yet: bench challenge new -o FILE")
        return
    from bench.report.beside import plain

    table = plain("challenge", "vendor", "device", "issued", "expires", "state")
    for entry in entries:
        state = _state(entry, now)
        used = f"used by report {(entry.report or '')[:12]} at {entry.closed}"
        cells = (
            entry.number,
            entry.vendor or "anybody",
            entry.device or "any",
            entry.issued,
            entry.expires,
            used if state == "used" else state,
        )
        table.add_row(*map(printable, cells))
    stdout().print(table)


def _state(entry: "Entry", now: datetime) -> str:
    from bench.evidence.challenge import moment

    if entry.report is not None:
        return "used"
    return "expired" if now > moment(entry.expires) else "open"


def _as_json(entry: "Entry", now: datetime) -> dict[str, str | None]:
    return {
        "number": entry.number,
        "digest": entry.digest,
        "nonce": entry.nonce,
        "auditor": entry.auditor,
        "vendor": entry.vendor,
        "device": entry.device,
        "issued": entry.issued,
        "expires": entry.expires,
        "state": _state(entry, now),
        "closed": entry.closed,
        "report": entry.report,
    }


# ------------------------------------------------------------------------------------------ close


@challenge.command()
@click.argument("file", type=_FILE)
@click.option("--trust", "trust_file", type=_FILE, help="Trust store. [default: your allowed_signers]")
@click.option("--revoked", type=_FILE, help="Revoked keys. [default: your revoked_keys]")
@click.option("--tsa-roots", type=_FILE, help="PEM roots of time stamps. [default: your tsa_roots]")
@click.option("--rules", help="Rule set FILE.toml, where it is not a shipped one.")
def close(
    file: Path, trust_file: Path | None, revoked: Path | None, tsa_roots: Path | None, rules: str | None
) -> None:
    """Verify the report FILE and let it use its challenge up.

    The challenge is the ledger's, found by the report's nonce; no other report can use it any more.
    """
    from bench.cli.verify import By, follow
    from bench.evidence import ledger
    from bench.terms import Evidence, SystemEvidence

    by = By(
        trust_file=trust_file,
        revoked=revoked,
        tsa_roots=tsa_roots,
        challenge=None,
        rules=rules,
        model=None,
    )
    request = by.request()
    ledger.mend()
    try:
        entry = _posed_here(_nonce(file, request))
        found = follow(file, replace(request, challenge=ledger.posed(entry)), lambda _step: None)
        assert isinstance(found.evidence, Evidence | SystemEvidence)
        assert found.envelope is not None
        _require_a1(entry, found.evidence)
        report = hashlib.sha256(found.envelope.payload).hexdigest()
        fresh = ledger.close(entry.nonce, report, request.now)
    except (EvidenceInvalid, SignatureNotTrusted, ChallengeRefused) as error:
        error.args = (f"{file}: step {error.step}: {error}",)
        raise
    what = f"challenge {entry.number} is {'now' if fresh else 'already'} used up by report {report[:12]}"
    smoke = ", a smoke test" if found.evidence.mode == "quick" else ""
    say(f"{what}, assurance {found.evidence.assurance}{smoke}")


def _require_a1(entry: "Entry", evidence: "Evidence | SystemEvidence") -> None:
    """A report that opened nothing, or has no figure, leaves the challenge to a better one."""
    if evidence.assurance == "A0":
        raise ChallengeRefused(
            "the report reaches assurance A0 only: it has no figure, or outputs behind one were not opened. "
            f"Challenge {entry.number} stays open for another run until {entry.expires}."
        )


def _nonce(file: Path, request: "Request") -> str:
    """The report's nonce, from bytes whose signature was checked."""
    from bench.evidence import statement
    from bench.evidence.steps import Verified
    from bench.evidence.verify import verify
    from bench.terms import Evidence, SystemEvidence

    found = Verified()
    for step in verify(file, request, found):
        if step.name == "signature":
            break
    assert found.envelope is not None
    evidence = statement.parse(found.envelope.payload)
    if not isinstance(evidence, Evidence | SystemEvidence) or evidence.challenge is None:
        raise ChallengeRefused(
            "the report answers no challenge. It was to be made with bench run --challenge."
        )
    return evidence.nonce


def _posed_here(nonce: str) -> "Entry":
    from bench.evidence import ledger

    entry = ledger.find(nonce)
    if entry is None:
        raise ledger.unknown(nonce)
    return entry
