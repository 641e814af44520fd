"""Recordings of several labels, from a user's own CSV to the index."""

from pathlib import Path

import pytest

from stages.core.project import files
from stages.core.project.errors import DataError, ParameterError
from stages.pull import joined
from stages.pull.sources import folder
from tests.pull.conftest import Run
from tests.trees import bursts, encode

LABELS = {"a.wav": "dog|siren", "b.wav": "dog", "c.wav": "siren|rain"}


def table(root: Path, labels: dict[str, str]) -> None:
    for i, name in enumerate(labels):
        encode(root / name, bursts(i, sample_rate=8000, seconds=0.2), 8000)
    rows = [{"path": name, "label": label, "group": name} for name, label in labels.items()]
    files.write_csv(root / "labels.csv", ("path", "label", "group"), rows)


def test_labels_are_counted_one_by_one_and_kept_together_in_the_index(tmp_path: Path, run: Run) -> None:
    table(tmp_path / "mine", LABELS)
    report, index = run("folder", None, root=str(tmp_path / "mine"), csv="labels.csv")
    assert report["labels"] == {
        "dog": {"found": 2, "usable": 2},
        "rain": {"found": 1, "usable": 1},
        "siren": {"found": 2, "usable": 2},
    }
    assert {name: r.labels for name, r in index.items()} == {n: tuple(la.split("|")) for n, la in LABELS.items()}
    assert files.read_json(tmp_path / "data" / "labels.json") == ["dog", "rain", "siren"]


@pytest.mark.parametrize("label", ["dog|", "|dog", "dog||rain", "dog|dog"])
def test_an_empty_or_repeated_name_is_refused(tmp_path: Path, run: Run, label: str) -> None:
    table(tmp_path / "mine", LABELS | {"d.wav": label})
    with pytest.raises(DataError, match=r"d\.wav the label '.*\|"):
        run("folder", None, root=str(tmp_path / "mine"), csv="labels.csv")


@pytest.mark.parametrize("separator", joined.CANDIDATES)
def test_another_separator_is_asked_for_and_then_used(tmp_path: Path, run: Run, separator: str) -> None:
    texts = [label.replace("|", separator) for label in ("dog|siren", "dog", "siren|rain", "siren", "rain")]
    table(tmp_path / "mine", {f"{i}.wav": text for i, text in enumerate(texts)})
    given = {"root": str(tmp_path / "mine"), "csv": "labels.csv"}
    with pytest.raises(ParameterError, match=r"pull\.options\.folder\.label_separator") as told:
        run("folder", None, **given)
    assert repr(separator) in str(told.value)
    assert texts[0] in str(told.value)
    report, _ = run("folder", None, **given, label_separator=separator)
    assert set(report["labels"]) == {"dog", "rain", "siren"}
    report, _ = run("folder", None, **given, label_separator="|")
    assert set(report["labels"]) == set(texts)


@pytest.mark.parametrize("label", ["dog; nan", "dog; ;", ";"])
def test_parts_that_are_missing(tmp_path: Path, run: Run, label: str) -> None:
    table(tmp_path / "mine", {"a.wav": "dog;rain", "b.wav": "rain", "c.wav": label})
    given = {"root": str(tmp_path / "mine"), "csv": "labels.csv", "label_separator": ";"}
    if label == "dog; ;":
        assert set(run("folder", None, **given)[0]["labels"]) == {"dog", "rain"}
    else:
        with pytest.raises(DataError, match="line 4: label must be given"):
            run("folder", None, **given)


@pytest.mark.parametrize("separator", ["", "ab", "x", "1", " ", "\n"])
def test_what_cannot_stand_between_labels(separator: str) -> None:
    with pytest.raises(ParameterError, match=r"label_separator must be one character"):
        folder.Config(root="/x", csv="labels.csv", label_separator=separator)


def test_names_with_commas_are_names() -> None:
    for labels in (
        ["rock, hard", "rock, soft", "jazz"],
        ["north, ward 1", "north, ward 2", "south, ward 1"],
        ["R&B", "C+"],
    ):
        assert joined.separator_of(labels) is None
