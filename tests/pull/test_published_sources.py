import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artifacts.recordings import Recording, read_index
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.project.params import load
from stages.pull.params import PullParams
from stages.pull.stage import pull


def run(out: Path, mirror: Path, source: str, **options: Any) -> tuple[dict[str, Any], list[Recording]]:
    pull(
        load(PullParams, {"source": source, "options": {source: options}}, "pull"),
        mirror=mirror,
        recordings=out / "recordings",
        index=out / "index.csv",
        labels=out / "labels.json",
        report=out / "report.json",
    )
    report = files.read_json(out / "report.json")
    return report, read_index(out / "index.csv")


@pytest.mark.thorough
def test_covid19_cough(datasets: Path, tmp_path: Path) -> None:
    report, index = run(tmp_path, datasets, "covid19_cough")
    # 1,324 - 2 that hold no audio - 230 with both labels. Equal or nearly equal audio shares a group.
    assert (report["found"], report["usable"], report["distinct_contents"], report["groups"]) == (
        1324,
        1092,
        1089,
        1063,
    )
    assert report["excluded_by_reason"] == {"contradictory duplicate": 230, "undecodable": 2}
    assert {label: n["found"] for label, n in report["labels"].items()} == {"negative": 642, "positive": 682}
    assert len({(r.sha256, r.label) for r in index}) == len({r.sha256 for r in index})
    assert Counter(r.sample_rate for r in index if r.site == "call-center").most_common(1)[0][0] == 8000
    assert {r.site for r in index} == {"call-center", "telegram"}


@pytest.mark.thorough
def test_esc10(datasets: Path, tmp_path: Path) -> None:
    report, index = run(tmp_path, datasets / "ESC-10", "esc50", subset="esc10")
    assert (report["usable"], report["groups"], report["excluded"]) == (400, 302, [])
    assert Counter(r.fold for r in index) == {str(fold): 80 for fold in range(1, 6)}
    assert set(Counter(r.label for r in index).values()) == {40}
    shared = sum(len({r.group for r in index if r.fold == f}) for f in "12345") - len({r.group for r in index})
    assert shared == 1  # one sound is in folds 3 and 5 (docs)


@pytest.mark.thorough
def test_esc10_without_dead_space_is_shorter(datasets: Path, tmp_path: Path) -> None:
    report, index = run(tmp_path, datasets / "ESC-10", "esc50", subset="esc10", dead_space={})
    assert (report["usable"], report["groups"]) == (400, 303)  # cut, one pair is below the least similarity
    assert {r.path.suffix for r in index} == {".flac"}
    median = {label: np.median([r.duration_s for r in index if r.label == label]) for label in ("dog", "rain")}
    assert median["dog"] < 1.5 < 4 < median["rain"] < 5.1


def test_the_subset_alone_is_not_esc50(datasets: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ESC-10.*pull\.options\.esc50\.subset: esc10"):
        run(tmp_path, datasets, "esc50", subset="esc50")


@pytest.mark.parametrize("subset", ["esc50", "esc10"])
def test_unknown_metadata_is_refused(tmp_path: Path, subset: str) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text("filename,fold,target,category,esc10,src_file,take\n")
    with pytest.raises(DataError, match=r"meta/esc50\.csv must have md5 54a0d0055a10bb7df84ad340a148722e; got"):
        run(tmp_path / "out", tmp_path, "esc50", subset=subset)


def test_a_mirror_with_one_changed_clip_is_refused(datasets: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "ESC-10"
    shutil.copytree(datasets / "ESC-10", mirror, copy_function=shutil.copyfile)
    clip = mirror / "audio" / "1-100032-A-0.ogg"
    clip.unlink()
    clip.write_bytes(b"changed")
    with pytest.raises(DataError, match=r"401 files .*sha256:.*; got sha256:"):
        run(tmp_path, mirror, "esc50", subset="esc10")
    clip.unlink()
    with pytest.raises(DataError, match=r"must hold audio/1-100032-A-0\.ogg, as published"):
        run(tmp_path, mirror, "esc50", subset="esc10")


def test_changed_metadata_is_named(datasets: Path, tmp_path: Path) -> None:
    (tmp_path / "covid19-cough").mkdir()
    (tmp_path / "covid19-cough" / "metadata.json").write_text("[]")
    with pytest.raises(DataError, match=r"covid19-cough/metadata\.json .*1ef7589f\w+; got \w+"):
        run(tmp_path, tmp_path, "covid19_cough")
