"""Are false alarms per hour kept on a new stream, and do thresholds per label pay? Simulated; prints JSON.

    python -m tests.bench.streams [--seeds 40] [--hours 2] [--labels 8] [--targets 1 5 20] [--per-label]

Every seed draws a validation and a test stream of one-second windows: each label has events, whose scores are high,
sounds that must not trigger, and noise. Some labels are recognised more often than others. Events
and sounds come in groups (speakers), as do the errors of a network, and both streams have other groups. The rule is
chosen on validation (`stages.evaluate.event_rules`) and judged on test, as `evaluate.stream` does. `covered` counts the
seeds in which the 95 % interval of the test stream's rate, which accounts for groups, reaches down to the target;
`poisson` those in which Garwood's does, which does not.
"""

import argparse
import json
from collections.abc import Sequence

import numpy as np

from stages.core.scoring.detection import Sounds, TrueEvent, match, poisson_interval
from stages.evaluate import event_rules
from stages.runtime.events import EventRule, Windows, find_events

GROUPS = 10
EVENTS_PER_HOUR, OTHERS_PER_HOUR = 120, 120


def simulated(rng: np.random.Generator, labels: Sequence[str], hours: float) -> tuple[Windows, list[TrueEvent], Sounds]:
    """Return the windows of a stream, its events, and all that sounds."""
    n, k = round(hours * 3600), len(labels)
    scores = rng.beta(1, 25, (n, k))
    slots = rng.permutation(n // 10) * 10 + 4
    n_true, n_other = round(EVENTS_PER_HOUR * hours), round(OTHERS_PER_HOUR * hours)
    shift = rng.normal(scale=0.8, size=(GROUPS, k))  # how sure a network is of a group
    ease = np.linspace(3.5, 0.5, k)

    def score(which: int, group: int, mean: float) -> float:
        return float(1 / (1 + np.exp(-(mean + shift[group, which] + rng.normal()))))

    truth, others = [], []
    for at in slots[:n_true].tolist():
        which, group = int(rng.integers(k)), int(rng.integers(GROUPS))
        scores[at, which] = score(which, group, ease[which])
        truth.append(TrueEvent(labels[which], float(at), at + 1.0, str(group)))
    for at in slots[n_true : n_true + n_other].tolist():
        which, group = int(rng.integers(k)), int(rng.integers(GROUPS))
        scores[at, which] = score(which, group, ease[which] - 3.5)
        others.append(TrueEvent("", float(at), at + 1.0, str(group)))
    windows = Windows(scores, np.arange(n, dtype=float), np.ones(n, bool), 1.0, 1.0, tuple(labels))
    return windows, sorted(truth, key=lambda event: event.onset_s), Sounds.of([*truth, *others], hours=hours)


def judge(rule: EventRule, windows: Windows, truth: Sequence[TrueEvent], sounds: Sounds) -> tuple[float, int, float]:
    """Return the share of events that are missed, the number of false alarms, and how much it is dispersed."""
    found = find_events(windows, rule)
    matching = match(truth, found)
    clusters = sounds.clusters([found[i] for i in matching.false.tolist()])
    return float((~matching.detected).mean()), matching.n_false, sounds.dispersion(clusters)


def main() -> None:
    """Simulate and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--labels", type=int, default=8)
    parser.add_argument("--targets", type=float, nargs="+", default=[1.0, 5.0, 20.0])
    parser.add_argument("--per-label", action="store_true", help="thresholds of their own for labels, where they pay")
    given = parser.parse_args()
    labels = [f"word{i}" for i in range(given.labels)]
    rows: dict[float, list[dict[str, float]]] = {target: [] for target in given.targets}
    for seed in range(given.seeds):
        rng = np.random.default_rng(seed)
        (windows, truth, sounds), (fresh, there, heard) = (simulated(rng, labels, given.hours) for _ in range(2))
        chosen = event_rules.choose(
            windows, truth, labels, sounds=sounds, targets=given.targets, per_label=given.per_label
        )
        for target, rule in zip(given.targets, chosen, strict=True):
            if rule is not None:
                missed, n_false, spread = judge(rule, fresh, there, heard)
                plain, _ = poisson_interval(n_false, given.hours, confidence=0.95)
                low, _ = poisson_interval(n_false, given.hours, confidence=0.95, dispersion=spread)
                own = len(set(rule.on.values())) > 1
                found = {"missed": missed, "rate": n_false / given.hours, "own": own}
                found |= {"covered": low <= target, "poisson": plain <= target, "dispersion": spread}
                rows[target].append(found | {"refractory": rule.refractory_s > 0})
    for target, each in rows.items():
        means = {name: round(float(np.mean([row[name] for row in each])), 4) for name in each[0]} if each else {}
        covered = sum(row["covered"] for row in each)
        print(json.dumps({"target": target, "seeds": len(each)} | means | {"covered": f"{covered:g} of {len(each)}"}))


if __name__ == "__main__":
    main()
