"""Run `edac keys ...`."""

import argparse

from stages.push import signing
from stages.runtime import trust


def new(given: argparse.Namespace) -> None:
    """Make a key pair and print the public key."""
    signing.new_key(given.file)
    show(given)
    print(f"Keep {given.file} to yourself. `edac devices trust {given.file}.pub` makes devices trust it.")


def show(given: argparse.Namespace) -> None:
    """Print a public key and its fingerprint."""
    key = signing.public_key(given.file)
    print(f"public key   {trust.encode(key)}\nfingerprint  {trust.fingerprint(key)}")
