"""The text of an estimate with its interval, e.g. "0.830 [0.760, 0.890]"; None and NaN are undefined."""

import math

from stages.core.artifacts.estimates import Estimate

DASH = "–"


def text(estimate: Estimate, *, digits: int = 3, sign: bool = False, undefined: str = DASH) -> str:
    """Return an estimate with its interval in brackets, or without it where the interval is undefined.

    Parameters
    ----------
    estimate : Estimate
    digits : int
        Digits after the point.
    sign : bool
        Write a sign before positive numbers too, for differences.
    undefined : str
        Text for an undefined value.

    >>> text(Estimate(0.83, 0.76, 0.89))
    '0.830 [0.760, 0.890]'
    >>> text(Estimate(0.02, -0.01, 0.05), digits=2, sign=True)
    '+0.02 [-0.01, +0.05]'
    >>> text(Estimate(None))
    '–'
    """
    if _undefined(estimate.value):
        return undefined
    ends = bracket(estimate.low, estimate.high, digits=digits, sign=sign, undefined="")
    return f"{number(estimate.value, digits=digits, sign=sign)} {ends}".rstrip()


def text_or_reason(estimate: Estimate, *, undefined: str = DASH) -> str:
    """Return an estimate with its interval, or with the reason why it has none.

    >>> text_or_reason(Estimate(0.83, reason="4 groups; an interval needs 10"))
    '0.830 (no interval: 4 groups; an interval needs 10)'
    """
    shown = text(estimate, undefined=undefined)
    missing = not _undefined(estimate.value) and _undefined(estimate.low) and estimate.reason
    return f"{shown} (no interval: {estimate.reason})" if missing else shown


def bracket(
    low: float | None, high: float | None, *, digits: int = 3, sign: bool = False, undefined: str = DASH
) -> str:
    """Return an interval in brackets.

    >>> bracket(0.76, 0.89, digits=2)
    '[0.76, 0.89]'
    """
    if _undefined(low) or _undefined(high):
        return undefined
    return f"[{number(low, digits=digits, sign=sign)}, {number(high, digits=digits, sign=sign)}]"


def number(value: float | None, *, digits: int = 3, sign: bool = False, undefined: str = DASH) -> str:
    """Return a number with a fixed number of digits after the point.

    >>> number(0.5), number(None)
    ('0.500', '–')
    """
    if value is None or math.isnan(value):
        return undefined
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def _undefined(value: float | None) -> bool:
    return value is None or math.isnan(value)
