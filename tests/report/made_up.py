"""Outputs of a sweep that was never run: as many variants as wanted, of a task with as many classes."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from stages.core.artifacts import evaluation
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import pull_report as pull_file
from stages.core.artifacts import selection as selection_file
from stages.core.artifacts import split as split_file
from stages.core.artifacts.estimates import Estimate, SiteMetrics, SplitMetrics
from stages.core.artifacts.evaluation import EvaluatedVariant
from stages.core.artifacts.frontend import Frontend
from stages.core.artifacts.pull_report import ClassCounts, Excluded, PullReport
from stages.core.artifacts.selection import DataFacts, Drop, Drops, Measured, Rule, Selection, VariantComparison
from stages.core.artifacts.split import LeakageAudit, SplitReport, SplitSummary
from stages.core.project import files
from stages.core.scoring.metrics import METRICS
from stages.report.facts import Inputs
from tests import examples

SCHEMES = {"float32": 32, "float16": 16, "static_wi8_ai8": 8, "dynamic_wi4_afp32": 4}
SCHEDULES = ("constant", "polynomial")
N = {"validation": 40, "test": 50}


def write(
    root: Path,
    *,
    variants: int,
    labels: tuple[str, ...] = ("quiet", "<loud>"),
    seeds: int = 1,
    sites: bool = False,
    several: bool = False,
) -> Inputs:
    """Write under `root` what `stages.report.facts.read` reads; return its inputs."""
    rng = np.random.default_rng(7)
    evaluated = _evaluated(variants, seeds, rng)
    places = Inputs(
        *(root / name for name in ("sweep", "evaluation", "selected", "features", "pull.json", "split.json"))
    )
    winner = evaluated[-1].variant
    evaluation.write(places.evaluation, evaluated)
    drop = Drop(0.01, -0.02, 0.03, 0.05)
    best: list[EvaluatedVariant] = []
    for each in sorted(evaluated, key=lambda each: each.variant.deflated_bytes):
        if not best or _auc(each) > _auc(best[-1]):
            best.append(each)
    comparison = VariantComparison(tuple(each.name for each in best), {each.name: drop for each in evaluated})
    selection_file.write_comparison(places.selected, comparison)
    estimates = dict.fromkeys(METRICS, Estimate(0.8, 0.7, 0.9)) | {"f1": Estimate(None)}
    classes = dict.fromkeys(labels, 10)
    site = SiteMetrics(n=20, groups=9, classes=classes, metrics=estimates)
    binary = len(labels) == 2 and not several
    side = SplitMetrics(50, 20, classes, pooled=estimates, sites={"x": site, "y": site} if sites else {})
    counts = {label: ClassCounts(60, 45) for label in labels}
    pull = PullReport(
        source="made up",
        citation="Nobody, 2020",
        licence="CC0-1.0",
        homepage="",
        found=120,
        usable=90,
        groups=20,
        labels=counts,
        excluded_by_reason={"silent": 1},
        excluded=(Excluded("raw/<b>.wav", "silent"),),
    )
    unbounded = replace(drop, drop_bound=None)
    selection = Selection(
        variant=winner.file,
        registered_name="made-up",
        labels=labels,
        threshold=tuple(0.3 + 0.1 * i for i in range(len(labels))) if several else 0.5 if binary else None,
        validation=side,
        test=side,
        drop=Drops(unbounded, unbounded),
        data=DataFacts.of(pull),
        measured=Measured(winner.raw_bytes, winner.deflated_bytes, 1.0, 1.5),
        rule=Rule("roc_auc", 0.02, 0.95),
        reason="it was made up",
        n_variants=len(evaluated),
    )
    selection_file.write(places.selected, selection)
    clips = [
        {
            "clip_id": f"{s}{i}",
            "split": s,
            "label": "|".join(labels) if several and i % 5 == 0 else labels[i % len(labels)],
            "group": i,
            "site": "",
            "path": "",
            "parent": "",
        }
        for s in N
        for i in range(N[s])
    ]
    files.write_csv(places.features / "clips.csv", list(clips[0]), clips)
    frontend_file.write(places.features, Frontend(labels, 8000, 8000))
    (places.sweep / "scores").mkdir(parents=True, exist_ok=True)
    for name in {winner.name, evaluated[0].name}:
        shape = () if binary else (len(labels),)
        scores = {s: rng.random((n, *shape)).astype(np.float32) for s, n in N.items()}
        np.savez(places.sweep / "scores" / f"{name}.npz", **scores)  # type: ignore[arg-type]
    summary = SplitSummary(9, 9, dict.fromkeys(labels, 0.5))
    pull_file.write(places.pull_report, pull)
    split_file.write_report(
        places.split_report, SplitReport(summary, summary, summary, LeakageAudit(groups=20, contents=90))
    )
    return places


def _auc(evaluated: EvaluatedVariant) -> float:
    return evaluated.variant.metrics["validation"].pooled["roc_auc"].value or 0.0


def _evaluated(variants: int, seeds: int, rng: np.random.Generator) -> list[EvaluatedVariant]:
    grid: list[tuple[str, float, str, int]] = [("", 0.0, scheme, 0) for scheme in SCHEMES][:variants]
    cells = max(1, -(-(variants - len(grid)) // (len(SCHEMES) * seeds * len(SCHEDULES))))
    grid += [
        (schedule, round(float(sparsity), 6), scheme, seed)
        for sparsity in np.linspace(0.3, 0.99, cells)
        for schedule in SCHEDULES
        for scheme in SCHEMES
        for seed in range(seeds)
    ]
    rows = []
    for schedule, sparsity, scheme, seed in grid[:variants]:
        auc, size = (
            round(0.9 - sparsity**8 / 4 + rng.normal(0, 0.01), 6),
            int(1e6 * (1.02 - sparsity) * SCHEMES[scheme]),
        )
        estimates = dict.fromkeys(METRICS, Estimate(auc, auc, auc))
        rows.append(
            EvaluatedVariant(
                variant=examples.variant(
                    f"{schedule or 'baseline'}-s{sparsity}-{scheme}-seed{seed}",
                    criterion="magnitude" if schedule else "",
                    schedule=schedule,
                    sparsity=sparsity,
                    scheme=scheme,
                    bit_width=SCHEMES[scheme],
                    seed=seed,
                    sha256="ab" * 32,
                    raw_bytes=2 * size,
                    deflated_bytes=size,
                    metrics=dict.fromkeys(N, SplitMetrics(50, 20, pooled=estimates)),
                ),
                latency_p50_ms=round(float(rng.gamma(9, 0.1)), 4),
                latency_p95_ms=1.0,
                raw_ratio=3.0,
                deflated_ratio=3.0,
            )
        )
    return rows
