"""`edac push`, `edac devices ...` and `edac classify`: what runs on the devices."""

import argparse
from pathlib import Path

from flows.cli.arguments import Commands, action, device_filters


def add(commands: Commands) -> None:
    """Add the commands."""
    filters, push = device_filters(), _push_arguments()
    classify = commands.add_parser("classify", help="classify recordings as a device does")
    classify.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="recordings of any format, or folders of them; WAV on a remote device",
    )
    where = classify.add_mutually_exclusive_group()
    where.add_argument("--device", metavar="NAME", help="name in push.devices; default: the first local one")
    where.add_argument("--folder", type=Path, metavar="F", help="folder of a release")
    classify.set_defaults(run=action("classify.classify"))

    commands.add_parser("push", parents=[filters, push], help="bring devices to the registered model with an alias")

    devices = commands.add_parser("devices", parents=[filters], help="look after the devices; show their status")
    devices.set_defaults(run=action("devices.status"), verbose=False)
    given = devices.add_subparsers(metavar="ACTION")
    status = given.add_parser("status", parents=[filters], help="show each device's release and self-test")
    status.add_argument("--verbose", action="store_true", help="also differences of its golden scores from home's")
    status.set_defaults(run=action("devices.status"))
    back = given.add_parser("rollback", parents=[filters], help="return devices to their release before")
    back.set_defaults(run=action("devices.roll_back"))
    bench = given.add_parser("bench", parents=[filters], help="measure releases on devices; logs to MLflow")
    bench.add_argument("--runs", type=int, default=200, help="timed runs; default: 200")
    bench.set_defaults(run=action("push.bench"))
    setup = given.add_parser("setup", parents=[filters], help="install or update the runtime, and set the class")
    setup.set_defaults(run=action("devices.set_up"))
    trust = given.add_parser("trust", parents=[filters], help="make devices accept only releases signed with a key")
    trust.add_argument("key", type=Path, metavar="KEY", help="file of the public key; added to those trusted already")
    trust.set_defaults(run=action("devices.trust_key"))
    distrust = given.add_parser("distrust", parents=[filters], help="make devices stop trusting a key")
    distrust.add_argument("key", metavar="KEY", help="file of the key, or its fingerprint")
    distrust.set_defaults(run=action("devices.distrust_key"))
    listed = given.add_parser("keys", parents=[filters], help="list the keys that each device trusts")
    listed.set_defaults(run=action("devices.list_keys"))

    # Old spellings; a subparser without `help` is not listed.
    old_push = given.add_parser("push", parents=[filters, push])
    old_push.set_defaults(run=action("push.push_in_old_spelling"))
    old_rollback = commands.add_parser("rollback")
    old_rollback.add_argument("name", metavar="NAME", help="name in push.devices")
    old_rollback.set_defaults(run=action("devices.roll_back_in_old_spelling"))


def _push_arguments() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--alias", default="champion", help="alias of the registered model; default: champion")
    parent.add_argument("--force", action="store_true", help="also replace a newer version")
    parent.set_defaults(run=action("push.push"))
    return parent
