"""Run `edac tune`."""

import argparse

from flows.tune import run
from flows.tune.params import TuneParams, seconds


def tune(given: argparse.Namespace) -> None:
    """Search, and print what was found."""
    settings = TuneParams(
        budget_s=seconds(given.budget), candidates=given.candidates, parts=given.parts, seed=given.seed
    )
    print(run.tune(settings, write=given.write))
