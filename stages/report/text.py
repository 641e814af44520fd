"""Write metrics, sizes and schemes for people."""

from collections.abc import Sequence

from stages.core.artifacts.evaluation import Row

TITLES = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "f1": "F1"}


def title(metric: str) -> str:
    """Return the name of a metric for people.

    >>> title("roc_auc"), title("balanced_accuracy")
    ('ROC-AUC', 'balanced accuracy')
    """
    return TITLES.get(metric, metric.replace("_", " "))


def size(n_bytes: float) -> str:
    """Return a number of bytes with a unit.

    >>> size(999), size(604_288), size(12_000_000)
    ('999 B', '604 kB', '12 MB')
    """
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000 or unit == "MB":
            break
        n_bytes /= 1000
    return f"{n_bytes:.3g} {unit}"


def count(n: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "clip"), count(2, "clip")
    ('1 clip', '2 clips')
    """
    return f"{n} {noun}" + ("" if n == 1 else "s")


def scheme_of(row: Row) -> str:
    """Return a variant's scheme, and whether its fine-tuning was quantisation-aware or distilled."""
    return ", ".join([str(row["scheme"]), *(name for name in ("aware", "distilled") if row.get(name))])


def schemes(rows: Sequence[Row]) -> list[str]:
    """Return `scheme_of` of all rows without repetition, highest bit-width first, then by name."""
    return [name for _, name in sorted({(-row["bit_width"], scheme_of(row)) for row in rows})]
