"""Which part of a recording is a clip: silent ones are left out and told, segments cover all of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import hearing as hearing_file
from stages.core.artifacts.recordings import Recording
from stages.core.audio import decode
from stages.core.audio.spec_augment import Masks
from stages.core.project import files
from stages.core.project.errors import DataError, ParameterError
from stages.core.project.params import load
from stages.features.params import FeatureParams
from stages.features.stage import Inputs, make_features
from stages.runtime.audio import clip
from stages.runtime.hearing import DEFAULT, Hearing, Listener
from stages.runtime.litert import Model
from stages.runtime.recording import windows
from stages.runtime.wav import open_wav

RATE, CLIP = 8000, 2000
FRONTEND = {
    "frontend": "log_mel",
    "options": {"log_mel": {"sample_rate": RATE, "clip_samples": CLIP, "n_fft": 256, "hop_length": 200, "n_mels": 8}},
}
SPLITS = {"a": "train", "b": "validation", "c": "test", "d": "train"}


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, n)


class Task:
    """Recordings of two classes, one of which begins with silence."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.recordings = folder, list[Recording]()

    def add(self, name: str, label: str, samples: np.ndarray, span: tuple[float, float] | None = None) -> None:
        path = self.folder / f"{name}.wav"
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        start, end = span or (None, None)
        self.recordings.append(
            Recording(name, path, label, name, "", "", "", len(samples) / RATE, RATE, "", start, end)
        )

    def run(self, hearing: Hearing = DEFAULT, masks: Masks | None = None, **params: Any) -> list[clips_file.Clip]:
        section = load(FeatureParams, FRONTEND | params, "features")
        inputs = Inputs(self.recordings, [], SPLITS, ["no", "yes"], masks or Masks(), hearing)
        make_features(section, inputs, target=self.folder / "features", workers=1)
        return clips_file.read(self.folder / "features")

    def row(self, clip_id: str) -> np.ndarray:
        clips = [c.clip_id for c in clips_file.read(self.folder / "features")]
        return np.asarray(np.load(self.folder / "features" / "features.npy")[clips.index(clip_id)])

    def frontend(self, waveform: np.ndarray) -> np.ndarray:
        return Model(self.folder / "features" / "frontend.tflite").run(waveform[np.newaxis])[0]


@pytest.fixture
def task(tmp_path: Path) -> Task:
    task = Task(tmp_path)
    task.add("a", "no", noise(1500))
    task.add("b", "yes", noise(1500, 1))
    task.add("c", "no", np.concatenate([noise(3000, 2), noise(3500, 4)]))
    task.add("d", "yes", np.concatenate([np.zeros(4000), noise(1000, 3)]))
    return task


def test_a_clip_that_ends_before_the_sound_is_left_out_and_named(task: Task) -> None:
    clips = task.run(masks=Masks(copies={"yes": 1}, frequency=2, time=2))
    assert [c.clip_id for c in clips] == ["a", "b", "c"]
    excluded = files.read_csv(task.folder / "features" / "excluded.csv")
    assert [(row["clip_id"], row["split"], row["reason"]) for row in excluded] == [
        ("d", "train", "silent within the clip"),
        ("d.mask1", "train", "silent within the clip"),
    ]
    assert np.load(task.folder / "features" / "features.npy").shape[0] == 3
    np.testing.assert_array_equal(task.row("b"), task.frontend(clip(decode.load(task.recordings[1].path, RATE), CLIP)))


def test_or_it_is_placed_where_the_sound_is(task: Task) -> None:
    clips = task.run(place="loudest")
    assert [c.clip_id for c in clips] == ["a", "d", "b", "c"]  # by side: train, validation, test
    assert not (task.folder / "features" / "excluded.csv").exists()
    samples = decode.load(task.recordings[3].path, RATE)
    np.testing.assert_array_equal(task.row("d"), task.frontend(samples[3000:5000]))
    assert frontend_file.read(task.folder / "features").hearing == Hearing(place="loudest")


def test_a_short_recording_is_repeated(task: Task) -> None:
    task.run(short="repeat")
    repeat = Hearing(short="repeat")
    samples = decode.load(task.recordings[1].path, RATE)
    np.testing.assert_array_equal(task.row("b"), task.frontend(clip(samples, CLIP, hearing=repeat)))
    assert frontend_file.read(task.folder / "features").hearing == repeat


def test_a_class_without_any_sound_in_its_clips_is_told(task: Task) -> None:
    task.recordings.pop(1)
    with pytest.raises(DataError, match=r"'yes' .*features\.place: loudest"):
        task.run()


