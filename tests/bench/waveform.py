"""Full-integer networks on raw audio: their first convolution at several places at once, against one; prints JSON.

    python -m tests.bench.waveform [--rounds 200]

Both files of a network take turns on one clip, one thread; `ratio` is of medians, above 1 where frames are faster.
Weights are random, of the published shapes; the scores are the same to the bit.
"""

import argparse
import json
import os
import time

import numpy as np

from stages.core.nn import network
from stages.core.project import compression
from stages.quantize.convert import to_float32
from stages.quantize.params import QuantizeParams
from stages.quantize.waveform import with_frames
from stages.runtime.litert import Model

NETWORKS = ("micro_acdnet", "acdnet")
SHAPE = (30_225, 1)


def measure(name: str, rounds: int) -> dict[str, float | list[float]]:
    """Return the milliseconds and bytes of both files, the plain one first, and the ratio of the times."""
    model, _ = network.build(name, {}, SHAPE, 10)
    clips = np.random.default_rng(1).normal(size=(16, *SHAPE)).astype(np.float32)
    scheme, config = QuantizeParams().scheme("static_wi8_ai8")
    plain = bytes(scheme.quantize(config, to_float32(model), clips))
    files = plain, with_frames(plain)
    models, ms = [Model(file) for file in files], np.zeros((rounds, 2))
    np.testing.assert_array_equal(models[0].run(clips), models[1].run(clips))
    for i in range(rounds):
        for j, each in enumerate(models):
            start = time.perf_counter()
            each.run(clips[:1])
            ms[i, j] = 1e3 * (time.perf_counter() - start)
    medians = np.median(ms, axis=0)
    return {
        "ms": medians.round(3).tolist(),
        "ratio": round(float(medians[0] / medians[1]), 2),
        "raw_bytes": [len(file) for file in files],
        "deflated_bytes": [compression.deflated_bytes(file) for file in files],
    }


def main() -> None:
    """Measure both networks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    found = {name: measure(name, rounds) for name in NETWORKS}
    print(json.dumps({"cpus": os.cpu_count(), "load_average": round(os.getloadavg()[0], 2)} | found, indent=2))


if __name__ == "__main__":
    main()
