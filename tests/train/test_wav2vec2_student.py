"""The wav2vec 2.0 student: the layers it takes, what it refuses, and the same outputs as PyTorch's network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from stages.core.artifacts.dataset import Split
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.project.errors import EdacError
from stages.core.training import loop
from stages.prune.finetune import Pruning, finetune
from stages.prune.params import PruneParams
from stages.prune.prunables import prunable_kernels
from stages.prune.shrink import shrink
from stages.train.params import TrainParams
from tests import checkpoints

pytestmark = pytest.mark.thorough

LABELS = ("a", "b", "c")
SHAPE = (800, 1)


def built(n_classes: int = 3, input_shape: tuple[int, ...] = SHAPE, **options: Any) -> Any:
    return network.build("wav2vec2_student", {"wav2vec2_student": options}, input_shape, n_classes)[0]


def waveforms(n: int = 3) -> np.ndarray:
    return (0.1 * np.random.default_rng(3).normal(size=(n, *SHAPE)) + 0.05).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return checkpoints.save(tmp_path / "teacher", n_layers=4, labels=LABELS)


@pytest.mark.parametrize(
    "take, n_layers, taken", [("first", 2, [0, 1]), ("even", 2, [0, 3]), ("even", 3, [0, 2, 3]), ("even", 1, [0])]
)
def test_takes_the_first_or_evenly_spaced_layers(folder: Path, take: str, n_layers: int, taken: list[int]) -> None:
    model, stored = built(checkpoint=folder, layers=n_layers, take=take), load_file(folder / "model.safetensors")
    for i, layer in enumerate(taken, start=1):
        ours = model.get_layer(f"layer{i}_query").get_weights()
        theirs = f"wav2vec2.encoder.layers.{layer}.attention.q_proj"
        np.testing.assert_array_equal(ours[0].T, stored[f"{theirs}.weight"])
        np.testing.assert_array_equal(ours[1], stored[f"{theirs}.bias"])
    assert f"layer{n_layers + 1}_query" not in {layer.name for layer in model.layers}
    assert not np.array_equal(model.get_layer("projector").kernel.numpy().T, stored["projector.weight"])


def test_older_names_and_a_checkpoint_without_a_head_are_the_same_network(folder: Path) -> None:
    expected = built(checkpoint=folder).get_layer("positions").get_weights()
    stored = {
        name.removeprefix("wav2vec2."): values for name, values in load_file(folder / "model.safetensors").items()
    }
    owner = "encoder.pos_conv_embed.conv"
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        stored[f"{owner}.{old}"] = stored.pop(f"{owner}.parametrizations.weight.{new}")
    save_file(stored, folder / "model.safetensors")
    for mine, theirs in zip(built(checkpoint=folder).get_layer("positions").get_weights(), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_trained_student_is_read_without_its_checkpoint(folder: Path, tmp_path: Path) -> None:
    options = {"checkpoint": folder, "layers": 2, "freeze_feature_encoder": True}
    model, description = network.build("wav2vec2_student", {"wav2vec2_student": options}, SHAPE, 3)
    frozen = {layer.name for layer in model.layers if layer.weights and not layer.trainable}
    assert frozen == {"conv1", "conv1_norm", "conv2", "conv3"}
    network.save(model, description, tmp_path / "baseline")
    assert str(tmp_path) not in (tmp_path / "baseline" / "architecture.json").read_text()
    (folder / "config.json").unlink()
    again = network.load(tmp_path / "baseline")
    np.testing.assert_array_equal(again(waveforms()), model(waveforms()))
    assert all(layer.trainable for layer in again.layers)


@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
def test_pools_over_time(tmp_path: Path, pooling: str) -> None:
    folder = checkpoints.save(tmp_path / "teacher", labels=LABELS, pooling=pooling)
    model = built(checkpoint=folder, head="checkpoint", pooling=pooling)
    pooled = keras.Model(model.input, [model.get_layer(name).output for name in ("projector", "pool")])
    frames, found = (values.numpy() for values in pooled(waveforms()))
    assert frames.shape[1:] == (39, 12)
    np.testing.assert_allclose(found, getattr(frames, pooling)(axis=1), rtol=1e-4, atol=1e-5)


def test_learns_dropout_and_all_and_the_frozen_stay(folder: Path) -> None:
    model = built(2, checkpoint=folder, layers=1, freeze_feature_encoder=True, dropout=0.3)
    names, y = np.array(list("abcdef")), np.arange(6) % 2
    split = Split(waveforms(6), y, names, names, names, ("negative", "positive"))
    before, after = model.get_weights(), []
    for _ in range(2):
        model.set_weights(before)
        loop.fit(model, split, TrainParams(epochs=2, batch_size=4), loop.Run(1))
        after.append(model.get_weights())
    assert all((a == b).all() for a, b in zip(*after, strict=True))
    moved = {w.name for w, a, b in zip(model.weights, before, after[0], strict=True) if (a != b).any()}
    assert moved == {w.name for w in model.trainable_weights}


def test_feed_forward_units_can_be_taken_out(folder: Path) -> None:
    """And filters of the encoder, where no standardisation reads them; by weight everything dense or convolved."""
    model = built(checkpoint=folder)
    names, y = np.array(list("abc")), np.arange(3)
    split = Split(waveforms(), y, names, names, names, LABELS)
    params = PruneParams(epochs=1, batch_size=3)
    finetune(
        model, split, params, Pruning(criterion="filter_magnitude", schedule="one_shot", sparsity=0.5), loop.Run(1)
    )
    smaller, units = shrink(model)
    assert {name: len(kept) for name, kept in units.items()} == {
        "conv2": 3,
        "layer1_wide": 12,
        "layer2_wide": 12,
        "projector": 6,
    }
    np.testing.assert_allclose(smaller(waveforms()), model(waveforms()), atol=1e-5)
    pruned = {name for name, _ in prunable_kernels(model)}
    assert {"conv1", "positions", "layer2_key", "layer1_narrow", "scores"} <= pruned


@pytest.mark.parametrize(
    "options, shape, sentence",
    [
        ({"layers": 5}, SHAPE, "wav2vec2_student.layers .*4 .*got 5"),
        ({"layers": 0}, SHAPE, r"wav2vec2_student.layers must be at least 1; got 0"),
        ({"dropout": 1.0}, SHAPE, r"wav2vec2_student.dropout must be a fraction in \[0, 1\); got 1.0"),
        ({"shape": {}}, SHAPE, "wav2vec2_student.shape .*checkpoint"),
        (
            {"checkpoint": None, "head": "checkpoint"},
            SHAPE,
            r"wav2vec2_student.head must be fresh without a checkpoint",
        ),
        ({"head": "checkpoint", "pooling": "max"}, SHAPE, "pooling .*checkpoint's head"),
        ({}, (40, 16), r"wav2vec2_student; got \(40, 16\).*raw"),
        ({}, (29, 1), r"wav2vec2_student; got \(29, 1\)"),
        (
            {"checkpoint": None, "shape": {"num_attention_heads": 5}},
            SHAPE,
            r"heads must divide hidden_size \(768\); got 5",
        ),
        ({"checkpoint": None, "shape": {"conv_dim": [8]}}, SHAPE, "conv_kernel .*as many"),
        ({"checkpoint": None, "shape": {"hidden_act": "silu"}}, SHAPE, "hidden_act .*got 'silu'"),
    ],
)
def test_bad_options(folder: Path, options: dict[str, Any], shape: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(EdacError, match=sentence):
        built(input_shape=shape, **{"checkpoint": folder, **options})


def test_a_head_of_other_classes_is_refused(folder: Path) -> None:
    with pytest.raises(EdacError, match=r"5 classes; .* of 3"):
        built(5, checkpoint=folder, head="checkpoint")


def test_a_pickle_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(EdacError, match=r"model.safetensors; .*pytorch_model.bin"):
        built(checkpoint=folder)


def test_a_missing_or_broken_checkpoint_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EdacError, match=r"Hugging Face .*nowhere has no config.json"):
        built(checkpoint=tmp_path / "nowhere")
    (folder / "model.safetensors").write_bytes(b"\x80\x04" + bytes(40))
    with pytest.raises(EdacError, match=r"model.safetensors .*cannot be read"):
        built(checkpoint=folder)


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"model_type": "hubert"}, "wav2vec2 .*'hubert'"),
        (
            {"hidden_act": "silu"},
            "hidden_act .*got 'silu'",
        ),
        ({"add_adapter": True}, "without add_adapter"),
        ({"hidden_size": 32}, r"\(32, 8\), .*config.json .*got \(16, 8\)"),
        ({"conv_bias": True}, r"feature_extractor.conv_layers.0.conv.bias .*\(8,\).*got none"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(folder: Path, changed: dict[str, Any], sentence: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(EdacError, match=sentence):
        built(checkpoint=folder)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    norm=st.sampled_from(["group", "layer"]),
    stable=st.booleans(),
    conv_bias=st.booleans(),
    normalise=st.booleans(),
    groups=st.sampled_from([1, 4, 8]),
    places=st.integers(2, 9),
    kernels=st.tuples(st.integers(3, 10), st.integers(1, 4), st.integers(2, 3)),
    heads=st.sampled_from([1, 2, 4]),
    n_layers=st.integers(1, 3),
    n_classes=st.sampled_from([2, 3]),
    seed=st.integers(0, 999),
)
def test_computes_what_pytorchs_network_computes(
    tmp_path_factory: pytest.TempPathFactory,
    norm: str,
    stable: bool,
    conv_bias: bool,
    normalise: bool,
    groups: int,
    places: int,
    kernels: tuple[int, ...],
    heads: int,
    n_layers: int,
    n_classes: int,
    seed: int,
) -> None:
    compare(
        tmp_path_factory.mktemp("checkpoint"),
        n_layers=n_layers,
        labels=LABELS[:n_classes],
        normalise=normalise,
        seed=seed,
        conv_kernel=kernels,
        conv_bias=conv_bias,
        feat_extract_norm=norm,
        do_stable_layer_norm=stable,
        num_attention_heads=heads,
        num_conv_pos_embedding_groups=groups,
        num_conv_pos_embeddings=places,
    )


@pytest.mark.slow
def test_computes_what_wav2vec2_base_computes(tmp_path: Path) -> None:
    """94.4 M parameters in its real shape, random."""
    base = {
        "conv_dim": (512,) * 7,
        "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
        "conv_stride": (5, 2, 2, 2, 2, 2, 2),
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "num_conv_pos_embeddings": 128,
        "num_conv_pos_embedding_groups": 16,
        "classifier_proj_size": 256,
    }
    n_parameters = compare(tmp_path, n_samples=16_000, n_layers=12, labels=LABELS[:2], scale=0.03, **base)
    assert n_parameters == 94_371_712 + 197_378


def compare(folder: Path, *, n_samples: int = 800, **checkpoint: Any) -> int:
    """Check frames and logits against transformers', and return how many parameters its network has."""
    torch = pytest.importorskip("torch", reason="PyTorch is an optional extra: pip install edac[wav2vec2]")
    transformers = pytest.importorskip("transformers", reason="part of the optional extra edac[wav2vec2]")
    checkpoints.save(folder, **checkpoint)
    oracle, told = transformers.Wav2Vec2ForSequenceClassification.from_pretrained(
        folder, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    n_classes = len(checkpoint["labels"])
    clips = waveforms()[:, :n_samples] if n_samples <= SHAPE[0] else np.resize(waveforms(20), (2, n_samples, 1))
    prepare = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True)
    values = prepare(list(clips[..., 0]), sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        hidden = oracle.eval().wav2vec2(values).last_hidden_state.numpy()
        logits = oracle(values).logits.numpy()

    model = built(
        n_classes, clips.shape[1:], checkpoint=folder, layers=checkpoint["n_layers"], head="checkpoint", take="even"
    )
    model.layers[-1].activation = keras.activations.linear
    ours = keras.Model(model.input, [model.get_layer("hidden").output, model.output])(clips)
    assert hidden.std() > 0.1
    np.testing.assert_allclose(ours[0], hidden, atol=1e-4)
    np.testing.assert_allclose(ours[1], np.diff(logits, axis=1) if n_classes == 2 else logits, atol=1e-4)
    return int(sum(p.numel() for p in oracle.parameters()))
