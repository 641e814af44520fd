"""A release whose clips may have several labels: the manifest, the answer, the stream."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from stages.runtime import manifest, stream
from stages.runtime.audio import read_wav
from stages.runtime.classify import Classifier
from stages.runtime.errors import RuntimeInputError

SCHEMA = Draft202012Validator(json.loads(Path(manifest.__file__).with_name("manifest.schema.json").read_text()))


@pytest.fixture
def tagger(releases: dict[int, Path], tmp_path: Path) -> Path:
    """The release of three outputs, with a threshold for each: that of its first golden recording's score."""
    folder = Path(shutil.copytree(releases[3], tmp_path / "tagger"))
    change(folder, threshold=read(folder)["golden"][0]["scores"])
    return folder


def read(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return values


def change(folder: Path, **values: Any) -> None:
    (folder / "manifest.json").write_text(json.dumps(read(folder) | values))


def test_every_label_at_its_threshold_or_above_is_answered(tagger: Path) -> None:
    classifier = Classifier(tagger)
    limits = classifier.manifest.threshold
    assert isinstance(limits, tuple)
    quiet = classifier.classify(*read_wav(tagger / classifier.manifest.golden[1].file))
    scores = classifier.manifest.golden[1].scores
    assert list(quiet["scores"].values()) == pytest.approx(scores, abs=1e-6)
    assert quiet["labels"] == [n for n, s, limit in zip("abc", scores, limits, strict=True) if s >= limit]
    assert 0 < len(quiet["labels"]) < 3
    assert quiet["threshold"] == list(limits)
    change(tagger, threshold=[0.0, 1.1, 0.0])
    answer = Classifier(tagger).classify(*read_wav(tagger / "golden/0.wav"))
    assert answer["labels"] == ["a", "c"]


def test_two_labels_may_both_be_there(tagger: Path) -> None:
    golden = [entry | {"scores": [0.9, 0.8]} for entry in read(tagger)["golden"]]
    values = read(tagger) | {"labels": ["a", "b"], "threshold": [0.5, 0.6], "golden": golden}
    parsed = manifest.parse(values)
    assert (parsed.n_outputs, parsed.threshold) == (2, (0.5, 0.6))
    assert SCHEMA.is_valid(values)


@pytest.mark.parametrize("threshold", [[0.5, 0.5], [0.5, 0.5, None], [], [0.5, 0.5, True]])
def test_thresholds_that_do_not_fit_are_refused(tagger: Path, threshold: list[Any]) -> None:
    with pytest.raises(RuntimeInputError, match=r"thresholds .*3 numbers"):
        manifest.parse(read(tagger) | {"threshold": threshold})


def test_golden_scores_are_one_per_label(tagger: Path) -> None:
    assert SCHEMA.is_valid(read(tagger))
    golden = [entry | {"scores": [0.5]} for entry in read(tagger)["golden"]]
    with pytest.raises(RuntimeInputError, match="golden scores must be 3 numbers"):
        manifest.parse(read(tagger) | {"golden": golden})
    assert not SCHEMA.is_valid(read(tagger) | {"golden": golden})


def test_with_hysteresis_each_label_lasts_until_its_lower_threshold(tagger: Path) -> None:
    swell = np.abs(np.sin(np.arange(40_000) / 3000)) ** 4
    samples = (np.random.default_rng(5).uniform(-1, 1, len(swell)) * swell).astype(np.float32)

    def answers(**rules: Any) -> list[dict[str, Any]]:
        return list(stream.listen(Classifier(tagger), iter([samples]), 8000, stream.WindowRule(hop_s=0.1, **rules)))

    plain = answers()
    scores = np.array([list(answer["scores"].values()) for answer in plain])
    middle = float(np.median(scores[:, 0]))
    change(tagger, threshold=[middle, 2.0, float(np.median(scores[:, 2]))])
    width = float(np.ptp(scores[:, 0])) / 4
    held: set[str] = set()
    limits = dict(zip("abc", read(tagger)["threshold"], strict=True))
    for answer in answers(hysteresis=width):
        held = {n for n, s in answer["scores"].items() if s >= limits[n] - width * (n in held)}
        assert set(answer["labels"]) == held
    assert {tuple(answer["labels"]) for answer in answers(threshold=0.0)} == {("a", "b", "c")}
