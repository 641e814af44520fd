"""What a board tells of itself: temperature, throttling, power. What it does not tell is None.

Raspberry Pi: `vcgencmd`. Jetson: the INA3221 power monitors (hwmon). x86: RAPL (powercap), which only root may read.
"""

import contextlib
import functools
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SYS = Path("/sys")
SAMPLE_S = 0.1
_CPU_ZONE = re.compile(r"cpu|soc|x86_pkg_temp", re.IGNORECASE)
_THROTTLE_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


def cpu_temperature(sys: Path = SYS) -> float | None:
    """Return the temperature of the hottest CPU or system-on-chip zone (degrees Celsius)."""
    zones = sys.glob("class/thermal/thermal_zone*")
    found = [_number(zone / "temp") for zone in zones if _CPU_ZONE.search(_text(zone / "type") or "")]
    known = [milli / 1000 for milli in found if milli is not None]
    if known:
        return max(known)
    match = re.search(r"temp=([\d.]+)", _vcgencmd("measure_temp"))
    return float(match[1]) if match else None


def throttling() -> dict[str, list[str]] | None:
    """Return what slows the CPU ``now``, and what did ``since_boot``, of a Raspberry Pi.

    References
    ----------
    Raspberry Pi documentation, vcgencmd, get_throttled: bits 0 to 3 are now, 16 to 19 since the start.
    """
    match = re.search(r"throttled=0x([0-9a-fA-F]+)", _vcgencmd("get_throttled"))
    if not match:
        return None
    flags = int(match[1], 16)
    return {
        when: [name for bit, name in _THROTTLE_BITS.items() if flags >> bit + shift & 1]
        for when, shift in (("now", 0), ("since_boot", 16))
    }


class PowerMeter:
    """The mean power of this machine while something runs.

    Parameters
    ----------
    sys : Path
        Where sysfs is.

    Attributes
    ----------
    source : str or None
        ``"rapl"`` counts the energy of the CPU packages, ``"ina3221"`` and ``"pmic"`` sample the power of the board.
    """

    def __init__(self, sys: Path = SYS) -> None:
        self._sys = sys
        self._watts: Callable[[], float | None] | None = None
        self.source: str | None = None
        if _rapl_joules(sys):
            self.source = "rapl"
        elif _ina3221_watts(sys) is not None:
            self.source, self._watts = "ina3221", functools.partial(_ina3221_watts, sys)
        elif _pmic_watts() is not None:
            self.source, self._watts = "pmic", _pmic_watts

    @contextlib.contextmanager
    def measure(self) -> Iterator[list[float]]:
        """Yield a list that holds the mean power (W) once the block has ended, if it is known."""
        result: list[float] = []
        before, start = _rapl_joules(self._sys) if self.source == "rapl" else {}, time.perf_counter()
        done, samples = threading.Event(), list[float]()
        sampler = threading.Thread(target=self._sample, args=(done, samples), daemon=True)
        sampler.start()
        try:
            yield result
        finally:
            seconds = time.perf_counter() - start
            done.set()
            sampler.join()
        if before:
            after = _rapl_joules(self._sys)
            used = [(after[zone][0] - joules) % limit for zone, (joules, limit) in before.items() if zone in after]
            result.append(sum(used) / seconds)
        elif samples:
            result.append(sum(samples) / len(samples))

    def _sample(self, done: threading.Event, samples: list[float]) -> None:
        while self._watts is not None:
            watts = self._watts()
            if watts is not None:
                samples.append(watts)
            if done.wait(SAMPLE_S):
                return


def _rapl_joules(sys: Path) -> dict[str, tuple[float, float]]:
    """Return, of each CPU package, the energy counted until now and where the counter starts anew (J)."""
    found = {}
    for zone in sorted(sys.glob("class/powercap/intel-rapl:*")):
        if re.fullmatch(r"package-\d+", _text(zone / "name") or ""):
            energy, limit = _number(zone / "energy_uj"), _number(zone / "max_energy_range_uj")
            if energy is not None and limit:
                found[zone.name] = (energy / 1e6, limit / 1e6)
    return found


def _ina3221_watts(sys: Path) -> float | None:
    """Return the power of the rail that feeds the board, VDD_IN, or of all rails together."""
    rails = {}
    for monitor in sorted(sys.glob("class/hwmon/hwmon*")):
        if _text(monitor / "name") != "ina3221":
            continue
        for channel in (1, 2, 3):
            label = _text(monitor / f"in{channel}_label")
            millivolts = _number(monitor / f"in{channel}_input")
            milliamperes = _number(monitor / f"curr{channel}_input")
            if label and millivolts is not None and milliamperes is not None:
                rails[label] = millivolts * milliamperes / 1e6
    return rails.get("VDD_IN", sum(rails.values())) if rails else None


def _pmic_watts() -> float | None:
    """Return the power of a Raspberry Pi 5's rails together, as its power management chip measures them."""
    lines = re.findall(r"(\w+)_([AV]) (?:current|volt)\(\d+\)=([\d.]+)", _vcgencmd("pmic_read_adc"))
    told = {(rail, kind): float(value) for rail, kind, value in lines}
    powers = [value * told[rail, "V"] for (rail, kind), value in told.items() if kind == "A" and (rail, "V") in told]
    return sum(powers) if powers else None


def _vcgencmd(command: str) -> str:
    try:
        return subprocess.run(["vcgencmd", command], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):  # not for this machine, or not for us to ask
        return ""


def _number(path: Path) -> float | None:
    text = _text(path)
    return None if text is None or not re.fullmatch(r"-?\d+", text) else int(text)


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:  # not there, or not for us to read: the board does not tell
        return None
