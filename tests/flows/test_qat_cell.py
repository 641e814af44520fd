"""A cell with a quantisation-aware fine-tuning, made on a very small network."""

import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from flows.sweep.cell import Spec
from flows.sweep.grid import Sources
from flows.sweep.inputs import SweepInputs
from flows.sweep.params import SweepParams
from flows.sweep.plan import plan
from flows.sweep.store import Store
from stages.core.artifacts.variant import read_variant
from stages.core.project import files
from stages.evaluate.params import EvaluateParams
from stages.prune.params import PruneParams
from stages.quantize.params import AwareParams, QuantizeParams

pytestmark = pytest.mark.thorough

SWEEP = SweepParams(schemes=("float32", "static_wi4_ai8"), qat_schemes=("static_wi4_ai8",))
QUANTIZE = QuantizeParams(calibration_clips=8, aware=AwareParams(epochs=1, batch_size=8))
ROOT = Path(__file__).parents[2]
EVALUATE = EvaluateParams(bootstrap_resamples=100)


def test_the_fine_tuning_is_work_of_its_own_and_its_variant_says_what_it_is(tmp_path: Path, sources: Sources) -> None:
    inputs = SweepInputs(sources, PruneParams(), QUANTIZE, EVALUATE)
    (cell,) = plan(SWEEP, inputs)
    names = ["baseline-float32", "baseline-static_wi4_ai8", "baseline-aware_static_wi4_ai8"]
    assert [planned.name for planned in cell.variants] == names
    spec = tmp_path / "spec.json"
    files.write_json(spec, asdict(Spec(cell, tmp_path, 1, inputs)))
    done = subprocess.run(
        [sys.executable, "-m", "flows.sweep.cell", str(spec)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

    store, (_, post, tuned) = Store(tmp_path), cell.variants
    written = {path.name for path in store.folder("finetuned", tuned.qat_key).iterdir()}
    assert written == {"architecture.json", "float32.tflite", "history.csv", "ranges.json", "scores.npz", "sums.json"}
    assert not store.checkpoint(tuned.qat_key).exists()
    variants = [read_variant(store.folder("variants", p.key) / "variant.json") for p in (post, tuned)]
    assert [variant.aware for variant in variants] == [False, True]
    assert variants[0].weights == variants[1].weights
    assert variants[0].sha256 != variants[1].sha256
    assert variants[1].keras_difference <= 2 / 256, "between the file and its simulation"


def test_kill_9_amid_the_fine_tuning_changes_no_byte(tmp_path: Path, sources: Sources) -> None:
    quantize = replace(QUANTIZE, aware=replace(QUANTIZE.aware, epochs=40))
    inputs = SweepInputs(sources, PruneParams(), quantize, EVALUATE)
    (cell,) = plan(SWEEP, inputs)
    often = (
        "from stages.core.training import loop; loop.CHECKPOINT_EVERY_S = 0; from flows.sweep.cell import main; main()"
    )
    made = []
    for name, kill in (("calm", False), ("killed", True)):
        store = Store(tmp_path / name)
        files.write_json(tmp_path / f"{name}.json", asdict(Spec(cell, store.root, 1, inputs)))
        command = [sys.executable, "-c", often, str(tmp_path / f"{name}.json")]
        if kill:
            process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
            while not store.checkpoint(cell.variants[-1].qat_key).is_file():
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.005)
            process.kill()
            process.wait()
            assert not store.folder("finetuned", cell.variants[-1].qat_key).exists()
        subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
        made.append(store.folder("finetuned", cell.variants[-1].qat_key))
    for name in ("float32.tflite", "ranges.json", "history.csv"):
        assert (made[0] / name).read_bytes() == (made[1] / name).read_bytes(), name


def test_keys_change_with_the_parameters_of_the_fine_tuning(sources: Sources) -> None:
    longer = replace(QUANTIZE, aware=replace(QUANTIZE.aware, epochs=2))
    cells = [plan(SWEEP, SweepInputs(sources, PruneParams(), each, EVALUATE))[0] for each in (QUANTIZE, longer)]
    assert cells[0].key == cells[1].key
    for before, after in zip(cells[0].variants, cells[1].variants, strict=True):
        assert (before.key == after.key) == (not before.qat_key)


def test_rounding_after_training_changes_the_keys_of_narrow_files_alone_and_no_training(sources: Sources) -> None:
    asked = replace(QUANTIZE, weight_rounding="gptq")
    sweep = replace(SWEEP, schemes=(*SWEEP.schemes, "static_wi8_ai8", "dynamic_wi4_afp32"))
    more_clips = replace(asked, calibration_clips=9)
    before, after, more = (
        plan(sweep, SweepInputs(sources, PruneParams(), each, EVALUATE))[0] for each in (QUANTIZE, asked, more_clips)
    )
    assert before.key == after.key
    changed = {b.scheme for b, a in zip(before.variants, after.variants, strict=True) if b.key != a.key}
    assert changed == {"static_wi4_ai8", "dynamic_wi4_afp32"}
    assert [v.qat_key for v in before.variants] == [v.qat_key for v in after.variants]
    dynamic = [v.key for v in after.variants + more.variants if v.scheme == "dynamic_wi4_afp32"]
    assert len(set(dynamic)) == 2, "which clips is part of what such a file is made from"
