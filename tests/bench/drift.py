"""Drift: false alarms on quiet days, and days until a device tells that it hears something else; prints a table.

    python -m tests.bench.drift [--release models/devices/local/current] [--features data/features]
                                [--days 100] [--clips 25 100] [--gain-db -12] [--low-pass-hz 1500]

Run it in a project that has pushed a release with a profile. A day is a sample, with replacement, of the test clips
that are not silent, one of a recording, and is judged as a device judges it (`stages.runtime.drift`). Each condition
has `--days` first days; but for quiet ones, more days of the same condition come until one is reported, at most 30.

quiet, validation  validation clips instead: what the stated rate is promised for; a report is a false alarm
quiet              the clips as they are: other groups than those of validation; a report is a false alarm
gain, low-pass     quieter by so much; nothing above this frequency
only SITE          the clips of one site, against a profile of the validation clips of the other sites, of however few
                   groups; the network was trained on all sites

*reported* has Clopper and Pearson's 95 % interval over days drawn from these clips; it does not tell what other test
clips would give. *days until told* are those of the median and of the slowest of the simulated runs.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
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
from stages.runtime.drift import Counts, Profile
from stages.runtime.hearing import is_silent
from stages.select import golden
from stages.select.profile import reference

MOST_DAYS = 30
QUIET = "quiet"
Values = dict[str, float]


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


def row(name: str, profile: Profile, heard: list[Values], n: int, days: int) -> tuple[str, ...]:
    """Simulate a condition."""
    rng, most = np.random.default_rng(n), 1 if name.startswith(QUIET) else MOST_DAYS

    def told() -> tuple[int, dict[str, float]]:
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
    return name, str(len(heard)), str(n), share, slow, means or "-"


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
    known = [(clip, v) for clip in track(validation, "validation") if (v := device.values(clip, as_is))]
    days = [(f"{QUIET}, validation", profile, [v for _, v in known])]
    for name, change in changes.items():
        days.append((name, profile, [v for clip in track(test, name) if (v := device.values(clip, change))]))
    for site in sorted({clip.site for clip in test} - {""}):
        others = [(clip.group, v) for clip, v in known if clip.site != site]
        groups = np.array([group for group, _ in others])
        there = [v for clip in test if clip.site == site and (v := device.values(clip, as_is))]
        if others and there:
            parts = {name: reference(np.array([v[name] for _, v in others]), groups) for name in profile.statistics}
            days.append((f"only {site} ({len(set(groups))} groups)", replace(profile, statistics=parts), there))
    head = ("condition", "clips", "clips a day", "reported on the first day", "days until told", "by")
    rows = [row(*each, n, given.days) for each in days for n in given.clips]
    worth = ", ".join(f"{name} {each.effective:g}" for name, each in profile.statistics.items())
    print(f"{len(validation)} validation clips, worth independent ones: {worth}; {len(test)} test clips of ", end="")
    print(f"{len({clip.group for clip in test})} groups; stated rate {profile.rate:g} a day\n")
    print(tables.markdown(head, rows, text_columns=6))


if __name__ == "__main__":
    main()
