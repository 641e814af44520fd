"""Simulate the false alarm rate of drift detection on days without drift; prints a table.

    python -m tests.bench.quiet_days [--profiles 2000]

Clips have four normal statistics, and two clips of a group a correlation *alike*. A profile is made of some groups, and
judges days of 25, 100 and 1,000 clips of new groups, one of each: as many clips of a group as at home until there are
`drift.GROUPS` groups, and further clips of these. *uneven* groups have sizes of a geometric distribution. Stated rates
are 0.05 and 0.001; the intervals are Clopper and Pearson's 95 % over all days.
"""

import argparse

import numpy as np

from stages.core.project import tables
from stages.core.project.progress import track
from stages.core.scoring import detection
from stages.runtime import drift
from stages.runtime.drift import Reference
from stages.select.profile import reference

SIZES = (25, 100, 1000)
RATES = (0.05, 0.001)
HOMES = (
    (30, 1, 0.0),
    (120, 1, 0.0),
    (10, 5, 0.3),
    (10, 5, 0.9),
    (40, 5, 0.3),
    (40, 5, 0.9),
    (10, 20, 0.5),
    (60, 2, 0.9),
)


def heard(rng: np.random.Generator, groups: np.ndarray, alike: float) -> np.ndarray:
    """Return the statistics of clips by their groups, (n, n_statistics)."""
    of_group = rng.normal(size=(int(groups.max()) + 1, len(drift.STATISTICS)))[groups]
    return np.sqrt(alike) * of_group + np.sqrt(1 - alike) * rng.normal(size=of_group.shape)


def counted(reference: Reference, values: np.ndarray) -> list[int]:
    """Return the counts of a day."""
    parts = np.searchsorted(reference.edges, values, side="right")
    return np.bincount(parts, minlength=len(reference.shares)).tolist()


def groups_of(sizes: np.ndarray, n: int) -> np.ndarray:
    """Return the groups of a day of `n` clips: of these sizes as long as they last, then in proportion to them."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return groups[:n] if len(groups) >= n else groups[np.arange(n) % len(groups)]


def least_p(rng: np.random.Generator, n_groups: int, size: int, alike: float, *, even: bool) -> list[float]:
    """Make a profile; return the least p-value of a day of each size, times the number of statistics."""

    def sizes(n: int) -> np.ndarray:
        return np.full(n, size) if even else rng.geometric(1 / size, size=n)

    home, found = np.repeat(np.arange(n_groups), sizes(n_groups)), []
    profile = [reference(column, home.astype(str)) for column in heard(rng, home, alike).T]
    for n in SIZES:
        day = groups_of(sizes(drift.GROUPS if size > 1 else n), n)
        p = [drift.p_value(each, counted(each, v)) for each, v in zip(profile, heard(rng, day, alike).T, strict=True)]
        found.append(len(p) * min(p))
    return found


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=int, default=2000)
    given = parser.parse_args()
    rows = []
    for groups, size, alike in HOMES:
        for even in (True, False) if size > 1 else (True,):
            rng, name = np.random.default_rng(1), f"{groups} of {size}{'' if even else ', uneven'}"
            p = np.array([least_p(rng, groups, size, alike, even=even) for _ in track(range(given.profiles), name)])
            alarms = [(int((p <= rate).sum()), rate) for rate in RATES]
            shares = [
                (hits / p.size, *detection.binomial_interval(hits, p.size, confidence=0.95)) for hits, _ in alarms
            ]
            rows.append((name, f"{alike:g}", *(f"{share:.4f} [{low:.4f}, {high:.4f}]" for share, low, high in shares)))
    print(f"{len(SIZES) * given.profiles} days in each row\n")
    head = ("groups at home, clips of each", "alike", *(f"reported at {rate:g}" for rate in RATES))
    print(tables.markdown(head, rows, text_columns=1))


if __name__ == "__main__":
    main()
