"""The console command `edac`: what a person does by hand. The pipeline itself is `dvc repro`.

Every import is inside its command, so that `edac --help` answers at once.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core.project import errors

if TYPE_CHECKING:
    from stages.push.params import Device, PushParams
    from stages.push.transport import Transport
    from stages.report.paper import Paper
    from stages.report.results import Results


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; ends the process with its exit code."""

    def run() -> int | None:
        given = parser().parse_args(arguments)
        return given.run(given)

    errors.run(run)


def parser() -> argparse.ArgumentParser:
    """Return what knows every command."""
    parser = argparse.ArgumentParser(prog="edac", description="Look after the devices and this project's experiments.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    which = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for kind in ("name", "group", "label"):
        which.add_argument(f"--{kind}", action="append", metavar=kind[0].upper(), help=f"only devices of this {kind}")

    classify = commands.add_parser("classify", help="classify recordings as a device does")
    classify.add_argument("files", nargs="+", type=Path, metavar="FILE", help="WAV file")
    where = classify.add_mutually_exclusive_group()
    where.add_argument("--device", metavar="NAME", help="of push.devices; the first local one if not given")
    where.add_argument("--folder", type=Path, metavar="F", help="a release's folder")
    classify.set_defaults(run=_classify)

    push = argparse.ArgumentParser(add_help=False)
    push.add_argument("--alias", default="champion", help="of the registered model; champion if not given")
    push.add_argument("--force", action="store_true", help="also where a newer version runs")
    push.set_defaults(run=_push)
    commands.add_parser("push", parents=[which, push], help="bring devices to the registered model with an alias")

    devices = commands.add_parser("devices", parents=[which], help="look after the devices; show their status")
    devices.set_defaults(run=_status, verbose=False)
    actions = devices.add_subparsers(metavar="ACTION")
    status = actions.add_parser("status", parents=[which], help="what each runs, and whether it passes its self-test")
    status.add_argument("--verbose", action="store_true", help="how far its golden scores are from those at home")
    status.set_defaults(run=_status)
    actions.add_parser("push", parents=[which, push], help="as `edac push`")
    back = actions.add_parser("rollback", parents=[which], help="return them to the release before their current one")
    back.set_defaults(run=_roll_back)
    bench = actions.add_parser("bench", parents=[which], help="have them measure what they run, for MLflow too")
    bench.add_argument("--runs", type=int, default=200, help="timed runs; 200 if not given")
    bench.set_defaults(run=_bench)
    setup = actions.add_parser("setup", parents=[which], help="give them the runtime, or a newer one, and their class")
    setup.set_defaults(run=_set_up)
    trust = actions.add_parser("trust", parents=[which], help="have them take only releases signed with trusted keys")
    trust.add_argument("key", type=Path, metavar="KEY", help="file of the public key, one more to trust")
    trust.set_defaults(run=_trust)

    keys = commands.add_parser("keys", help="make the key pair that signs releases")
    key_actions = keys.add_subparsers(required=True, metavar="ACTION")
    new = key_actions.add_parser("new", help="make a key pair")
    new.add_argument("file", type=Path, metavar="FILE", help="for the private key, outside the repository")
    new.set_defaults(run=_new_key)
    show = key_actions.add_parser("show", help="show the public key and its fingerprint")
    show.add_argument("file", type=Path, metavar="FILE", help="of the private key or the public one")
    show.set_defaults(run=_show_key)

    models = commands.add_parser("models", help="list the registered versions, the newest first")
    models.set_defaults(run=_models)
    promote = commands.add_parser("promote", help="move an alias to a registered version, after checks")
    promote.add_argument("version", metavar="VERSION|ALIAS", help="such as 3 or candidate")
    promote.add_argument("--to", default="champion", metavar="ALIAS", help="the alias; champion if not given")
    promote.add_argument("--force", action="store_true", help="also beyond the budget or if it is worse")
    promote.set_defaults(run=_promote)

    rollback = commands.add_parser("rollback", help="return a device to the release before its current one")
    rollback.add_argument("name", metavar="NAME", help="of push.devices")
    rollback.set_defaults(run=_rollback)

    preset = commands.add_parser("preset", help="list the published experiments, or put one into params.yaml")
    preset.add_argument("name", nargs="?", metavar="NAME")
    preset.add_argument("--force", action="store_true", help="overwrite a params.yaml of your own")
    preset.set_defaults(run=_preset)

    source = argparse.ArgumentParser(add_help=False)
    source.add_argument("model", metavar="MODEL", help="of EDAC's paper: edac-cnn, edac-cnn-lstm")
    source.add_argument("--sweep", metavar="S", help="name or run id; the newest of the model if not given")
    source.add_argument("--experiment", metavar="E", help="of MLflow; select.registered_name if not given")
    source.add_argument("--tracking-uri", metavar="U", help="of MLflow; MLFLOW_TRACKING_URI or mlruns/ if not given")
    table = commands.add_parser(
        "table",
        parents=[source],
        help="a paper's tables from sweeps in MLflow; MODEL mou: 1-5; distillation: of the last `dvc repro`",
    )
    table.add_argument("--format", choices=("markdown", "csv"), default="markdown")
    table.add_argument("--margin", type=float, default=0.02, help="of validation AUC for the pick; 0.02 if not given")
    table.set_defaults(run=_table)
    figures = commands.add_parser("figures", parents=[source], help="the paper's Figures 1, 2, 5 and 6 likewise")
    figures.add_argument("--to", type=Path, default=Path("data/figures"), metavar="FOLDER", help="data/figures")
    figures.add_argument("--format", choices=("png", "svg"), default="png")
    figures.set_defaults(run=_figures)

    folds = commands.add_parser("folds", help="cross-validate: the pipeline per published fold, if any, and seed")
    folds.add_argument("--seeds", type=int, nargs="+", default=[1234], metavar="S", help="of training; 1234")
    folds.add_argument(
        "--against",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="parameters of a second run of every fold and seed, to compare with: distill.teacher=null, say",
    )
    folds.set_defaults(run=_folds)

    layers = commands.add_parser("layers", help="what half of each layer's units cost and are worth, for prune.layers")
    layers.add_argument("--removed", type=float, default=0.5, metavar="F", help="fraction of the units; 0.5")
    layers.set_defaults(run=_layers)

    check = commands.add_parser("check", help="check every parameter in params.yaml")
    check.set_defaults(run=_check)

    return parser


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


def _chosen(given: argparse.Namespace) -> "tuple[PushParams, list[Device]]":
    from stages.core.project import params
    from stages.push.params import PushParams, choose, devices

    section = params.section("push", PushParams)
    wanted = {f"{kind}s": getattr(given, kind, ()) for kind in ("name", "group", "label")}
    return section, choose(devices(section), **wanted)


def _status(given: argparse.Namespace) -> int:
    from stages.push import fleet, rollout

    section, devices = _chosen(given)
    answers = fleet.ask(devices, lambda device: rollout.status(device.connect()), parallel=section.rollout.parallel)
    rows, told = [], []
    for device, found in zip(devices, answers, strict=True):
        status = rollout.Status("", "", "", str(found)) if isinstance(found, errors.DeviceError) else found
        rows.append(
            (device.name, status.release, status.variant, status.model_sha256[:12], status.signed_by, status.health)
        )
        told += [(device.name, file, f"{value:.2g}") for file, value in status.differences.items()]
    print(fleet.table(("device", "release", "variant", "model", "signed by", "health"), rows))
    if given.verbose:
        print("\n" + fleet.table(("device", "recording", "largest difference of a score from home's"), told))
    return int(any(row[-1] != "healthy" for row in rows))


def _push(given: argparse.Namespace) -> None:
    from stages.core.project import layout, params
    from stages.core.tracking import tracker as tracking
    from stages.push import fleet
    from stages.select.params import SelectParams

    section, devices = _chosen(given)
    name = params.section("select", SelectParams).registered_name
    tracker = tracking.connect(layout.MLRUNS, name)
    fleet.show(fleet.push_registered(devices, tracker, name, given.alias, params=section, force=given.force))


def _bench(given: argparse.Namespace) -> int:
    from stages.core.project import layout, params
    from stages.core.tracking import tracker as tracking
    from stages.push.measure import measure
    from stages.select.params import SelectParams

    _, devices = _chosen(given)
    name = params.section("select", SelectParams).registered_name
    table, failed = measure(devices, tracking.connect(layout.MLRUNS, name), name, runs=given.runs)
    print(table)
    return int(bool(failed))


def _roll_back(given: argparse.Namespace) -> int:
    from stages.push import rollout

    if not any(hasattr(given, kind) for kind in ("name", "group", "label")):
        raise errors.ParameterError("A rollback must name its devices; got none. Add --name, --group or --label.")
    return _each(given, lambda device: f"back on release {rollout.rollback(device.connect())}")


def _set_up(given: argparse.Namespace) -> int:
    import tempfile

    from stages.core.project import layout
    from stages.push import identity, setup, wheels

    def set_up(device: "Device") -> str:
        transport = device.connect()
        changed = setup.set_up(transport, wheel, cache=layout.WHEELS)
        identity.identify(transport, device.name, device.device_class)
        return f"{'set up' if changed else 'was set up already'}, class {device.device_class}"

    with tempfile.TemporaryDirectory() as folder:
        wheel = wheels.runtime_wheel(Path(folder))
        return _each(given, set_up)


def _trust(given: argparse.Namespace) -> int:
    from stages.push import identity, signing

    key = signing.public_key(given.key)
    return _each(given, lambda device: f"trusts {', '.join(identity.trust_key(device.connect(), key))}")


def _each(given: argparse.Namespace, do: "Callable[[Device], str]") -> int:
    """Do something to every device that was asked for, and print one line for each."""
    from stages.push import fleet

    section, devices = _chosen(given)
    answers = fleet.ask(devices, do, parallel=section.rollout.parallel)
    for device, answer in zip(devices, answers, strict=True):
        print(f"{device.name}: {answer}")
    return int(any(isinstance(answer, errors.DeviceError) for answer in answers))


def _new_key(given: argparse.Namespace) -> None:
    from stages.push import signing

    signing.new_key(given.file)
    _show_key(given)
    print(f"Keep {given.file} to yourself. `edac devices trust {given.file}.pub` makes devices trust it.")


def _show_key(given: argparse.Namespace) -> None:
    from stages.push import signing
    from stages.runtime import trust

    key = signing.public_key(given.file)
    print(f"public key   {trust.encode(key)}\nfingerprint  {trust.fingerprint(key)}")


def _models(_: argparse.Namespace) -> None:
    from stages.core.project import layout, params
    from stages.core.tracking import tracker as tracking
    from stages.push import fleet
    from stages.select import describe
    from stages.select.params import SelectParams

    name = params.section("select", SelectParams).registered_name
    rows = [describe.row(each) for each in tracking.find(layout.MLRUNS, experiment=name).versions(name)]
    print(fleet.table(describe.COLUMNS, rows) if rows else f"{name} has no version yet; `dvc repro` registers one")


def _promote(given: argparse.Namespace) -> None:
    from stages.core.project import layout, params
    from stages.core.tracking import tracker as tracking
    from stages.select import register
    from stages.select.params import SelectParams

    section = params.section("select", SelectParams)
    name = section.registered_name
    tracker = tracking.find(layout.MLRUNS, experiment=name)
    version = register.promote(tracker, given.version, to=given.to, params=section, force=given.force)
    print(f"{name} version {version} is {given.to} now")


def _rollback(given: argparse.Namespace) -> None:
    from stages.push import rollout

    print(f"{given.name}: back on release {rollout.rollback(_transport(given.name))}")


def _transport(name: str | None) -> "Transport":
    from stages.core.project import params
    from stages.push.params import PushParams, devices

    known = devices(params.section("push", PushParams))
    for device in known:
        if device.name == name or (name is None and device.transport == "local"):
            return device.module.connect(device.config, device.name)
    wanted = "no local device" if name is None else f"no device {name!r}"
    raise errors.ParameterError(f"push.devices has {wanted}. {params.known(name or '', [d.name for d in known])}")


def _preset(given: argparse.Namespace) -> None:
    from importlib import resources

    from stages.core.project import files, params

    folder = resources.files("stages.presets")
    presets = {Path(p.name).stem: p.read_text() for p in folder.iterdir() if p.name.endswith(".yaml")}
    if given.name is None:
        for known, text in sorted(presets.items()):
            print(f"{known:22} {text.splitlines()[0].lstrip('# ')}")
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


def _results(given: argparse.Namespace) -> "tuple[Results, Paper]":
    from stages.core.project import layout, params
    from stages.core.tracking import tracker as tracking
    from stages.report import paper, results
    from stages.select.params import SelectParams

    published = paper.read()
    published.of(given.model)
    experiment = given.experiment or params.section("select", SelectParams).registered_name
    tracker = tracking.find(layout.MLRUNS, uri=given.tracking_uri, experiment=experiment)
    return results.read(tracker, architecture=given.model.replace("-", "_"), sweep=given.sweep), published


def _table(given: argparse.Namespace) -> None:
    if given.model in ("mou", "distillation"):
        (_table_of_mou if given.model == "mou" else _table_of_distillation)(given)
        return
    from stages.report import table

    found, paper = _results(given)
    if given.format == "csv":
        print(table.as_csv(found, paper, given.model), end="")
    else:
        print(table.markdown(found, paper, given.model, margin=given.margin), end="")


def _table_of_mou(given: argparse.Namespace) -> None:
    from stages.core.project import layout
    from stages.core.tracking import tracker as tracking
    from stages.report import mou

    where, uri = layout.MLRUNS, given.tracking_uri
    one = given.experiment
    trackers = [tracking.find(where, uri=uri, experiment=one)] if one else tracking.find_all(where, uri=uri)
    paper = mou.read()
    told = mou.as_csv if given.format == "csv" else mou.markdown
    print(told(paper, mou.collect(trackers, paper)), end="")


def _table_of_distillation(given: argparse.Namespace) -> None:
    from stages.core.project import layout
    from stages.report import distillation

    folders = distillation.Folders(layout.TEACHER, layout.FEATURES, layout.SWEEP, layout.EVALUATION)
    rows, n = distillation.collect(folders)
    table = (
        distillation.as_csv(rows) if given.format == "csv" else distillation.markdown(rows, n, distillation.published())
    )
    print(table, end="")


def _figures(given: argparse.Namespace) -> None:
    from stages.report import figures

    found, paper = _results(given)
    for path in figures.save(found, paper, given.model, given.to, suffix=given.format):
        print(path)


def _folds(given: argparse.Namespace) -> None:
    from flows.studies.folds import runs as folds

    print(folds.run(given.seeds, against=given.against))


def _layers(given: argparse.Namespace) -> None:
    from flows.studies import layers as sensitivity
    from stages.core.artifacts import dataset
    from stages.core.nn import network
    from stages.core.project import layout, params
    from stages.prune.params import PruneParams

    prune = params.section("prune", PruneParams)
    model, validation = network.load(layout.BASELINE), dataset.read_split(layout.FEATURES, "validation")
    rows = sensitivity.sensitivity(model, validation, removed=given.removed, multiple=prune.unit_multiple)
    print(sensitivity.table(rows))


def _check(_: argparse.Namespace) -> None:
    from flows import check
    from stages.core.project import params

    check.check()
    print(f"{params.PARAMS_FILE} is valid")


if __name__ == "__main__":
    main()
