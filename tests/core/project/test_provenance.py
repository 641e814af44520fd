"""What a module is made of, on a small project of known imports."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.core.project import provenance

SOURCES = {
    "stages/__init__.py": "",
    "stages/core/__init__.py": "",
    "stages/core/leaf.py": "import os\n",
    "stages/core/other.py": "X = 1\n",
    "stages/a/__init__.py": "Y = 1\n",
    "stages/a/logic.py": "from stages.core import leaf\ndef f():\n    from stages.core.other import X\n    return X\n",
    "stages/a/round1.py": "import stages.a.round2\n",
    "stages/a/round2.py": "from stages.a.round1 import z\n",
    "stages/a/__main__.py": "import numpy\nfrom stages.a import Y, logic\nimport stagesque\nfrom . import logic as l\n",
    "flows/__init__.py": "",
    "flows/sweep.py": "import stages.a.logic as logic, json\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for path, text in SOURCES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    provenance.imports.cache_clear()
    provenance.closure.cache_clear()


def test_imports_are_found_at_the_top_and_inside_functions(project: Path) -> None:
    assert provenance.imports("stages.a.logic") == {"stages.core.leaf", "stages.core.other"}


def test_imports_of_names_are_told_from_imports_of_modules(project: Path) -> None:
    assert provenance.imports("stages.a.__main__") == {"stages.a", "stages.a.logic"}


def test_closure_goes_all_the_way_and_holds_the_module(project: Path) -> None:
    assert provenance.closure("flows.sweep") == (
        "flows.sweep",
        "stages.a.logic",
        "stages.core.leaf",
        "stages.core.other",
    )


def test_closure_of_a_circle_ends(project: Path) -> None:
    assert provenance.closure("stages.a.round1") == ("stages.a.round1", "stages.a.round2")


def test_source_files(project: Path) -> None:
    assert provenance.source_file("stages.a") == project / "stages/a/__init__.py"
    assert provenance.source_file("stages.a.logic") == project / "stages/a/logic.py"


def test_code_hash_follows_what_is_imported_and_nothing_else(project: Path) -> None:
    before = provenance.code_hash(["flows.sweep"])
    (project / "stages/a/__init__.py").write_text("Y = 2\n")
    assert provenance.code_hash(["flows.sweep"]) == before
    (project / "stages/core/other.py").write_text("X = 2\n")
    assert provenance.code_hash(["flows.sweep"]) != before


def test_code_hash_follows_the_versions_of_packages(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = provenance.code_hash(["flows.sweep"])
    with_numpy = provenance.code_hash(["flows.sweep"], ["numpy"])
    assert with_numpy != plain
    monkeypatch.setattr("importlib.metadata.version", lambda package: f"{package} of tomorrow")
    assert provenance.code_hash(["flows.sweep"], ["numpy"]) != with_numpy


def test_code_hash_does_not_depend_on_order_or_repetition(project: Path) -> None:
    one_way = provenance.code_hash(["flows.sweep", "stages.a.round1"])
    assert provenance.code_hash(["stages.a.round1", "flows.sweep", "stages.core.leaf"]) == one_way


def test_a_module_that_is_not_there_is_a_bug(project: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.py"):
        provenance.closure("stages.nowhere")
