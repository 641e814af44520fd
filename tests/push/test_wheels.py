import csv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from stages.core.project import provenance
from stages.push.wheels import runtime_wheel


def test_the_bytes_repeat_and_other_code_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = runtime_wheel(tmp_path / "1"), runtime_wheel(tmp_path / "2")
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    root = tmp_path / "project"
    (root / "stages/runtime").mkdir(parents=True)
    (root / "pyproject.toml").write_bytes((provenance.ROOT / "pyproject.toml").read_bytes())
    for path in ("stages/__init__.py", "stages/runtime/__init__.py"):
        (root / path).write_text("")
    monkeypatch.setattr(provenance, "ROOT", root)
    assert runtime_wheel(tmp_path / "3").name != first.name


def test_it_holds_the_runtime_and_says_what_it_needs(tmp_path: Path) -> None:
    with zipfile.ZipFile(runtime_wheel(tmp_path)) as wheel:
        held = {name: wheel.read(name) for name in wheel.namelist()}
        assert {entry.date_time for entry in wheel.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    code = {name for name in held if ".dist-info/" not in name}
    assert {"stages/__init__.py", "stages/runtime/__main__.py", "stages/runtime/litert.py"} <= code
    assert all(name == "stages/__init__.py" or name.startswith("stages/runtime/") for name in code)
    (metadata,) = (message_from_bytes(held[name]) for name in held if name.endswith("/METADATA"))
    requires = sorted(metadata.get_all("Requires-Dist", []))
    assert [requirement.partition(">")[0] for requirement in requires] == ["ai-edge-litert", "cryptography", "numpy"]
    assert [requirement.endswith('; extra == "trust"') for requirement in requires] == [False, True, False]
    (record,) = (held[name].decode() for name in held if name.endswith("/RECORD"))
    assert [row[0] for row in csv.reader(record.splitlines())] == list(held)
