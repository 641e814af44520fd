"""Run `edac folds` and `edac layers`."""

import argparse

from flows.studies import layers
from flows.studies.folds import runs
from stages.core.artifacts import dataset
from stages.core.nn import network
from stages.core.project import layout, params
from stages.core.project.errors import require
from stages.prune.params import PruneParams


def folds(given: argparse.Namespace) -> None:
    """Cross-validate, and print the table."""
    require(given.k == "all" or given.k.isdecimal(), "--k", "be a whole number or `all`", given.k)
    parts = 0 if given.k == "all" else int(given.k)
    by_group = parts if given.by == "group" else None
    print(runs.run(given.seeds, against=given.against, by_group=by_group, by_site=given.by == "site"))


def layer_sensitivity(given: argparse.Namespace) -> None:
    """Print what each layer's units cost and gain."""
    prune = params.section("prune", PruneParams)
    model, validation = network.load(layout.BASELINE), dataset.read_split(layout.FEATURES, "validation")
    rows = layers.sensitivity(model, validation, removed=given.removed, multiple=prune.unit_multiple)
    print(layers.table(rows))
