"""Run `edac start`."""

import argparse

from flows.start import run
from flows.start.naming import Asked
from stages.pull.joined import require_separator


def start(given: argparse.Namespace) -> None:
    """Look at recordings and write a params.yaml for them."""
    require_separator("--label-separator", given.label_separator)
    fields = given.label, given.group, given.split, given.site, given.label_separator
    asked = Asked(*fields, tuple(given.leave_out), background=given.background)
    device = run.Device(given.bytes, given.latency_ms)
    rest = run.Rest(given.minutes, given.positive, given.name, given.similar_names, given.whole)
    run.start(given.recordings, asked, device, rest, run.Manner(given.yes, given.explain, given.force))
