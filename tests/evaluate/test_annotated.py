"""Annotated long recordings as streams: which side they are of, where their events are, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts.clips import Clip
from stages.core.artifacts.frontend import Frontend
from stages.core.project.errors import DataError, ParameterError
from stages.evaluate import annotated, stream
from stages.evaluate.params import StreamParams
from stages.evaluate.soundscape import Soundscape

RATE = 8000
LABELS = ("door, slam", "dog")


@pytest.fixture
def features(tmp_path: Path) -> Path:
    folder = tmp_path / "features"
    folder.mkdir()
    sides = {"ann": "train", "bob": "validation", "cy": "test"}
    clips_file.write(folder, [Clip(g, tmp_path / f"{g}.wav", s, "dog", g) for g, s in sides.items()])  # type: ignore[arg-type]
    for group in sides:
        soundfile.write(tmp_path / f"{group}.wav", np.full(800, 0.1), RATE)
    return folder


@pytest.fixture
def frontend() -> Frontend:
    return Frontend((*LABELS, "other"), RATE, RATE)


@pytest.fixture
def params(tmp_path: Path) -> StreamParams:
    folder = tmp_path / "long"
    folder.mkdir()
    return StreamParams(minutes=1, recordings=folder, recordings_group="^([a-z]+)-", ignored=("other",))


def record(params: StreamParams, name: str, text: str, *, seconds: float = 4.0, rate: int = RATE) -> Path:
    assert params.recordings is not None
    path = params.recordings / name
    soundfile.write(path, np.full((round(seconds * rate), 2), 0.25), rate)
    path.with_suffix(".csv").write_text(text, "utf-8")
    return path


def test_events_are_where_they_sound_at_any_rate_and_with_commas_in_labels(
    features: Path, frontend: Frontend, params: StreamParams
) -> None:
    record(params, "cy-1.wav", '\ufeffonset, offset, label\n0.5,1.5,"door, slam"\n2,3,other\n', rate=44_100)
    record(params, "dee-2.wav", "label,offset,onset,by\ndog,3.5,3.0,me\n", seconds=6.0, rate=16_000)
    sound = stream.compose("test", features, frontend, params)
    assert sound.hours * 3600 == pytest.approx(10.0, abs=0.01)
    assert [(event.label, event.group) for event in sound.truth] == [("door, slam", "cy"), ("dog", "dee")]
    samples = np.concatenate(list(sound.blocks()))
    for event in sound.truth:
        assert samples[round(event.onset_s * RATE) : round(event.offset_s * RATE)].min() > 0.2
    second = sound.truth[1].onset_s - 3.0
    assert second == pytest.approx(4.0 + 2 * frontend.clip_s, abs=0.01)
    reached = [(start, window) for start, window in sound.windows(RATE, RATE // 4) if start < 4 * RATE <= start + RATE]
    assert all(start + RATE < second * RATE for start, _ in reached)


def test_training_groups_are_left_out_and_validation_groups_choose(
    features: Path, frontend: Frontend, params: StreamParams, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ann-1.wav", "bob-1.wav", "cy-1.wav"):
        record(params, name, "onset,offset,label\n1,2,dog\n")
    groups = {
        side: {event.group for event in stream.compose(side, features, frontend, params).truth}  # type: ignore[arg-type]
        for side in ("validation", "test")
    }
    assert groups == {"validation": {"bob"}, "test": {"cy"}}
    assert "ann-1.wav" in capsys.readouterr().err


def test_without_a_recording_of_validation_a_composed_stream_chooses(
    features: Path, frontend: Frontend, params: StreamParams
) -> None:
    record(params, "cy-1.wav", "onset,offset,label\n")
    assert isinstance(stream.compose("validation", features, frontend, params), Soundscape)
    assert stream.compose("test", features, frontend, params).truth == []


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("start,end,label\n1,2,dog\n", "onset, offset, label; got start, end, label"),
        ("", "onset, offset, label; got none"),
        (
            "onset,offset,label\n2,1,dog\n",
            r"line 2, .*got '2' and '1'",
        ),
        ("onset,offset,label\n1,2,dog\n1,,dog\n", "line 3, must have an onset"),
        ("onset,offset,label\n1,nan,dog\n", "line 2, must have an onset"),
        (
            "onset,offset,label\n1,2,cat\n",
            r"got 'cat'.*evaluate",
        ),
        ("onset,offset,label\n1,2,door, slam\n", r"3 fields; .*quotes"),
        ("onset,offset,label\n9,10,dog\n", "has an event at 9 s; .* ends at 4.000 s"),
    ],
)
def test_mistakes_in_annotations_are_one_sentence(
    features: Path, frontend: Frontend, params: StreamParams, text: str, sentence: str
) -> None:
    record(params, "cy-1.wav", text)
    with pytest.raises(DataError, match=sentence):
        stream.compose("test", features, frontend, params)


def test_what_is_missing_is_named(features: Path, frontend: Frontend, params: StreamParams, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must hold recordings"):
        stream.compose("test", features, frontend, params)
    record(params, "ann-1.wav", "onset,offset,label\n")
    with pytest.raises(DataError, match=r"neither trained nor chose .*none of 1"):
        stream.compose("test", features, frontend, params)
    path = record(params, "cy-1.wav", "onset,offset,label\n")
    path.with_suffix(".csv").unlink()
    with pytest.raises(DataError, match=r"file cy-1.csv beside"):
        stream.compose("test", features, frontend, params)
    path.with_suffix(".csv").write_bytes("onset,offset,label\n1,2,Türe\n".encode("latin-1"))
    with pytest.raises(DataError, match="must be a CSV file in UTF-8"):
        stream.compose("test", features, frontend, params)
    record(params, "Cy2.wav", "onset,offset,label\n")
    with pytest.raises(DataError, match=r"recordings_group .*Cy2.wav"):
        stream.compose("test", features, frontend, params)
    with pytest.raises(ParameterError, match=r"evaluate.stream.recordings_group must be a regular expression"):
        StreamParams(minutes=1, recordings=tmp_path, recordings_group="[a-z]+")
    with pytest.raises(ParameterError, match=r"evaluate.stream.minutes must be above 0 beside recordings"):
        StreamParams(recordings=tmp_path)


def test_annotations_and_sound_are_part_of_what_a_run_resumes_by(params: StreamParams) -> None:
    path = record(params, "cy-1.wav", "onset,offset,label\n")
    assert params.recordings is not None
    before = annotated.digests(params.recordings)
    path.with_suffix(".csv").write_text("onset,offset,label\n1,2,dog\n")
    assert annotated.digests(params.recordings) != before


def marked(features: Path, tmp_path: Path) -> None:
    """Clips of parts of two recordings on each side; one part was cut into two clips, one clip is of a whole file."""
    parts = [(0.5, 1.0, "dog"), (1.0, 1.25, "dog"), (2.0, 2.5, "other"), (3.0, 3.5, "door, slam|dog")]
    found = []
    for side in ("train", "validation", "test"):
        for name in ("one", "two"):
            path = tmp_path / f"{side}-{name}.wav"
            soundfile.write(path, np.full(4 * RATE, 0.1), RATE)
            for start, end, label in parts if name == "one" else parts[2:3]:
                found.append(Clip(f"{path}@{start}", path, side, label, f"{side}{name}", "", "", start, end, str(path)))
        whole = tmp_path / f"{side}.wav"
        found.append(Clip(f"{whole}@0", whole, side, "dog", side, "", "", 0.0, 1.0, f"{side}.wav"))
    clips_file.write(features, found)  # type: ignore[arg-type]


def test_marked_parts_are_events_of_their_recordings(features: Path, frontend: Frontend, tmp_path: Path) -> None:
    marked(features, tmp_path)
    given = StreamParams(marked=True, ignored=("other",))
    assert given.asked
    for side in ("validation", "test"):
        sound = stream.compose(side, features, frontend, given)  # type: ignore[arg-type]
        assert sound.hours * 3600 == pytest.approx(8.0)
        assert [(e.label, round(e.onset_s, 6), round(e.offset_s, 6), e.group) for e in sound.truth] == [
            ("dog", 0.5, 1.25, f"{side}one"),
            ("dog", 3.0, 3.5, f"{side}one"),
            ("door, slam", 3.0, 3.5, f"{side}one"),
        ]


def test_marked_streams_need_marked_parts(features: Path, frontend: Frontend, params: StreamParams) -> None:
    with pytest.raises(
        DataError, match=r"evaluate\.stream\.marked must find .* in the test split; there are none\. Set"
    ):
        stream.compose("test", features, frontend, StreamParams(marked=True))
    with pytest.raises(ParameterError, match="be false beside recordings"):
        StreamParams(marked=True, minutes=60, recordings=params.recordings)
