from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.runtime.audio import read_wav
from stages.runtime.classify import Classifier
from stages.runtime.errors import RuntimeInputError


@pytest.mark.parametrize("above", [True, False])
def test_two_labels_are_decided_by_the_threshold_on_the_positive_score(
    release: Path, alter: Callable[..., None], above: bool
) -> None:
    classifier = Classifier(release)
    golden = classifier.manifest.golden[0]
    alter(threshold=golden.scores[0] + (-1e-3 if above else 1e-3))
    answer = Classifier(release).classify(*read_wav(release / golden.file))
    assert answer["label"] == ("positive" if above else "negative")
    assert answer["score"] == pytest.approx(golden.scores[0], abs=1e-6)
    assert answer["scores"] == {"negative": pytest.approx(1 - answer["score"]), "positive": answer["score"]}


def test_more_labels_are_decided_by_the_highest_score(releases: dict[int, Path]) -> None:
    classifier = Classifier(releases[3])
    for golden in classifier.manifest.golden:
        answer = classifier.classify(*read_wav(releases[3] / golden.file))
        assert answer["label"] == "abc"[int(np.argmax(golden.scores))]
        assert answer["score"] == max(answer["scores"].values())
        assert sum(answer["scores"].values()) == pytest.approx(1, abs=1e-5)
        assert answer["threshold"] is None


def test_any_rate_and_length_is_taken(releases: dict[int, Path], rng: np.random.Generator) -> None:
    classifier = Classifier(releases[1])
    assert classifier.clip(rng.uniform(-1, 1, 100), 44100).shape == (8000,)
    assert classifier.clip(rng.uniform(-1, 1, 100_000), 16000).shape == (8000,)


def test_a_short_recording_lies_where_the_manifest_says(release: Path, alter: Callable[..., None]) -> None:
    short = np.ones(1000, np.float32)
    assert np.flatnonzero(Classifier(release).clip(short, 8000))[[0, -1]].tolist() == [0, 999]
    alter(align="middle")
    assert np.flatnonzero(Classifier(release).clip(short, 8000))[[0, -1]].tolist() == [3500, 4499]


def test_parts_that_do_not_fit_are_refused(release: Path, alter: Callable[..., None]) -> None:
    alter(clip_samples=4000)
    with pytest.raises(RuntimeInputError, match=r"front end's input .*\(4000,\); got \(8000,\)"):
        Classifier(release)
