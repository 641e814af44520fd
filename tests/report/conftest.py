"""A small sweep in MLflow, its figures made by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stages.core.artifacts.estimates import Estimate, SplitMetrics
from stages.core.artifacts.variant import Variant
from stages.core.tracking import connection

RAW = {"float32": 24_000_000, "dynamic_wi8_afp32": 6_000_000, "static_wi8_ai8": 5_000_000}
BITS = {"float32": 32, "dynamic_wi8_afp32": 8, "static_wi8_ai8": 8}


def figures(auc: float, n: int) -> SplitMetrics:
    estimate = Estimate(auc, round(auc - 0.05, 6), round(auc + 0.05, 6))
    return SplitMetrics(n=n, groups=n - 1, positives=40, pooled={"roc_auc": estimate})


def variant(schedule: str, sparsity: float, scheme: str, seed: int, *, auc: float, mb: float) -> Variant:
    name = f"{schedule or 'baseline'}-s{sparsity:g}-{scheme}-seed{seed}"
    return Variant(
        name=name,
        key=f"key of {name}",
        criterion="magnitude" if schedule else "",
        schedule=schedule,
        sparsity=sparsity,
        measured_sparsity=sparsity,
        scheme=scheme,
        bit_width=BITS[scheme],
        seed=seed,
        sha256=f"sha256 of {name}",
        raw_bytes=RAW[scheme],
        deflated_bytes=round(mb * 1e6),
        operators={},
        keras_difference=0.0,
        metrics={"validation": figures(auc + 0.01, 90), "test": figures(auc, 100)},
    )


VARIANTS = (
    variant("", 0.0, "float32", 0, auc=0.80, mb=22.0),
    variant("", 0.0, "dynamic_wi8_afp32", 0, auc=0.79, mb=0.4),
    variant("", 0.0, "static_wi8_ai8", 0, auc=0.70, mb=0.5),
    variant("constant", 0.9, "float32", 1, auc=0.81, mb=2.0),
    variant("constant", 0.9, "float32", 2, auc=0.77, mb=4.0),
    variant("constant", 0.9, "dynamic_wi8_afp32", 1, auc=0.78, mb=0.2),
    variant("constant", 0.9, "dynamic_wi8_afp32", 2, auc=0.74, mb=0.1),
    variant("constant", 0.999, "dynamic_wi8_afp32", 1, auc=0.55, mb=0.01),
)


@pytest.fixture(scope="session")
def mlruns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sweeps: an old one of another architecture, and the one of `VARIANTS`, which shares a variant with it."""
    folder = tmp_path_factory.mktemp("mlruns")
    model = folder / "model.tflite"
    model.write_bytes(b"a model")
    tracker = connection.connect(folder)

    def sweep(key: str, architecture: str, variants: tuple[Variant, ...]) -> None:
        with tracker.sweep(key, {"architecture": architecture}) as parent:
            for each in variants:
                tracker.log_variant(each, model, parent)

    foreign = replace(VARIANTS[3], name="foreign", key="of another sweep", deflated_bytes=1)
    sweep("00000001", "ds_cnn", (VARIANTS[0], foreign))
    sweep("00000002", "edac_cnn", VARIANTS)
    for each, ms in zip(VARIANTS[3:5], (2.0, 3.0), strict=True):
        tracker.add_metrics({each.key: {"latency_p50_ms": ms}})
    return folder


@pytest.fixture
def called(mlruns: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call the console command on that store and return what it printed."""
    from flows.cli import main

    def call(*arguments: str) -> str:
        where = ("--experiment", "edac", "--tracking-uri", f"sqlite:///{mlruns / 'mlflow.db'}")
        with pytest.raises(SystemExit) as ended:
            main.main([*arguments[:2], *where, *arguments[2:]])
        printed = capsys.readouterr()
        return printed.out if ended.value.code == 0 else printed.err

    return call
