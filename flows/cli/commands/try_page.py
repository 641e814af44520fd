"""`edac try`: the classifier in this machine's browser."""

from pathlib import Path

from flows.cli.arguments import Commands, action


def add(commands: Commands) -> None:
    """Add the command."""
    tried = commands.add_parser("try", help="try the classifier in the browser: record, listen, drop files")
    which = tried.add_mutually_exclusive_group()
    which.add_argument(
        "--alias", default="champion", help="alias or version of the registered model; default: champion"
    )
    which.add_argument("--folder", type=Path, metavar="F", help="folder of a release, or models/selected")
    which.add_argument("--device", metavar="NAME", help="what a local device or page in push.devices runs")
    tried.add_argument("--port", type=int, default=0, help="port on this machine; default: any that is free")
    tried.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    tried.set_defaults(run=action("try_page.try_page"))
