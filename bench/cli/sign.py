"""`bench sign`: one's own signature under evidence, or under what `verify` found in it."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.consoles import say
from bench.cli.verify import By, follow, going_by
from bench.errors import CannotMeasure, ChallengeRefused, EvidenceInvalid, SignatureNotTrusted, UsageError
from bench.printable import printable

if TYPE_CHECKING:
    from bench.evidence.keys import PublicKey
    from bench.evidence.trust import Signer
    from bench.terms import Envelope

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=_FILE)
@click.option("--verdict", is_flag=True, help="Verify FILE, and sign in a file of its own what was found.")
@click.option("--key", "key_file", type=_FILE, help="Signing key. [default: this machine's own]")
@click.option(
    "-o", "--output", type=_FILE, help="Where to. [default: FILE; a verdict: its name.verdict.json]"
)
@going_by
def sign(file: Path, by: By, verdict: bool, key_file: Path | None, output: Path | None) -> None:
    """Add your signature to evidence, or sign what verify found.

    Your signature says that you have seen these bytes, --verdict what they were found to be.
    """
    if verdict:
        _sign_verdict(file, by, key_file, output)
    else:
        _sign_evidence(file, by, key_file, output)


@contextmanager
def _steps_of(file: Path) -> Iterator[None]:
    try:
        yield
    except (EvidenceInvalid, SignatureNotTrusted, ChallengeRefused) as error:
        error.args = (f"{file}: step {error.step}: {error}",)
        raise


# --------------------------------------------------------------------------------------- evidence


def _sign_evidence(file: Path, by: By, key_file: Path | None, output: Path | None) -> None:
    from bench.cli import keys_here
    from bench.evidence import envelope, statement, store, trust

    by.refuse_what_only_verifying_needs("add --verdict, or leave it out.")
    with _steps_of(file):
        signed = envelope.parse(store.read_limited(file))
        statement.parse(signed.payload)  # nobody signs what is no evidence
    signers, revoked = trust.read(by.trust_file), trust.read_revoked(by.revoked)
    key = keys_here.signing_key(key_file)
    signed = envelope.add(signed, key)
    target = _real(output or file)  # a link stays a link
    store.write_atomic(target, envelope.to_json(signed), mode=_mode(target))
    say(f"signed   {printable(str(output or file), limit=4096)} with {key.fingerprint}")
    say(f"stands   {len(signed.signatures)} signatures; {_trusted_words(signed, signers, revoked)}")
    say(
        "means    whoever holds the key stands for having seen these bytes; it says nothing about whether "
        "the figures were verified: for that, bench sign --verdict FILE"
    )


def _trusted_words(signed: "Envelope", signers: "Sequence[Signer]", revoked: "frozenset[PublicKey]") -> str:
    from bench.evidence.trust import check_signatures

    try:
        found = check_signatures(signed, signers, datetime.now(UTC), revoked)
    except SignatureNotTrusted:
        return "trusted here: nobody's"
    names = ", ".join(f"{signer.principal} ({signer.fingerprint})" for signer in found)
    return f"trusted here: {printable(names, limit=4096)}"


def _mode(target: Path) -> int:
    """What was kept from others stays so."""
    try:
        return stat.S_IMODE(target.stat().st_mode) & 0o666
    except OSError:
        return 0o644


def _real(path: Path) -> Path:
    # Unlike Path.resolve it leaves a circle of links to whoever opens it.
    return Path(os.path.realpath(path))


# ---------------------------------------------------------------------------------------- verdict


def _sign_verdict(file: Path, by: By, key_file: Path | None, output: Path | None) -> None:
    from bench.cli import keys_here
    from bench.evidence import envelope, result, store

    target = output or _beside(file)
    if _real(target) == _real(file):
        raise UsageError(f"the verdict would replace the evidence {file}. Give another file: -o FILE")
    if output is None and os.path.lexists(target):
        raise _taken(target)
    request = by.request()
    with _steps_of(file):
        data = store.read_limited(file)
        statement = result.build(data, follow(file, request, lambda _step: None), request)
    key = keys_here.signing_key(key_file)
    signed = envelope.to_json(result.sign(statement, key))
    if output is not None:
        store.write_atomic(target, signed)
    else:
        _write_new(target, signed)
    for line in result.lines(statement, key.fingerprint):
        say(line)
    say(f"verdict    {printable(str(target), limit=4096)}")


def _beside(file: Path) -> Path:
    suffix = next((end for end in (".evidence.json", ".json") if file.name.endswith(end)), "")
    return file.with_name(f"{file.name.removesuffix(suffix)}.verdict.json")


def _write_new(target: Path, data: bytes) -> None:
    from bench.evidence import store

    try:
        store.write_new(target, data, 0o644)
    except FileExistsError as error:
        raise _taken(target) from error
    except OSError as error:
        raise CannotMeasure(
            f"cannot write {target}: {error.strerror}. Give a file in a folder you may write: -o FILE"
        ) from error


def _taken(target: Path) -> UsageError:
    return UsageError(f"there is a verdict already: {target}. To replace it, or for another file: -o FILE")
