"""wav2vec 2.0, fine-tuned from any checkpoint folder in the layout of Hugging Face, with a head for the task.

PyTorch and transformers are the optional extra `wav2vec2`. A task of one label per clip is learned by cross-entropy,
one of several by a binary one for each. What the teacher has become is left in `data/teacher/checkpoint`, in the same
layout, so that a student can take its layers (`train.options.wav2vec2_student.checkpoint`). Frames are not masked in
training, as they are in pretraining.

References
----------
Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations", NeurIPS 2020.
"""

import importlib.metadata
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stages.core.artifacts import dataset
from stages.core.nn import wav2vec2
from stages.core.nn.wav2vec2 import Checkpoint
from stages.core.project import files
from stages.core.project.errors import ModelError, ParameterError, require
from stages.core.project.progress import track
from stages.core.training.losses import class_weights, weigh
from stages.distill.material import SIDES, Side, TeacherInputs, TeacherOutputs

if TYPE_CHECKING:
    import torch
    import transformers

_OWNER = "distill.options.wav2vec2"
CHECKPOINT_EVERY_S = 30.0


@dataclass(frozen=True)
class Config:
    """Which network, and how it is fine-tuned; `docs/wav2vec2.md` says where the defaults come from.

    Attributes
    ----------
    checkpoint : Path
        Folder with `config.json`, `preprocessor_config.json` and `model.safetensors`.
    head : {"fresh", "checkpoint"}
        Start from a random head, or from the checkpoint's, whose labels must be the task's.
    pooling : {"mean", "sum", "max"}
        Over time, of what the head makes of each frame.
    dropout : float
        Rate in the transformer and in the head.
    layer_drop : float
        Probability to leave out a layer in a step (Fan et al., arXiv:1909.11556).
    freeze_feature_encoder : bool
        Leave the convolutions of the waveform as they are.
    epochs : int
        All are done: the validation split chooses nothing. 0 asks the checkpoint as it is.
    warmup_epochs : int
        In which the learning rate rises evenly; after them it falls evenly to 0.
    learning_rate : float
        Peak learning rate of Adam.
    weight_decay : float
        Coupled weight decay: an L2 penalty whose gradient goes through Adam's moments, as in the published code. A
        student's `weight_decay` is decoupled: the same number regularises it differently.
    batch_size : int
        Clips per step, and per answer.
    class_weights : bool
        As of `stages.core.training.params.FitParams`.
    """

    checkpoint: Path = Path("data/wav2vec2")
    head: Literal["fresh", "checkpoint"] = "fresh"
    pooling: Literal["mean", "sum", "max"] = "mean"
    dropout: float = 0.1
    layer_drop: float = 0.0
    freeze_feature_encoder: bool = True
    epochs: int = 32
    warmup_epochs: int = 2
    learning_rate: float = 2.5e-5
    weight_decay: float = 0.01
    batch_size: int = 8
    class_weights: bool = True

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("dropout", "layer_drop"):
            rate = getattr(self, name)
            require(0 <= rate < 1, f"{_OWNER}.{name}", "be a fraction in [0, 1)", rate)
        learns = self.epochs >= 1 or (self.epochs == 0 and self.head == "checkpoint")
        require(learns, f"{_OWNER}.epochs", "be at least 1, or 0 with head: checkpoint", self.epochs)
        warmup = self.warmup_epochs
        require(0 <= warmup <= self.epochs, f"{_OWNER}.warmup_epochs", "be 0 or more, at most epochs", warmup)
        rate = self.learning_rate
        require(0 < rate <= 1, f"{_OWNER}.learning_rate", "be above 0 and at most 1", rate, "Try 2.5e-5.")
        require(self.weight_decay >= 0, f"{_OWNER}.weight_decay", "be 0 or more", self.weight_decay)
        require(self.batch_size >= 1, f"{_OWNER}.batch_size", "be at least 1", self.batch_size)


def identity(config: Config) -> dict[str, str]:
    """Return the digests of the checkpoint's files and the versions of what computes with them.

    Raises
    ------
    ParameterError, DataError, ModelError
        If either is missing, or not what is needed.
    """
    folder = wav2vec2.read(config.checkpoint, f"{_OWNER}.checkpoint").folder
    _require_installed()
    digests = {name: files.sha256(folder / name) for name in wav2vec2.FILES}
    return digests | {name: importlib.metadata.version(name) for name in ("torch", "transformers")}


