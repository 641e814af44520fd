"""Extract the features of many audio files with one `frontend.tflite`, on all cores and without TensorFlow."""

import functools
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.audio import decode
from stages.core.audio.spec_augment import Masks, mask
from stages.core.project import files
from stages.core.project.progress import track
from stages.core.project.workers import spawned
from stages.runtime.audio import clip as fit
from stages.runtime.audio import clip_start
from stages.runtime.hearing import DEFAULT, Hearing, is_silent
from stages.runtime.litert import Model

CHUNK = 32


class Clip(NamedTuple):
    """An audio file, or a part of it.

    Attributes
    ----------
    path : Path
        File of any format, rate and length.
    masked_id : str
        Id of the masked copy to make; empty for the clip itself.
    span : tuple[float, float] or None
        Start and end of the part (seconds); None for the whole file.
    """

    path: Path
    masked_id: str = ""
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Masker:
    """Spectrogram masks, and the halves of the front end before and after them (see `export_halves`)."""

    masks: Masks
    levels: bytes
    finish: bytes


@dataclass(frozen=True)
class Extractor:
    """The front end's graph, and how it is given a recording.

    Attributes
    ----------
    frontend : bytes
        Content of `frontend.tflite`.
    sample_rate : int
        Sample rate of its input (Hz).
    clip_samples : int
        Length of its input.
    align : {"start", "middle"}
        Where a file of another length is cut or padded; see `stages.runtime.audio.fit_length`.
    hearing : Hearing
        Rules by which files are heard and become clips.
    masker : Masker or None
        Needed if there are masked copies.
    """

    frontend: bytes
    sample_rate: int
    clip_samples: int
    align: str = "start"
    hearing: Hearing = DEFAULT
    masker: Masker | None = None


def extract(clips: Sequence[Clip], extractor: Extractor, *, folder: Path, workers: int) -> np.ndarray:
    """Write `features.npy`: the features of the clips that are not silent, (n, ...) float32, in order.

    The clips are processed in chunks, each of which is a file in `folder` until all are done: a call with the same
    arguments after a kill resumes. The bytes do not depend on `workers`.

    Parameters
    ----------
    clips : Sequence[Clip]
        A clip and its masked copies side by side are read once.
    extractor : Extractor
    folder : Path
    workers : int
        Processes, each with one thread.

    Returns
    -------
    np.ndarray, shape (n_clips,), bool
        Clips that are not silent; these are in `features.npy`.

    Raises
    ------
    DataError
        If a file is missing or cannot be decoded.
    """
    chunks = folder / "chunks"
    chunks.mkdir(exist_ok=True)
    starts = range(0, len(clips), CHUNK)
    todo = [start for start in starts if not _chunk_file(chunks, start).exists()]
    with spawned(workers, _set_up, extractor) as pool:
        futures = [
            pool.submit(_write_chunk, _chunk_file(chunks, start), clips[start : start + CHUNK]) for start in todo
        ]
        n_todo = sum(len(clips[start : start + CHUNK]) for start in todo)
        for _ in track(_clips_done(futures), "features", total=len(clips), initial=len(clips) - n_todo):
            pass
    heard = np.concatenate([_read_chunk(chunks, start, "heard") for start in starts])
    shape = (int(heard.sum()), *Model(extractor.frontend).output_shape)
    features = np.lib.format.open_memmap(folder / "features.npy", mode="w+", dtype=np.float32, shape=shape)
    row = 0
    for start in starts:
        kept = _read_chunk(chunks, start, "features")[heard[start : start + CHUNK]]
        features[row : row + len(kept)] = kept
        row += len(kept)
    features.flush()
    shutil.rmtree(chunks)
    return heard


def _read_chunk(chunks: Path, start: int, name: str) -> np.ndarray:
    with np.load(_chunk_file(chunks, start)) as chunk:
        return np.asarray(chunk[name])


def _chunk_file(chunks: Path, start: int) -> Path:
    return chunks / f"{start:09d}.npz"


def _clips_done(futures: Iterable[Future[int]]) -> Iterator[int]:
    for future in as_completed(futures):
        yield from range(future.result())


class _Worker:
    def __init__(self, extractor: Extractor) -> None:
        self.extractor, self.frontend = extractor, Model(extractor.frontend)
        if extractor.masker is not None:
            self.levels, self.finish = Model(extractor.masker.levels), Model(extractor.masker.finish)
        self.read = functools.lru_cache(maxsize=1)(self._read)

    def _read(self, path: Path, span: tuple[float, float] | None) -> tuple[np.ndarray, bool]:
        """Return the waveform of a clip, (1, clip_samples), and whether it is heard."""
        length, align, hearing = self.extractor.clip_samples, self.extractor.align, self.extractor.hearing
        samples = decode.load(path, self.extractor.sample_rate, hearing, span)
        start = clip_start(samples, length, align, hearing)
        silent = is_silent(samples[start : start + length], hearing.silence_dbfs)
        return fit(samples, length, align, hearing)[np.newaxis], not silent

    def features(self, clip: Clip) -> tuple[np.ndarray, bool]:
        waveform, heard = self.read(clip.path, clip.span)
        masker = self.extractor.masker
        if masker is None or not clip.masked_id:
            return self.frontend.run(waveform), heard
        masked = mask(self.levels.run(waveform)[0], masker.masks, clip.masked_id)
        return self.finish.run(masked[np.newaxis]), heard


def _set_up(extractor: Extractor) -> None:
    global _worker
    _worker = _Worker(extractor)


def _write_chunk(target: Path, clips: Sequence[Clip]) -> int:
    features, heard = zip(*map(_worker.features, clips), strict=True)
    with files.atomic(target) as temporary:
        np.savez(temporary, features=np.concatenate(features), heard=np.array(heard, bool))
    return len(clips)


_worker: _Worker
