"""A few of the faults of `faults.py` that no other test knows; all of them are `python -m tests.push.faults`."""

import json
import shutil
import subprocess
import sys

import pytest

from stages.core.project.provenance import ROOT

pytestmark = pytest.mark.thorough

QUICK = ["connection cut", "disk full", "path traversal", "pusher killed at a step", "device killed"]


@pytest.mark.skipif(shutil.which("sshd", path="/usr/sbin") is None, reason="needs an OpenSSH server")
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_whatever_happens_the_device_runs_one_release_whole_and_the_next_push_succeeds() -> None:
    command = [sys.executable, "-m", "tests.push.faults", "--quick", "--kind", *QUICK]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["cases"], found["broken"]) == (len(QUICK), [])
    assert all(kind["ran_old"] + kind["ran_new"] == 1 for kind in found["by_kind"].values())
