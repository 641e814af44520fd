"""`edac list` and `edac show`: what there is to choose from, and what came out."""

from flows.cli.arguments import Commands, action


def add(commands: Commands) -> None:
    """Add the commands."""
    text = (
        "list sources, augmentations, frontends, architectures, teachers, criteria, schedules, schemes, ... with sizes"
    )
    listed = commands.add_parser("list", help=text)
    listed.add_argument("kind", metavar="KIND", help="such as architectures")
    listed.set_defaults(run=action("catalogue.list_choices"))
    show = commands.add_parser("show", help="show the variants of the last `dvc repro`, the best on validation first")
    show.add_argument("--most", type=int, default=20, metavar="N", help="variants shown; default: 20")
    show.set_defaults(run=action("catalogue.show"))
