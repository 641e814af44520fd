"""Parts of a recording that a decoder reads from its beginning only: the same frames, and one decoding."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from stages.core.audio import decode, sources
from stages.core.audio.tape import Tape
from stages.core.audio.unusable import UnusableError
from stages.runtime.hearing import Hearing, Source
from tests.wavs import encoded

RATE = 16_000


class Reel:
    """Frames in blocks of some lengths; counts how often they are read from the beginning."""

    def __init__(self, lengths: list[int]) -> None:
        self.frames = np.arange(sum(lengths), dtype=np.float32)[:, np.newaxis]
        self.lengths, self.n_unwound = lengths, 0

    def unwind(self) -> Iterator[np.ndarray]:
        self.n_unwound += 1
        yield from np.split(self.frames, np.cumsum(self.lengths)[:-1])


@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=12),
    kept=st.integers(0, 20),
    parts=st.lists(st.tuples(st.integers(0, 90), st.one_of(st.none(), st.integers(0, 30))), max_size=8),
)
def test_any_parts_in_any_order_are_slices(lengths: list[int], kept: int, parts: list[tuple[int, int | None]]) -> None:
    reel = Reel(lengths)
    tape = Tape(reel.unwind, kept)
    for start, length in parts:
        stop = None if length is None else start + length
        heard = list(tape.between(start, stop))
        assert all(map(len, heard))
        np.testing.assert_array_equal(np.concatenate([reel.frames[:0], *heard]), reel.frames[start:stop])


def test_parts_that_overlap_by_what_is_kept_cost_one_decoding() -> None:
    reel = Reel([4] * 100)
    tape = Tape(reel.unwind, kept_frames=10)
    for start in range(0, 380, 5):
        assert np.concatenate(list(tape.between(start, start + 15))).ravel().tolist() == [*range(start, start + 15)]
    assert reel.n_unwound == 1
    list(tape.between(100, 110))
    assert reel.n_unwound == 2, "long before the last part's end: from the beginning"


def test_a_part_that_is_left_midway_spoils_none_that_follows() -> None:
    reel = Reel([4] * 10)
    tape = Tape(reel.unwind, kept_frames=0)
    list(tape.between(0, 8))
    next(tape.between(8, 20))
    assert np.concatenate(list(tape.between(12, 14))).ravel().tolist() == [12, 13]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the files that were opened, one by one."""
    found, known = list[Path](), sources.open_source

    def open_source(path: Path) -> Source:
        found.append(path)
        return known(path)

    monkeypatch.setattr(decode, "open_source", open_source)
    return found


@pytest.mark.parametrize(("codec", "container"), [("aac", "mp4"), ("flac", "flac")])
def test_windows_of_a_compressed_file_are_the_wholes_and_it_is_opened_once(
    tmp_path: Path, codec: str, container: str, opened: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, unwound = tmp_path / "long", list[int]()
    encoded(path, 0.1 * np.random.default_rng(5).standard_normal(6 * RATE), RATE, codec=codec, container=container)
    known = sources._Ffmpeg._decoded

    def decoded(self: sources._Ffmpeg) -> Iterator[np.ndarray]:
        unwound.append(1)
        yield from known(self)

    monkeypatch.setattr(sources._Ffmpeg, "_decoded", decoded)
    whole, _ = decode.decode(path)
    opened.clear()
    unwound.clear()
    for at in range(8):
        window = (at / 2, at / 2 + 1.0)
        part, _ = decode.decode(path, span=window)
        np.testing.assert_array_equal(part, whole[round(window[0] * RATE) : round(window[1] * RATE)])
        assert decode.hear(path, span=window).sha256 == decode.content_hash(part)
        assert len(decode.load(path, RATE // 2, span=window)) == RATE // 2
    assert opened == [path]
    assert len(unwound) == (codec == "aac"), "libsndfile seeks in FLAC"


def test_a_long_file_that_is_refused_is_looked_through_once(tmp_path: Path, opened: list[Path]) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, 40.0 * np.ones(RATE), RATE, subtype="FLOAT")
    for at in (0.0, 0.5):
        with pytest.raises(UnusableError, match=r"exceeds full scale by 32\.0 dB"):
            decode.decode(path, Hearing(overload="exclude"), (at, at + 0.5))
    assert opened == [path]
    soundfile.write(path, 0.4 * np.ones(RATE), RATE, subtype="FLOAT")
    assert len(decode.decode(path, Hearing(overload="exclude"), (0.0, 0.5))[0]) == RATE // 2, "another file now"
