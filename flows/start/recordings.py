"""Lengths, rates and labels of the recordings that `params.yaml` names, as far as they are there."""

from pathlib import Path

import numpy as np

from flows.start.survey import survey
from stages.core.artifacts import pull_report
from stages.core.artifacts.recordings import labels_of, read_index, read_labels
from stages.core.project import layout
from stages.core.project.errors import DataError
from stages.pull.listing import Listing
from stages.pull.params import PullParams
from stages.pull.sources import folder as own


def labels(pull: PullParams) -> tuple[str, ...]:
    """Return the labels in any order; empty if they cannot be known before the recordings are pulled."""
    module, _ = pull.configure()
    if module.LABELS:
        return tuple(module.LABELS)
    if _pulled(pull) and layout.LABELS.is_file():
        return read_labels(layout.LABELS)
    return tuple(sorted({name for each in _listed(pull) for name in labels_of(each.label)}))


def lengths(pull: PullParams) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the lengths (seconds) and sample rates (Hz), of the pulled recordings or of a sample of the user's own.

    Returns
    -------
    seconds, rates : np.ndarray, shape (n,)
        None if there are no recordings yet.
    """
    if _pulled(pull):
        index = read_index(layout.INDEX)
        return np.array([r.duration_s for r in index]), np.array([r.sample_rate for r in index])
    listed = _listed(pull)
    if not listed:
        return None
    root = Path(pull.configure()[1].root).expanduser()
    try:
        found = survey(root, [(each.path.as_posix(), each.span) for each in listed], [each.label for each in listed])
    except DataError:  # pull names every one that cannot be decoded
        return None
    rates = np.repeat(list(found.rates), list(found.rates.values()))
    return found.seconds, rates


def _pulled(pull: PullParams) -> bool:
    try:
        return layout.INDEX.is_file() and pull_report.read(layout.PULL_REPORT).source == pull.source
    except DataError:
        return False


def _listed(pull: PullParams) -> list[Listing]:
    """Return the user's own recordings; nothing if the source is another or says what is wrong."""
    module, config = pull.configure()
    if module is not own:
        return []
    try:
        return [each for each in own.recordings(config, Path()) if not each.excluded]
    except DataError:
        return []
