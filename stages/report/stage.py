"""The report of a sweep: one HTML file that needs nothing else, no network either.

The same facts give the same bytes. The commit of the code is not in it: MLflow has that, with the sweep's run.
"""

import base64
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.evaluation import Row
from stages.core.artifacts.split import SPLITS
from stages.core.project import files
from stages.core.scoring import interval
from stages.core.scoring.interval import DASH
from stages.report import plots
from stages.report.facts import Facts
from stages.report.page import PAGE
from stages.report.plots import size, title

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MOST_LISTED = 300
"""Excluded recordings, and variants of the front, that are listed by name; the files named there have them all."""
MOST_PANELS = 24
"""Pairs of criterion and schedule that are drawn."""
MOST_CLASSES = 30
"""Classes up to which the confusion matrix is shown."""
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
Section = tuple[str, str]


def write(facts: Facts, target: Path, *, picture: Path | None = None) -> None:
    """Write the report.

    Parameters
    ----------
    facts : Facts
    target : Path
        The HTML file.
    picture : Path or None
        PNG that stands for the plots where scripts are off.
    """
    import plotly.offline

    figures = _figures(facts)
    name = facts.selection.registered_name
    text = PAGE.substitute(
        title=escape(f"Sweep of {name}"),
        body=_body(facts, picture),
        library=plotly.offline.get_plotlyjs(),
        figures="{" + ",".join(f"{json.dumps(key)}:{_json(figure)}" for key, figure in figures.items()) + "}",
    )
    files.write_text(target, text)


def _figures(facts: Facts) -> "dict[str, Figure]":
    drawn = {"front": plots.front(facts)}
    metric = f"validation_{facts.metric}"
    for i, (_, rows) in enumerate(_panels(facts)):
        drawn[f"metric-{i}"] = plots.against_sparsity(rows, metric, f"validation {title(facts.metric)}")
        drawn[f"size-{i}"] = plots.against_sparsity(rows, "deflated_bytes", "size after deflate (bytes)", log=True)
        drawn[f"latency-{i}"] = plots.against_sparsity(rows, "latency_p50_ms", "latency of one clip (ms)")
    drawn |= {"roc": plots.roc(facts), "reliability": plots.reliability(facts)}
    return drawn | {"drops": plots.drops(facts, _of_front(facts)[:40])}


def _body(facts: Facts, picture: Path | None) -> str:
    sections = [
        _front(facts),
        _against_sparsity(facts),
        _winner(facts),
        _drop(facts),
        _sites(facts),
        *_robustness(facts),
        _data(facts),
        _audit(facts),
        _environment(facts),
    ]
    links = "".join(f'<a href="#{_anchor(head)}">{escape(head)}</a>' for head, _ in sections)
    shown = "".join(f'<h2 id="{_anchor(head)}">{escape(head)}</h2>\n{text}\n' for head, text in sections)
    fallback = "<p>The plots need JavaScript; the tables do not.</p>"
    if picture is not None and picture.is_file():
        data = base64.b64encode(picture.read_bytes()).decode()
        fallback += f'<img alt="Metric against deflated size" src="data:image/png;base64,{data}">'
    return f"{_head(facts)}<nav>{links}</nav>\n<noscript>{fallback}</noscript>\n{shown}"


