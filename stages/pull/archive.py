"""Zip and tar archives, unpacked only if every member stays inside the folder."""

import gzip
import io
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.project.progress import track

_BLOCK = 1 << 20


@dataclass(frozen=True)
class _Member:
    name: str
    n_bytes: int
    kind: str  # "file", "folder" or what makes it unwelcome
    open: Callable[[], IO[bytes]]


def extract(archive: Path, folder: Path, *, strip: int = 0, only: Callable[[str], bool] = lambda _: True) -> None:
    """Unpack a zip or tar archive below a folder; files already there with the right size are kept.

    Parameters
    ----------
    archive : Path
        ``.zip``, or ``.tar`` compressed in any way or none.
    folder : Path
    strip : int
        How many leading folders to drop from every member's name.
    only : callable
        Called with a name without them: whether to unpack that member.

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
                _write(archive, [_of_zip(opened, info) for info in opened.infolist()], folder, strip, only)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as opened_tar:
                _write(archive, [_of_tar(opened_tar, info) for info in opened_tar], folder, strip, only)
        else:
            raise damaged
    except (zipfile.BadZipFile, tarfile.ReadError, EOFError):
        raise damaged from None


def extract_parts(parts: Sequence[Path], folder: Path, *, place: Callable[[str], str | None]) -> None:
    """Unpack a gzipped tar archive that was cut into parts, as one stream; `folder` appears when it is complete.

    Parameters
    ----------
    parts : sequence of Path
        In order.
    folder : Path
        Until it is complete it grows aside, from the beginning after an interruption.
    place : callable
        Called with a member's name: its place below `folder`, or None to leave it out.

    Raises
    ------
    DataError
        If the parts do not join to a whole archive, or if a member is a link or a device or would land outside
        `folder`. Then `folder` does not appear.
    """
    archive = parts[0].with_suffix("")
    work = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        with (
            io.BufferedReader(_Joined(parts)) as joined,
            gzip.GzipFile(fileobj=joined) as unzipped,
            tarfile.open(fileobj=unzipped, mode="r|") as opened,
        ):
            for info in opened:
                member = _of_tar(opened, info)
                _refuse_unsafe(archive, member)
                name = place(member.name) if member.kind == "file" else None
                if name:
                    (work / name).parent.mkdir(parents=True, exist_ok=True)
                    with member.open() as stream, (work / name).open("wb") as out:
                        shutil.copyfileobj(stream, out)
            while unzipped.read(_BLOCK):  # to the end, where the checksum stands
                pass
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError):
        raise DataError(
            f"{archive}.* ({len(parts)} parts) must join to a whole archive; they do not. Get every part again from "
            "the publisher, and let no other file be named so."
        ) from None
    work.replace(folder)


class _Joined(io.RawIOBase):
    """Files read one after another as if they were one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._waiting = list(paths)
        self._current: IO[bytes] = io.BytesIO()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            block = self._current.read(len(buffer))
            if block or not self._waiting:
                buffer[: len(block)] = block
                return len(block)
            self._current.close()
            self._current = self._waiting.pop(0).open("rb")

    def close(self) -> None:
        self._current.close()
        super().close()


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


def _write(archive: Path, members: list[_Member], folder: Path, strip: int, only: Callable[[str], bool]) -> None:
    for member in members:
        _refuse_unsafe(archive, member)
    named = [(m, "/".join(PurePosixPath(m.name).parts[strip:])) for m in members if m.kind == "file"]
    for member, name in track([(m, name) for m, name in named if name and only(name)], f"unpack {archive.name}"):
        target = folder / name
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
