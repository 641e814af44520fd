"""Evaluate the sweep's variants: `python -m stages.evaluate`."""

from stages.core.project import errors, layout, params
from stages.evaluate.params import EvaluateParams
from stages.evaluate.stage import evaluate


def main() -> None:
    """Read the section, evaluate, say where the range of sizes and times lies."""
    section = params.section("evaluate", EvaluateParams)
    rows = evaluate(layout.SWEEP, layout.FEATURES, layout.EVALUATION, section)
    smallest, fastest = min(row["deflated_bytes"] for row in rows), min(row["latency_p50_ms"] for row in rows)
    print(f"{len(rows)} variants in {layout.EVALUATION}; smallest {smallest} bytes deflated, fastest {fastest} ms")


if __name__ == "__main__":
    errors.run(main)
