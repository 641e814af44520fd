"""What the report of a sweep costs: seconds to read and to write it, and bytes, by number of variants.

`python -m tests.bench.report [VARIANTS ...]`; 100, 1000 and 10000 if not given. Prints JSON.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from stages.core.scoring.metrics import MetricParams
from stages.report import facts, stage
from tests.report import made_up

ROUNDS = 3


def measure(variants: int, folder: Path) -> dict[str, float]:
    """Return the median seconds, and the bytes, of a report of so many variants, three seeds each."""
    places, target = made_up.write(folder, variants=variants, seeds=3, sites=True), folder / "report.html"
    reading, writing = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = facts.read(places, MetricParams())
        read = time.perf_counter()
        stage.write(found, target)
        reading.append(read - start)
        writing.append(time.perf_counter() - read)
    return {
        "variants": variants,
        "read_s": round(statistics.median(reading), 3),
        "write_s": round(statistics.median(writing), 3),
        "bytes": target.stat().st_size,
    }


def main() -> None:
    """Measure each number of variants."""
    for variants in map(int, sys.argv[1:] or ("100", "1000", "10000")):
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(variants, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
