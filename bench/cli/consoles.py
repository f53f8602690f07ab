"""The two ways out: results to stdout, talk to stderr; no colour when not a terminal."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# Room for the longest path that a system takes, and the sentence around it.
_LONGEST_LINE = 6000

# What is piped is not wrapped to a terminal that is not there.
_PIPED_WIDTH = 500


def _console(**options: Any) -> "Console":
    from rich.console import Console

    # What is printed comes from files: brackets and colons in it are text, not markup.
    return Console(highlight=False, markup=False, emoji=False, **options)


def stdout() -> "Console":
    console = _console()
    return console if console.is_terminal else _console(width=_PIPED_WIDTH, color_system=None)


def stderr() -> "Console":
    return _console(stderr=True)


def complain(message: str) -> None:
    """One line on stderr; what it quotes from a file or an argument cannot steer the terminal."""
    import click

    from bench.printable import printable

    click.echo(f"bench: {printable(message, limit=_LONGEST_LINE)}", err=True)
