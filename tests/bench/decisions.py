"""Promises of decisions, simulated: known sounds kept, false alarms per hour, what calibration gains; prints JSON.

    python -m tests.bench.decisions [--runs 400]

kept         share of clips of new groups that are kept, where 0.95 or 0.8 is promised; groups differ in how sure the
             network is of them and in how many clips they have
calibration  mean change of the log loss on new clips, and share of runs in which a fit was accepted and made it worse,
             by the number of validation clips, of scores that are calibrated already and of scores that are not
"""

import argparse
import json
from typing import Any

import numpy as np

from stages.core.artifacts.network import ScoreCalibration
from stages.core.scoring import logits as scaling
from stages.core.scoring.logits import Logits, fit
from stages.core.scoring.rejection import conformal_limit


def kept(runs: int) -> dict[str, Any]:
    """Return the share kept by promise, number of groups and how much groups differ."""
    found = {}
    for share, n_groups in ((0.8, 6), (0.8, 30), (0.95, 19), (0.95, 60)):
        for spread in (0.0, 2.0):
            rng, hits = np.random.default_rng([n_groups, int(spread)]), []
            for _ in range(10 * runs):
                counts = rng.integers(1, 12, n_groups)
                groups = np.repeat(np.arange(n_groups), counts)
                sure = rng.normal(scale=spread, size=n_groups)[groups] + rng.normal(size=len(groups))
                limit = conformal_limit(sure, groups.astype(str), share)
                hits.append(limit is None or rng.normal(scale=spread) + rng.normal() >= limit)
            found[f"{share:g} promised, {n_groups} groups, spread {spread:g}"] = round(float(np.mean(hits)), 4)
    return found


def calibration(runs: int) -> dict[str, Any]:
    """Return what calibration does to the log loss on new clips, by size of validation and true scale."""
    found = {}
    for true_scale in (1.0, 0.3, 20.0):
        rng = np.random.default_rng(int(10 * true_scale))
        test = _clips(rng, 20_000, true_scale)
        untouched = _log_loss(ScoreCalibration(scale=(1.0,), shift=(0.0,)), test)
        for n in (20, 60, 200):
            fits = [fit(_clips(rng, n, true_scale), "temperature") for _ in range(runs)]
            gains = np.array([_log_loss(each, test) - untouched for each in fits])
            found[f"true scale {true_scale:g}, {n} clips"] = {
                "accepted": round(float(np.mean([each.changes_scores for each in fits])), 3),
                "change": round(float(gains.mean()), 4),
                "worse": round(float(np.mean(gains > 1e-9)), 3),
                "best": round(_log_loss(ScoreCalibration(scale=(true_scale,), shift=(0.0,)), test) - untouched, 4),
            }
    return found


def _clips(rng: np.random.Generator, n: int, true_scale: float) -> Logits:
    z = rng.normal(scale=1.5 / true_scale, size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-true_scale * z))).astype(int)
    return Logits(z[:, None, None], y, np.arange(n).astype(str))


def _log_loss(found: ScoreCalibration, test: Logits) -> float:
    p = np.clip(scaling.scores(found, test.values, sigmoid=True)[:, 0], 1e-12, 1 - 1e-12)
    return -float(np.mean(np.log(np.where(test.y == 1, p, 1 - p))))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    given = parser.parse_args()
    print(json.dumps({"kept": kept(given.runs), "calibration": calibration(given.runs)}, indent=1))
