"""Labels, groups, sites and splits mean what they say: in CSVs, class folders and patterns alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.core.artifacts import pull_report
from stages.core.artifacts.recordings import Recording, read_index
from stages.core.project import files
from stages.core.project.errors import DataError, EdacError, ParameterError
from stages.core.project.params import load
from stages.pull.params import PullParams
from stages.pull.stage import pull
from stages.split.params import SplitParams
from stages.split.stage import Known, split
from tests.marks import thorough_but
from tests.messages import line_with
from tests.trees import bursts, encode

RATE = 8000


class Own:
    """A user's folder; every file that is written sounds different."""

    def __init__(self, folder: Path) -> None:
        self.root, self.out = folder / "mine", folder / "data"
        self.root.mkdir()
        self.written = 0

    def sound(self, name: str) -> str:
        self.written += 1
        encode(self.root / name, bursts(self.written, sample_rate=RATE, seconds=0.05), RATE)
        return name

    def csv(self, *rows: str, head: str = "path,label,group") -> None:
        """Write rows; a file for each that has none yet."""
        for row in rows:
            name = row.partition(",")[0]
            if name and not (self.root / name).exists():
                self.sound(name)
        (self.root / "list.csv").write_text("\n".join([head, *rows]) + "\n")

    def pull(self, pull_options: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        if "group_pattern" not in options:
            options = {"csv": "list.csv"} | options
        section = {"source": "folder", "options": {"folder": {"root": str(self.root)} | options}}
        pull(
            load(PullParams, section | (pull_options or {}), "pull"),
            mirror=None,
            recordings=self.out / "recordings",
            index=self.out / "index.csv",
            labels=self.out / "labels.json",
            report=self.out / "report.json",
        )
        return files.read_json(self.out / "report.json")

    def index(self) -> dict[str, Recording]:
        return {r.recording_id: r for r in read_index(self.out / "index.csv")}


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path)


def speakers(own: Own, spell: Callable[[int, int], str], n: int = 12, each: int = 3) -> None:
    rows = [f"s{s}-{i}.wav,{('cat', 'dog')[s % 2]},{spell(s, i)}" for s in range(n) for i in range(each)]
    own.csv(*rows)


SPELLINGS: tuple[Callable[[str, int], str], ...] = (
    lambda name, i: name.upper() if i else name,
    lambda name, i: name.replace("k", "k ") if i else name,
    lambda name, i: "".join(chr(ord(c) + 0xFEE0) for c in name) if i else name,
    lambda name, i: name.replace("e", "é") if i else name,
    lambda name, i: f"{name}.0" if i else name,
    lambda name, i: f"'{name}'" if i else name,
)


@pytest.mark.parametrize("spelling", thorough_but(SPELLINGS, *SPELLINGS[:2]))
def test_a_speaker_in_two_spellings_stops_the_pull_or_is_merged(own: Own, spelling: Callable[[str, int], str]) -> None:
    speakers(own, lambda s, i: spelling(f"speaker{s:02}", i))
    with pytest.raises(DataError, match=r"groups '?.*and 2 more"):
        own.pull()
    assert not (own.out / "index.csv").exists()
    report = own.pull({"similar_names": "merge"})
    assert (report["groups"], len(report["renamed"]["groups"])) == (12, 12)
    sides = split(SplitParams(), list(own.index().values()))
    for speaker in range(12):
        assert len({sides[f"s{speaker}-{i}.wav"] for i in range(3)}) == 1


def test_spaces_around_and_the_encoding_of_accents_are_no_difference(own: Own) -> None:
    speakers(own, lambda s, i: ("Zo\u00eb{}", " Zo\u00eb{} ", "Zoe\u0308{}\u00a0")[i].format(chr(97 + s) * 3))
    assert own.pull()["groups"] == 12


def test_names_are_allowed_to_stay_apart_and_the_split_says_so(own: Own) -> None:
    speakers(own, lambda s, i: f"dog{s:02}" if i else f"Dog{s:02}")
    report = own.pull({"similar_names": "allow"})
    assert report["groups"] == 24
    written = pull_report.read(own.out / "report.json")
    assert written.similar_names["groups"][0] == ("Dog00", "dog00")
    recordings = list(own.index().values())
    with pytest.raises(DataError, match=r"group .*two sides"):
        split(SplitParams(seed=1), recordings)
    sides = split(SplitParams(seed=1), recordings, Known(apart=written.similar_names["groups"]))
    assert len(sides) == 36


