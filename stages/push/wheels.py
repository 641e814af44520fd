"""The runtime as a wheel of its own, `edac-runtime`: pure Python, for every device that ai-edge-litert is built for."""

import base64
import hashlib
import tomllib
import zipfile
from pathlib import Path

from stages.core.project import files, provenance

NAME = "edac_runtime"
_TAG = "Tag: py3-none-any"
_MTIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold


def runtime_wheel(folder: Path) -> Path:
    """Build the wheel; the same code makes the same bytes, and other code another version.

    Parameters
    ----------
    folder : Path
        Where to; made if it does not exist.

    Returns
    -------
    Path
        The wheel. It requires what `pyproject.toml` calls ``runtime``; its extra ``trust`` verifies signatures.
    """
    runtime = provenance.source_file("stages.runtime").parent
    sources = [provenance.source_file("stages"), *(p for p in sorted(runtime.iterdir()) if p.is_file())]
    content = {path.relative_to(provenance.ROOT).as_posix(): path.read_bytes() for path in sources}
    project = tomllib.loads((provenance.ROOT / "pyproject.toml").read_text())["project"]
    needs = {extra: project["optional-dependencies"][extra] for extra in ("runtime", "trust")}
    digest = files.digest({path: hashlib.sha256(data).hexdigest() for path, data in content.items()}, needs)[:12]
    version = f"{project['version']}+{digest}"
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {NAME.replace('_', '-')}",
        f"Version: {version}",
        "Summary: What runs a release of EDAC on a device.",
        f"License: {project['license']}",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {requirement}" for requirement in needs["runtime"]),
        "Provides-Extra: trust",
        *(f'Requires-Dist: {requirement}; extra == "trust"' for requirement in needs["trust"]),
    ]
    info = f"{NAME}-{version}.dist-info"
    content |= {
        f"{info}/METADATA": _lines(metadata),
        f"{info}/WHEEL": _lines(["Wheel-Version: 1.0", "Generator: edac", "Root-Is-Purelib: true", _TAG]),
        f"{info}/entry_points.txt": _lines(["[console_scripts]", "edac-runtime = stages.runtime.__main__:main"]),
    }
    record = [f"{path},sha256={_hash(data)},{len(data)}" for path, data in content.items()]
    content[f"{info}/RECORD"] = _lines([*record, f"{info}/RECORD,,"])
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{NAME}-{version}-py3-none-any.whl"
    with files.atomic(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path, data in content.items():
            entry = zipfile.ZipInfo(path, _MTIME)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return target


def _lines(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
