"""The wav2vec 2.0 teacher on tones: what it learns, leaves and refuses, and the same after a kill."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from scipy.special import expit, softmax

from stages.core.artifacts.dataset import Split
from stages.core.nn import network
from stages.core.project import files, params
from stages.core.project.errors import EdacError
from stages.distill.material import Side, TeacherInputs, TeacherOutputs
from stages.distill.teachers import _wav2vec2 as fine_tuning
from stages.distill.teachers import wav2vec2
from stages.distill.teachers.wav2vec2 import Config
from tests import checkpoints

RATE = 16_000
CLIP_S = 0.05
HERTZ = (500, 1_500, 3_500)
SIZES = {"train": 24, "val": 9}
LABELS = ("low", "middle", "high")
FAST = {"epochs": 3, "warmup_epochs": 1, "learning_rate": 3e-3, "batch_size": 8, "dropout": 0.0}


@pytest.fixture
def torch() -> Any:
    pytest.importorskip("transformers", reason="part of the optional extra edac[wav2vec2]")
    return pytest.importorskip("torch", reason="PyTorch is an optional extra: pip install edac[wav2vec2]")


def side(folder: Path, n: int, n_classes: int, *, multi_label: bool = False) -> Side:
    folder.mkdir(parents=True)
    rng, t = np.random.default_rng(len(folder.name)), np.arange(int(CLIP_S * RATE)) / RATE
    y = np.arange(n) % n_classes
    for i in range(n):
        tone = 0.2 * np.sin(2 * np.pi * HERTZ[y[i]] * t + i) + 0.02 * rng.normal(size=t.size)
        soundfile.write(folder / f"{i}.wav", tone, RATE)
    names = np.array([f"{folder.name}{i}" for i in range(n)])
    truth = np.eye(n_classes, dtype=np.int64)[y] if multi_label else y
    split = Split(np.zeros((n, 4), np.float32), truth, names, names, names, LABELS[:n_classes])
    return Side(split, tuple(folder / f"{i}.wav" for i in range(n)), CLIP_S, "start")


def material(folder: Path, n_classes: int = 2, *, multi_label: bool = False) -> TeacherInputs:
    train, validation = (side(folder / name, n, n_classes, multi_label=multi_label) for name, n in SIZES.items())
    return TeacherInputs(train, validation, LABELS[:n_classes], multi_label)


def teach(given: TeacherInputs, folder: Path, checkpoint: Path, **options: Any) -> TeacherOutputs:
    folder.mkdir(exist_ok=True)
    config = Config(checkpoint=checkpoint, **{**FAST, **options})
    return wav2vec2.learn(config, given, folder, seed=5, threads=1)


def heard(given: Side) -> np.ndarray:
    return np.stack(list(given.waveforms(RATE)))


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    return checkpoints.save(tmp_path / "pretrained", scale=0.2)


@pytest.mark.thorough
def test_learns_two_tones_and_a_student_takes_the_whole_of_it(torch: Any, tmp_path: Path, pretrained: Path) -> None:
    given = material(tmp_path)
    lesson = teach(given, tmp_path / "work", pretrained, epochs=8, pooling="max")
    assert [lesson.logits[name].shape for name in ("train", "validation")] == [(24, 1), (9, 1)]
    assert ((lesson.logits["validation"][:, 0] > 0) == given.validation.split.y).all()
    assert lesson.embeddings["train"].shape == (24, 12)
    left = tmp_path / "work" / "output" / "checkpoint"
    assert {path.name for path in left.iterdir()} == {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert str(tmp_path) not in (left / "config.json").read_text()
    options = {"checkpoint": left, "layers": 3, "head": "checkpoint", "pooling": "max"}
    student, _ = network.build("wav2vec2_student", {"wav2vec2_student": options}, (800, 1), 2)
    scores = student(heard(given.validation)[..., None]).numpy()
    np.testing.assert_allclose(scores, expit(lesson.logits["validation"]), atol=1e-4)
    assert lesson.about["parameters"] == sum(p.size for p in checkpoints_of(left).values())


def checkpoints_of(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.thorough
@pytest.mark.parametrize("multi_label", [False, True])
def test_answers_as_transformers_own_network_does(
    torch: Any, tmp_path: Path, pretrained: Path, multi_label: bool
) -> None:
    import transformers

    given = material(tmp_path, 3, multi_label=multi_label)
    lesson = teach(given, tmp_path / "work", pretrained, freeze_feature_encoder=multi_label)
    left = tmp_path / "work" / "output" / "checkpoint"
    oracle = transformers.Wav2Vec2ForSequenceClassification.from_pretrained(left, local_files_only=True).eval()
    prepare = transformers.Wav2Vec2FeatureExtractor.from_pretrained(left, local_files_only=True)
    values = prepare(list(heard(given.validation)), sampling_rate=RATE, return_tensors="pt").input_values
    with torch.no_grad():
        np.testing.assert_allclose(lesson.logits["validation"], oracle(values).logits, atol=1e-4)
    kind = "multi_label" if multi_label else "single_label"
    assert oracle.config.problem_type == f"{kind}_classification"
    assert oracle.config.id2label == dict(enumerate(LABELS))
    before, after = checkpoints_of(pretrained), checkpoints_of(left)
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert any(name.startswith("wav2vec2.feature_extractor") for name in changed) is not multi_label
    assert {f"wav2vec2.encoder.layers.{i}.attention.q_proj.weight" for i in range(3)} <= changed


@pytest.mark.thorough
def test_several_labels_are_learned_by_a_binary_cross_entropy_each(torch: Any) -> None:
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
    single = fine_tuning._losses(torch.tensor(logits), torch.tensor(targets), False)
    several = fine_tuning._losses(torch.tensor(logits), torch.tensor(targets), True)
    np.testing.assert_allclose(single, -np.log((targets * softmax(logits, axis=1)).sum(axis=1)), rtol=1e-5)
    p = expit(logits)
    np.testing.assert_allclose(several, -(targets * np.log(p) + (1 - targets) * np.log(1 - p)), rtol=1e-5)


@pytest.mark.thorough
def test_a_kill_changes_nothing(torch: Any, tmp_path: Path, pretrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the fifth of nine steps, and again amid its answers, with dropout and layers dropped."""
    monkeypatch.setattr(fine_tuning, "CHECKPOINT_EVERY_S", 0)
    given, options = material(tmp_path), {"dropout": 0.2, "layer_drop": 0.3}
    whole = teach(given, tmp_path / "whole", pretrained, **options)

    forward, calls = fine_tuning._forward, 0

    def killed(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (5, 12):
            raise KeyboardInterrupt
        return forward(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(fine_tuning, "_forward", killed)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                teach(given, tmp_path / "stopped", pretrained, **options)
        again = teach(given, tmp_path / "stopped", pretrained, **options)
    assert calls == 9 + 3 + 2 + 2  # steps, answers of either side, and the two that were stopped
    assert again.sha256 == whole.sha256
    for name in ("train", "validation"):
        assert again.logits[name].tobytes() == whole.logits[name].tobytes()


def test_a_checkpoint_can_teach_as_it_is(torch: Any, tmp_path: Path) -> None:
    headed = checkpoints.save(tmp_path / "headed", labels=LABELS[:2])
    given = material(tmp_path)
    asked = teach(given, tmp_path / "work", headed, epochs=0, warmup_epochs=0, head="checkpoint")
    left = checkpoints_of(tmp_path / "work" / "output" / "checkpoint")
    for name, values in checkpoints_of(headed).items():
        np.testing.assert_allclose(left[name], values, rtol=1e-6)
    assert np.isfinite(asked.logits["train"]).all()


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [fine_tuning.rate(step, 4, 10) for step in range(10)]
    np.testing.assert_allclose(rates, [1 / 4, 2 / 4, 3 / 4, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    assert fine_tuning.rate(0, 0, 5) == 1


def test_defaults_are_the_preset_of_the_report() -> None:
    config = params.load(Config, {}, "distill.options.wav2vec2")
    assert (config.epochs, config.warmup_epochs, config.learning_rate, config.weight_decay) == (32, 2, 2.5e-5, 0.01)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"epochs": 0}, "wav2vec2.epochs .*checkpoint; got 0"),
        ({"warmup_epochs": 9}, "wav2vec2.warmup_epochs .*got 9"),
        ({"dropout": 1.0}, r"wav2vec2.dropout must be a fraction in \[0, 1\); got 1.0"),
        ({"learning_rate": 0.0}, "wav2vec2.learning_rate .*1; got 0.0"),
        ({"head": "checkpoint", "pooling": "sum"}, "wav2vec2.pooling .*mean .*got 'sum'"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    headed = checkpoints.save(tmp_path / "headed", labels=LABELS[:2])
    with pytest.raises(EdacError, match=sentence):
        teach(material(tmp_path), tmp_path / "work", headed, **options)


def test_bad_checkpoints(tmp_path: Path) -> None:
    given, work = material(tmp_path), tmp_path / "work"
    with pytest.raises(EdacError, match=r"wav2vec2.checkpoint .*Hugging Face"):
        teach(given, work, tmp_path / "none")
    headed = checkpoints.save(tmp_path / "headed", labels=("cat", "dog"))
    with pytest.raises(EdacError, match=r"labels low, middle, .*cat, dog"):
        teach(given, work, headed, head="checkpoint")
    pickled = shutil.copytree(headed, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(EdacError, match=r"model.safetensors; .*pytorch_model.bin"):
        teach(given, work, pickled)
    described = files.read_json(headed / "config.json")
    files.write_json(headed / "config.json", {**described, "problem_type": "regression"})
    with pytest.raises(EdacError, match=r"for labels, .*regression"):
        teach(given, work, headed)


def test_another_checkpoint_of_the_same_name_is_another_teacher(torch: Any, tmp_path: Path, pretrained: Path) -> None:
    config = Config(checkpoint=pretrained)
    before = wav2vec2.identity(config)
    assert before == wav2vec2.identity(config)
    checkpoints.save(pretrained, seed=9)
    changed = {name for name, value in wav2vec2.identity(config).items() if value != before[name]}
    assert changed == {"model.safetensors"}


def test_short_clips_are_refused(tmp_path: Path, pretrained: Path) -> None:
    given = material(tmp_path)
    short = replace(given, train=replace(given.train, clip_s=0.001))
    with pytest.raises(EdacError, match=r"features must .*got '0.001 s'"):
        teach(short, tmp_path / "work", pretrained)


def test_without_pytorch_a_sentence_says_what_to_install(
    tmp_path: Path, pretrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EdacError, match=r"PyTorch and transformers .*edac\[wav2vec2\]"):
        teach(material(tmp_path), tmp_path / "work", pretrained)
    with pytest.raises(EdacError, match=r"pip install edac\[wav2vec2\]"):
        wav2vec2.identity(Config(checkpoint=pretrained))
