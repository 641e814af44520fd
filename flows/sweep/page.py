"""Tables of a sweep for its flow run's page in Prefect's UI, as Markdown."""

from collections.abc import Sequence

from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.variant import Variant
from stages.core.project import tables
from stages.core.scoring import interval, pareto

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
    front = (
        f"# Pareto front: no other variant is both as small (xz, as a push sends it) and as good ({metric}, validation)"
    )
    return {
        "variants": f"# {len(variants)} variants\n\n{_table(variants, metric)}",
        "front": f"{front}\n\n{_table(pareto_front(variants, metric), metric)}",
    }


def pareto_front(variants: Sequence[Variant], metric: str) -> list[Variant]:
    """Return the Pareto front of bytes as a push sends them (xz) and the metric on validation, smallest first."""

    def costs(variant: Variant) -> tuple[float, float]:
        value = _estimate(variant, "validation", metric).value
        return variant.xz_bytes, float("nan") if value is None else -value

    return pareto.pareto_front(sorted(variants, key=lambda v: v.name), costs)  # of equals, the first by name


def _table(variants: Sequence[Variant], metric: str) -> str:
    head = ("variant", "sparsity", "bits", "bytes", "xz", "deflated", *(f"{metric} ({split})" for split in _SPLITS))
    rows = [
        (
            v.name,
            f"{v.sparsity:g}",
            v.bit_width,
            f"{v.raw_bytes:,}",
            f"{v.xz_bytes:,}",
            f"{v.deflated_bytes:,}",
            *(interval.text(_estimate(v, split, metric)) for split in _SPLITS),
        )
        for v in variants[:MAX_ROWS]
    ]
    more = f"\n\n… and {len(variants) - MAX_ROWS} more." if len(variants) > MAX_ROWS else ""
    return tables.markdown(head, rows, text_columns=1) + more


def _estimate(variant: Variant, split: str, metric: str) -> Estimate:
    metrics = variant.metrics.get(split)
    return metrics.pooled.get(metric, Estimate(None)) if metrics else Estimate(None)
