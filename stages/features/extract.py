"""The features of many audio files, by one `frontend.tflite`, over all cores. No TensorFlow here."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from pathlib import Path

import numpy as np

from stages.core import audio, files
from stages.core.progress import track
from stages.core.workers import spawned
from stages.runtime.audio import fit_length
from stages.runtime.litert import Model

CHUNK = 32


def extract(
    paths: Sequence[Path], frontend: bytes, *, sample_rate: int, clip_samples: int, folder: Path, workers: int
) -> None:
    """Write `features.npy`, row i of which are the features of file i: (n_files, ...) float32.

    The files are done in chunks, each of them a file in `folder` until all are there: call again after a kill, with the
    same arguments, and it goes on. The bytes do not depend on `workers`.

    Parameters
    ----------
    paths : Sequence[Path]
        Audio files of any format, rate and length.
    frontend : bytes
        Content of `frontend.tflite`.
    sample_rate : int
        What it takes (Hz).
    clip_samples : int
        Clip length that it takes.
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
    starts = range(0, len(paths), CHUNK)
    todo = [start for start in starts if not _chunk_file(chunks, start).exists()]
    with spawned(workers, _set_up, frontend, sample_rate, clip_samples) as pool:
        futures = [
            pool.submit(_write_chunk, _chunk_file(chunks, start), paths[start : start + CHUNK]) for start in todo
        ]
        n_todo = sum(len(paths[start : start + CHUNK]) for start in todo)
        for _ in track(_clips_done(futures), "features", total=len(paths), initial=len(paths) - n_todo):
            pass
    shape = (len(paths), *Model(frontend).output_shape)
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


def _set_up(frontend: bytes, sample_rate: int, clip_samples: int) -> None:
    global _model, _sample_rate, _clip_samples
    _model, _sample_rate, _clip_samples = Model(frontend), sample_rate, clip_samples


def _write_chunk(target: Path, paths: Sequence[Path]) -> int:
    clips = np.stack([fit_length(audio.load(path, _sample_rate), _clip_samples) for path in paths])
    with files.atomic(target) as temporary:
        np.save(temporary, _model.run(clips))
    return len(paths)


_model: Model
_sample_rate: int
_clip_samples: int
