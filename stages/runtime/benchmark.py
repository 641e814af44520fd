"""What a release costs on this machine: time per clip, memory, and the time to a first answer."""

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from stages.runtime.audio import read_wav
from stages.runtime.classify import Classifier
from stages.runtime.errors import RuntimeInputError
from stages.runtime.litert import latency


def benchmark(folder: Path, *, threads: int = 1, warmup: int = 20, runs: int = 200) -> dict[str, Any]:
    """Measure a release on its first golden recording.

    Parameters
    ----------
    folder : Path
    threads : int
        Of each interpreter.
    warmup : int
        Untimed runs before the timed ones.
    runs : int
        Timed runs, at least 1.

    Returns
    -------
    dict
        ``frontend_ms``, ``model_ms`` and ``together_ms``, each ``{"p50", "p95"}``; ``peak_rss_mib`` of this process;
        ``cold_start_s``, from starting Python to the first answer; ``threads``, ``runs``.

    Raises
    ------
    RuntimeInputError
    """
    if runs < 1 or warmup < 0 or threads < 1:
        raise RuntimeInputError(f"runs and threads must be at least 1 and warmup 0; got {runs}, {threads}, {warmup}.")
    classifier = Classifier(folder, threads=threads)
    recording = folder / classifier.manifest.golden[0].file
    clip = classifier.clip(*read_wav(recording))
    features = classifier.frontend.run(clip[np.newaxis])[0]
    frontend_s = latency(classifier.frontend, clip, warmup=warmup, runs=runs)
    model_s = latency(classifier.model, features, warmup=warmup, runs=runs)
    return {
        "frontend_ms": _percentiles(frontend_s),
        "model_ms": _percentiles(model_s),
        "together_ms": _percentiles(frontend_s + model_s),
        "peak_rss_mib": round(_peak_rss_bytes() / 2**20, 1),
        "cold_start_s": round(_cold_start_s(folder, recording), 3),
        "threads": threads,
        "runs": runs,
    }


def _percentiles(seconds: np.ndarray) -> dict[str, float]:
    return {f"p{p}": round(float(np.percentile(seconds, p)) * 1e3, 3) for p in (50, 95)}


def _peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cold_start_s(folder: Path, recording: Path) -> float:
    command = [sys.executable, "-m", "stages.runtime", "classify", str(recording.resolve())]
    package_root = Path(__file__).resolve().parents[2]
    start = time.perf_counter()
    finished = subprocess.run(
        [*command, "--folder", str(folder.resolve())], cwd=package_root, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if finished.returncode:
        raise RuntimeInputError(f"A fresh process could not classify {recording}: {finished.stderr.strip()}")
    return seconds
