"""What a release costs on the devices that run it, measured there and attached to its version in the registry."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stages.core.project.errors import DeviceError
from stages.push import fleet, rollout
from stages.push.params import Device

if TYPE_CHECKING:
    from stages.core.tracking.connection import Tracker

_COLUMNS = {
    "p50 ms": "together_ms.p50",
    "p95 ms": "together_ms.p95",
    "p99 ms": "together_ms.p99",
    "front end": "frontend_ms.p50",
    "model": "model_ms.p50",
    "real time": "real_time_factor",
    "MiB": "peak_rss_mib",
    "start s": "cold_start_s.total",
    "°C": "cpu_temperature_c.after",
    "throttled": "throttling.now",
    "W": "power_w.busy",
    "mJ": "energy_mj",
}
_UNKNOWN = "-"


def measure(devices: Sequence[Device], tracker: "Tracker", name: str, *, runs: int) -> tuple[str, list[str]]:
    """Have devices measure what they run, one after another, so that none disturbs another that shares a machine.

    Parameters
    ----------
    devices : Sequence[Device]
    tracker : Tracker
        Gets the figures; see `stages.core.tracking.registry.Registry.add_device_metrics`.
    name : str
        Name of the registered model.
    runs : int
        Timed runs.

    Returns
    -------
    table : str
        One line per device.
    failed : list[str]
        Devices that could not be measured.
    """
    rows, failed = [], []
    answers = fleet.ask(devices, lambda device: rollout.benchmark(device.connect(), runs=runs), parallel=1)
    for device, answer in zip(devices, answers, strict=True):
        if isinstance(answer, DeviceError):
            failed.append(device.name)
            rows.append([device.name, *[_UNKNOWN] * (len(_COLUMNS) + 1), str(answer)])
            continue
        sha256, figures = answer
        version = tracker.version(name, sha256)
        if version is not None:
            tracker.add_device_metrics(name, version, device.name, figures)
        told = "" if version else f"not registered as {name}: the figures are kept nowhere"
        rows.append(
            [device.name, str(version or _UNKNOWN), *(_figure(figures, path) for path in _COLUMNS.values()), told]
        )
    return fleet.table(("device", "version", *_COLUMNS, ""), rows), failed


def _figure(figures: Mapping[str, Any], path: str) -> str:
    value: Any = figures
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, list):
        return "+".join(value) or "no"
    return _UNKNOWN if value is None else f"{value:.3g}"
