"""Print the table of `docs/promises.md`: what every interval, bound and rate promises, and what it keeps.

    python -m tests.bench.coverage [--runs 400] [--only NAME ...]

One line per promise and setting, Markdown. 400 runs take about an hour of one core; each coverage then has a standard
error of 0.011.
"""

import argparse
from collections.abc import Callable

from stages.core.project import tables
from tests.bench.coverage import bounds, intervals, others
from tests.bench.coverage.samples import Result

SIMULATIONS: dict[str, Callable[[int], list[Result]]] = {
    "metrics": intervals.of_metrics,
    "perfect": others.perfect_scores,
    "drops": intervals.of_drops,
    "bounds": bounds.of_variants,
    "gains": lambda runs: others.of_gains(10 * runs),
    "calibration": others.of_calibration,
    "thresholds": others.of_thresholds,
    "choices": others.of_choices,
    "delong": lambda runs: others.of_delong(5 * runs),
}
HEAD = ("promise", "setting", "promised", "before", "now")


def main() -> None:
    """Run the simulations that were asked for, and print their rows as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--only", nargs="+", choices=SIMULATIONS, default=list(SIMULATIONS))
    given = parser.parse_args()
    for name in given.only:
        rows = SIMULATIONS[name](given.runs)
        print(f"\n### {name}, {given.runs} runs\n")
        print(tables.markdown(HEAD, [(r.promise, r.setting, r.promised, r.before, r.now) for r in rows]), flush=True)


if __name__ == "__main__":
    main()
