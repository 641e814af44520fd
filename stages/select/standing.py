"""Compare the chosen variant with the float32 network, the naive reference and chance."""

from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.naive import Naive
from stages.core.artifacts.selection import Standing
from stages.core.artifacts.variant import Variant
from stages.core.scoring import interval

SIDES = ("validation", "test")


def standing(chosen: Variant, network: Variant, naive: Naive, metric: str) -> Standing | None:
    """Compare a variant with the float32 network, the naive reference and chance.

    A variant is better than chance if its validation interval lies above chance (its value, where there are too few
    groups for an interval) and its test value does too. The test split can thus stop a release; it never chooses one.

    Parameters
    ----------
    chosen, network : Variant
    naive : Naive
    metric : str
        Metric that chose the variant.

    Returns
    -------
    Standing or None
        None if chance has no level on the metric.
    """
    if metric not in naive.chance["test"]:
        return None
    mine, theirs = (
        {"validation": variant.metrics["validation"].pooled[metric], "test": variant.metrics["test"].pooled[metric]}
        for variant in (chosen, network)
    )
    reference = {"validation": naive.validation.metrics[metric], "test": naive.test.metrics[metric]}
    chance = {side: naive.chance[side][metric] for side in SIDES}
    beats = _lowest(mine["validation"]) > chance["validation"] and _value(mine["test"]) > chance["test"]
    below = [side for side in SIDES if _value(mine[side]) < _value(reference[side])]
    warning = ""
    figures = ", ".join(f"{side} {metric} {interval.text(mine[side])}, chance {chance[side]:.3f}" for side in SIDES)
    if not beats:
        warning = (
            f"not shown to be better than chance ({figures}): it is neither promoted nor pushed. Get recordings "
            "of more groups, or listen to some: can you tell the classes apart yourself?"
        )
    elif below:
        side = below[-1]
        warning = (
            f"worse than the naive reference on {side}: {metric} {interval.text(mine[side])} against "
            f"{interval.text(reference[side])} of {naive.classifier} on pooled spectra. The recipe does not fit these "
            "recordings, or they are too few for a network."
        )
    return Standing(metric, naive.classifier, theirs, reference, chance, beats, warning)


def _value(estimate: Estimate) -> float:
    return float("-inf") if estimate.value is None else estimate.value


def _lowest(estimate: Estimate) -> float:
    return _value(estimate) if estimate.low is None else estimate.low
