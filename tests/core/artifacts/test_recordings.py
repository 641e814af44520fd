"""The index survives its file."""

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from stages.core.artifacts.recordings import Recording, read_index, write_index

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"))
NAME = st.text(st.sampled_from("aZ09 äß日,'\"_-"), min_size=1)
RECORDINGS = st.builds(
    Recording,
    recording_id=TEXT,
    path=st.lists(NAME, min_size=1, max_size=3).map(lambda names: Path(*names).with_suffix(".wav")),
    label=TEXT,
    group=TEXT,
    site=TEXT,
    fold=TEXT,
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    duration_s=st.floats(0, allow_infinity=False),
    sample_rate=st.integers(1),
    parent=TEXT,
)


@given(st.lists(RECORDINGS, max_size=5))
def test_an_index_survives_its_file_in_its_order(recordings: list[Recording]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_index(Path(folder) / "index.csv", recordings)
        assert read_index(Path(folder) / "index.csv") == recordings


def test_an_index_is_a_table_people_can_read(tmp_path: Path) -> None:
    recording = Recording("r1", Path("data/r1.wav"), "cough", "anna", "", "3", "f" * 64, 1.5, 22050)
    write_index(tmp_path / "index.csv", [recording])
    header, row = (tmp_path / "index.csv").read_text().splitlines()
    assert header == "recording_id,path,label,group,site,fold,sha256,duration_s,sample_rate,parent"
    assert row == f"r1,data/r1.wav,cough,anna,,3,{'f' * 64},1.5,22050,"


def test_parts_of_recordings_have_columns_of_their_own(tmp_path: Path) -> None:
    whole = Recording("r1", Path("data/r1.wav"), "cough", "anna", "", "3", "f" * 64, 1.5, 22050)
    part = replace(whole, recording_id="r1@0.5-1", start_s=0.5, end_s=1.0)
    write_index(tmp_path / "index.csv", [whole, part])
    assert read_index(tmp_path / "index.csv") == [whole, part]
    assert (whole.span, part.span) == (None, (0.5, 1.0))
    assert (tmp_path / "index.csv").read_text().splitlines()[0].endswith(",parent,start_s,end_s")
