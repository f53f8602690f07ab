"""`bench key`: make, show and trust signing keys. Private keys are files of mode 0600, never overwritten."""

from pathlib import Path

import click

from bench.cli.consoles import say
from bench.cli.outcome import print_json

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def key() -> None:
    """Make, show and trust signing keys."""


@key.command()
@click.option("-o", "--output", type=_FILE, help="Where to. [default: this machine's own key]")
@click.option("--passphrase", "ask", is_flag=True, help="Ask for a passphrase and encrypt the key with it.")
def new(output: Path | None, ask: bool) -> None:
    """Make an Ed25519 key and trust it here as `self`.

    Without --passphrase the key is encrypted only if BENCH_KEY_PASSPHRASE(_FILE) is set.
    """
    from bench.cli import keys_here
    from bench.evidence import keys

    if ask:
        typed = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
        passphrase: bytes | None = str(typed).encode()
    else:
        passphrase = keys.environment_passphrase()
    made = keys_here.make(output or keys.key_path(), passphrase)
    say(made.fingerprint)


@key.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def show(as_json: bool) -> None:
    """Show this machine's key and whom it trusts."""
    from bench.evidence import keys, trust
    from bench.printable import printable

    public = keys.key_path().with_name(keys.key_path().name + ".pub")
    own = keys.read_public(public).fingerprint if public.exists() else None
    signers = trust.read()
    if as_json:
        trusted = [{"principal": s.principal, "fingerprint": s.key.fingerprint} for s in signers]
        print_json({"key": own, "path": str(keys.key_path()), "trusted": trusted})
        return
    say(f"key      {own or 'none yet: bench key new'}  {keys.key_path()}")
    for signer in signers:
        say(f"trusted  {signer.key.fingerprint}  {printable(signer.principal)}")


@key.command()
@click.argument("principal")
@click.argument("file", type=_FILE)
def trust(principal: str, file: Path) -> None:
    """Trust the public key in FILE under the name PRINCIPAL, e.g. vendor@example.org."""
    from bench.evidence import keys
    from bench.evidence import trust as store

    public = keys.read_public(file)
    fresh = store.add(keys.trust_path(), principal, public)
    say(f"{'trusted' if fresh else 'already trusted'}: {public.fingerprint} as {principal}")
