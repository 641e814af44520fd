"""Nobody's data is touched: what lies in an output of the pipeline is refused, by whatever name it goes."""

import os
from pathlib import Path

import pytest

from flows import check
from stages.core.project.errors import ParameterError
from stages.pull import guard
from stages.pull.link import bring, linking
from tests.pull.test_labels_and_groups import PATTERN, Own

PIPELINE = """
stages:
  pull:
    outs: [data/recordings, data/index.csv]
  teach:
    outs:
      - data/teacher:
          persist: true
    metrics: [data/split_report.json]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "data" / "recordings" / "dog").mkdir(parents=True)
    (folder / "data" / "recordings" / "dog" / "mine.wav").write_bytes(b"precious")
    (folder / "dvc.yaml").write_text(PIPELINE)
    monkeypatch.chdir(folder)
    return folder


def test_outputs_are_those_of_the_pipeline(project: Path) -> None:
    names = {path.as_posix() for path in guard.outputs()}
    assert names == {"data/recordings", "data/index.csv", "data/teacher", "data/split_report.json"}
    assert guard.outputs(Path("nowhere.yaml")) == []


UNSAFE = (
    "data/recordings",
    "data/recordings/dog",
    "data/teacher/of/mine",
    "data/../data/recordings",
    "{project}/data/recordings",
    "DATA/Recordings/dog",
    "data",
    ".",
    "..",
    "link",
    "deep/link/dog",
    "linked",
)


@pytest.mark.parametrize("root", UNSAFE)
def test_a_root_in_or_around_an_output_is_refused(project: Path, root: str) -> None:
    (project / "link").symlink_to("data/recordings")
    (project / "deep").mkdir()
    (project / "deep" / "link").symlink_to("../data/recordings")
    (project / "linked").mkdir()
    (project / "linked" / "dog").symlink_to("../data/recordings/dog")
    with pytest.raises(ParameterError, match=r"folder\.root .*was touched"):
        guard.protect({"pull.options.folder.root": Path(root.format(project=project))}, guard.outputs())
    assert (project / "data" / "recordings" / "dog" / "mine.wav").read_bytes() == b"precious"


def test_folders_beside_the_outputs_are_safe(project: Path) -> None:
    for root in ("data/mine", "mine", "../elsewhere", "data/recordings2"):
        (project / root).mkdir(parents=True, exist_ok=True)
        guard.protect({"pull.options.folder.root": Path(root)}, guard.outputs())
    (project / "mine" / "self").symlink_to("self")
    guard.protect({"pull.options.folder.root": Path("mine")}, guard.outputs())


def test_a_mirror_may_hold_the_project_but_not_lie_in_it_around_an_output(project: Path) -> None:
    guard.protect({"pull.mirror": project.parent}, guard.outputs())
    for mirror in (project, project / "data", project / "data" / "recordings"):
        with pytest.raises(ParameterError, match=r"pull\.mirror must be apart"):
            guard.protect({"pull.mirror": mirror}, guard.outputs())


@pytest.mark.parametrize("mirror", [True, False])
def test_check_refuses_before_any_stage_runs(project: Path, monkeypatch: pytest.MonkeyPatch, mirror: bool) -> None:
    params = Path(check.__file__).parents[1].joinpath("params.yaml").read_text()
    options = "{}" if mirror else "{folder: {root: data/recordings, group_pattern: '/([^/]+)-'}}"
    source = "demo" if mirror else "folder"
    params = params.replace("source: demo", f"source: {source}").replace("options: {}", f"options: {options}", 1)
    Path("params.yaml").write_text(params)
    if mirror:
        monkeypatch.setenv("EDAC_MIRROR", "data/recordings")
    with pytest.raises(ParameterError, match="apart from what the pipeline writes"):
        check.check(Path("params.yaml"))


def test_pull_refuses_its_own_outputs_without_a_pipeline(tmp_path: Path) -> None:
    own = Own(tmp_path)
    own.sound("dog/anna-1.wav")
    own.root.rename(tmp_path / "data")
    own.root = tmp_path / "data"
    with pytest.raises(ParameterError, match=r"holds .*data/recordings"):
        own.pull(**PATTERN)
    assert (tmp_path / "data" / "dog" / "anna-1.wav").is_file()


@pytest.mark.parametrize("how", ["auto", "copy", "hardlink", "symlink"])
def test_files_are_brought_without_being_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.chdir(tmp_path)
    own = Own(tmp_path)
    for name in ("dog/anna-1.wav", "cat/ben-1.wav"):
        own.sound(name)
    origin = own.root / "dog" / "anna-1.wav"
    os.utime(origin, ns=(1_000_000_000, 2_000_000_000))
    before, content = origin.stat(), origin.read_bytes()
    assert own.pull({"link": how}, **PATTERN)["usable"] == 2
    brought = own.out / "recordings" / "dog" / "anna-1.wav"
    assert brought.read_bytes() == content
    assert brought.is_symlink() == (how == "symlink")
    assert brought.samefile(origin) == (how in ("hardlink", "symlink"))
    index = (own.out / "index.csv").read_bytes()
    own.pull({"link": "copy"}, **PATTERN)
    assert (own.out / "index.csv").read_bytes() == index
    after = origin.stat()
    assert (after.st_mtime_ns, after.st_mode, after.st_size) == (before.st_mtime_ns, before.st_mode, before.st_size)
    assert origin.read_bytes() == content


def test_a_changed_file_is_brought_anew_and_never_written_through_a_link(tmp_path: Path) -> None:
    origin, target = tmp_path / "a.wav", tmp_path / "work" / "a.wav"
    origin.write_bytes(b"old")
    target.parent.mkdir()
    target.symlink_to(origin)
    with linking("copy"):
        bring(origin, target)
    target.write_bytes(b"new")
    assert origin.read_bytes() == b"old"


def test_links_are_refused_where_dvc_would_share_them_with_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    for kinds, safe in (("hardlink,copy", False), ("reflink,hardlink,copy", True), ("copy", True)):
        (tmp_path / ".dvc" / "config").write_text(f"[cache]\n    type = {kinds}\n")
        for how in ("hardlink", "symlink"):
            if safe:
                with linking(how):
                    pass
            else:
                with pytest.raises(ParameterError, match=r"pull\.link must be auto or copy"), linking(how):
                    pass
