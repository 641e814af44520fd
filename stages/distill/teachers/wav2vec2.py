"""wav2vec 2.0, fine-tuned from any checkpoint folder in the layout of Hugging Face, with a head for the task.

PyTorch and transformers are the optional extra `wav2vec2`. A task of one label per clip is trained with cross-entropy,
one of several with a binary cross-entropy each. The fine-tuned teacher is written to `data/teacher/checkpoint`, in the
same layout, so that a student can take its layers (`train.options.wav2vec2_student.checkpoint`). Frames are masked in
pretraining alone, not here.

References
----------
Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations", NeurIPS 2020.
"""

import importlib
import importlib.metadata
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.core.nn import wav2vec2
from stages.core.nn.wav2vec2 import Checkpoint
from stages.core.project import files
from stages.core.project.errors import ModelError, ParameterError, require
from stages.core.project.progress import track
from stages.distill.material import SIDES, Side, TeacherInputs, TeacherOutputs
from stages.distill.teachers import _wav2vec2 as fine_tuning
from stages.distill.teachers._wav2vec2 import OWNER, Config

if TYPE_CHECKING:
    from transformers import Wav2Vec2ForSequenceClassification as Network

__all__ = ["Config", "identity", "learn"]


def identity(config: Config) -> dict[str, str]:
    """Return the digests of the checkpoint's files and the versions of what computes with them.

    Raises
    ------
    ParameterError, DataError, ModelError
        If either is missing, or not what is needed.
    """
    folder = wav2vec2.read(config.checkpoint, f"{OWNER}.checkpoint").folder
    _require_installed()
    digests = {name: files.sha256(folder / name) for name in wav2vec2.FILES}
    return digests | {name: importlib.metadata.version(name) for name in ("torch", "transformers")}


def learn(config: Config, material: TeacherInputs, folder: Path, *, seed: int, threads: int) -> TeacherOutputs:
    """Fine-tune the network and predict both sides; a killed run resumes."""
    source = wav2vec2.read(config.checkpoint, f"{OWNER}.checkpoint")
    _require_labels_task(source)
    if config.head == "checkpoint":
        named = source.config.get("id2label") or {}
        labels = [label for _, label in sorted((int(i), label) for i, label in named.items())]
        material.require_labels(labels, f"The head of {config.checkpoint}")
        pooling = source.config.get("pooling", "mean")
        require(config.pooling == pooling, f"{OWNER}.pooling", f"be the {pooling} that the head has", config.pooling)
    enough = source.shape.n_frames(material.train.clip_samples(source.sample_rate)) >= 1
    require(enough, "features", "have clips long enough for a frame of wav2vec2", f"{material.train.clip_s} s")
    _require_installed()
    fine_tuning.make_deterministic(seed, threads)
    network = fine_tuning.build(config, material, source)
    waveforms = {name: _waveforms(side, source, folder / f"{name}.npy", name) for name, side in material.sides()}
    fine_tuning.fine_tune(network, config, material, waveforms["train"], folder / "fine_tuning.pt", seed=seed)
    tuned = _save(network, source, folder / "output" / "checkpoint")
    answers = {
        name: fine_tuning.answer(network, config, waveforms[name], folder / f"{name}.npz", name) for name in SIDES
    }
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
            f"{OWNER}.checkpoint must be a network for labels, which the clips have; {source.folder} is one for "
            "regression. Take one whose config.json has another problem_type, or none."
        )


def _require_installed() -> None:
    """Say in a sentence what to install.

    Raises
    ------
    ParameterError
    """
    try:
        for name in ("torch", "transformers"):
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ParameterError(
            f"distill.teacher can be wav2vec2 only where PyTorch and transformers are installed; got no {error.name}. "
            "Run `pip install edac[wav2vec2]`."
        ) from None


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


def _save(network: "Network", source: Checkpoint, folder: Path) -> Path:
    """Write a checkpoint and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(folder)
    shutil.copyfile(source.folder / "preprocessor_config.json", folder / "preprocessor_config.json")
    return folder
