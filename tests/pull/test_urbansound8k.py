"""A small tree in UrbanSound8K's layout, clips in formats the publisher ships, through pull and its official folds."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from flows.studies.folds import runs
from stages.core.artifacts.split import SPLITS
from stages.core.project import provenance
from stages.core.project.errors import DataError
from stages.pull.sources import urbansound8k
from stages.split.params import SplitParams
from stages.split.stage import split
from tests.pull.conftest import Publisher, Run
from tests.trees import URBANSOUND8K_FORMATS, tar_gz, urbansound8k_tree

pytestmark = pytest.mark.thorough  # test_speech_commands.py stands for the published sources in `make test`


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = urbansound8k_tree(tmp_path / "mirror", urbansound8k.LABELS)
    digest = hashlib.md5((made / urbansound8k.TABLE).read_bytes()).hexdigest()
    monkeypatch.setattr(urbansound8k, "METADATA", f"md5:{digest}")
    return made


def packed(tree: Path) -> bytes:
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    return tar_gz((f"UrbanSound8K/{path.relative_to(tree).as_posix()}", path.read_bytes()) for path in paths)


def test_every_clip_whatever_its_format_with_its_recording_as_group(tree: Path, run: Run) -> None:
    report, index = run("urbansound8k", tree.parent)
    assert (report["found"], report["usable"], report["groups"], report["excluded"]) == (200, 200, 100, [])
    assert Counter(r.fold for r in index.values()) == {str(fold): 20 for fold in range(1, 11)}
    assert set(Counter(r.label for r in index.values()).values()) == {20}
    assert {r.sample_rate for r in index.values()} == {rate for rate, *_ in URBANSOUND8K_FORMATS}
    clip = index["audio/fold2/1013-3-0-1.wav"]
    assert (clip.label, clip.group, clip.fold, clip.sample_rate) == ("dog_bark", "1013", "2", 11_025)
    assert clip.duration_s == pytest.approx(0.1, abs=0.1)  # ADPCM fills its last block
    assert (clip.path.parents[2] / urbansound8k.CREDITS).is_file()


def test_the_official_folds_with_a_validation_part_by_group(tree: Path, run: Run) -> None:
    _, index = run("urbansound8k", tree)
    recordings = list(index.values())
    for fold in range(1, 11):
        sides = split(SplitParams(method="official", folds={"test": (fold,)}, by_site=False), recordings)
        assert {r.recording_id for r in recordings if sides[r.recording_id] == "test"} == {
            r.recording_id for r in recordings if r.fold == str(fold)
        }
        on = {side: {r.group for r in recordings if sides[r.recording_id] == side} for side in SPLITS}
        assert sum(map(len, on.values())) == 100
        assert len(on["validation"]) == pytest.approx(90 * 15 / 85, abs=10)


@pytest.mark.thorough
def test_edac_folds_tests_each_of_the_ten_in_turn(
    tree: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("urbansound8k", tree)
    monkeypatch.chdir(tmp_path)
    preset = provenance.ROOT / "stages" / "presets" / "urbansound8k.yaml"
    Path("params.yaml").write_text(preset.read_text())
    assert [each.fold for each in runs.plan([1])] == [str(fold) for fold in range(1, 11)]


def test_the_published_archive_is_downloaded_and_checked(
    tree: Path, run: Run, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(tree)
    publisher.contents["/UrbanSound8K.tar.gz"] = archive
    monkeypatch.setattr(urbansound8k, "URL", f"{publisher.url}/UrbanSound8K.tar.gz")
    with pytest.raises(DataError, match=r"UrbanSound8K\.tar\.gz must have md5 9aa69802bbf37fb986f71ec1483a196e; got"):
        run("urbansound8k", None)
    monkeypatch.setattr(urbansound8k, "ARCHIVE", f"md5:{hashlib.md5(archive).hexdigest()}")
    report, _ = run("urbansound8k", None)
    assert report["usable"] == 200


def test_a_mirror_with_the_archive_is_checked_too(tree: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "UrbanSound8K.tar.gz").write_bytes(packed(tree))
    with pytest.raises(DataError, match=r"UrbanSound8K\.tar\.gz must have md5 9aa69802bbf37fb986f71ec1483a196e; got"):
        run("urbansound8k", tmp_path / "archives")


def test_a_missing_clip_and_a_changed_table_are_named(tree: Path, run: Run) -> None:
    (tree / "audio/fold7/1066-6-0-0.wav").unlink()
    with pytest.raises(DataError, match=r"audio/fold7/1066-6-0-0\.wav"):
        run("urbansound8k", tree)
    with (tree / urbansound8k.TABLE).open("a") as stream:
        stream.write("\n")
    with pytest.raises(DataError, match=r"metadata/UrbanSound8K\.csv must have md5 \w+; got"):
        run("urbansound8k", tree)
