"""A sweep made by hand: logistic models written straight into flatbuffers, without TensorFlow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.frontend import Frontend
from stages.core.artifacts.variant import Variant, write_variants
from stages.core.project import compression, files
from stages.evaluate import scoring
from stages.evaluate.params import EvaluateParams
from stages.runtime.litert import Model

PARAMS = EvaluateParams(bootstrap_resamples=100, latency_warmup=1, latency_runs=10)
N_FEATURES = 6
RATE, LENGTH = 16_000, 1600


def logistic(kernel: np.ndarray, *, softmax: bool = False) -> bytes:
    """Write a model of one fully connected operator and a sigmoid or softmax; kernel (n_outputs, n_features)."""
    n_outputs, n_features = kernel.shape
    last = schema.BuiltinOperator.SOFTMAX if softmax else schema.BuiltinOperator.LOGISTIC
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers = 3, [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(kernel.astype(np.float32).tobytes(), np.uint8)
    graph.tensors = []
    for name, shape, buffer in (
        (b"features", (1, n_features), 0),
        (b"kernel", (n_outputs, n_features), 1),
        (b"logits", (1, n_outputs), 0),
        (b"scores", (1, n_outputs), 0),
    ):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), schema.TensorType.FLOAT32, buffer
        graph.tensors.append(tensor)
    dense, squash = schema.OperatorT(), schema.OperatorT()
    dense.inputs, dense.outputs, dense.opcodeIndex = [0, 1, -1], [2], 0
    dense.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    dense.builtinOptions = schema.FullyConnectedOptionsT()
    squash.inputs, squash.outputs, squash.opcodeIndex = [2], [3], 1
    if softmax:
        squash.builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
        squash.builtinOptions = schema.SoftmaxOptionsT()
        squash.builtinOptions.beta = 1.0
    model.operatorCodes = []
    for operator in (schema.BuiltinOperator.FULLY_CONNECTED, last):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = operator
        code.version = 1
        model.operatorCodes.append(code)
    graph.inputs, graph.outputs, graph.operators = [0], [3], [dense, squash]
    model.subgraphs = [graph]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


@pytest.fixture
def make_model() -> Callable[..., bytes]:
    return logistic


@pytest.fixture
def params() -> EvaluateParams:
    return PARAMS


@pytest.fixture
def kernel() -> np.ndarray:
    return np.array([[1.0, -1.0, 0.5, 0.0, 0.0, 2.0]])


@pytest.fixture
def features(tmp_path: Path, rng: np.random.Generator, kernel: np.ndarray) -> Path:
    """A features folder of 150 clips, a third on each side, whose labels follow `kernel` most of the time."""
    folder = tmp_path / "features"
    folder.mkdir()
    x = rng.normal(size=(150, N_FEATURES)).astype(np.float32)
    positive = (x @ kernel[0] + rng.normal(size=150)) > 0
    np.save(folder / "features.npy", x)
    rows = [
        {
            "clip_id": f"clip{i:03d}",
            "path": f"clip{i:03d}.wav",
            "split": ("train", "validation", "test")[i % 3],
            "label": "positive" if positive[i] else "negative",
            "group": f"subject{i // 6}",
            "site": ("studio", "phone")[i % 2],
            "parent": "",
        }
        for i in range(150)
    ]
    files.write_csv(folder / "clips.csv", clips_file.COLUMNS, rows)
    frontend_file.write(folder, Frontend(("negative", "positive"), 8000, 8000))
    (folder / "frontend.tflite").write_bytes(bytes(1000))
    return folder


@pytest.fixture
def sweep(tmp_path: Path, features: Path, kernel: np.ndarray) -> Path:
    """A sweep of a baseline and two schedules at two sparsities, all as float32 and as a pretended `narrow`."""
    folder = tmp_path / "sweep"
    (folder / "scores").mkdir(parents=True)
    splits = {side: dataset.read_split(features, side) for side in ("validation", "test")}
    grid = [("", 0.0), ("constant", 0.5), ("constant", 0.9), ("polynomial", 0.5), ("polynomial", 0.9)]
    variants = []
    for schedule, sparsity in grid:
        for scheme, bit_width in (("float32", 32), ("narrow", 8)):
            name = f"{schedule or 'baseline'}-s{sparsity}-{scheme}"
            weights = np.where(np.abs(kernel) >= 2 * sparsity, kernel, 0.0) * (1.0 if scheme == "float32" else 0.5)
            model = logistic(weights)
            (folder / f"{name}.tflite").write_bytes(model)
            scores = {side: scoring.score(model, split.crops) for side, split in splits.items()}
            np.savez(folder / "scores" / f"{name}.npz", validation=scores["validation"], test=scores["test"])
            variants.append(
                Variant(
                    name=name,
                    key=name,
                    criterion="magnitude" if schedule else "",
                    schedule=schedule,
                    sparsity=sparsity,
                    measured_sparsity=sparsity,
                    scheme=scheme,
                    bit_width=bit_width,
                    seed=1234,
                    sha256=files.sha256(folder / f"{name}.tflite"),
                    raw_bytes=len(model) * bit_width,
                    deflated_bytes=compression.deflated_bytes(model) * bit_width,
                    operators={"FULLY_CONNECTED": 1, "LOGISTIC": 1},
                    keras_difference=1.23456789e-7,
                    metrics=scoring.metrics(scores, splits, PARAMS),
                )
            )
    write_variants(folder / "variants.json", variants)
    return folder


@pytest.fixture
def keep(sweep: Path) -> Callable[[Callable[[dict[str, Any]], bool]], None]:
    """Return a function that removes all but the wanted variants from the sweep."""

    def keep(wanted: Callable[[dict[str, Any]], bool]) -> None:
        path = sweep / "variants.json"
        files.write_json(path, [v for v in files.read_json(path) if wanted(v)])

    return keep


@pytest.fixture
def recorded(features: Path, tmp_path: Path, make_model: Callable[..., bytes]) -> Path:
    """The features folder with recordings of noise, a front end for them, and the features that it makes."""
    audio, rng = tmp_path / "audio", np.random.default_rng(5)
    audio.mkdir()
    rows = files.read_csv(features / "clips.csv")
    frontend = make_model(rng.normal(size=(6, LENGTH)))
    (features / "frontend.tflite").write_bytes(frontend)
    x = np.load(features / "features.npy")
    for i, row in enumerate(rows):
        row["path"] = str(audio / row["path"])
        soundfile.write(row["path"], rng.normal(scale=0.05, size=LENGTH), RATE, subtype="FLOAT")
        x[i] = Model(frontend).run(soundfile.read(row["path"], dtype="float32")[0][np.newaxis])[0]
    np.save(features / "features.npy", x)
    files.write_csv(features / "clips.csv", clips_file.COLUMNS, rows)
    described = {"sample_rate": RATE, "clip_samples": LENGTH, "align": "start", "labels": ["negative", "positive"]}
    files.write_json(features / "frontend.json", described)
    return features
