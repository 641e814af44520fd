"""The `push` section: what it refuses, and how."""

from pathlib import Path
from typing import Any

import pytest

from stages.core.project import params
from stages.core.project.errors import ParameterError
from stages.push.params import Device, PushParams, choose, devices
from stages.push.transports.local import Config

LOCAL = {"name": "bench", "transport": "local", "folder": "models/devices/bench"}


def load(**values: Any) -> PushParams:
    return params.load(PushParams, values, "push")


def test_devices_are_configured_in_the_order_given() -> None:
    attic = LOCAL | {"name": "attic", "folder": "attic", "python": "/opt/python", "timeout_s": 5}
    first, second = devices(load(devices=[LOCAL, attic]))
    assert (first.name, first.transport) == ("bench", "local")
    assert first.config == Config(Path("models/devices/bench"))
    assert (second.name, second.config.python, second.config.timeout_s) == ("attic", "/opt/python", 5.0)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"keep_releases": 1}, r"push.keep_releases .*got 1"),
        ({"devices": [LOCAL, LOCAL]}, r"push.devices .*got 'bench'"),
        (
            {"devices": [LOCAL, LOCAL | {"name": "x"}]},
            r"push.devices must have one entry per folder .*got \['bench', 'x'\]",
        ),
        (
            {"devices": [{"transport": "local"}]},
            r"push.devices\[0\].name .*got None",
        ),
        ({"devices": [LOCAL | {"name": 3}]}, r"push.devices\[0\].name must be text; got 3"),
        ({"devices": [LOCAL, {"name": "x"}]}, r"push.devices\[1\].transport must be text; got None"),
        (
            {"devices": [LOCAL | {"transport": "lokal"}]},
            r"push.devices\[0\].transport .*stages/push/transports/; got 'lokal'.*mean",
        ),
        (
            {"devices": [LOCAL | {"path": "x"}]},
            r"push.devices\[0\] .*'path'.*Known: folder, python",
        ),
        (
            {"devices": [{"name": "x", "transport": "local"}]},
            r"push.devices\[0\].folder .*no default",
        ),
        ({"devices": [LOCAL | {"timeout_s": 0}]}, "timeout_s must be positive; got 0"),
        ({"devices": ["local"]}, r"push.devices\[0\] must be a table"),
        ({"devices": [LOCAL | {"class": "Jetson!"}]}, r"push.devices\[0\].class .*small letters"),
        ({"devices": [LOCAL | {"class": None}]}, r"push.devices\[0\].class .*small letters"),
        ({"devices": [LOCAL | {"group": 3}]}, r"push.devices\[0\].group must be text; got 3"),
        ({"devices": [LOCAL | {"labels": "roof"}]}, r"push.devices\[0\].labels must be a list .* Write \[roof\]"),
        ({"devices": [LOCAL | {"label": ["roof"]}]}, r"push.devices\[0\] has no parameter 'label'"),
        ({"device_class": "a b"}, r"push.device_class .*small letters"),
        ({"rollout": {"canary": -1}}, "push.rollout.canary must be at least 0; got -1"),
        ({"rollout": {"parallel": 0}}, "push.rollout.parallel must be at least 1; got 0"),
        ({"rollout": {"stop_at_failures": 0}}, r"push.rollout.stop_at_failures .*got 0"),
        ({"rollout": {"canaries": 1}}, r"push.rollout .*'canaries'.*'canary'"),
        ({"signing_key": 7}, "push.signing_key must be a path; got 7"),
        ({"inventory": "no/such.yaml"}, r"no/such.yaml does not exist"),
    ],
)
def test_refusals(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        load(**values)


def test_an_inventory_adds_devices(tmp_path: Path) -> None:
    inventory = tmp_path / "fleet.yaml"
    inventory.write_text("- {name: attic, transport: local, folder: a, class: jetson, group: house, labels: [roof]}\n")
    first, second = devices(load(devices=[LOCAL], inventory=str(inventory)))
    assert (first.name, first.device_class, first.group, first.labels) == ("bench", "any", "", ())
    assert (second.name, second.device_class, second.group, second.labels) == ("attic", "jetson", "house", ("roof",))
    assert second.config == Config(Path("a"))
    inventory.write_text("- {name: bench, transport: local, folder: a}\n")
    with pytest.raises(ParameterError, match=r"push.devices with .*fleet.yaml must .*got 'bench'"):
        load(devices=[LOCAL], inventory=str(inventory))
    inventory.write_text("- {name: attic, transport: local}\n")
    with pytest.raises(ParameterError, match=r"fleet.yaml\[0\].folder must be given"):
        load(inventory=str(inventory))
    inventory.write_text("devices: []\n")
    with pytest.raises(ParameterError, match=r"fleet.yaml must .*got {'devices': \[\]}"):
        load(inventory=str(inventory))


@pytest.fixture
def known() -> list[Device]:
    tables = [("a", "house", ["roof", "old"]), ("b", "house", []), ("c", "", ["roof"])]
    return devices(load(devices=[LOCAL | {"name": n, "folder": n, "group": g, "labels": ls} for n, g, ls in tables]))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "abc"),
        ({"names": ["c", "a"]}, "ac"),
        ({"groups": ["house"]}, "ab"),
        ({"labels": ["roof"]}, "ac"),
        ({"labels": ["roof", "old"], "groups": ["house"]}, "a"),
    ],
)
def test_devices_are_chosen_by_name_group_and_label(known: list[Device], wanted: dict[str, Any], found: str) -> None:
    assert "".join(device.name for device in choose(known, **wanted)) == found


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"names": ["d"]}, "push.devices has no device 'd'. Known: a, b, c."),
        ({"groups": ["hose"]}, r"push.devices .*group 'hose'.*'house'"),
        ({"labels": ["new"]}, r"push.devices .*label 'new'.*Known: old, roof\."),
        ({"names": ["c"], "groups": ["house"]}, r"push.devices .*name, group and label"),
    ],
)
def test_a_choice_of_none_is_refused(known: list[Device], wanted: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        choose(known, **wanted)
