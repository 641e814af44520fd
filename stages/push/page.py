"""The page that runs a release in a browser: its built files, put beside the release that it opens.

The sources are `stages/push/web/`; `make page` builds them into `stages/push/web/dist/`, which travels in the package.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.core.project import files, provenance
from stages.core.project.errors import DataError
from stages.runtime import trust

INDEX = "index.html"
_POLICY = (
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self'",
    "connect-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "media-src 'self' blob:",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
)
_NOT_PUBLISHED = ("twin.mjs", "litert_wasm_threaded_internal.js", "litert_wasm_threaded_internal.wasm")
_OWN = ("app-*.js", "worker-*.js", "recorder-*.js", "page-*.css")


@dataclass(frozen=True)
class Rollback:
    """A release that browsers take although they ran a later version: what its publisher decided.

    Attributes
    ----------
    model : str
        Name of the registered model; "" if it has none.
    release : str
        Id of the release to which the page went back.
    after : int
        Highest version that is taken back with this; browsers run none of them any more.
    """

    model: str
    release: str
    after: int


def policy(*, threads: bool = False) -> str:
    """Return the content security policy: nothing inline, nothing from elsewhere, no evaluation but WebAssembly's.

    Parameters
    ----------
    threads : bool
        Allow the workers that LiteRT's variant with threads starts.
    """
    types = "edac default"
    if threads:
        types += " emscripten#workerPolicy1 emscripten#workerPolicy2 'allow-duplicates'"
    return "; ".join((*_POLICY, f"trusted-types {types}"))


def built() -> Path:
    """Return the folder of the built page.

    Raises
    ------
    DataError
        If it was not built.
    """
    folder = provenance.ROOT / "stages" / "push" / "web" / "dist"
    if not (folder / INDEX).is_file():
        raise DataError(
            f"The page for browsers was not built: {folder} is missing. Install Node.js 20 or newer (or "
            "`pip install 'edac[page]'`), then run `make page`."
        )
    return folder


def write(
    folder: Path, keys: Mapping[str, bytes] | None, *, threads: bool = False, rollback: Rollback | None = None
) -> None:
    """Put the page into a folder: what its start page refers to first, then the start page, in one step.

    Parameters
    ----------
    folder : Path
        Holds the release to open at `current/`, now or later. Files of an earlier page go last; nothing else is
        touched.
    keys : Mapping of str to bytes, or None
        Public keys by fingerprint, of which one must have signed a release; pinned in the page. None asks for no
        signature.
    threads : bool
        Include LiteRT's variant with threads, 9.7 MB that no visitor needs.
    rollback : Rollback or None
        The release that may follow a later version; None lets none do so.

    Raises
    ------
    DataError
        If the page was not built.
    """
    source = built()
    left_out = () if threads else _NOT_PUBLISHED
    paths = [p.relative_to(source) for p in sorted(source.rglob("*")) if p.is_file() and p.name not in left_out]
    for path in paths:
        if path.name != INDEX:
            _copy(source / path, folder / path)
    site = {
        "keys": None if keys is None else [trust.encode(key) for key in keys.values()],
        "rollback": rollback and asdict(rollback),
    }
    text = (source / INDEX).read_text(encoding="utf-8")
    text = text.replace("__CSP__", policy(threads=threads)).replace(
        "__SITE__", json.dumps(site).replace("<", "\\u003c")
    )
    files.write_text(folder / INDEX, text)
    for pattern in _OWN:
        for old in folder.glob(pattern):
            if old.relative_to(folder) not in paths:
                old.unlink()


def _copy(source: Path, target: Path) -> None:
    """Copy a file in one step, unless the same is there."""
    same_size = target.is_file() and target.stat().st_size == source.stat().st_size
    if same_size and files.sha256(target) == files.sha256(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic(target) as temporary:
        shutil.copyfile(source, temporary)
        os.chmod(temporary, 0o644)  # noqa: PTH101  a web server may run as somebody else
