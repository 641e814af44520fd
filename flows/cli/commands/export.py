"""`edac export`: the classifier as a file for programs that are not EDAC's."""

import argparse
from pathlib import Path

from flows.cli.arguments import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    export = commands.add_parser("export", help="write the classifier as one file for other programs")
    what = export.add_mutually_exclusive_group(required=True)
    what.add_argument("--single", action="store_true", help="front end and model in one .tflite, float32 at both ends")
    which = export.add_mutually_exclusive_group()
    which.add_argument(
        "--alias", default="champion", help="alias or version of the registered model; default: champion"
    )
    which.add_argument("--folder", type=Path, metavar="F", help="folder of a release, or models/selected")
    export.add_argument(
        "--output", type=Path, default=Path("classifier.tflite"), metavar="FILE", help="default: classifier.tflite"
    )
    export.set_defaults(run=_export)


def _export(given: argparse.Namespace) -> None:
    import tempfile

    from flows.cli import project
    from stages.select import single_file

    if given.folder is not None:
        print(single_file.export(given.folder, given.output))
        return
    with tempfile.TemporaryDirectory() as temporary:
        selected = Path(temporary) / "selected"
        project.find().download(project.registered_name(), given.alias, selected)
        print(single_file.export(selected, given.output))