def test_segments_are_the_windows_that_a_device_hears(task: Task) -> None:
    clips = task.run(segment={"hop_s": 0.125})
    segments = [c for c in clips if c.recording_id == "c"]
    assert [c.start_s for c in segments] == [0, 0.125, 0.25, 0.375, 0.5, 0.5625]
    assert segments[1].clip_id == "c@0.125-0.375"
    assert {(c.split, c.group, c.recording, c.label) for c in segments} == {("test", "c", "c", "no")}
    listener = Listener(open_wav(task.recordings[2].path), Hearing())
    for segment, (_, window) in zip(segments, windows(listener, RATE, n_samples=CLIP, hop=1000), strict=True):
        np.testing.assert_allclose(task.row(segment.clip_id), task.frontend(window), atol=1e-4)
    assert [c.clip_id for c in clips if c.recording_id in ("a", "b")] == ["a", "b"]  # they fit into one clip
    excluded = {row["clip_id"] for row in files.read_csv(task.folder / "features" / "excluded.csv")}
    assert excluded == {"d@0-0.25", "d@0.125-0.375", "d@0.25-0.5"}
    assert [c.clip_id for c in clips if c.recording_id == "d"] == ["d@0.375-0.625"]
    rules = frontend_file.read(task.folder / "features").hearing
    assert (rules.segment_s, rules.hop_s) == (0.25, 0.125)
    test = dataset.read_split(task.folder / "features", "test")
    assert test.recordings.tolist() == ["c"] * 6
    assert dataset.read_labels(task.folder / "features", "test").recordings.tolist() == ["c"] * 6


def test_segments_may_follow_one_another_at_any_rate() -> None:
    params = load(FeatureParams, FRONTEND | {"segment": {"hop_s": 1.1}}, "features")
    assert 1.1 * 22050 > 24255  # by the last bit
    assert params.hearing(DEFAULT, 22050, 24255).hop_s == 1.1


def test_a_part_of_a_file_is_that_part(task: Task) -> None:
    task.add("d", "yes", np.concatenate([np.zeros(4000), noise(1000, 3)]), span=(0.5, 0.6))
    task.recordings.pop(-2)
    clips = task.run()
    (part,) = (each for each in clips if each.clip_id == "d")
    assert part.span == (0.5, 0.6)
    assert part.recording_id == task.recordings[-1].path.as_posix()
    samples = decode.load(task.recordings[-1].path, RATE)[4000:4800]
    np.testing.assert_array_equal(task.row("d"), task.frontend(clip(samples, CLIP)))


def test_how_files_are_heard_and_the_mean_reach_the_features(task: Task) -> None:
    stereo = np.stack([np.zeros(1500), noise(1500, 7) + 0.2], axis=1)
    task.add("d", "yes", stereo)
    task.recordings.pop(-2)
    task.run(Hearing(channel="loudest"), remove_dc=True)
    rules = Hearing(channel="loudest", remove_dc=True)
    assert frontend_file.read(task.folder / "features").hearing == rules
    heard = stereo[:, 1].astype(np.float32)
    np.testing.assert_allclose(task.row("d"), task.frontend(clip(heard, CLIP, hearing=rules)), atol=1e-4)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        (
            {"segment": {"hop_s": 0.5}},
            r"features\.segment\.hop_s .*0\.25 s",
        ),
        ({"segment": {"hop_s": 0.1, "length_s": 1}}, r"features\.segment\.length_s must be a clip's length, 0\.25 s"),
        ({"segment": {"hop_s": 0.1}, "place": "loudest"}, r"features\.place must be aligned where features\.segment"),
        ({"segment": {}}, r"features\.segment\.hop_s must be given"),
        ({"short": "mirror"}, r"features\.short must be one of pad, repeat"),
        ({"place": "middle"}, r"features\.place .*aligned, loudest"),
    ],
)
def test_rules_that_contradict_are_refused(task: Task, params: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        task.run(**params)


def test_the_rules_of_hearing_survive_their_file(tmp_path: Path) -> None:
    for rules in (Hearing(), Hearing(channel="left", silence_dbfs=-50.0)):
        hearing_file.write(tmp_path / "hearing.json", rules)
        assert hearing_file.read(tmp_path / "hearing.json") == rules
    (tmp_path / "hearing.json").write_text('{"channel": "rear"}')
    with pytest.raises(DataError, match=r"channel .*got 'rear'.*`dvc repro pull`"):
        hearing_file.read(tmp_path / "hearing.json")
