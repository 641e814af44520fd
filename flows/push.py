"""The registry's choice onto the fleet as a Prefect flow, so that a schedule or a person in the UI can push.

`edac push` does the same without Prefect. `python -m flows.push` serves the deployment `push/fleet` until it is
stopped; `prefect deployment run push/fleet --param group=attic` runs it then. Both need PREFECT_API_URL.
"""

from prefect import flow

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
    group : str or None
        Of devices; None is all.
    force : bool
        Install it also where a newer version runs.

    Raises
    ------
    EdacError
        If there is no such version or group, or a device did not take the release.
    """
    section, name = params.section("push", PushParams), params.section("select", SelectParams).registered_name
    chosen = choose(devices(section), groups=[] if group is None else [group])
    tracker = connection.connect(layout.MLRUNS, name)
    fleet.show(fleet.push_registered(chosen, tracker, name, alias, params=section, force=force))


def main() -> None:
    """Serve the deployment."""
    push.serve("fleet")


if __name__ == "__main__":
    errors.run(main)
