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
from stages.runtime.audio import fit_length
from stages.runtime.litert import Model

CHUNK = 32


class Clip(NamedTuple):
    """An audio file of any format, rate and length, and the id of its masked copy if that is what is meant."""

    path: Path
    masked_id: str = ""


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
    folder: Path,
    workers: int,
) -> None:
    """Write `features.npy`, row i of which are the features of clip i: (n_clips, ...) float32.

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
    folder : Path
    workers : int
        Processes, each with one thread.

    Raises
    ------
    DataError
        If a file is missing or cannot be decoded.
    """
    chunks = folder / "chunks"
    chunks.mkdir(exist_ok=True)
    starts = range(0, len(clips), CHUNK)
    todo = [start for start in starts if not _chunk_file(chunks, start).exists()]
    with spawned(workers, _set_up, frontend, masker, sample_rate, clip_samples, align) as pool:
        futures = [
            pool.submit(_write_chunk, _chunk_file(chunks, start), clips[start : start + CHUNK]) for start in todo
        ]
        n_todo = sum(len(clips[start : start + CHUNK]) for start in todo)
        for _ in track(_clips_done(futures), "features", total=len(clips), initial=len(clips) - n_todo):
            pass
    shape = (len(clips), *Model(frontend).output_shape)
    features = np.lib.format.open_memmap(folder / "features.npy", mode="w+", dtype=np.float32, shape=shape)
    for start in starts:
        features[start : start + CHUNK] = np.load(_chunk_file(chunks, start))
    features.flush()
    shutil.rmtree(chunks)


def _chunk_file(chunks: Path, start: int) -> Path:
    return chunks / f"{start:09d}.npy"


def _clips_done(futures: Iterable[Future[int]]) -> Iterator[int]:
    for future in as_completed(futures):
        yield from range(future.result())


class _Worker:
    def __init__(self, frontend: bytes, masker: Masker | None, sample_rate: int, clip_samples: int, align: str) -> None:
        self.frontend, self.masker = Model(frontend), masker
        if masker is not None:
            self.levels, self.finish = Model(masker.levels), Model(masker.finish)
        self.sample_rate, self.clip_samples, self.align = sample_rate, clip_samples, align
        self.read = functools.lru_cache(maxsize=1)(self._read)

    def _read(self, path: Path) -> np.ndarray:
        return fit_length(decode.load(path, self.sample_rate), self.clip_samples, self.align)[np.newaxis]

    def features(self, clip: Clip) -> np.ndarray:
        waveform = self.read(clip.path)
        if self.masker is None or not clip.masked_id:
            return self.frontend.run(waveform)
        masked = mask(self.levels.run(waveform)[0], self.masker.masks, clip.masked_id)
        return self.finish.run(masked[np.newaxis])


def _set_up(*arguments: Any) -> None:
    global _worker
    _worker = _Worker(*arguments)


def _write_chunk(target: Path, clips: Sequence[Clip]) -> int:
    features = np.concatenate([_worker.features(clip) for clip in clips])
    with files.atomic(target) as temporary:
        np.save(temporary, features)
    return len(clips)


_worker: _Worker
