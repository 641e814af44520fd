"""A small tree of AudioSet's tables, and clips as users have them."""

from pathlib import Path

import pytest

from stages.core.project import files
from stages.core.project.errors import DataError, ParameterError
from stages.core.project.params import load
from stages.pull.sources import audioset
from stages.split.params import SplitParams
from stages.split.stage import split
from tests.pull.conftest import Publisher, Run
from tests.trees import audioset_tables, bursts, encode

pytestmark = pytest.mark.thorough  # test_speech_commands.py stands for the published sources in `make test`

SEGMENTS = {
    "balanced_train": [
        ("--PJHxphWEs", 30.0, ["Speech", "Bark"]),
        ("-0a1b2c3d_4", 0.0, ["Dog"]),
        ("aaaaaaaaaaa", 20.5, ["Cat", "Male speech, man speaking"]),
        ("bbbbbbbbbbb", 10.0, ["Bark", "Dog", "Speech"]),
        ("ccccccccccc", 10.0, ["Cat"]),
    ],
    "eval": [("ddddddddddd", 40.0, ["Speech"]), ("eeeeeeeeeee", 50.0, ["Dog", "Cat"])],
}
CLIPS = (  # one of each way to name them; ccccccccccc is missing
    "train/--PJHxphWEs_30.wav",
    "train/-0a1b2c3d_4_0_10000.flac",
    "train/aaaaaaaaaaa_20500.ogg",
    "Ybbbbbbbbbbb.m4a",
    "eval/ddddddddddd_40.000.wav",
    "eval/eeeeeeeeeee.webm",
)


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return audioset_tables(tmp_path / "mirror" / "audioset", SEGMENTS)


@pytest.fixture
def clips(tmp_path: Path) -> str:
    for i, name in enumerate(CLIPS):
        encode(tmp_path / "mine" / name, bursts(i, sample_rate=16_000, seconds=0.3), 16_000)
    (tmp_path / "mine" / "notes.txt").write_text("no clip")
    return str(tmp_path / "mine")


def test_a_segment_has_the_chosen_labels_and_those_that_stand_above_its_own(tables: Path, clips: str, run: Run) -> None:
    report, index = run("audioset", tables.parent, clips=clips, labels=["Dog", "Speech"])
    assert {name.removeprefix("clips/"): r.label for name, r in index.items()} == {
        "train/--PJHxphWEs_30.wav": "Dog|Speech",
        "train/-0a1b2c3d_4_0_10000.flac": "Dog",
        "train/aaaaaaaaaaa_20500.ogg": "Speech",
        "Ybbbbbbbbbbb.m4a": "Dog|Speech",
        "eval/ddddddddddd_40.000.wav": "Speech",
        "eval/eeeeeeeeeee.webm": "Dog",
    }
    assert report["labels"] == {"Dog": {"found": 4, "usable": 4}, "Speech": {"found": 4, "usable": 4}}
    assert files.read_json(tables.parents[1] / "data" / "labels.json") == ["Dog", "Speech"]


def test_a_segment_without_a_clip_is_excluded_by_name(tables: Path, clips: str, run: Run) -> None:
    report, index = run("audioset", tables, clips=clips, labels=["Animal", "Speech"])
    assert report["excluded"] == [{"path": "clips/ccccccccccc", "reason": "missing"}]
    assert index["clips/eval/eeeeeeeeeee.webm"].label == "Animal"  # of the ontology alone
    assert {r.group for r in index.values()} == {video for rows in SEGMENTS.values() for video, *_ in rows} - {"c" * 11}


def test_without_descendants_only_the_labels_own_segments_count(tables: Path, clips: str, run: Run) -> None:
    (tables / "ontology.json").unlink()
    _, index = run("audioset", tables, clips=clips, labels=["Speech", "Dog"], descendants=False)
    assert {r.group: r.label for r in index.values()} == {
        "--PJHxphWEs": "Speech",
        "-0a1b2c3d_4": "Dog",
        "bbbbbbbbbbb": "Speech|Dog",  # in the order of the labels
        "ddddddddddd": "Speech",
        "eeeeeeeeeee": "Dog",
    }


