"""What the sweep's page in Prefect's UI shows, as Markdown."""

from collections.abc import Sequence

from stages.core.artifacts.variant import Variant
from stages.core.project import tables
from stages.core.scoring import stats
from stages.core.tracking import experiment

METRIC = "roc_auc"
_SPLITS = ("validation", "test")
MOST = 500  # rows: the page must stay readable, and MLflow has them all


def artefacts(variants: Sequence[Variant]) -> dict[str, str]:
    """Return the artefacts of a sweep: name to Markdown.

    Parameters
    ----------
    variants : Sequence[Variant]
        Those that are finished.
    """
    return {
        "variants": f"# {len(variants)} variants\n\n" + _table(variants),
        "front": f"# Front: no other variant is as small and has as good a {METRIC} (validation)\n\n"
        + _table(front(variants)),
    }


def front(variants: Sequence[Variant]) -> list[Variant]:
    """Return the variants that no other beats in deflated bytes and metric (validation), smallest first."""
    named = sorted(variants, key=lambda v: v.name)  # of equals, the first by name
    return stats.front(named, size=lambda v: v.deflated_bytes, metric=lambda v: _figure(v, "validation"))


def _table(variants: Sequence[Variant]) -> str:
    heads = ("variant", "sparsity", "bits", "bytes", "deflated", *(f"{METRIC} ({split})" for split in _SPLITS))
    rows = [
        (
            v.name,
            f"{v.sparsity:g}",
            v.bit_width,
            f"{v.raw_bytes:,}",
            f"{v.deflated_bytes:,}",
            *(_told(v, split) for split in _SPLITS),
        )
        for v in variants[:MOST]
    ]
    more = f"\n\n… and {len(variants) - MOST} more." if len(variants) > MOST else ""
    return tables.markdown(heads, rows, text_columns=1) + more


def _told(variant: Variant, split: str) -> str:
    figures = experiment.flat(variant.metrics)
    value, low, high = (figures.get(f"{split}.{METRIC}{end}") for end in ("", ".low", ".high"))
    interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    return "–" if value is None else f"{value:.3f}{interval}"


def _figure(variant: Variant, split: str) -> float:
    return experiment.flat(variant.metrics).get(f"{split}.{METRIC}", float("-inf"))
