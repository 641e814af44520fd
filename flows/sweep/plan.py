"""The cells that a sweep consists of, with their names and keys."""

from collections.abc import Iterator
from itertools import product

from flows.sweep.grid import Cell, PlannedVariant
from flows.sweep.inputs import SweepInputs
from flows.sweep.keys import Keys
from flows.sweep.params import SweepParams
from stages.core.project.errors import require

BASELINE = "baseline"


def plan(sweep: SweepParams, inputs: SweepInputs) -> list[Cell]:
    """Return the cells of the grid, the baseline first.

    Parameters
    ----------
    sweep : SweepParams
        The grid.
    inputs : SweepInputs
        Everything else that determines a result.

    Raises
    ------
    ParameterError
        For a plug-in that does not exist, options that it refuses, or a distilled cell without a teacher.
    DataError
        If a folder is incomplete.
    """
    distilled = any(sweep.distilled)
    require(
        inputs.sources.teacher is not None or not distilled, "sweep.distilled", "be [false] without a teacher", [True]
    )
    keys = Keys(inputs, threads=sweep.threads, distilled=distilled)
    return [_baseline(sweep, keys), *_pruned(sweep, keys)]


def _baseline(sweep: SweepParams, keys: Keys) -> Cell:
    key = keys.baseline()
    variants = [PlannedVariant(f"{BASELINE}-{scheme}", scheme, keys.variant(key, scheme)) for scheme in sweep.schemes]
    for distilled, scheme in product(sweep.distilled, sweep.qat_schemes):
        qat_key = keys.qat(key, scheme, distilled=distilled)
        name = f"{BASELINE}-{'distilled-' if distilled else ''}aware_{scheme}"
        variants.append(PlannedVariant(name, scheme, keys.variant(qat_key, scheme), qat_key, distilled))
    return Cell(BASELINE, BASELINE, "", "", 0.0, 0, key, tuple(variants))


def _pruned(sweep: SweepParams, keys: Keys) -> Iterator[Cell]:
    grid = product(sweep.criteria, sweep.schedules, sweep.sparsities, sweep.seeds, sweep.distilled)
    for criterion, schedule, sparsity, seed, distilled in grid:
        key = keys.finetuned(criterion, schedule, sparsity, seed, distilled=distilled)
        named = {criterion: criterion != "magnitude", schedule: True, "distilled": distilled}
        method, zeros = [word for word, shown in named.items() if shown], f"s{_fraction(sparsity)}"
        label = f"{'-'.join(method)}-{zeros}"
        variants = [
            PlannedVariant(f"{label}-{scheme}-seed{seed}", scheme, keys.variant(key, scheme), "", distilled)
            for scheme in sweep.schemes
        ]
        for scheme in sweep.qat_schemes:
            qat_key = keys.qat(key, scheme, distilled=distilled)
            name = f"{label}-aware_{scheme}-seed{seed}"
            variants.append(PlannedVariant(name, scheme, keys.variant(qat_key, scheme), qat_key, distilled))
        name, title = f"{label}-seed{seed}", f"{' '.join(method)} s={_fraction(sparsity)} seed={seed}"
        yield Cell(name, title, criterion, schedule, sparsity, seed, key, tuple(variants), distilled)


def _fraction(sparsity: float) -> str:
    short = f"{sparsity:.2f}"
    return short if float(short) == sparsity else repr(sparsity)
