"""Run `edac list` and `edac show`."""

import argparse

from flows.start import catalogue
from stages.core.artifacts import selection
from stages.core.project import errors, layout


def list_choices(given: argparse.Namespace) -> None:
    """Print what there is to choose from of one kind."""
    print(catalogue.catalogue(given.kind))


def show(given: argparse.Namespace) -> None:
    """Print the variants of the last run of the pipeline."""
    print(catalogue.variants(layout.EVALUATION, layout.NAIVE, most=given.most))
    if refused := selection.refusal(layout.SELECTED):
        errors.warning(refused.sentence)
