"""Recall, false pairs and time of the near-duplicate audit, on recordings with transformed copies planted among them.

    python -m tests.bench.near_duplicates FOLDER [--copies 60] [--scale 10000]

Each row is one transformation of `--copies` recordings, audited together with all recordings of the folder. A pair is
false if it joins a copy to a recording that is neither its original, nor what was mixed into it, nor a recording that
the audit finds to be a duplicate of these without any copy. Pairs among the folder's own recordings are checked in
another way: by the plain correlation coefficient of the two waveforms where they overlap. A cut holds at least half of
the sound's energy. `--scale` times the audit of so many recordings, which are made of the folder's by changes that make
other sounds of them (speed and reversal).
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile

from stages.core.audio.decode import Heard, decode
from stages.core.audio.sources import SUFFIXES
from stages.pull import fingerprint, near_duplicates
from stages.pull.decoding import decode_all, print_of
from stages.pull.params import NearDuplicateParams
from stages.runtime.audio import resample
from stages.runtime.hearing import DEFAULT

Sound = tuple[np.ndarray, int]
Change = Callable[[Sound, Sound, np.random.Generator], Sound]
THRESHOLD = NearDuplicateParams().threshold
SILENT = 1e-3


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=60)
    parser.add_argument("--scale", type=int, default=0)
    parser.add_argument("--rows", default="", help="only transformations with this in their name")
    asked = parser.parse_args()
    files = sorted(p for p in asked.folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept = distinct(files, folder)
        print(f"{asked.folder}: {len(kept)} distinct recordings that are not silent")
        planted(kept, folder, asked.copies, asked.rows)
        if asked.scale:
            scaled(kept, folder, asked.scale)


def distinct(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Return the files that decode to sound, one for each content."""
    found = decode_all([(path, None) for path in paths], folder / "journal", DEFAULT, folder / "prints")
    heard = {f.sha256: path for path, f in zip(paths, found, strict=True) if isinstance(f, Heard) and f.peak > SILENT}
    return sorted(heard.values())


