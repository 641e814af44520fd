"""Commands of `edac`, one file per area; `flows.cli.main` finds every file here.

Each file has one function `add(commands)`, which adds subparsers and sets what runs each one:
``set_defaults(run=action("models.promote"))`` is the function `promote` of `flows/cli/actions/models.py`. That file is
imported when the command is given, so that `edac --help` answers at once.
"""
