"""`edac export`: the classifier as a file for programs that are not EDAC's."""

from pathlib import Path

from flows.cli.arguments import Commands, action


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
    export.set_defaults(run=action("export.export"))
