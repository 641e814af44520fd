import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from stages.core.project.errors import DataError
from stages.pull.archive import extract


def zip_with(path: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def tar_with(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def symlink_in_zip() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("top/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_zip_and_tar_give_the_same_tree_without_its_top_folder(tmp_path: Path) -> None:
    zipped = zip_with(tmp_path / "a.zip", ("top/", b""), ("top/a.txt", b"one"), ("top/sub/b.txt", b"two"))
    tarred = tar_with(
        tmp_path / "a.tar.gz",
        (tar_member("top", tarfile.DIRTYPE), b""),
        (tar_member("top/a.txt"), b"one"),
        (tar_member("top/sub/b.txt"), b"two"),
    )
    for name, archive in (("zip", zipped), ("tar", tarred)):
        extract(archive, tmp_path / name, strip=1)
        assert tree(tmp_path / name) == {"a.txt": b"one", "sub/b.txt": b"two"}


def test_an_interrupted_unpacking_goes_on(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / "a.zip", ("a.txt", b"one"), ("b.txt", b"two"))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"ONE")  # the right size: kept
    (folder / "b.txt").write_bytes(b"t")  # half a file: replaced
    extract(archive, folder)
    assert tree(folder) == {"a.txt": b"ONE", "b.txt": b"two"}


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/evil.txt", "..\\evil.txt", "C:/evil.txt"])
def test_a_zip_member_that_leaves_its_folder_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    archive = zip_with(tmp_path / "a.zip", ("good.txt", b"good"), (name, b"evil"))
    with pytest.raises(DataError, match=r"evil.txt'.*outside its folder"):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("member", "sentence"),
    [
        (tar_member("../evil"), "would land outside"),
        (tar_member("/evil"), "would land outside"),
        (tar_member("evil", tarfile.SYMTYPE, "/etc/passwd"), "holds a link, 'evil'"),
        (tar_member("evil", tarfile.LNKTYPE, "good"), "holds a link, 'evil'"),
        (tar_member("evil", tarfile.FIFOTYPE), "holds a device, 'evil'"),
    ],
)
def test_an_unsafe_tar_member_is_refused(tmp_path: Path, member: tarfile.TarInfo, sentence: str) -> None:
    archive = tar_with(tmp_path / "a.tgz", (tar_member("good"), b"good"), (member, b""))
    with pytest.raises(DataError, match=sentence):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / "a.zip", (symlink_in_zip(), b"/etc/passwd"))
    with pytest.raises(DataError, match="holds a link, 'top/link'"):
        extract(archive, tmp_path / "out")


def test_what_is_no_archive_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("<html>Not found</html>")
    with pytest.raises(DataError, match="not a whole zip or tar archive"):
        extract(tmp_path / "a.zip", tmp_path / "out")
    damaged = zip_with(tmp_path / "b.zip", ("a.txt", b"some content that has a checksum"))
    damaged.write_bytes(damaged.read_bytes().replace(b"some content", b"some c0ntent"))
    with pytest.raises(DataError, match="not a whole zip or tar archive"):
        extract(damaged, tmp_path / "out")
