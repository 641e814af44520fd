"""`edac check` and `edac preset`: the file `params.yaml`."""

from flows.cli.arguments import Commands, action


def add(commands: Commands) -> None:
    """Add the commands."""
    check = commands.add_parser("check", help="check every parameter in params.yaml")
    check.set_defaults(run=action("parameters.check_all"))
    preset = commands.add_parser("preset", help="list the published experiments, or put one into params.yaml")
    preset.add_argument("name", nargs="?", metavar="NAME")
    preset.add_argument("--force", action="store_true", help="overwrite a params.yaml of your own")
    preset.set_defaults(run=action("parameters.preset"))
