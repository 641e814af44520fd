"""Functions that run the commands of `edac`, imported by `flows.cli.arguments.action` when a command is given."""
