"""`python -m stages.runtime classify FILE...|selftest|benchmark|info`: JSON lines to stdout."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.runtime import manifest, trust
from stages.runtime.audio import read_wav
from stages.runtime.benchmark import benchmark
from stages.runtime.classify import Classifier
from stages.runtime.errors import RuntimeInputError
from stages.runtime.selftest import selftest


def main() -> int:
    """Run one command and return the exit code: 1 after a mistake of the user's or a failed self-test."""
    arguments = _parser().parse_args()
    ok = True
    try:
        for answer in arguments.command(arguments):
            print(json.dumps(answer), flush=True)
            ok = ok and answer.get("ok", True)
    except RuntimeInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if ok else 1


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    here = Path(__file__).resolve().parents[2]
    common.add_argument("--folder", type=Path, default=here, help="the release; by default the one this code is of")
    parser = argparse.ArgumentParser(prog="python -m stages.runtime", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, function in (
        ("classify", _classify),
        ("selftest", _selftest),
        ("benchmark", _benchmark),
        ("info", _info),
    ):
        command = commands.add_parser(name, parents=[common])
        command.set_defaults(command=function)
        if name == "classify":
            command.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a WAV file")
        if name == "benchmark":
            command.add_argument("--threads", type=int, default=1)
            command.add_argument("--runs", type=int, default=200)
    on_device = argparse.ArgumentParser(add_help=False)
    on_device.add_argument("--device", type=Path, default=Path(), help="the device's folder; this one by default")
    accept = commands.add_parser("accept", parents=[common, on_device], help="check whether the device takes a release")
    accept.add_argument("--force", action="store_true", help="even if the device runs a newer version")
    accept.set_defaults(command=_accept)
    trusted = commands.add_parser(
        "trust", parents=[on_device], help="take releases signed with a key, no unsigned ones"
    )
    trusted.add_argument("key", help="the public key, base64")
    trusted.set_defaults(command=_trust)
    identify = commands.add_parser("identify", parents=[on_device], help="tell the device its name and class")
    identify.add_argument("--name", required=True)
    identify.add_argument("--class", required=True, dest="device_class", help="kind of device, such as raspberry-pi")
    identify.set_defaults(command=_identify)
    return parser


def _classify(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    classifier = Classifier(arguments.folder)
    for path in arguments.files:
        yield {"file": str(path)} | classifier.classify(*read_wav(path))


def _selftest(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    yield selftest(arguments.folder)


def _benchmark(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    yield benchmark(arguments.folder, threads=arguments.threads, runs=arguments.runs)


def _accept(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    yield trust.accept(arguments.folder, arguments.device, force=arguments.force)


def _trust(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    yield trust.add_key(arguments.device, arguments.key)


def _identify(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    yield trust.identify(arguments.device, arguments.name, arguments.device_class)


def _info(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    yield dataclasses.asdict(manifest.load(arguments.folder))


if __name__ == "__main__":
    sys.exit(main())
