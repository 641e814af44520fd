"""Cells whose fine-tuning learns from a teacher: which they are, their keys, and that they do."""

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.sweep.cell import Spec
from flows.sweep.grid import Cell, Sources
from flows.sweep.inputs import SweepInputs
from flows.sweep.params import SweepParams
from flows.sweep.plan import plan
from flows.sweep.store import Store
from stages.core.artifacts.teacher import NO_TEACHER, Teacher
from stages.core.artifacts.variant import Variant, read_variant
from stages.core.nn import network
from stages.core.project import files
from stages.core.project.errors import ParameterError
from stages.core.scoring import logits
from stages.core.training.teacher import Distillation, TeacherFolder
from stages.evaluate.params import EvaluateParams
from stages.prune.params import PruneParams
from stages.quantize.params import AwareParams, QuantizeParams

pytestmark = pytest.mark.thorough

SWEEP = SweepParams(
    schemes=("float32",),
    qat_schemes=("dynamic_wi8_afp32",),
    schedules=("constant",),
    sparsities=(0.5,),
    distilled=(False, True),
)
PRUNE = PruneParams(epochs=20, batch_size=8, learning_rate=1e-2)
QUANTIZE = QuantizeParams(calibration_clips=8, aware=AwareParams(epochs=20, batch_size=8, learning_rate=1e-2))
EVALUATE = EvaluateParams(bootstrap_resamples=100)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, sources: Sources) -> Sources:
    """The same features, a baseline without dropout, and a teacher who is sure that every clip is positive."""
    root, shape = tmp_path_factory.mktemp("taught"), (20, 8)
    for name in ("baseline", "teacher"):
        (root / name).mkdir()
    options = {"ds_cnn": {"stem": 4, "widths": [8], "dropout": 0.0}}
    network.save(*network.build("ds_cnn", options, shape, 2), root / "baseline")
    np.save(root / "teacher" / "logits_train.npy", np.full((16, 1), 6, np.float32))
    about = {"kind": "a yes-man", "licence": "CC0"}
    files.write_json(root / "teacher" / "teacher.json", {"teacher": "ensemble", "labels": ["a", "b"], "about": about})
    rule = Distillation(teacher="ensemble", alpha=0.0)
    return Sources(root / "baseline", sources.features, TeacherFolder(root / "teacher", rule))


def inputs(sources: Sources) -> SweepInputs:
    return SweepInputs(sources, PRUNE, QUANTIZE, EVALUATE)


def cells_of(sources: Sources, **changes: Any) -> list[Cell]:
    return plan(replace(SWEEP, **changes), inputs(sources))


def test_the_grid_has_every_fine_tuning_with_and_without(taught: Sources) -> None:
    cells = cells_of(taught)
    assert [(cell.name, cell.distilled) for cell in cells] == [
        ("baseline", False),
        ("constant-s0.50-seed1234", False),
        ("constant-distilled-s0.50-seed1234", True),
    ]
    assert {planned.name: planned.distilled for cell in cells for planned in cell.variants} == {
        "baseline-float32": False,
        "baseline-aware_dynamic_wi8_afp32": False,
        "baseline-distilled-aware_dynamic_wi8_afp32": True,
        "constant-s0.50-float32-seed1234": False,
        "constant-s0.50-aware_dynamic_wi8_afp32-seed1234": False,
        "constant-distilled-s0.50-float32-seed1234": True,
        "constant-distilled-s0.50-aware_dynamic_wi8_afp32-seed1234": True,
    }
    only = [planned.name for cell in cells_of(taught, distilled=(True,)) for planned in cell.variants]
    assert [name for name in only if "distilled" not in name] == ["baseline-float32"], "which sizes are compared with"


def keys(cells: list[Cell]) -> dict[str, str]:
    of_variants = {planned.name: planned.key for cell in cells for planned in cell.variants}
    return {cell.name: cell.key for cell in cells} | of_variants


def test_only_what_is_distilled_depends_on_the_teacher(taught: Sources, tmp_path: Path) -> None:
    before = keys(cells_of(taught))
    assert len(set(before.values())) == len(before)
    assert keys(cells_of(replace(taught, teacher=None), distilled=(False,))).items() <= before.items()
    teacher = taught.teacher
    assert teacher
    np.save(tmp_path / "logits_train.npy", np.full((16, 1), 5, np.float32))
    files.write_json(tmp_path / "teacher.json", {"teacher": "ensemble", "labels": ["a", "b"]})
    others = [TeacherFolder(tmp_path, teacher.rule)]
    rules = replace(teacher.rule, alpha=0.7), replace(teacher.rule, temperature=0.7)
    others += [TeacherFolder(teacher.folder, rule) for rule in rules]
    for other in others:
        after = keys(cells_of(replace(taught, teacher=other)))
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {name for name in before if "distilled" in name}
    same = TeacherFolder(
        teacher.folder, replace(teacher.rule, seed=8, train=False, options={"ensemble": {"members": 9}})
    )
    assert keys(cells_of(replace(taught, teacher=same))) == before, "its answers are looked at, not how they came about"
    with pytest.raises(ParameterError, match=r"sweep.distilled must be \[false\] without a teacher"):
        cells_of(replace(taught, teacher=None))


def test_a_distilled_fine_tuning_says_what_the_teacher_says(tmp_path: Path, taught: Sources) -> None:
    store, variants, positive = Store(tmp_path), dict[str, Variant](), dict[str, float]()
    for cell in cells_of(taught):
        spec = tmp_path / f"{cell.name}.json"
        files.write_json(spec, asdict(Spec(cell, store.root, 1, inputs(taught))))
        subprocess.run(
            [sys.executable, "-m", "flows.sweep.cell", str(spec)], cwd=ROOT, check=True, stderr=subprocess.DEVNULL
        )
        for planned in cell.variants:
            variant = variants[planned.name] = read_variant(store.folder("variants", planned.key) / "variant.json")
            with np.load(store.folder("variants", planned.key) / "scores.npz") as scores:
                said = logits.before(variant.score_calibration, scores["test"], multi_label=False)
            positive[planned.name] = float(said.mean())  # calibration gives no credit to a network that always says yes
    pairs = [(name.replace("distilled-", ""), name) for name in positive if "distilled" in name]
    assert len(pairs) == 3
    for without, distilled in pairs:
        assert positive[distilled] > positive[without] + 0.05
    assert {name: variant.distilled for name, variant in variants.items()} == {
        name: "distilled" in name for name in variants
    }
    for name, variant in variants.items():
        assert variant.teacher == (Teacher("a yes-man", "CC0") if "distilled" in name else NO_TEACHER)
    assert variants["constant-distilled-s0.50-float32-seed1234"].measured_sparsity >= 0.5
    assert all(variant.keras_difference <= 2 / 256 for variant in variants.values())
