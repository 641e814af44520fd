"""AUROC of known words against noise, for networks trained with and without a background class; prints a table.

    python -m tests.bench.background LABEL [--recordings FOLDER] [--epochs N]

Run it in a project whose sweep is made, of a multi-class task with a label LABEL of background sounds. A second network
learns the other labels alone, by the recipe of `params.yaml` without the background behind them, in `--epochs` epochs
(those of the recipe). Both are heard in float32 and full integers. Known are the test clips of the other labels,
unknown the test clips of LABEL, made noise and chords, and recordings in FOLDER, cut into clips. *AUROC* is of the
highest probability of a label other than LABEL; in brackets the share of the unknown that is kept where 0.95 of the
known are.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from stages.core.artifacts import dataset
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.dataset import Split
from stages.core.artifacts.variant import read_variants
from stages.core.audio import decode
from stages.core.nn.keras import make_deterministic
from stages.core.project import layout, params, tables
from stages.evaluate.scoring import score
from stages.evaluate.unknown import KNOWN_KEPT, probes
from stages.runtime.litert import Model
from stages.train.params import TrainParams
from tests.bench.promise import trained
from tests.bench.recipes import rows_of
from tests.bench.unknown import without

SCHEMES = ("float32", "static_wi8_ai8")
SEED = 1


def cut(path: Path, like: Split) -> Split:
    """Return a recording as clips, one after the other, as a split would hold them."""
    frontend, model = frontend_file.read(layout.FEATURES), Model(layout.FEATURES / "frontend.tflite")
    samples = decode.load(path, frontend.sample_rate, frontend.hearing)
    n = len(samples) // frontend.clip_samples
    clips = samples[: n * frontend.clip_samples].reshape(n, frontend.clip_samples)
    names = np.arange(n).astype(str)
    x = np.stack([model.run(clip[np.newaxis])[0] for clip in clips])
    return replace(like, x=x, y=np.zeros(n, np.int64), clip_ids=names, groups=names, sites=np.full(n, ""))


def auroc(model: Path | bytes, known: Split, unknown: dict[str, Split], background: int | None) -> tuple[str, ...]:
    """Return the AUROC, and the share kept where 0.95 of the known are, for each kind of unknown sound."""

    def confidence(split: Split) -> np.ndarray:
        scores = score(model, split.crops)
        words = scores if background is None else np.delete(scores, background, axis=1)
        return np.asarray(words.max(axis=1))

    ours, found = confidence(known), []
    for split in unknown.values():
        theirs = confidence(split)
        truth = np.repeat([1, 0], [len(ours), len(theirs)])
        kept = np.mean(theirs >= np.quantile(ours, 1 - KNOWN_KEPT, method="lower"))
        found.append(f"{roc_auc_score(truth, np.concatenate([ours, theirs])):.3f} ({kept:.2f})")
    return tuple(found)


def main() -> None:
    """Train, hear and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("label")
    parser.add_argument("--recordings", type=Path)
    parser.add_argument("--epochs", type=int)
    given = parser.parse_args()
    make_deterministic(SEED, 1)
    train, test = (dataset.read_split(layout.FEATURES, side) for side in ("train", "test"))
    which = test.labels.index(given.label)
    known, noise = rows_of(test, test.y != which), rows_of(test, test.y == which)
    unknown = probes(layout.FEATURES, SEED, test) | {given.label: noise}
    for path in sorted(given.recordings.iterdir()) if given.recordings else ():
        unknown[path.stem] = cut(path, noise)
    recipe = params.load(TrainParams, params.read().get("train") or {}, "train")
    alone = replace(
        recipe,
        epochs=given.epochs or recipe.epochs,
        vary=recipe.vary and replace(recipe.vary, background=None, background_db=None),
    )
    found = trained(without(train, which)[0], alone, SEED)
    kept = {each.scheme: each.name for each in read_variants(layout.SWEEP / "variants.json") if not each.criterion}
    rows = [(f"without {given.label}", scheme, *auroc(found[scheme], known, unknown, None)) for scheme in SCHEMES]
    for scheme in SCHEMES:
        model = layout.SWEEP / f"{kept[scheme]}.tflite"
        rows.append((f"with {given.label}", scheme, *auroc(model, known, unknown, which)))
    print(f"{len(known)} known test clips of {len(np.unique(known.groups))} groups\n")
    head = (f"{kind} ({len(split)})" for kind, split in unknown.items())
    print(tables.markdown(("network", "scheme", *head), rows, text_columns=2))


if __name__ == "__main__":
    main()
