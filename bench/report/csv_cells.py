"""Cells of CSV files, which people open in spreadsheets."""

import re

# What a spreadsheet takes for the beginning of a formula, also in full width (OWASP, "CSV Injection").
_FORMULA = re.compile(r"[\t\r]|\s*[=+\-@＝＋－＠]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def csv_file(text: str) -> bytes:
    """The bytes of a file: with a mark at the beginning (BOM) by which spreadsheets read it as UTF-8."""
    return text.encode("utf-8-sig")


def harmless(cell: str) -> str:
    """The cell as text that no spreadsheet computes; a number stays one."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell
