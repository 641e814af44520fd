"""The console command `edac`, as a person uses it."""

import argparse
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli import actions, main
from stages.core.project import files
from stages.core.project.errors import DeviceError
from stages.core.project.provenance import ROOT
from stages.push.params import Device
from stages.push.rollout import Status
from stages.push.transport import Transport
from tests.console import edac
from tests.messages import line_with

PARAMS = """\
push:
  devices:
    - {name: attic, transport: local, folder: devices/attic, group: house, labels: [roof]}
    - {name: cellar, transport: local, folder: devices/cellar, group: house}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


@pytest.fixture
def release(project: Path) -> Path:
    """A release whose runtime says what it was asked, current on the device `attic`."""
    folder = project / "devices/attic/releases/0001-0123456789ab"
    files.write_text(folder / "stages/__init__.py", "")
    files.write_text(folder / "stages/runtime/__init__.py", "")
    script = "import json, os, sys\nprint(json.dumps({'asked': sys.argv[1:], 'in': os.getcwd()}))\n"
    files.write_text(folder / "stages/runtime/__main__.py", script)
    (project / "devices/attic/current").symlink_to("releases/0001-0123456789ab")
    return folder


def test_help_imports_next_to_nothing() -> None:
    script = """
import sys
from flows.cli import actions, main
try:
    main.main(["--help"])
except SystemExit as ended:
    assert ended.code == 0
