"""What Prefect's UI can start, by the clock or by a click: `python -m flows.serve` serves it until it is stopped.

pipeline/nightly   from pull to the registry as `params.yaml` has it, at `sweep.nightly`
grid/on-demand     another grid on the same baseline; `params.yaml` and what `dvc repro` left stay as they are
push/fleet         the registry's choice onto the devices

All of it works in this folder, on the store and behind the locks of `dvc repro`: nothing is made twice, whoever asks
for it. Needs PREFECT_API_URL; `flows.ui` starts all that is needed. While nobody serves, the schedule is paused.
"""

import asyncio
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from prefect import aserve, flow, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.deployments.runner import RunnerDeployment
from prefect.states import Crashed
from pydantic import Field

from flows.execution.dvc_command import dvc as run_dvc
from flows.push import push
from flows.sweep import project
from flows.sweep.params import SweepParams
from flows.sweep.run import AXES
from stages.core.project import errors, params, plugins
from stages.prune.params import CRITERIA, SCHEDULES
from stages.quantize.params import SCHEMES


def _shown(description: str, **schema: Any) -> Any:
    """Return what the form says of a parameter; Prefect takes it from the schema alone."""
    return Field(json_schema_extra={"description": description, **schema})


def _some(package: str, more: str = "") -> Any:
    """Return what the form says of names of a package's plug-ins."""
    items = {"type": "string", "enum": plugins.names(package)}
    return _shown(f"Files of {package.replace('.', '/')}/. {more}".rstrip(), items=items, uniqueItems=True)


Sparsity = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


@flow(log_prints=True)
def pipeline() -> None:
    """Bring everything from pull to the registry up to date with `params.yaml`; what devices run is not touched."""
    dvc("repro", "train")
    _sweep(params.section("sweep", SweepParams))
    dvc("repro", "select")


@flow(log_prints=True)
def grid(
    criteria: Annotated[list[str], _some(CRITERIA)],
    schedules: Annotated[list[str], _some(SCHEDULES)],
    sparsities: Annotated[list[Sparsity], _shown("Fractions in [0, 1).", uniqueItems=True)],
    schemes: Annotated[list[str], _some(SCHEMES, "Must contain float32, the reference for sizes.")],
    qat_schemes: Annotated[list[str], _some(SCHEMES, "Trained with quantisation-aware training.")],
    seeds: Annotated[list[Seed], _shown("Of the fine-tuning.", uniqueItems=True, minItems=1)],
    distilled: Annotated[
        list[bool], _shown("Whether fine-tuning learns from distill.teacher too.", uniqueItems=True, minItems=1)
    ],
    workers: Annotated[int | None, _shown("Cells at a time. None: as many as fit.", minimum=1)],
) -> None:
    """Sweep a grid of one's own. Every variant goes to the store and to MLflow.

    All else is as `params.yaml` has it, which stays as it is. To have `select` choose among these variants, write the
    grid there and run `dvc repro`: what was made here is not made again.
    """
    dvc("repro", "train")
    axes: dict[str, Any] = {
        "criteria": tuple(criteria),
        "schedules": tuple(schedules),
        "sparsities": tuple(sparsities),
        "schemes": tuple(schemes),
        "qat_schemes": tuple(qat_schemes),
        "seeds": tuple(seeds),
        "distilled": tuple(distilled),
    }
    _sweep(replace(params.section("sweep", SweepParams), **axes, workers=workers))


def _sweep(section: SweepParams) -> None:
    """Sweep in this process, which makes the sweep a part of this flow run's page."""
    variants = project.sweep_project(section)
    print(f"{len(variants)} variants are in {section.store} and in MLflow")


def dvc(*arguments: str) -> None:
    """Run a DVC command here and print what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        run_dvc(*arguments, log=Path(folder) / "dvc.log", tell=print)


async def deployments() -> list[RunnerDeployment]:
    """Return what is served; the form starts from the values of `params.yaml`.

    Raises
    ------
    ParameterError
        If the section `sweep` is invalid.
    """
    section = params.section("sweep", SweepParams)
    values = {name: getattr(section, name) for name in (*AXES, "workers")}
    return [
        await pipeline.ato_deployment("nightly", cron=section.nightly, paused=False, tags=["edac"]),
        await grid.ato_deployment("on-demand", parameters=values, tags=["edac"]),
        await push.ato_deployment("fleet", tags=["edac"]),
    ]


async def forsaken(served: list[RunnerDeployment]) -> None:
    """Close the runs that a killed server of these deployments left open, and forget those that it missed."""
    async with get_client() as client:
        for each in served:
            mine = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[await each.aapply()]))
            for run in await client.read_flow_runs(flow_run_filter=mine):
                if _missed(run):
                    await client.delete_flow_run(run.id)
                elif run.state and (run.state.is_running() or run.state.is_pending() or run.state.is_cancelling()):
                    await client.set_flow_run_state(run.id, Crashed(message="Its server was killed."), force=True)


def _missed(run: FlowRun) -> bool:
    scheduled = run.auto_scheduled and run.state is not None and run.state.is_scheduled()
    return scheduled and run.expected_start_time is not None and run.expected_start_time < datetime.now(UTC)


async def serve() -> None:
    """Serve until stopped."""
    served = await deployments()
    await forsaken(served)
    await aserve(*served, print_starting_message=False)


def main() -> None:
    """Serve the deployments."""
    asyncio.run(serve())


if __name__ == "__main__":
    errors.run(main)
