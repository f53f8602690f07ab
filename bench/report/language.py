"""The language that people are spoken to in: English sentences are the keys of gettext catalogues.

Sentences are made at the edge, from codes and numbers, through `tr`. Which language that is, is decided once
for a command (or for a report that is made), and nothing in evidence depends on it.
"""

import gettext
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Literal, get_args

Language = Literal["en", "zh-TW"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

DOMAIN = "bench"
_spoken: ContextVar[Language] = ContextVar("language", default="en")


def of_environment(environment: Mapping[str, str]) -> Language:
    """What the environment's locale asks for, in POSIX's order; English where that is not spoken."""
    asked = next(
        (environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), ""
    )
    # zh_TW.UTF-8, zh_Hant_TW: those written in traditional characters.
    return "zh-TW" if asked.startswith(("zh_TW", "zh_HK", "zh_MO", "zh_Hant")) else "en"


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """Within, `tr` speaks this language."""
    before = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(before)


def spoken() -> Language:
    """The language that is spoken now."""
    return _spoken.get()


def marked(sentence: str) -> str:
    """The sentence itself: marks it for the catalogues where it stands in a table, and `tr` says it later."""
    return sentence


def tr(sentence: str, /, **values: object) -> str:
    """The sentence in the language that is spoken, its {names} filled with `values`.

    One that no catalogue has (a rule set's own words may be such) is said as it is.
    """
    said = sentence if spoken() == "en" else _catalogue(spoken()).gettext(sentence)
    return said.format(**values) if values else said


def listed(names: Iterable[str]) -> str:
    """`a, b, c`, with the comma of the language that is spoken."""
    return tr(", ").join(names)


@cache
def _catalogue(language: Language) -> gettext.NullTranslations:
    # Slow to import, and English needs none.
    from importlib import resources

    folder = resources.files("bench.report") / "locale" / language.replace("-", "_") / "LC_MESSAGES"
    with (folder / f"{DOMAIN}.mo").open("rb") as stream:
        return gettext.GNUTranslations(stream)
