"""Commands of `edac`, one file per area; `flows.cli.main` finds every file here.

Each file has one function `add(commands)`, which adds subparsers and sets the function that runs each one
(`set_defaults(run=...)`). Heavy imports stand inside those functions, so that `edac --help` answers at once.
"""
