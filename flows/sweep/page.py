"""Tables of a sweep for its flow run's page in Prefect's UI, as Markdown."""

from collections.abc import Sequence

from stages.core.artifacts.variant import Variant
from stages.core.project import tables
from stages.core.scoring import stats
from stages.core.tracking import experiment

MAX_ROWS = 500  # the page must stay readable, and MLflow has them all
_SPLITS = ("validation", "test")


def artifacts(variants: Sequence[Variant], metric: str) -> dict[str, str]:
    """Return the tables of a sweep.

    Parameters
    ----------
    variants : Sequence[Variant]
        Finished variants.
    metric : str
        Metric to show, `select.metric`.

    Returns
    -------
    dict[str, str]
        Name to Markdown: `variants`, all of them, and `front`, the Pareto front.
    """
    front = f"# Pareto front: no other variant is both as small (deflated) and as good ({metric}, validation)"
    return {
        "variants": f"# {len(variants)} variants\n\n{_table(variants, metric)}",
        "front": f"{front}\n\n{_table(pareto_front(variants, metric), metric)}",
    }


def pareto_front(variants: Sequence[Variant], metric: str) -> list[Variant]:
    """Return the Pareto front of deflated bytes and the metric on the validation split, smallest first."""

    def validation(variant: Variant) -> float:
        return experiment.flat(variant.metrics).get(f"validation.{metric}", float("-inf"))

    named = sorted(variants, key=lambda v: v.name)  # of equals, the first by name
    return stats.front(named, size=lambda v: v.deflated_bytes, metric=validation)


def _table(variants: Sequence[Variant], metric: str) -> str:
    head = ("variant", "sparsity", "bits", "bytes", "deflated", *(f"{metric} ({split})" for split in _SPLITS))
    rows = [
        (
            v.name,
            f"{v.sparsity:g}",
            v.bit_width,
            f"{v.raw_bytes:,}",
            f"{v.deflated_bytes:,}",
            *(_value(v, split, metric) for split in _SPLITS),
        )
        for v in variants[:MAX_ROWS]
    ]
    more = f"\n\n… and {len(variants) - MAX_ROWS} more." if len(variants) > MAX_ROWS else ""
    return tables.markdown(head, rows, text_columns=1) + more


def _value(variant: Variant, split: str, metric: str) -> str:
    figures = experiment.flat(variant.metrics)
    value, low, high = (figures.get(f"{split}.{metric}{end}") for end in ("", ".low", ".high"))
    interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    return "–" if value is None else f"{value:.3f}{interval}"
