"""An hour of 48 kHz stereo on the device's reader and classifier: `python -m tests.bench.long_recording [MINUTES]`.

Prints, each in a process of its own, the peak memory and the time of reading all of it, of reading it resampled, and of
classifying it in windows of one second, and how far the time stamp of a planted event is off.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from tests.runtime.conftest import build_release

RATE, EVENT_S, HOP_S = 48_000, 0.6, 0.5

MEASURED = """
import sys, time
from pathlib import Path
start = time.process_time()
{work}
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
print(f"{{peak:.0f}} MiB at most, {{time.process_time() - start:.1f}} CPU seconds", file=sys.stderr)
"""
NOTHING = """
import numpy
"""
READ = """
from stages.runtime.audio import Resampler
from stages.runtime.hearing import Hearing, Listener
from stages.runtime.wav import open_wav
for samples in Listener(open_wav(Path(sys.argv[1])), Hearing()).blocks():
    pass
"""
RESAMPLED = READ.replace("for samples", "resampler = Resampler(48_000, 16_000)\nfor samples").replace(
    "    pass", "    resampler.push(samples)"
)
LOADED = """
from stages.runtime.classify import Classifier
Classifier(Path())
"""
CLASSIFIED = f"""
from stages.runtime.__main__ import main
sys.argv[1:] = ["classify", "--hop-s", "{HOP_S}", sys.argv[1]]
main()
"""


def main() -> None:
    """Write the recording and run each."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with tempfile.TemporaryDirectory() as folder:
        recording, release = Path(folder) / "hour.wav", Path(folder) / "release"
        event_s = write(recording, minutes)
        build_release(release, 1)
        print(f"{minutes:g} minutes, {recording.stat().st_size / 1e6:.0f} MB")
        for name, work in (
            ("numpy alone", NOTHING),
            ("read", READ),
            ("read and resampled to 16 kHz", RESAMPLED),
            ("classifier loaded", LOADED),
            (f"classified every {HOP_S} s", CLASSIFIED),
        ):
            command = [sys.executable, "-c", MEASURED.format(work=work), str(recording)]
            done = subprocess.run(command, cwd=release, capture_output=True, text=True, check=True)
            print(f"{name}: {done.stderr.splitlines()[-1]}")
        (answer,) = map(json.loads, done.stdout.splitlines())
        hits = [window["start_s"] for window in answer["windows"] if not window.get("silent")]
        covered = [start for start in hits if start <= event_s and start + 1 >= event_s + EVENT_S]
        print(
            f"{len(answer['windows'])} windows, {len(done.stdout) / 1e6:.1f} MB; event at {event_s:.2f} "
            f"s is heard in windows from {hits[0]:g} to {hits[-1] + 1:g} s, wholly in {covered}"
        )
        assert abs(hits[-1] - event_s) <= HOP_S + EVENT_S
        assert covered


def write(path: Path, minutes: float) -> float:
    """Write faint noise with one event in it, and return when that begins (seconds)."""
    rng, n_blocks = np.random.default_rng(0), round(minutes * 6)
    event_s = 10 * (n_blocks // 2) + 3.21
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16", format="WAV") as file:
        for block in range(n_blocks):
            samples = rng.uniform(-0.0005, 0.0005, (10 * RATE, 2))
            if block == n_blocks // 2:
                first = round(3.21 * RATE)
                samples[first : first + round(EVENT_S * RATE)] = rng.uniform(-0.9, 0.9, (round(EVENT_S * RATE), 2))
            file.write(samples)
    return event_s


if __name__ == "__main__":
    main()
