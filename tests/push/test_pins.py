"""No wheel goes onto a device whose sha256 is not in `wheels.lock`."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from stages.core.project import provenance
from stages.core.project.errors import DataError, DeviceError
from stages.push import pins, wheels


def test_the_lock_holds_what_the_runtime_needs_and_nothing_without_a_hash() -> None:
    pinned = pins.read()
    extras = tomllib.loads((provenance.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    needs = {requirement.partition(">")[0] for extra in ("runtime", "trust") for requirement in extras[extra]}
    assert needs | {"pip", "cffi", "flatbuffers", "protobuf"} <= pinned.keys()
    constraints = dict(
        line.split("==") for line in (provenance.ROOT / "constraints.txt").read_text().split() if "==" in line
    )
    for name in needs:
        assert pinned[name].version == constraints[name]


def test_an_altered_or_unknown_wheel_is_refused(tmp_path: Path) -> None:
    own = wheels.runtime_wheel(tmp_path / "own")
    folder = tmp_path / "wheels"
    folder.mkdir()
    shutil.copy(own, folder)
    pins.check(folder, own)
    for name in (
        "numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl",
        "evil-1.0-py3-none-any.whl",
        "pip-26.3-py3-none-any.whl",
    ):
        (folder / name).write_bytes(b"other")
        with pytest.raises(DeviceError, match=rf"^{re.escape(name)} .*wheels\.lock"):
            pins.check(folder, own)
        (folder / name).unlink()
    (folder / own.name).write_bytes(b"other")
    with pytest.raises(DeviceError, match=rf"^{re.escape(own.name)} .*wheels\.lock"):
        pins.check(folder, own)


def test_a_version_without_a_hash(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("one==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\ntwo==2.0\n")
    with pytest.raises(DataError, match=r"two .*sha256"):
        pins.read(tmp_path / "lock")


def test_pips_own_version_is_free_where_there_is_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    assert "pip==" in pins.constraints()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert "pip==" not in pins.constraints()
    assert "numpy==" in pins.constraints()
