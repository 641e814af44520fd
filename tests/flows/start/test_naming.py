"""What `edac start` reads from folders and file names."""

import random
from typing import Any

import pytest

from flows.start.fields import Item, path_fields
from flows.start.naming import Asked, Names, find
from stages.core.project.errors import DataError, ParameterError

WORDS = ("yes", "no", "up", "down")
PEOPLE = ("jackson", "nicolas", "theo", "george", "lucas")
TAKES = range(4)


def found(paths: list[str], **asked: Any) -> Names:
    items = [Item(path, fields) for path, fields in zip(paths, path_fields(paths), strict=True)]
    return find(items, Asked(**asked))


LAYOUTS = {
    "flat label_speaker_take": ([f"{w}_{p}_{t}.wav" for w in WORDS for p in PEOPLE for t in TAKES], "part1", "part2"),
    "flat digits": ([f"{d}_{p}_{t}.wav" for d in range(10) for p in PEOPLE for t in range(50)], "part1", "part2"),
    "flat speaker first": ([f"s{p:02}_{w}_{t}.wav" for w in WORDS for p in range(9) for t in TAKES], "part2", "part1"),
    "speaker/label": ([f"spk{p:02}/{w}/{t}.wav" for w in WORDS for p in range(9) for t in TAKES], "folder2", "folder1"),
    "label/speaker": ([f"{w}/{p:03}/{t}.wav" for w in WORDS for p in range(9) for t in TAKES], "folder1", "folder2"),
    "label/id_NO_take": (
        [f"{w}/{p:08}_NO_{t:02}.flac" for w in WORDS for p in range(1, 31) for t in range(1, 11)],
        "folder1",
        "part1",
    ),
    "label/hash_nohash_take": (
        [f"{w}/{p}_nohash_{t}.wav" for w in WORDS for p in ("c50f55b8", "a0f12b33", "deadbe3f") for t in TAKES],
        "folder1",
        "part1",
    ),
    "label/name and number": ([f"{w}/{p}{t:02}.wav" for w in WORDS for p in PEOPLE for t in TAKES], "folder1", "name"),
    "label/take": ([f"{w}/{t}.wav" for w in WORDS for t in range(30)], "folder1", "file"),
    "label/random": (
        [f"{w}/{random.Random(f'{w}{t}').getrandbits(64):x}.wav" for w in WORDS for t in range(30)],
        "folder1",
        "file",
    ),
    "label/voice of several parts": (
        [f"{w}/{v}_{t}.wav" for w in WORDS for v in ("en-029-f2", "en-f3", "en-gb-rp-m1", "en-m1") for t in TAKES],
        "folder1",
        "name",
    ),
    "folders of actors, codes in the names": (
        [f"Actor_{p:02}/03-01-{e:02}-{s:02}-{p:02}.wav" for p in range(1, 13) for e in range(1, 9) for s in (1, 2)],
        "part3",
        "folder1",
    ),
    "numbered classes, named people": (
        [f"class_{c}/{p}_{t}.wav" for c in range(4) for p in PEOPLE for t in TAKES],
        "folder1",
        "part1",
    ),
    "speaker/digit_speaker_take": (
        [f"data/{p:02}/{d}_{p:02}_{t}.wav" for p in range(1, 11) for d in range(4) for t in range(3)],
        "part1",
        "folder2",
    ),
    "women and men": (
        [f"{'fm'[p % 2]}{p:04}_0_{w}.wav" for p in range(16) for w in ("cough", "sigh", "laughter", "sneeze")],
        "part3",
        "part1",
    ),
    "machine in a noise": (
        [
            f"{n}_dB_fan/fan/id_{m:02}/{w}/{t:08}.wav"
            for n in (-6, 0, 6)
            for m in (0, 2, 4, 6)
            for w in ("normal", "abnormal")
            for t in TAKES
        ],
        "folder4",
        "folder3",
    ),
    "cats": (
        [
            f"{w}_{c}01_{b}_FN_{c}x_{t}01.wav"
            for w in "BFI"
            for c, b in zip(("ANI", "MAG", "BAC"), "xyy", strict=True)
            for t in (1, 2)
        ],
        "part1",
        "part2",
    ),
    "takes in parentheses": ([f"Sounds/{w} (9mm)/1 ({t}).WAV" for w in WORDS for t in range(1, 16)], "folder2", "file"),
    "songs in brackets": (
        [f"set/{w}/[{w}][nod]{s:04}__{t}.wav" for w in WORDS for s in range(8) for t in (1, 2, 3)],
        "folder2",
        "part3",
    ),
    "speaker/label_take": (
        [f"{p:02}/{w}_{t}.wav" for p in range(1, 9) for w in WORDS for t in TAKES],
        "folder1",
        "part1",
    ),
    "day/label_take": (
        [f"2026-05-{d:02}/{w}_{t}.wav" for d in range(1, 9) for w in WORDS for t in TAKES],
        "part1",
        "folder1",
    ),
    "label/day and time": (
        [f"{w}/2026-05-{d:02} 1{t}.{d:02}.{i:02}.wav" for d in range(1, 9) for i, w in enumerate(WORDS) for t in TAKES],
        "folder1",
        "part1",
    ),
    "patients of one class each": (
        [
            f"{w}/{p}-{t}.wav"
            for w, people in (("ill", PEOPLE[:3]), ("well", PEOPLE[3:]))
            for p in people
            for t in TAKES
        ],
        "folder1",
        "part1",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str) -> None:
    paths, label, group = LAYOUTS[layout]
    names = found(paths)
    assert (names.label.name, names.group.name) == (label, group)


def test_another_field_may_be_the_label() -> None:
    paths = [f"{p}_{s}_{e}_XX.wav" for p in range(1001, 1013) for s in ("DFA", "IEO") for e in ("ANG", "DIS", "FEA")]
    names = found(paths)
    assert (names.label.name, names.group.name) == ("part2", "part1")
    assert any("part3 (3: ANG, DIS, FEA)" in note and "--label part3" in note for note in names.notes)
    codes = [f"{f}-{1000 + 9 * f + c}-A-{c}.wav" for f in range(1, 6) for c in range(3) for _ in range(4)]
    assert any("part4 (3: 0, 1, 2)" in note for note in found(codes).notes)
    ears = [f"S{p:02}/{e}/{w}_{t}.wav" for p in range(8) for e in ("left", "right") for w in WORDS for t in (1, 2)]
    assert any("--label part1" in note for note in found(ears).notes)
    assert not any("--label" in note for note in found(LAYOUTS["speaker/label"][0]).notes)


def test_codes_without_separators_are_fields_and_no_guess() -> None:
    paths = [f"{p:02}{t}{e}{v}.wav" for p in (3, 8, 9, 10) for t in ("a01", "b02") for e in "FWN" for v in "ab"]
    with pytest.raises(ParameterError, match="--label") as told:
        found(paths)
    assert "code4 (3: F, N, W)" in str(told.value)
    names = found(paths, label="code4")
    assert (names.label.distinct, names.group.name, len(names.group.distinct)) == (["F", "N", "W"], "code1", 4)


@pytest.mark.parametrize(
    ("kind", "column"), [("group", "Patient ID"), ("group", "patientId"), ("group", "author"), ("label", "scene_label")]
)
def test_columns_are_known_however_they_are_written(kind: str, column: str) -> None:
    other = {"group": "label", "label": "speaker"}[kind]
    rows = [{column: f"a{i % 3}", other: f"b{i % 4}"} for i in range(24)]
    names = find([Item(f"{i}.wav", row) for i, row in enumerate(rows)], Asked())
    assert getattr(names, kind).name == column


def test_who_speaks_is_no_label_that_nobody_asked_for() -> None:
    paths = [f"spk{s}-utt{t}.wav" for s in range(8) for t in range(6)]
    with pytest.raises(ParameterError, match=r"--label.*part1 \(8: spk0"):
        found(paths)
    assert len(found(paths, label="part1", group="file").classes) == 8


def test_labels_put_together_of_two_things_are_told() -> None:
    moods = ("angry", "happy", "sad")
    takes = [(v, m, t) for v in ("OAF", "YAF") for m in moods for t in range(6)]
    note = "folder1.1 (2: OAF, YAF) and folder1.2 (3: angry, happy, sad)"
    assert any(note in each for each in found([f"{v}_{m}/{t}.wav" for v, m, t in takes]).notes)
    names = found([f"{v}_{m}/{t}.wav" for v, m, t in takes], label="folder1.2", group="folder1.1")
    assert (names.label.distinct, names.group.distinct) == (list(moods), ["OAF", "YAF"])
    for folders in (("door slam", "car horn"), ("yes", "no"), ("dog_1", "cat_2")):
        assert not any("put together" in each for each in found([f"{f}/{t}.wav" for f in folders for t in TAKES]).notes)


def test_labels_that_may_be_several_are_told() -> None:
    texts = ("bark,dog,animal", "meow,cat,animal", "rain,water")
    rows = [Item(f"{i}.wav", {"labels": texts[i % 3]}) for i in range(24)]
    told = "'animal' is a part of several labels; if ',' stands between the labels of a recording"
    assert any(note.startswith(told) for note in find(rows, Asked()).notes)
    kept, apart = (find(rows, Asked(label_separator=each)) for each in ("|", ","))
    assert not any("label-separator" in each for each in (*kept.notes, *apart.notes))
    assert (len(kept.classes), len(apart.classes)) == (3, 7)


def test_numbers_of_recordings_are_no_labels() -> None:
    names = found([f"{w}/{t}.wav" for w in "abcdefghij" for t in range(2)])
    assert (names.label.name, names.group.name) == ("folder1", "file")


def test_plurals_are_told() -> None:
    paths = [f"{s}/{w}{'s' * (s == 'test')}/{t}.wav" for s in ("train", "test") for w in ("cat", "dog") for t in TAKES]
    assert any("'cat' and 'cats', 'dog' and 'dogs'" in note for note in found(paths).notes)


def test_a_column_is_known_by_its_last_word_if_it_is_the_only_one() -> None:
    rows = [{"covid_status": "ab"[i % 2], "dog_id": f"d{i // 3}", "row_id": str(i)} for i in range(24)]
    names = find([Item(f"{i}.wav", row) for i, row in enumerate(rows)], Asked())
    assert (names.label.name, names.group.name) == ("covid_status", "dog_id")
    several = [row | {"cat_id": row["dog_id"]} for row in rows]
    assert find([Item(f"{i}.wav", row) for i, row in enumerate(several)], Asked()).group.name == "file"


def test_numbered_folders_may_be_people() -> None:
    assert any("--label part1 --group folder1" in note for note in found(LAYOUTS["speaker/label_take"][0]).notes)


@pytest.mark.parametrize("path", ["{p}/{w}/{t}.wav", "{w}/{p}/{t}.wav", "{p}_{w}_{t}.wav", "{p}/{w}{t}.wav"])
def test_folders_of_named_people_may_be_the_group(path: str) -> None:
    paths = [path.format(p=p, w=w, t=t) for p in PEOPLE for w in WORDS for t in TAKES]
    names = found(paths)
    other = f"if it is the other way round, add --label {names.group.name} --group {names.label.name}"
    assert sum(other in note for note in names.notes) == 1
    swapped = found(paths, label=names.group.name, group=names.label.name)
    assert (swapped.label.values, swapped.group.values) == (names.group.values, names.label.values)
    assert not any("other way round" in note for note in swapped.notes)


def test_nobody_is_both_group_and_label() -> None:
    names = found([f"{p}/{w}/{t}.wav" for p in PEOPLE for w in WORDS for t in TAKES], group="folder1")
    assert (names.label.name, names.group.name) == ("folder2", "folder1")


@pytest.mark.parametrize("path", ["{w}/{p}/{t}.wav", "{p}/{w}/{t}.wav", "{w}/{t}.wav"])
def test_numbered_people_and_bare_labels_leave_no_doubt(path: str) -> None:
    names = found([path.format(p=f"s{p:02}", w=w, t=f"{p}{t}") for p in range(5) for w in WORDS for t in TAKES])
    assert not any("other way round" in note for note in names.notes)


def test_labels_left_out() -> None:
    paths = [f"{w}/{p:03}/{t}.wav" for w in WORDS for p in range(9) for t in TAKES]
    names = found(paths, left_out=("no", " up"))
    assert set(names.classes) == {"yes", "down"}
    assert len(names.items) == len(names.group.values) == 72
    assert "'no', 'up' left out, as asked for; recordings that have no other label: 72" in names.notes
    with pytest.raises(ParameterError, match=r"--leave-out must name a label; got 'yess'\. Did you mean 'yes'\?"):
        found(paths, left_out=("yess",))
    with pytest.raises(DataError, match="at least two labels; folder1 holds 1"):
        found(paths, left_out=("no", "up", "down"))


def test_a_label_left_out_stays_with_nobody() -> None:
    rows = [Item(f"{i}.wav", {"labels": ("bird|rain", "rain", "wind", "bird")[i % 4], "id": str(i)}) for i in range(24)]
    names = find(rows, Asked(left_out=("rain",)))
    assert (names.classes, len(names.items)) == ({"bird": 12, "wind": 6}, 18)


def test_split_folders() -> None:
    paths = [
        f"{s}/{w}/{s[0]}{p}-{t}.wav" for s in ("train", "val", "test") for w in WORDS for p in "abc" for t in TAKES
    ]
    names = found(paths)
    assert names.split is not None
    assert (names.split.name, names.label.name, names.group.name) == ("folder1", "folder2", "part1")
    names = found([f"my_{path}" for path in paths])
    assert names.split is not None
    assert (names.split.name, names.label.name) == ("folder1.2", "folder2")


def test_fold_folders() -> None:
    paths = [f"fold{f}/{w}-{f}{p}-{t}.wav" for f in range(1, 6) for w in WORDS for p in "abc" for t in TAKES]
    names = found(paths)
    assert names.split is not None
    assert names.split.distinct == [f"fold{f}" for f in range(1, 6)]


def test_own_words_go_first() -> None:
    paths, _, _ = LAYOUTS["flat label_speaker_take"]
    names = found(paths, label=r"_(\w+)_", group="part1")
    assert names.label.distinct == sorted(PEOPLE)
    assert names.group.distinct == sorted(WORDS)


@pytest.mark.parametrize("wanted", ["part9", "(", "no_parentheses"])
def test_unknown_field(wanted: str) -> None:
    paths, _, _ = LAYOUTS["flat label_speaker_take"]
    with pytest.raises(ParameterError, match=r"--group .*field or a regular expression"):
        found(paths, group=wanted)


def test_one_label() -> None:
    with pytest.raises(DataError, match="at least two labels"):
        found([f"dog/{t}.wav" for t in range(9)], label="folder1")


def test_no_group_is_told() -> None:
    assert any("--group" in note for note in found(LAYOUTS["label/random"][0]).notes)


def test_a_column_of_0_and_1_for_each_label() -> None:
    rows = [("1", "0", "x"), ("0", "True", "y"), ("1.0", "yes", "z"), ("", "0", "w")]
    items = [Item(f"{i}.wav", {"bird": a, "frog": b, "by": c}) for i, (a, b, c) in enumerate(rows)]
    seen = find(items, Asked(label="bird, frog"))
    assert seen.label.values == ("bird", "frog", "bird|frog")
    assert "1 recordings have no label" in seen.notes[0]
    assert seen.classes == {"bird": 2, "frog": 2}
    for asked, named in (("bird,frogs", "frogs"), ("bird,by", "'w'")):
        with pytest.raises(ParameterError, match="--label must name") as told:
            find(items, Asked(label=asked))
        assert named in str(told.value)
