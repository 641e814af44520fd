"""Sweep the grid of `params.yaml`: `python -m flows.sweep`."""

from flows.sweep.params import SweepParams
from flows.sweep.project import sweep_project
from stages.core.project import errors, layout, params


def main() -> None:
    """Sweep the grid of `params.yaml`."""
    variants = sweep_project(params.section("sweep", SweepParams), layout.SWEEP)
    print(f"{len(variants)} variants in {layout.SWEEP}")


if __name__ == "__main__":
    errors.run(main)
