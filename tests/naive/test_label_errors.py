"""Labels that were changed on purpose stand first in the ranking; nothing else is changed."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.artifacts import label_errors as artifact
from stages.core.artifacts.recordings import Recording
from stages.naive.label_errors import out_of_fold, rank


def corpus(labels: list[str], n_groups: int = 30) -> list[Recording]:
    names = [f"r{i}" for i in range(len(labels))]
    return [
        Recording(name, Path(name), label, f"g{i % n_groups}", "", "", name, 1.0, 8000)
        for i, (name, label) in enumerate(zip(names, labels, strict=True))
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("several", [False, True])
def test_flipped_labels_stand_first(several: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ["cat", "cat|dog", "dog"] if several else ["cat", "cow", "dog"]
    labels = [names[i] for i in rng.integers(0, 3, 120)]
    x = np.array([[label.count(name) for name in ("cat", "cow", "dog")] for label in labels]) + 0.2 * rng.normal(
        size=(120, 3)
    )
    wrong = {3, 40, 77, 101}
    given = [{"cat": "dog", "dog": "cat"}.get(label, "cat") if i in wrong else label for i, label in enumerate(labels)]
    classes = sorted({name for label in given for name in label.split("|")})
    found = rank(corpus(given), x, classes, workers=1)
    assert {s.recording_id for s in found.suspects[:4]} == {f"r{i}" for i in wrong}
    assert all(s.label == given[int(s.recording_id[1:])] for s in found.suspects)
    assert 3 <= sum(s.suspected for s in found.suspects[:4]) <= found.suspected < 12
    assert [s.likely for s in found.suspects[:4]] == [labels[int(s.recording_id[1:])] for s in found.suspects[:4]]
    assert (found.n, found.groups, found.parts, len(found.suspects)) == (120, 30, 5, 12)
    assert rank(corpus(given), x, classes, workers=2) == found
    artifact.write(tmp_path, found)
    assert artifact.read(tmp_path) == found


@pytest.mark.thorough
def test_no_recording_is_judged_by_its_own_group() -> None:
    """Each group has a value of its own that tells its label: whoever saw the group would know it."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(40), 5)
    held = np.eye(2, dtype=np.int64)[rng.integers(0, 2, 40)[groups]]
    scores = out_of_fold(groups[:, np.newaxis].astype(float), held, groups.astype(str), 5, workers=1)
    assert abs((scores.argmax(1) == held.argmax(1)).mean() - 0.5) < 0.2


def test_one_group_ranks_nothing() -> None:
    found = rank(corpus(["a", "b"] * 3, n_groups=1), np.zeros((6, 2)), ("a", "b"), workers=1)
    assert (found.parts, found.suspects) == (0, ())
