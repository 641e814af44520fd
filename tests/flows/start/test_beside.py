"""What `edac start` reads beside recordings: lists of sides, JSON files, tables of patients and of other folders."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.start import background, listing, naming
from flows.start.naming import Asked, Names
from stages.core.project.errors import DataError, ParameterError
from tests.messages import line_with

WORDS = ("yes", "no", "up")


def touch(root: Path, paths: list[str]) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def found(root: Path, table: Path | None = None, **asked: Any) -> Names:
    return naming.find(listing.list_recordings(root, table)[0], Asked(**asked))


def words(root: Path, noises: int) -> dict[str, list[str]]:
    """Write words of nine people, the lists of two sides and some background sounds."""
    people = [f"{i * 7919:08x}" for i in range(9)]
    paths = {p: [f"{w}/{p}_nohash_{t}.wav" for w in WORDS for t in range(2)] for p in people}
    touch(root, [path for each in paths.values() for path in each])
    touch(root, [f"_background_noise_/noise{i}_hum.wav" for i in range(noises)])
    lists = {"validation": people[:2], "testing": people[2:4]}
    for side, whose in lists.items():
        (root / f"{side}_list.txt").write_text("\n".join(path for p in whose for path in paths[p]) + "\n")
    return lists


def test_lists_of_a_sides_files(tmp_path: Path) -> None:
    words(tmp_path, 0)
    (tmp_path / "LICENSE.txt").write_text("test of nothing\n")
    items, notes = listing.list_recordings(tmp_path)
    assert line_with("\n".join(notes), "testing_list.txt", "validation_list.txt")
    names = naming.find(items, Asked())
    assert names.split is not None
    assert {side: names.split.values.count(side) for side in names.split.distinct} == {
        "test": 12,
        "validation": 12,
        "train": 30,
    }


def test_a_list_of_other_files_is_no_side(tmp_path: Path) -> None:
    touch(tmp_path, ["yes/a.wav", "no/b.wav"])
    (tmp_path / "test.txt").write_text("yes/a.wav\nelsewhere/c.wav\n")
    assert all("split" not in item.fields for item in listing.list_recordings(tmp_path)[0])


@pytest.mark.parametrize("noises", [2, 4])
def test_background_sounds_are_on_every_side_or_left_out(tmp_path: Path, noises: int) -> None:
    words(tmp_path, noises)
    names, note = background.shared_out(found(tmp_path))
    assert "_background_noise_" in note
    assert len(names.classes) == (4 if noises == 4 else 3)
    assert names.split is not None
    assert len(names.items) == len(names.group.values) == len(names.split.values)
    held = {s for s, label in zip(names.split.values, names.label.values, strict=True) if label.startswith("_")}
    assert held == (set(names.split.distinct) if noises == 4 else set())


@pytest.mark.parametrize("rooms", [2, 3])
def test_numbered_backgrounds_are_groups_of_their_own(tmp_path: Path, rooms: int) -> None:
    touch(tmp_path, [f"{w}/{p}_{t}.wav" for w in WORDS for p in ("ann", "bob", "eve") for t in range(2)])
    touch(tmp_path, [f"background/room{i}.wav" for i in range(rooms)])
    names, note = background.shared_out(found(tmp_path))
    assert names.group.distinct[:3] == (
        ["ann", "background/room0.wav", "background/room1.wav"] if rooms == 3 else ["ann", "bob", "eve"]
    )
    assert ("background" in names.classes) == (rooms == 3)
    assert ("counts as a group" in note) == (rooms == 3)


def test_background_of_two_labels_is_a_label_like_others(tmp_path: Path) -> None:
    touch(tmp_path, [f"{label}/{i}.wav" for label in ("drone", "background") for i in range(9)])
    names = found(tmp_path)
    assert background.shared_out(names) == (names, "")


def test_a_json_file_for_each_recording(tmp_path: Path) -> None:
    touch(tmp_path, [f"{i:04x}-4b1c.wav" for i in range(20)])
    for i in range(20):
        text = json.dumps({"status": ["healthy", "ill"][i % 2], "age": 30, "experts": {"quality": "good"}})
        (tmp_path / f"{i:04x}-4b1c.json").write_text(text)
    names = found(tmp_path)
    assert (names.label.name, names.classes) == ("status", {"healthy": 10, "ill": 10})
    (tmp_path / "0003-4b1c.json").write_text("{")
    with pytest.raises(DataError, match=r"0003-4b1c\.json must be JSON"):
        found(tmp_path)


def patients(root: Path) -> None:
    touch(root, [f"sounds/{p}_{t}b1_{place}.wav" for p in range(101, 121) for t, place in ((1, "Al"), (2, "Tc"))])


@pytest.mark.parametrize("named", [True, False])
def test_a_table_of_patients(tmp_path: Path, named: bool) -> None:
    patients(tmp_path)
    rows = "".join(f"{p:04},{('COPD', 'healthy')[p % 2]}\n" for p in range(101, 125))
    (tmp_path / "patients.csv").write_text("patient,diagnosis\n" + rows)
    names = found(tmp_path, (tmp_path / "patients.csv") if named else None)
    assert (names.label.name, names.classes) == ("diagnosis", {"COPD": 20, "healthy": 20})
    assert names.group.name == "part1"


def test_a_table_without_column_names(tmp_path: Path) -> None:
    patients(tmp_path)
    table = tmp_path / "patients.csv"
    table.write_text("".join(f"{p},{('COPD', 'healthy')[p % 2]}\n" for p in range(101, 121)))
    for named in (None, table):
        names = found(tmp_path, named)
        assert (names.label.name, names.classes, names.group.name) == ("label", {"COPD": 20, "healthy": 20}, "part1")
    assert line_with("\n".join(listing.list_recordings(tmp_path)[1]), "patients.csv", "no row of column names", "label")
    table.write_text("".join(f"sounds/{p}_1b1_Al.wav,{'ab'[p % 2]}\n" for p in range(101, 121)))
    assert found(tmp_path, table).classes == {"a": 10, "b": 10}
    table.write_text("".join(f"sounds/{p}_1b1_Al.wav,{p % 3},{p % 2}\n" for p in range(101, 121)))
    with pytest.raises(ParameterError, match=r"--label.*column2 \(3: 0, 1, 2\); column3 \(2: 0, 1\)"):
        found(tmp_path, table)
    table.write_text("".join(f"sounds/{p}_1b1_Al.wav\n" for p in range(101, 121)))
    with pytest.raises(DataError, match=r"patients\.csv must have two columns.*101_1b1_Al"):
        listing.list_recordings(tmp_path, table)


def test_a_table_of_strangers_is_refused(tmp_path: Path) -> None:
    patients(tmp_path)
    table = tmp_path / "patients.csv"
    table.write_text("patient,diagnosis\n" + "".join(f"{p},x\n" for p in range(501, 521)))
    with pytest.raises(DataError, match=r"patients\.csv must have a column"):
        listing.list_recordings(tmp_path, table)


def test_a_table_in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "set", [f"audio/fold{i % 3 + 1}/{i}.wav" for i in range(12)])
    table = tmp_path / "set/metadata/set.csv"
    table.parent.mkdir()
    table.write_text("name,class\n" + "".join(f"{i}.wav,{WORDS[i % 3]}\n" for i in range(12)))
    assert listing.root_of(table) == tmp_path / "set"
    names = found(listing.root_of(table), table)
    assert (names.label.name, len(names.items)) == ("class", 12)
    monkeypatch.setenv("HOME", str(tmp_path / "set"))  # nobody's whole home is searched
    assert listing.root_of(table) == table.parent


def test_json_lines_in_the_folder_of_each_side(tmp_path: Path) -> None:
    for side in ("train", "validation", "test"):
        touch(tmp_path, [f"data/{side}/{side}_{i}.wav" for i in range(12)])
        rows = [
            {"file_name": f"{side}_{i}.wav", "label": WORDS[i % 3], "speaker_id": f"{side}{i // 3}"} for i in range(12)
        ]
        (tmp_path / f"data/{side}/metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = found(tmp_path)
    assert names.split is not None
    assert (names.split.name, names.label.name, names.group.name) == ("folder2", "label", "speaker_id")
    (tmp_path / "data/test/metadata.jsonl").write_text('{"file_name": "test_0.wav"}\n{"file_name"\n')
    assert line_with("\n".join(listing.list_recordings(tmp_path)[1]), "metadata.jsonl, line 2 must be JSON")


@pytest.mark.parametrize(
    "document",
    [
        [{"data": {"audio": f"/up/{i}.wav"}, "notes": [{"result": [{"choices": [WORDS[i % 3]]}]}]} for i in range(24)],
        {"version": 1, "files": [{"path": f"{i}.wav", "label": {"label": WORDS[i % 3]}} for i in range(24)]},
        {f"{i}.wav": {"tag": WORDS[i % 3], "by": None} for i in range(24)},
        {f"{i}.wav": WORDS[i % 3] for i in range(24)},
        {w: [f"{i}.wav" for i in range(k, 24, 3)] for k, w in enumerate(WORDS)},
    ],
    ids=["nested", "in an object", "by name", "label by name", "files by label"],
)
def test_json_of_many_forms(tmp_path: Path, document: object) -> None:
    touch(tmp_path, [f"audio/{i}.wav" for i in range(24)])
    (tmp_path / "labels.json").write_text(json.dumps(document))
    assert found(tmp_path).classes == dict.fromkeys(WORDS, 8)


def test_a_table_in_a_text_file_and_texts_for_people(tmp_path: Path) -> None:
    touch(tmp_path, [f"audio/b{i:03}_0_10.wav" for i in range(24)])
    (tmp_path / "meta.txt").write_text("".join(f"audio/b{i:03}_0_10.wav\t{WORDS[i % 3]}\n" for i in range(24)))
    (tmp_path / "README.txt").write_text("Sounds, cars and birds.\nWith thanks, to all\n")
    (tmp_path / "list.xlsx").write_bytes(b"PK")
    items, notes = listing.list_recordings(tmp_path)
    assert naming.find(items, Asked()).classes == dict.fromkeys(WORDS, 8)
    assert not any("README" in note for note in notes)
    assert line_with("\n".join(notes), "list.xlsx must be CSV", "save it as CSV")


def test_the_tables_own_split_goes_before_its_name(tmp_path: Path) -> None:
    touch(tmp_path, [f"{part}_audio/{part[0]}{i}.wav" for part in ("dev", "eval") for i in range(12)])
    dev = "".join(f"d{i},{WORDS[i % 3]},{'val' if i > 8 else 'train'}\n" for i in range(12))
    (tmp_path / "dev.csv").write_text("fname,labels,split\n" + dev)
    (tmp_path / "eval.csv").write_text("fname,labels\n" + "".join(f"e{i},{WORDS[i % 3]}\n" for i in range(12)))
    names = found(tmp_path)
    assert names.split is not None
    assert [names.split.values.count(side) for side in ("train", "val", "test")] == [9, 3, 12]


def test_a_table_beside_the_folder_of_recordings(tmp_path: Path) -> None:
    touch(tmp_path / "set/audio", [f"{i % 5 + 1}-{1000 + i}-A-{i % 3}.wav" for i in range(30)])
    meta = tmp_path / "set/meta/all.csv"
    meta.parent.mkdir()
    (tmp_path / "set/other.csv").write_text("name,class\na,b\n")
    rows = [f"{i % 5 + 1}-{1000 + i}-A-{i % 3}.wav,{WORDS[i % 3]},{i // 2}\n" for i in range(30)]
    meta.write_text("filename,category,src_file\n" + "".join(rows))
    names = found(tmp_path / "set/audio")
    assert (names.label.name, names.group.name, len(names.items)) == ("category", "src_file", 30)
    assert line_with("\n".join(listing.list_recordings(tmp_path / "set/audio")[1]), str(meta))
    meta.write_text("filename,category,src_file\n" + "".join(rows[:20]))  # of other recordings, perhaps
    assert found(tmp_path / "set/audio").label.name == "part1"
    meta.write_text("filename,category,src_file\n" + "".join(rows))
    touch(tmp_path / "set", ["more/audio/1-1000-A-0.wav"])  # of which the table may be
    assert found(tmp_path / "set/audio").label.name == "part1"


@pytest.mark.parametrize(("told", "column"), [("test,train,train", "split"), ("yes,no,up", "label"), ("", "column2")])
def test_a_nameless_column_may_be_the_side_or_a_length(tmp_path: Path, told: str, column: str) -> None:
    touch(tmp_path, [f"{w}/p{i}.wav" for w in WORDS for i in range(8)])
    values = [*told.split(",")] * 8 if told else [f"{i / 7:.2f}" for i in range(24)]
    (tmp_path / "list.txt").write_text(
        "".join(f"{w}/p{i}.wav\t{values[3 * i + k]}\n" for k, w in enumerate(WORDS) for i in range(8))
    )
    items, _ = listing.list_recordings(tmp_path)
    assert column in items[0].fields
    assert naming.find(items, Asked()).label.distinct == sorted(WORDS)


@pytest.mark.parametrize(
    ("name", "head", "row"),
    [
        ("meta.csv", "file|label|speaker", "rec/{0:03}.wav|{1}|s{2}"),
        ("meta.txt", "file label speaker", "rec/{0:03}.wav {1} s{2}"),
        ("meta.csv", "file,label,speaker", "{0}.0,{1},s{2}"),
        ("meta.csv", "file,label,speaker", "{0},{1},s{2}"),
    ],
    ids=["bars", "spaces", "numbers of a spreadsheet with a point", "numbers of a spreadsheet"],
)
def test_tables_as_they_come(tmp_path: Path, name: str, head: str, row: str) -> None:
    touch(tmp_path, [f"rec/{i:03}.wav" for i in range(24)])
    rows = [row.format(i, WORDS[i % 3], i // 3) for i in range(24)]
    (tmp_path / name).write_text("\n".join([head, *rows]) + "\n")
    names = found(tmp_path)
    assert (names.classes, len(names.group.distinct)) == (dict.fromkeys(WORDS, 8), 8)


def test_a_title_is_no_row_of_column_names(tmp_path: Path) -> None:
    touch(tmp_path, [f"{w}/{i}.wav" for w in WORDS for i in range(8)])
    (tmp_path / "t.csv").write_text("Our recordings,,\nfile,label,speaker\nyes/1.wav,yes,a\n")
    assert line_with("\n".join(listing.list_recordings(tmp_path)[1]), "t.csv must name its columns", "'Our recordings'")


def test_names_that_several_recordings_have(tmp_path: Path) -> None:
    touch(tmp_path, [f"{mic}/{i}.wav" for mic in "ab" for i in range(9)])
    rows = [f"{i}.wav,{mic},{WORDS[i % 3]}\n" for mic in "ab" for i in range(9)]
    (tmp_path / "t.csv").write_text("file,microphone,label\n" + "".join(rows))
    (tmp_path / "others.csv").write_text("file,label\nx.wav,y\n")
    notes = "\n".join(listing.list_recordings(tmp_path)[1])
    assert line_with(notes, "t.csv must name recordings by their folders", "0.wav is a/0.wav and b/0.wav")
    assert line_with(notes, "others.csv names none of the recordings")
