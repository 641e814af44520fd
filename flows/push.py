"""A Prefect flow that pushes a registered model to devices, from a schedule or from Prefect's UI.

`edac push` does the same without Prefect. `python -m flows.push` serves the deployment `push/fleet` until it is
stopped; `prefect deployment run push/fleet --param group=attic` runs it then. Both need PREFECT_API_URL.
"""

from prefect import flow

from flows.execution.prefect_server import require_named_server
from stages.core.project import errors, layout, params
from stages.core.tracking import connection, records
from stages.push import fleet
from stages.push.params import PushParams, choose, devices
from stages.select.params import SelectParams


@flow(name="push", log_prints=True)
def push(alias: str = records.CHAMPION, group: str | None = None, force: bool = False) -> None:
    """Bring devices to the version of the registered model that has an alias.

    Parameters
    ----------
    alias : str
        Alias of the registered model.
    group : str or None
        Group of devices; None takes all devices.
    force : bool
        Also replace a newer version.

    Raises
    ------
    EdacError
        If there is no such version or group, or a device refused the release.
    """
    section, name = params.section("push", PushParams), params.section("select", SelectParams).registered_name
    chosen = choose(devices(section), groups=[] if group is None else [group])
    tracker = connection.connect(layout.MLRUNS, name)
    fleet.show(fleet.push_registered(chosen, tracker, name, alias, params=section, force=force))


def main() -> None:
    """Serve the deployment."""
    require_named_server()
    push.serve("fleet")


if __name__ == "__main__":
    errors.run(main)
