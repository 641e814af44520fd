"""Recordings of several labels, from a user's own CSV to the index."""

from pathlib import Path

import pytest

from stages.core.project import files
from stages.core.project.errors import DataError
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
    with pytest.raises(DataError, match=r"gives d\.wav the label '.*', where \| stands between different names"):
        run("folder", None, root=str(tmp_path / "mine"), csv="labels.csv")
