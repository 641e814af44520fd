"""Sweep the grid of `params.yaml`: `python -m flows.sweep`."""

from flows.sweep.params import SweepParams
from flows.sweep.run import project
from stages.core.project import errors, layout, params


def main() -> None:
    """Sweep the grid of `params.yaml`."""
    variants = project(params.section("sweep", SweepParams), layout.SWEEP)
    print(f"{len(variants)} variants in {layout.SWEEP}")


if __name__ == "__main__":
    errors.run(main)
