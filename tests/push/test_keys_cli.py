"""`edac keys` and `edac devices trust`."""

from pathlib import Path

import pytest

from flows.cli import main
from stages.push import signing
from stages.runtime import trust


def edac(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main.main(arguments)
    said = capsys.readouterr()
    return int(str(end.value.code)), said.out, said.err


def test_new_and_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = edac(capsys, "keys", "new", str(tmp_path / "key"))
    public = signing.public_key(tmp_path / "key")
    assert code == 0
    assert trust.fingerprint(public) in out
    assert "PRIVATE" not in out
    for name in ("key", "key.pub"):
        code, out, _ = edac(capsys, "keys", "show", str(tmp_path / name))
        assert code == 0
        assert {trust.encode(public), trust.fingerprint(public)} <= set(out.split())
    code, _, err = edac(capsys, "keys", "new", str(tmp_path / "key"))
    assert code == 1
    assert err.startswith("error: ")
    assert signing.public_key(tmp_path / "key") == public


def test_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    public = signing.new_key(tmp_path / "key")
    (tmp_path / "file").write_text("")
    places = {"attic": "attic", "cellar": "cellar", "broken": "file/device"}
    rows = [f"    - {{name: {name}, transport: local, folder: {folder}}}\n" for name, folder in places.items()]
    (tmp_path / "params.yaml").write_text("push:\n  devices:\n" + "".join(rows))
    code, out, _ = edac(capsys, "devices", "trust", "key.pub", "--name", "attic")
    assert code == 0
    assert trust.fingerprint(public) in out.split()
    assert (tmp_path / f"attic/trusted_keys/{trust.fingerprint(public)}.pub").is_file()
    assert not (tmp_path / "cellar").exists()
    code, out, _ = edac(capsys, "devices", "trust", "key.pub")
    assert code == 1
    assert "Device broken cannot be written at" in out
    assert (tmp_path / "cellar/trusted_keys").is_dir()
