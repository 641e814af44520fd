"""Who gets a release, in which order, and who is spared it: with deliveries that need no device, and real ones."""

import threading
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.project.errors import DeviceError
from stages.push import fleet
from stages.push.fleet import Result
from stages.push.params import Device, PushParams, RolloutParams, devices
from stages.push.rollout import Delivery
from stages.push.transport import Transport

BUNDLE = Path("a release")


def fleet_of(n: int, folder: str = "devices") -> PushParams:
    return PushParams(
        devices=tuple({"name": f"d{i}", "transport": "local", "folder": Path(folder, f"d{i}")} for i in range(n))
    )


class Deliveries:
    """Stands for the devices: those in `failing` refuse, the others take the release."""

    def __init__(self, failing: Collection[str] = ()) -> None:
        self.failing, self.tried = failing, list[str]()

    def __call__(self, transport: Transport, bundle: Path, *, keep: int, force: bool) -> Delivery:
        assert (bundle, keep) == (BUNDLE, 3)
        self.tried.append(transport.name)
        if transport.name in self.failing:
            raise DeviceError(f"Device {transport.name} refuses.")
        return Delivery("0123456789ab", "f" * 64, {"golden/0.wav": 0.25}, installed=force)


def roll_out(n: int, deliver: fleet.Deliver, **rollout: int) -> list[Result]:
    params = fleet_of(n)
    return fleet.roll_out(devices(params), BUNDLE, params=PushParams(rollout=RolloutParams(**rollout)), deliver=deliver)


def test_what_becomes_of_each_is_told_in_the_order_given() -> None:
    params = fleet_of(2)
    for force, outcome in ((True, "installed"), (False, "already there")):
        first, second = fleet.roll_out(devices(params), BUNDLE, params=params, force=force, deliver=Deliveries())
        assert (first.device.name, second.device.name) == ("d0", "d1")
        assert first.outcome == second.outcome == outcome
        assert first.delivery == Delivery("0123456789ab", "f" * 64, {"golden/0.wav": 0.25}, installed=force)


def test_a_failing_canary_spares_all_others() -> None:
    deliver = Deliveries(failing={"d1"})
    results = roll_out(5, deliver, canary=3, stop_at_failures=9)
    assert deliver.tried == ["d0", "d1"]
    assert [r.outcome for r in results] == ["already there", "failed", "not tried", "not tried", "not tried"]
    assert results[1].reason == "Device d1 refuses."


@given(
    st.sets(st.integers(0, 7)),
    st.integers(0, 8),
    st.integers(0, 3),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_who_is_tried(failing: set[int], n: int, canary: int, parallel: int, stop: int) -> None:
    deliver = Deliveries({f"d{i}" for i in failing})
    results = roll_out(n, deliver, canary=canary, parallel=parallel, stop_at_failures=stop)
    assert [r.device.name for r in results] == [f"d{i}" for i in range(n)]
    assert sorted(deliver.tried) == [r.device.name for r in results if r.outcome != "not tried"]
    for i, result in enumerate(results):
        if result.outcome != "not tried":
            assert (result.outcome == "failed") == (i in failing)
    canaries, rest = results[:canary], results[canary:]
    failed = sum(r.outcome == "failed" for r in rest)
    if any(r.outcome == "failed" for r in canaries):
        assert sum(r.outcome == "failed" for r in canaries) == 1
        assert all(r.outcome == "not tried" for r in rest)
    else:
        assert deliver.tried[: len(canaries)] == [r.device.name for r in canaries], "one after another"
        assert failed <= stop - 1 + parallel, "those under way may fail too"
        assert failed >= stop or all(r.outcome != "not tried" for r in rest)


def test_the_rest_goes_in_parallel_up_to_the_limit() -> None:
    meeting, lock = threading.Barrier(3, timeout=20), threading.Lock()
    busy, most = 0, 0

    def deliver(transport: Transport, bundle: Path, *, keep: int, force: bool) -> Delivery:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        if transport.name != "d0":
            meeting.wait()  # breaks unless three are here at a time
        with lock:
            busy -= 1
        return Delivery("0123456789ab", "f" * 64, {"golden/0.wav": 0.0}, installed=True)

    results = roll_out(7, deliver, canary=1, parallel=3)
    assert {r.outcome for r in results} == {"installed"}
    assert most == 3


def test_what_is_no_refusal_of_a_device_is_not_swallowed() -> None:
    def deliver(transport: Transport, bundle: Path, *, keep: int, force: bool) -> Delivery:
        raise KeyError(transport.name)

    for canary in (0, 1):
        with pytest.raises(KeyError, match="d0"):
            roll_out(3, deliver, canary=canary, parallel=1)


@pytest.mark.thorough
def test_real_devices_one_of_which_never_answers(bundles: list[Path], tmp_path: Path) -> None:
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    tables = [{"name": f"d{i}", "transport": "local", "folder": tmp_path / f"d{i}"} for i in range(3)]
    tables[1] |= {"python": str(silent), "timeout_s": 0.3}
    params = PushParams(devices=tuple(tables), rollout=RolloutParams(parallel=2, stop_at_failures=2))
    results = fleet.roll_out(devices(params), bundles[0], params=params)
    assert [r.outcome for r in results] == ["installed", "failed", "installed"]
    assert "Device d1 gave no answer within 0.3 s" in results[1].reason
    assert (tmp_path / "d2/current/model.tflite").read_bytes() == (bundles[0] / "model.tflite").read_bytes()
    assert not (tmp_path / "d1/current").exists()
    tables[1] = {"name": "d1", "transport": "local", "folder": tmp_path / "d1"}
    params = PushParams(devices=tuple(tables), rollout=params.rollout)
    again = fleet.roll_out(devices(params), bundles[0], params=params)
    assert [r.outcome for r in again] == ["already there", "installed", "already there"]
    assert again[0].plain() == results[0].plain() | {"name": "d0"}


def test_an_entry_of_push_json() -> None:
    (device,) = devices(fleet_of(1))
    delivery = Delivery("0123456789ab", "f" * 64, {"golden/0.wav": 1e-9, "golden/1.wav": 0.012345}, installed=True)
    assert Result(device, "installed", delivery).plain() == {
        "name": "d0",
        "transport": "local",
        "release": "0123456789ab",
        "model_sha256": "f" * 64,
        "max_difference": 0.0123,
        "differences": {"golden/0.wav": 0.0, "golden/1.wav": 0.0123},
    }
    with pytest.raises(DeviceError, match=r"Device d0 .*\(not tried\)"):
        Result(device, "not tried").plain()


def test_the_table_and_the_error_name_who_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    results = roll_out(3, Deliveries(failing={"d1"}), parallel=1)
    with pytest.raises(DeviceError, match=r"^d1, d2 did not take"):
        fleet.show(results)
    head, first, second, third = capsys.readouterr().out.splitlines()
    assert head.split() == ["device", "outcome", "release"]
    assert first.split(maxsplit=4)[-1] == "scores within 0.25 of home's"
    assert second.split(maxsplit=2) == ["d1", "failed", "Device d1 refuses."]
    assert third.split() == ["d2", "not", "tried"]
    fleet.show(results[:1])


def test_a_question_to_all_is_answered_in_their_order() -> None:
    def name(device: Device) -> str:
        if device.name == "d1":
            raise DeviceError("Device d1 is off.")
        return device.name

    answers = fleet.ask(devices(fleet_of(3)), name, parallel=2)
    assert (answers[0], str(answers[1]), answers[2]) == ("d0", "Device d1 is off.", "d2")
    assert fleet.ask([], name, parallel=2) == []
