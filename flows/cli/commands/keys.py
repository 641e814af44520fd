"""`edac keys ...`: the key pair that signs releases."""

import argparse
from pathlib import Path

from flows.cli.arguments import Commands


def add(commands: Commands) -> None:
    """Add the commands."""
    keys = commands.add_parser("keys", help="make or show the key pair that signs releases")
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    new = actions.add_parser("new", help="make a key pair")
    new.add_argument("file", type=Path, metavar="FILE", help="file for the private key, outside the repository")
    new.set_defaults(run=_new)
    show = actions.add_parser("show", help="show the public key and its fingerprint")
    show.add_argument("file", type=Path, metavar="FILE", help="file of the private or the public key")
    show.set_defaults(run=_show)


def _new(given: argparse.Namespace) -> None:
    from stages.push import signing

    signing.new_key(given.file)
    _show(given)
    print(f"Keep {given.file} to yourself. `edac devices trust {given.file}.pub` makes devices trust it.")


def _show(given: argparse.Namespace) -> None:
    from stages.push import signing
    from stages.runtime import trust

    key = signing.public_key(given.file)
    print(f"public key   {trust.encode(key)}\nfingerprint  {trust.fingerprint(key)}")
