"""Run `edac classify`."""

import argparse
import json
from functools import partial

from flows.cli import project
from stages.push import listening, rollout
from stages.push.transports import local

_LONG_S = 24 * 3600.0  # for recordings of any length on this machine


def classify(given: argparse.Namespace) -> None:
    """Print the answer of a device, or of a folder with a release, for each recording."""
    if given.folder is None:
        device = project.device(given.device)
        ask = partial(rollout.classify, device.connect())
        here = device.config.folder / rollout.CURRENT if isinstance(device.config, local.Config) else None
    else:
        ask = partial(
            rollout.classify,
            local.connect(local.Config(given.folder, timeout_s=_LONG_S), str(given.folder)),
            folder=".",
        )
        here = given.folder
    if here is None:  # the paths are the device's own
        answers = ask([str(path.absolute()) for path in given.files])
    else:
        answers = listening.classify(ask, given.files, listening.hearing_of(here))
    for answer in answers:
        print(json.dumps(answer))
