"""A rule set in a terminal: its tiers and items, its quotes, and how it is read."""

from rich.console import Console

from bench.report import sentences
from bench.report.language import listed, marked, tr
from bench.terms import RuleSet
from bench.units import format_rate

_SCOPES = {"system": marked("system"), "device": marked("device")}


def rule_set(console: Console, rules: RuleSet, *, whole: bool) -> None:
    """A rule set's tiers; with `whole` its quotes, its source and the reading with its arguments."""
    console.print(f"{rules.id} {rules.version}: {rules.title_en}", style="bold")
    console.print(f"  {rules.title_zh}")
    console.print("  " + tr("status: {status}", status=tr(rules.status)))
    for tier in rules.tiers:
        limits = tr(" or ").join(
            f"{format_rate(limit.ops_per_s, limit.unit)} {limit.precision or tr('in the precision claimed')}"
            for limit in tier.limits
        )
        tier_line = tr(
            "{id}: {limits} ({scope}: {kinds}), {title}",
            id=tier.id,
            limits=limits,
            scope=tr(_SCOPES[tier.scope]),
            kinds=listed(tier.kinds),
            title=tier.title_zh,
        )
        console.print(f"  {tier_line}", markup=False)
        if whole:
            console.print(f"    {tier.quote_zh}")
    for item in rules.items:
        limit = f"{sentences.condition(item.condition)} ≥ {sentences.number(item.parameters)}"
        console.print("  " + tr("{id}: {limit}, {title}", id=item.id, limit=limit, title=item.title_zh))
        if whole:
            console.print(f"    {item.quote_zh}")
    if not whole:
        return
    decided_by = tr("decided by the {which} figure", which=sentences.decided_by(rules.decided_by))
    lines = [
        f"{decided_by}: {rules.decided_by_quote_zh}",
        tr("reading ({basis}): {reading}", basis=rules.reading_basis, reading=rules.reading),
        *("  " + tr("for: {argument}", argument=argument) for argument in rules.reading_for),
        *("  " + tr("against: {argument}", argument=argument) for argument in rules.reading_against),
        *(tr("example: {example}", example=example) for example in rules.examples),
        tr("source: {source}", source=rules.source),
        tr("minimum assurance {level}; digest {digest}", level=rules.minimum_assurance, digest=rules.digest),
    ]
    for line in lines:
        console.print(f"  {line}")
