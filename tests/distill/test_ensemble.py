"""The ensemble: whose logits are averaged, who answers for which clip, and a kill."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special

from stages.core.nn import network
from stages.core.project.errors import ParameterError
from stages.core.training import loop
from stages.core.training.inference import predict
from stages.distill.material import TeacherOutputs, read_inputs
from stages.distill.teachers import ensemble
from stages.distill.teachers.ensemble import Config, MemberParams

FIT = MemberParams(epochs=3, batch_size=16, learning_rate=1e-2)
OPTIONS = {"ds_cnn": {"stem": 4, "widths": [6], "dropout": 0.0}}
CONFIG = Config("ds_cnn", OPTIONS, members=3, fit=FIT)


def learn(config: Config, features: Path, folder: Path) -> TeacherOutputs:
    folder.mkdir(exist_ok=True)
    return ensemble.learn(config, read_inputs(features), folder, seed=5, threads=1)


@pytest.mark.thorough
def test_softmax_of_the_mean_logits_is_the_geometric_mean_of_the_members(features: Path, tmp_path: Path) -> None:
    lesson = learn(CONFIG, features, tmp_path / "seeds")
    validation = read_inputs(features).validation.split
    members = [network.load(tmp_path / "seeds" / f"member{i}") for i in range(3)]
    scores = np.stack([predict(member, validation).astype(np.float64) for member in members])
    assert np.abs(scores[0] - scores[1]).max() > 1e-3, "the members differ"
    geometric = np.exp(np.log(scores).mean(axis=0))
    expected = geometric / geometric.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scipy.special.softmax(lesson.logits["validation"], axis=1), expected, atol=1e-5)
    assert lesson.about["parameters"] == 3 * members[0].count_params()
    assert lesson.about["out_of_fold"] is False
    other = learn(replace(CONFIG, members=2), features, tmp_path / "two")
    assert other.sha256 != lesson.sha256


@pytest.mark.thorough
def test_over_folds_nobody_answers_for_a_group_that_it_learned_from(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    honest = loop.fit

    def spy(model: Any, split: Any, *arguments: Any, **more: Any) -> Any:
        heard.append(set(split.groups))
        return honest(model, split, *arguments, **more)

    monkeypatch.setattr(loop, "fit", spy)
    lesson = learn(replace(CONFIG, over="folds"), features, tmp_path / "folds")
    material = read_inputs(features)
    split, everyone = material.train.split, set(material.train.split.groups)
    answers = [np.load(tmp_path / "folds" / f"member{i}" / "answers.npz") for i in range(3)]
    assert sum(len(everyone - groups) for groups in heard) == len(everyone)
    for groups, answer in zip(heard, answers, strict=True):
        unheard = np.array([group not in groups for group in split.groups])
        assert unheard.any()
        np.testing.assert_array_equal(lesson.logits["train"][unheard], answer["train"][unheard])
        assert not groups & set(material.validation.split.groups)
    mean = np.mean([answer["validation"] for answer in answers], axis=0)
    np.testing.assert_allclose(lesson.logits["validation"], mean, atol=1e-6)
    assert lesson.about["out_of_fold"] is True


@pytest.mark.thorough
def test_a_killed_teacher_goes_on_within_a_member(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = learn(CONFIG, features, tmp_path / "whole")

    class KilledError(Exception):
        pass

    steps = []
    honest = loop._Progress.save_now_and_then

    def kill(run: Any) -> None:
        honest(run)
        steps.append(run.step)
        if len(steps) == 14:  # of three members with nine steps each
            raise KilledError

    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0)
    monkeypatch.setattr(loop._Progress, "save_now_and_then", kill)
    with pytest.raises(KilledError):
        learn(CONFIG, features, tmp_path / "killed")
    lesson = learn(CONFIG, features, tmp_path / "killed")
    assert steps[14:] == [*range(6, 10), *range(1, 10)], "the second goes on, the third follows"
    for side, logits in expected.logits.items():
        np.testing.assert_array_equal(lesson.logits[side], logits)
    assert lesson.sha256 == expected.sha256
    assert not list((tmp_path / "killed").rglob("checkpoint.npz"))


def test_one_member_is_no_fold() -> None:
    with pytest.raises(ParameterError, match=r"distill.options.ensemble.members .*2 to 100 .*got 1"):
        Config(members=1, over="folds")
