"""Files appear whole or not at all, and the same content gives the same bytes."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.project import files
from stages.core.project.provenance import ROOT

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
PRINTABLE = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"))


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert files.sha256(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(JSON)
def test_json_survives(value: Any) -> None:
    assert json.loads(files.to_json(value)) == value


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_json_does_not_depend_on_the_order_of_keys(table: dict[str, int]) -> None:
    backwards = dict(reversed(table.items()))
    assert files.to_json(backwards) == files.to_json(table)
    assert files.digest(backwards) == files.digest(table)


def test_json_takes_paths_and_numpy_and_nothing_else() -> None:
    value = {"p": Path("a/b"), "i": np.int64(3), "f": np.float64(0.5), "a": np.array([[1, 2]])}
    assert json.loads(files.to_json(value)) == {"p": "a/b", "i": 3, "f": 0.5, "a": [[1, 2]]}
    with pytest.raises(TypeError, match="set has no JSON form"):
        files.to_json({1, 2})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("nan")])
def test_json_has_no_word_for_what_is_not_finite(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.to_json([value])


def test_digest_is_a_sha256_of_all_values() -> None:
    assert files.digest("a", 1) == hashlib.sha256(b'[\n  "a",\n  1\n]\n').hexdigest()
    assert len({files.digest("a", "b"), files.digest("ab"), files.digest("b", "a"), files.digest(["a", "b"])}) == 4


def test_atomic_makes_the_folder_and_leaves_only_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "f.txt"
    with files.atomic(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"
        temporary.write_text("whole")
        assert not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["f.txt"]
    assert path.read_text() == "whole"
    assert path.stat().st_mode & 0o777 == 0o644


def test_atomic_keeps_the_old_file_if_the_new_one_fails(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")

    def fail() -> None:
        with files.atomic(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


@given(st.lists(st.fixed_dictionaries({"a": PRINTABLE, 'b "c"': PRINTABLE})))
def test_csv_survives(rows: list[dict[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        files.write_csv(path, ["a", 'b "c"'], rows)
        assert files.read_csv(path) == rows


def test_csv_is_plain(tmp_path: Path) -> None:
    files.write_csv(tmp_path / "t.csv", ["a", "b"], [{"a": 0.1, "b": None}, {"a": "x,y", "b": 2}])
    assert (tmp_path / "t.csv").read_bytes() == b'a,b\n0.1,\n"x,y",2\n'


def test_csv_refuses_a_column_nobody_announced(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="c"):
        files.write_csv(tmp_path / "t.csv", ["a"], [{"a": 1, "c": 2}])
    assert list(tmp_path.iterdir()) == []


def grow(target: Path, key: str, names: str, fail: bool = False) -> list[str]:
    """Add files to a growing folder; return those that were there already."""
    with files.growing_folder(target, key) as work:
        there = sorted(p.name for p in work.iterdir())
        for name in names:
            files.write_text(work / name, name)
        if fail:
            raise KeyboardInterrupt
    return there


def held(folder: Path) -> str:
    return "".join(sorted(p.name for p in folder.iterdir()))


def test_a_growing_folder_replaces_its_target(tmp_path: Path) -> None:
    target = tmp_path / "t"
    assert grow(target, "k", "abc") == []
    assert held(target) == "abc"
    assert grow(target, "l", "d") == []
    assert held(target) == "d"
    assert held(tmp_path) == "t"


def test_an_interrupted_folder_is_gone_on_with_under_the_same_key_alone(tmp_path: Path) -> None:
    target = tmp_path / "t"
    grow(target, "old", "z")
    with pytest.raises(KeyboardInterrupt):
        grow(target, "k", "ab", fail=True)
    assert held(target) == "z"
    with pytest.raises(KeyboardInterrupt):
        grow(target, "other", "x", fail=True)
    assert grow(target, "k", "c") == ["a", "b"]
    assert held(target) == "abc"
    assert held(tmp_path) == "t"  # and nothing of the other key


def test_a_killed_process_leaves_what_it_had_finished(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from stages.core.project import files
with files.growing_folder(Path(sys.argv[1]), "k") as work:
    files.write_text(work / "a", "whole")
    with files.atomic(work / "b") as temporary:
        temporary.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.defpath}
    target = tmp_path / "t"
    assert subprocess.run([sys.executable, "-c", script, target], env=environment, check=False).returncode == -9
    assert not target.exists()
    with files.growing_folder(target, "k") as work:
        assert (work / "a").read_text() == "whole"
        assert not (work / "b").exists()