heavy = {"numpy", "tensorflow", "prefect", "mlflow", "ruamel", "ai_edge_litert", "soundfile", "subprocess"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed = set(re.findall(r"^ {4}([a-z]+)", done.stdout, re.MULTILINE))
    assert {"classify", "push", "devices", "keys", "models", "promote", "check", "preset", "table", "folds"} <= listed


def test_every_command_runs_a_function_that_exists() -> None:
    """A command names its function in a string, so that the function's file is imported on use."""

    def runs(parser: argparse.ArgumentParser) -> Iterator[str]:
        if run := parser.get_default("run"):
            yield run.__name__
        for one in parser._actions:
            if isinstance(one, argparse._SubParsersAction):
                for inner in one.choices.values():
                    yield from runs(inner)

    named = {name.partition(".")[::2] for name in runs(main.parser())}
    modules = {module: importlib.import_module(f"flows.cli.actions.{module}") for module, _ in named}
    assert {f"{module}.{name}" for module, name in named if not callable(getattr(modules[module], name, None))} == set()
    assert {file.name for file in pkgutil.iter_modules(actions.__path__)} == set(modules)


@pytest.mark.parametrize("where", [(), ("--device", "attic"), ("--folder", "devices/attic/current")])
def test_classify_runs_the_runtime_of_the_release(
    release: Path, capsys: pytest.CaptureFixture[str], where: tuple[str, ...]
) -> None:
    assert edac("classify", "a.wav", "b/c.wav", *where) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["asked"] == ["classify", str(Path("a.wav").absolute()), str(Path("b/c.wav").absolute())]
    assert answer["in"] == str(release)


def test_classify_before_the_first_push(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert edac("classify", "a.wav") == 1
    assert "has no " in (said := capsys.readouterr().err)
    assert "Push a release to it first." in said


def test_unknown_device(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert edac("classify", "a.wav", "--device", "atic") == 1
    expected = "error: push.devices has no device 'atic'. Did you mean 'attic'? Known: attic, cellar.\n"
    assert capsys.readouterr().err == expected


def test_no_local_device(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "params.yaml").write_text("push: {devices: []}")
    assert edac("classify", "a.wav") == 1
    assert "push.devices has no local device." in capsys.readouterr().err


def test_devices_shows_one_line_each_and_fails_unless_all_are_healthy(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {
        "attic": Status(
            "0123456789ab",
            "constant-s0.90-float16-seed1234",
            "f" * 64,
            "healthy",
            {},
            "unsigned",
            3,
            7 * 2**20,
            "level",
        ),
        "cellar": Status("", "", "", "holds no release"),
    }
    monkeypatch.setattr("stages.push.rollout.status", lambda transport: found[transport.name])
    assert edac("devices") == 1
    header, attic, cellar = capsys.readouterr().out.splitlines()
    head = ["device", "release", "variant", "model", "signed", "by", "free", "last", "heard", "of", "drift", "health"]
    assert header.split() == head
    variant = "constant-s0.90-float16-seed1234"
    shown = ["attic", "0123456789ab", variant, "f" * 12, "unsigned", "7", "MiB", "now", "level", "healthy"]
    assert attic.split() == shown
    assert cellar.split() == ["cellar", "0", "MiB", "now", "holds", "no", "release"]
    assert header.index("health") == attic.index("healthy") == cellar.index("holds")
    found["cellar"] = found["attic"]
    assert edac("devices") == 0


def test_status_of_some_and_more_of_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    differences = {"golden/0.wav": 0.0123, "golden/1.wav": 0.0}
    found = Status("0123456789ab", "v", "f" * 64, "healthy", differences)
    monkeypatch.setattr("stages.push.rollout.status", lambda _: found)
    for arguments in (("--label", "roof", "status"), ("status", "--group", "house", "--name", "attic"), ("status",)):
        assert edac("devices", *arguments) == 0
        names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
        assert names == (["attic", "cellar"] if arguments == ("status",) else ["attic"])
    assert edac("devices", "status", "--verbose", "--name", "attic") == 0
    *_, head, first, second = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["device", "recording"]
    assert first.split() == ["attic", "golden/0.wav", "0.012"]
    assert second.split() == ["attic", "golden/1.wav", "0"]
    assert edac("devices", "status", "--group", "hose") == 1
    assert line_with(capsys.readouterr().err, "push.devices", "group 'hose'", "'house'")


def test_a_device_out_of_reach_is_a_line_of_the_table(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def status(transport: Transport) -> Status:
        if transport.name == "attic":
            raise DeviceError("Device attic cannot be reached.")
        return Status("0123456789ab", "v", "f" * 64, "healthy")

    monkeypatch.setattr("stages.push.rollout.status", status)
    assert edac("devices") == 1
    _, attic, cellar = capsys.readouterr().out.splitlines()
    assert attic.split(maxsplit=2) == ["attic", "never", "Device attic cannot be reached."]
    assert cellar.split()[-1] == "healthy"


def test_rollback_of_many_must_name_them(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rollback(transport: Transport) -> str:
        if transport.name == "cellar":
            raise DeviceError("Device cellar keeps no earlier release to return to.")
        return "0123456789ab"

    monkeypatch.setattr("stages.push.rollout.rollback", rollback)
    assert edac("devices", "rollback") == 1
    assert line_with(capsys.readouterr().err, "got none", "--name, --group or --label")
    assert edac("devices", "rollback", "--name", "attic") == 0
    assert capsys.readouterr().out == "attic: back on release 0123456789ab\n"
    assert edac("devices", "rollback", "--group", "house") == 1
    assert line_with(capsys.readouterr().out.splitlines()[1], "cellar: ", "no earlier release")


def test_setup_gives_the_runtime_and_says_what_each_device_is(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []

    def set_up(transport: Transport, runtime: Path, *, cache: Path) -> bool:
        assert runtime.is_file()
        return transport.name == "attic"

    monkeypatch.setattr("stages.push.setup.set_up", set_up)
    monkeypatch.setattr("stages.push.identity.identify", lambda _, *what: told.append(what))
    (project / "params.yaml").write_text(PARAMS.replace("labels: [roof]", "class: jetson"))
    assert edac("devices", "setup") == 0
    attic, cellar = capsys.readouterr().out.splitlines()
    assert attic == "attic: set up, class jetson"
    assert line_with(cellar, "cellar: ", "already", "class any")
    assert sorted(told) == [("attic", "jetson"), ("cellar", "any")]


def test_the_old_spelling_of_rollback_works_with_a_notice_and_is_not_listed(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stages.push.rollout.rollback", lambda transport: f"of {transport.name}")
    assert edac("rollback", "cellar") == 0
    said = capsys.readouterr()
    assert said.out == "cellar: back on release of cellar\n"
    assert line_with(said.err, "notice: `edac rollback NAME`", "`edac devices rollback --name NAME`")
    assert len(said.err.splitlines()) == 1
    assert edac("--help") == 0
    assert "rollback" not in capsys.readouterr().out


def test_the_old_spelling_of_push_works_with_a_notice_and_is_not_listed(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed: list[list[str]] = []
    monkeypatch.setattr("flows.cli.registry.connect", lambda: None)
    monkeypatch.setattr("stages.push.fleet.show", lambda _: None)

    def push_registered(devices: list[Device], _tracker: None, name: str, alias: str, **_: object) -> None:
        pushed.append([*(device.name for device in devices), name, alias])

    monkeypatch.setattr("stages.push.fleet.push_registered", push_registered)
    assert edac("push", "--label", "roof", "--alias", "candidate") == 0
    assert capsys.readouterr().err == ""
    assert edac("devices", "push", "--label", "roof", "--alias", "candidate") == 0
    assert line_with(capsys.readouterr().err, "notice: `edac devices push`", "`edac push`")
    assert pushed[0] == pushed[1] == ["attic", "edac", "candidate"]
    assert edac("devices", "--help") == 0
    assert "push  " not in capsys.readouterr().out


@pytest.fixture
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Two presets of our own in place of the published ones."""
    texts = {"demo": "# The embedded default.\npull: {}\n", "other": "# Another experiment.\npull: {source: x}\n"}
    folder = tmp_path / "presets"
    for name, text in texts.items():
        files.write_text(folder / f"{name}.yaml", text)
    files.write_text(folder / "__init__.py", "")
    monkeypatch.setattr("importlib.resources.files", lambda _: folder)
    return texts


def test_presets_are_listed_with_their_first_line(
    project: Path, presets: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert edac("preset") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split(maxsplit=1) == ["demo", "The embedded default."]
    assert second.split(maxsplit=1) == ["other", "Another experiment."]
    assert (project / "params.yaml").read_text() == PARAMS


def test_a_preset_replaces_a_preset_but_not_a_file_of_ones_own(
    project: Path, presets: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    target = project / "params.yaml"
    assert edac("preset", "demo") == 1
    assert "params.yaml holds changes of your own" in capsys.readouterr().err
    assert target.read_text() == PARAMS
    assert edac("preset", "demo", "--force") == 0
    assert edac("preset", "other") == 0
    assert target.read_text() == presets["other"]
    target.unlink()
    assert edac("preset", "demo") == 0
    assert target.read_text() == presets["demo"]


def test_unknown_preset_lists_the_known(
    project: Path, presets: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert edac("preset", "dmeo") == 1
    assert line_with(capsys.readouterr().err, "error: ", "'dmeo'", "'demo'", "Known: demo, other.")


def test_check_reads_every_section(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = project / "params.yaml"
    committed = (ROOT / "stages/presets/demo.yaml").read_text()
    target.write_text(committed)
    assert edac("check") == 0
    assert capsys.readouterr().out == "params.yaml is valid\n"
    target.write_text(committed.replace("keep_releases: 3", "keep_releases: 0"))
    assert edac("check") == 1
    assert line_with(capsys.readouterr().err, "error: push.keep_releases", "got 0")
    assert sorted(project.iterdir()) == [target]


def test_a_command_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert edac() == 2
    assert "COMMAND" in capsys.readouterr().err
