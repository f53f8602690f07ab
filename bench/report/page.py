"""Pages of HTML from templates: everything escaped, nothing undefined, no script and no request anywhere."""

from functools import cache
from typing import TYPE_CHECKING

from bench.printable import printable
from bench.report import language

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: object) -> str:
    """The page that a template of bench/report/templates makes of `values`, in the language spoken now.

    Every value is escaped; a name that a template uses and `values` lacks is an error. Templates may call
    `tr`, `listed` and `printable`, and have the page's `language`.
    """
    return _environment().get_template(template).render(language=language.spoken(), **values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"tr": language.tr, "listed": language.listed, "printable": printable}
    environment.filters |= {"printable": printable, "css_string": css_string}
    return environment


def css_string(text: str) -> str:
    """`text` as a string of CSS, each character as its number: it ends neither the string nor the style."""
    return '"' + "".join(f"\\{ord(character):06x}" for character in printable(text)) + '"'
