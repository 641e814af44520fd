"""One side of the split, row by row the features of the clips it names."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset
from stages.core.artifacts.split import SPLITS
from stages.core.project import files
from stages.core.project.errors import DataError

LABELS = ["zebra", "ape"]  # in output order, which is not the alphabet's
SIDES = ["train", "test", "train", "validation", "train"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five clips whose features say which row they are."""
    rows = [
        {
            "clip_id": f"c{i}",
            "path": f"{i}.wav",
            "split": side,
            "label": LABELS[i % 2],
            "group": f"g{i // 2}",
            "site": "" if i else "lab",
            "parent": "",
        }
        for i, side in enumerate(SIDES)
    ]
    files.write_csv(tmp_path / "clips.csv", clips_file.COLUMNS, rows)
    files.write_json(tmp_path / "frontend.json", {"labels": LABELS, "sample_rate": 8000, "clip_samples": 4000})
    np.save(
        tmp_path / "features.npy", np.arange(5, dtype=np.float32)[:, np.newaxis, np.newaxis] * np.ones((2, 3), "f4")
    )
    return tmp_path


def test_a_split_holds_its_rows_in_order(folder: Path) -> None:
    train = dataset.read_split(folder, "train")
    assert len(train) == 3
    assert train.x.shape == (3, 2, 3)
    assert train.x.dtype == np.float32
    assert train.x[:, 0, 0].tolist() == [0, 2, 4]
    assert train.clip_ids.tolist() == ["c0", "c2", "c4"]
    assert train.groups.tolist() == ["g0", "g1", "g2"]
    assert train.sites.tolist() == ["lab", "", ""]


def test_a_side_that_is_one_piece_of_the_file_is_not_copied(folder: Path) -> None:
    rows = sorted(files.read_csv(folder / "clips.csv"), key=lambda row: SPLITS.index(row["split"]))  # type: ignore[arg-type]
    files.write_csv(folder / "clips.csv", clips_file.COLUMNS, rows)
    mapped = []
    for side, expected in (("train", [0, 1, 2]), ("validation", [3]), ("test", [4])):
        x = dataset.read_split(folder, side).x  # type: ignore[arg-type]
        assert x[:, 0, 0].tolist() == expected
        assert not x.flags.writeable
        mapped.append(isinstance(x.base, np.memmap))
    assert all(mapped)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=30).filter(lambda y: len(set(y)) > 1), st.booleans())
def test_other_labels_are_those_that_a_search_of_all_clips_finds(y: list[int], multi_label: bool) -> None:
    labels = np.array([[i & 1, i >> 1] for i in y]) if multi_label else np.array(y)
    sets = dataset.LabelSets.of(labels)
    for clip in range(len(y)):
        found = [sets.other(clip, k) for k in range(sets.n_others(clip))]
        assert found == [i for i in range(len(y)) if y[i] != y[clip]]


def test_labels_are_numbered_in_output_order(folder: Path) -> None:
    assert dataset.read_split(folder, "train").y.tolist() == [0, 0, 0]
    validation = dataset.read_split(folder, "validation")
    assert validation.y.tolist() == [1]
    assert validation.y.dtype == np.int64
    assert validation.labels == ("zebra", "ape")


def test_the_splits_share_every_clip_out(folder: Path) -> None:
    ids = [i for name in SPLITS for i in dataset.read_split(folder, name).clip_ids.tolist()]
    assert sorted(ids) == ["c0", "c1", "c2", "c3", "c4"]


def test_a_side_without_clips_is_empty_and_keeps_its_shape(folder: Path) -> None:
    rows = [row | {"split": "train"} for row in files.read_csv(folder / "clips.csv")]
    files.write_csv(folder / "clips.csv", clips_file.COLUMNS, rows)
    test = dataset.read_split(folder, "test")
    assert (len(test), test.x.shape, test.groups.shape) == (0, (0, 2, 3), (0,))


def test_labels_are_read_without_features(folder: Path) -> None:
    (folder / "features.npy").unlink()
    train = dataset.read_labels(folder, "train")
    assert (train.y.tolist(), train.groups.tolist(), train.sites.tolist()) == (
        [0, 0, 0],
        ["g0", "g1", "g2"],
        ["lab", "", ""],
    )


def test_a_folder_without_clips_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"clips.csv.*`dvc repro features`"):
        dataset.read_split(tmp_path, "train")
