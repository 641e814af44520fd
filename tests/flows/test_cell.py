"""The real thing on a very small network: fine-tune, quantise, check, score."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from flows.sweep.cell import Spec, arguments_for
from flows.sweep.grid import Sources
from flows.sweep.inputs import SweepInputs
from flows.sweep.params import SweepParams
from flows.sweep.plan import plan
from flows.sweep.store import Store
from stages.core.artifacts.variant import read_variant
from stages.core.litert.flops import flops
from stages.core.nn import network
from stages.core.project import files
from stages.evaluate.params import EvaluateParams, Robustness
from stages.prune.params import PruneParams
from stages.quantize.params import QuantizeParams

SWEEP = SweepParams(schemes=("float32",), schedules=("constant",), sparsities=(0.5,))
PRUNE = PruneParams(epochs=1, batch_size=8)
QUANTIZE = QuantizeParams(calibration_clips=8)
EVALUATE = EvaluateParams(bootstrap_resamples=100)
KERNELS = ("stem", "block1_depthwise", "block1_pointwise", "scores")
ROOT = Path(__file__).parents[2]


def spec_of(
    which: int, store: Path, sources: Sources, sweep: SweepParams = SWEEP, quantize: QuantizeParams = QUANTIZE
) -> Spec:
    inputs = SweepInputs(sources, PRUNE, quantize, EVALUATE)
    return Spec(plan(sweep, inputs)[which], store, 1, inputs)


@pytest.mark.thorough
def test_a_cell_is_made_and_another_scheme_needs_no_tensorflow(tmp_path: Path, sources: Sources) -> None:
    spec = spec_of(1, tmp_path / "cells", sources)
    done = subprocess.run(
        [sys.executable, *arguments_for(spec, tmp_path / "spec.json")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    store, cell = Store(spec.store), spec.cell
    finetuned = store.folder("finetuned", cell.key)
    written = ["architecture.json", "float32.tflite", "history.csv", "scores.npz", "sums.json", "weights.npz"]
    assert sorted(p.name for p in finetuned.iterdir()) == written
    assert not store.checkpoint(cell.key).exists()
    made = store.folder("variants", cell.variants[0].key)
    assert sorted(p.name for p in made.iterdir()) == ["model.tflite", "scores.npz", "sums.json", "variant.json"]
    variant = read_variant(made / "variant.json")
    assert (variant.name, variant.sparsity) == ("constant-s0.50-float32-seed1234", 0.5)
    assert 0.5 <= variant.measured_sparsity < 0.7  # with the units that lost their weights others go
    assert variant.sha256 == files.sha256(made / "model.tflite")
    assert variant.keras_difference < 1e-5
    assert variant.parameters == network.load(finetuned).count_params()
    assert variant.flops == flops((finetuned / "float32.tflite").read_bytes())
    assert variant.metrics["test"].n == 12

    stamps = {path: path.stat().st_mtime_ns for path in spec.store.rglob("*") if path.is_file()}
    rounded = replace(QUANTIZE, weight_rounding="gptq", bias_correction=True, equalisation="weights")
    sweep = replace(SWEEP, schemes=("float32", "sparse_float32", "static_wi4_ai8"))
    more = spec_of(1, spec.store, sources, sweep, rounded)
    assert more.cell.key == cell.key
    files.write_json(tmp_path / "more.json", asdict(more))
    script = f"""
