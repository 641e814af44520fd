"""The report's tables as values; the templates turn them into HTML."""

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.evaluation import Row, SnrMisses
from stages.core.artifacts.split import SPLITS
from stages.core.scoring import interval
from stages.core.scoring.interval import DASH
from stages.report import judgement
from stages.report.facts import Facts
from stages.report.text import size, title

MAX_ROWS = 300
"""Rows of a table of excluded recordings or of variants; the file that is named below it has them all."""
PACKAGES = (
    "ai-edge-litert",
    "ai-edge-quantizer",
    "dvc",
    "mlflow",
    "numpy",
    "plotly",
    "prefect",
    "tensorflow",
    "tensorflow-model-optimization",
    "tf_keras",
)


@dataclass(frozen=True)
class Cell:
    """Text of a table cell, and whether it is a number, which is aligned right."""

    text: str
    number: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes
    ----------
    head : tuple[str, ...]
        Column titles; empty strings for a table without a head.
    rows : tuple[tuple[Cell, ...], ...]
    n_left_out : int
        Rows beyond `MAX_ROWS`, which are not in `rows`.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    n_left_out: int = 0

    @property
    def has_head(self) -> bool:
        """True if any column has a title."""
        return any(self.head)

    @property
    def n_all(self) -> int:
        """Number of rows with those that were left out."""
        return len(self.rows) + self.n_left_out


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> Table:
    """Make a table whose first columns hold text and whose others hold numbers."""
    every = [tuple(Cell(text, i >= text_columns) for i, text in enumerate(row)) for row in rows]
    return Table(tuple(head), tuple(every[:MAX_ROWS]), max(0, len(every) - MAX_ROWS))


def standing(facts: Facts) -> Table | None:
    """Return network, chosen variant, naive reference and chance on both splits; None without a naive reference."""
    found = facts.selection.standing
    if found is None:
        return None
    splits = facts.selection.splits
    estimates: dict[str, Mapping[str, Estimate]] = {
        "float32 network": found.network,
        "chosen variant": {str(name): split.pooled[found.metric] for name, split in splits.items()},
        f"naive: {found.classifier} on pooled spectra": found.naive,
    }
    rows = [(name, *(_estimate(of_split[split]) for split in splits)) for name, of_split in estimates.items()]
    rows.append(("chance", *(interval.number(found.chance[split]) for split in splits)))
    return table((title(found.metric), *splits), rows)


def front(facts: Facts) -> Table:
    """Return the variants on the Pareto front, and the chosen one."""
    metric = f"validation_{facts.metric}"
    return table(
        ("variant", "to send", "on the device", "latency, ms", f"validation {title(facts.metric)}"),
        [
            (
                f"{row['name']} (chosen)" if row is facts.winner_row else row["name"],
                size(row["sent_bytes"]),
                size(row["release_bytes"]),
                f"{row['latency_p50_ms']:.3g}",
                interval.number(row[metric]),
            )
            for row in on_front(facts)
        ],
    )


def on_front(facts: Facts) -> list[Row]:
    """Return the rows of the Pareto front, and that of the chosen variant if it is not on the front."""
    rows = {row["name"]: row for row in facts.rows}
    return [rows[name] for name in dict.fromkeys((*facts.front, facts.winner_row["name"]))]


def metrics(facts: Facts) -> Table:
    """Return every metric of the chosen variant on both splits, and the float32 baseline's on test."""
    splits = facts.selection.splits.values()
    counts = [(f"n {name}", *(str(getattr(s, key)) for s in splits), "") for name, key in _COUNTS]
    rows = [
        (
            title(name),
            *(_estimate(split.pooled[name]) for split in splits),
            interval.number(facts.baseline_row[f"test_{name}"]),
        )
        for name in _metrics(facts)
    ]
    return table(("", "validation (chose it)", "test (held out)", "float32 baseline, test"), [*counts, *rows])


def drops(facts: Facts) -> Table:
    """Return the drop below the float32 baseline of the variants on the Pareto front."""
    sure, n = f"{facts.selection.rule.confidence:.0%}", facts.selection.n_variants
    return table(
        ("variant", "drop", f"its {sure} interval", f"bound for all {n} at once", "DeLong p"),
        [
            (
                row["name"],
                interval.number(row.get("drop")),
                interval.bracket(row.get("drop_low"), row.get("drop_high")),
                interval.number(row.get("drop_bound")),
                interval.number(row.get("delong_p")),
            )
            for row in on_front(facts)
        ],
    )


def decisions(facts: Facts) -> Table | None:
    """Return the counts of a multi-label task's decisions per label; None for any other task."""
    thresholds = facts.selection.threshold
    if not isinstance(thresholds, tuple):
        return None
    rows = zip(facts.labels, thresholds, judgement.confusion(facts), strict=True)
    return table(
        ("label", "threshold", "true positives", "false negatives", "false positives", "true negatives"),
        [(label, f"{limit:.4g}", *map(str, (yes[1], yes[0], no[1], no[0]))) for label, limit, (no, yes) in rows],
    )


def sites(facts: Facts) -> Table | None:
    """Return the chosen variant's metrics at every recording site of the test split; None without sites."""
    names = _metrics(facts)
    rows = [
        (
            site,
            str(found.n),
            str(found.groups),
            ", ".join(f"{n} {label}" for label, n in sorted(found.classes.items())),
            *(_estimate(found.metrics[name]) for name in names),
        )
        for site, found in sorted(facts.selection.test.sites.items())
    ]
    return table(("site", "n", "groups", "classes", *map(title, names)), rows) if rows else None


