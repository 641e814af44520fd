"""Bundle the selected variant and bring it to every device in `params.yaml`: `python -m stages.push`."""

from stages.core.artifacts import selection as selection_file
from stages.core.project import errors, files, layout, params
from stages.core.tracking import connection, records
from stages.push import fleet
from stages.push.params import PushParams, devices


def main() -> None:
    """Run the stage; its output is written if every device took the release."""
    section = params.section("push", PushParams)
    selection = selection_file.read(layout.SELECTED)
    name, variant = selection.registered_name, selection.variant
    tracker = connection.connect(layout.MLRUNS, name)
    version = tracker.version(name, variant.sha256)
    if version is None:
        raise errors.DataError(
            f"{variant.name} is not registered as {name}, so that it has no version. Run "
            "`dvc repro --force --single-item select`."
        )
    champion = next((each.number for each in tracker.versions(name) if records.CHAMPION in each.aliases), None)
    if version != champion:
        devices_get = f"version {champion} is" if champion else "no version is"
        if selection.may_be_deployed:
            cause, remedy = "", f"`edac promote {version}`"
        else:
            cause, remedy = f" It is {selection.warning}", f"`edac promote {version} --force`, if you mean it,"
        raise errors.EdacError(
            f"{name} version {version}, the winner, is not its champion, which is what devices get: {devices_get}."
            f"{cause} Run {remedy} and then `dvc repro`."
        )
    results = fleet.push(devices(section), layout.SELECTED, version=version, params=section)
    fleet.show(results)
    files.write_json(layout.PUSHED, [result.plain() for result in results])


if __name__ == "__main__":
    errors.run(main)
