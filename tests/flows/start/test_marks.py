"""Parts of recordings that tables and marks beside them name."""

from pathlib import Path

import pytest

from flows.start import background, listing, marks, naming, similar, write
from flows.start.choice import Choice
from flows.start.fields import Item
from flows.start.naming import Asked
from stages.core.project.errors import DataError, ParameterError
from stages.pull.sources import folder as source
from stages.pull.table import Layout, read_table
from tests.trees import encode
from tests.wavs import sound

RECORDINGS = tuple(f"p{i}_day{i}.wav" for i in range(6))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in RECORDINGS:
        encode(tmp_path / "in" / name, sound(16_000)[:, 0], 8000)
    return tmp_path / "in"


def listed(root: Path, table: str = "", **options: bool) -> tuple[list[Item], list[str]]:
    return listing.list_recordings(root, root / table if table else None, **options)


def parts(items: list[Item]) -> set[tuple[str, tuple[float, float] | None, str]]:
    return {(item.path, item.span, item.fields.get("label", "")) for item in items}


EXPECTED = {(name, span, label) for name in RECORDINGS for span, label in (((0.25, 0.5), "dog"), ((1.0, 1.5), "cat"))}

TABLES = {
    "seconds": "file,start_s,end_s,label\n{}",
    "DCASE": "filename\tonset\toffset\tlabel\n{}",
    "camel case": "file,StartTime,EndTime,label\n{}",
    "units": "file,start (s),stop (s),label\n{}",
    "comments above": "# by hand; version 2\n# of May\nfile,begin,end,label\n{}",
    "the last comment is the header": "# by hand\n#file,begin,end,label\n{}",
}


@pytest.mark.parametrize("kind", TABLES)
def test_rows_with_times_are_parts(root: Path, kind: str) -> None:
    between = "\t" if "\t" in TABLES[kind] else ","
    rows = [
        between.join(row) for name in RECORDINGS for row in ((name, "0.25", "0.5", "dog"), (name, "1", "1.5", "cat"))
    ]
    (root / "marks.csv").write_text(TABLES[kind].format("\n".join(rows)) + "\n")
    for table in ("", "marks.csv"):
        items, notes = listed(root, table)
        assert parts(items) == EXPECTED
        assert any("each row of marks.csv is a part of a recording" in note and "(12 parts)" in note for note in notes)
    with pytest.raises(DataError, match="must name every recording once"):
        listed(root, "marks.csv", whole=True)


@pytest.mark.parametrize(
    "header, times",
    [
        ("offset,duration", ("0.25,0.25", "1,0.5")),
        ("start,length", ("0.25,0.25", "1,0.5")),
        ("TIME,DURATION", ("0.25,0.25", "1,0.5")),
        ("start_ms,end_ms", ("250,500", "1000,1500")),
        ("start,end", ("0:00.25,0:00:00.5", "0:01,00:01.5")),
    ],
)
def test_times_in_other_forms(root: Path, header: str, times: tuple[str, str]) -> None:
    rows = [f"{name},{time},{label}" for name in RECORDINGS for time, label in zip(times, ("dog", "cat"), strict=True)]
    (root / "marks.csv").write_text(f"file,{header},label\n" + "\n".join(rows))
    assert parts(listed(root)[0]) == EXPECTED


def test_raven_counts_through_several_recordings(root: Path) -> None:
    rows = [
        f"{2.0 * i + begin}\t{2.0 * i + end}\t{begin}\t/elsewhere/{name}\t{label}\n"
        for i, name in enumerate(RECORDINGS)
        for begin, end, label in ((0.25, 0.5, "dog"), (1.0, 1.5, "cat"))
    ]
    header = "Begin Time (s)\tEnd Time (s)\tFile Offset (s)\tBegin Path\tlabel\n"
    (root / "selections.txt").write_text(header + "".join(rows))
    assert parts(listed(root)[0]) == EXPECTED
    (root / "selections.txt").write_text(header + "".join(rows) + f"12\t13\tx\t{RECORDINGS[0]}\tdog\n")
    with pytest.raises(DataError, match=r"line 14: File Offset \(s\) must be a time; got 'x'"):
        listed(root, "selections.txt")


