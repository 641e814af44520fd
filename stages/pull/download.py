"""Published files and trees, from the network or from a mirror folder, resumed and checked."""

import contextlib
import errno
import hashlib
import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.project.progress import track
from stages.pull.archive import extract
from stages.pull.link import bring

DOWNLOADS = "downloads"  # beside the tree: archives stay there, so that another subset or a new check costs no download
ATTEMPTS = 6
TIMEOUT_S = 60.0
PAUSE_S = 1.0  # before the first new attempt, doubled before each further one
_BLOCK = 1 << 18
_UNREADABLE = (
    errno.EIO,
    errno.ESTALE,
    errno.EACCES,
    errno.EPERM,
    errno.EINVAL,
)  # a failing disk, a share that went away
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_ANOTHER_COPY = "Run the command again, or get another copy if it lies in a mirror."


def download(url: str, target: Path, *, checksum: str | None = None, pause_s: float = PAUSE_S) -> None:
    """Download a file, going on where an earlier attempt stopped; a `target` already there is only checked.

    Parameters
    ----------
    url : str
        http or https.
    target : Path
        Appears, by a rename, when it is complete and checked; until then there is `<target>.part`.
    checksum : str or None
        As of `verify`; None if the publisher's bytes vary.
    pause_s : float
        Pause before the second attempt, doubled before each further one.

    Raises
    ------
    DataError
        If the server refuses, does not answer after several attempts, or sends other bytes than expected.
    """
    part = target.with_name(target.name + ".part")
    if target.exists():
        target.replace(part)
    else:
        part.parent.mkdir(parents=True, exist_ok=True)
        failures = 0
        while not _finished(url, part):
            failures += 1
            if failures == ATTEMPTS:
                raise DataError(
                    f"{url} did not answer in full after {ATTEMPTS} attempts. Run the command again to go on where it "
                    "stopped, or name a folder that holds the files in pull.mirror."
                )
            time.sleep(pause_s * 2 ** (failures - 1))
    if checksum:
        try:
            verify(part, checksum, name=url)
        except DataError:
            part.unlink()
            raise
    part.replace(target)


def _finished(url: str, part: Path) -> bool:
    """Append what the server still has to give to `part`; return whether that was all of it."""
    offset = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "edac", "Range": f"bytes={offset}-"})
    if not offset:
        request.remove_header("Range")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
            offset = offset if resumed else 0
            length = response.headers.get("Content-Length")
            total = None if length is None else offset + int(length)
            with (
                part.open("ab" if resumed else "wb") as out,
                tqdm(desc=part.stem, total=total, initial=offset, unit="B", unit_scale=True, mininterval=0.5) as bar,
            ):
                while block := response.read(_BLOCK):
                    out.write(block)
                    bar.update(len(block))
            return total is None or part.stat().st_size == total
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
            if error.headers.get("Content-Range") == f"bytes */{offset}":
                return True
            part.unlink()  # longer than the file now published
            return False
        if error.code in _PASSING:
            return False
        raise DataError(
            f"{url} cannot be downloaded: the server says {error.code} {error.reason}. Check the address at its "
            "publisher, or name a folder that holds the files in pull.mirror."
        ) from None
    except (OSError, http.client.HTTPException):
        return False


