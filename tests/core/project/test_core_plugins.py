"""A folder is a registry: a new file is a new plug-in."""

import sys
from pathlib import Path

import pytest

from stages.core.project import plugins
from stages.core.project.errors import ParameterError

PLUGIN = """\
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    rate: int = {rate}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A plug-in folder with two plug-ins and a private helper."""
    folder = tmp_path / "zoo" / "animals"
    folder.mkdir(parents=True)
    for name, rate in (("__init__", 0), ("tiger", 1), ("newt", 2), ("_cage", 3)):
        (folder / f"{name}.py").write_text(PLUGIN.format(rate=rate))
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "zoo"]:
        monkeypatch.delitem(sys.modules, name)
    return "zoo.animals"


def test_names_are_the_files_without_the_private_ones(package: str) -> None:
    assert plugins.names(package) == ["newt", "tiger"]


def test_a_new_file_is_found_unaided(package: str, tmp_path: Path) -> None:
    plugins.names(package)
    (tmp_path / "zoo/animals/emu.py").write_text(PLUGIN.format(rate=4))
    assert plugins.names(package) == ["emu", "newt", "tiger"]
    assert plugins.load(package, "emu", "x").Config().rate == 4


@pytest.mark.parametrize("name", ["tigre", "_cage", "", "../tiger", "animals"])
def test_an_unknown_name_lists_the_known(package: str, name: str) -> None:
    with pytest.raises(ParameterError, match=r"^zoo.animal must .*got .*Known: newt, tiger\."):
        plugins.load(package, name, "zoo.animal")


def test_a_close_name_is_suggested(package: str) -> None:
    with pytest.raises(ParameterError, match="Did you mean 'tiger'"):
        plugins.load(package, "tigre", "zoo.animal")


def test_configure_takes_the_chosen_plugins_table(package: str) -> None:
    options = {"tiger": {"rate": 7}, "newt": {"rate": 8}}
    module, config = plugins.configure(package, "tiger", options, "zoo")
    assert module.__name__ == "zoo.animals.tiger"
    assert config.rate == 7


@pytest.mark.parametrize("options", [{}, {"tiger": None}, {"tiger": {}}, {"newt": {"rate": 8}}])
def test_configure_without_a_table_takes_the_defaults(package: str, options: dict[str, dict[str, int]]) -> None:
    assert plugins.configure(package, "tiger", options, "zoo")[1].rate == 1


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("lion", {}, "zoo.animal .*zoo/animals/; got 'lion'"),
        ("tiger", {"lion": {}}, "zoo.options has no plug-in 'lion'"),
        ("tiger", {"tiger": {"rat": 1}}, "zoo.options.tiger .*'rat'.*'rate'"),
        ("tiger", {"tiger": {"rate": "x"}}, "zoo.options.tiger.rate must be a whole number; got 'x'"),
    ],
)
def test_configure_names_the_parameter_at_fault(
    package: str, name: str, options: dict[str, dict[str, object]], sentence: str
) -> None:
    with pytest.raises(ParameterError, match=f"^{sentence}"):
        plugins.configure(package, name, options, "zoo")
