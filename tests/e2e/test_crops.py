"""Crops of raw audio, and of a spectrogram, from recordings to the local device: what a clip scores there and here."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stages.core.artifacts import dataset
from stages.core.artifacts import network as network_file
from stages.core.artifacts.recordings import Recording
from stages.core.nn import network
from stages.core.training.inference import predict
from stages.core.training.loop import Run
from stages.core.training.params import BetweenClass
from stages.evaluate.scoring import score
from stages.features.params import FeatureParams
from stages.features.stage import Inputs, make_features
from stages.prune.finetune import Pruning, finetune
from stages.prune.params import PruneParams
from stages.prune.shrink import shrink
from stages.push import bundle
from stages.quantize.calibration import calibration_set
from stages.quantize.convert import to_float32
from stages.quantize.params import QuantizeParams
from stages.runtime import manifest
from stages.runtime.audio import read_wav
from stages.runtime.benchmark import _run
from stages.runtime.classify import Classifier
from stages.runtime.errors import RuntimeInputError
from stages.runtime.litert import Model, quantise
from stages.runtime.selftest import selftest
from stages.train.params import TrainParams
from stages.train.stage import train

sys.path.append(str(Path(__file__).parents[1] / "push"))
import tiny  # type: ignore[import-not-found]

pytestmark = pytest.mark.thorough

RATE, CLIP = 8000, 4000
LABELS = ["negative", "positive", "unsure"]
RAW = {"sample_rate": RATE, "clip_samples": CLIP, "crop_samples": 600, "crops": 10, "pad_samples": 300}
CHANNELS = [4, 16, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]
PARAMS = TrainParams(
    architecture="acdnet",
    optimizer="sgd",
    learning_rate=0.05,
    decay="steps",
    warmup_epochs=1,
    epochs=4,
    batch_size=8,
    between_class=BetweenClass(window_s=0.03),
    options={"acdnet": {"channels": CHANNELS, "pool": 8}},
)


def tones(folder: Path, params: FeatureParams) -> tuple[int, ...]:
    """Make features of tones of three pitches, of 16 bits, on all sides of the split; return their shape."""
    rng = np.random.default_rng(3)
    recordings, splits = [], {}
    for i in range(36):
        path = folder / f"{i:02d}.wav"
        tone = np.sin(2 * np.pi * 500 * (1 + i % 3) * np.arange(CLIP) / RATE) * rng.uniform(0.1, 0.4)
        soundfile.write(path, tone + 0.05 * rng.normal(size=CLIP), RATE, subtype="PCM_16")
        name = f"r{i:02d}"
        recordings.append(Recording(name, path, LABELS[i % 3], name, "site", "", "0" * 64, 0.5, RATE))
        splits[name] = "train" if i < 24 else "validation" if i < 30 else "test"
    return make_features(params, Inputs(recordings, [], splits, LABELS), target=folder / "features", workers=1)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    assert tones(folder, FeatureParams("raw", {"raw": RAW})) == (36, 4600, 1)
    return folder / "features"


@pytest.fixture(scope="module")
def models(features: Path) -> dict[str, bytes]:
    """The same network in float32 and in full integers."""
    metrics = train(features, features.parent / "baseline", PARAMS)
    assert np.isfinite(metrics["validation"]["loss"])
    float32 = to_float32(network.load(features.parent / "baseline"))
    scheme, config = QuantizeParams().scheme("static_wi8_ai8")
    crops = calibration_set(dataset.read_split(features, "train").crops, n=24, seed=1)
    return {"float32": float32, "static_wi8_ai8": scheme.quantize(config, float32, crops)}


@pytest.mark.parametrize("scheme", ["float32", "static_wi8_ai8"])
def test_the_device_scores_what_the_host_scores(
    scheme: str, features: Path, models: dict[str, bytes], tmp_path: Path
) -> None:
    selected = tmp_path / "selected"
    selected.mkdir()
    tiny.write_selection(selected, features, (features / "frontend.tflite").read_bytes(), models[scheme], 2)
    bundle.build(tmp_path / "release", selected=selected, version=1)
    assert selftest(tmp_path / "release")["checks"][-2]["ok"]
    classifier = Classifier(tmp_path / "release")
    assert classifier.manifest.crops == 10
    test = dataset.read_split(features, "test")
    assert test.crops.shape == (6, 10, 600, 1)
    here = score(models[scheme], test.crops)
    for clip_id, expected in zip(test.clip_ids, here, strict=True):
        there = classifier.outputs(*read_wav(features.parent / f"{clip_id[1:]}.wav"))
        np.testing.assert_array_equal(there, expected)
    assert np.ptp(here, axis=0).max() > 1e-4, "the scores tell the clips apart"
    assert len(_run(classifier, np.zeros((1, CLIP), np.float32))) == 2


def test_the_device_scores_crops_of_a_spectrogram_as_the_host_does(tmp_path: Path) -> None:
    levels = {"sample_rate": RATE, "clip_samples": CLIP, "n_fft": 256, "hop_length": 80, "n_mels": 16}
    crops = {"pad_samples": 300, "crop_frames": 20, "crops": 10}
    assert tones(tmp_path, FeatureParams("log_mel", {"log_mel": levels | crops})) == (36, 58, 16, 1)
    features, options = tmp_path / "features", {"mel_cnn": {"widths": (4, 4)}}
    learned = replace(PARAMS, architecture="mel_cnn", optimizer="adam", decay="none", warmup_epochs=0, options=options)
    train(features, tmp_path / "baseline", learned)
    model = to_float32(network.load(tmp_path / "baseline"))
    (tmp_path / "selected").mkdir()
    tiny.write_selection(tmp_path / "selected", features, (features / "frontend.tflite").read_bytes(), model, 2)
    bundle.build(tmp_path / "release", selected=tmp_path / "selected", version=1)
    assert selftest(tmp_path / "release")["checks"][-2]["ok"]
    test = dataset.read_split(features, "test")
    assert test.crops.shape == (6, 10, 20, 16, 1)
    here, classifier = score(model, test.crops), Classifier(tmp_path / "release")
    for clip_id, expected in zip(test.clip_ids, here, strict=True):
        there = classifier.outputs(*read_wav(tmp_path / f"{clip_id[1:]}.wav"))
        np.testing.assert_array_equal(there, expected)
    assert np.ptp(here, axis=0).max() > 1e-4, "the scores tell the clips apart"


def test_filters_go_on_both_sides_of_the_transpose(features: Path, models: dict[str, bytes], tmp_path: Path) -> None:
    assert models
    baseline = features.parent / "baseline"
    model, description = network.load(baseline), network_file.read(baseline)
    params = PruneParams(epochs=2, batch_size=8, options={"filter_taylor": {"warm_up": 1}})
    split, validation = (dataset.read_split(features, side) for side in ("train", "validation"))
    finetune(model, split, params, Pruning("one_shot", 0.5, "filter_taylor"), Run(1))
    smaller, kept = shrink(model)
    assert {name: len(units) for name, units in kept.items()} == {f"conv{i}": 2 for i in (1, *range(3, 13))}
    network.save(smaller, description.without_units(kept, smaller.count_params()), tmp_path)
    expected = predict(model, validation)
    np.testing.assert_allclose(predict(network.load(tmp_path), validation), expected, atol=1e-5)
    np.testing.assert_allclose(score(to_float32(smaller), validation.crops), expected, atol=1e-4)


def test_a_score_is_the_mean_of_ten_by_hand(features: Path, models: dict[str, bytes]) -> None:
    test, model = dataset.read_split(features, "test"), Model(models["float32"])
    stride = (4600 - 600) // 9
    by_hand = [np.mean([model.run(clip[None, s * stride :][:, :600])[0] for s in range(10)], axis=0) for clip in test.x]
    np.testing.assert_allclose(score(models["float32"], test.crops), by_hand, atol=1e-6)


def test_a_release_whose_model_takes_another_length_is_refused(
    features: Path, models: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    selected = tmp_path / "selected"
    selected.mkdir()
    tiny.write_selection(selected, features, (features / "frontend.tflite").read_bytes(), models["float32"], 2)
    bundle.build(tmp_path / "release", selected=selected, version=1)
    whole = replace(manifest.load(tmp_path / "release"), crops=1)
    monkeypatch.setattr(manifest, "load", lambda _: whole)
    with pytest.raises(RuntimeInputError, match=r"the model's input must be \(4600, 1\); got \(600, 1\)"):
        Classifier(tmp_path / "release")


def test_full_integers_take_the_models_scale_and_not_each_clips_peak(models: dict[str, bytes]) -> None:
    """A clip played louder is a louder clip: the trap of ACDNet's deployment, which scales every crop to its peak."""
    model = Model(models["static_wi8_ai8"])
    details: Any = model._input
    scale, zero_point = details["quantization"]
    crop = np.random.default_rng(0).uniform(-1, 1, (600, 1)).astype(np.float32) * 50 * scale
    for gain in (1.0, 0.5):
        stored = quantise(crop * gain, details)
        np.testing.assert_array_equal(stored, np.clip(np.rint(crop * gain / scale) + zero_point, -128, 127))
    quiet, loud = (int(np.abs(quantise(crop * g, details).astype(int) - zero_point).max()) for g in (0.5, 1.0))
    assert quiet == pytest.approx(loud / 2, abs=1)
