"""`edac keys ...`: the key pair that signs releases."""

from pathlib import Path

from flows.cli.arguments import Commands, action


def add(commands: Commands) -> None:
    """Add the commands."""
    keys = commands.add_parser("keys", help="make or show the key pair that signs releases")
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    new = actions.add_parser("new", help="make a key pair")
    new.add_argument("file", type=Path, metavar="FILE", help="file for the private key, outside the repository")
    new.set_defaults(run=action("keys.new"))
    show = actions.add_parser("show", help="show the public key and its fingerprint")
    show.add_argument("file", type=Path, metavar="FILE", help="file of the private or the public key")
    show.set_defaults(run=action("keys.show"))
