"""The words of a verdict, and when each is given."""

from __future__ import annotations

__all__ = ["CLOSES", "FAILS", "UNCERTAIN", "UNTESTED", "WITHIN", "stated", "verdict_on"]

CLOSES = "closes"
WITHIN = "within uncertainty"
UNCERTAIN = "too uncertain"
FAILS = "does not close"
UNTESTED = "too few events"


def verdict_on(
    tests: int,
    p_value: float,
    p_value_total: float,
    uncertainty: float,
    smallest: float,
    max_uncertainty: float,
) -> str:
    """Return the verdict on something that was tested.

    Args:
        tests: How many tests or bins there are.
        p_value: With the scatter of the tags alone.
        p_value_total: With the error of the efficiency added; NaN where that is not known.
        uncertainty: Relative error of the yield that is due to the efficiency.
        smallest: Smallest p-value of what closes.
        max_uncertainty: Largest relative error within which something may close.

    Returns:
        ``closes`` where the tags alone explain the difference; ``within uncertainty`` where tags
        and error of the efficiency do; ``too uncertain`` where they do, and that error is larger
        than allowed; ``does not close``; or ``too few events``.

    Example:
        >>> verdict_on(9, 0.001, 0.3, 0.02, 0.01, 0.05)
        'within uncertainty'
        >>> verdict_on(9, 0.001, 0.3, 0.20, 0.01, 0.05)
        'too uncertain'
    """
    if not tests:
        return UNTESTED
    if p_value >= smallest:
        return CLOSES
    if p_value_total >= smallest:
        return WITHIN if uncertainty <= max_uncertainty else UNCERTAIN
    return FAILS


def stated(verdict: str, uncertainty: float) -> str:
    """Return a verdict with the size of the uncertainty where it leans on one.

    Example:
        >>> stated("within uncertainty", 0.0234), stated("closes", 0.01)
        ('within uncertainty (2.3%)', 'closes')
    """
    return f"{verdict} ({uncertainty:.1%})" if verdict in (WITHIN, UNCERTAIN) else verdict
