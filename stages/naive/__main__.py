"""Compute the naive reference: `python -m stages.naive`."""

import dataclasses
import os

from stages.core.artifacts import hearing, label_errors, split
from stages.core.artifacts.recordings import read_index, read_labels
from stages.core.project import errors, layout, params
from stages.core.scoring import interval
from stages.core.scoring.metrics import MetricParams
from stages.naive.stage import Task, naive


def main() -> None:
    """Run the stage."""
    section = params.read().get("evaluate") or {}
    known = {"resamples": "bootstrap_resamples"}
    names = {field.name: known.get(field.name, field.name) for field in dataclasses.fields(MetricParams)}
    shown = MetricParams(**{name: section[key] for name, key in names.items() if key in section})
    task = Task(
        read_index(layout.INDEX),
        split.read(layout.SPLITS),
        tuple(read_labels(layout.LABELS)),
        hearing.read(layout.HEARING),
    )
    found = naive(task, layout.NAIVE, shown, workers=os.cpu_count() or 1)
    estimate, chance = found.test.metrics[found.metric], found.chance["test"][found.metric]
    value = interval.number(estimate.value)
    ends = interval.bracket(estimate.low, estimate.high, undefined=f"({estimate.reason})")
    print(
        f"{found.classifier} on {found.n_features} numbers: test {found.metric} {value} {ends}, "
        f"chance {chance:.3f} (n = {found.test.n}, {found.test.groups} groups)"
    )
    doubted = label_errors.read(layout.NAIVE)
    if doubted.suspected:
        print(
            f"{doubted.suspected} of {doubted.n} labels are suspected of errors (data/report.html ranks them; "
            "nothing was changed)"
        )


if __name__ == "__main__":
    errors.run(main)
