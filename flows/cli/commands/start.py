"""`edac start`: from a folder of recordings to a `params.yaml` that is right for them."""

from pathlib import Path

from flows.cli.arguments import Commands, action


def add(commands: Commands) -> None:
    """Add the command."""
    start = commands.add_parser("start", help="look at your recordings and write a params.yaml that is right for them")
    start.add_argument("recordings", type=Path, metavar="FOLDER|CSV", help="recordings, or a table that lists them")
    several = "; or several, with commas, that have 1 where their label holds"
    for kind, more in (("label", several), ("group", "; `file` for each its own"), ("split", ""), ("site", "")):
        text = f"field that holds the {kind}, or a regular expression with one pair of parentheses{more}"
        start.add_argument(f"--{kind}", metavar="FIELD", help=text)
    text = "character between several labels of a recording; default: |, or what seems to stand there"
    start.add_argument("--label-separator", metavar="C", help=text)
    text = "label to leave out, with the recordings that have no other; may be given several times"
    start.add_argument("--leave-out", action="append", default=[], metavar="LABEL", help=text)
    text = "take recordings whole, whatever parts of them tables, Audacity's labels or Raven's selections mark"
    start.add_argument("--whole", action="store_true", help=text)
    text = "make what lies between marked parts a label, `background`; everything that matters must be marked"
    start.add_argument("--background", action="store_true", help=text)
    start.add_argument("--bytes", metavar="N", help="largest model file, such as 60kB or 1MB; default: 100kB")
    start.add_argument("--latency-ms", type=float, metavar="MS", help="longest time for one clip; default: 50")
    start.add_argument(
        "--minutes", type=float, default=10.0, metavar="M", help="training time on two cores; default: 10"
    )
    start.add_argument("--positive", metavar="LABEL", help="positive class of two; default: guessed from its name")
    text = "what becomes of names such as `dog` and `Dog`: one spelling, or kept apart; default: `dvc repro` stops"
    start.add_argument("--similar-names", choices=("merge", "allow"), help=text)
    start.add_argument("--name", metavar="NAME", help="name of the registered model; default: edac- and the folder's")
    start.add_argument("--yes", action="store_true", help="ask nothing")
    start.add_argument("--explain", action="store_true", help="show the params.yaml and write nothing")
    start.add_argument("--force", action="store_true", help="overwrite a params.yaml of your own")
    start.set_defaults(run=action("start.start"))