def _head(facts: Facts) -> str:
    selection, row, reference = facts.selection, facts.winner_row, facts.baseline_row
    figures = {side: split.pooled[facts.metric] for side, split in selection.splits.items()}
    tiles = {
        f"validation {title(facts.metric)}": (_value(figures["validation"]), _ends(figures["validation"])),
        f"test {title(facts.metric)}": (_value(figures["test"]), _ends(figures["test"])),
        "after deflate": (size(row["deflated_bytes"]), f"{row['deflated_ratio']:.3g} times smaller than float32"),
        "on the device": (size(row["raw_bytes"]), f"{row['raw_ratio']:.3g} times smaller than float32"),
        "for one clip": (f"{row['latency_p50_ms']:.3g} ms", f"float32 {reference['latency_p50_ms']:.3g} ms"),
        "variants compared": (str(selection.n_variants), f"{len(facts.front)} on the front"),
    }
    shown = "".join(
        f'<div class="tile">{escape(what)}<b>{escape(value)}</b><small>{escape(note)}</small></div>'
        for what, (value, note) in tiles.items()
    )
    warning = _note(f"Warning: {row['name']} is {selection.warning}") if selection.warning else ""
    return (
        f"<h1>{escape(selection.registered_name)}: {escape(row['name'])}</h1>"
        + warning
        + _p(
            f"A sweep makes many smaller variants of one trained network, by pruning (removing weights) and quantising "
            f"(storing them in fewer bits). Of {selection.n_variants} one was chosen, on the validation split: "
            f"{selection.reason}."
        )
        + f'<div class="tiles">{shown}</div>'
        + _beside(facts)
        + _note(
            f"The test figures belong to this one variant. {selection.n_variants} variants were looked at on "
            "validation to choose it, so that its validation figure may flatter it; the test split chose nothing."
        )
        + _p(
            f"Brackets hold {facts.shown.confidence:.0%} intervals, by bootstrap of the groups (speakers, or whatever "
            "must not be split). This is no medical device."
        )
    )


def _beside(facts: Facts) -> str:
    """Return the table of network, compressed network, naive reference and chance, if there is one."""
    standing = facts.selection.standing
    if standing is None:
        return ""
    mine = {side: split.pooled[standing.metric] for side, split in facts.selection.splits.items()}
    lines = [
        (name, *(_right(f"{_value(found[side])} {_ends(found[side])}") for side in facts.selection.splits))
        for name, found in (
            ("float32 network", standing.network),
            ("chosen variant", mine),
            (f"naive: {standing.classifier} on pooled spectra", standing.naive),
        )
    ]
    lines.append(("chance", *(_right(f"{standing.chance[side]:.3f}") for side in facts.selection.splits)))
    return _table((title(standing.metric), *facts.selection.splits), lines)


def _front(facts: Facts) -> Section:
    rows = _of_front(facts)
    metric = f"validation_{facts.metric}"
    head = ("variant", "size deflated", "raw", "latency, ms", f"validation {title(facts.metric)}")
    lines = [
        (
            f"{row['name']} (chosen)" if row is facts.winner_row else row["name"],
            _right(size(row["deflated_bytes"])),
            _right(size(row["raw_bytes"])),
            _right(f"{row['latency_p50_ms']:.3g}"),
            _right(_number(row[metric])),
        )
        for row in rows[:MOST_LISTED]
    ]
    several = len(facts.rows) > plots.SHOWN
    return "The front: size against quality", (
        _p(
            "Each point is one model file, scored as a device would score it. Up is better, left is smaller; hollow "
            "points are not pruned. The front is made of the variants that no other beats in metric, size and latency "
            "together. Hover over a point, or tap it, to see what it is."
            + (
                f" Of {len(facts.rows)} variants, those on the front and {plots.SHOWN} more are drawn."
                if several
                else ""
            )
        )
        + _plot("front", "Validation metric of every variant against its size after deflate")
        + f"<details><summary>The front as a table ({len(rows)} variants)</summary>{_table(head, lines)}"
        + _rest(len(rows), "models/selected/front.csv")
        + "</details>"
    )


def _against_sparsity(facts: Facts) -> Section:
    panels = _panels(facts)
    several = any(len({r["seed"] for r in rows if r["schedule"]}) > 1 for _, rows in panels)
    n_pairs = len({(row["criterion"], row["schedule"]) for row in facts.rows if row["schedule"]})
    text = _p(
        "How far pruning can go, one line per way of storing weights; sparsity is the fraction of weights removed. "
        + (
            "Lines are means over seeds of the fine-tuning, bands one standard deviation."
            if several
            else "There is one seed of the fine-tuning, so that no band can be drawn: differences may be chance."
        )
        + (f" {MOST_PANELS} of {n_pairs} pairs of criterion and schedule are drawn." if n_pairs > MOST_PANELS else "")
    )
    for i, (name, _) in enumerate(panels):
        drawn = (("metric", "Validation metric"), ("size", "Size after deflate"), ("latency", "Latency of one clip"))
        text += f'<h3>{escape(name)}</h3><div class="plots">'
        text += "".join(_plot(f"{key}-{i}", f"{label} against sparsity, {name}") for key, label in drawn) + "</div>"
    return "Against sparsity: metric, size, latency", text


