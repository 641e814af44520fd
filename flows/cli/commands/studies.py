"""`edac folds` and `edac layers`: studies that run the pipeline, or parts of it, more than once."""

import argparse

from flows.cli.arguments import Commands
from stages.core.project.errors import require


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
    text = "fold: the publisher's, or the one split; group: parts of the groups, each tested once; default: fold"
    folds.add_argument("--by", choices=("fold", "group"), default="fold", help=text)
    folds.add_argument(
        "--k", default="5", metavar="K", help="parts of the groups; `all` leaves out one group at a time; 5"
    )
    folds.set_defaults(run=_folds)

    layers = commands.add_parser("layers", help="measure what each layer's units cost and gain, for prune.layers")
    layers.add_argument("--removed", type=float, default=0.5, metavar="F", help="fraction of the units; default: 0.5")
    layers.set_defaults(run=_layers)


def _folds(given: argparse.Namespace) -> None:
    from flows.studies.folds import runs

    require(given.k == "all" or given.k.isdecimal(), "--k", "be a whole number or `all`", given.k)
    parts = 0 if given.k == "all" else int(given.k)
    print(runs.run(given.seeds, against=given.against, by_group=parts if given.by == "group" else None))


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
