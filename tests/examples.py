"""Artifacts of a sweep that was never run, with only the fields that a test cares about."""

from typing import Any

from stages.core.artifacts.estimates import SplitMetrics
from stages.core.artifacts.selection import Selection
from stages.core.artifacts.variant import Variant
from stages.core.project import params

_VARIANT: dict[str, Any] = {
    "criterion": "",
    "schedule": "",
    "sparsity": 0.0,
    "measured_sparsity": 0.0,
    "scheme": "float32",
    "bit_width": 32,
    "seed": 0,
    "sha256": "0" * 64,
    "raw_bytes": 3,
    "deflated_bytes": 3,
    "operators": {},
    "keras_difference": 0.0,
    "metrics": {},
}


def variant(name: str = "v", **fields: Any) -> Variant:
    """A float32 baseline unless fields say otherwise."""
    return Variant(**_VARIANT | {"name": name, "key": f"key of {name}"} | fields)


def split_metrics(**fields: Any) -> SplitMetrics:
    """Metrics of a split from plain values, as JSON holds them."""
    return params.load(SplitMetrics, {"n": 0, "groups": 0} | fields, "metrics")


def selection(**fields: Any) -> Selection:
    """A selection from plain values, as JSON holds them; every field without a default must be given."""
    variant_fields = {name: value for name, value in _VARIANT.items() if name not in ("operators", "metrics")}
    fields["variant"] = variant_fields | {"key": "k", **fields["variant"]}
    return params.load(Selection, fields, "selection")
