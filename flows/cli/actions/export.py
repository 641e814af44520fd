"""Run `edac export`."""

import argparse
import tempfile
from pathlib import Path

from flows.cli import registry
from stages.select import single_file


def export(given: argparse.Namespace) -> None:
    """Write front end and model of a registered version or of a folder as one file."""
    if given.folder is not None:
        print(single_file.export(given.folder, given.output))
        return
    with tempfile.TemporaryDirectory() as temporary:
        selected = Path(temporary) / "selected"
        registry.find().download(registry.registered_name(), given.alias, selected)
        print(single_file.export(selected, given.output))
