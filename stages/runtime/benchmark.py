"""What a release costs on this machine: time per clip, memory, power, and the time to a first answer."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from stages.runtime import sensors
from stages.runtime.audio import read_wav
from stages.runtime.classify import Classifier
from stages.runtime.errors import RuntimeInputError
from stages.runtime.lines import Line

POWER_S = 2.0
COLD_STARTS = 3
_PERCENTILES = (50, 95, 99)

# The clock of `time.monotonic` is the machine's, so that parent and child can be compared.
_COLD_START = """
import time
marks = [time.monotonic()]
import sys
sys.path.insert(0, sys.argv[1])
import json
from pathlib import Path
from stages.runtime.audio import read_wav
from stages.runtime.classify import Classifier
marks.append(time.monotonic())
classifier = Classifier(Path(sys.argv[2]))
marks.append(time.monotonic())
classifier.classify(*read_wav(Path(sys.argv[3])))
marks.append(time.monotonic())
print(json.dumps(marks))
"""


def benchmark(
    folder: Path, *, threads: int = 1, warmup: int = 20, runs: int = 200, sys_folder: Path = sensors.SYS
) -> Line:
    """Measure a release on its first golden recording.

    Parameters
    ----------
    folder : Path
    threads : int
        Threads of each interpreter.
    warmup : int
        Untimed runs before the timed ones.
    runs : int
        Timed runs, at least 1.
    sys_folder : Path
        Where sysfs is.

    Returns
    -------
    dict
        ``frontend_ms``, ``model_ms`` and ``together_ms``, each ``{"p50", "p95", "p99"}``; ``real_time_factor``, seconds
        of work per second of sound; ``peak_rss_mib`` of this process; ``cold_start_s``, from starting Python to the
        first answer: ``{"interpreter", "imports", "load", "first_run", "total"}``, the quickest of a few;
        ``cpu_temperature_c`` ``{"before", "after"}``; ``throttling`` as `sensors.throttling` returns it; ``power_w``
        ``{"source", "idle", "busy"}`` and ``energy_mj`` of one clip, all that the machine uses while busy; ``threads``;
        ``runs``. What the machine does not tell is None.

    Raises
    ------
    RuntimeInputError
    """
    if runs < 1 or warmup < 0 or threads < 1:
        raise RuntimeInputError(f"runs and threads must be at least 1 and warmup 0; got {runs}, {threads}, {warmup}.")
    classifier = Classifier(folder, threads=threads)
    recording = folder / classifier.manifest.golden[0].file
    clip = classifier.clip(*read_wav(recording))[np.newaxis]
    before = sensors.cpu_temperature(sys_folder)
    for _ in range(warmup):
        _run(classifier, clip)
    seconds = np.array([_run(classifier, clip) for _ in range(runs)])
    together = seconds.sum(axis=1)
    after = sensors.cpu_temperature(sys_folder)
    power, energy = _power(classifier, clip, sensors.PowerMeter(sys_folder))
    manifest = classifier.manifest
    return {
        "frontend_ms": percentiles(seconds[:, 0]),
        "model_ms": percentiles(seconds[:, 1]),
        "together_ms": percentiles(together),
        "real_time_factor": round(float(np.median(together)) * manifest.sample_rate / manifest.clip_samples, 6),
        "peak_rss_mib": _peak_rss_mib(),
        "cold_start_s": _cold_start(folder, recording),
        "cpu_temperature_c": {"before": before, "after": after},
        "throttling": sensors.throttling(),
        "power_w": power,
        "energy_mj": energy,
        "threads": threads,
        "runs": runs,
    }


def _run(classifier: Classifier, clip: np.ndarray) -> tuple[float, float]:
    """Return the seconds that front end and model, over all crops, took one after the other as in use."""
    start = time.perf_counter()
    features = classifier.frontend.run(clip)
    between = time.perf_counter()
    classifier.model.mean_over_crops(features, classifier.manifest.crops)
    return between - start, time.perf_counter() - between


def percentiles(seconds: np.ndarray) -> dict[str, float]:
    """Return the median, the 95th and the 99th percentile of times, in ms.

    Examples
    --------
    >>> percentiles(np.array([0.001, 0.002, 0.003]))["p50"]
    2.0
    """
    return {f"p{p}": round(float(np.percentile(seconds, p)) * 1e3, 3) for p in _PERCENTILES}


def _peak_rss_mib() -> float:
    """Return the most that this process held; Linux' `ru_maxrss` would count what its parent held when it forked."""
    status = Path("/proc/self/status")
    if status.exists():
        kib = int(status.read_text().partition("VmHWM:")[2].split()[0])
    else:
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return round(kib / 1024, 1)


def _power(classifier: Classifier, clip: np.ndarray, meter: sensors.PowerMeter) -> tuple[Line | None, float | None]:
    """Return the power at rest and at work (W), and the energy of one clip (mJ)."""
    if meter.source is None:
        return None, None
    with meter.measure() as idle:
        time.sleep(POWER_S)
    clips, start = 0, time.perf_counter()
    with meter.measure() as busy:
        while time.perf_counter() - start < POWER_S:
            _run(classifier, clip)
            clips += 1
        seconds = time.perf_counter() - start
    if not idle or not busy:
        return None, None
    power = {"source": meter.source, "idle": round(idle[0], 3), "busy": round(busy[0], 3)}
    return power, round(busy[0] * seconds / clips * 1e3, 3)


def _cold_start(folder: Path, recording: Path) -> dict[str, float]:
    package_root = Path(__file__).resolve().parents[2]
    arguments = [str(path.resolve()) for path in (package_root, folder, recording)]
    quickest: list[float] = []
    for _ in range(COLD_STARTS):
        start = time.monotonic()
        finished = subprocess.run(
            [sys.executable, "-I", "-B", "-c", _COLD_START, *arguments], capture_output=True, text=True, check=False
        )
        if finished.returncode:
            raise RuntimeInputError(f"A fresh process could not classify {recording}: {finished.stderr.strip()}")
        marks = [start, *json.loads(finished.stdout)]
        if not quickest or marks[-1] - start < quickest[-1] - quickest[0]:
            quickest = marks
    parts = dict(zip(("interpreter", "imports", "load", "first_run"), np.diff(quickest), strict=True))
    return {name: round(float(value), 4) for name, value in (parts | {"total": quickest[-1] - quickest[0]}).items()}
