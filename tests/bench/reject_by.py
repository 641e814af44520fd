"""What rejection keeps of right answers in noise, and what it lets through of noise alone; prints two tables.

    python -m tests.bench.reject_by LABEL [--variant NAME]

Run it in a project whose sweep is made, of a multi-class task with a label LABEL of background sounds. The variant
(the float32 baseline) hears the validation clips of all other labels clean, and with validation clips of LABEL or made
noise behind them, mixed as `train.vary.background` mixes clips. Limits are chosen on the clean validation split for
0.95 kept, as the product chooses them; the last column's distance is from the clips of the other labels alone. The test
split takes no part. Noise alone is *let through* if it is neither unknown nor LABEL.
"""

import argparse
from dataclasses import replace

import numpy as np

from stages.core.artifacts import dataset
from stages.core.artifacts.dataset import Split
from stages.core.artifacts.variant import read_variants
from stages.core.project import layout, tables
from stages.core.scoring import rejection
from stages.core.scoring.baseline import baseline
from stages.core.training.surroundings import with_background
from stages.evaluate.scoring import score
from stages.evaluate.unknown import probes
from stages.runtime.rejection import FRONTEND, Rejection
from tests.bench.recipes import rows_of

MEASURES = ("max_probability", FRONTEND, rejection.WITH_SCORES)
SHARE, SNR_DB = 0.95, (20.0, 10.0, 5.0, 0.0)


def behind(words: Split, noise: Split, snr_db: float) -> Split:
    """Return clips with a clip of noise behind each."""
    others = noise.x[np.random.default_rng(1).integers(len(noise), size=len(words))]
    shape = (len(words), *words.x.shape[1:3], -1)
    mixed = with_background(words.x.reshape(shape), others.reshape(shape), np.full(len(words), snr_db))
    return replace(words, x=mixed.astype(np.float32).reshape(words.x.shape))


def main() -> None:
    """Score, choose limits, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("label")
    parser.add_argument("--variant")
    given = parser.parse_args()
    name = given.variant or baseline(read_variants(layout.SWEEP / "variants.json")).name
    model = layout.SWEEP / f"{name}.tflite"
    train, validation = (dataset.read_split(layout.FEATURES, side) for side in ("train", "validation"))
    which = validation.labels.index(given.label)
    sounds, scores = rejection.Sounds(train.x, validation.x), score(model, validation.crops)
    rules: list[Rejection] = []
    for measure in MEASURES:
        fitted = rejection.fit(scores, validation.groups, measure=measure, share=SHARE, sounds=sounds)
        assert fitted.rule is not None, fitted.reason
        rules.append(fitted.rule)
    is_word = validation.y != which
    words, noise = (rows_of(validation, rows) for rows in (is_word, ~is_word))
    alone_sounds = rejection.Sounds(train.x[train.y != which], words.x)
    fitted = rejection.fit(scores[is_word], words.groups, measure=FRONTEND, share=SHARE, sounds=alone_sounds)
    assert fitted.rule is not None, fitted.reason
    rules.append(fitted.rule)
    rows = []
    alone = {given.label: noise, **probes(layout.FEATURES, 1, validation)}
    heard = {"clean": words}
    for kind in (given.label, "white_noise", "pink_noise"):
        heard |= {f"{kind}, {snr:g} dB": behind(words, alone[kind], snr) for snr in SNR_DB}
    for title, clips in heard.items():
        outputs = score(model, clips.crops)
        right = outputs.argmax(axis=1) == clips.y
        kept = [rule.excess(outputs, rule.sound(clips.x)) >= 0 for rule in rules]
        rows.append((title, f"{right.mean():.3f}", *(f"{each[right].mean():.3f}" for each in kept)))
    head = (*(measure.replace("_", " ") for measure in MEASURES), f"frontend distance without {given.label}")
    print(f"{name}: {len(words)} clips of {len(np.unique(words.groups))} groups, {len(noise)} of {given.label}\n")
    print(tables.markdown(("right answers kept", "right", *head), rows, text_columns=1))
    rows = []
    for title, clips in alone.items():
        outputs = score(model, clips.crops)
        named = outputs.argmax(axis=1) != which
        through = [named & (rule.excess(outputs, rule.sound(clips.x)) >= 0) for rule in rules]
        rows.append((title, f"{named.mean():.3f}", *(f"{each.mean():.3f}" for each in through)))
    print("\n" + tables.markdown(("noise let through", "no rule", *head), rows, text_columns=1))


if __name__ == "__main__":
    main()
