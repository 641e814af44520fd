"""Evaluate the sweep's variants: `python -m stages.evaluate`."""

from stages.core.project import errors, layout, params
from stages.evaluate.params import EvaluateParams
from stages.evaluate.stage import evaluate


def main() -> None:
    """Read the section, evaluate, say where the range of sizes and times lies."""
    section = params.section("evaluate", EvaluateParams)
    found = evaluate(layout.SWEEP, layout.FEATURES, layout.EVALUATION, section, float_network=layout.BASELINE)
    smallest, fastest = min(each.sent_bytes for each in found), min(each.latency_p50_ms for each in found)
    print(f"{len(found)} variants in {layout.EVALUATION}; smallest {smallest} bytes to send, fastest {fastest} ms")


if __name__ == "__main__":
    errors.run(main)
