"""`edac folds` and `edac layers`: studies that run the pipeline, or parts of it, more than once."""

import argparse

from flows.cli.arguments import Commands


def add(commands: Commands) -> None:
    """Add the commands."""
    folds = commands.add_parser("folds", help="cross-validate: run the pipeline per published fold, if any, and seed")
    folds.add_argument("--seeds", type=int, nargs="+", default=[1234], metavar="S", help="training seeds; 1234")
    folds.add_argument(
        "--against",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="parameters of a second run of every fold and seed, to compare with: distill.teacher=null, say",
    )
    folds.set_defaults(run=_folds)

    layers = commands.add_parser("layers", help="measure what each layer's units cost and gain, for prune.layers")
    layers.add_argument("--removed", type=float, default=0.5, metavar="F", help="fraction of the units; default: 0.5")
    layers.set_defaults(run=_layers)


def _folds(given: argparse.Namespace) -> None:
    from flows.studies.folds import runs

    print(runs.run(given.seeds, against=given.against))


def _layers(given: argparse.Namespace) -> None:
    from flows.studies import layers
    from stages.core.artifacts import dataset
    from stages.core.nn import network
    from stages.core.project import layout, params
    from stages.prune.params import PruneParams

    prune = params.section("prune", PruneParams)
    model, validation = network.load(layout.BASELINE), dataset.read_split(layout.FEATURES, "validation")
    rows = layers.sensitivity(model, validation, removed=given.removed, multiple=prune.unit_multiple)
    print(layers.table(rows))
