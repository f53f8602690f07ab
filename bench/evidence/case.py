"""The case: what is stated about a visit, read strictly from a TOML file before anything is measured.

Nothing of it is measured or checked against the machine. It is signed with the evidence, as stated.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.evidence import store
from bench.judge.tables import Table
from bench.printable import printable
from bench.terms import Case, DataSheet, Party

# A page of text; a parser of TOML takes a time that grows with the square of some inputs.
_MAX_BYTES = 16 * 1024

TEMPLATE = """\
# A case: what is stated about a visit, and not measured (案件資料:以下為陳述,並非量測).
# It is signed with the evidence:  bench run --case FILE.toml
# Only the number is required. Of the other lines remove the # from those that apply and fill them in;
# a [table] is named before its lines. UTF-8; texts of one line and at most 200 characters.

# case number (案件編號)
number = ""

# where the machine stands (設置地點)
#site = ""

# serial number of the chassis (機箱序號)
#chassis_serial = ""

# which of how many identical servers this is (相同伺服器共 N 台中之第 n 台)
#server_number = 1
#servers = 1

# cooling (散熱方式), and the temperature of the room in degrees Celsius (環境溫度)
#cooling = ""
#ambient_celsius = 25.0

# who ran the measurement (操作人員), and who was present (見證人)
#operator = ""
#witness = ""

# who buys (買方), with the registration number of 8 digits (統一編號)
#[buyer]
#name = ""
#registration = ""

# who sells (賣方), with the registration number of 8 digits (統一編號)
#[vendor]
#name = ""
#registration = ""

# the document that the declared figures are taken from (規格書), and the page in it (頁次).
# Of the file (from this file's folder) only the SHA-256 is recorded; sha256 alone will do, too.
#[data_sheet]
#title = ""
#page = ""
#file = ""
#sha256 = ""
"""


def read(path: Path) -> Case:
    """The case in the TOML file at `path`. A data sheet that it names is read for its SHA-256 alone.

    Raises UsageError, naming the key, for what is no case, and for files that cannot be read.
    """
    top = Table.parse(store.read_small(path, limit=_MAX_BYTES), str(path))
    with _refused(top):
        case = Case(
            number=top.text("number"),
            buyer=_party(top, "buyer"),
            vendor=_party(top, "vendor"),
            site=_text(top, "site"),
            chassis_serial=_text(top, "chassis_serial"),
            data_sheet=_data_sheet(top, path.parent),
            server_number=top.count("server_number") if top.has("server_number") else None,
            servers=top.count("servers") if top.has("servers") else None,
            cooling=_text(top, "cooling"),
            ambient_celsius=top.number("ambient_celsius") if top.has("ambient_celsius") else None,
            operator=_text(top, "operator"),
            witness=_text(top, "witness"),
        )
    top.close()
    return case


def _text(table: Table, key: str) -> str | None:
    return table.text(key, required=False) or None


def _party(top: Table, key: str) -> Party | None:
    if not top.has(key):
        return None
    table = top.table(key)
    with _refused(table):
        party = Party(name=table.text("name"), registration=_text(table, "registration"))
    table.close()
    return party


def _data_sheet(top: Table, folder: Path) -> DataSheet | None:
    if not top.has("data_sheet"):
        return None
    table = top.table("data_sheet")
    with _refused(table):
        sheet = DataSheet(title=table.text("title"), page=_text(table, "page"), sha256=_digest(table, folder))
    table.close()
    return sheet


def _digest(table: Table, folder: Path) -> str | None:
    """The digest that is given, or that of the file; where both are there, they are the same."""
    given, file = _text(table, "sha256"), _text(table, "file")
    if file is None:
        return given
    try:
        found = _sha256(folder / file)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise table.wrong(
            "file", f"cannot read {printable(file)}: {why.lower()}. Give the data sheet's file, or its sha256"
        ) from error
    if given not in (None, found):
        raise table.wrong("sha256", f"the digest of {printable(file)} is {found}, and not the one given")
    return found


def _sha256(path: Path) -> str:
    # Without O_NONBLOCK opening a FIFO would wait for a writer for ever.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is not a regular file")
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _refused(table: Table) -> Iterator[None]:
    """What the values themselves refuse, by the key that their message begins with."""
    try:
        yield
    except ValueError as error:
        key, _, message = str(error).partition(": ")
        raise table.wrong(key, message) from error