def test_times_of_recordings_that_are_named_once_are_of_something_else(root: Path) -> None:
    """UrbanSound8K's `start` and `end` are those of the recording that the clip was cut from."""
    (root / "marks.csv").write_text("file,start,end,label\n" + "".join(f"{name},100,104,dog\n" for name in RECORDINGS))
    assert {(item.span, item.fields["start"]) for item in listed(root)[0]} == {(None, "100")}


def test_two_tables_may_mark_one_recording(root: Path) -> None:
    for who, label, rest in (("ann", "dog", "0.25,0.5"), ("ben", "cat", "1,1.5"), ("cy", "dog", "0.25,0.5")):
        rows = [f"{name},{rest},{label}\n{name},1.8,1.9,{label}\n" for name in RECORDINGS]
        (root / f"{who}.csv").write_text("file,start,end,label\n" + "".join(rows))
    both = {(name, (1.8, 1.9), "dog|cat") for name in RECORDINGS}
    assert parts(listed(root)[0]) == EXPECTED | both


def test_several_labels_of_one_part_are_joined(root: Path) -> None:
    rows = [f"{name},0.25,0.5,{label}\n" for name in RECORDINGS for label in ("dog", "rain", "dog")]
    (root / "marks.csv").write_text("file,start,end,label\n" + "".join(rows))
    assert parts(listed(root)[0]) == {(name, (0.25, 0.5), "dog|rain") for name in RECORDINGS}


@pytest.mark.parametrize(
    "row", ["{},2,1,cat", "{},x,1,cat", "{},,1,cat", "{},-1,1,cat", "{},1_0,11,cat", "{},0,inf,cat"]
)
def test_wrong_times_are_named_by_line(root: Path, row: str) -> None:
    rows = [f"{name},{time},dog" for name in RECORDINGS for time in ("0,1", "1,1")]
    (root / "marks.csv").write_text("\n".join(["file,start,end,label", *rows, row.format(RECORDINGS[0])]))
    with pytest.raises(DataError, match=r"marks\.csv, line 14: start and end must be times, the start before the end"):
        listed(root, "marks.csv")
    assert any("not used: " in note and "line 14" in note for note in listed(root)[1])


def test_marks_of_a_moment_are_left_out_and_told(root: Path) -> None:
    rows = [f"{name},{time}" for name in RECORDINGS for time in ("0.25,0.5,dog", "1,1.5,cat", "1.7,1.7,click")]
    (root / "marks.csv").write_text("\n".join(["file,start,end,label", *rows]))
    items, notes = listed(root)
    assert parts(items) == EXPECTED
    assert "6 marks of marks.csv have no length and are left out" in notes


AUDACITY = "0.250000\t0.500000\tdog\n\\\t100.0\t3000.0\n1.000000\t1.500000\tcat \n"
RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tlabel\n"
    "1\tWaveform 1\t1\t0.25\t0.5\t0\t4000\tdog\n1\tSpectrogram 1\t1\t0.25\t0.5\t0\t4000\tdog\n"
    "2\tSpectrogram 1\t1\t1\t1.5\t0\t4000\tcat\n"
)
BESIDE = {
    "Audacity": ("{}.txt", AUDACITY),
    "Audacity, decimal commas": ("{}.txt", AUDACITY.replace(".", ",")),
    "Audacity, in another folder": ("labels/{}.txt", AUDACITY),
    "Audacity, with a word behind": ("{}_labels.txt", AUDACITY),
    "Raven": ("{}.Table.1.selections.txt", RAVEN),
    "BirdNET": ("{}.BirdNET.selection.table.txt", RAVEN.replace("label\n", "Common Name\n")),
    "a table for each": ("annotations/{}.csv", "start,end,label\n0.25,0.5,dog\n1,1.5,cat\n"),
}


@pytest.mark.parametrize("kind", BESIDE)
def test_marks_beside_recordings(root: Path, kind: str) -> None:
    name, text = BESIDE[kind]
    for recording in RECORDINGS:
        place = root / name.format(Path(recording).stem)
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
    items, notes = listed(root)
    assert any(note.startswith("parts of the recordings come from 6 files such as ") for note in notes)
    names = naming.find(items, Asked())
    found = zip((item.path for item in items), (item.span for item in items), names.label.values, strict=True)
    assert set(found) == EXPECTED
    assert set(names.group.values) == {f"p{i}" for i in range(6)}
    assert {item.span for item in listed(root, whole=True)[0]} == {None}


