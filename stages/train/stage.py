"""Train the float32 baseline that every variant descends from."""

from dataclasses import asdict, replace
from pathlib import Path

from stages.core.artifacts import dataset
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.project import files, provenance
from stages.core.training import loop
from stages.core.training.inference import evaluate
from stages.core.training.teacher import TeacherFolder
from stages.train.params import TrainParams


def train(
    features: Path,
    baseline: Path,
    params: TrainParams,
    *,
    teacher: TeacherFolder | None = None,
) -> dict[str, dict[str, float]]:
    """Train a network on a features folder; a killed run resumes where it stopped.

    Call `stages.core.nn.keras.make_deterministic` first, once per process.

    Parameters
    ----------
    features : Path
    baseline : Path
        Folder to write: the network (`stages.core.nn.network`), `history.csv` and `metrics.json`.
    params : TrainParams
    teacher : TeacherFolder or None
        Distil from this teacher.

    Returns
    -------
    dict
        Content of `metrics.json`: per split `loss` (cross-entropy, nats), `accuracy` and `n_clips`, after training.

    Raises
    ------
    ParameterError
        For an unknown architecture or a parameter it refuses.
    DataError
        If a folder is incomplete, or the teacher's answers are not for these clips.
    """
    train_split, validation = dataset.read_split(features, "train"), dataset.read_split(features, "validation")
    targets = teacher.targets(train_split) if teacher else None
    keras.utils.set_random_seed(params.seed)
    labels, shape = train_split.labels, train_split.input_shape
    model, description = network.build(
        params.architecture, params.options, shape, len(labels), multi_label=train_split.multi_label
    )

    inputs = [files.sha256(features / name) for name in dataset.FILES]
    code = provenance.code_hash(
        [__name__, f"{network.ARCHITECTURES}.{params.architecture}"], ["tensorflow", "tf_keras"]
    )
    identity = [teacher.identity()] if teacher else []
    with files.growing_folder(baseline, files.digest(asdict(params), inputs, code, *identity)) as folder:
        checkpoint = folder / "checkpoint.npz"
        history = loop.fit(
            model,
            train_split,
            params,
            loop.Run(
                params.seed,
                validation=validation,
                patience=params.patience,
                checkpoint=checkpoint,
                description=f"train {params.architecture}",
            ),
            teacher=targets,
        )
        network.save(model, replace(description, teacher=teacher.provenance()) if teacher else description, folder)
        files.write_csv(folder / "history.csv", loop.HISTORY_COLUMNS, history)
        metrics = {}
        for name, split in (("train", train_split), ("validation", validation)):
            loss, accuracy = evaluate(model, split)
            metrics[name] = {"loss": loss, "accuracy": accuracy, "n_clips": len(split)}
        files.write_json(folder / "metrics.json", metrics)
        checkpoint.unlink(missing_ok=True)
    return metrics
