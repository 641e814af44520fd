"""Kill -9 at every single file operation of a push, and see what the device runs.

The test starts this file as a script, which forks a push for every operation there is to die at.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stages.core.project import files
from stages.core.project.provenance import ROOT
from stages.push import rollout
from stages.push.transports import local
from stages.runtime import manifest, trust

OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.truncate"}


class QuickDevice(local.LocalTransport):
    """A device that answers as the runtime would, without a process of its own."""

    def run(self, folder: str, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        if "accept" in arguments:
            aside = self._folder / arguments[arguments.index("--folder") + 1]
            return subprocess.CompletedProcess([], 0, json.dumps(trust.accept(aside, self._folder)), "")
        if "remember" in arguments:
            return subprocess.CompletedProcess(
                [], 0, json.dumps(trust.remember(self._folder / "current", self._folder)), ""
            )
        release = manifest.load(self._folder / folder)
        damaged = manifest.damaged_files(self._folder / folder, release)
        if "selftest" in arguments:
            check = {"check": "files", "ok": not damaged, "detail": "missing or altered"}
            return subprocess.CompletedProcess(
                [], int(bool(damaged)), files.to_json({"checks": [check]}).replace("\n", "")
            )
        scores = [{"scores": dict(zip(release.labels, (0.75, 0.25), strict=True))} for _ in release.golden]
        return subprocess.CompletedProcess([], 0, "\n".join(files.to_json(s).replace("\n", "") for s in scores))


def make_bundle(folder: Path, model: str, version: int) -> Path:
    held = {"model.tflite": model, "frontend.tflite": "f", "golden/0.wav": "g", "MODEL_CARD.md": "c"}
    for path, text in held.items():
        files.write_text(folder / path, text)
    content = {
        "schema": 2,
        "name": model,
        "version": version,
        "device_class": "any",
        "card": "MODEL_CARD.md",
        "labels": ["no", "yes"],
        "threshold": 0.5,
        "sample_rate": 8000,
        "clip_samples": 8000,
        "files": {path: files.sha256(folder / path) for path in held},
        "golden": [{"file": "golden/0.wav", "scores": [0.25]}],
        "tolerance": 0.0,
        "model": {"sha256": files.sha256(folder / "model.tflite")},
    }
    files.write_json(folder / "manifest.json", content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def dies_at(n: int, device: QuickDevice, bundle: Path) -> bool:
    """Push in a child that is killed before its n-th file operation; return whether it came to that."""
    child = os.fork()
    if child == 0:
        left = n

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in OPERATIONS:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        rollout.deliver(device, bundle, keep=2)
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        first, old, new = (
            make_bundle(Path(scratch) / name, name, i) for i, name in enumerate(("first", "old", "new"), 1)
        )
        whole = [contents(old), contents(new)]
        template = Path(scratch) / "template"
        for bundle in (first, old):
            rollout.deliver(QuickDevice(local.Config(template), "quick"), bundle, keep=2)
        n, ran_old = 0, 0
        while True:
            n += 1
            folder = shutil.copytree(template, Path(scratch) / "device", symlinks=True)
            device = QuickDevice(local.Config(folder), "quick")
            if not dies_at(n, device, new):
                break
            found = contents(folder / "current")
            assert found in whole, f"operation {n}: the device runs {sorted(found)}"
            ran_old += found == whole[0]
            releases = [contents(folder / "releases" / name) for name in device.names("releases")]
            assert all(release in [*whole, contents(first)] for release in releases), (
                f"operation {n}: a partial release"
            )
            rollout.deliver(device, new, keep=2)
            assert contents(folder / "current") == whole[1], f"operation {n}: the next push did not heal"
            assert len(device.names("releases")) == 2, f"operation {n}: {device.names('releases')}"
            assert device.names("aside") == [], f"operation {n}: {device.names('aside')}"
            shutil.rmtree(folder)
        print(n - 1, ran_old)


def test_killed_at_every_file_operation_the_device_runs_one_release_whole() -> None:
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.defpath}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    killed, ran_old = map(int, done.stdout.split())
    assert killed > 40
    assert 20 < ran_old < killed  # some died before the switch and some after it


if __name__ == "__main__":
    main()
