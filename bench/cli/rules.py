"""`bench rules`: the rule sets that ship, and one of them with its quotes and its reading."""

import click

from bench.cli.consoles import stdout
from bench.cli.outcome import print_json


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the rule set as JSON on stdout.")
def rules(name: str | None, as_json: bool) -> None:
    """List the rule sets, or print one with its reading.

    NAME is an id from the list, or FILE.toml.
    """
    from bench.evidence.codec import encode
    from bench.judge import catalog
    from bench.report import rules as report

    chosen = [catalog.rules(name)] if name else [catalog.rules(known) for known in catalog.rule_ids()]
    if as_json:
        print_json([encode(rule_set) for rule_set in chosen])
        return
    console = stdout()
    for rule_set in chosen:
        report.rule_set(console, rule_set, whole=name is not None)
