"""What a changed condition does to a row's rate, from the pairs of a diagnostic. Pure."""

from bench.measure import stats
from bench.terms import Condition, Diagnostic


def condition(diagnostic: Diagnostic) -> Condition:
    """What a diagnostic came to, as it is stored: rounded, or its reason where it has no pairs."""
    found = ratio(diagnostic)
    return Condition(
        device=diagnostic.device,
        row=diagnostic.row,
        name=diagnostic.name,
        detail=diagnostic.detail,
        ratio=stats.rounded(found.value) if found else None,
        low=stats.rounded(found.low) if found else None,
        high=stats.rounded(found.high) if found else None,
        reason=diagnostic.reason,
    )


def ratio(diagnostic: Diagnostic) -> stats.Ratio | None:
    """Rate under the condition over the usual rate; None where there are no pairs.

    The median of the pairs' ratios with its interval by order statistics, as in stats.operand_ratio: of n
    ordered ratios the ones 0.98 sqrt(n) ranks from the middle, which are the outermost of up to seven.
    """
    return stats.median_ratio([pair.usual_ns / pair.other_ns for pair in diagnostic.pairs])
