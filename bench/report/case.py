"""What is stated about a visit, as labels and values for people."""

from bench.report.language import tr
from bench.terms import Case, DataSheet, Party


def lines(case: Case) -> list[tuple[str, str]]:
    """Label and value of everything that is stated, in the language spoken now.

    Whoever shows them makes the values safe for where they are shown.
    """
    sheet = case.data_sheet
    stated = (
        (tr("Case number"), case.number),
        (tr("Buyer"), _party(case.buyer)),
        (tr("Vendor"), _party(case.vendor)),
        (tr("Site"), case.site),
        (tr("Chassis serial number"), case.chassis_serial),
        (tr("Server"), _server(case)),
        (tr("Data sheet"), _title(sheet)),
        (tr("Data sheet, SHA-256"), sheet.sha256 if sheet is not None else None),
        (tr("Cooling"), case.cooling),
        (tr("Ambient temperature"), _celsius(case.ambient_celsius)),
        (tr("Operator"), case.operator),
        (tr("Witness"), case.witness),
    )
    return [(label, value) for label, value in stated if value is not None]


def _party(party: Party | None) -> str | None:
    if party is None or party.registration is None:
        return party.name if party is not None else None
    return tr("{name} (registration number {registration})", name=party.name, registration=party.registration)


def _server(case: Case) -> str | None:
    if case.server_number is None:
        return None
    return tr("{number} of {servers} identical servers", number=case.server_number, servers=case.servers)


def _title(sheet: DataSheet | None) -> str | None:
    if sheet is None or sheet.page is None:
        return sheet.title if sheet is not None else None
    return tr("{title}, page {page}", title=sheet.title, page=sheet.page)


def _celsius(degrees: float | None) -> str | None:
    return None if degrees is None else tr("{degrees} °C", degrees=f"{degrees:g}")
