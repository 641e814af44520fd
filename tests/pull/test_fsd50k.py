"""A small tree in the layout of FSD50K."""

from pathlib import Path

import pytest

from stages.core.project import files
from stages.core.project.errors import DataError, ParameterError
from stages.split.params import SplitParams
from stages.split.stage import split
from tests.pull.conftest import Run
from tests.trees import bursts, encode

pytestmark = pytest.mark.thorough  # test_speech_commands.py stands for the published sources in `make test`

CLIPS = {  # name: part, labels, split, uploader
    "100": ("dev", "Bark,Dog,Animal", "train", "anna"),
    "101": ("dev", "Bark,Dog,Animal", "train", "anna"),
    "102": ("dev", "Siren,Alarm", "train", "ben"),
    "103": ("dev", "Dog,Animal", "val", "carl"),
    "104": ("dev", "Siren,Alarm,Dog,Animal", "val", "carl"),
    "105": ("eval", "Dog,Animal", "", "dora"),
    "106": ("eval", "Siren,Alarm", "", "emil"),
    "107": ("eval", "Music", "", "emil"),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror" / "FSD50K"
    for number, (name, (part, *_)) in enumerate(CLIPS.items()):
        encode(folder / f"FSD50K.{part}_audio" / f"{name}.wav", bursts(number, sample_rate=8000, seconds=0.1), 8000)
    for part, head in (("dev", "fname,labels,mids,split"), ("eval", "fname,labels,mids")):
        own = {name: clip for name, clip in CLIPS.items() if clip[0] == part}
        rows = [f'{n},"{c[1]}","/m/0"' + f",{c[2]}" * (part == "dev") for n, c in own.items()]
        (folder / "FSD50K.ground_truth").mkdir(exist_ok=True)
        (folder / "FSD50K.ground_truth" / f"{part}.csv").write_text("\n".join([head, *rows]) + "\n")
        info = {name: {"title": "t", "license": "CC0", "uploader": clip[3]} for name, clip in own.items()}
        files.write_json(folder / "FSD50K.metadata" / f"{part}_clips_info_FSD50K.json", info)
    return folder


def test_clips_have_their_labels_their_uploader_and_the_published_split(tree: Path, run: Run) -> None:
    report, index = run("fsd50k", tree.parent)
    assert (report["usable"], report["groups"], set(report["labels"])) == (
        8,
        5,
        {"Alarm", "Animal", "Bark", "Dog", "Music", "Siren"},
    )
    clip = index["FSD50K.dev_audio/104.wav"]
    assert (clip.label, clip.group, clip.fold) == ("Siren|Alarm|Dog|Animal", "carl", "validation")
    assert {r.fold for r in index.values()} == {"train", "validation", "test"}


def test_chosen_classes_on_the_published_sides(tree: Path, run: Run) -> None:
    (tree / "FSD50K.dev_audio" / "101.wav").unlink()
    report, index = run("fsd50k", tree, labels=["Dog", "Siren"])
    assert report["excluded"] == [{"path": "FSD50K.dev_audio/101.wav", "reason": "missing"}]
    assert "FSD50K.eval_audio/107.wav" not in index
    sides = split(SplitParams(method="official"), list(index.values()))
    assert sides["FSD50K.dev_audio/103.wav"] == "validation"
    assert sides["FSD50K.eval_audio/105.wav"] == "test"


def test_without_the_metadata_every_clip_is_a_group(tree: Path, run: Run) -> None:
    _, index = run("fsd50k", tree, group="clip")
    assert index["FSD50K.dev_audio/100.wav"].group == "100"
    (tree / "FSD50K.metadata" / "dev_clips_info_FSD50K.json").unlink()
    assert run("fsd50k", tree, group="clip")[0]["groups"] == 8
    with pytest.raises(DataError, match=r"must hold FSD50K\.metadata/dev_clips_info_FSD50K\.json, as published"):
        run("fsd50k", tree)


def test_mistakes_are_told(tree: Path, run: Run) -> None:
    with pytest.raises(DataError, match=r"several parts.*https://zenodo\.org"):
        run("fsd50k", None)
    with pytest.raises(ParameterError, match=r"fsd50k\.labels .*'Dgo'.*'Dog'"):
        run("fsd50k", tree, labels=["Dgo", "Siren"])
    with pytest.raises(ParameterError, match=r"fsd50k\.labels must name each one once"):
        run("fsd50k", tree, labels=["Dog", "Dog"])
    (tree / "FSD50K.metadata.zip").write_bytes(b"another")
    with pytest.raises(DataError, match=r"FSD50K\.metadata\.zip must have md5 b9ea0c829a411c1d42adb9da539ed237"):
        run("fsd50k", tree)
