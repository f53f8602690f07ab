"""One TOML table read strictly: each key is taken once, with its type, and none may be left over.

Every refusal names the file and the key, and says what was expected. It knows nothing of profiles.
"""

import tomllib
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from bench.errors import UsageError
from bench.units import TERA

Word = TypeVar("Word", bound=str)


class Table:
    """The rows of a file as they are taken; `where` is the file, `path` the way to this table in it."""

    def __init__(self, rows: dict[str, object], where: str, path: str = "") -> None:
        self.where = where
        self._rows = dict(rows)
        self._path = path

    @classmethod
    def parse(cls, data: bytes, where: str) -> "Table":
        """The file's top table. Numbers are read as Decimal, so that 1307.4 tera is one exact rounding."""
        try:
            # Some editors begin a file with a byte order mark.
            return cls(tomllib.loads(data.decode("utf-8-sig"), parse_float=_decimal), where)
        except UnicodeDecodeError as error:
            raise UsageError(f"{where}: not UTF-8: save it as UTF-8 text.") from error
        except (ValueError, RecursionError) as error:
            # Besides errors of form: a whole number of thousands of digits, and brackets in brackets.
            raise UsageError(f"{where}: not a TOML file: {error}.") from error

    def wrong(self, key: str, message: str) -> UsageError:
        return UsageError(f"{self.where}: {self._path}{key}: {message}.")

    def text(self, key: str, *, required: bool = True) -> str:
        """A non-empty string; "" when an optional key is absent."""
        value = self._take(key, required)
        if value is None:
            return ""
        if value == "":
            raise self.wrong(key, "it is empty: fill it in")
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, f"expected text, got {_shown(value)}")
        return value

    def texts(self, key: str, *, required: bool = True) -> tuple[str, ...]:
        """A list of strings, which may be empty."""
        value = self._take(key, required)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, f"expected a list of texts, got {value!r}")
        return tuple(value)

    def choice(self, key: str, known: Iterable[Word]) -> Word:
        """One of the known words."""
        return self._known(key, self.text(key), tuple(known))

    def choice_of(self, key: str, known: Iterable[Word]) -> tuple[Word, ...]:
        """A list of known words."""
        return tuple(self._known(key, word, tuple(known)) for word in self.texts(key))

    def truth(self, key: str, *, expected: bool | None = None) -> bool:
        """true or false; with `expected`, only the one that fits the rest of the table."""
        value = self._take(key, required=True)
        if not isinstance(value, bool) or expected not in (None, value):
            words = "true or false" if expected is None else str(expected).lower()
            raise self.wrong(key, f"expected {words}, got {str(value).lower()}")
        return value

    def rate(self, key: str, unit: str) -> float:
        """A positive number in tera-operations per second (`unit` only names it) as op/s."""
        value = self._take(key, required=True)
        number = Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None
        if number is None or not number.is_finite() or not 0 < number < TERA:
            raise self.wrong(key, f"expected a positive number in {unit}, got {value}")
        return float(number * TERA)

    def flag(self, key: str, *, required: bool = True) -> bool:
        """true or false; false when an optional key is absent."""
        value = self._take(key, required)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.wrong(key, f"expected true or false, got {value!r}")
        return value

    def count(self, key: str) -> int:
        """A whole number above zero."""
        value = self._take(key, required=True)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
            raise self.wrong(key, f"expected a whole number above zero, got {_shown(value)}")
        return value

    def counts(self, key: str) -> tuple[int, ...]:
        """A list of at least one whole number above zero."""
        value = self._take(key, required=True)
        if not isinstance(value, list) or not value:
            raise self.wrong(key, f"expected a list of whole numbers above zero, got {_shown(value)}")
        return tuple(Table({key: item}, self.where, self._path).count(key) for item in value)

    def number(self, key: str) -> float:
        """A finite number."""
        value = self._take(key, required=True)
        if not isinstance(value, int | Decimal) or isinstance(value, bool) or not Decimal(value).is_finite():
            raise self.wrong(key, f"expected a number, got {_shown(value)}")
        return float(Decimal(value))

    def has(self, key: str) -> bool:
        return key in self._rows

    def table(self, key: str) -> "Table":
        value = self._take(key, required=True)
        if not isinstance(value, dict):
            raise self.wrong(key, f"expected a table, got {_shown(value)}")
        return Table(value, self.where, f"{self._path}{key}.")

    def tables(self, key: str, *, required: bool = True) -> tuple["Table", ...]:
        """An array of at least one table."""
        value = self._take(key, required)
        if value is None:
            return ()
        if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
            raise self.wrong(key, f"expected an array of tables, [[{key}]]")
        return tuple(Table(row, self.where, f"{self._path}{key}[{n}].") for n, row in enumerate(value))

    def skip(self, key: str, known: Iterable[str]) -> None:
        """An optional table kept for readers: only its keys are checked."""
        if key in self._rows:
            remarks = self.table(key)
            for name in known:
                remarks._rows.pop(name, None)
            remarks.close()

    def close(self) -> None:
        """Refuses what nobody took."""
        for key in self._rows:
            raise self.wrong(key, "unknown key")

    def _take(self, key: str, required: bool) -> object:
        if required and key not in self._rows:
            raise self.wrong(key, "missing")
        return self._rows.pop(key, None)

    def _known(self, key: str, word: str, known: tuple[Word, ...]) -> Word:
        for candidate in known:
            if candidate == word:
                return candidate
        raise self.wrong(key, f"got {word!r}, expected {' or '.join(known)}")


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text} is out of range") from error


def _shown(value: object) -> str:
    """A value as an error quotes it; what is nested, or very long in digits, by a word."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of more than 64 bits"
    return str(value) if isinstance(value, int | Decimal) else repr(value)
