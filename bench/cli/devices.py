"""`bench devices`: every device with its identity, and the reason for every one that cannot be had."""

import click

from bench.cli.consoles import stdout
from bench.cli.outcome import print_json


@click.command()
@click.option(
    "--ep-library",
    "ep_libraries",
    multiple=True,
    metavar="NAME=PATH",
    help="An execution provider's library beside the installed ones; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on stdout.")
def devices(ep_libraries: tuple[str, ...], as_json: bool) -> None:
    """List what can be measured here, and why something cannot.

    The first word of a line is the selector for `bench run --device`.
    """
    from bench.devices import family, ort
    from bench.evidence.codec import encode

    ort.name_libraries(ep_libraries)
    found = family.inventory()
    if as_json:
        print_json([encode(inventory) for inventory in found])
        return
    from bench.printable import printable
    from bench.report import sentences, text
    from bench.report.language import tr

    console = stdout()
    for inventory in found:
        for device in inventory.devices:
            console.print(f"{printable(device.selector)}  {text.device_line(device)}", style="bold")
            for fact in device.facts:
                value = (
                    str(fact.value)
                    if fact.reason is None
                    else tr("not known: {reason}", reason=sentences.absent(fact.reason))
                )
                console.print(f"    {printable(fact.name):<24} {printable(value)}")
        for reason in inventory.unavailable:
            words = printable(sentences.unavailable(reason), limit=400)
            subject = printable(reason.subject)
            console.print(tr("{subject}  unavailable: {words}", subject=subject, words=words))
