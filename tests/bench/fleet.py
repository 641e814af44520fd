"""Time to bring a release to many devices, against one; prints JSON.

    python -m tests.bench.fleet [--devices 20] [--runs 3]

Every device is a folder behind one real sshd on loopback, so home and all devices share this machine's cores, while
real devices work on their own: what a push costs home itself, `home_cpu_s_per_device`, bounds those. Each run begins
with new devices. The models are tiny, the steps are those of every push: upload, acceptance of the signed release,
self-test, switch, self-test and golden scores through `current`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from stages.push import fleet, identity, signing
from stages.push.params import Device, PushParams, RolloutParams, devices
from tests.push import loopback

TINY = "import sys; from pathlib import Path; from tests.push import tiny; tiny.write_bundles(Path(sys.argv[1]))"


def measure(count: int, runs: int) -> dict[str, Any]:
    """Push to one device and to `count` at a time, in turns."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        subprocess.run([sys.executable, "-c", TINY, scratch], check=True, stderr=subprocess.DEVNULL)
        public = signing.new_key(scratch / "signing.pem")
        os.environ[signing.ENVIRONMENT] = str(scratch / "signing.pem")
        sshd = loopback.Sshd(scratch / "sshd")
        try:
            one, many, home = [], [], []
            for run in range(runs):
                one.append(seconds(sshd, scratch / f"one{run}", 1, public))
                cpu_s = time.process_time()
                many.append(seconds(sshd, scratch / f"many{run}", count, public))
                home.append(time.process_time() - cpu_s)
        finally:
            sshd.stop()
    one_s, many_s = statistics.median(one), statistics.median(many)
    return {
        "devices": count,
        "cores": os.cpu_count(),
        "one_s": round(one_s, 2),
        "all_s": round(many_s, 2),
        "ratio": round(many_s / one_s, 1),
        "one_after_another_ratio": count,
        "home_cpu_s_per_device": round(statistics.median(home) / count, 3),
        "runs_s": {"one": [round(s, 2) for s in one], "all": [round(s, 2) for s in many]},
    }


def seconds(sshd: loopback.Sshd, folder: Path, count: int, public: bytes) -> float:
    """Return how long a push to `count` new devices takes, all at a time."""
    push = PushParams(
        rollout=RolloutParams(canary=0, parallel=count, stop_at_failures=count + 1),
        devices=tuple(
            {
                "name": f"device{n}",
                "transport": "ssh",
                "host": "127.0.0.1",
                "port": sshd.port,
                "folder": str(make_device(folder / str(n))),
                "host_key": sshd.host_key,
                "key_file": str(sshd.folder / "client"),
            }
            for n in range(count)
        ),
    )
    known = devices(push)

    def introduce(device: Device) -> None:
        identity.trust_key(device.connect(), public)

    fleet.ask(known, introduce, parallel=count)
    start = time.perf_counter()
    results = fleet.push(known, folder.parents[0] / "selected0", version=1, params=push)
    taken = time.perf_counter() - start
    failed = [result.reason for result in results if result.outcome != "installed"]
    if failed:
        raise SystemExit("\n".join(failed))
    return taken


def make_device(folder: Path) -> Path:
    """Make a device's folder, where this very Python is the one that runs the runtime."""
    python = folder / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    print(json.dumps(measure(given.devices, given.runs), indent=2))
