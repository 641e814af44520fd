"""One cell of the paper's grid, by the published toolkit and by ours; prints JSON.

    python -m tests.bench.cell [--rounds 3] [--epochs 5] [--clips 367] [--sparsity 0.9] [--threads 1]

The EDAC CNN, constant sparsity with masks chosen before every step, files of 32, 16 and 8 bits. *tfmot* is what the
released code does with TensorFlow Model Optimization's wrapper and the TFLite converter: `fit` with
`UpdatePruningStep` and validation after every epoch, `strip_pruning`, three conversions, a ZIP of each for its size,
its scores through the interpreter and their AUC. *ours* is `flows.sweep.cell.compute` of the same three files, as a
sweep calls it: exact batch-norm statistics, score calibration, checks of each file, all metrics of two splits with
bootstrap intervals, and results written, summed and committed.

Both start from the same baseline on the same clips, in processes of their own that have imported their libraries, as
both amortise that over a grid. They take turns in every round; a ratio is the median over the rounds. Memory is the
peak resident set of the process, libraries included. *masks* compares masks of the two, chosen at the same weights and
at the end of an epoch without dropout in the same order of clips.

Jovanović et al., "EDAC", arXiv:2309.05357; code `mlp-g001/EDAC-COVID19`, `brogrammers_pruning_parameter_search.py`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.nn.keras import keras, make_deterministic, tf

SHAPE, BATCH, RATE, SEED = (302, 15), 32, 1e-3, 1234
SCHEMES = ("float32", "float16", "dynamic_wi8_afp32")


def main() -> None:
    """Make the clips and the baseline, and let both sides take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--clips", type=int, default=367, help="of the training split; a seventh more on either other")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", choices=sorted(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(SIDES[given.side](given)), flush=True)
        return
    with tempfile.TemporaryDirectory() as temporary:
        given.folder = Path(temporary)
        in_process("make", given)
        rounds = [{side: in_process(side, given) for side in ("tfmot", "ours")} for _ in range(given.rounds)]
        masks = in_process("masks", given)
    figures = ("cpu_s", "wall_s", "peak_mb")
    result: dict[str, Any] = {
        "clips": given.clips,
        "epochs": given.epochs,
        "sparsity": given.sparsity,
        "threads": given.threads,
        "load_average": round(os.getloadavg()[0], 2),
        "rounds": rounds,
        "tfmot_over_ours": {
            name: round(float(np.median([each["tfmot"][name] / each["ours"][name] for each in rounds])), 2)
            for name in figures
        },
        "masks": masks,
    }
    print(json.dumps(result, indent=2))


