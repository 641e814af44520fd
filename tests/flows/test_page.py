"""Tables of a sweep's page: their metric is `select.metric`."""

from flows.sweep import page
from stages.core.artifacts.estimates import Estimate, SplitMetrics
from stages.core.artifacts.variant import Variant
from tests import examples


def variant(name: str, xz_bytes: int, roc_auc: float, accuracy: float) -> Variant:
    estimates = {"roc_auc": Estimate(roc_auc, roc_auc - 0.1, roc_auc + 0.1), "accuracy": Estimate(accuracy)}
    metrics = dict.fromkeys(("validation", "test"), SplitMetrics(12, 12, pooled=estimates))
    return examples.variant(name, sparsity=0.5, raw_bytes=200, xz_bytes=xz_bytes, deflated_bytes=150, metrics=metrics)


SMALL, LARGE, EQUAL = variant("small", 10, 0.6, 0.9), variant("large", 100, 0.8, 0.7), variant("equal", 10, 0.6, 0.9)


def test_the_front_is_of_the_metric_that_selects() -> None:
    variants = [SMALL, LARGE, EQUAL]
    assert [v.name for v in page.pareto_front(variants, "roc_auc")] == ["equal", "large"]
    assert [v.name for v in page.pareto_front(variants, "accuracy")] == ["equal"]


def test_columns_and_titles_name_the_metric() -> None:
    shown = page.artifacts([SMALL, LARGE], "accuracy")
    assert sorted(shown) == ["front", "variants"]
    assert "accuracy (validation) | accuracy (test)" in shown["variants"]
    assert "| large | 0.5 | 32 | 200 | 100 | 150 | 0.700 | 0.700 |" in shown["variants"]
    assert "as a push sends it) and as good (accuracy, validation)" in shown["front"]
    assert "large" not in shown["front"]


def test_a_long_table_is_cut_and_says_so() -> None:
    many = [variant(f"v{i}", 10, 0.5, 0.5) for i in range(page.MAX_ROWS + 3)]
    table = page.artifacts(many, "accuracy")["variants"]
    assert table.startswith(f"# {page.MAX_ROWS + 3} variants")
    assert table.endswith("… and 3 more.")
