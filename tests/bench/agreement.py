"""Agreement of good and of broken files with their networks, for every scheme; prints Markdown.

    python -m tests.bench.agreement [--architecture ds_cnn edac_cnn ...] [--clips 64]
    python -m tests.bench.agreement --cells models/cells --features data/features

The first makes every architecture, half pruned and its normalisation settled, into a file of every scheme and compares
it with its network on clips that calibration did not see (`stages.quantize.agreement`). The second does so with the
trained networks of a sweep, on validation clips. *broken* files are the float32 file with its last kernel zeroed, its
classes exchanged, its last kernel scaled by 3, 0.3 or -1, and then quantised. The limits of `stages.quantize.agreement`
must lie between the two. A summary by scheme follows: extremes of the good files, and the broken ones that pass.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from stages.core.artifacts import dataset
from stages.core.litert import flatbuffer
from stages.core.project import plugins, tables
from stages.core.project.errors import ModelError
from stages.evaluate.scoring import score
from stages.quantize import agreement
from stages.quantize.agreement import Agreement
from stages.quantize.calibration import calibration_set
from stages.quantize.convert import to_float32
from stages.quantize.params import SCHEMES, QuantizeParams
from tests.quantize.test_architectures import CASES, settled

BROKEN: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "last kernel zeroed": np.zeros_like,
    "classes exchanged": lambda kernel: kernel[::-1] if len(kernel) > 1 else -kernel,
    "last kernel times -1": np.negative,
    "last kernel times 3": lambda kernel: 3 * kernel,
    "last kernel times 0.3": lambda kernel: 0.3 * kernel,
}
Found = tuple[str, str, str, Agreement | None, str]
"""Network, scheme, fault, agreement, and why the file is refused; empty if it passes."""


def last_kernel(float32: bytes, change: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """Return the file with another last kernel."""
    constants, last = flatbuffer.float_constants(float32), flatbuffer.read(float32).prunable[-1]
    return flatbuffer.with_float_constants(float32, {last.name: change(constants[last.name])})


def settled_networks(names: list[str], n_clips: int) -> Iterator[tuple[str, bytes, np.ndarray, np.ndarray]]:
    """Yield networks that are not trained: name, float32 file, clips for calibration, and clips to compare on."""
    for name in names:
        clips = np.random.default_rng(7).normal(size=(24 + n_clips, *CASES[name][0])).astype(np.float32)
        yield name, to_float32(settled(name)), clips[:24], clips[24:, np.newaxis]


def trained_networks(cells: Path, features: Path, n_clips: int) -> Iterator[tuple[str, bytes, np.ndarray, np.ndarray]]:
    """Yield the networks of a sweep likewise."""
    train, validation = dataset.read_split(features, "train"), dataset.read_split(features, "validation")
    calibration = calibration_set(train.crops, n=128, seed=1234)
    for folder in sorted(cells.glob("finetuned/*")):
        yield folder.name[:6], (folder / "float32.tflite").read_bytes(), calibration, validation.crops[:n_clips]


def judged(name: str, good: bytes, calibration: np.ndarray, clips: np.ndarray) -> Iterator[Found]:
    """Yield how good and broken files of every scheme agree with a network, and whether they pass."""
    expected = score(good, clips)
    files = {"": good} | {fault: last_kernel(good, change) for fault, change in BROKEN.items()}
    for name_of_scheme in plugins.names(SCHEMES):
        scheme, config = QuantizeParams().scheme(name_of_scheme)
        for fault, float32 in files.items():
            found, why = None, ""
            try:
                found = agreement.measure(score(scheme.quantize(config, float32, calibration), clips), expected)
                agreement.require(found, scheme, name)
            except ModelError as error:
                why = str(error)
            yield name, name_of_scheme, fault, found, why


def row(found: Found) -> tuple[str, ...]:
    """Return one line of the long table."""
    name, scheme, fault, agreed, why = found
    figures = ["", "", "", ""]
    if agreed is not None:
        ranks, scale = agreed.rank_correlation, agreed.scale
        figures = ["" if ranks is None else f"{ranks:.4f}", "" if scale is None else f"{scale:.2f}"]
        figures += [f"{agreed.median_difference:.2g}", f"{agreed.mean_shift:.2g}"]
    return name, scheme, fault, *figures, "refused" if why else "passes"


def extremes(found: list[Found]) -> list[tuple[str, ...]]:
    """Return a line per scheme: extremes of its good files, good files that are refused, broken ones that pass."""
    rows: list[tuple[str, ...]] = []
    for scheme in dict.fromkeys(each[1] for each in found):
        good = [agreed for _, name, fault, agreed, _ in found if name == scheme and not fault and agreed is not None]
        refused = sum(bool(why) for _, name, fault, _, why in found if name == scheme and not fault)
        passed = Counter(fault for _, name, fault, _, why in found if name == scheme and fault and not why)
        ranks = [each.rank_correlation for each in good if each.rank_correlation is not None]
        scales = [each.scale for each in good if each.scale is not None]
        differences = max(max(each.median_difference, each.mean_shift) for each in good)
        rows.append(
            (
                scheme,
                f"{min(ranks, default=np.nan):.3f}",
                f"{min(scales, default=np.nan):.2f} to {max(scales, default=np.nan):.2f}",
                f"{differences:.2g}",
                f"{refused} of {len(good)}",
                "; ".join(f"{fault} {n}" for fault, n in passed.items()) or "none",
            )
        )
    return rows


def main() -> None:
    """Print a row per network, scheme and fault, and the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", nargs="+", choices=sorted(CASES), default=sorted(CASES))
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--cells", type=Path)
    parser.add_argument("--features", type=Path)
    given = parser.parse_args()
    if given.cells and given.features:
        networks = trained_networks(given.cells, given.features, given.clips)
    else:
        networks = settled_networks(given.architecture, given.clips)
    found = [each for network in networks for each in judged(*network)]
    long = ("network", "scheme", "broken", "rank correlation", "scale", "median difference", "shift", "check")
    print(tables.markdown(long, [row(each) for each in found]))
    short = ("scheme", "lowest rank correlation", "scale", "largest difference", "good refused", "broken that pass")
    print("\n" + tables.markdown(short, extremes(found)))


if __name__ == "__main__":
    main()