def calibration(facts: Facts) -> Table | None:
    """Return calibration error and Brier score of baseline and chosen variant, before and after; None if not known."""
    rows = []
    for who, name in _baseline_and_chosen(facts):
        for split, found in facts.calibration.get(name, {}).items():
            for figure in found.after:
                ends = (found.before[figure], found.after[figure])
                rows.append((f"{who}, {split}", title(figure), *map(_estimate, ends)))
    return table(("", "figure", "before calibration", "after"), rows, text_columns=2) if rows else None


def rejection(facts: Facts) -> Table | None:
    """Return how the rejection rules of baseline and chosen variant do on test; None without a rule."""
    found = [facts.rejection.get(name, {}) for _, name in _baseline_and_chosen(facts)]
    rows = [
        (
            figure.replace("_", " ").replace(".", ", "),
            *(_estimate(each[figure]) if figure in each else DASH for each in found),
        )
        for figure in found[1]
    ]
    return table(("", "float32 baseline", "chosen"), rows) if rows else None


def streams(facts: Facts) -> Table | None:
    """Return misses, false alarms and delays of baseline and chosen variant in composed streams; None without any."""
    rows: list[tuple[str, ...]] = []
    for who, name in _baseline_and_chosen(facts):
        for result in facts.streams.get(name, ()):
            target = f"{who}, {result.target:g} an hour"
            if result.rule is None:
                rows.append((target, result.reason, *[DASH] * 5))
            for split, each in result.figures.items():
                figures = (each.misses, each.false_alarms_per_hour, each.delay_s, each.event_f1)
                passed = {None: "", True: ", passed", False: ", not passed"}[result.passes(split)]
                rows.append((target, split + passed, f"{each.n_true} in {each.hours:.3g} h", *map(_estimate, figures)))
    heads = ("target", "split", "events", "misses", "false alarms per hour", "delay (s)", "event F1")
    return table(heads, rows, text_columns=2) if rows else None


def misses_by_snr(facts: Facts) -> Table | None:
    """Return the test events that baseline and chosen variant miss, by signal-to-noise ratio; None if not known."""
    found: dict[str, tuple[SnrMisses, ...]] = {}
    for who, name in _baseline_and_chosen(facts):
        for result in facts.streams.get(name, ()):
            if "test" in result.figures and result.figures["test"].by_snr:
                found[f"{who}, {result.target:g} an hour"] = result.figures["test"].by_snr
    if not found:
        return None
    same = next(iter(found.values()))  # both hear the same stream
    heads = (f"{part.snr_db:g} dB (n {part.n_true}, {part.groups} groups)" for part in same)
    return table(
        ("target", *heads), [(who, *(_estimate(part.misses) for part in parts)) for who, parts in found.items()]
    )


def _baseline_and_chosen(facts: Facts) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("float32 baseline", facts.baseline_name), ("chosen", facts.winner_row["name"])


def source(facts: Facts) -> Table:
    """Return where the recordings come from."""
    pull = facts.pull
    rows = {
        "source": pull.source,
        "citation": pull.citation,
        "licence": pull.licence,
        "homepage": pull.homepage or "none",
        "recordings": f"{pull.usable} usable of {pull.found} found",
        "groups": f"{pull.groups}, as far as the data set tells them apart",
    }
    return table(("", ""), rows.items(), text_columns=2)


def classes(facts: Facts) -> Table:
    """Return the number of recordings of each class."""
    rows = ((label, str(n.found), str(n.usable)) for label, n in sorted(facts.pull.labels.items()))
    return table(("class", "found", "usable"), rows)


def reasons(facts: Facts) -> Table:
    """Return how many recordings were excluded for which reason."""
    rows = ((reason, str(n)) for reason, n in sorted(facts.pull.excluded_by_reason.items()))
    return table(("reason", "recordings"), rows)


def excluded(facts: Facts) -> Table:
    """Return the excluded recordings by name."""
    return table(("recording", "reason"), ((e.path, e.reason) for e in facts.pull.excluded), text_columns=2)


def splits(facts: Facts) -> Table:
    """Return groups, recordings and class prevalence of every split."""
    labels = sorted(facts.split.test.prevalence)
    rows = []
    for name in SPLITS:
        counts = facts.split.of(name)
        prevalence = (f"{counts.prevalence[label]:.1%}" for label in labels)
        rows.append((name, str(counts.groups), str(counts.recordings), *prevalence))
    return table(("split", "groups", "recordings", *labels), rows)


def environment(facts: Facts) -> Table:
    """Return the model's digest, and the versions on this machine."""
    rows = {
        "model file's sha256": facts.selection.variant.sha256,
        "Python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    } | {name: _version(name) for name in PACKAGES}
    return table(("", ""), rows.items(), text_columns=2)


_COUNTS = (("recordings", "n"), ("groups", "groups"))


def _metrics(facts: Facts) -> list[str]:
    """Return every metric, the one that chose first."""
    return sorted(facts.selection.test.pooled, key=lambda name: (name != facts.metric, name))


def _estimate(estimate: Estimate) -> str:
    return interval.text_or_reason(estimate, undefined="undefined")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