def test_marks_without_label_or_length_are_told(root: Path) -> None:
    for recording in RECORDINGS:
        (root / recording).with_suffix(".txt").write_text(AUDACITY + "1.6\t1.7\t\n1.8\t1.8\tclick\n")
    items, notes = listed(root)
    assert parts(items) == EXPECTED
    assert "6 marks without a label are left out" in notes
    assert "6 marks of the files have no length and are left out" in notes


def test_marks_of_a_few_recordings_are_told_and_not_used(root: Path) -> None:
    for recording in RECORDINGS[:2]:
        (root / recording).with_suffix(".txt").write_text(AUDACITY)
    items, notes = listed(root)
    assert {item.span for item in items} == {None}
    assert f"not used: 2 files such as {Path(RECORDINGS[0]).stem}.txt mark parts of 2 of 6 recordings" in notes
    for recording in RECORDINGS[2:4]:
        (root / recording).with_suffix(".txt").write_text(AUDACITY)
    items, notes = listed(root)
    assert {item.path for item in items} == set(RECORDINGS[:4])
    assert "2 recordings of which no part is marked are left out" in notes


@pytest.mark.parametrize("text", ["what was heard on that day\n", "0.5 1.0 dog\n", "1\t2\t0\t1\n", "", "\n"])
def test_other_texts_beside_recordings_mark_nothing(root: Path, text: str) -> None:
    for recording in RECORDINGS:
        (root / recording).with_suffix(".txt").write_text(text)
    assert {item.span for item in listed(root)[0]} == {None}


def test_marks_of_programs_that_are_not_read_are_told(root: Path) -> None:
    for recording in RECORDINGS:
        (root / recording).with_suffix(".TextGrid").write_text('File type = "ooTextFile"\n')
    notes = [note for note in listed(root)[1] if note.startswith("not used: ")]
    assert len(notes) == 4
    assert notes[-1] == "not used: 6 such files"


def test_pull_reads_the_parts(root: Path) -> None:
    for recording in RECORDINGS:
        (root / recording).with_suffix(".txt").write_text(AUDACITY)
    names = similar.settled(naming.find(listed(root)[0], Asked()), None).names
    write.require_readable(names, root)
    (root / "listing.csv").write_text(write.listing(names))
    entries = source.recordings(source.Config(root=str(root), csv="listing.csv"), root)
    assert {(entry.path.as_posix(), entry.span, entry.label) for entry in entries} == EXPECTED
    assert {entry.group for entry in entries} == {f"p{i}" for i in range(6)}


def test_each_recording_is_a_group_if_nothing_else_is(root: Path) -> None:
    for i, recording in enumerate(RECORDINGS):
        (root / recording).rename(root / f"{'abcdef'[i]}.wav")
        (root / f"{'abcdef'[i]}.txt").write_text(AUDACITY)
    names = naming.find(listed(root)[0], Asked(group="file"))
    assert set(names.group.values) == {f"{letter}.wav" for letter in "abcdef"}


def test_no_time_is_read_from_words_that_mean_something_else() -> None:
    for columns in (
        ["file", "label"],
        ["start", "label"],
        ["File Offset (s)", "Delta Time (s)"],
        ["offset", "label"],
        ["time"],
        ["event", "duration"],
    ):
        assert marks.times_of(columns) is None


@pytest.mark.parametrize(
    "text, names, first",
    [
        ("#path,label\na.wav,x\n", ["path", "label"], 2),
        ("# one\n# two, three; four\npath,label\na.wav,x\n", ["path", "label"], 4),
        ("#,path\n1,a.wav\n", ["#", "path"], 2),
        ("path,label\n#a.wav,x\n", ["path", "label"], 2),
    ],
)
def test_comments_above_a_header(tmp_path: Path, text: str, names: list[str], first: int) -> None:
    (tmp_path / "t.csv").write_text(text)
    rows = read_table(tmp_path / "t.csv", Layout(None, (), "pull.options.folder"))
    assert (list(rows[0].values), rows[0].line, len(rows)) == (names, first, 1)