def learn(config: Config, material: TeacherInputs, folder: Path, *, seed: int, threads: int) -> TeacherOutputs:
    """Fine-tune the network, a killed one from where it was, and have it answer."""
    source = wav2vec2.read(config.checkpoint, f"{_OWNER}.checkpoint")
    _require_labels_task(source)
    if config.head == "checkpoint":
        named = source.config.get("id2label") or {}
        labels = [label for _, label in sorted((int(i), label) for i, label in named.items())]
        material.require_labels(labels, f"The head of {config.checkpoint}")
        pooling = source.config.get("pooling", "mean")
        require(config.pooling == pooling, f"{_OWNER}.pooling", f"be the {pooling} that the head has", config.pooling)
    enough = source.shape.n_frames(material.train.clip_samples(source.sample_rate)) >= 1
    require(enough, "features", "have clips long enough for a frame of wav2vec2", f"{material.train.clip_s} s")
    torch = _torch(threads)

    torch.manual_seed(seed)
    network = _network(config, material, source)
    waveforms = {name: _waveforms(side, source, folder / f"{name}.npy", name) for name, side in material.sides()}
    _fine_tune(network, config, material, waveforms["train"], folder / "fine_tuning.pt", seed=seed)
    tuned = _save(network, source, folder / "output" / "checkpoint")
    answers = {name: _answer(network, config, waveforms[name], folder / f"{name}.npz", name) for name in SIDES}
    logits: dict[str, np.ndarray] = {name: both["logits"] for name, both in answers.items()}
    if material.n_outputs == 1:
        logits = {name: np.diff(values, axis=1) for name, values in logits.items()}
    weights = tuned / wav2vec2.WEIGHTS
    about = {
        "kind": f"wav2vec 2.0, {source.n_layers} layers",
        "parameters": sum(p.numel() for p in network.parameters()),
        "bytes": weights.stat().st_size,
        "source": files.sha256(source.folder / wav2vec2.WEIGHTS),
    }
    embeddings: dict[str, np.ndarray] = {name: both["embeddings"] for name, both in answers.items()}
    return TeacherOutputs(
        logits, material.labels, files.digest(files.sha256(weights), config.pooling), about, embeddings
    )


def _require_labels_task(source: Checkpoint) -> None:
    """Refuse a network that answers with numbers.

    Raises
    ------
    ModelError
    """
    if source.config.get("problem_type") == "regression":
        raise ModelError(
            f"{_OWNER}.checkpoint must be a network for labels, which the clips have; {source.folder} is one for "
            "regression. Take one whose config.json has another problem_type, or none."
        )


def _require_installed() -> None:
    """Say in a sentence what to install.

    Raises
    ------
    ParameterError
    """
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ModuleNotFoundError as error:
        raise ParameterError(
            f"distill.teacher can be wav2vec2 only where PyTorch and transformers are installed; got no {error.name}. "
            "Run `pip install edac[wav2vec2]`."
        ) from None


def _torch(threads: int) -> Any:
    """Return PyTorch, deterministic."""
    _require_installed()
    import torch
    import transformers

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return torch


def _network(
    config: Config, material: TeacherInputs, source: Checkpoint
) -> "transformers.Wav2Vec2ForSequenceClassification":
    """Read the checkpoint into a network with a head for the task."""
    import transformers

    of_file = {"use_safetensors": True, "local_files_only": True}
    described = transformers.Wav2Vec2Config.from_pretrained(
        source.folder,
        local_files_only=True,
        id2label=dict(enumerate(material.labels)),
        label2id={label: i for i, label in enumerate(material.labels)},
        problem_type="multi_label_classification" if material.multi_label else "single_label_classification",
        **dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout"), config.dropout),
        final_dropout=config.dropout,
        layerdrop=config.layer_drop,
        apply_spec_augment=False,
        attn_implementation="eager",
    )
    described.pooling = config.pooling  # which transformers does not know, and keeps
    if config.head == "checkpoint":
        return transformers.Wav2Vec2ForSequenceClassification.from_pretrained(
            source.folder, config=described, **of_file
        )
    network = transformers.Wav2Vec2ForSequenceClassification(described)
    network.wav2vec2 = transformers.Wav2Vec2Model.from_pretrained(source.folder, config=described, **of_file)
    return network


def _waveforms(side: Side, source: Checkpoint, path: Path, name: str) -> np.ndarray:
    """Return the clips of a side as the network takes them, (n, n_samples) float32, memory-mapped from a file."""
    if not path.is_file():
        shape = (len(side), side.clip_samples(source.sample_rate))
        with files.atomic(path) as temporary:
            clips = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
            heard = track(side.waveforms(source.sample_rate), f"{name} waveforms", total=len(side), delay_s=2)
            for i, waveform in enumerate(heard):
                clips[i] = _standardised(waveform) if source.shape.do_normalize else waveform
            clips.flush()
    return np.load(path, mmap_mode="r")


def _standardised(waveform: np.ndarray) -> np.ndarray:
    return (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)


def _forward(
    network: "transformers.Wav2Vec2ForSequenceClassification", config: Config, clips: np.ndarray
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Return the logits of clips, and what the last layer reads."""
    import torch

    frames = network.projector(network.wav2vec2(torch.from_numpy(np.array(clips))).last_hidden_state)
    pooled = {"mean": torch.mean, "sum": torch.sum, "max": torch.amax}[config.pooling](frames, 1)
    dropped = torch.nn.functional.dropout(pooled, config.dropout, network.training)
    return network.classifier(dropped), pooled


def _fine_tune(
    network: "transformers.Wav2Vec2ForSequenceClassification",
    config: Config,
    material: TeacherInputs,
    clips: np.ndarray,
    path: Path,
    *,
    seed: int,
) -> None:
    """Train the network in place; every draw of a step depends on the seed and its number alone."""
    import torch

    y, n_classes = material.train.split.y, len(material.labels)
    targets = dataset.indicators(y, n_classes).astype(np.float32)
    of_class = class_weights(y, n_classes, balanced=config.class_weights)
    _, weights = weigh(targets, of_class)  # targets of 0 and 1 stay

    if config.freeze_feature_encoder:
        network.freeze_feature_encoder()
    learned = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learned, config.learning_rate, weight_decay=config.weight_decay)
    steps_per_epoch = math.ceil(len(y) / config.batch_size)
    n_steps, n_warmup = config.epochs * steps_per_epoch, config.warmup_epochs * steps_per_epoch
    start, saved_at = 0, time.monotonic()
    if path.is_file():
        stored = torch.load(path, weights_only=True)
        network.load_state_dict(stored["network"])
        optimizer.load_state_dict(stored["optimizer"])
        start = stored["step"]

    network.train()
    bar = track(range(start, n_steps), "fine-tune wav2vec2", total=n_steps, initial=start)
    for step in bar:
        epoch, i = divmod(step, steps_per_epoch)
        order = np.random.default_rng((seed, 0, epoch)).permutation(len(y))
        rows = order[i * config.batch_size : (i + 1) * config.batch_size]
        torch.manual_seed(int(np.random.default_rng((seed, 1, step)).integers(2**63)))
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate(step, n_warmup, n_steps)
        logits, _ = _forward(network, config, clips[rows])
        losses = _losses(logits, torch.from_numpy(targets[rows]), material.multi_label)
        loss = (torch.from_numpy(weights[rows]) * losses).mean()
        if not torch.isfinite(loss):
            raise ModelError(f"wav2vec2: the loss is not finite at step {step + 1}. Lower {_OWNER}.learning_rate.")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if time.monotonic() - saved_at >= CHECKPOINT_EVERY_S or step == n_steps - 1:
            stored = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            with files.atomic(path) as temporary:
                torch.save(stored, temporary)
            saved_at = time.monotonic()


def rate(step: int, n_warmup: int, n_steps: int) -> float:
    """Return the fraction of the peak learning rate at a step, from 0: up in even steps, then down to the last."""
    if step < n_warmup:
        return (step + 1) / n_warmup
    return (n_steps - step) / (n_steps - n_warmup)


def _losses(logits: "torch.Tensor", targets: "torch.Tensor", multi_label: bool) -> "torch.Tensor":
    """Return the cross-entropies of clips, (n,), or of each of their labels, (n, n_classes)."""
    import torch

    functions = torch.nn.functional
    if multi_label:
        return functions.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return functions.cross_entropy(logits, targets, reduction="none")


def _save(network: "transformers.Wav2Vec2ForSequenceClassification", source: Checkpoint, folder: Path) -> Path:
    """Write a checkpoint and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(folder)
    shutil.copyfile(source.folder / "preprocessor_config.json", folder / "preprocessor_config.json")
    return folder


def _answer(
    network: "transformers.Wav2Vec2ForSequenceClassification", config: Config, clips: np.ndarray, path: Path, name: str
) -> dict[str, np.ndarray]:
    """Return `logits` and `embeddings` of all clips; those in the file are not computed again."""
    import torch

    rows: list[dict[str, np.ndarray]] = []
    if path.is_file():
        with np.load(path) as stored:
            rows.append(dict(stored))
    n_known = sum(len(row["logits"]) for row in rows)
    network.eval()
    starts, saved_at = range(n_known, len(clips), config.batch_size), time.monotonic()
    bar = track(starts, f"wav2vec2 answers, {name}", total=len(starts), delay_s=2)
    with torch.inference_mode():
        for start in bar:
            logits, pooled = _forward(network, config, clips[start : start + config.batch_size])
            rows.append({"logits": logits.numpy(), "embeddings": pooled.numpy()})
            if time.monotonic() - saved_at >= CHECKPOINT_EVERY_S or start == starts[-1]:
                rows = [{key: np.concatenate([row[key] for row in rows]) for key in ("logits", "embeddings")}]
                with files.atomic(path) as temporary:
                    np.savez(temporary, **rows[0])  # type: ignore[arg-type]
                saved_at = time.monotonic()
    return rows[0]