@pytest.mark.parametrize(
    "name",
    [
        "Y--PJHxphWEs_30.000_40.000.flac",
        "--PJHxphWEs_30.000_40.000.wav",
        "Y--PJHxphWEs_30000.flac",
        "--PJHxphWEs-30-40.ogg",
        "YT/Y--PJHxphWEs.FLAC",
    ],
)
def test_a_clip_is_found_by_what_it_is(tables: Path, clips: str, run: Run, name: str) -> None:
    mine = Path(clips)
    (mine / "train" / "--PJHxphWEs_30.wav").rename(mine / "spare.wav")
    (mine / name).parent.mkdir(exist_ok=True)
    encode(mine / "x.flac", bursts(99, sample_rate=16_000, seconds=0.3), 16_000)
    (mine / "x.flac").rename(mine / name)
    beside = (mine / name).parent / Path(name).stem
    Path(f"{beside}.webp").write_bytes(b"RIFF\0\0\0\0WEBPVP8 ")
    Path(f"{beside}.description").write_text("a dog")
    (mine / f"._{Path(name).name}").write_bytes(b"\0\1")
    _, index = run("audioset", tables, clips=clips, labels=["Dog", "Speech"])
    assert index[f"clips/{name}"].label == "Dog|Speech"


def test_another_segment_of_the_same_video_is_not_taken(tables: Path, clips: str, run: Run) -> None:
    mine = Path(clips) / "train"
    (mine / "--PJHxphWEs_30.wav").rename(mine / "--PJHxphWEs_70.wav")
    report, _ = run("audioset", tables, clips=clips, labels=["Dog", "Speech"])
    assert {"path": "clips/--PJHxphWEs", "reason": "missing"} in report["excluded"]


def test_all_labels_if_none_is_chosen_and_the_lists_are_the_folds(tables: Path, clips: str, run: Run) -> None:
    report, index = run("audioset", tables, clips=clips, descendants=False)
    assert sorted(report["labels"]) == ["Bark", "Cat", "Dog", "Male speech, man speaking", "Speech"]
    assert {r.fold for r in index.values()} == {"balanced_train", "eval"}
    _, only = run("audioset", tables, clips=clips, segments=["eval"], labels=["Speech", "Dog"])
    assert {r.group for r in only.values()} == {"ddddddddddd", "eeeeeeeeeee"}


def test_the_publishers_test_with_validation_from_the_rest(tmp_path: Path, run: Run) -> None:
    train = [(f"{i:011d}", 0.0, [("Dog", "Speech"), ("Dog",), ("Speech",)][i % 3]) for i in range(24)]
    tables = audioset_tables(tmp_path / "audioset", {"balanced_train": train, "eval": SEGMENTS["eval"]})
    for i, (video, *_) in enumerate([*train, *SEGMENTS["eval"]]):
        encode(tables / "clips" / f"{video}.wav", bursts(i, sample_rate=8000, seconds=0.1), 8000)
    _, index = run("audioset", tables, labels=["Dog", "Speech"])
    recordings = list(index.values())
    sides = split(load(SplitParams, {"method": "official", "folds": {"test": ["eval"]}}, "split"), recordings)
    assert {index[name].fold for name, side in sides.items() if side == "test"} == {"eval"}
    assert 3 <= sum(side == "validation" for side in sides.values()) <= 6


def test_tables_are_downloaded(
    tables: Path, clips: str, run: Run, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.contents = {f"/{path.name}": path.read_bytes() for path in tables.iterdir()}
    monkeypatch.setattr(audioset, "TABLES_URL", publisher.url)
    monkeypatch.setattr(audioset, "ONTOLOGY_URL", f"{publisher.url}/ontology.json")
    report, _ = run("audioset", None, clips=clips, labels=["Dog", "Speech"])
    assert report["usable"] == 6
    assert sorted(path for path, _ in publisher.asked) == sorted(publisher.contents)


def test_mistakes_are_told(tables: Path, clips: str, run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pull\.options\.audioset"):
        run("audioset", None)
    with pytest.raises(DataError, match=r"audioset\.clips .*nowhere"):
        run("audioset", tables, clips=str(tmp_path / "nowhere"))
    with pytest.raises(ParameterError, match=r"label 'Dgo'.*'Dog'"):
        run("audioset", tables, clips=clips, labels=["Dgo", "Speech"])
    with pytest.raises(ParameterError, match=r"audioset\.labels must name each one once"):
        run("audioset", tables, clips=clips, labels=["Dog", "Dog"])
    (tables / "eval_segments.csv").write_text("# a\n# b\n# c\nnot a video, 1, 2\n")
    with pytest.raises(DataError, match=r"eval_segments\.csv .*in every row"):
        run("audioset", tables, clips=clips, labels=["Dog", "Speech"])
