"""The features of many audio files, by one `frontend.tflite`, over all cores. No TensorFlow here."""

import functools
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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
    """An audio file of any format, rate and length, or part of it (seconds), and the id of its masked copy if meant."""

    path: Path
    masked_id: str = ""
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Masker:
    """Masks, and the two halves of the front end that they come between, as `export_halves` makes them."""

    masks: Masks
    levels: bytes
    finish: bytes


def extract(
    clips: Sequence[Clip],
    frontend: bytes,
    masker: Masker | None = None,
    *,
    sample_rate: int,
    clip_samples: int,
    align: str = "start",
    hearing: Hearing = DEFAULT,
    folder: Path,
    workers: int,
) -> np.ndarray:
    """Write `features.npy`: the features of the clips in which anything is to be heard, (n, ...) float32, in order.

    The clips are done in chunks, each of them a file in `folder` until all are there: call again after a kill, with the
    same arguments, and it goes on. The bytes do not depend on `workers`.

    Parameters
    ----------
    clips : Sequence[Clip]
        A clip and its masked copies side by side are read once.
    frontend : bytes
        Content of `frontend.tflite`.
    masker : Masker or None
        Needed if there are masked copies.
    sample_rate : int
        What it takes (Hz).
    clip_samples : int
        Clip length that it takes.
    align : {"start", "middle"}
        Of a file of another length, as of `fit_length`.
    hearing : Hearing
        Rules by which files are heard and become clips.
    folder : Path
    workers : int
        Processes, each with one thread.

    Returns
    -------
    np.ndarray, shape (n_clips,), bool
        Which clips are not silent, and so are in `features.npy`.

    Raises
    ------
    DataError
        If a file is missing or cannot be decoded.
    """
    chunks = folder / "chunks"
    chunks.mkdir(exist_ok=True)
    starts = range(0, len(clips), CHUNK)
    todo = [start for start in starts if not _chunk_file(chunks, start).exists()]
    with spawned(workers, _set_up, frontend, masker, sample_rate, clip_samples, align, hearing) as pool:
        futures = [
            pool.submit(_write_chunk, _chunk_file(chunks, start), clips[start : start + CHUNK]) for start in todo
        ]
        n_todo = sum(len(clips[start : start + CHUNK]) for start in todo)
        for _ in track(_clips_done(futures), "features", total=len(clips), initial=len(clips) - n_todo):
            pass
    heard = np.concatenate([_read_chunk(chunks, start, "heard") for start in starts])
    shape = (int(heard.sum()), *Model(frontend).output_shape)
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
    def __init__(
        self,
        frontend: bytes,
        masker: Masker | None,
        sample_rate: int,
        clip_samples: int,
        align: str,
        hearing: Hearing,
    ) -> None:
        self.frontend, self.masker = Model(frontend), masker
        if masker is not None:
            self.levels, self.finish = Model(masker.levels), Model(masker.finish)
        self.sample_rate, self.clip_samples, self.align = sample_rate, clip_samples, align
        self.hearing = hearing
        self.read = functools.lru_cache(maxsize=1)(self._read)

    def _read(self, path: Path, span: tuple[float, float] | None) -> tuple[np.ndarray, bool]:
        """Return the waveform of a clip, (1, clip_samples), and whether it is heard."""
        samples = decode.load(path, self.sample_rate, self.hearing, span)
        start = clip_start(samples, self.clip_samples, self.align, self.hearing)
        part = samples[start : start + self.clip_samples]
        silent = is_silent(part, self.hearing.silence_dbfs)
        return fit(samples, self.clip_samples, self.align, self.hearing)[np.newaxis], not silent

    def features(self, clip: Clip) -> tuple[np.ndarray, bool]:
        waveform, heard = self.read(clip.path, clip.span)
        if self.masker is None or not clip.masked_id:
            return self.frontend.run(waveform), heard
        masked = mask(self.levels.run(waveform)[0], self.masker.masks, clip.masked_id)
        return self.finish.run(masked[np.newaxis]), heard


def _set_up(*arguments: Any) -> None:
    global _worker
    _worker = _Worker(*arguments)


def _write_chunk(target: Path, clips: Sequence[Clip]) -> int:
    features, heard = zip(*map(_worker.features, clips), strict=True)
    with files.atomic(target) as temporary:
        np.savez(temporary, features=np.concatenate(features), heard=np.array(heard, bool))
    return len(clips)


_worker: _Worker
