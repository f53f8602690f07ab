"""`bench stamp`: an authority's word on when evidence was signed, kept beside it."""

from pathlib import Path

import click

from bench.cli.consoles import say, tell
from bench.printable import printable

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("file", type=_FILE)
@click.option("--tsa", metavar="URL", help="Ask this authority, at once or days later.")
@click.option("--request", "request_file", type=_FILE, help="Without a network: write the request here.")
@click.option("--response", "response_file", type=_FILE, help="Without a network: take the answer from here.")
def stamp(file: Path, tsa: str | None, request_file: Path | None, response_file: Path | None) -> None:
    """Have a time stamping authority say when evidence was signed.

    The token (RFC 3161) shows that the first signature existed then. It lies beside FILE as FILE.tsr,
    where `bench verify` finds it.
    """
    from bench.evidence import authority, envelope, store, timestamp

    if sum(way is not None for way in (tsa, request_file, response_file)) != 1:
        raise click.UsageError("type one of --tsa URL, --request FILE and --response FILE.")
    signed = envelope.parse(store.read_limited(file))
    timestamp.require_none(timestamp.path_of(file))
    question = timestamp.question(signed)
    if request_file is not None:
        _write_request(request_file, question.as_bytes(), file)
        return
    roots = timestamp.pinned_roots()
    if tsa is not None:
        answer, nonce = authority.post(tsa, question.as_bytes()), question.nonce
    else:
        assert response_file is not None
        # The nonce of a request that was carried away is not known here; the signature's digest is.
        answer, nonce = store.read_small(response_file), None
    found = timestamp.keep(file, signed, answer, roots, nonce=nonce)
    say(f"stamp      {_shown(timestamp.path_of(file))}")
    say(f"time       {found.says}")
    say(f"authority  {found.authority}")
    if isinstance(found, timestamp.Stamped):
        say(f"checked    against the roots in {_shown(timestamp.roots_path())}")
    else:
        say(f"checked    no: no root is pinned in {_shown(timestamp.roots_path())}")


def _write_request(to: Path, question: bytes, file: Path) -> None:
    from bench.evidence import store, timestamp

    timestamp.require_none(to)
    store.write_atomic(to, question, hint="Give a file in a folder you may write: --request FILE")
    say(f"request    {_shown(to)}")
    tell(f"carry it to an authority, and type then: bench stamp {_shown(file)} --response ANSWER.tsr")


def _shown(path: Path) -> str:
    return printable(str(path), limit=4096)
