"""Kill -9 over the whole pipeline: `dvc repro` of a small corpus, killed again and again; prints JSON.

    python -m tests.bench.kills [--kills 20] [--seed 1] [--folder F]

Every other kill ends dvc alone, the others its whole process group. The same command is then run again, at last to its
end. A run that ends before it is killed makes room for another, in a new copy of the project. What must be: every last
run ends well, its files are those of an undisturbed run, no process outlives its dvc, nothing prints a traceback.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from stages.core.project import files
from tests.e2e.test_pipeline import Project, copy_project

COMPARED = ("data", "models/baseline", "models/sweep", "models/naive", "models/selected/model.tflite")
_GRACE_S = 30.0  # for what a killed dvc started


class Run:
    """One `dvc repro` in a process group of its own, its output in a file."""

    def __init__(self, project: Project) -> None:
        self._root = project.root
        self._log = project.root / "output.log"
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                ["dvc", "repro"],
                cwd=project.root,
                env=project.environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Return the exit code, None if it still runs after a time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    def kill(self, *, group: bool) -> str:
        """Kill it; return the last stage that it had begun."""
        (os.killpg if group else os.kill)(self._process.pid, signal.SIGKILL)
        self._process.wait()
        begun = [
            line for line in self._log.read_text(errors="replace").splitlines() if line.startswith("Running stage")
        ]
        return begun[-1].split("'")[1] if begun else "none"

    def left(self) -> list[str]:
        """Return what still runs in the project's folder after some time, and end it."""
        deadline = time.monotonic() + _GRACE_S
        while (found := _running_in(self._root)) and time.monotonic() < deadline:
            time.sleep(0.2)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return list(found.values())

    def tracebacks(self) -> int:
        """Return how many tracebacks all runs of the project have printed."""
        return self._log.read_text(errors="replace").count("Traceback (most recent call last)")


def _running_in(root: Path) -> dict[int, str]:
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(root):
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
    return found


def made(project: Project) -> dict[str, str]:
    """Return the sha256 of every file that must not depend on kills."""
    found = {}
    for name in COMPARED:
        top = project.root / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and not path.name.startswith("."):
                found[path.relative_to(project.root).as_posix()] = files.sha256(path)
    return found


def measure(scratch: Path, kills: int, seed: int) -> dict[str, Any]:
    """Run once undisturbed, then kill; return the figures."""
    rng, began = random.Random(seed), time.monotonic()
    calm = copy_project(_new(scratch / "calm"))
    if code := Run(calm).wait():
        raise SystemExit(f"the undisturbed run ended with {code}: {(calm.root / 'output.log').read_text()[-2000:]}")
    whole_s, expected = time.monotonic() - began, made(calm)
    shutil.rmtree(calm.root)
    killed, stages, outlived = Counter[str](), Counter[str](), list[str]()
    codes, differing, tracebacks, rounds = list[int](), list[str](), 0, 0
    while sum(killed.values()) < kills:
        rounds += 1
        project = copy_project(_new(scratch / f"killed{rounds}"))
        while True:
            run = Run(project)
            enough = sum(killed.values()) >= kills
            code = run.wait(None if enough else rng.uniform(2, max(6.0, whole_s / 4)))
            if code is not None:
                break
            group = sum(killed.values()) % 2 == 1
            stages[run.kill(group=group)] += 1
            killed["group" if group else "dvc"] += 1
            outlived += run.left()
            print(f"{sum(killed.values())} of {kills} kills: {dict(stages)}", file=sys.stderr, flush=True)
        codes.append(code)
        tracebacks += run.tracebacks()
        found = made(project)
        differing += sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        shutil.copyfile(project.root / "output.log", scratch / f"output{rounds}.log")
        shutil.rmtree(project.root)
    return {
        "kills": dict(killed),
        "stages": dict(stages),
        "rounds": rounds,
        "last_exit_codes": codes,
        "files_compared": len(expected),
        "files_that_differ": differing,
        "outlived_their_dvc": outlived,
        "tracebacks": tracebacks,
        "undisturbed_s": round(whole_s),
        "seconds": round(time.monotonic() - began),
    }


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def main() -> int:
    """Kill, print what came of it; exit code 1 unless everything is as if nothing had happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="takes the projects and their output; must not exist")
    given = parser.parse_args()
    with contextlib.nullcontext(given.folder) if given.folder else tempfile.TemporaryDirectory() as folder:
        found = measure(_new(Path(folder) / "kills"), given.kills, given.seed)
    print(json.dumps(found, indent=2))
    wrong = (
        found["files_that_differ"]
        or found["outlived_their_dvc"]
        or found["tracebacks"]
        or any(found["last_exit_codes"])
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
