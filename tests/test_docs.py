"""The commands in `docs/` are commands that there are, and its files are files that their readers take."""

import ast
import configparser
import errno
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import main
from stages.core.project import params
from stages.push.params import PushParams, devices
from stages.runtime import __main__ as runtime

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
PAGE = (ROOT / "docs" / "device.md").read_text()
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGfLKAhjTN7nVGi4MNOT8QzIkCNvXqUzlZrVlCzdUqbb"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def commands(page: str, program: str) -> list[list[str]]:
    """Return the arguments of every call of a program in a shell block."""
    lines = [line.removeprefix("pi$ ") for block in blocks(page, "sh") for line in _unfolded(block)]
    words = [shlex.split(line, comments=True) for line in lines]
    return [line[1:] for line in words if line and line[0].rpartition("/")[2] == program]


def _unfolded(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


def mentioned(page: str) -> list[list[str]]:
    """Return the commands of `edac` that the prose names, without their arguments."""
    prose = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    named = [re.sub(r" --\S+ \S+", "", code) for code in re.findall(r"`(edac [^`]+)`", prose)]  # options have a value
    return [re.findall(r"(?<= )[a-z]+(?= |$)", code) for code in named]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_ours_exists(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in commands(page.read_text(), "edac"):
        assert callable(main.parser().parse_args(arguments).run)
    for words in mentioned(page.read_text()):
        with pytest.raises(SystemExit, match=r"^0$"):
            main.parser().parse_args([*words, "--help"])
        assert f"usage: edac {' '.join(words)}" in capsys.readouterr().out


def test_every_room_and_name_of_the_walks_exists() -> None:
    rows = re.findall(r"^\| `([\w/]+\.py)` \| (.*?) \|", (ROOT / "docs" / "walks.md").read_text(), re.MULTILINE)
    assert len(rows) > 30
    missing = []
    for path, names in rows:
        tree = ast.parse((ROOT / path).read_text())
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        defined |= {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        missing += [(path, name) for name in re.findall(r"`(\w+)`", names) if name not in defined]
    assert missing == []


def test_the_page_of_devices_takes_a_reader_through_every_step() -> None:
    first = [" ".join(arguments[:2]) for arguments in commands(PAGE, "edac")]
    steps = ["keys new", "check", "devices setup", "devices trust", "push --name", "devices status", "devices bench"]
    found = [first.index(step) for step in steps]
    assert found == sorted(found)


def test_every_command_of_the_runtime_exists() -> None:
    (service,) = blocks(PAGE, "ini")
    listen = re.search(r"-m stages\.runtime ([^']+)'", service)
    assert listen
    for arguments in [*commands(PAGE, "edac-runtime"), shlex.split(listen[1])]:
        assert callable(runtime._parser().parse_args(arguments).command)


def test_the_device_s_entry_is_one(tmp_path: Path) -> None:
    (text,) = blocks(PAGE, "yaml")
    for optional in ("python", "key_file"):
        text = text.replace(f"# {optional}:", f"{optional}:")
    (tmp_path / "params.yaml").write_text(text.replace("ssh-ed25519 AAAA...", PUBLIC_KEY))
    section = params.read_yaml(tmp_path / "params.yaml")["push"]
    (device,) = devices(params.load(PushParams, section, "push"))
    assert (device.name, device.device_class, device.config.python) == ("kitchen", "raspberry-pi", "python3.11")


def test_what_it_says_is_said() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "stages").rglob("*.py")))
    source += os.strerror(errno.ENOSPC) + os.strerror(errno.EROFS)
    table = PAGE[PAGE.index("| It says |") :]
    said = [
        words for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for words in re.findall("`(.+?)`", cell)
    ]
    assert len(said) > 10
    assert [words for words in said if words not in source] == []


def test_the_service_is_one(tmp_path: Path) -> None:
    (service,) = blocks(PAGE, "ini")
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(service)
    assert parser.sections() == ["Unit", "Service", "Install"]
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    unit = tmp_path / "edac-listen.service"
    unit.write_text(service)
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert "edac-listen.service:" not in done.stderr


@pytest.mark.thorough
def test_the_worked_examples_of_plug_ins_keep_their_contracts(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "new_plugin.md").read_text()
    examples = re.findall(r'^```python title="([^"]+)"\n(.*?)^```', page, re.MULTILINE | re.DOTALL)
    for folder in ("stages", "flows", "tests/contracts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    plugins = {".".join(Path(name).with_suffix("").parts): source for name, source in examples}
    for plugin, source in plugins.items():
        file = tmp_path / f"{plugin.replace('.', '/')}.py"
        assert not file.exists(), f"{plugin} exists already"
        file.write_text(source)
    kinds = {plugin.split(".")[2] for plugin in plugins}
    assert kinds >= {"sources", "presets", "frontends", "architectures", "criteria", "schedules"}
    looked_at = tmp_path / "tests" / "contracts" / "test_examples_are_found.py"
    looked_at.write_text(
        "from tests.contracts import test_plugins\n\n\n"
        "def test_they_are() -> None:\n"
        f"    assert {set(plugins)} <= {{f'{{folder}}.{{name}}' for folder, name in test_plugins.PLUGINS}}\n"
    )
    tests = [f"tests/contracts/test_{name}.py" for name in ("examples_are_found", "layers", "plugins", "pruning")]
    everything = ["-m", "thorough or not thorough"]
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", *everything, *tests]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.thorough
def test_the_site_builds_without_a_warning_and_asks_nothing_of_the_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert "polynomial" in pages["reference/parameters.html"]
    fetched = r'<(?:script|link|img)[^>]+(?:src|href)="?https?://'
    assert [name for name, page in pages.items() if re.search(fetched, page)] == []


def test_the_page_on_architecture_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"^\| `((?:stages|flows)/[\w/]+)` \|", page, re.MULTILINE))
    rooms = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("stages/core/*/__init__.py")}
    rooms |= {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("flows/*/__init__.py")}
    assert named - {"stages/runtime", "stages/presets"} == rooms