def in_process(side: str, given: argparse.Namespace) -> Any:
    """Run one side in a process of its own and return what it prints."""
    named = ("epochs", "clips", "sparsity", "threads", "folder")
    options = [word for name in named for word in (f"--{name}", str(getattr(given, name)))]
    command = [sys.executable, "-m", "tests.bench.cell", "--side", side, *options]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def make(given: argparse.Namespace) -> dict[str, Any]:
    """Write features of two classes that differ a little in level, and a baseline of a few epochs."""
    from stages.core.artifacts import clips as clips_file
    from stages.core.artifacts import dataset
    from stages.core.artifacts import network as network_file
    from stages.core.artifacts.clips import Clip
    from stages.core.nn import network
    from stages.core.project import files
    from stages.core.training import loop
    from stages.train.params import TrainParams

    make_deterministic(SEED, given.threads)
    features, baseline = given.folder / "features", given.folder / "baseline"
    features.mkdir()
    rng, rows, values = np.random.default_rng(SEED), [], []
    for side, n in (("train", given.clips), ("validation", given.clips // 7), ("test", given.clips // 7)):
        for i in range(n):
            label = ("negative", "positive")[i % 2]
            rows.append(Clip(f"{side}{i}", Path(f"{side}{i}.wav"), side, label, f"{side}-{i // 2}"))  # type: ignore[arg-type]
            values.append(rng.normal(0.15 * (i % 2), 1.0, SHAPE))
    clips_file.write(features, rows)
    described = {"labels": ["negative", "positive"], "sample_rate": 22050, "clip_samples": 154350, "bands": []}
    files.write_json(features / "frontend.json", described)
    (features / "frontend.tflite").write_bytes(b"unused")
    np.save(features / "features.npy", np.asarray(values, np.float32))
    model, description = network.build("edac_cnn", {}, SHAPE, 2)
    split = dataset.read_split(features, "train")
    loop.fit(model, split, TrainParams(architecture="edac_cnn", epochs=2, batch_size=BATCH), loop.Run(SEED))
    baseline.mkdir()
    network.save(model, description, baseline)
    return {"parameters": network_file.read(baseline).n_parameters}


def used() -> dict[str, float]:
    """Return processor and wall seconds of this process, children included."""
    of = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {"cpu_s": sum(each.ru_utime + each.ru_stime for each in of), "wall_s": time.monotonic()}


def since(before: dict[str, float]) -> dict[str, float]:
    """Return what was used since, and the process's peak memory."""
    after = used()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {name: round(after[name] - before[name], 2) for name in before} | {"peak_mb": round(peak)}


def with_tfmot(given: argparse.Namespace) -> dict[str, Any]:
    """Make the cell as the released code does."""
    import tensorflow_model_optimization as tfmot

    from sklearn.metrics import roc_auc_score  # isort: skip
    from stages.core.artifacts import dataset

    make_deterministic(SEED, given.threads)
    sides = {side: dataset.read_split(given.folder / "features", side) for side in ("train", "validation")}  # type: ignore[arg-type]
    (x, y), (x_valid, y_valid) = ((np.array(each.x, np.float32), each.y.astype(np.float32)) for each in sides.values())
    base = baseline_of_keras(given.folder / "baseline")
    before = used()
    model = tfmot.sparsity.keras.prune_low_magnitude(base, constant(given.sparsity))
    model.compile(keras.optimizers.Adam(RATE), "binary_crossentropy", metrics=["accuracy"])
    callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
    model.fit(
        x,
        y,
        batch_size=BATCH,
        epochs=given.epochs,
        validation_data=(x_valid, y_valid),
        callbacks=callbacks,
        verbose=0,
    )
    trained = since(before)
    stripped = tfmot.sparsity.keras.strip_pruning(model)
    found = {scheme: released_figures(stripped, scheme, x_valid) for scheme in SCHEMES}
    aucs = {scheme: round(float(roc_auc_score(y_valid, scores)), 3) for scheme, (scores, _) in found.items()}
    sizes = {scheme: size for scheme, (_, size) in found.items()}
    return since(before) | {"training_cpu_s": trained["cpu_s"], "auc": aucs, "zip_bytes": sizes}


def baseline_of_keras(folder: Path) -> Any:
    """Return the baseline, of Keras' own layers."""
    from stages.core.nn import network
    from tests.bench.step import NETWORKS

    model = NETWORKS["edac_cnn"].of_keras()
    model.set_weights(network.load(folder).get_weights())
    for layer in model.layers:
        layer._losses.clear()  # of its construction, which the wrapper would take for the batch's
    return model


def constant(sparsity: float) -> Any:
    """Return the released code's constant schedule."""
    import tensorflow_model_optimization as tfmot

    return tfmot.sparsity.keras.ConstantSparsity(sparsity, 0, end_step=-1, frequency=1)


def released_figures(model: Any, scheme: str, x: np.ndarray) -> tuple[np.ndarray, int]:
    """Convert, compress and run a network as the released code does: scores and bytes of the ZIP."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    if scheme != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    content = converter.convert()
    with tempfile.TemporaryDirectory() as temporary:
        path, zipped = Path(temporary, "model.tflite"), Path(temporary, "model.zip")
        path.write_bytes(content)
        with zipfile.ZipFile(zipped, "w", compression=zipfile.ZIP_DEFLATED) as archive:
            archive.write(path)
        size = zipped.stat().st_size
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    scores = []
    for clip in x:
        interpreter.set_tensor(source["index"], clip.reshape(source["shape"]).astype(source["dtype"]))
        interpreter.invoke()
        scores.append(interpreter.get_tensor(sink["index"])[0])
    return np.array(scores), size


def with_ours(given: argparse.Namespace) -> dict[str, Any]:
    """Make the cell as a sweep does."""
    import importlib

    from flows.sweep import cell as cells
    from flows.sweep.grid import Sources
    from flows.sweep.inputs import SweepInputs
    from flows.sweep.memory import job_bytes
    from flows.sweep.params import SweepParams
    from flows.sweep.plan import plan
    from flows.sweep.store import Store
    from stages.core.artifacts.variant import read_variant
    from stages.evaluate.params import EvaluateParams
    from stages.prune.params import PruneParams
    from stages.quantize.params import QuantizeParams

    for module in (*cells._FOR_VARIANTS, *cells._FOR_TRAINING):  # the fork server imports them
        importlib.import_module(module)
    sweep = SweepParams(schemes=SCHEMES, schedules=("constant",), sparsities=(given.sparsity,), threads=given.threads)
    inputs = SweepInputs(
        Sources(given.folder / "baseline", given.folder / "features"),
        PruneParams(learning_rate=RATE, batch_size=BATCH, epochs=given.epochs),
        QuantizeParams(),
        EvaluateParams(),
    )
    with tempfile.TemporaryDirectory(dir=given.folder) as store:
        spec = cells.Spec(plan(sweep, inputs)[1], Path(store), given.threads, inputs)
        before = used()
        cells._finetune(spec, Store(spec.store))
        trained = since(before)
        cells.compute(spec)
        found = since(before) | {"training_cpu_s": trained["cpu_s"], "reckoned_mb": round(job_bytes(inputs) / 1e6)}
        made = [
            read_variant(Store(spec.store).folder("variants", each.key) / "variant.json") for each in spec.cell.variants
        ]
    aucs = {each.scheme: each.metrics["validation"].pooled["roc_auc"].value for each in made}
    return found | {"auc": aucs, "deflated_bytes": {each.scheme: each.deflated_bytes for each in made}}


def same_masks(given: argparse.Namespace) -> dict[str, Any]:
    """Count the weights that one side prunes and the other keeps, after an epoch without dropout in the same order."""
    import tensorflow_model_optimization as tfmot

    from stages.core.artifacts import dataset
    from stages.core.nn import network
    from stages.core.training.loop import Run
    from stages.prune.finetune import Pruning, finetune
    from stages.prune.params import PruneParams
    from stages.prune.prunables import prunable_kernels
    from tests.bench.step import NETWORKS

    make_deterministic(SEED, given.threads)
    weights = network.load(given.folder / "baseline").get_weights()
    split = dataset.read_split(given.folder / "features", "train")
    cnn = NETWORKS["edac_cnn"]
    ours, inner = cnn.built(dropout=False), cnn.of_keras(dropout=False)
    for each in (ours, inner):
        each.set_weights(weights)
    params = PruneParams(epochs=1, batch_size=BATCH, learning_rate=RATE, class_weights=False, batch_norm_clips=0)
    finetune(ours, split, params, Pruning("constant", given.sparsity), Run(SEED))
    for layer in inner.layers:
        layer._losses.clear()
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(inner, constant(given.sparsity))
    wrapped.compile(keras.optimizers.Adam(RATE), "binary_crossentropy")
    order = np.random.default_rng((SEED, 0, 0)).permutation(len(split))
    x, y = split.x[order], split.y[order].astype(np.float32)
    step = tfmot.sparsity.keras.UpdatePruningStep()
    wrapped.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[step])
    theirs = tfmot.sparsity.keras.strip_pruning(wrapped)
    pairs = [[k.numpy() != 0 for _, k in prunable_kernels(each)] for each in (ours, theirs)]
    differing = sum(int((mine != other).sum()) for mine, other in zip(*pairs, strict=True))
    return {"weights": sum(mask.size for mask in pairs[0]), "steps": -(-len(split) // BATCH), "differing": differing}


SIDES = {"make": make, "tfmot": with_tfmot, "ours": with_ours, "masks": same_masks}

if __name__ == "__main__":
    main()
