"""`edac models` and `edac promote`: the registered versions of the model and their aliases."""

from flows.cli.arguments import Commands, action


def add(commands: Commands) -> None:
    """Add the commands."""
    models = commands.add_parser("models", help="list the registered versions, newest first")
    models.set_defaults(run=action("models.models"))
    promote = commands.add_parser("promote", help="move an alias to a registered version, after checks")
    promote.add_argument("version", metavar="VERSION|ALIAS", help="for example 3 or candidate")
    promote.add_argument("--to", default="champion", metavar="ALIAS", help="alias to move; default: champion")
    promote.add_argument("--force", action="store_true", help="also if it exceeds the budget or is worse")
    promote.set_defaults(run=action("models.promote"))
