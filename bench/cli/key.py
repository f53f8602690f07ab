"""`bench key`: make, show, trust and revoke keys. Private keys are files of mode 0600, never overwritten."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click

from bench.cli import keys_here
from bench.cli.consoles import say
from bench.cli.outcome import print_json
from bench.errors import UsageError
from bench.evidence import keys
from bench.evidence import trust as store
from bench.evidence.keys import KeyType, PublicKey
from bench.evidence.trust import Signer, utc
from bench.printable import printable

_FILE = click.Path(path_type=Path, dir_okay=False)
_TIME = "YYYYMMDD[HHMM[SS]][Z], local time without Z."


@click.group()
def key() -> None:
    """Make, show, trust and revoke signing keys."""


@key.command()
@click.option(
    "--type",
    "key_type",
    type=click.Choice(get_args(KeyType)),
    default="ed25519",
    show_default=True,
    help="ecdsa-p256 is for those whose tools know no Ed25519.",
)
@click.option("-o", "--output", type=_FILE, help="Where to. [default: this machine's own key]")
@click.option("--passphrase", "ask", is_flag=True, help="Ask for a passphrase and encrypt the key with it.")
def new(key_type: KeyType, output: Path | None, ask: bool) -> None:
    """Make a key and trust it here as `self`.

    Without --passphrase the key is encrypted only if BENCH_KEY_PASSPHRASE(_FILE) is set.
    """
    passphrase = keys_here.new_passphrase() if ask else keys.environment_passphrase()
    made = keys_here.make(output or keys.key_path(), passphrase, key_type)
    say(made.fingerprint)


@key.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def show(as_json: bool) -> None:
    """Show this machine's key, whom it trusts, and which keys it trusts no more."""
    public = keys.key_path().with_name(keys.key_path().name + ".pub")
    own = keys.read_public(public).fingerprint if public.exists() else None
    signers, revoked = store.read(), store.read_revoked()
    trusted = [signer for signer in signers if signer.key not in revoked]
    gone = sorted((public.fingerprint, _names(signers, public)) for public in revoked)
    if as_json:
        print_json(
            {
                "key": own,
                "path": str(keys.key_path()),
                "trusted": [_as_json(signer) for signer in trusted],
                "revoked": [{"fingerprint": mark, "principals": names} for mark, names in gone],
            }
        )
        return
    say(f"key      {own or 'none yet: bench key new'}  {keys.key_path()}")
    for signer in trusted:
        window = _window(signer)
        say(f"trusted  {signer.key.fingerprint}  {printable(signer.principal)}{window and f'  {window}'}")
    for mark, names in gone:
        say(f"revoked  {mark}  {printable(', '.join(names))}".rstrip())


@key.command()
@click.argument("principal")
@click.argument("file", type=_FILE)
@click.option("--valid-after", metavar="TIME", help=f"Trust it from then on: {_TIME}")
@click.option("--valid-before", metavar="TIME", help=f"Trust it until then: {_TIME}")
@click.option("--auditor", is_flag=True, help="Trust its challenges and verdicts, too.")
def trust(
    principal: str, file: Path, valid_after: str | None, valid_before: str | None, auditor: bool
) -> None:
    """Trust the public key in FILE under the name PRINCIPAL, e.g. vendor@example.org."""
    after = store.moment(valid_after, "--valid-after") if valid_after is not None else None
    before = store.moment(valid_before, "--valid-before") if valid_before is not None else None
    public = keys.read_public(file)
    if public in store.read_revoked():
        raise UsageError(
            f"the key {public.fingerprint} was revoked here, and is trusted under no name. If that was a "
            f"mistake, remove its line from {keys.revoked_path()}."
        )
    namespaces = store.AUDITORS if auditor else (store.NAMESPACE,)
    fresh = store.add(keys.trust_path(), principal, public, after, before, namespaces)
    say(f"{'trusted' if fresh else 'already trusted'}: {public.fingerprint} as {principal}")


@key.command()
@click.argument("which", metavar="FILE.pub|SHA256:...")
def revoke(which: str) -> None:
    """Trust a key no more, whatever else says so: a public key file or, of a trusted key, its fingerprint.

    Nothing that it signed counts from now on, whenever it was signed.
    """
    signers = store.read()
    public = _trusted_key(signers, which) if which.startswith("SHA256:") else keys.read_public(Path(which))
    fresh = store.revoke(keys.revoked_path(), public)
    names = printable(", ".join(_names(signers, public)))
    say(f"{'revoked' if fresh else 'already revoked'}: {public.fingerprint}{names and f' of {names}'}")


def _trusted_key(signers: Sequence[Signer], fingerprint: str) -> PublicKey:
    for signer in signers:
        if signer.key.fingerprint == fingerprint:
            return signer.key
    raise UsageError(
        f"no key of the trust store has the fingerprint {printable(fingerprint, limit=60)}. "
        "Give the public key itself: bench key revoke FILE.pub"
    )


def _names(signers: Sequence[Signer], public: PublicKey) -> list[str]:
    return list(dict.fromkeys(signer.principal for signer in signers if signer.key == public))


def _window(signer: Signer) -> str:
    limits = {"from": signer.valid_after, "until": signer.valid_before}
    return " ".join(f"{word} {utc(limit)}" for word, limit in limits.items() if limit is not None)


def _as_json(signer: Signer) -> dict[str, str | None]:
    return {
        "principal": signer.principal,
        "fingerprint": signer.key.fingerprint,
        "validAfter": utc(signer.valid_after) if signer.valid_after else None,
        "validBefore": utc(signer.valid_before) if signer.valid_before else None,
    }
