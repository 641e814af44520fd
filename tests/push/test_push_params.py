"""The `push` section: what it refuses, and how."""

from pathlib import Path
from typing import Any

import pytest

from stages.core import params
from stages.core.errors import ParameterError
from stages.push.params import PushParams, devices
from stages.push.transports.local import Config

LOCAL = {"name": "bench", "transport": "local", "folder": "models/devices/bench"}


def load(**values: Any) -> PushParams:
    return params.load(PushParams, values, "push")


def test_devices_are_configured_in_the_order_given() -> None:
    first, second = devices(load(devices=[LOCAL, LOCAL | {"name": "attic", "python": "/opt/python", "timeout_s": 5}]))
    assert (first.name, first.transport) == ("bench", "local")
    assert first.config == Config(Path("models/devices/bench"))
    assert (second.name, second.config.python, second.config.timeout_s) == ("attic", "/opt/python", 5.0)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"golden_recordings": 0}, "push.golden_recordings must be at least 1; got 0"),
        ({"keep_releases": 1}, "push.keep_releases must be at least 2; got 1. A device needs the release before"),
        ({"devices": [LOCAL, LOCAL]}, "push.devices must have one entry per name; got 'bench'"),
        (
            {"devices": [{"transport": "local"}]},
            r"push.devices\[0\].name must be text; got None. Give the device a name",
        ),
        ({"devices": [LOCAL | {"name": 3}]}, r"push.devices\[0\].name must be text; got 3"),
        ({"devices": [LOCAL, {"name": "x"}]}, r"push.devices\[1\].transport must be text; got None"),
        (
            {"devices": [LOCAL | {"transport": "lokal"}]},
            r"push.devices\[0\].transport must name a file of stages/push/transports/; got 'lokal'. Did you mean",
        ),
        (
            {"devices": [LOCAL | {"path": "x"}]},
            r"push.devices\[0\] has no parameter 'path'. .*Known: folder, python",
        ),
        (
            {"devices": [{"name": "x", "transport": "local"}]},
            r"push.devices\[0\].folder must be given; it has no default",
        ),
        ({"devices": [LOCAL | {"timeout_s": 0}]}, "timeout_s must be positive; got 0"),
        ({"devices": ["local"]}, r"push.devices\[0\] must be a table"),
    ],
)
def test_refusals(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        load(**values)
