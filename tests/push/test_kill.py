"""Kill -9 at every single file operation of a push, and see what the device runs.

The test starts this file as a script, which forks a push for every operation there is to die at.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from stages.core.project.provenance import ROOT
from stages.push import rollout
from stages.push.transports import local
from tests.push.quick import QuickDevice, contents, make_bundle

pytestmark = pytest.mark.thorough

OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.truncate"}


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
