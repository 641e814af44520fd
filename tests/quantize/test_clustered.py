"""Shared weights: k-means against scikit-learn's, and the file against TensorFlow Model Optimization's clustering."""

from typing import Any

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from stages.core.litert import flatbuffer
from stages.core.nn.keras import keras
from stages.core.project import compression
from stages.core.project.errors import ModelError, ParameterError
from stages.quantize import convert
from stages.quantize.params import QuantizeParams
from stages.quantize.schemes import clustered_float32
from stages.quantize.schemes.clustered_float32 import Config, share


@pytest.mark.parametrize("clusters", [2, 7, 32])
@pytest.mark.parametrize("gap", [0.0, 0.8])
def test_centroids_are_those_of_scikit_learn(clusters: int, gap: float, rng: np.random.Generator) -> None:
    drawn = rng.uniform(-1, 2, size=4000).astype(np.float32)  # no cluster is ever empty
    weights = drawn[np.abs(drawn) > gap][:1000].reshape(500, 2)
    first = clustered_float32.start(np.sort(weights.ravel()), clusters)
    assert len(first) == clusters
    oracle = KMeans(clusters, init=first[:, None], n_init=1, max_iter=1000, tol=0, algorithm="lloyd")
    oracle.fit(weights.reshape(-1, 1))
    expected = oracle.cluster_centers_[oracle.labels_].reshape(weights.shape)
    np.testing.assert_allclose(share(weights, clusters), expected, atol=1e-6)


def test_the_start_is_evenly_spaced_on_either_side_of_the_gap() -> None:
    values = np.array([-3.0, -1.0, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(clustered_float32.start(values, 6), [-3, -7 / 3, -5 / 3, -1, 1, 2])
    np.testing.assert_allclose(clustered_float32.start(values[2:], 3), [1, 1.5, 2])
    np.testing.assert_allclose(clustered_float32.start(np.array([-1.0, 1.0]), 2), [-1, 1])


@given(st.integers(0, 99), st.integers(2, 40), st.floats(0, 0.99))
def test_few_values_zeros_kept_and_the_second_time_nothing_changes(seed: int, clusters: int, zeros: float) -> None:
    rng = np.random.default_rng(seed)
    weights = np.where(rng.uniform(size=500) < zeros, 0, rng.standard_t(3, size=500)).astype(np.float32)
    shared = share(weights, clusters)
    np.testing.assert_array_equal(shared == 0, weights == 0)
    assert len(np.unique(shared[shared != 0])) <= clusters
    np.testing.assert_array_equal(share(shared, clusters), shared)
    assert np.abs(shared - weights).sum() <= np.abs(share(weights, 2) - weights).sum() + 1e-3 or clusters == 2


def sparse_model() -> Any:
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Input((20,)), keras.layers.Dense(300, "relu"), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential(layers)
    kernel = model.layers[0].kernel
    kernel.assign(np.where(np.abs(kernel.numpy()) < 0.1, 0, kernel.numpy()))
    return model


@pytest.mark.thorough
def test_no_worse_than_the_toolkit_that_only_starts_there() -> None:
    model = sparse_model()
    float32 = convert.to_float32(model)
    ours = flatbuffer.read(clustered_float32.quantize(Config(16), float32))
    cluster = tfmot.clustering.keras
    wrapped = cluster.cluster_weights(
        model, number_of_clusters=16, cluster_centroids_init=cluster.CentroidInitialization.LINEAR
    )
    theirs = flatbuffer.read(convert.to_float32(cluster.strip_clustering(wrapped)))
    for mine, toolkit, original in zip(ours.weights, theirs.weights, flatbuffer.read(float32).weights, strict=True):
        assert len(np.unique(toolkit.values)) <= 16
        assert np.square(mine.values - original.values).sum() <= np.square(toolkit.values - original.values).sum()


def test_it_deflates_and_is_checked() -> None:
    float32 = convert.to_float32(sparse_model())
    config = Config(16)
    model = clustered_float32.quantize(config, float32)
    assert len(model) == len(float32)
    assert compression.deflated_bytes(model) < 0.5 * compression.deflated_bytes(float32)
    clustered_float32.verify(config, model)
    with pytest.raises(ModelError, match=r"16 distinct .*got \d+"):
        clustered_float32.verify(config, float32)


@pytest.mark.parametrize("clusters", [1, 256])
def test_a_wrong_number_is_refused(clusters: int) -> None:
    params = QuantizeParams(options={"clustered_float32": {"clusters": clusters}})
    with pytest.raises(ParameterError, match=r"clustered_float32.clusters must lie between 2 and 255; got"):
        params.scheme("clustered_float32")
