"""Zip and tar archives, unpacked only if every member stays inside the folder."""

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from stages.core import files
from stages.core.errors import DataError
from stages.core.progress import track


@dataclass(frozen=True)
class _Member:
    name: str
    n_bytes: int
    kind: str  # "file", "folder" or what makes it unwelcome
    open: Callable[[], IO[bytes]]


def extract(archive: Path, folder: Path, *, strip: int = 0) -> None:
    """Unpack a zip or tar archive below a folder; files already there with the right size are kept.

    Parameters
    ----------
    archive : Path
        ``.zip``, or ``.tar`` compressed in any way or none.
    folder : Path
    strip : int
        How many leading folders to drop from every member's name.

    Raises
    ------
    DataError
        If the file is no such archive or is damaged, or, before anything is written, if a member is a link or a
        device or would land outside `folder`.
    """
    damaged = DataError(
        f"{archive} is not a whole zip or tar archive. Run the command again, or renew the copy in the mirror."
    )
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _write(archive, [_of_zip(opened, info) for info in opened.infolist()], folder, strip)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as opened_tar:
                _write(archive, [_of_tar(opened_tar, info) for info in opened_tar], folder, strip)
        else:
            raise damaged
    except (zipfile.BadZipFile, tarfile.ReadError, EOFError):
        raise damaged from None


def _of_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    mode = info.external_attr >> 16
    if info.is_dir():
        kind = "folder"
    elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
        kind = "file"
    else:
        kind = "a link" if stat.S_ISLNK(mode) else "a device"
    return _Member(info.filename, info.file_size, kind, lambda: archive.open(info))


def _of_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    def opened() -> IO[bytes]:
        stream = archive.extractfile(info)
        assert stream is not None  # only asked of regular files
        return stream

    if info.isdir():
        kind = "folder"
    elif info.isreg():
        kind = "file"
    else:
        kind = "a link" if info.issym() or info.islnk() else "a device"
    return _Member(info.name, info.size, kind, opened)


def _write(archive: Path, members: list[_Member], folder: Path, strip: int) -> None:
    for member in members:
        _refuse_unsafe(archive, member)
    for member in track([m for m in members if m.kind == "file"], f"unpack {archive.name}"):
        parts = PurePosixPath(member.name).parts[strip:]
        if not parts:
            continue
        target = folder.joinpath(*parts)
        if target.is_file() and target.stat().st_size == member.n_bytes:
            continue
        with files.atomic(target) as temporary, member.open() as stream, temporary.open("wb") as out:
            shutil.copyfileobj(stream, out)


def _refuse_unsafe(archive: Path, member: _Member) -> None:
    advice = f"Nothing was unpacked; get {archive.name} from its publisher again."
    if member.kind not in ("file", "folder"):
        raise DataError(f"{archive} holds {member.kind}, {member.name!r}, where only files are allowed. {advice}")
    name = member.name.replace("\\", "/")
    if name.startswith("/") or ":" in name.split("/")[0] or ".." in name.split("/"):
        raise DataError(f"{archive} holds {member.name!r}, which would land outside its folder. {advice}")