def _winner(facts: Facts) -> Section:
    selection = facts.selection
    names = _metrics(facts)
    reference = facts.baseline_row
    lines = [
        (
            title(name),
            *(_right(_estimate(split.pooled[name])) for split in selection.splits.values()),
            _right(_number(reference[f"test_{name}"])),
        )
        for name in names
    ]
    counts = [
        (f"n {key}", *(_right(str(getattr(split, k))) for split in selection.splits.values()), "") for key, k in _COUNTS
    ]
    threshold = selection.threshold
    if threshold is None:
        rule = "The class of the highest score is decided for. Outlined cells are right decisions."
    elif isinstance(threshold, tuple):
        rule = "Every class is decided on its own, from a threshold on that was chosen on validation."
    else:
        rule = (
            f"It decides for {facts.labels[-1]} from a score of {threshold:.4g} on, a threshold chosen on validation. "
            "Outlined cells are right decisions."
        )
    many = len(facts.labels) > 2
    return "The chosen variant", (
        _table(("", "validation (chose it)", "test (chose nothing)", "float32 baseline, test"), [*counts, *lines])
        + '<div class="plots">'
        + "<div><h3>ROC curve</h3>"
        + _p(
            "How many it finds against how many false alarms it gives, as the threshold moves."
            + (" All one-against-rest decisions together." if many else "")
        )
        + _plot("roc", "ROC curves of the chosen variant and the baseline")
        + "</div><div><h3>Calibration</h3>"
        + _p(
            "Do scores mean what they say? On the diagonal, of clips with score 0.8, 80 % are. Larger mark: more clips."
        )
        + _plot("reliability", "Reliability of the chosen variant's scores on the test split")
        + "</div></div><h3>Confusion matrix, test split</h3>"
        + _p(rule)
        + _confusion(facts)
    )


def _drop(facts: Facts) -> Section:
    selection, rule = facts.selection, facts.selection.rule
    named = title(facts.metric)
    sure, margin = f"{rule.confidence:.0%}", rule.margin
    on = {"validation": selection.drop.validation, "test": selection.drop.test}
    head = ("variant", "drop", f"its {sure} interval", f"bound for all {selection.n_variants} at once", "DeLong p")
    rows = _of_front(facts)
    lines = [
        (
            row["name"],
            _right(_number(row.get("drop"))),
            _right(_between(row.get("drop_low"), row.get("drop_high"))),
            _right(_number(row.get("drop_bound"))),
            _right(_number(row.get("delong_p"))),
        )
        for row in rows[:MOST_LISTED]
    ]
    told = [f"on {side} {_number(drop.drop)} {_between(drop.drop_low, drop.drop_high)}" for side, drop in on.items()]
    return "What compression costs", (
        _p(
            f"The drop is the {named} of the float32 baseline minus that of the variant, on the same clips, so that "
            f"chance that hits both cancels: above zero is worse. The chosen variant's drop is {told[0]} and {told[1]}."
        )
        + _p(
            f"Whoever looks at {selection.n_variants} variants finds a good one by luck. Hence the bound: with "
            f"{sure} confidence all {selection.n_variants} true drops lie below their bounds at once. A variant "
            f"whose bound is below the margin of {margin:g} (dashed line) is shown not to be inferior by more. The "
            "drop on test is of the chosen variant alone. DeLong's p takes clips as independent and is not corrected."
        )
        + _plot("drops", "Drop below the baseline of the variants on the front, with intervals and bounds")
        + f"<details><summary>As a table ({len(rows)} variants of the front)</summary>{_table(head, lines)}"
        + _rest(len(rows), "models/selected/comparison.csv")
        + "</details>"
    )


def _sites(facts: Facts) -> Section:
    sites = facts.selection.test.sites
    if not sites:
        return "By recording site", _p("The data set does not say where a recording was made, or there is one site.")
    metrics = _metrics(facts)
    lines = [
        (
            site,
            _right(str(found.n)),
            _right(str(found.groups)),
            _right(", ".join(f"{count} {label}" for label, count in sorted(found.classes.items()))),
            *(_right(_estimate(found.metrics[m])) for m in metrics),
        )
        for site, found in sorted(sites.items())
    ]
    return "By recording site", (
        _p(
            "The chosen variant on the test split, each site alone. Where sites differ in equipment and in their share "
            "of positives, a model can tell sites apart instead of sounds; then the pooled figure is better than every "
            "site's, and the sites' are to be believed."
        )
        + _table(("site", "n", "groups", "classes", *map(title, metrics)), lines)
    )


