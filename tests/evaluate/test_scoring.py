from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.core.artifacts import dataset
from stages.evaluate import scoring
from stages.evaluate.params import EvaluateParams


def test_binary_scores_are_the_probabilities_by_hand(
    make_model: Callable[..., bytes], kernel: np.ndarray, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(7, 6)).astype(np.float32)
    got = scoring.score(make_model(kernel), x[:, None])
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-(x @ kernel[0]))), rtol=1e-5)
    assert got.dtype == np.float32


def test_multi_class_scores_keep_one_column_per_class(
    make_model: Callable[..., bytes], tmp_path: Path, rng: np.random.Generator
) -> None:
    x, kernels = rng.normal(size=(7, 6)).astype(np.float32), rng.normal(size=(3, 6))
    path = tmp_path / "model.tflite"
    path.write_bytes(make_model(kernels, softmax=True))
    expected = np.exp(x @ kernels.T)
    np.testing.assert_allclose(
        scoring.score(path, x[:, None]), expected / expected.sum(axis=1, keepdims=True), rtol=1e-4
    )


def test_a_score_is_the_mean_over_a_clips_crops(
    make_model: Callable[..., bytes], kernel: np.ndarray, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(5, 4, 6)).astype(np.float32)
    expected = (1 / (1 + np.exp(-(x @ kernel[0])))).mean(axis=1)
    np.testing.assert_allclose(scoring.score(make_model(kernel), x), expected, rtol=1e-5)


def test_the_threshold_comes_from_validation_and_serves_both_splits(
    make_model: Callable[..., bytes], features: Path, kernel: np.ndarray, params: EvaluateParams
) -> None:
    splits = {side: dataset.read_split(features, side) for side in ("validation", "test")}
    scores = {side: scoring.score(make_model(kernel), split.crops) for side, split in splits.items()}
    got = scoring.metrics(scores, splits, params)
    assert got["validation"].threshold == got["test"].threshold
    predicted = scores["test"] >= got["test"].threshold
    assert got["test"].pooled["accuracy"].value == pytest.approx(np.mean(predicted == splits["test"].y), abs=1e-6)
    assert set(got["test"].sites) == {"phone", "studio"}

    flipped = scores | {"test": 1 - scores["test"]}
    assert scoring.metrics(flipped, splits, params)["validation"] == got["validation"]
