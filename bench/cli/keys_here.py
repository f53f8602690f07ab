"""The key that signs a run: the one asked for, or this machine's own, made at the first run."""

import sys
from pathlib import Path

import click

from bench.cli.consoles import tell
from bench.evidence import keys, trust
from bench.evidence.keys import PassphraseSource, SigningKey
from bench.evidence.trust import SELF


def passphrases() -> PassphraseSource:
    """The environment's passphrase, else a prompt when somebody sits at a terminal."""
    if not sys.stdin.isatty():
        return keys.passphrase_source()
    return keys.passphrase_source(
        lambda: str(click.prompt("Passphrase of the key", hide_input=True, err=True))
    )


def signing_key(path: Path | None) -> SigningKey:
    """Load the key at `path`, or this machine's, which is made and trusted as `self` if there is none."""
    if path is not None:
        return keys.load(path, passphrases())
    if not keys.key_path().exists():
        return make(keys.key_path(), keys.environment_passphrase())
    return keys.load(keys.key_path(), passphrases())


def make(path: Path, passphrase: bytes | None) -> SigningKey:
    """Make a key, trust it as one's own, and say so."""
    key = keys.new(path, passphrase)
    trust.add(keys.trust_path(), SELF, key.public)
    tell(f"made this machine's signing key {key.fingerprint} in {path}, trusted here as {SELF!r}.")
    return key