def _robustness(facts: Facts) -> list[Section]:
    figures = (facts.metric, "agreement")
    names = {"baseline": facts.baseline_row["name"], "chosen": facts.winner_row["name"]}
    conditions = list(facts.robustness.get(names["chosen"], {}))
    if not conditions:
        return []
    pairs = [(who, figure) for figure in figures for who in names]

    def told(who: str, condition: str, figure: str) -> Any:
        found = facts.robustness.get(names[who], {}).get(condition, {}).get(figure)
        return _right(_estimate(found) if found else DASH)

    lines = [(condition, *(told(who, condition, figure) for who, figure in pairs)) for condition in conditions]
    return [
        (
            "Noise, levels and telephones",
            _p(
                "The test recordings again, disturbed. Agreement is the fraction of recordings that a variant decides "
                "as the float32 baseline does."
            )
            + _table(("condition", *(f"{title(figure)}, {who}" for who, figure in pairs)), lines),
        )
    ]


def _data(facts: Facts) -> Section:
    pull = facts.pull
    told = [
        ("source", pull.source),
        ("citation", pull.citation),
        ("licence", pull.licence),
        ("homepage", pull.homepage or "none"),
        ("recordings", f"{pull.usable} usable of {pull.found} found"),
        ("groups", f"{pull.groups}, as far as the data set tells them apart"),
    ]
    classes = [(label, _right(str(n.found)), _right(str(n.usable))) for label, n in sorted(pull.labels.items())]
    reasons = [(why, _right(str(n))) for why, n in sorted(pull.excluded_by_reason.items())]
    excluded = [(item.path, item.reason) for item in pull.excluded]
    text = _table(("", ""), told) + _table(("class", "found", "usable"), classes)
    if not excluded:
        return "The data, and what was excluded", text + _p("No recording was excluded.")
    return "The data, and what was excluded", (
        text
        + _p("A recording that cannot be trusted is left out, by name and with the reason.")
        + _table(("reason", "recordings"), reasons)
        + f"<details><summary>Which ({len(excluded)})</summary>"
        + _table(("recording", "reason"), excluded[:MOST_LISTED])
        + _rest(len(excluded), "data/pull_report.json")
        + "</details>"
    )


def _audit(facts: Facts) -> Section:
    report, audit = facts.split, facts.split.audit
    labels = sorted(report.test.prevalence)
    lines = [
        (
            side,
            _right(str(report.of(side).groups)),
            _right(str(report.of(side).recordings)),
            *(_right(f"{report.of(side).prevalence[label]:.1%}") for label in labels),
        )
        for side in SPLITS
    ]
    clean = audit.on_two_sides == 0
    return "The split, and its leakage audit", (
        _p(
            "A model that is tested on a voice it was trained on looks better than it is. The split is made before any "
            f"recording is augmented, and by group: of {audit.groups} groups and {audit.contents} distinct "
            f"contents of files {'none is' if clean else str(audit.on_two_sides) + ' are'} on two sides."
        )
        + _table(("side", "groups", "recordings", *labels), lines)
    )


def _environment(facts: Facts) -> Section:
    rows = [
        ("model file's sha256", facts.selection.variant.sha256),
        ("Python", platform.python_version()),
        ("machine", f"{platform.system()} {platform.machine()}"),
    ]
    rows += [(name, _version(name)) for name in PACKAGES]
    return "Environment", (
        _p(
            "Versions on the machine that wrote this report. The commit of the code and every parameter are with the "
            "sweep's run in MLflow; data and models are pinned by hash in dvc.lock."
        )
        + _table(("", ""), rows)
    )


_COUNTS = (("recordings", "n"), ("groups", "groups"))


