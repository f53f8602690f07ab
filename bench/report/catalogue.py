"""`python -m bench.report.catalogue`: brings the catalogues to the sentences that are in use.

Run it in a checkout after sentences were added, changed or left out. What is new stands in each catalogue
(.po) without a translation until somebody writes one; run it again then, as what is spoken is compiled (.mo).
"""

import ast
import io
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import bench
from bench.report.language import DOMAIN, LANGUAGES, Language

if TYPE_CHECKING:
    from babel.messages import Catalog

TOP = Path(__file__).resolve().parents[2]
# What says a sentence, and what marks one that is said later.
_KEYWORDS = ("tr", "marked")


def template() -> "Catalog":
    """Every sentence in use, where it stands, and no translation."""
    from babel.messages import Catalog

    found = Catalog(domain=DOMAIN, project="bench", version=bench.__version__)
    for path, sentences in _sentences():
        for sentence in sentences:
            found.add(sentence, locations=[(path.relative_to(TOP).as_posix(), 0)])
    return found


def po_file(language: Language) -> Path:
    """The catalogue of a language, for translators."""
    folder = TOP / "bench" / "report" / "locale" / language.replace("-", "_") / "LC_MESSAGES"
    return folder / f"{DOMAIN}.po"


def read(language: Language) -> "Catalog":
    """The catalogue as it is kept."""
    from babel.messages.pofile import read_po

    with po_file(language).open("rb") as file:
        return read_po(file, domain=DOMAIN, abort_invalid=True)


def updated(kept: "Catalog") -> "Catalog":
    """The catalogue with the sentences in use and no others, and the translations that it had."""
    kept.update(template(), no_fuzzy_matching=True, update_creation_date=False)
    kept.obsolete.clear()
    return kept


def as_po(catalogue: "Catalog") -> bytes:
    """The catalogue as it is kept: the same bytes for the same sentences."""
    from babel.messages.pofile import write_po

    out = io.BytesIO()
    write_po(out, catalogue, width=110, include_lineno=False, ignore_obsolete=True)
    return out.getvalue()


def as_mo(catalogue: "Catalog") -> bytes:
    """The catalogue as it is read by gettext."""
    from babel.messages.mofile import write_mo

    out = io.BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def _sentences() -> Iterator[tuple[Path, list[str]]]:
    """Each file that has sentences, and these in their order."""
    for folder in ("bench", "kernels"):
        for path in sorted((TOP / folder).rglob("*.py")):
            yield path, _of_python(path.read_text("utf-8"))
    for path in sorted((TOP / "bench" / "report" / "templates").rglob("*.j2")):
        yield path, _of_template(path)
    for path in sorted((TOP / "profiles" / "rules").glob("*.toml")):
        yield path, [str(tomllib.loads(path.read_text("utf-8"))["status"])]


def _of_python(source: str) -> list[str]:
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in _KEYWORDS
    ]
    said = (call.args[0] for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)))
    return [node.value for node in said if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _of_template(path: Path) -> list[str]:
    from jinja2.ext import babel_extract

    with path.open("rb") as file:
        # Not silent: a template that cannot be read is an error.
        found = [said for _, _, said, _ in babel_extract(file, _KEYWORDS, (), {"silent": "false"})]
    # With values beside it the sentence is the first of what was called with.
    first = (said[0] if isinstance(said, tuple) else said for said in found)
    return [sentence for sentence in first if sentence is not None]


def main() -> None:
    """Write each catalogue anew; the exit code is 1, with a list, where sentences lack a translation."""
    missing: list[str] = []
    for language in LANGUAGES:
        if language != "en":
            catalogue = updated(read(language))
            po_file(language).write_bytes(as_po(catalogue))
            po_file(language).with_suffix(".mo").write_bytes(as_mo(catalogue))
            missing += [f"{language}: {each.id}" for each in catalogue if each.id and not each.string]
    if missing:
        sys.exit("\n".join(["without a translation:", *missing]))


if __name__ == "__main__":
    main()
