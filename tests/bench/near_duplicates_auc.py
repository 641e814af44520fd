"""ROC-AUC with and without near-duplicates in one group.

    python -m tests.bench.near_duplicates_auc FOLDER [--draws 5]

FOLDER holds covid19-cough as published. Plain classifiers and a small network, all on pooled spectra, score every
recording without its group, in five parts, drawn anew for each draw. Both ways of grouping have the same draws.
"""

import argparse
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stages.core.artifacts.recordings import read_index
from stages.core.project.params import load
from stages.naive import spectra
from stages.pull.joining import merge_groups
from stages.pull.params import PullParams
from stages.pull.stage import pull

PARTS = 5
MODELS: dict[str, Callable[[int], Any]] = {
    "trees": lambda seed: ExtraTreesClassifier(100, class_weight="balanced", random_state=seed),
    "network": lambda seed: make_pipeline(
        StandardScaler(), MLPClassifier((64,), alpha=1.0, max_iter=60, random_state=seed)
    ),
}


def main() -> None:
    """Run the benchmark."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        params = load(PullParams, {"source": "covid19_cough", "near_duplicates": {"action": "report"}}, "pull")
        places = {each: out / each for each in ("recordings", "index", "labels", "report")}
        found = pull(params, mirror=asked.folder, **places)
        recordings = read_index(out / "index")
        x = spectra.describe_all([(r.path, r.span) for r in recordings], workers=2)
    y = np.array([r.label == "positive" for r in recordings], int)
    telegram = np.array([r.site == "telegram" for r in recordings])
    apart = {r.recording_id: r.group for r in recordings}
    pairs = [(p.first, p.second) for p in found.near_duplicates]
    links = [(apart[each], f"{first}|{second}") for first, second in pairs for each in (first, second)]
    joined = merge_groups([*((group, group) for group in apart.values()), *links])
    doubled = np.array([any(r.recording_id in pair for pair in pairs) for r in recordings])
    print(f"{len(y)} recordings, {telegram.sum()} by telegram; {len(pairs)} near-duplicate pairs of {doubled.sum()}")
    groups = {"apart": list(apart.values()), "joined": [joined[group] for group in apart.values()]}
    for model, make in MODELS.items():
        for side, of in (("all", telegram | True), ("telegram", telegram), ("of the pairs", doubled)):
            values: dict[str, list[float]] = {how: [] for how in groups}
            for draw in range(asked.draws):
                for how, given in groups.items():
                    values[how].append(_auc(make, x, y, given, draw, of))
            change = np.subtract(values["apart"], values["joined"])
            shown = ", ".join(f"{how} {np.mean(each):.3f}" for how, each in values.items())
            print(f"{model:8} {side:13} n {of.sum():5}: {shown}; difference {change.mean():+.4f} +- {change.std():.4f}")


_SCORES: dict[tuple[Any, ...], np.ndarray] = {}


def _auc(
    make: Callable[[int], Any], x: np.ndarray, y: np.ndarray, groups: list[str], draw: int, of: np.ndarray
) -> float:
    key = (make, tuple(groups), draw)
    if key not in _SCORES:
        scores = np.zeros(len(y))
        for train, other in GroupKFold(PARTS, shuffle=True, random_state=draw).split(x, groups=groups):
            scores[other] = make(draw).fit(x[train], y[train]).predict_proba(x[other])[:, 1]
        _SCORES[key] = scores
    return float(roc_auc_score(y[of], _SCORES[key][of]))


if __name__ == "__main__":
    main()
