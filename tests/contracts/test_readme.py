"""What README.md says can be done."""

import re

import pytest

from flows.cli import main
from stages.core.project import provenance

README = (provenance.ROOT / "README.md").read_text()


def test_links_and_pictures_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (provenance.ROOT / target).is_file(), target


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`?edac ([a-z]+)", README))))
def test_commands_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main([command, "--help"])
    assert ended.value.code == 0
    assert f"edac {command}" in capsys.readouterr().out


def test_files_named_exist_or_are_made() -> None:
    for module in re.findall(r"python -m ((?:stages|flows)\.[a-z]+)", README):
        path = provenance.ROOT / module.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), module
