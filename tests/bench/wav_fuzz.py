"""Fuzz both WAV readers: `python -m tests.bench.wav_fuzz [CASES]` prints cases, wrong samples and tracebacks."""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from tests.wav_fuzz import Case, cases, violation


def main() -> int:
    """Run the cases; the exit code is 1 if any was wrong."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    counts: Counter[str] = Counter()
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:

        @settings(
            max_examples=n,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases())
        def fuzz(case: Case) -> None:
            counts["cases"] += 1
            counts["damaged" if case.damaged else "refused" if case.expected is None else "readable"] += 1
            wrong = violation(case, Path(folder) / "x.wav")
            if wrong is not None:
                print(wrong)
                counts["tracebacks" if " ends in " in wrong else "wrong samples"] += 1

        fuzz()
    told = ", ".join(
        f"{name} {counts[name]}" for name in ("cases", "readable", "refused", "damaged", "wrong samples", "tracebacks")
    )
    print(f"{told}; {time.process_time() - start:.0f} CPU seconds")
    return int(counts["wrong samples"] + counts["tracebacks"] > 0)


if __name__ == "__main__":
    sys.exit(main())
