"""`edac folds` and `edac layers`: studies that run the pipeline, or parts of it, more than once."""

from flows.cli.arguments import Commands, action


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
    text = "fold: the publisher's, or the one split; group: parts of the groups, each tested once; site: leave out one "
    text += "recording site at a time and test it; default: fold"
    folds.add_argument("--by", choices=("fold", "group", "site"), default="fold", help=text)
    folds.add_argument(
        "--k", default="5", metavar="K", help="parts of the groups; `all` leaves out one group at a time; 5"
    )
    folds.set_defaults(run=action("studies.folds"))

    layers = commands.add_parser("layers", help="measure what each layer's units cost and gain, for prune.layers")
    layers.add_argument("--removed", type=float, default=0.5, metavar="F", help="fraction of the units; default: 0.5")
    layers.set_defaults(run=action("studies.layer_sensitivity"))
