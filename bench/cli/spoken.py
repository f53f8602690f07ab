"""`--lang`: the language in which a command speaks to people; JSON and errors stay as they are."""

from collections.abc import Callable
from typing import Any

import click

from bench.report.language import LANGUAGES, Language, speaking


def in_language(**more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the option, with `more` of click's settings; its function is not handed the value."""
    return click.option(
        "--lang",
        type=click.Choice(LANGUAGES),
        expose_value=False,
        callback=_speak,
        help="Language of reports. [default: the environment's]",
        **more,
    )


def _speak(context: click.Context, _parameter: click.Parameter, chosen: Language | None) -> None:
    """Speak it until the command ends."""
    if chosen is not None:
        context.with_resource(speaking(chosen))
