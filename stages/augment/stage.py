"""Write augmented copies of training recordings, as 16-bit WAV at each recording's own rate."""

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from stages.augment.params import AugmentParams
from stages.core.artifacts import augmented
from stages.core.artifacts.recordings import Recording, write_index
from stages.core.audio import decode
from stages.core.project import files, provenance
from stages.core.project.errors import DataError
from stages.core.project.progress import track
from stages.core.project.workers import spawned
from stages.runtime.hearing import DEFAULT, Hearing, is_silent

if TYPE_CHECKING:
    import audiomentations

DRAWS = 10

Transform = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Copy:
    """One copy to make.

    Attributes
    ----------
    parent : Recording
    number : int
        Number of the copy, from 1.
    seed : int
        Seed of the stage.
    chained : bool
        Make it from the copy before it, if there is one, instead of from the recording.
    hearing : Hearing
        Rules by which the recording is heard.
    """

    parent: Recording
    number: int
    seed: int
    chained: bool = False
    hearing: Hearing = DEFAULT

    @property
    def recording_id(self) -> str:
        """Id of the copy, which is also a path."""
        return f"{self.parent.recording_id}.copy{self.number}"

    @property
    def place(self) -> Path:
        """Path in the folder of copies."""
        return Path("audio", f"{self.recording_id}.wav")

    def source(self, work: Path) -> tuple[np.ndarray, int]:
        """Return the samples that it is made from, (n_samples,) float32, and their rate (Hz)."""
        if self.chained and self.number > 1:
            return decode.decode(work / dataclasses.replace(self, number=self.number - 1).place)
        if self.parent.span is None:
            return decode.decode(self.parent.path, self.hearing)
        rate = self.parent.sample_rate
        return decode.load(self.parent.path, rate, self.hearing, self.parent.span), rate


def augment(
    params: AugmentParams,
    recordings: Sequence[Recording],
    *,
    splits: Mapping[str, str],
    hearing: Hearing = DEFAULT,
    target: Path,
    workers: int,
) -> tuple[list[Recording], list[str]]:
    """Write the folder of augmented copies: `index.csv` and `audio/`; and `masks.json`, for the features stage.

    Every copy is drawn from seeds of its own, made of the stage's seed, the recording's id and the copy's number, so
    neither the order nor the number of workers matters. A copy that comes out silent is drawn again.

    Parameters
    ----------
    params : AugmentParams
    recordings : sequence of Recording
    splits : mapping
        `recording_id` to side; only ``"train"`` is touched.
    hearing : Hearing
        Rules by which recordings are heard.
    target : Path
        Folder to write. A killed run resumes when called again.
    workers : int
        Processes.

    Returns
    -------
    copies : list of Recording
        Each with its parent, and the parent's group.
    redrawn : list of str
        Ids of the copies of this run that came out silent at first.

    Raises
    ------
    ParameterError
        For an unknown preset, wrong options, or a class that is not there.
    DataError
        If a recording has no side, or if a copy is silent however often it is drawn.
    """
    preset, config = params.configure()
    unsplit = [r.recording_id for r in recordings if r.recording_id not in splits]
    if unsplit:
        raise DataError(f"{unsplit[0]} and {len(unsplit) - 1} others are on no side. Run `dvc repro split` first.")
    labels = {label for r in recordings for label in r.labels}
    copies_of, masks = params.copies_per_class(labels), params.masks_per_class(labels)
    train = sorted((r for r in recordings if splits[r.recording_id] == "train"), key=lambda r: r.recording_id)
    counts = [max(copies_of[label] for label in r.labels) for r in train]
    jobs = [
        [Copy(r, number, params.seed, params.chained, hearing) for number in range(1, n + 1)]
        for r, n in zip(train, counts, strict=True)
        if n
    ]
    key = files.digest(
        dataclasses.asdict(params),
        dataclasses.asdict(hearing),
        [dataclasses.asdict(r) for r in train],
        provenance.code_hash([__name__, preset.__name__], ["audiomentations", "librosa"]),
        [files.sha256(path) for path in preset.sounds(config)] if hasattr(preset, "sounds") else [],
    )
    made: list[list[tuple[Recording, int]]] = []
    with files.growing_folder(target, key) as work:
        if jobs:
            with spawned(min(workers, len(jobs)), _setup, params, work, target) as pool:
                made = list(track(pool.map(_in_worker, jobs), "augment", total=len(jobs)))
        copies = [copy for of_one in made for copy, _ in of_one]
        write_index(work / "index.csv", copies)
        augmented.write_masks(work, masks)
    return copies, [copy.recording_id for of_one in made for copy, draws in of_one if draws > 1]


def make_copy(copy: Copy, chain: Sequence[Transform], *, work: Path, target: Path) -> tuple[Recording, int]:
    """Write one copy below `work`, unless it is there already, and describe it as it will lie below `target`.

    Parameters
    ----------
    copy : Copy
    chain : sequence of callable
        Applied in turn: samples, shape (n_samples,), float32, and their rate (Hz) to altered samples. They draw from
        Python's and NumPy's global generators.
    work, target : Path

    Returns
    -------
    recording : Recording
    draws : int
        Number of draws until it was not silent; 0 if the file existed.

    Raises
    ------
    DataError
    """
    draws = 0
    if not (work / copy.place).exists():
        samples, rate = copy.source(work)
        altered, draws = _draw(copy, chain, samples, rate)
        with files.atomic(work / copy.place) as temporary:
            soundfile.write(temporary, altered, rate, subtype="PCM_16", format="WAV")
    samples, rate = decode.decode(work / copy.place)
    recording = dataclasses.replace(
        copy.parent,
        recording_id=copy.recording_id,
        path=target / copy.place,
        sha256=decode.content_hash(samples),
        duration_s=round(len(samples) / rate, 6),
        parent=copy.parent.recording_id,
        start_s=None,
        end_s=None,
    )
    return recording, draws


def _draw(copy: Copy, chain: Sequence[Transform], samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    for draw in range(1, DRAWS + 1):
        altered = samples.copy()
        for position, transform in enumerate(chain):
            # Seeded one by one: modules that a transform imports at its first use may draw as well (rich does).
            seed = int(files.digest(copy.seed, copy.recording_id, draw, position)[:8], 16)
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002  audiomentations draws from the global generators
            altered = transform(altered, rate)
        if not is_silent(altered, copy.hearing.silence_dbfs):
            return altered, draw
    raise DataError(
        f"augment.preset makes {copy.parent.path} silent, drawn {DRAWS} times. Choose milder augment.options, or "
        "exclude the recording."
    )


@dataclass(frozen=True)
class _Worker:
    """State of a worker process."""

    compose: Callable[[int], "audiomentations.Compose"]
    work: Path
    target: Path


_worker: _Worker


def _setup(params: AugmentParams, work: Path, target: Path) -> None:
    global _worker
    preset, config = params.configure()
    _worker = _Worker(partial(preset.compose, config), work, target)


def _in_worker(copies: list[Copy]) -> list[tuple[Recording, int]]:
    return [
        make_copy(copy, _worker.compose(copy.number).transforms, work=_worker.work, target=_worker.target)
        for copy in copies
    ]
