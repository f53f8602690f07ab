"""The key that signs a run: the one asked for, or this machine's own, made at the first run."""

import os
import sys
from pathlib import Path

import click

from bench.cli.consoles import tell
from bench.errors import UsageError
from bench.evidence import keys, trust
from bench.evidence.keys import KeyType, PassphraseSource, SigningKey
from bench.evidence.trust import SELF


def passphrases() -> PassphraseSource:
    """The environment's passphrase, else a prompt when somebody sits at a terminal."""
    if not _at_a_terminal():
        return keys.passphrase_source()
    return keys.passphrase_source(
        lambda: str(click.prompt("Passphrase of the key", hide_input=True, err=True))
    )


def new_passphrase() -> bytes:
    """The passphrase for a new key: typed twice at a terminal, else the environment's; never none."""
    if not _at_a_terminal():
        if passphrase := keys.environment_passphrase():
            return passphrase
        raise UsageError(
            "there is no terminal to ask for a passphrase. Set BENCH_KEY_PASSPHRASE_FILE=FILE with it."
        )
    # With a default an empty answer comes back; without one it would be asked for ever.
    typed = click.prompt(
        "Passphrase", hide_input=True, confirmation_prompt=True, err=True, default="", show_default=False
    )
    if not typed:
        raise UsageError("an empty passphrase encrypts nothing. Type one, or leave out --passphrase.")
    return os.fsencode(str(typed))


def signing_key(path: Path | None) -> SigningKey:
    """Load the key at `path`, or this machine's, which is made and trusted as `self` if there is none.

    A key that was revoked here signs nothing.
    """
    if path is None and not keys.key_path().exists():
        return make(keys.key_path(), keys.environment_passphrase())
    chosen = path or keys.key_path()
    key = keys.load(chosen, passphrases())
    if key.public in trust.read_revoked():
        raise UsageError(
            f"the key {chosen} was revoked here, so it signs nothing. Give another with --key FILE"
            + ("." if path else ", or move it and its .pub away and type: bench key new")
        )
    return key


def make(path: Path, passphrase: bytes | None, key_type: KeyType = "ed25519") -> SigningKey:
    """Make a key, trust it as one's own, and say so."""
    key = keys.new(path, passphrase, key_type)
    trust.add(keys.trust_path(), SELF, key.public, namespaces=trust.AUDITORS)
    tell(f"made this machine's signing key {key.fingerprint} in {path}, trusted here as {SELF!r}.")
    return key


def _at_a_terminal() -> bool:
    # Python has no stdin at all where its caller closed it.
    return sys.stdin is not None and sys.stdin.isatty()
