"""Disk space of one-second recordings and one augmented copy of each: `python -m tests.bench.disk [RECORDINGS]`.

Runs check, pull, split and augment in a project of its own, once for each way of linking, and counts every inode once.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
from ruamel.yaml import YAML

from stages.core.project import provenance, tables

RATE = 16_000
WAYS = (  # pull.link, DVC's cache.type
    ("copy", "copy"),
    ("copy", "reflink,hardlink,copy"),
    ("symlink", "reflink,hardlink,copy"),
    ("auto", "hardlink,copy"),
)


def main() -> None:
    """Print the space of the recordings, and of `data` with DVC's cache, for each way."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "mine"
        make(root, n)
        own = used([root])
        rows = []
        for link, cache in WAYS:
            project = Path(folder) / "project"
            run(project, root, link, cache)
            everything = used([root, project / "data", project / ".dvc" / "cache"])
            rows.append((link, cache, f"{(everything - own) / 1e9:.2f}", f"{(everything - own) / own:.2f}"))
            shutil.rmtree(project)
    print(f"{n} recordings of 1 s take {own / 1e9:.2f} GB; data and DVC's cache besides:\n")
    print(tables.markdown(("pull.link", "cache.type", "GB", "times the recordings"), rows, text_columns=2))


def make(root: Path, n: int) -> None:
    """Write n different recordings of two classes, 16-bit WAV."""
    draw = np.random.default_rng(0)
    for i in range(n):
        path = root / ("dog", "cat")[i % 2] / f"{i // 4:05}-{i % 4}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, draw.normal(0, 0.1, RATE), RATE, subtype="PCM_16")


def run(project: Path, root: Path, link: str, cache: str) -> None:
    """Run the pipeline up to the augmented copies in a new project."""
    project.mkdir()
    for name in ("stages", "flows"):
        shutil.copytree(provenance.ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(provenance.ROOT / "dvc.yaml", project / "dvc.yaml")
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load(provenance.ROOT / "params.yaml")
    pattern = {"root": str(root), "group_pattern": "/([0-9]+)-"}
    params["pull"] = {"source": "folder", "link": link, "options": {"folder": pattern}}
    params["augment"] |= {"preset": "environment", "copies": {"all": 1}}
    yaml.dump(params, project / "params.yaml")
    for command in (
        ("git", "init", "-q"),
        ("dvc", "init", "-q"),
        ("dvc", "config", "core.analytics", "false"),
        ("dvc", "config", "cache.type", cache),
        ("dvc", "repro", "-q", "augment"),
    ):
        done = subprocess.run(command, cwd=project, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed: {done.stderr[-2000:]}")


def used(folders: Iterable[Path]) -> int:
    """Return the bytes of the blocks of all files, those of several names once; what shares blocks counts fully."""
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            status = path.lstat()
            found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(found.values())


if __name__ == "__main__":
    main()