def verify(path: Path, checksum: str, *, name: str | None = None) -> None:
    """Check a file's bytes.

    Parameters
    ----------
    path : Path
    checksum : str
        ``"sha256:<hex>"``, ``"md5:<hex>"`` or ``"git:<hex>"``, the name git gives the content.
    name : str or None
        What to call the file in the message, if not by its path.

    Raises
    ------
    DataError
        Names the file, what was expected and what was got.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist. {_ANOTHER_COPY}")
    algorithm, _, expected = checksum.partition(":")
    digest = hashlib.new("sha1" if algorithm == "git" else algorithm)
    if algorithm == "git":
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as stream:
        got = hashlib.file_digest(stream, lambda: digest).hexdigest()
    if got != expected:
        raise DataError(f"{name or path} must have {algorithm} {expected}; got {got}. {_ANOTHER_COPY}")


def verify_tree(folder: Path, names: Iterable[str], checksum: str) -> None:
    """Check many files at once against the sha256 of their sorted `sha256sum` listing.

    Raises
    ------
    DataError
        If a file is missing or the listing's checksum differs.
    """
    names = sorted(names)
    for name in names:
        if not (folder / name).is_file():
            raise DataError(f"{folder} must hold {name}, as published; it does not. Get a complete copy.")
    listing = "".join(f"{files.sha256(folder / name)}  {name}\n" for name in names)
    got = f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"
    if got != checksum:
        raise DataError(
            f"the {len(names)} files of {folder} must have the joint checksum {checksum}; got {got}. {_ANOTHER_COPY}"
        )


@dataclass(frozen=True)
class PublishedTree:
    """A tree of files as its publisher has it.

    Attributes
    ----------
    url : str
        Archive.
    archive_name : str
        Name that a browser gives the archive.
    names : tuple of str
        Folders by which the tree goes in a mirror.
    landmark : str
        A file that tells the tree, relative to it.
    check : callable
        Checks a tree, raises DataError if it is not as published, and returns its files' relative names.
    checksum : str or None
        Checksum of the archive, as in `verify`; None if the publisher's bytes vary.
    strip : int
        Number of leading folders to drop from the names in the archive.
    """

    url: str
    archive_name: str
    names: tuple[str, ...]
    landmark: str
    check: Callable[[Path], Sequence[str]]
    checksum: str | None = None
    strip: int = 1


def fetch_tree(published: PublishedTree, folder: Path, mirror: Path | None) -> None:
    """Bring a published tree below `folder`, from an archive or from a mirror's copy of the tree.

    Parameters
    ----------
    published : PublishedTree
    folder : Path
    mirror : Path or None
        The tree itself, a folder in which it goes by one of the names, or a folder that holds the archive.

    Raises
    ------
    DataError
    """
    archive_name, check, checksum = published.archive_name, published.check, published.checksum
    with contextlib.suppress(DataError):
        check(folder)
        return  # complete since an earlier, interrupted run
    if mirror and not (mirror / archive_name).is_file():
        tree = find_tree(mirror, (*published.names, archive_name), published.landmark)
        sync(tree, check(tree), folder)
        return
    archive = (mirror or folder.parent / DOWNLOADS) / archive_name
    if not mirror:
        download(published.url, archive, checksum=checksum)
    elif checksum:
        verify(archive, checksum)
    try:
        extract(archive, folder, strip=published.strip)
        check(folder)
    except DataError:
        shutil.rmtree(folder)
        folder.mkdir()
        if not mirror:
            archive.unlink()
        raise


def find_tree(mirror: Path, names: Sequence[str], landmark: str) -> Path:
    """Return the published tree in a mirror: the mirror itself, or its subfolder of one of the names.

    Raises
    ------
    DataError
        If the mirror is missing or holds no such tree.
    """
    if not mirror.is_dir():
        raise DataError(f"the mirror {mirror} is not a folder. Correct pull.mirror or EDAC_MIRROR, or unset it.")
    for tree in (mirror, *(mirror / name for name in names)):
        if (tree / landmark).is_file():
            return tree
    raise DataError(
        f"the mirror {mirror} must hold {landmark}, or one of {', '.join(names)}; it does not. Correct pull.mirror or "
        "EDAC_MIRROR, or unset it."
    )


def sync(root: Path, names: Iterable[str], folder: Path) -> None:
    """Make `folder` hold exactly the named files of `root`; those unchanged since an earlier run stay."""
    wanted = {folder / name: root / name for name in sorted(names)}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path not in wanted:
            path.unlink()
    for target, origin in track(wanted.items(), f"bring {root.name}"):
        before = origin.stat()
        if target.is_file():
            there = target.stat()
            if (there.st_size, there.st_mtime_ns) == (before.st_size, before.st_mtime_ns):
                continue
        try:
            bring(origin, target)
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            raise DataError(
                f"{origin} cannot be read to its end ({error.strerror}). Copy it again from where it came from, or "
                "leave it out."
            ) from None