def test_names_are_renamed_one_by_one(own: Own) -> None:
    own.csv("a.wav,dog,x", "b.wav,Hund,y", "c.wav,cat,Dog00", "d.wav,cat,dog00")
    report = own.pull({"rename": {"labels": {"Hund": "dog"}, "groups": {"Dog00": "dog00"}}})
    assert report["labels"] == {"cat": {"found": 2, "usable": 2}, "dog": {"found": 2, "usable": 2}}
    assert report["groups"] == 3
    with pytest.raises(ParameterError, match=r"pull\.rename\.labels .*'Hnud'.*'Hund'"):
        own.pull({"rename": {"labels": {"Hnud": "dog"}}})
    with pytest.raises(ParameterError, match=r"pull\.rename .*labels, groups, sites, splits"):
        own.pull({"rename": {"label": {"Hund": "dog"}}})


@pytest.mark.parametrize("label", ["Dog", "dog.", "DOG", "ｄｏｇ", "d og"])
def test_similar_labels_stop_the_pull(own: Own, label: str) -> None:
    own.csv("a.wav,dog,x", "b.wav,cat,y", f"c.wav,{label},z")
    with pytest.raises(DataError, match=r"labels '.*dog.* \(1\)"):
        own.pull()
    own.pull({"similar_names": "merge"}, labels=["dog", "cat"])
    assert files.read_json(own.out / "labels.json") == ["dog", "cat"]


def test_numbers_and_sites_and_splits_are_compared_too(own: Own) -> None:
    own.csv("a.wav,1,x", "b.wav,1.0,y", "c.wav,0,z")
    with pytest.raises(DataError, match=r"labels '1' \(1\) / '1\.0' \(1\)"):
        own.pull()
    head = "path,label,group,site,split"
    own.csv("a.wav,dog,x,Ward 3,train", "b.wav,cat,y,ward 3,Train", "c.wav,dog,z,home,test", head=head)
    with pytest.raises(DataError, match=r"sites 'Ward 3' \(1\) / 'ward 3' \(1\); splits 'Train' \(1\) / 'train' \(1\)"):
        own.pull()


def test_classes_that_are_given_twice_are_refused(own: Own) -> None:
    own.csv("a.wav,dog,x", "b.wav,cat,y")
    with pytest.raises(ParameterError, match=r"pull\.options\.folder\.labels .*once"):
        own.pull(labels=["dog", "cat", "dog "])


@pytest.mark.parametrize("missing", ["NaN", "nan", "", " ", "None", "NULL", "N/A", "#N/A", "<NA>"])
@pytest.mark.parametrize("column", ["label", "group"])
def test_missing_labels_and_groups_are_told_with_their_line(own: Own, column: str, missing: str) -> None:
    values = {"label": "dog", "group": "x"} | {column: missing}
    own.csv("a.wav,dog,x", "", "b.wav,cat,y", f"c.wav,{values['label']},{values['group']}")
    with pytest.raises(DataError, match=rf"list\.csv, line 5: {column} must be given; "):
        own.pull()


def test_a_name_that_only_looks_missing_can_be_allowed(own: Own) -> None:
    own.csv("a.wav,none,x", "b.wav,cough,y")
    report = own.pull(missing_values=["nan"])
    assert set(report["labels"]) == {"none", "cough"}


def test_several_rows_of_one_path(own: Own) -> None:
    own.csv("a.wav,dog,x", "a.wav,cat,x", "b.wav,cat,y", "c.wav,dog,z")
    with pytest.raises(DataError, match=r"a\.wav 2 times, .*lines 2 and 3\..*one_row_per"):
        own.pull()
    own.pull(one_row_per_label=True)
    assert own.index()["a.wav"].label == "cat|dog"
    own.csv("a.wav,dog,x", "a.wav,cat,other", "b.wav,cat,y")
    with pytest.raises(DataError, match=r"line 3: group of a\.wav .*'x', .*line 2; got 'other'"):
        own.pull(one_row_per_label=True)


def test_the_order_of_labels_is_no_contradiction(own: Own) -> None:
    own.csv("a.wav,dog|cat,x", "b.wav,cat|dog,y", "c.wav,dog,z")
    (own.root / "b.wav").write_bytes((own.root / "a.wav").read_bytes())
    assert own.pull()["usable"] == 3


def test_a_split_column_is_used_or_told(own: Own, capsys: pytest.CaptureFixture[str]) -> None:
    head = "path,label,group,split"
    rows = [f"{label}{side}.wav,{label},{label}{side},{side}" for label in ("a", "b") for side in ("train", "test")]
    rows += [f"{label}validation.wav,{label},{label}validation," for label in ("a", "b")]
    own.csv(*rows, head=head)
    report = own.pull()
    assert [note["path"] for note in report["notes"]] == ["avalidation.wav", "bvalidation.wav"]
    for note, line in zip(report["notes"], (6, 7), strict=True):
        assert line_with(note["note"], "split", f"line {line} of list.csv")
    recordings = list(own.index().values())
    with pytest.raises(DataError, match=r"'avalidation\.wav', 'b.*have"):
        split(SplitParams(method="official"), recordings)
    own.csv(*[f"{row}validation" if row.endswith(",") else row for row in rows], head=head)
    assert own.pull()["notes"] == []
    assert split(SplitParams(method="official"), list(own.index().values()))["atest.wav"] == "test"


