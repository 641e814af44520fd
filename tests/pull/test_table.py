"""CSV files: what a spreadsheet or a person writes is read with certainty, or told in one sentence with its line."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.project.errors import DataError, EdacError, ParameterError
from stages.core.project.names import clean
from stages.pull.table import Layout, read_table

COLUMNS = {name: name for name in ("path", "label", "group", "split", "site")}
LAYOUT = Layout(COLUMNS, ("path", "label", "group"), "pull.options.folder")


def read(path: Path, content: bytes, layout: Layout = LAYOUT) -> list[tuple[int, str, str, str]]:
    path.write_bytes(content)
    rows = read_table(path, layout)
    return [(row.line, row.values["path"], row.values["label"], row.values["group"]) for row in rows]


TEXT = "path,label,group\na.wav,Hündin,Zoë\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        TEXT.replace(",", ";").encode(),
        TEXT.replace(",", "\t").encode(),
        TEXT.replace(",", " , ").encode(),
        TEXT.replace("path,label,group", '"path","label","group"').encode(),
        TEXT.replace("path,label,group", "Path,LABEL,Group").encode(),
        TEXT.replace("Zoë", "Zoe\u0308").encode(),
        TEXT.replace("Zoë", "\u00a0Zoë\u200b ").encode(),
        TEXT.replace("Zoë", '"Zoë"').encode(),
        TEXT.rstrip("\n").encode(),
        "group,,label,path\nZoë,1,Hündin,a.wav\n".encode(),
    ],
)
def test_what_is_certain_is_read(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path / "t.csv", content) == [(2, "a.wav", "Hündin", "Zoë")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\n\npath,label,group\n\n\na.wav,dog,x\n\nb.wav,cat,y\n", [(6, "a.wav"), (8, "b.wav")]),
        (b"sep=;\npath;label;group\na.wav;dog;x\n", [(3, "a.wav")]),
        (b"path,label,group\n,,\n , ,\na.wav,dog,x\n", [(4, "a.wav")]),
        (b'path,label,group,note\na.wav,dog,x,"two\nlines"\nb.wav,cat,y,\n', [(2, "a.wav"), (4, "b.wav")]),
        (b'path,label,group,note\na.wav,dog,x,"5"" nails"\n', [(2, "a.wav")]),
        (b'path,label,group\n"a,b.wav",dog,x\n', [(2, "a,b.wav")]),
    ],
)
def test_lines_are_those_of_the_file(tmp_path: Path, content: bytes, expected: list[tuple[int, str]]) -> None:
    assert [row[:2] for row in read(tmp_path / "t.csv", content)] == expected


HEAD = b"path,label,group\na.wav,dog,x\n\n"  # the next line is the fourth


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (HEAD + b"b.wav,dog,ward 3,y\n", "line 4 .*3 fields.*has 4"),
        (HEAD + b"b.wav,dog\n", "line 4 .*3 fields.*has 2"),
        (HEAD + b"b.wav,dog,y,\n", r"line 4 must have 3 fields"),
        (HEAD + b'b.wav,5" dog,y\nc.wav,dog,z\n', r"line 4 has a stray quotation mark"),
        (HEAD + b'b.wav,"dog,y\nc.wav,dog,z\n', r"line 4 has a stray quotation mark"),
        (HEAD + b'b.wav,"dog,y\nc.wav,dog",z\n', r"line 4 has a stray quotation mark"),
        (HEAD + b'b.wav,"dog"s,y\n', r"line 4 has a stray quotation mark"),
        (b'path,label,group,note\na.wav,dog,x,"5 in\nb.wav,cat,y,6 in"\n', r"line 2 has a stray quotation mark"),
        (
            HEAD + "b.wav,dog,Zoë\n".encode("cp1252"),
            "line 4 .*UTF-8.*cp1252",
        ),
        (HEAD + "b.wav,собака,y\n".encode("cp1251"), r"line 4 must be text in UTF-8"),
        (b"path,label,group,Group\n", r"every column once; 'Group' is repeated"),
        (b"path,label,group,label \n", r"every column once; 'label' is repeated"),
        (b"path,label\n", "path, label and group, .*commas; .*no group"),
        (b"path;label\n", "semicolons; .*no group"),
        (b"file,label,group\n", r"no path\..*Known: file, group, label\."),
        (b"", r"it has no path"),
        (b"path|label|group\n", r"no path.*pull\.options\.folder\.delimiter"),
        (HEAD + b"b.wav,d\0g,y\n", r"line 4 holds NUL characters"),
        (b"PK\x03\x04" + bytes(range(256)), "CSV file; .*zip archive"),
        (b"%PDF-1.7\n", "CSV file; .*PDF"),
        (b"\xff\xfe1", r"must be text in UTF-8"),
        (b"a\0b\xff\xff", r"must be text in UTF-8"),
    ],
)
def test_what_is_not_certain_is_told_with_its_line(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read(tmp_path / "t.csv", content)


def test_an_encoding_that_is_named_is_certain(tmp_path: Path) -> None:
    named = Layout(COLUMNS, LAYOUT.required, LAYOUT.owner, encoding="cp1252")
    assert read(tmp_path / "t.csv", TEXT.encode("cp1252"), named) == [(2, "a.wav", "Hündin", "Zoë")]
    with pytest.raises(ParameterError, match=r"folder\.encoding must .*got 'utf-7000'"):
        read(tmp_path / "t.csv", b"x", Layout(COLUMNS, LAYOUT.required, LAYOUT.owner, encoding="utf-7000"))
    with pytest.raises(DataError, match="text in ascii"):
        read(tmp_path / "t.csv", TEXT.encode(), Layout(COLUMNS, LAYOUT.required, LAYOUT.owner, encoding="ascii"))


def test_an_unknown_encoding_is_told_where_only_control_characters_show_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2 .*UTF-8"):
        read(tmp_path / "t.csv", "path,label,group\na.wav,猫,x\n".encode("shift_jis"))  # an invisible character, and L


def test_letters_of_an_unknown_encoding_matter_only_where_they_are_read(tmp_path: Path) -> None:
    content = "path,label,group,note\na.wav,dog,x,müde\n".encode("cp1252")
    assert read(tmp_path / "t.csv", content) == [(2, "a.wav", "dog", "x")]


def test_a_delimiter_that_is_named_is_taken(tmp_path: Path) -> None:
    content = b"path|label|group\na.wav|dog|x\n"
    named = Layout(COLUMNS, LAYOUT.required, LAYOUT.owner, delimiter="|")
    assert read(tmp_path / "t.csv", content, named) == [(2, "a.wav", "dog", "x")]
    with pytest.raises(ParameterError, match=r"delimiter must .*got '::'"):
        read(tmp_path / "t.csv", content, Layout(COLUMNS, LAYOUT.required, LAYOUT.owner, delimiter="::"))


def test_columns_are_renamed(tmp_path: Path) -> None:
    layout = Layout(COLUMNS | {"path": "File", "group": "speaker"}, LAYOUT.required, LAYOUT.owner)
    assert read(tmp_path / "t.csv", b"speaker,file,label\nx,a.wav,dog\n", layout) == [(2, "a.wav", "dog", "x")]
    with pytest.raises(DataError, match=r"no speaker.*'speakr'.*folder\.columns"):
        read(tmp_path / "t.csv", b"speakr,file,label\n", layout)
    layout = Layout(COLUMNS | {"site": "ward"}, LAYOUT.required, LAYOUT.owner)
    with pytest.raises(ParameterError, match=r"folder\.columns\.site names 'ward', which .*t\.csv lacks"):
        read(tmp_path / "t.csv", b"path,label,group\n", layout)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=12).filter(clean)


@given(
    st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=5),
    st.sampled_from(",;\t"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_pythons_own_writer_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], delimiter: str, encoding: str, end: str
) -> None:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, lineterminator=end)
    writer.writerows([("path", "label", "group"), *rows])
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    got = read(path, written.getvalue().encode(encoding))
    assert [row[1:] for row in got] == [tuple(map(clean, row)) for row in rows]


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_told(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    sentences = []
    for head in (b"", b"path,label,group\n"):
        try:
            read(path, head + tail)
        except EdacError as error:
            sentences.append(str(error))
    assert not [sentence for sentence in sentences if "\n" in sentence]