def test_a_label_left_out_of_parts(root: Path) -> None:
    for recording in RECORDINGS:
        (root / recording).with_suffix(".txt").write_text(AUDACITY + "1.6\t1.7\tcow\n")
    names = naming.find(listed(root)[0], Asked(left_out=("cow",)))
    assert parts(list(names.items)) == EXPECTED
    with pytest.raises(ParameterError, match="--leave-out must name a label"):
        naming.find(listed(root)[0], Asked(left_out=("cows",)))


def test_what_lies_between_marks_is_background(root: Path) -> None:
    """The median mark has 0.25 s; a quarter of that stays free beside marks."""
    for recording in RECORDINGS:
        (root / recording).with_suffix(".txt").write_text("0.5\t0.75\tdog\n0.6\t0.7\tdog\n1.5\t2.0\tcat\n")
    names = naming.find(listed(root)[0], Asked())
    more, note = background.between(names)
    assert note == "12 parts between the marked ones, each of 0.25 s, are the label 'background', as asked for"
    assert more.classes == {"dog": 12, "cat": 6, "background": 12}
    marked = [(item.path, item.span) for item in names.items]
    rows = list(zip(more.items, more.label.values, more.group.values, strict=True))
    assert sorted((item.path, item.span) for item, label, _ in rows if label != "background") == sorted(marked)
    for item, label, group in rows:
        assert group == item.path[:2]
        if label == "background":
            assert item.span is not None
            start, end = item.span
            assert start >= 0
            assert end - start == pytest.approx(0.25)
            for path, span in marked:
                assert path != item.path or span is None or end <= span[0] - 0.0624 or start >= span[1] + 0.0624
    assert [(item.path, item.span) for item in more.items] == sorted((i.path, i.span) for i in more.items)
    (vary,) = background.heard_behind([Choice("train.vary", {"p": 0.7})], more, 1.0)
    assert vary.value["background"] == "background"


def test_one_label_is_enough_beside_background(root: Path) -> None:
    for recording in RECORDINGS:
        (root / recording).with_suffix(".txt").write_text("0.5\t0.75\tbark\n1.5\t1.75\tbark\n")
    items, _ = listed(root)
    with pytest.raises(ParameterError, match="label cannot be told"):
        naming.find(items, Asked())
    names, _ = background.between(naming.find(items, Asked(background=True)))
    assert (names.classes, set(names.group.values)) == ({"bark": 12, "background": 12}, {f"p{i}" for i in range(6)})
    assert background.label_of(names) == "background"


@pytest.mark.parametrize(
    "minutes, rates", [(3, []), (7, [60.0]), (25, [20.0, 60.0]), (90, [5.0, 20.0]), (500, [1.0, 5.0])]
)
def test_streams_aim_at_what_their_length_can_show(minutes: int, rates: list[float]) -> None:
    ends = [60.0 * minutes / 4] * 4
    items = [
        Item(f"{i}.wav", {"label": "x", "id": f"a{i}"}, (end - 1, end)) for i, end in enumerate(ends) for _ in "ab"
    ]
    names, _ = background.between(naming.find(items, Asked(group="id", background=True)))
    choices = {choice.name: choice.value for choice in background.streams(names)}
    assert choices.get("evaluate.stream.false_alarms_per_hour", []) == rates
    assert choices.get("evaluate.stream.marked", False) == bool(rates)


def test_background_needs_marks_and_room_between_them(root: Path) -> None:
    items = [Item(f"{w}{i}.wav", {"part1": w}) for w in ("yes", "no") for i in range(3)]
    with pytest.raises(ParameterError, match=r"--background must find marked parts of recordings.*got none"):
        background.between(naming.find(items, Asked(label="part1", group="file")))
    tight = [Item("a.wav", {"label": "xy"[i % 2], "speaker": "a"}, (i / 2, i / 2 + 0.4)) for i in range(6)]
    with pytest.raises(DataError, match=r"--background must find 0\.60 s or more between two marks"):
        background.between(naming.find(tight, Asked(group="speaker")))
    named = [Item("a.wav", {"label": ("x", "background")[i % 2]}, (float(3 * i), 3 * i + 1.0)) for i in range(6)]
    with pytest.raises(ParameterError, match="no label 'background'; got a label 'background'"):
        background.between(naming.find(named, Asked(group="file")))
