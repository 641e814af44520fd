"""Outputs of a sweep that was never run: as many variants as wanted, of a task with as many classes."""

from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.frontend import Frontend
from stages.core.project import files
from stages.core.scoring.metrics import METRICS

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
) -> dict[str, Path]:
    """Write under `root` what `stages.report.facts.read` reads; return its arguments."""
    rng = np.random.default_rng(7)
    rows = _rows(variants, seeds, rng)
    places = {name: root / name for name in ("sweep", "evaluation", "selected", "features")}
    winner = rows[-1]
    files.write_csv(places["evaluation"] / "variants.csv", list(rows[0]), rows)
    compared = [
        {"name": r["name"], "drop": 0.01, "drop_low": -0.02, "drop_high": 0.03, "drop_bound": 0.05, "delong_p": None}
        for r in rows
    ]
    files.write_csv(places["selected"] / "comparison.csv", list(compared[0]), compared)
    best: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: row["deflated_bytes"]):
        if not best or row["validation_roc_auc"] > best[-1]["validation_roc_auc"]:
            best.append(row)
    files.write_csv(places["selected"] / "front.csv", list(rows[0]), best)
    figures = {metric: {"value": 0.8, "low": 0.7, "high": 0.9} for metric in METRICS} | {
        "f1": {"value": None, "low": None, "high": None}
    }
    classes = dict.fromkeys(labels, 10)
    site = {"n": 20, "groups": 9, "classes": classes, "metrics": figures}
    side = {
        "n": 50,
        "groups": 20,
        "classes": classes,
        "pooled": figures,
        "sites": {"x": site, "y": site} if sites else {},
    }
    drop = {"drop": 0.01, "drop_low": -0.02, "drop_high": 0.03, "drop_bound": None, "delong_p": None}
    binary = len(labels) == 2 and not several
    files.write_json(
        places["selected"] / "selection.json",
        {
            "variant": {"name": winner["name"], "sha256": "ab" * 32, "key": "k"},
            "registered_name": "made-up",
            "labels": list(labels),
            "threshold": [0.3 + 0.1 * i for i in range(len(labels))] if several else 0.5 if binary else None,
            "validation": side,
            "test": side,
            "drop": {"validation": drop, "test": drop},
            "reason": "it was made up",
            "rule": {"metric": "roc_auc", "margin": 0.02, "confidence": 0.95},
            "n_variants": len(rows),
        },
    )
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
    files.write_csv(places["features"] / "clips.csv", list(clips[0]), clips)
    frontend_file.write(places["features"], Frontend(labels, 8000, 8000))
    (places["sweep"] / "scores").mkdir(parents=True, exist_ok=True)
    for name in {winner["name"], rows[0]["name"]}:
        shape = () if binary else (len(labels),)
        scores = {s: rng.random((n, *shape)).astype(np.float32) for s, n in N.items()}
        np.savez(places["sweep"] / "scores" / f"{name}.npz", **scores)  # type: ignore[arg-type]
    counts = {label: {"found": 60, "usable": 45} for label in labels}
    pull: dict[str, Any] = {
        "source": "made up",
        "citation": "Nobody, 2020",
        "licence": "CC0-1.0",
        "homepage": "",
        "found": 120,
        "usable": 90,
        "groups": 20,
        "labels": counts,
        "excluded_by_reason": {"silent": 1},
        "excluded": [{"path": "raw/<b>.wav", "reason": "silent"}],
    }
    sides = {s: {"groups": 9, "recordings": 9, "prevalence": dict.fromkeys(labels, 0.5)} for s in ("train", *N)}
    files.write_json(root / "pull.json", pull)
    files.write_json(root / "split.json", sides | {"audit": {"groups": 20, "contents": 90, "on_two_sides": 0}})
    return {**places, "pull_report": root / "pull.json", "split_report": root / "split.json"}


def _rows(variants: int, seeds: int, rng: np.random.Generator) -> list[dict[str, Any]]:
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
        rows.append(
            {
                "name": f"{schedule or 'baseline'}-s{sparsity}-{scheme}-seed{seed}",
                "criterion": "magnitude" if schedule else "",
                "schedule": schedule,
                "sparsity": sparsity,
                "scheme": scheme,
                "bit_width": SCHEMES[scheme],
                "seed": seed,
                "sha256": "ab" * 32,
                "raw_bytes": 2 * size,
                "raw_ratio": 3.0,
                "deflated_bytes": size,
                "deflated_ratio": 3.0,
                **{f"{s}_{m}": auc for s in N for m in METRICS},
                **{f"{s}_{m}_{end}": auc for s in N for m in METRICS for end in ("low", "high")},
                "latency_p50_ms": round(float(rng.gamma(9, 0.1)), 4),
            }
        )
    return rows
