"""Kill -9 over the whole pipeline: `dvc repro` of a small corpus, killed again and again; prints JSON.

    python -m tests.bench.kills [--kills 20] [--seed 1] [--folder F]

Every other kill ends dvc alone, the others its whole process group. The same command is then run again: after every
other pair of kills at once, else when what was killed has gone. A run that ends before it is killed makes room for
another, in a new copy of the project; the last one runs to its end. What must be: every run that is not killed ends
well, its files are those of an undisturbed run, no process outlives its dvc, nothing prints a traceback.

With `--folder`, finished kills are kept there, and the same command resumes after the last one.
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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stages.core.project import files
from tests.e2e.test_pipeline import Project, copy_project

COMPARED = ("data", "models/baseline", "models/sweep", "models/naive", "models/selected/model.tflite")
_GRACE_S = 30.0  # for what a killed dvc started


@dataclass(frozen=True)
class Kill:
    """One kill: what it hit, after how long, the stage begun last, and what ran on after the grace time."""

    group: bool
    after_s: float
    stage: str
    outlived: list[str]


@dataclass
class State:
    """What was done so far."""

    expected: dict[str, str] = field(default_factory=dict)
    whole_s: float = 0.0
    kills: list[Kill] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    tracebacks: int = 0
    seconds: float = 0.0

    @classmethod
    def read(cls, path: Path) -> "State":
        """Read it; a new one where there is none."""
        if not path.exists():
            return cls()
        held = files.read_json(path)
        return cls(**held | {"kills": [Kill(**kill) for kill in held["kills"]]})


class Run:
    """One `dvc repro` in a process group of its own, its output in a file."""

    def __init__(self, project: Project) -> None:
        self._root = project.root
        self._log = project.root / "output.log"
        self._before = self._log.stat().st_size if self._log.exists() else 0
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

    def kill(self, *, group: bool) -> tuple[str, dict[int, str]]:
        """Kill it; return the stage that it began last, and what still runs in the project's folder."""
        (os.killpg if group else os.kill)(self._process.pid, signal.SIGKILL)
        self._process.wait()
        text = self._log.read_bytes()[self._before :].decode(errors="replace")
        begun = [line.split("'")[1] for line in text.splitlines() if line.startswith("Running stage")]
        return begun[-1] if begun else "none", _running_in(self._root)


def _running_in(root: Path) -> dict[int, str]:
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(root):
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
    return found


def outlived(root: Path, killed: dict[int, str], deadline: float) -> list[str]:
    """Return which of these processes still run in a folder at a time, and end them."""
    while (found := killed.items() & _running_in(root).items()) and time.monotonic() < deadline:
        time.sleep(0.2)
    for pid, _ in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return sorted(command for _, command in found)


def made(project: Project) -> dict[str, str]:
    """Return the sha256 of every file that must not depend on kills."""
    found = {}
    for name in COMPARED:
        top = project.root / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and not path.name.startswith("."):
                found[path.relative_to(project.root).as_posix()] = files.sha256(path)
    return found


def undisturbed(scratch: Path) -> tuple[dict[str, str], float]:
    """Run once without a kill; return its files' sha256, and the seconds that it took."""
    print("one run without a kill ...", file=sys.stderr, flush=True)
    calm, began = copy_project(_fresh(scratch / "calm")), time.monotonic()
    if code := Run(calm).wait():
        raise SystemExit(f"the undisturbed run ended with {code}: {(calm.root / 'output.log').read_text()[-2000:]}")
    whole_s, expected = time.monotonic() - began, made(calm)
    shutil.rmtree(calm.root.parent)
    print(f"{whole_s:.0f} s, {len(expected)} files to compare", file=sys.stderr, flush=True)
    return expected, whole_s


def measure(scratch: Path, kills: int, seed: int) -> State:
    """Run once undisturbed, then kill; return what came of it."""
    began, kept = time.monotonic(), scratch / "state.json"
    state = State.read(kept)
    before_s = state.seconds

    def keep() -> None:
        state.seconds = round(before_s + time.monotonic() - began)
        files.write_json(kept, asdict(state))

    if not state.expected:
        state.expected, state.whole_s = undisturbed(scratch)
        keep()
    while len(state.kills) < kills or len(state.codes) == 0 or (scratch / "killed" / "project").exists():
        folder = scratch / "killed"
        if (folder / "project" / "output.log").exists():
            project = Project(folder / "project", folder / "calls")  # of a benchmark that was stopped itself
            outlived(project.root, _running_in(project.root), 0)
        else:
            project = copy_project(_fresh(folder))
        code = _killed_until_it_ends(project, state, kills, seed, keep)
        text, found = (project.root / "output.log").read_text(errors="replace"), made(project)
        state.codes.append(code)
        state.tracebacks += text.count("Traceback (most recent call last)")
        names = state.expected.keys() | found.keys()
        state.differing += sorted(name for name in names if state.expected.get(name) != found.get(name))
        (scratch / f"output{len(state.codes)}.log").write_text(text)
        shutil.rmtree(folder)
        keep()
    return state


def _killed_until_it_ends(project: Project, state: State, kills: int, seed: int, keep: Any) -> int:
    """Run and kill until a run has ended; return its exit code."""
    last: tuple[dict[int, str], float] | None = None
    while True:
        run, number = Run(project), len(state.kills)
        after_s = random.Random(f"{seed} {number}").uniform(2, max(6.0, state.whole_s / 4))
        code = run.wait(after_s if number < kills else None)
        if last:  # the processes of the kill before, beside which this run was started
            state.kills[-1].outlived.extend(outlived(project.root, *last))
            last = None
        if code is not None:
            return code
        stage, running = run.kill(group=number % 2 == 1)
        deadline = time.monotonic() + _GRACE_S
        state.kills.append(Kill(number % 2 == 1, round(after_s, 1), stage, []))
        if number % 4 < 2:
            state.kills[-1].outlived.extend(outlived(project.root, running, deadline))
        else:
            last = running, deadline
        keep()
        print(f"{number + 1} of {kills} kills: {state.kills[-1]}", file=sys.stderr, flush=True)


def summary(state: State) -> dict[str, Any]:
    """Return the figures."""
    return {
        "kills": dict(Counter("group" if kill.group else "dvc" for kill in state.kills)),
        "stages": dict(Counter(kill.stage for kill in state.kills)),
        "exit_codes": state.codes,
        "files_compared": len(state.expected),
        "files_that_differ": state.differing,
        "outlived_their_dvc": [command for kill in state.kills for command in kill.outlived],
        "tracebacks": state.tracebacks,
        "undisturbed_s": round(state.whole_s),
        "seconds": round(state.seconds),
    }


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def main() -> int:
    """Kill, print what came of it; exit code 1 unless everything is as if nothing had happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keeps what was done; default: a temporary folder")
    given = parser.parse_args()
    with contextlib.nullcontext(given.folder) if given.folder else tempfile.TemporaryDirectory() as folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        found = summary(measure(Path(folder).resolve(), given.kills, given.seed))
    print(json.dumps(found, indent=2))
    wrong = found["files_that_differ"] or found["outlived_their_dvc"] or found["tracebacks"] or any(found["exit_codes"])
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