def _confusion(facts: Facts) -> str:
    labels, matrix = facts.labels, plots.confusion(facts)
    if matrix.ndim == 3:
        return _answers(facts, matrix)
    if len(labels) > MOST_CLASSES:
        return _p(f"Left out: {len(labels)} classes. {matrix.trace()} of {matrix.sum()} clips are decided rightly.")
    largest = max(int(matrix.max()), 1)

    def cell(i: int, j: int) -> str:
        n, kind = int(matrix[i, j]), "cell right" if i == j else "cell"
        return f'<td class="{kind}" style="background:rgba(0,114,178,{0.55 * n / largest:.2f})">{n}</td>'

    head = "".join(f"<th>{escape(label)}</th>" for label in labels)
    lines = "".join(
        f"<tr><th>{escape(label)}</th>{''.join(cell(i, j) for j in range(len(labels)))}</tr>"
        for i, label in enumerate(labels)
    )
    return f'<div class="scroll"><table><tr><th>truth ↓ decided →</th>{head}</tr>{lines}</table></div>'


def _answers(facts: Facts, matrices: np.ndarray) -> str:
    """Return, for each label of a multi-label task, how often it was there and was said to be."""
    lines = [
        (label, _right(f"{limit:.4g}"), *(_right(str(n)) for n in (yes[1], yes[0], no[1], no[0])))
        for label, limit, (no, yes) in zip(facts.labels, _thresholds(facts), matrices, strict=True)
    ]
    head = ("label", "threshold", "there, found", "there, missed", "not there, but said", "not there, not said")
    return _table(head, lines)


def _metrics(facts: Facts) -> list[str]:
    """Return every metric, the one that chose first."""
    return sorted(facts.selection.test.pooled, key=lambda name: (name != facts.metric, name))


def _panels(facts: Facts) -> list[tuple[str, list[Row]]]:
    """Return the rows of each pair of criterion and schedule, with the baselines."""
    baselines = [row for row in facts.rows if not row["schedule"]]

    def pair(row: Row) -> tuple[str, str]:
        return row["criterion"], row["schedule"]

    pruned = sorted((row for row in facts.rows if row["schedule"]), key=pair)
    panels = [(" / ".join(filter(None, both)), [*baselines, *members]) for both, members in groupby(pruned, key=pair)]
    return panels[:MOST_PANELS] or [("not pruned", baselines)]


def _of_front(facts: Facts) -> list[Row]:
    """Return the front's rows, and the winner's if it is not among them."""
    rows = {row["name"]: row for row in facts.rows}
    return [rows[name] for name in dict.fromkeys((*facts.front, facts.winner_row["name"]))]


def _json(figure: "Figure") -> str:
    """Return a figure as JSON that may stand in a page."""
    return json.dumps(figure.to_plotly_json(), sort_keys=True, separators=(",", ":"), allow_nan=False).replace(
        "<", "\\u003c"
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


class _Raw(str):
    """A table cell that is HTML already."""


def _right(text: str) -> _Raw:
    return _Raw(f'<td class="number">{escape(text)}</td>')


def _table(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    def cell(value: Any) -> str:
        if isinstance(value, _Raw):
            return value
        return f"<td{' class=long' if len(str(value)) > 60 else ''}>{escape(str(value))}</td>"

    top = f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>" if any(head) else ""
    body = "".join(f"<tr>{''.join(map(cell, line))}</tr>\n" for line in lines)
    return f'<div class="scroll"><table>{top}\n{body}</table></div>'


def _plot(key: str, label: str) -> str:
    return f'<div class="plot" id="{key}" role="img" aria-label="{escape(label)}"></div>'


def _p(text: str) -> str:
    return f"<p>{escape(text)}</p>\n"


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>\n'


def _rest(n: int, where: str) -> str:
    return _p(f"… and {n - MOST_LISTED} more in {where}.") if n > MOST_LISTED else ""


def _anchor(head: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in head.lower()).split())


def _number(value: float | None) -> str:
    return interval.number(value)


def _between(low: float | None, high: float | None) -> str:
    return interval.bracket(low, high)


def _estimate(estimate: Estimate) -> str:
    return interval.text(estimate, undefined="undefined")


def _value(estimate: Estimate) -> str:
    return interval.number(estimate.value, undefined="undefined")


def _ends(estimate: Estimate) -> str:
    return interval.bracket(estimate.low, estimate.high, undefined="")


def _thresholds(facts: Facts) -> tuple[float, ...]:
    threshold = facts.selection.threshold
    return threshold if isinstance(threshold, tuple) else ()
