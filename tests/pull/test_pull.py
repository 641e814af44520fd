import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from stages.core.artifacts.recordings import Recording, read_index
from stages.core.audio.apart import Apart, Span
from stages.core.audio.decode import Heard
from stages.core.project import files
from stages.core.project.errors import DataError, ParameterError
from stages.core.project.params import load
from stages.pull.decoding import Unusable, decode
from stages.pull.joining import merge_groups
from stages.pull.params import PullParams
from stages.pull.stage import pull
from tests.messages import line_with

RATE = 8000


def tone(hz: float, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(RATE // 4) / RATE)).astype(np.float32)


def wav(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="PCM_16" if path.suffix == ".wav" else None)


class Project:
    """A user's folder of recordings with its CSV, and the places the stage writes to."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "mine"
        self.out = folder / "data"
        self.rows = ["path,label,group,split,site"]

    def add(self, name: str, label: str, group: str, samples: np.ndarray, site: str = "", fold: str = "") -> None:
        wav(self.root / name, samples)
        self.rows.append(f"{name},{label},{group},{fold},{site}")

    def pull(self, **options: Any) -> dict[str, Any]:
        self.root.mkdir(exist_ok=True)
        (self.root / "labels.csv").write_text("\n".join(self.rows) + "\n")
        options = {"root": str(self.root), "csv": "labels.csv"} | options
        pull(
            load(PullParams, {"source": "folder", "options": {"folder": options}}, "pull"),
            mirror=None,
            recordings=self.out / "recordings",
            index=self.out / "index.csv",
            labels=self.out / "labels.json",
            report=self.out / "pull_report.json",
        )
        return files.read_json(self.out / "pull_report.json")

    def index(self) -> dict[str, Recording]:
        return {r.recording_id: r for r in read_index(self.out / "index.csv")}

    def written(self) -> dict[str, bytes]:
        return {p.relative_to(self.out).as_posix(): p.read_bytes() for p in self.out.rglob("*") if p.is_file()}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.add("a1.wav", "ill", "anna", tone(300), site="home", fold="train")
    project.add("b1.wav", "well", "ben", tone(500), site="ward", fold="test")
    return project


def test_the_index_says_what_the_files_hold(project: Project) -> None:
    project.pull()
    found = project.index()["a1.wav"]
    samples, _ = soundfile.read(project.root / "a1.wav", dtype="float32")
    assert found == Recording(
        recording_id="a1.wav",
        path=project.out / "recordings" / "a1.wav",
        label="ill",
        group="anna",
        site="home",
        fold="train",
        sha256=hashlib.sha256(samples.tobytes()).hexdigest(),
        duration_s=0.25,
        sample_rate=RATE,
    )
    assert found.path.read_bytes() == (project.root / "a1.wav").read_bytes()


def test_unusable_recordings_are_named_with_their_reason(project: Project) -> None:
    project.add("silent.wav", "ill", "carl", np.zeros(RATE, np.float32))
    project.add("empty.wav", "ill", "carl", np.zeros(0, np.float32))
    project.add("faint.wav", "ill", "carl", tone(400, amplitude=0.0009))  # -60.9 dBFS
    project.add("quiet.wav", "ill", "carl", tone(400, amplitude=0.0011))  # -59.2 dBFS
    project.add("text.wav", "ill", "carl", tone(1))
    (project.root / "text.wav").write_text("these are words")
    project.add("twin1.wav", "ill", "dora", tone(700))
    project.add("twin2.flac", "well", "emil", soundfile.read(project.root / "twin1.wav")[0])
    report = project.pull()
    details = {entry["path"]: entry.pop("detail") for entry in report["excluded"] if "detail" in entry}
    assert line_with(details["empty.wav"], "empty.wav", "no samples")
    assert details["text.wav"].startswith("text.wav cannot be decoded as audio (")
    assert set(details) == {"empty.wav", "text.wav"}
    assert report["excluded"] == [
        {"path": "empty.wav", "reason": "empty"},
        {"path": "faint.wav", "reason": "silent"},
        {"path": "silent.wav", "reason": "silent"},
        {"path": "text.wav", "reason": "undecodable"},
        {"path": "twin1.wav", "reason": "contradictory duplicate"},
        {"path": "twin2.flac", "reason": "contradictory duplicate"},
    ]
    assert report["excluded_by_reason"] == {"empty": 1, "silent": 2, "undecodable": 1, "contradictory duplicate": 2}
    assert set(project.index()) == {"a1.wav", "b1.wav", "quiet.wav"}
    assert report["labels"] == {"ill": {"found": 7, "usable": 2}, "well": {"found": 2, "usable": 1}}
    assert report["sites"]["home"] == {"ill": {"found": 1, "usable": 1}}
    assert (project.out / "recordings" / "text.wav").is_file()  # kept as published
    written = json.loads((project.out / "pull_report.json").read_text())
    assert [entry["reason"] for entry in written["excluded"]] == [entry["reason"] for entry in report["excluded"]]


def test_samples_that_are_not_finite_are_not_audio(project: Project) -> None:
    broken = tone(400)
    broken[7] = np.nan
    project.add("nan.wav", "ill", "carl", tone(1))
    soundfile.write(project.root / "nan.wav", broken, RATE, subtype="FLOAT")
    (excluded,) = project.pull()["excluded"]
    assert (excluded["path"], excluded["reason"]) == ("nan.wav", "undecodable")
    assert line_with(excluded["detail"], "nan.wav", "not finite", "0.000875 s")


@pytest.mark.thorough
def test_an_interrupted_check_goes_on_where_it_stopped(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        project.add(f"c{number}.wav", "ill", f"c{number}", tone(800 + 50 * number))
    (project.root / "c5.wav").write_text("these are words")
    asked: list[str] = []
    real, stop_at = decode, "c4.wav"

    def interrupted(apart: Apart, path: Path, span: Span) -> Heard | Unusable:
        if path.name == stop_at:
            raise KeyboardInterrupt
        asked.append(path.name)
        return real(apart, path, span)

    monkeypatch.setattr("stages.pull.decoding.os.cpu_count", lambda: 1)
    monkeypatch.setattr("stages.pull.decoding.decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        project.pull()
    (journal,) = project.out.glob(".recordings.*.decoded")
    with journal.open("a") as notes:
        notes.write('[["half a li')  # as a kill may leave it
    asked.clear()
    stop_at = ""
    first = project.pull()
    assert sorted(asked) == ["c4.wav", "c5.wav"]
    assert not list(project.out.glob(".recordings.*"))
    assert project.pull() == first
    assert [(entry["path"], entry["reason"]) for entry in first["excluded"]] == [("c5.wav", "undecodable")]


def test_groups_with_common_content_become_one(project: Project) -> None:
    project.add("c1.wav", "ill", "carl", tone(300))  # anna's
    project.add("c2.wav", "ill", "carl", tone(800))
    project.add("d1.wav", "ill", "dora", tone(800))  # carl's
    report = project.pull()
    assert {r.group for r in project.index().values() if r.label == "ill"} == {"anna"}
    assert (report["groups"], report["merged_groups"], report["distinct_contents"]) == (2, 2, 3)


pairs = st.lists(st.tuples(st.sampled_from("ABCDEFGH"), st.sampled_from("123456")), max_size=12)


@given(pairs, st.randoms())
def test_merged_groups_are_the_connected_components(edges: list[tuple[str, str]], random: Any) -> None:
    merged = merge_groups(edges)
    reach: dict[str, set[str]] = {group: {group} for group, _ in edges}
    for _ in reach:  # the slow way: grow every component until nothing changes
        for g1, c1 in edges:
            for g2, c2 in edges:
                if c1 == c2:
                    union = reach[g1] | reach[g2]
                    for member in union:
                        reach[member] = union
    assert merged == {group: min(component) for group, component in reach.items()}
    random.shuffle(edges)
    assert merge_groups(edges) == merged


def test_labels_come_sorted_or_in_the_order_given(project: Project) -> None:
    project.pull()
    assert files.read_json(project.out / "labels.json") == ["ill", "well"]
    project.pull(labels=["well", "ill"])
    assert files.read_json(project.out / "labels.json") == ["well", "ill"]


def test_outputs_are_the_same_bytes_twice_and_hold_no_leftovers(project: Project) -> None:
    project.pull()
    first = project.written()
    assert set(first) == {
        "index.csv",
        "labels.json",
        "levels.csv",
        "pull_report.json",
        "recordings/a1.wav",
        "recordings/b1.wav",
        "recordings/labels.csv",
    }
    project.pull()
    assert project.written() == first


def test_a_failed_pull_leaves_the_finished_one_alone(project: Project) -> None:
    project.pull()
    first = project.written()
    project.rows.append("gone.wav,ill,x,,")
    with pytest.raises(DataError):
        project.pull()
    assert project.written() == first


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("gone.wav,ill,x,,", r"labels\.csv .*gone\.wav"),
        ("a1.wav,ill,,,", r"labels\.csv, line 4: group .*empty"),
        ("a1.wav,,x,,", r"labels\.csv, line 4: label .*empty"),
        ("../a1.wav,ill,x,,", r"labels\.csv, line 4: path .*below"),
        ("a1.wav,ill,anna,,", r"lists a1\.wav 2 times"),
    ],
)
def test_a_wrong_row_is_told(project: Project, row: str, sentence: str) -> None:
    project.rows.append(row)
    with pytest.raises(DataError, match=sentence):
        project.pull()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"path,label\na1.wav,ill\n", "path, label and group, .*no group"),
        (b"path|label|group\n", "commas; .*no path"),
        (b"", r"it has no path"),
        (b"\xff\xfe1", r"other\.csv .*UTF-8"),
        (b"path,label,group\n", r"lists no recordings"),
    ],
)
def test_a_wrong_csv_is_told(project: Project, content: bytes, sentence: str) -> None:
    (project.root / "other.csv").write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        project.pull(csv="other.csv")


def test_a_csv_out_of_a_spreadsheet_is_read(project: Project) -> None:
    (project.root / "other.csv").write_bytes(b"\xef\xbb\xbfpath,label,group\r\na1.wav,ill,anna\r\nb1.wav,well,ben\r\n")
    project.pull(csv="other.csv")
    assert {r.group for r in project.index().values()} == {"anna", "ben"}


@pytest.mark.thorough
def test_nothing_usable_one_class_or_an_empty_class_is_told(project: Project) -> None:
    rows = list(project.rows)
    project.rows = rows[:2]
    with pytest.raises(DataError, match=r"two classes; .*'ill'"):
        project.pull()
    project.rows = rows
    with pytest.raises(DataError, match=r"label 'ill' .*well, sick"):
        project.pull(labels=["well", "sick"])
    with pytest.raises(DataError, match=r"class 'third' .*no usable"):
        project.pull(labels=["well", "ill", "third"])
    for name in ("a1.wav", "b1.wav"):
        (project.root / name).write_text("these are words")
    with pytest.raises(DataError, match=r"none of the 2 .*undecodable \(2\)"):
        project.pull()


def test_class_folders_with_a_pattern(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for name in ("well/anna-1.wav", "well/anna-2.wav", "ill/ben-1.wav"):
        wav(project.root / name, tone(len(name) * 20 + ord(name[-5])))
    (project.root / "well" / ".DS_Store").write_text("")
    project.pull(csv=None, group_pattern=r"/([^/-]+)-")
    assert {i: (r.label, r.group) for i, r in project.index().items()} == {
        "ill/ben-1.wav": ("ill", "ben"),
        "well/anna-1.wav": ("well", "anna"),
        "well/anna-2.wav": ("well", "anna"),
    }
    with pytest.raises(DataError, match=r"group .*ill/ben-1\.wav"):
        project.pull(csv=None, group_pattern="(anna)")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"root": "x"}, "must have either csv or group_pattern"),
        ({"root": "x", "csv": "a.csv", "group_pattern": "(a)"}, "must have either csv or group_pattern"),
        ({"root": "x", "group_pattern": "abc"}, "one pair of parentheses"),
        ({"root": "x", "group_pattern": "(abc"}, "one pair of parentheses"),
        ({}, r"pull\.options\.folder\.root must be given"),
    ],
)
def test_wrong_options_are_refused(options: Mapping[str, str], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        PullParams(source="folder", options={"folder": options}).configure()


def test_wrong_params_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"pull\.source .*'covid19'.*'covid19_cough'"):
        PullParams(source="covid19").configure()
    with pytest.raises(ParameterError, match=r"pull\.silence_dbfs must be in \[-120, 0\) dB; got 3"):
        PullParams(silence_dbfs=3)


def test_a_missing_root_or_csv_is_told(project: Project) -> None:
    with pytest.raises(DataError, match=r"names .*other\.csv, which does not exist"):
        project.pull(csv="other.csv")
    with pytest.raises(DataError, match=r"root .*nowhere"):
        project.pull(root=str(project.root / "nowhere"))
