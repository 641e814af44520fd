"""Deployments that Prefect's UI can start: `python -m flows.serve` serves them until it is stopped.

pipeline/nightly   the pipeline from pull to the registry, as in `params.yaml`, at the times of `sweep.nightly`
grid/on-demand     another grid on the same baseline; changes neither `params.yaml` nor outputs of `dvc repro`
push/fleet         a registered model to the devices

All of them work in this folder, with the store and the locks of `dvc repro`, so nothing is computed twice. They need
PREFECT_API_URL; `flows.ui` starts everything they need. The schedule is paused while nothing serves it.
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
from flows.execution.prefect_server import require_named_server
from flows.push import push
from flows.sweep import project
from flows.sweep.params import SweepParams
from flows.sweep.run import AXES
from stages.core.project import errors, params, plugins
from stages.prune.params import CRITERIA, SCHEDULES
from stages.quantize.params import SCHEMES


def _shown(description: str, **schema: Any) -> Any:
    """Return a parameter's entry in the form; Prefect reads it from the schema alone."""
    return Field(json_schema_extra={"description": description, **schema})


def _some(package: str, more: str = "") -> Any:
    """Return the form's entry for names of a package's plug-ins."""
    items = {"type": "string", "enum": plugins.names(package)}
    return _shown(f"Files of {package.replace('.', '/')}/. {more}".rstrip(), items=items, uniqueItems=True)


Sparsity = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


@flow(log_prints=True)
def pipeline() -> None:
    """Bring everything from pull to the registry up to date with `params.yaml`; devices are left alone."""
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
    seeds: Annotated[list[Seed], _shown("Seeds of the fine-tuning.", uniqueItems=True, minItems=1)],
    distilled: Annotated[
        list[bool], _shown("Whether fine-tuning also learns from distill.teacher.", uniqueItems=True, minItems=1)
    ],
    workers: Annotated[int | None, _shown("Cells at a time. None: as many as fit.", minimum=1)],
) -> None:
    """Sweep another grid. Every variant goes to the store and to MLflow.

    All other parameters come from `params.yaml`, which does not change. To let `select` choose among these variants,
    write the grid there and run `dvc repro`: nothing made here is made again.
    """
    dvc("repro", "train")
    section = replace(
        params.section("sweep", SweepParams),
        criteria=tuple(criteria),
        schedules=tuple(schedules),
        sparsities=tuple(sparsities),
        schemes=tuple(schemes),
        qat_schemes=tuple(qat_schemes),
        seeds=tuple(seeds),
        distilled=tuple(distilled),
        workers=workers,
    )
    _sweep(section)


def _sweep(section: SweepParams) -> None:
    """Sweep in this process, so that the sweep is a subflow of this flow run."""
    variants = project.sweep_project(section)
    print(f"{len(variants)} variants are in {section.store} and in MLflow")


def dvc(*arguments: str) -> None:
    """Run a DVC command in this folder and print its output."""
    with tempfile.TemporaryDirectory() as folder:
        run_dvc(*arguments, log=Path(folder) / "dvc.log", on_line=print)


async def deployments() -> list[RunnerDeployment]:
    """Return the deployments; their forms start from the values of `params.yaml`.

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


async def close_abandoned(served: list[RunnerDeployment]) -> None:
    """Close runs that a killed server of these deployments left open, and delete those that it missed."""
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
    require_named_server()
    served = await deployments()
    await close_abandoned(served)
    await aserve(*served, print_starting_message=False)


def main() -> None:
    """Serve the deployments."""
    asyncio.run(serve())


if __name__ == "__main__":
    errors.run(main)