import json, sys
from pathlib import Path
from flows.sweep import cell
from stages.core.project import files, params
cell.compute(params.load(cell.Spec, files.read_json(Path({str(tmp_path / "more.json")!r})), "spec"))
print(json.dumps("tensorflow" in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) is False
    *_, narrow = (read_variant(store.folder("variants", v.key) / "variant.json") for v in more.cell.variants)
    asked = {"weight_rounding": "gptq", "bias_correction": "yes", "equalisation": "weights"}
    assert narrow.calibration == {"clips": 8, "seed": 1234, "method": "min_max"} | asked
    small = network.load(finetuned)
    sizes = {name: int(np.prod(small.get_layer(name).weights[0].shape)) for name in KERNELS}
    stem, depthwise, pointwise, scores = sizes.values()
    assert narrow.weights == {
        "CONV_2D int4": stem + pointwise,
        "DEPTHWISE_CONV_2D int8": depthwise,
        "FULLY_CONNECTED int4": scores,
    }
    assert narrow.mean_bits == pytest.approx(4 + 4 * depthwise / sum(sizes.values()))
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_keys_change_with_what_shapes_a_result_and_with_nothing_else(sources: Sources) -> None:
    def keys(sweep: SweepParams = SWEEP, prune: PruneParams = PRUNE, evaluate: EvaluateParams = EVALUATE) -> list[str]:
        cell = plan(sweep, SweepInputs(sources, prune, QUANTIZE, evaluate))[1]
        return [cell.key, cell.variants[0].key]

    first = keys()
    assert keys(replace(SWEEP, workers=7, cell_timeout_s=5.0, store=Path("elsewhere"))) == first
    assert keys(replace(SWEEP, schemes=("float32", "float16"))) == first
    assert keys(evaluate=replace(EVALUATE, latency_runs=77, robustness=Robustness(gain_db=(6,)))) == first
    assert keys(prune=replace(PRUNE, options={"polynomial": {}})) == first, "another plug-in's options"

    judged_otherwise = keys(evaluate=replace(EVALUATE, confidence=0.9))
    assert judged_otherwise[0] == first[0]
    assert judged_otherwise[1] != first[1]
    for changed in (keys(replace(SWEEP, threads=2)), keys(prune=replace(PRUNE, epochs=2))):
        assert not set(changed) & set(first)


def test_a_criterion_other_than_magnitude_is_named_and_has_its_own_key(sources: Sources) -> None:
    sweep = replace(SWEEP, criteria=("magnitude", "taylor", "random"))
    _, magnitude, taylor, random = plan(sweep, SweepInputs(sources, PRUNE, QUANTIZE, EVALUATE))
    assert (magnitude.name, magnitude.criterion) == ("constant-s0.50-seed1234", "magnitude")
    assert (taylor.name, taylor.criterion) == ("taylor-constant-s0.50-seed1234", "taylor")
    assert taylor.title == "taylor constant s=0.50 seed=1234"
    assert taylor.variants[0].name == "taylor-constant-s0.50-float32-seed1234"
    assert len({magnitude.key, taylor.key, random.key}) == 3


def test_the_weights_to_rewind_to_are_part_of_the_key(sources: Sources, tmp_path: Path) -> None:
    sweep, keys = replace(SWEEP, schedules=("iterative",)), []
    for content in (b"early", b"late"):
        (tmp_path / "weights.npz").write_bytes(content)
        prune = replace(PRUNE, options={"iterative": {"rewind": str(tmp_path / "weights.npz")}})
        keys.append(plan(sweep, SweepInputs(sources, prune, QUANTIZE, EVALUATE))[1].key)
    assert keys[0] != keys[1]


def test_the_baseline_comes_first_and_names_are_unique(sources: Sources) -> None:
    sweep = SweepParams(
        schemes=("float32", "float16"), schedules=("constant", "polynomial"), sparsities=(0.5, 0.9, 0.995), seeds=(1, 2)
    )
    cells = plan(sweep, SweepInputs(sources, PRUNE, QUANTIZE, EVALUATE))
    assert [v.name for v in cells[0].variants] == ["baseline-float32", "baseline-float16"]
    assert (cells[0].schedule, cells[0].sparsity, cells[0].criterion) == ("", 0.0, "")
    assert cells[5].name == "constant-s0.995-seed1"
    assert cells[3].title == "constant s=0.90 seed=1"
    assert len(cells) == 1 + 2 * 3 * 2
    for attribute in ("name", "key"):
        values = [getattr(variant, attribute) for cell in cells for variant in cell.variants]
        assert len(set(values)) == len(values) == 2 * len(cells)
