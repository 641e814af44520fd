"""Run `edac start`."""

import argparse

from flows.start import run
from flows.start.naming import Asked


def start(given: argparse.Namespace) -> None:
    """Look at recordings and write a params.yaml for them."""
    asked = Asked(given.label, given.group, given.split, given.site)
    device = run.Device(given.bytes, given.latency_ms)
    rest = run.Rest(given.minutes, given.positive, given.name, given.similar_names)
    run.start(given.recordings, asked, device, rest, run.Manner(given.yes, given.explain, given.force))