def planted(paths: Sequence[Path], folder: Path, n: int, rows: str) -> None:
    """Print recall and false pairs of every transformation."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(paths))
    originals, others = chosen[:n].tolist(), chosen[n : 2 * n].tolist()
    prints = [print_of(folder / "prints", path, None) for path in paths]
    own = {(p.first, p.second) for p in near_duplicates.find(prints, THRESHOLD)}
    print(f"pairs among them: {len(own)}, with correlation coefficients {coefficients(prints, own)}")
    same = {i: {i} | {b for a, b in own if a == i} | {a for a, b in own if b == i} for i in range(len(paths))}
    print(f"{'transformation':42} {'found':>9} {'recall':>7} {'pairs':>6} {'false':>6}")
    for row, (name, change) in enumerate(CHANGES.items()):
        if rows not in name:
            continue
        copies = []
        for k, (i, j) in enumerate(zip(originals, others, strict=True)):
            samples, rate = change(decode(paths[i]), decode(paths[j]), np.random.default_rng([row, k]))
            copies.append(folder / f"{row}-{k}.wav")
            soundfile.write(copies[-1], samples / max(1.0, float(np.abs(samples).max())), rate, subtype="FLOAT")
        decode_all([(path, None) for path in copies], folder / f"journal{row}", DEFAULT, folder / "prints")
        both = [*prints, *(print_of(folder / "prints", path, None) for path in copies)]
        found = {(p.first, p.second - len(paths)) for p in near_duplicates.find(both, THRESHOLD)}
        found = {(a, b) for a, b in found if b >= 0}
        hits = sum((i, k) in found for k, i in enumerate(originals))
        holds = [same[i] | same[j] if "mixed" in name else same[i] for i, j in zip(originals, others, strict=True)]
        false = {(a, b) for a, b in found if not holds[b] & (holds[a - len(paths)] if a >= len(paths) else {a})}
        share = f"{len(false) / max(len(found), 1):.1%}"
        print(f"{name:42} {hits:>4}/{n:<4} {hits / n:>7.1%} {len(found):>6} {share:>6}", flush=True)
        for a, b in sorted(false)[:3]:
            print(f"    {[*paths, *copies][a].name} and a copy of {paths[originals[b]].name}")


def coefficients(prints: Sequence[Path], pairs: set[tuple[int, int]]) -> str:
    """Return the quantiles of the largest correlation coefficient of the whitened waveforms of pairs."""
    values = []
    for pair in pairs:
        first, second = (fingerprint.read(prints[i]).white.astype(float) for i in pair)
        correlation = np.abs(scipy.signal.correlate(first, second, method="fft"))
        at = int(correlation.argmax()) - len(second) + 1
        overlap = first[max(at, 0) :][: len(second)], second[max(-at, 0) :][: len(first)]
        length = min(map(len, overlap))
        one, other = (each[:length] for each in overlap)
        values.append(abs(one @ other) / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-9))
    return " / ".join(f"{q:.2f}" for q in np.quantile(values, [0, 0.25, 0.5, 0.75, 1])) if values else "none"


def scaled(paths: Sequence[Path], folder: Path, n: int) -> None:
    """Time the audit of `n` recordings."""
    rng = np.random.default_rng(1)
    prints, seconds, started = [], 0.0, time.process_time()
    print_s = 0.0
    for k in range(n):
        samples, rate = decode(paths[k % len(paths)])
        speed = rng.uniform(0.7, 1.4)
        samples = resample(samples, 1000, round(1000 / speed))[:: 1 if rng.integers(2) else -1]
        samples = np.resize(samples, 5 * rate) if len(samples) < 5 * rate else samples
        at = time.process_time()
        made = fingerprint.fingerprint(resample(samples, rate, fingerprint.SAMPLE_RATE))
        prints.append(folder / f"scale{k}")
        fingerprint.write(prints[-1], made)
        print_s += time.process_time() - at
        seconds += len(samples) / rate
    wall, at = time.perf_counter(), time.process_time()
    pairs = near_duplicates.find(prints, THRESHOLD)
    cpu, wall = time.process_time() - at, time.perf_counter() - wall
    print(
        f"{n} recordings, {seconds / n:.1f} s each: fingerprints {print_s:.0f} CPU s, pairs {cpu:.0f} CPU s "
        f"({wall:.0f} s); {len(pairs)} pairs (all {time.process_time() - started:.0f} CPU s)"
    )


def gain(sound: Sound, other: Sound, rng: np.random.Generator) -> Sound:
    """Make it 12 dB quieter."""
    return sound[0] / 4, sound[1]


def crop(sound: Sound, other: Sound, rng: np.random.Generator, share: float = 0.6) -> Sound:
    """Cut a part out that holds at least half of the energy."""
    samples, rate = sound
    length = max(round(share * len(samples)), 1)
    energy = np.concatenate([[0], np.cumsum(np.square(samples, dtype=np.float64))])
    starts = np.arange(len(samples) - length + 1)
    good = starts[energy[starts + length] - energy[starts] >= 0.5 * energy[-1]]
    at = int(rng.choice(good)) if len(good) else int((energy[starts + length] - energy[starts]).argmax())
    return samples[at : at + length], rate


def slower_rate(sound: Sound, other: Sound, rng: np.random.Generator) -> Sound:
    """Resample it to 11,025 Hz."""
    return resample(*sound, 11025), 11025


def coded(sound: Sound, rate: int, form: str, subtype: str, level: float) -> Sound:
    """Encode and decode it."""
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        samples = np.clip(resample(*sound, rate), -1, 1)
        with soundfile.SoundFile(
            file.name, "w", rate, 1, format=form, subtype=subtype, compression_level=level
        ) as stream:
            stream.write(samples)
        return decode(Path(file.name))


def mp3(sound: Sound, other: Sound, rng: np.random.Generator) -> Sound:
    """MP3 at the lowest quality."""
    return coded(sound, 22050, "MP3", "MPEG_LAYER_III", 0.99)


def opus(sound: Sound, other: Sound, rng: np.random.Generator) -> Sound:
    """Opus at 24 kbit/s, as a messenger's voice message."""
    return coded(sound, 48000, "OGG", "OPUS", 0.928)  # of libsndfile's range, from 256 to 6 kbit/s


def noise(sound: Sound, other: Sound, rng: np.random.Generator) -> Sound:
    """Add white noise at 20 dB."""
    return _added(sound[0], rng.standard_normal(len(sound[0])), 20), sound[1]


def mixed(sound: Sound, other: Sound, rng: np.random.Generator, db: float = 6) -> Sound:
    """Add another recording."""
    return _added(sound[0], np.resize(resample(*other, sound[1]), len(sound[0])), db), sound[1]


def equally_mixed(sound: Sound, other: Sound, rng: np.random.Generator) -> Sound:
    """Add another recording of the same power."""
    return mixed(sound, other, rng, 0)


def _added(samples: np.ndarray, more: np.ndarray, db: float) -> np.ndarray:
    power = np.mean(np.square(samples)) / max(float(np.mean(np.square(more))), 1e-12)
    return (samples + more * np.sqrt(power) * 10 ** (-db / 20)).astype(np.float32)


def chain(*changes: Change) -> Change:
    """Return one change after another."""

    def changed(sound: Sound, other: Sound, rng: np.random.Generator) -> Sound:
        for change in changes:
            sound = change(sound, other, rng)
        return sound

    return changed


CHANGES: dict[str, Change] = {
    "gain -12 dB": gain,
    "cut to 60 %": crop,
    "cut to 30 %": lambda sound, other, rng: crop(sound, other, rng, 0.3),
    "11,025 Hz": slower_rate,
    "MP3": mp3,
    "Opus": opus,
    "noise at 20 dB": noise,
    "mixed at 6 dB": mixed,
    "mixed at 0 dB": equally_mixed,
    "gain, cut to 60 %, noise at 20 dB, MP3": chain(gain, crop, noise, mp3),
    "cut to 60 %, mixed at 6 dB, Opus": chain(crop, mixed, opus),
    "11,025 Hz, mixed at 6 dB, MP3": chain(slower_rate, mixed, mp3),
}


if __name__ == "__main__":
    main()
