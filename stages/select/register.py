"""Register a release, and move an alias to another version after checks (`edac promote`)."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import selection as selection_file
from stages.core.artifacts.evaluation import Row
from stages.core.artifacts.selection import Selection
from stages.core.artifacts.variant import Variant
from stages.core.project import files
from stages.core.project.errors import EdacError, ModelError
from stages.core.tracking.records import Registration
from stages.runtime.audio import read_wav
from stages.runtime.errors import RuntimeInputError
from stages.runtime.litert import Model
from stages.select import describe, single_file
from stages.select.params import SelectParams, device_of
from stages.select.rules import excess

if TYPE_CHECKING:
    from stages.core.tracking.connection import Tracker
    from stages.core.tracking.records import Version

TOLERANCE = 0.05  # of a golden recording's score: it is of 16 bits, what the sweep scored was not


def register(tracker: "Tracker", variant: Variant, selection: Selection, release: Path, aliases: Sequence[str]) -> int:
    """Register a release, with front end and model as one file beside, and point aliases at it.

    Parameters
    ----------
    tracker : Tracker
    variant, selection
        As `stages.select.stage.select` returns them.
    release : Path
        The folder that it wrote; `single.tflite` is added to it.
    aliases : Sequence[str]

    Returns
    -------
    int
        The version.
    """
    name, binary = selection.registered_name, isinstance(selection.threshold, float)
    example, _ = read_wav(release / "golden" / "0.wav")
    frontend = frontend_file.read(release)
    single = single_file.merged(release / "frontend.tflite", release / "model.tflite", frontend.crops)
    (release / single_file.NAME).write_bytes(single)
    new = Registration(
        variant,
        release,
        example=np.asarray(example[np.newaxis], np.float32),
        n_outputs=1 if binary else len(selection.labels),
        tags=describe.tags(selection),
        description=describe.description(selection, frontend),
        labels=selection.labels,
        threshold=selection.threshold,
        reject=selection.rejection.rule,
    )
    version = tracker.register(name, new)
    for alias in aliases:
        tracker.set_alias(name, alias, version)
    return version


def promote(tracker: "Tracker", which: str, *, to: str, params: SelectParams, force: bool = False) -> int:
    """Move an alias to a version that is whole, computes what it did, keeps the budget and is no worse.

    Parameters
    ----------
    tracker : Tracker
    which : str
        Number or alias of a version of `params.registered_name`.
    to : str
        The alias to move.
    params : SelectParams
        Its budget must be kept, and `metric` on validation be at most `margin` below that of the version that has the
        alias now.
    force : bool
        Move it also where the budget is not kept or the version is worse; never where its files are wrong.

    Returns
    -------
    int
        The version.

    Raises
    ------
    DataError
        If there is no such version, or what was registered is not all there.
    ModelError
        If its files are not those that were registered, or score otherwise.
    EdacError
        If it breaks the budget, is worse, or is not shown to be better than chance.
    """
    name = params.registered_name
    version = tracker.find_version(name, which)
    title = f"{name} version {version.number}"
    with tempfile.TemporaryDirectory() as temporary:
        release = Path(temporary) / "release"
        tracker.download(name, str(version.number), release)
        selection = check_release(release, title, version.tags.get("sha256", ""))
    if not force:
        if not selection.may_be_deployed:
            raise EdacError(f"{title} is {selection.warning} Or add --force.")
        _keeps_budget(selection, version, title, params)
        present = next((each for each in tracker.versions(name) if to in each.aliases), None)
        if present is not None and present.number != version.number:
            _is_no_worse(version, present, title, to, params)
    tracker.set_alias(name, to, version.number)
    return version.number


def check_release(release: Path, title: str, sha256: str) -> Selection:
    """Check that a release's model is the one of the digest and scores its golden recordings as in the sweep.

    Parameters
    ----------
    release : Path
    title : str
        For messages.
    sha256 : str

    Returns
    -------
    Selection

    Raises
    ------
    ModelError
    """
    selection = selection_file.read(release)
    if not files.sha256(release / "model.tflite") == sha256 == selection.variant.sha256:
        raise ModelError(f"{title} holds another model.tflite than was registered (sha256). Run `dvc repro select`.")
    try:
        frontend, model = Model(release / "frontend.tflite"), Model(release / "model.tflite")
        n_crops = frontend_file.read(release).crops
        for i, scores in enumerate(selection.golden_scores):
            samples, _ = read_wav(release / "golden" / f"{i}.wav")
            found = model.mean_over_crops(frontend.run(samples[np.newaxis]), n_crops)[0]
            difference = float(np.abs(found - scores).max())
            if difference > TOLERANCE:
                raise ModelError(
                    f"{title} scores golden/{i}.wav {difference:.2g} away from the sweep; {TOLERANCE:g} is allowed. "
                    "Run `dvc repro sweep select` with the LiteRT of this machine."
                )
    except RuntimeInputError as error:
        raise ModelError(f"{title} does not run: {error}") from None
    return selection


def _keeps_budget(selection: Selection, version: "Version", title: str, params: SelectParams) -> None:
    row: Row = asdict(selection.measured)
    row |= {f"validation_{name}": estimate.value for name, estimate in selection.validation.pooled.items()}
    for limit in filter(device_of, params.budget):
        figures = version.device(device_of(limit))
        row[limit] = figures.get("together_ms", {}).get("p50")
    for limit, over in excess(row, params.budget).items():
        raise EdacError(
            f"{title} breaks select.budget.{limit} {params.budget[limit]:.12g} by {over:.1%}. Choose another version, "
            "or add --force."
        )


def _is_no_worse(version: "Version", present: "Version", title: str, to: str, params: SelectParams) -> None:
    figure = f"validation.{params.metric}"
    new, old = (each.tags.get(figure) for each in (version, present))
    if old is not None and (new is None or float(new) < float(old) - params.margin - 1e-9):
        raise EdacError(
            f"{title} has {figure} {new}, more than select.margin {params.margin:g} below the {old} of version "
            f"{present.number}, which is {to} now. Choose another version, or add --force."
        )
