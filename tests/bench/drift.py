"""Drift: false alarms on quiet days, and the detection delay in days; prints a table.

    python -m tests.bench.drift [--release models/devices/local/current] [--features data/features]
                                [--days 100] [--clips 25 100] [--gain-db -12] [--low-pass-hz 1500]

Run it in a project that has pushed a release with a profile. A day is a sample, with replacement, of the test clips
that are not silent, one of a recording, and is judged as a device judges it (`stages.runtime.drift`). Each condition
has `--days` first days; but for quiet ones, more days of the same condition come until one is reported, at most 30.

quiet, validation  validation clips instead; a report is a false alarm
quiet, drawn anew  for every day, half of the groups of validation and test, of which the profile hears none; a report
                   is a false alarm
quiet              the clips as they are: other groups than those of validation; a report is a false alarm
gain, low-pass     quieter by so much; nothing above this frequency
only SITE          the clips of one site, against a profile without the clips of this site, of however few groups; the
                   network was trained on all sites

*reported* has Clopper and Pearson's 95 % interval over days drawn from these clips; it does not tell what other test
clips would give. *detection delays* are those of the median and of the slowest of the simulated runs.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.clips import Clip
from stages.core.artifacts.split import SplitName
from stages.core.project import tables
from stages.core.project.progress import track
from stages.core.scoring import detection
from stages.runtime import drift
from stages.runtime.classify import Classifier
from stages.runtime.drift import Counts, Profile, Reference
from stages.runtime.hearing import is_silent
from stages.select import golden
from stages.select.profile import reference

MOST_DAYS = 30
QUIET = "quiet"
Values = dict[str, float]
DayOf = Callable[[np.random.Generator], tuple[Profile, list[Values]]]


class Device:
    """What a release computes of the clips of a features folder."""

    def __init__(self, release: Path, features: Path) -> None:
        self.classifier, self.features, self.frontend = Classifier(release), features, frontend_file.read(features)

    def clips(self, split: SplitName) -> list[Clip]:
        """Return one clip of each recording of a split."""
        return list({clip.recording_id: clip for clip in reversed(clips_file.read(self.features, split))}.values())

    def values(self, clip: Clip, change: Callable[[np.ndarray], np.ndarray]) -> Values | None:
        """Return the statistics of a changed clip; None if nothing is to be heard."""
        samples = change(golden.samples_of(clip, self.frontend)).astype(np.float32)
        if is_silent(samples, self.classifier.manifest.hearing.silence_dbfs):
            return None
        features = self.classifier.frontend.run(samples[np.newaxis])
        outputs = self.classifier.model.mean_over_crops(features, self.classifier.manifest.crops)[0]
        return drift.statistics_of(samples, features, outputs)


def low_passed(samples: np.ndarray, rate: int, limit_hz: float) -> np.ndarray:
    """Remove everything above a frequency."""
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1 / rate) > limit_hz] = 0
    return np.fft.irfft(spectrum, len(samples))


@dataclass(frozen=True)
class Heard:
    """Clips that were heard, with their statistics."""

    clips: list[Clip]
    values: list[Values]

    @classmethod
    def of(cls, device: Device, clips: list[Clip], change: Callable[[np.ndarray], np.ndarray], name: str) -> "Heard":
        """Hear clips; silent ones are left out."""
        both = [(clip, v) for clip in track(clips, name) if (v := device.values(clip, change))]
        return cls([clip for clip, _ in both], [v for _, v in both])

    def where(self, keep: Callable[[Clip], bool]) -> "Heard":
        """Return some of the clips."""
        rows = [i for i, clip in enumerate(self.clips) if keep(clip)]
        return Heard([self.clips[i] for i in rows], [self.values[i] for i in rows])

    def __add__(self, other: "Heard") -> "Heard":
        return Heard(self.clips + other.clips, self.values + other.values)

    def reference(self, name: str) -> Reference:
        """Return a statistic of a profile."""
        return reference(np.array([v[name] for v in self.values]), np.array([clip.group for clip in self.clips]))


def made(profile: Profile, validation: Heard, train: Heard) -> Profile:
    """Return a profile of other clips with the statistics and the rate of one."""
    parts = {name: validation if name == "scores" else validation + train for name in profile.statistics}
    return replace(profile, statistics={name: part.reference(name) for name, part in parts.items()})


def always(profile: Profile, heard: Heard) -> DayOf:
    """Judge every day by one profile."""
    return lambda _: (profile, heard.values)


def drawn_anew(profile: Profile, home: Heard, train: Heard) -> DayOf:
    """Judge half of the groups, which each day draws, by a profile of the others."""
    groups = sorted({clip.group for clip in home.clips})

    def day(rng: np.random.Generator) -> tuple[Profile, list[Values]]:
        away = set(rng.permutation(groups)[: len(groups) // 2].tolist())
        stay = home.where(lambda clip: clip.group not in away)
        return made(profile, stay, train), home.where(lambda clip: clip.group in away).values

    return day


def without_site(profile: Profile, site: str, home: Heard, train: Heard, there: Heard) -> DayOf:
    """Judge the clips of a site by a profile of the others."""
    apart = made(profile, *(part.where(lambda clip: clip.site != site) for part in (home, train)))
    return always(apart, there.where(lambda clip: clip.site == site))


def row(name: str, day_of: DayOf, n: int, days: int) -> tuple[str, ...]:
    """Simulate a condition; `day_of` returns the profile and the clips that a day is drawn from."""
    rng, most = np.random.default_rng(n), 1 if name.startswith(QUIET) else MOST_DAYS

    def told() -> tuple[int, dict[str, float]]:
        profile, heard = day_of(rng)
        for day in range(1, most + 1):
            counts = Counts()
            for i in rng.integers(len(heard), size=n):
                counts.add(profile, heard[i])
            if found := drift.judge(profile, counts):
                return day, found
        return most + 1, {}

    runs = [told() for _ in track(range(days), f"{name}, {n} clips")]
    first = sum(day == 1 for day, _ in runs)
    low, high = detection.binomial_interval(first, days, confidence=0.95)
    by = Counter(statistic for _, found in runs for statistic in found)
    until = [str(day) if day <= most else f"> {most}" for day in sorted(day for day, _ in runs)]
    slow = "-" if name.startswith(QUIET) else f"{until[(days - 1) // 2]}, {until[-1]}"
    share = f"{first} of {days}, {first / days:.3f} [{low:.3f}, {high:.3f}]"
    means = ", ".join(f"{statistic} {count}" for statistic, count in by.most_common())
    return name, str(n), share, slow, means or "-"


def main() -> None:
    """Hear the clips, simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, default=Path("models/devices/local/current"))
    parser.add_argument("--features", type=Path, default=Path("data/features"))
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--clips", type=int, nargs="+", default=[25, 100])
    parser.add_argument("--gain-db", type=float, default=-12.0)
    parser.add_argument("--low-pass-hz", type=float, default=1500.0)
    given = parser.parse_args()
    device, profile = Device(given.release, given.features), drift.load(given.release)
    if profile is None:
        parser.error(f"{given.release} holds no {drift.NAME}. Push a release that was selected with one.")
    test, validation = device.clips("test"), device.clips("validation")
    rate = device.frontend.sample_rate
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        QUIET: lambda x: x,
        f"gain {given.gain_db:g} dB": lambda x: x * 10 ** (given.gain_db / 20),
        f"low-pass {given.low_pass_hz:g} Hz": lambda x: low_passed(x, rate, given.low_pass_hz),
    }
    as_is = changes[QUIET]
    train = Heard.of(device, [clip for clip in device.clips("train") if not clip.parent], as_is, "train")
    known = Heard.of(device, validation, as_is, "validation")
    heard = {name: Heard.of(device, test, change, name) for name, change in changes.items()}
    conditions = {
        f"{QUIET}, validation": always(profile, known),
        f"{QUIET}, drawn anew": drawn_anew(profile, known + heard[QUIET], train),
        **{name: always(profile, clips) for name, clips in heard.items()},
        **{
            f"only {site}": without_site(profile, site, known, train, heard[QUIET])
            for site in sorted({clip.site for clip in test} - {""})
        },
    }
    rows = [row(name, day_of, n, given.days) for name, day_of in conditions.items() for n in given.clips]
    head = ("condition", "clips a day", "reported on the first day", "detection delay in days", "by")
    print(
        f"{len(validation)} validation clips of {len({clip.group for clip in validation})} groups, {len(test)} test ",
        end="",
    )
    print(f"clips of {len({clip.group for clip in test})} groups; stated rate {profile.rate:g} a day\n")
    at_home = [
        (name, f"{each.clips:g}", f"{each.freedom:.1f}", ", ".join(f"{effect:.1f}" for effect in each.design_effects))
        for name, each in profile.statistics.items()
    ]
    print(tables.markdown(("statistic", "clips at home", "degrees of freedom", "design effects"), at_home) + "\n")
    print(tables.markdown(head, rows, text_columns=5))


if __name__ == "__main__":
    main()
