"""The runs of a search over recipes: one of its own, and one per candidate.

They carry no `edac.sweep` and no `edac.key`, so that no sweep, table or registry takes them for variants.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.core.tracking import environment  # noqa: F401  before MLflow reads it

# isort: split

from mlflow.entities import Param
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from stages.core.project.params import Options
from stages.core.tracking.experiment import Experiment, metrics_of
from stages.core.tracking.records import plain

_SEARCH, _CANDIDATE = "edac.tune", "edac.tune.candidate"


@dataclass(frozen=True)
class Candidate:
    """A candidate of a search.

    Attributes
    ----------
    name : str
    parameters : dict
        What it changes in the recipe.
    figures : dict[str, float]
    state : str
        Such as ``"pruned"``.
    """

    name: str
    parameters: Options
    figures: dict[str, float]
    state: str


def log_search(
    experiment: Experiment, key: str, candidates: Sequence[Candidate], figures: Mapping[str, Any], text: str
) -> str:
    """Log a search and the candidates that MLflow lacks of it; may be repeated.

    Parameters
    ----------
    experiment : Experiment
    key : str
        Digest of the search.
    candidates : sequence of Candidate
    figures : Mapping[str, Any]
        Numbers, or nested tables of them, of the search as a whole.
    text : str
        Its report, the description of its run.

    Returns
    -------
    str
        Id of the search's run.
    """
    client = experiment.client
    earlier = experiment._runs(f"tags.`{_SEARCH}` = '{key}'")
    run_id = earlier[0].info.run_id if earlier else experiment._create(f"tune-{key[:8]}", {_SEARCH: key})
    client.set_tag(run_id, MLFLOW_RUN_NOTE, f"```\n{text}\n```")
    client.log_batch(run_id, metrics=metrics_of(figures))
    known = {run.data.tags[_CANDIDATE]: run for run in experiment._runs(f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'")}
    for each in candidates:
        run = known.get(each.name)
        if run is not None and run.data.tags.get("state") == each.state:
            continue
        tags = {MLFLOW_PARENT_RUN_ID: run_id, _CANDIDATE: each.name}
        child = run.info.run_id if run is not None else experiment._create(f"{key[:8]}-{each.name}", tags)
        client.set_tag(child, "state", each.state)
        parameters = [Param(plain(name), str(value)) for name, value in each.parameters.items()]
        client.log_batch(child, metrics=metrics_of(each.figures), params=parameters if run is None else [])
        client.set_terminated(child, "FAILED" if each.state == "failed" else "FINISHED")
    client.set_terminated(run_id, "FINISHED")
    return run_id