PATHS = (
    "sub/a.wav",
    "sub\\a.wav",
    "./sub/a.wav",
    "sub//a.wav",
    "sub/../sub/a.wav",
    "{root}/sub/a.wav",
    "~/mine/sub/a.wav",
)


@pytest.mark.parametrize("written", PATHS)
def test_paths_as_people_write_them(own: Own, written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(own.root.parent))
    own.sound("sub/a.wav")
    own.csv("b.wav,cat,y")
    (own.root / "list.csv").write_text(f"path,label,group\n{written.format(root=own.root)},dog,x\nb.wav,cat,y\n")
    assert set(own.pull()["labels"]) == {"cat", "dog"}
    assert set(own.index()) == {"sub/a.wav", "b.wav"}


def test_a_name_in_another_unicode_form_is_found(own: Own) -> None:
    own.sound("Zoe\u0308.wav")
    own.sound("b.wav")
    (own.root / "list.csv").write_text("path,label,group\nZo\u00eb.wav,dog,x\nb.wav,cat,y\n")
    assert own.pull()["usable"] == 2


@pytest.mark.parametrize("written", ["../a.wav", "sub/../../a.wav", "/etc/passwd", "C:\\a.wav", ".", "..", "~"])
def test_paths_that_leave_the_root_are_told(own: Own, written: str) -> None:
    own.sound("b.wav")
    (own.root / "list.csv").write_text(f"path,label,group\nb.wav,cat,y\n{written},dog,x\n")
    with pytest.raises(DataError, match=r"list\.csv, line 3: path"):
        own.pull()


def test_rows_without_a_file_are_named(own: Own) -> None:
    own.sound("B.wav")
    (own.root / "list.csv").write_text("path,label,group\nb.wav,cat,y\nc.wav,dog,x\n")
    with pytest.raises(DataError, match=r"2 files .*b\.wav \(line 2\), c\.wav.*B\.wav\?"):
        own.pull()
    own.csv("d.wav,dog,x", "e.wav,cat,z", "gone.wav,cat,y")
    (own.root / "gone.wav").unlink()
    report = own.pull(missing_files="exclude")
    assert report["excluded"] == [{"path": "gone.wav", "reason": "missing"}]


def test_globs_choose_and_every_exclusion_is_counted(own: Own) -> None:
    own.csv("ward/a.wav,dog,x", "home/b.wav,cat,y", "home/c.flac,dog,z", "home/._d.wav,cat,w")
    report = own.pull(include=["*.wav", "home/*"], exclude=["ward/*"], missing_files="exclude")
    left_out = {e["path"]: e["reason"] for e in report["excluded"]}
    assert left_out.keys() == {"ward/a.wav", "home/._d.wav"}
    assert line_with(left_out["ward/a.wav"], "pull.options.folder", "include or exclude")
    assert left_out["home/._d.wav"] == "hidden file"
    assert report["excluded_by_reason"]["hidden file"] == 1
    assert report["found"] == report["usable"] + len(report["excluded"])
    with pytest.raises(DataError, match=r"folder\.exclude .*'\*\.mp3'"):
        own.pull(exclude=["*.mp3"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"columns": {"lable": "x"}}, r"folder\.columns .*path, label, group, split, site"),
        ({"label_pattern": "(a)"}, "neither of these beside csv"),
        ({"split_folders": True}, "neither of these beside csv"),
        ({"missing_files": "ignore"}, "missing_files .*stop, exclude"),
    ],
)
def test_wrong_options_are_refused(own: Own, options: dict[str, Any], sentence: str) -> None:
    own.csv("a.wav,dog,x", "b.wav,cat,y")
    with pytest.raises(EdacError, match=sentence):
        own.pull(**options)


PATTERN: dict[str, Any] = {"group_pattern": r"/([^/-]+)-"}


def test_labels_and_groups_of_folders_and_patterns_are_compared_too(own: Own) -> None:
    for name in ("dog/anna-1.wav", "dog /anna-2.wav", "cat/ben-1.wav", "cat/carl -1.wav", "cat/carl-2.wav"):
        own.sound(name)
    report = own.pull(**PATTERN)
    assert (report["groups"], set(report["labels"])) == (3, {"cat", "dog"})
    own.sound("Dog/Anna-3.wav")
    with pytest.raises(DataError, match=r"labels 'Dog' \(1\) / 'dog' \(2\); groups 'Anna' \(1\) / 'anna' \(2\)"):
        own.pull(**PATTERN)
    own.pull({"similar_names": "merge"}, **PATTERN)
    (own.root / "NaN").mkdir()
    own.sound("NaN/x-1.wav")
    with pytest.raises(DataError, match=r"NaN/x-1\.wav .*'NaN'"):
        own.pull(**PATTERN)
