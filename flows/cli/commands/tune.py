"""`edac tune`: a search over recipes and widths."""

from flows.cli.arguments import Commands, action


def add(commands: Commands) -> None:
    """Add the command."""
    tune = commands.add_parser("tune", help="search for a better recipe, by cross-validation over training groups")
    tune.add_argument("--budget", default="30m", metavar="T", help="time of all trainings, such as 90s or 2h; 30m")
    tune.add_argument("--parts", type=int, default=4, metavar="K", help="parts of the training side's groups; 4")
    tune.add_argument(
        "--candidates", type=int, metavar="N", help="most that are tried; default: what the budget allows"
    )
    tune.add_argument("--seed", type=int, default=1, metavar="S", help="seed of the search; 1")
    tune.add_argument("--write", action="store_true", help="write what beats the recipe into params.yaml")
    tune.set_defaults(run=action("tune.tune"))
