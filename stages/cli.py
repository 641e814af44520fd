"""The console command `edac`: what a person does by hand. The pipeline itself is `dvc repro`.

Every import is inside its command, so that `edac --help` answers at once.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core import errors

if TYPE_CHECKING:
    from stages.push.transport import Transport


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; ends the process with its exit code."""
    errors.run(lambda: _parse(arguments))


def _parse(arguments: Sequence[str] | None) -> int | None:
    parser = argparse.ArgumentParser(prog="edac", description="Look after the devices and this project's experiments.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    classify = commands.add_parser("classify", help="classify recordings as a device does")
    classify.add_argument("files", nargs="+", type=Path, metavar="FILE", help="WAV file")
    where = classify.add_mutually_exclusive_group()
    where.add_argument("--device", metavar="NAME", help="of push.devices; the first local one if not given")
    where.add_argument("--folder", type=Path, metavar="F", help="a release's folder")
    classify.set_defaults(run=_classify)

    devices = commands.add_parser("devices", help="show what every device runs, and whether it passes its self-test")
    devices.set_defaults(run=_devices)

    rollback = commands.add_parser("rollback", help="return a device to the release before its current one")
    rollback.add_argument("name", metavar="NAME", help="of push.devices")
    rollback.set_defaults(run=_rollback)

    preset = commands.add_parser("preset", help="list the published experiments, or put one into params.yaml")
    preset.add_argument("name", nargs="?", metavar="NAME")
    preset.add_argument("--force", action="store_true", help="overwrite a params.yaml of your own")
    preset.set_defaults(run=_preset)

    check = commands.add_parser("check", help="check every parameter in params.yaml")
    check.set_defaults(run=_check)

    given = parser.parse_args(arguments)
    return given.run(given)


def _classify(given: argparse.Namespace) -> None:
    from stages.push import rollout
    from stages.push.transports import local

    paths = [str(path.absolute()) for path in given.files]
    if given.folder is None:
        answers = rollout.classify(_transport(given.device), paths)
    else:
        answers = rollout.classify(local.connect(local.Config(given.folder), str(given.folder)), paths, folder=".")
    for answer in answers:
        print(json.dumps(answer))


def _devices(_: argparse.Namespace) -> int:
    from stages.core import params
    from stages.push import rollout
    from stages.push.params import PushParams, devices

    rows = []
    for device in devices(params.section("push", PushParams)):
        status = rollout.status(device.module.connect(device.config, device.name))
        rows.append((device.name, status.release, status.variant, status.model_sha256[:12], status.health))
    table = [("device", "release", "variant", "model", "health"), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)))
    return int(any(row[-1] != "healthy" for row in rows))


def _rollback(given: argparse.Namespace) -> None:
    from stages.push import rollout

    print(f"{given.name}: back on release {rollout.rollback(_transport(given.name))}")


def _transport(name: str | None) -> "Transport":
    from stages.core import params
    from stages.push.params import PushParams, devices

    known = devices(params.section("push", PushParams))
    for device in known:
        if device.name == name or (name is None and device.transport == "local"):
            return device.module.connect(device.config, device.name)
    wanted = "no local device" if name is None else f"no device {name!r}"
    raise errors.ParameterError(f"push.devices has {wanted}. {params.known(name or '', [d.name for d in known])}")


def _preset(given: argparse.Namespace) -> None:
    from importlib import resources

    from stages.core import files, params

    folder = resources.files("stages.presets")
    presets = {Path(p.name).stem: p.read_text() for p in folder.iterdir() if p.name.endswith(".yaml")}
    if given.name is None:
        for known, text in sorted(presets.items()):
            print(f"{known:16} {text.splitlines()[0].lstrip('# ')}")
        return
    if given.name not in presets:
        raise errors.ParameterError(f"There is no preset {given.name!r}. {params.known(given.name, presets)}")
    target = params.PARAMS_FILE
    if target.exists() and target.read_text() not in presets.values() and not given.force:
        raise errors.ParameterError(
            f"{target} holds changes of your own. Save it elsewhere, or add --force to lose them."
        )
    files.write_text(target, presets[given.name])
    print(f"{target} is now the preset {given.name}; `dvc repro` runs it")


def _check(_: argparse.Namespace) -> None:
    from flows import check
    from stages.core import params

    check.check()
    print(f"{params.PARAMS_FILE} is valid")


if __name__ == "__main__":
    main()
