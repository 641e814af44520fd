"""Which cells the sweep of `params.yaml` consists of, and the key of everything that each is made of."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from flows.sweep.grid import Cell, Planned
from flows.sweep.params import SweepParams
from stages.core.artifacts import dataset
from stages.core.artifacts import network as network_file
from stages.core.nn.network import ARCHITECTURES
from stages.core.project import files
from stages.core.project.errors import DataError, require
from stages.core.project.provenance import code_hash
from stages.core.training.teacher import TeacherFolder
from stages.evaluate.params import EvaluateParams
from stages.prune.params import CRITERIA, SCHEDULES, PruneParams
from stages.quantize.params import QuantizeParams

BASELINE = "baseline"


def plan(
    sweep: SweepParams,
    prune: PruneParams,
    quantize: QuantizeParams,
    evaluate: EvaluateParams,
    *,
    baseline: Path,
    features: Path,
    teaching: TeacherFolder | None = None,
) -> list[Cell]:
    """Return the cells of the grid, the baseline first.

    A key digests all that can change a result: parameters, the chosen plug-ins' own parameters, the bytes of the
    baseline, of the features and, of what is distilled, of the teacher's answers, our source that computes it, and the
    versions of the libraries behind. A variant's key
    holds its fine-tuning's, and not the other way round, so that another scheme or a changed metric costs no training.

    Parameters
    ----------
    sweep, prune, quantize, evaluate
        Sections of `params.yaml`.
    baseline, features : Path
        Folders of the stages before.
    teaching : TeacherFolder or None
        Needed by what is distilled.

    Raises
    ------
    ParameterError
        For a plug-in that does not exist, options it refuses, or something to be distilled without a teacher.
    DataError
        If a folder is incomplete.
    """
    trained = (network_file.FILE, "weights.npz")
    data = [_sha256(baseline / name) for name in trained] + [_sha256(features / name) for name in dataset.FILES]
    architecture = f"{ARCHITECTURES}.{network_file.read(baseline).name}"

    lesson = teaching.identity() if teaching and any(sweep.distilled) else []
    require(bool(lesson) or not any(sweep.distilled), "sweep.distilled", "be [false] without a teacher", [True])

    cells = []
    for criterion, schedule, sparsity, seed, distilled in _fine_tunings(sweep):
        if schedule:
            chosen = prune.plug_in(CRITERIA, criterion), prune.plug_in(SCHEDULES, schedule)
            plug_ins, options = [m.__name__ for m, _ in chosen], [asdict(config) for _, config in chosen]
            rewind = getattr(chosen[1][1], "rewind", None)
            start = _sha256(rewind) if rewind else ""
            how = asdict(prune) | {"sparsity": sparsity, "seed": seed, "options": options, "rewind": start}
            told = {criterion: criterion != "magnitude", schedule: True, "distilled": distilled}
            method = [word for word, said in told.items() if said]
            label = f"{'-'.join(method)}-s{_fraction(sparsity)}"
            name, title = f"{label}-seed{seed}", f"{' '.join(method)} s={_fraction(sparsity)} seed={seed}"
        else:
            plug_ins, how = [], {}
            label = name = title = BASELINE
        code = code_hash(["flows.sweep.steps.finetune", architecture, *plug_ins], ("tensorflow", "tf_keras", "numpy"))
        key = files.digest(how, sweep.threads, data, code, *(lesson if distilled else []))
        ending, judged = (f"-seed{seed}" if schedule else ""), _judged(evaluate)
        wanted = [(scheme, "", distilled) for scheme in sweep.schemes]
        wanted += [
            (scheme, _aware(key, scheme, quantize, lesson if taught else []), taught)
            for taught in ((distilled,) if schedule else sweep.distilled)
            for scheme in sweep.aware
        ]
        variants = tuple(
            Planned(
                name=f"{label}-{'distilled-' if taught > distilled else ''}{'aware_' if aware else ''}{scheme}{ending}",
                scheme=scheme,
                key=files.digest(aware or key, *_scheme(scheme, quantize), judged),
                aware=aware,
                distilled=taught,
            )
            for scheme, aware, taught in wanted
        )
        cells.append(Cell(name, title, criterion, schedule, sparsity, seed, key, variants, distilled))
    return cells


def _fine_tunings(sweep: SweepParams) -> Iterator[tuple[str, str, float, int, bool]]:
    yield "", "", 0.0, 0, False
    yield from product(sweep.criteria, sweep.schedules, sweep.sparsities, sweep.seeds, sweep.distilled)


def _scheme(name: str, quantize: QuantizeParams) -> tuple[Any, ...]:
    module, config = quantize.scheme(name)
    calibration = [quantize.calibration_clips, quantize.seed] if module.NEEDS_CALIBRATION else []
    packages = ("ai-edge-quantizer", "ai-edge-litert", "numpy", "scikit-learn")
    return name, asdict(config), calibration, code_hash(["flows.sweep.steps.variant", module.__name__], packages)


def _aware(finetuned: str, scheme: str, quantize: QuantizeParams, lesson: Sequence[Any]) -> str:
    module, config = quantize.scheme(scheme)
    calibration = [quantize.calibration_clips, quantize.seed]
    packages = ("tensorflow", "tf_keras", "numpy", "ai-edge-quantizer", "ai-edge-litert")
    code = code_hash(["flows.sweep.steps.qat", module.__name__], packages)
    return files.digest(finetuned, scheme, asdict(config), calibration, asdict(quantize.aware), code, *lesson)


def _judged(evaluate: EvaluateParams) -> dict[str, Any]:
    later = ("latency", "robustness")  # measured by the stage evaluate
    return {name: value for name, value in asdict(evaluate).items() if not name.startswith(later)}


def _fraction(sparsity: float) -> str:
    short = f"{sparsity:.2f}"
    return short if float(short) == sparsity else repr(sparsity)


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path} does not exist. Run `dvc repro sweep`, which makes what it needs.")
    return files.sha256(path)
