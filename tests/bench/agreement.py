"""Agreement of good and of broken files with their networks, for every scheme and architecture; prints Markdown.

    python -m tests.bench.agreement [--architecture ds_cnn edac_cnn ...] [--clips 64]

Every architecture, half pruned and its normalisation settled, is made into a file of every scheme and compared with its
network on clips that calibration did not see (`stages.quantize.agreement`). *broken* files are the float32 file
with its last kernel zeroed, its classes exchanged, its last kernel scaled by 3, 0.3 or -1, and then quantised. The
limits of `stages.quantize.agreement` must lie between the two.
"""

import argparse
from collections.abc import Callable

import numpy as np

from stages.core.litert import flatbuffer
from stages.core.project import plugins, tables
from stages.core.project.errors import ModelError
from stages.quantize import agreement
from stages.quantize.agreement import Agreement
from stages.quantize.convert import to_float32
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.runtime.litert import Model
from tests.quantize.test_architectures import CASES, settled

BROKEN: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "last kernel zeroed": np.zeros_like,
    "classes exchanged": lambda kernel: kernel[::-1] if len(kernel) > 1 else -kernel,
    "last kernel times 3": lambda kernel: 3 * kernel,
    "last kernel times 0.3": lambda kernel: 0.3 * kernel,
    "last kernel times -1": np.negative,
}


def last_kernel(float32: bytes, change: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """Return the file with another last kernel."""
    constants, last = flatbuffer.float_constants(float32), flatbuffer.read(float32).prunable[-1]
    return flatbuffer.with_float_constants(float32, {last.name: change(constants[last.name])})


def measure(architecture: str, n_clips: int) -> dict[tuple[str, str], Agreement | str]:
    """Return the agreement of every file, by scheme and what was broken; the message where it is refused otherwise."""
    shape, _ = CASES[architecture]
    good = to_float32(settled(architecture))
    clips = np.random.default_rng(7).normal(size=(24 + n_clips, *shape)).astype(np.float32)
    seen, unseen = clips[:24], clips[24:]
    expected = Model(good).run(unseen)
    files = {"": good} | {name: last_kernel(good, change) for name, change in BROKEN.items()}
    found: dict[tuple[str, str], Agreement | str] = {}
    for name in plugins.names(SCHEMES):
        scheme, config = QuantizeParams().scheme(name)
        for fault, float32 in files.items():
            try:
                scores = Model(scheme.quantize(config, float32, seen)).run(unseen)
                found[name, fault] = agreement.measure(scores, expected)
            except ModelError as error:
                found[name, fault] = str(error)
    return found


def main() -> None:
    """Print a row per architecture, scheme and fault, and whether the check passes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", nargs="+", choices=sorted(CASES), default=sorted(CASES))
    parser.add_argument("--clips", type=int, default=64)
    given = parser.parse_args()
    rows = []
    for architecture in given.architecture:
        for (scheme, fault), found in measure(architecture, given.clips).items():
            if isinstance(found, str):
                rows.append((architecture, scheme, fault, "", "", "", "", "refused"))
                continue
            try:
                agreement.require(found, QuantizeParams().scheme(scheme)[0], architecture)
                verdict = "passes"
            except ModelError:
                verdict = "refused"
            ranks = "" if found.rank_correlation is None else f"{found.rank_correlation:.4f}"
            scale = "" if found.scale is None else f"{found.scale:.2f}"
            rows.append(
                (
                    architecture,
                    scheme,
                    fault,
                    ranks,
                    scale,
                    f"{found.median_difference:.2g}",
                    f"{found.mean_shift:.2g}",
                    verdict,
                )
            )
    print(
        tables.markdown(
            ("architecture", "scheme", "broken", "rank correlation", "scale", "median difference", "shift", "check"),
            rows,
        )
    )


if __name__ == "__main__":
    main()
