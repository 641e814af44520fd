"""Small wav2vec 2.0 checkpoints with random weights, written in the layout of Hugging Face without PyTorch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

SMALL: dict[str, Any] = {
    "conv_dim": (8, 6, 8),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "conv_bias": False,
    "feat_extract_norm": "group",
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_conv_pos_embeddings": 6,
    "num_conv_pos_embedding_groups": 4,
    "do_stable_layer_norm": False,
    "classifier_proj_size": 12,
}


def save(
    folder: Path,
    *,
    n_layers: int = 3,
    labels: tuple[str, ...] = (),
    normalise: bool = True,
    seed: int = 0,
    scale: float = 0.3,
    **changed: Any,
) -> Path:
    """Write a checkpoint, with a head if it has labels, and return its folder."""
    config = {**SMALL, **changed}
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def add(name: str, *shape: int, bias: bool = True, around: float = 0.0) -> None:
        tensors[f"{name}.weight"] = (around + scale * rng.normal(size=shape)).astype(np.float32)
        if bias:
            tensors[f"{name}.bias"] = (scale * rng.normal(size=shape[0])).astype(np.float32)

    read, width, body = 1, config["hidden_size"], "wav2vec2."
    for i, (filters, kernel) in enumerate(zip(config["conv_dim"], config["conv_kernel"], strict=True)):
        owner = f"{body}feature_extractor.conv_layers.{i}"
        add(f"{owner}.conv", filters, read, kernel, bias=config["conv_bias"])
        if i == 0 or config["feat_extract_norm"] == "layer":
            add(f"{owner}.layer_norm", filters, around=1.0)
        read = filters
    add(f"{body}feature_projection.layer_norm", read, around=1.0)
    add(f"{body}feature_projection.projection", width, read)
    places, place = config["num_conv_pos_embeddings"], f"{body}encoder.pos_conv_embed.conv"
    add(place, width, width // config["num_conv_pos_embedding_groups"], places)
    tensors[f"{place}.parametrizations.weight.original1"] = tensors.pop(f"{place}.weight")
    tensors[f"{place}.parametrizations.weight.original0"] = rng.uniform(0.5, 1, (1, 1, places)).astype(np.float32)
    add(f"{body}encoder.layer_norm", width, around=1.0)
    for i in range(n_layers):
        owner = f"{body}encoder.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            add(f"{owner}.attention.{name}", width, width)
        add(f"{owner}.feed_forward.intermediate_dense", config["intermediate_size"], width)
        add(f"{owner}.feed_forward.output_dense", width, config["intermediate_size"])
        add(f"{owner}.layer_norm", width, around=1.0)
        add(f"{owner}.final_layer_norm", width, around=1.0)
    tensors[f"{body}masked_spec_embed"] = rng.uniform(size=width).astype(np.float32)
    if labels:
        add("projector", config["classifier_proj_size"], width)
        add("classifier", len(labels), config["classifier_proj_size"])

    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    described = {
        "model_type": "wav2vec2",
        "num_hidden_layers": n_layers,
        **config,
        "id2label": dict(enumerate(labels)),
        "label2id": {label: i for i, label in enumerate(labels)},
    }
    (folder / "config.json").write_text(json.dumps(described))
    preprocessor = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "do_normalize": normalise,
        "sampling_rate": 16000,
        "return_attention_mask": False,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder
