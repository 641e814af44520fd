"""The PyTorch part of the wav2vec 2.0 teacher: its network, fine-tuning and predictions."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from stages.core.artifacts import dataset
from stages.core.nn.wav2vec2 import Checkpoint
from stages.core.project import files, lazy
from stages.core.project.errors import ModelError, require
from stages.core.project.progress import track
from stages.core.training.losses import class_weights, weigh
from stages.distill.material import TeacherInputs

if TYPE_CHECKING:
    import torch
    import transformers
    from transformers import Wav2Vec2ForSequenceClassification as Network
else:
    torch, transformers = lazy.module("torch"), lazy.module("transformers")

OWNER = "distill.options.wav2vec2"
CHECKPOINT_EVERY_S = 30.0


@dataclass(frozen=True)
class Config:
    """Parameters of the network and of its fine-tuning; `docs/wav2vec2.md` says where the defaults come from.

    Attributes
    ----------
    checkpoint : Path
        Folder with `config.json`, `preprocessor_config.json` and `model.safetensors`.
    head : {"fresh", "checkpoint"}
        Start from a random head, or from the checkpoint's, whose labels must be the task's.
    pooling : {"mean", "sum", "max"}
        Pooling over time of the head's output for each frame.
    dropout : float
        Rate in the transformer and in the head.
    layer_drop : float
        Probability of skipping a layer in a step (Fan et al., arXiv:1909.11556).
    freeze_feature_encoder : bool
        Do not train the convolutions of the waveform.
    epochs : int
        Number of epochs, all of which are trained: the validation split is not used. 0 takes the checkpoint as it is.
    warmup_epochs : int
        Epochs in which the learning rate rises linearly; it then falls linearly to 0.
    learning_rate : float
        Peak learning rate of Adam.
    weight_decay : float
        Coupled weight decay: an L2 penalty whose gradient goes through Adam's moments, as in the published code. A
        student's `weight_decay` is decoupled: the same number regularises it differently.
    batch_size : int
        Clips per step, in training and in prediction.
    class_weights : bool
        Weight classes as in `stages.core.training.params.FitParams`.
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
            require(0 <= rate < 1, f"{OWNER}.{name}", "be a fraction in [0, 1)", rate)
        learns = self.epochs >= 1 or (self.epochs == 0 and self.head == "checkpoint")
        require(learns, f"{OWNER}.epochs", "be at least 1, or 0 with head: checkpoint", self.epochs)
        warmup = self.warmup_epochs
        require(0 <= warmup <= self.epochs, f"{OWNER}.warmup_epochs", "be 0 or more, at most epochs", warmup)
        rate = self.learning_rate
        require(0 < rate <= 1, f"{OWNER}.learning_rate", "be above 0 and at most 1", rate, "Try 2.5e-5.")
        require(self.weight_decay >= 0, f"{OWNER}.weight_decay", "be 0 or more", self.weight_decay)
        require(self.batch_size >= 1, f"{OWNER}.batch_size", "be at least 1", self.batch_size)


def make_deterministic(seed: int, threads: int) -> None:
    """Set the seed and the number of threads of PyTorch, and forbid operators that are not deterministic."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def build(config: Config, material: TeacherInputs, source: Checkpoint) -> "Network":
    """Read the checkpoint into a network with a head for the task."""
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


def _forward(network: "Network", config: Config, clips: np.ndarray) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Return the logits of clips, and what the last layer reads."""
    frames = network.projector(network.wav2vec2(torch.from_numpy(np.array(clips))).last_hidden_state)
    pooled = {"mean": torch.mean, "sum": torch.sum, "max": torch.amax}[config.pooling](frames, 1)
    dropped = torch.nn.functional.dropout(pooled, config.dropout, network.training)
    return network.classifier(dropped), pooled


def fine_tune(
    network: "Network",
    config: Config,
    material: TeacherInputs,
    clips: np.ndarray,
    path: Path,
    *,
    seed: int,
) -> None:
    """Train the network in place; every draw of a step depends on the seed and its number alone."""
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
            raise ModelError(f"wav2vec2: the loss is not finite at step {step + 1}. Lower {OWNER}.learning_rate.")
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
    functions = torch.nn.functional
    if multi_label:
        return functions.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return functions.cross_entropy(logits, targets, reduction="none")


def answer(network: "Network", config: Config, clips: np.ndarray, path: Path, name: str) -> dict[str, np.ndarray]:
    """Return `logits` and `embeddings` of all clips; those in the file are not computed again."""
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
