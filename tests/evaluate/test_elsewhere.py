import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sklearn.metrics import roc_auc_score

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import evaluation
from stages.core.artifacts.variant import read_variants
from stages.core.project import files
from stages.core.project.errors import DataError, ParameterError
from stages.core.project.params import load
from stages.evaluate import places, scoring
from stages.evaluate.params import EvaluateParams, Place
from stages.evaluate.stage import evaluate
from stages.runtime.litert import Model
from tests.evaluate.conftest import LENGTH, RATE

N = 24


@pytest.fixture
def ward(recorded: Path, tmp_path: Path) -> Path:
    """Class folders `ill` and `healthy` of two recordings of each of twelve people, with noise of their own."""
    folder, rng = tmp_path / "ward", np.random.default_rng(11)
    for i in range(N):
        path = folder / ("ill" if i % 4 < 2 else "healthy") / f"p{i // 2:02d}-{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(scale=0.05, size=LENGTH), RATE, subtype="FLOAT")
    return folder


def place(folder: Path, **changed: Any) -> Place:
    given = {"group_pattern": "(p[0-9]+)-", "labels": {"ill": "positive", "healthy": "negative"}}
    return Place(folder, **given | changed)  # type: ignore[arg-type]


@pytest.mark.thorough
def test_every_variant_is_scored_on_the_recordings_of_another_place(
    recorded: Path, sweep: Path, ward: Path, tmp_path: Path, params: EvaluateParams
) -> None:
    evaluate(sweep, recorded, tmp_path / "out", replace(params, elsewhere={"ward": place(ward)}))
    found = {each.name: each for each in evaluation.read(tmp_path / "out")}
    paths = sorted(ward.rglob("*.wav"))
    front = Model(recorded / "frontend.tflite")
    x = np.stack([front.run(soundfile.read(path, dtype="float32")[0][np.newaxis])[0] for path in paths])
    truth = np.array([path.parent.name == "ill" for path in paths]).astype(int)
    reference, other = read_variants(sweep / "variants.json")[0], read_variants(sweep / "variants.json")[4]

    def auc(name: str) -> float:
        return float(roc_auc_score(truth, scoring.score(sweep / f"{name}.tflite", x[:, np.newaxis])))

    result = found[other.name].elsewhere["ward"]
    assert (result.n, result.groups, result.classes) == (N, 12, {"negative": 12, "positive": 12})
    value = result.figures["roc_auc"].value
    assert value == pytest.approx(auc(other.name), abs=1e-6)
    home = other.metrics["test"].pooled["roc_auc"].value
    assert value is not None
    assert home is not None
    assert result.drop.value == pytest.approx(home - value, abs=2e-6)
    assert result.compression.value == pytest.approx(auc(reference.name) - auc(other.name), abs=2e-6)
    assert result.excess.value == pytest.approx(
        (result.compression.value or 0.0) - (result.compression_at_home.value or 0.0), abs=2e-6
    )
    for each in (result.figures["roc_auc"], result.drop, result.compression, result.excess):
        assert each.low is not None
        assert each.value is not None
        assert each.high is not None
        assert each.low <= each.value <= each.high
    rows = files.read_csv(tmp_path / "out" / "elsewhere.csv")
    assert {(row["place"], row["name"]) for row in rows} == {("ward", name) for name in found}
    assert found[reference.name].elsewhere["ward"].compression.reason == "it is the baseline"


def test_what_home_has_heard_is_left_out_by_name(recorded: Path, ward: Path) -> None:
    at_home = clips_file.read(recorded, "train")[0]
    shutil.copyfile(at_home.path, ward / "ill" / "p90-copy.wav")
    shutil.move(ward / "ill" / "p00-0.wav", ward / "ill" / f"{at_home.group}-0.wav")
    soundfile.write(ward / "ill" / "p91-quiet.wav", np.zeros(LENGTH), RATE)
    (ward / "ill" / "p92-broken.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    (ward / "ill" / "._p93-x.wav").write_bytes(b"nothing")
    heard = places.hear("ward", place(ward, group_pattern="/([a-z]+[0-9]+)-"), recorded)
    assert len(heard.clips) == N - 1 == len(heard.x)
    told = dict(heard.left_out)
    assert told.pop("ill/p92-broken.wav")
    assert told == {
        "ill/p90-copy.wav": places.SAME_SOUND,
        f"ill/{at_home.group}-0.wav": places.SAME_GROUP,
        "ill/p91-quiet.wav": places.SILENT,
    }


def test_a_csv_names_label_and_group(recorded: Path, ward: Path) -> None:
    rows = [
        {"path": path.relative_to(ward).as_posix(), "label": "positive", "group": "anna"}
        for path in ward.rglob("*.wav")
    ]
    files.write_csv(ward / "list.csv", ("path", "label", "group"), rows[:5])
    clips, _ = places.listing("ward", Place(ward, csv="list.csv"), ("negative", "positive"))
    assert [(clip.label, clip.group) for clip in clips] == [("positive", "anna")] * 5
    files.write_csv(ward / "list.csv", ("path", "label"), [{"path": "a.wav", "label": "positive"}])
    with pytest.raises(DataError, match="path, label, group; group is missing"):
        places.listing("ward", Place(ward, csv="list.csv"), ("negative", "positive"))
    outside = [{"path": "../a.wav", "label": "positive", "group": "anna"}]
    files.write_csv(ward / "list.csv", ("path", "label", "group"), outside)
    with pytest.raises(DataError, match=r"paths below .*'../a.wav'"):
        places.listing("ward", Place(ward, csv="list.csv"), ("negative", "positive"))


def test_labels_lead_home_or_are_left_out(ward: Path) -> None:
    labels = ("negative", "positive")
    with pytest.raises(DataError, match=r"elsewhere.ward.labels .*'healthy' of healthy/"):
        places.listing("ward", place(ward, labels={"ill": "positive"}), labels)
    clips, left_out = places.listing("ward", place(ward, labels={"ill": "positive", "healthy": None}), labels)
    assert {clip.label for clip in clips} == {"positive"}
    assert {reason for _, reason in left_out} == {places.LEFT_OUT}
    assert len(clips) + len(left_out) == N


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"folder": "x"}, "must have either csv or group_pattern"),
        ({"folder": "x", "csv": "a", "group_pattern": "(a)"}, "must have either csv or group_pattern"),
        ({"folder": "x", "group_pattern": "a"}, r"parentheses .*got 'a'"),
        ({"folder": "x", "group_pattern": "(a"}, "one pair of parentheses"),
    ],
)
def test_a_place_that_cannot_be_read_is_refused_at_once(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        load(EvaluateParams, {"elsewhere": {"ward": given}}, "evaluate")


def test_a_place_needs_a_plain_name_and_a_folder(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"got '../ward'"):
        EvaluateParams(elsewhere={"../ward": place(tmp_path)})
    with pytest.raises(DataError, match=r"evaluate.elsewhere.ward.folder .*absent"):
        places.hear("ward", place(tmp_path / "absent"), recorded)
