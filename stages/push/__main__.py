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
    if not selection.may_be_deployed and not any(
        each.number == version and records.CHAMPION in each.aliases for each in tracker.versions(name)
    ):
        raise errors.EdacError(f"{name} version {version} is {selection.warning} Or `edac promote {version} --force`.")
    champion = tracker.find_version(name, records.CHAMPION).number
    if version != champion:
        raise errors.EdacError(
            f"{name} version {version}, the winner, is not its champion, which is what devices get: version {champion} "
            f"is. Run `edac promote {version}` and then `dvc repro`."
        )
    results = fleet.push(devices(section), layout.SELECTED, version=version, params=section)
    fleet.show(results)
    files.write_json(layout.PUSHED, [result.plain() for result in results])


if __name__ == "__main__":
    errors.run(main)
