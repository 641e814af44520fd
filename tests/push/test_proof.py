"""A self-test that can fail: whatever answers the same to everything, mixes things up or guesses is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.project import files, plugins
from stages.core.project.errors import ModelError
from stages.push import bundle, proof
from stages.runtime import manifest
from tests.messages import line_with

SCHEMES = plugins.names("stages.quantize.schemes")


def accepts(allowed: float, expected: np.ndarray, answers: np.ndarray) -> bool:
    """Return whether a device with these answers passes."""
    return bool(np.abs(answers - expected).max() <= allowed)


@given(
    st.sampled_from(SCHEMES),
    st.integers(1, 10),
    st.integers(2, 8),
    st.integers(0, 2**32 - 1),
    st.floats(1e-4, 1.0),
    st.floats(0, 1),
)
def test_no_constant_passes_whatever_the_scores_and_the_scheme(
    scheme: str, n_classes: int, n_golden: int, seed: int, spread: float, constant: float
) -> None:
    rng = np.random.default_rng(seed)
    scores = np.clip(0.5 + spread * (rng.random((n_golden, n_classes)) - 0.5), 0, 1)
    try:
        allowed, reason = proof.tolerance(scheme, scores.tolist())
    except ModelError as error:
        assert "golden scores must span at least" in str(error)  # noqa: PT017
        return
    assert f"({scheme}: " in reason
    for answer in (constant, scores[0], scores.mean(axis=0), (scores.max(axis=0) + scores.min(axis=0)) / 2):
        assert not accepts(allowed, scores, np.broadcast_to(answer, scores.shape))
    assert accepts(allowed, scores, scores + allowed / 2)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_the_tolerance_is_and_why(scheme: str) -> None:
    wide, why = proof.tolerance(scheme, [[0.01], [0.99]])
    assert wide == (0.02 if scheme.startswith(("static", "dynamic")) else 0.005)
    assert "what other kernels may round differently" in why
    narrow, why = proof.tolerance(scheme, [[0.48], [0.50]])
    assert narrow == pytest.approx(0.005)
    if scheme.startswith(("static", "dynamic")):
        assert line_with(why, "a quarter", "golden scores")
    with pytest.raises(ModelError, match=r"at least 0\.\d+ of a score"):
        proof.tolerance(scheme, [[0.5], [0.5]])


WRONG: dict[str, Callable[[list[list[float]]], list[list[float]]]] = {
    "constant": lambda scores: [scores[0]] * len(scores),
    "permuted recordings": lambda scores: scores[1:] + scores[:1],
    "permuted classes": lambda scores: [row[1:] + row[:1] if len(row) > 1 else [1 - row[0]] for row in scores],
    "noise": lambda scores: np.random.default_rng(1).random((len(scores), len(scores[0]))).tolist(),
}


@pytest.mark.parametrize("i", [0, 2])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_device_that_answers_otherwise_fails_its_self_test(
    bundles: list[Path], tmp_path: Path, i: int, wrong: str
) -> None:
    """The golden scores are those of another model: to the device it is all the same which of the two is wrong."""
    from stages.runtime.selftest import selftest

    release = shutil.copytree(bundles[i], tmp_path / "release")
    content = files.read_json(release / "manifest.json")
    altered = WRONG[wrong]([golden["scores"] for golden in content["golden"]])
    for golden, scores in zip(content["golden"], altered, strict=True):
        golden["scores"] = scores
    files.write_json(release / "manifest.json", content)
    found = selftest(release)
    assert not found["ok"]
    assert any("scores differ by" in check["detail"] and not check["ok"] for check in found["checks"])


def test_the_demo_that_passed_with_a_constant_passes_no_more() -> None:
    """Four golden scores lay between 0.373 and 0.398, and 0.386 to everything was within 0.02."""
    scores = [[0.373], [0.381], [0.390], [0.398]]
    for scheme in SCHEMES:
        allowed, _ = proof.tolerance(scheme, scores)
        assert not accepts(allowed, np.asarray(scores), np.full((4, 1), 0.386))


def test_decisions_must_agree_where_they_are_clear() -> None:
    one = manifest.Manifest("m", 1, "any", "c", ("no", "yes"), 0.5, 1, 1, {}, (), 0.01, {})
    assert (one.decision([0.5]), one.decision([0.49])) == ("yes", "no")
    assert (one.is_clear([0.52]), one.is_clear([0.505])) == (True, False)
    many = manifest.Manifest("m", 1, "any", "c", ("a", "b", "c"), None, 1, 1, {}, (), 0.01, {})
    assert many.decision([0.2, 0.5, 0.3]) == "b"
    assert (many.is_clear([0.2, 0.5, 0.3]), many.is_clear([0.2, 0.41, 0.39])) == (True, False)
    each = manifest.Manifest("m", 1, "any", "c", ("a", "b"), (0.3, 0.6), 1, 1, {}, (), 0.01, {})
    assert each.decision([0.3, 0.5]) == ["a"]
    assert (each.is_clear([0.4, 0.5]), each.is_clear([0.305, 0.5])) == (True, False)


CRASH = """
import os, signal
os.kill(os.getpid(), signal.{signal})
"""


@pytest.mark.parametrize(
    ("signal", "sentence"),
    [
        ("SIGSEGV", r"was ended by signal 11 \(Segmentation fault\)"),
        ("SIGKILL", r"was killed \(signal 9\), probably out"),
    ],
)
def test_a_model_that_crashes_the_kernels_is_refused_in_a_sentence(
    selections: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal: str, sentence: str
) -> None:
    (tmp_path / "code/stages/push").mkdir(parents=True)
    for package in ("stages", "stages/push"):
        (tmp_path / "code" / package / "__init__.py").write_text("")
    (tmp_path / "code/stages/push/proof.py").write_text(CRASH.format(signal=signal))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=rf"model.tflite or frontend.tflite .*{sentence}"):
        bundle.build(tmp_path / "release", selected=selections[0], version=1)


def test_models_that_cannot_be_loaded_are_refused_in_a_sentence(selections: list[Path], tmp_path: Path) -> None:
    selected = shutil.copytree(selections[0], tmp_path / "selected")
    (selected / "model.tflite").write_bytes(b"\0" * 100)
    selection = json.loads((selected / "selection.json").read_text())
    selection["variant"]["sha256"] = files.sha256(selected / "model.tflite")
    files.write_json(selected / "selection.json", selection)
    with pytest.raises(ModelError, match=r"cannot be run: .*model.tflite is not a model"):
        bundle.build(tmp_path / "release", selected=selected, version=1)


@given(st.integers(1, 8), st.integers(4, 12), st.integers(0, 2**32 - 1))
def test_what_is_let_through_tells_a_mixed_up_device_from_a_sound_one(n_classes: int, n_golden: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(n_classes, 0.5), n_golden) if n_classes > 1 else rng.random((n_golden, 1))
    names = [f"class{i}" for i in range(max(n_classes, 2))]
    try:
        allowed, _ = proof.tolerance("static_wi8_ai8", scores.tolist())
        proof.require_telling(scores.tolist(), allowed, names)
    except ModelError:
        return
    moved = np.ptp(scores, axis=0) > 2 * allowed
    exchanged = 1 - scores if n_classes == 1 else np.roll(scores, 1, axis=1)
    assert not accepts(allowed, scores, exchanged) or (n_classes > 1 and not moved.any())
    guessed = sum(accepts(allowed, scores, scores[rng.integers(0, n_golden, n_golden)]) for _ in range(200))
    assert guessed <= 16  # 2 % of 200, and twelve more


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([[0.1], [0.9], [0.1], [0.9]], "one in 16 guesses would pass"),
        ([[0.1], [0.5], [0.9]], "one in 27 guesses would pass"),
        ([[0.1, 0.1], [0.3, 0.3], [0.6, 0.6], [0.9, 0.9]], "must tell 'no' from 'yes'"),
    ],
)
def test_golden_recordings_that_a_wrong_device_would_pass_are_refused(scores: list[list[float]], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        proof.require_telling(scores, 0.02, ["no", "yes"])
