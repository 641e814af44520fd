"""Boards that are made of files, and a `vcgencmd` that is a script."""

import time
from pathlib import Path

import pytest

from stages.runtime import benchmark, sensors


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    return tmp_path / "sys"


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH besides the shell's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def vcgencmd(folder: Path, answers: dict[str, str]) -> None:
    for command, answer in answers.items():
        (folder / f"vcgencmd.{command}").write_text(answer)
    script = folder / "vcgencmd"
    script.write_text('#!/bin/sh\nexec cat "$0.$1"\n')
    script.chmod(0o755)


def write(folder: Path, **values: str | int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n")
    return folder


def rapl(sysfs: Path, zone: str, name: str, energy: int) -> Path:
    return write(sysfs / "class/powercap" / zone, name=name, energy_uj=energy, max_energy_range_uj=10_000_000)


def ina3221(sysfs: Path, number: int, rails: dict[str, tuple[int, int]]) -> None:
    folder = write(sysfs / f"class/hwmon/hwmon{number}", name="ina3221")
    for i, (label, (volts, amperes)) in enumerate(rails.items(), start=1):
        values: dict[str, str | int] = {f"in{i}_label": label, f"in{i}_input": volts, f"curr{i}_input": amperes}
        write(folder, **values)


def test_a_board_that_tells_nothing(sysfs: Path) -> None:
    assert sensors.cpu_temperature(sysfs) is None
    assert sensors.throttling() is None
    meter = sensors.PowerMeter(sysfs)
    assert meter.source is None
    with meter.measure() as watts:
        pass
    assert watts == []


def test_the_hottest_cpu_zone_counts(sysfs: Path, path: Path) -> None:
    vcgencmd(path, {"measure_temp": "temp=61.2'C"})
    assert sensors.cpu_temperature(sysfs) == 61.2
    zones = (("cpu-thermal", "48312"), ("x86_pkg_temp", "51000"), ("acpitz", "90000"), ("soc0-thermal", "soon"))
    for i, (kind, temperature) in enumerate(zones):
        write(sysfs / f"class/thermal/thermal_zone{i}", type=kind, temp=temperature)
    assert sensors.cpu_temperature(sysfs) == 51.0


@pytest.mark.parametrize(
    "answer, expected",
    [
        ("throttled=0x0", {"now": [], "since_boot": []}),
        ("throttled=0x50005", {"now": ["under-voltage", "throttled"], "since_boot": ["under-voltage", "throttled"]}),
        ("throttled=0xA0000", {"now": [], "since_boot": ["frequency capped", "soft temperature limit"]}),
        ("error=1", None),
    ],
)
def test_a_raspberry_pi_tells_what_slows_it(path: Path, answer: str, expected: object) -> None:
    vcgencmd(path, {"get_throttled": answer})
    assert sensors.throttling() == expected


def test_rapl_counts_the_packages_energy_and_starts_anew(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = rapl(sysfs, "intel-rapl:0", "package-0", 9_000_000), rapl(sysfs, "intel-rapl:1", "package-1", 0)
    inner = rapl(sysfs, "intel-rapl:0:0", "core", 5)
    meter = sensors.PowerMeter(sysfs)
    assert meter.source == "rapl"
    ticks = iter([10.0, 12.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    with meter.measure() as watts:
        write(first, energy_uj=1_000_000)  # 2 J later, past its limit of 10 J
        write(second, energy_uj=4_000_000)
        write(inner, energy_uj=9_000_000)
    assert watts == [pytest.approx((2 + 4) / 2)]


def test_what_only_root_may_read_is_not_known(sysfs: Path) -> None:
    zone = rapl(sysfs, "intel-rapl:0", "package-0", 1)
    (zone / "energy_uj").unlink()
    assert sensors.PowerMeter(sysfs).source is None


@pytest.mark.parametrize(
    "boards, watts",
    [
        ([{"VDD_IN": (5000, 1500), "VDD_CPU_GPU_CV": (5000, 500), "VDD_SOC": (5000, 200)}], 7.5),
        ([{"VDD_GPU_SOC": (12000, 500), "VDD_CPU_CV": (12000, 250)}, {"VIN_SYS_5V0": (5000, 400)}], 11.0),
    ],
)
def test_a_jetsons_power_is_that_of_its_input_or_of_all_rails(
    sysfs: Path, boards: list[dict[str, tuple[int, int]]], watts: float
) -> None:
    write(sysfs / "class/hwmon/hwmon0", name="cpu_thermal", in1_label="VDD_IN", in1_input=1, curr1_input=1)
    for number, rails in enumerate(boards, start=1):
        ina3221(sysfs, number, rails)
    meter = sensors.PowerMeter(sysfs)
    assert meter.source == "ina3221"
    with meter.measure() as measured:
        time.sleep(0.05)
    assert measured == [pytest.approx(watts)]


def test_a_raspberry_pi_5_sums_its_rails(sysfs: Path, path: Path) -> None:
    told = (
        " 3V3_SYS_A current(1)=0.10000000A\n VDD_CORE_A current(7)=2.00000000A\n 3V3_SYS_V volt(9)=3.30000000V\n"
        " VDD_CORE_V volt(15)=0.75000000V\n EXT5V_V volt(24)=5.10000000V"
    )
    vcgencmd(path, {"pmic_read_adc": told})
    meter = sensors.PowerMeter(sysfs)
    assert meter.source == "pmic"
    with meter.measure() as watts:
        time.sleep(0.2)
    assert watts == [pytest.approx(0.33 + 1.5)]


def test_the_benchmark_reports_energy_per_clip(
    releases: dict[int, Path], sysfs: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ina3221(sysfs, 0, {"VDD_IN": (5000, 1000)})
    write(sysfs / "class/thermal/thermal_zone0", type="cpu-thermal", temp=40000)
    vcgencmd(path, {"get_throttled": "throttled=0x4"})
    monkeypatch.setattr(benchmark, "POWER_S", 0.2)
    report = benchmark.benchmark(releases[1], runs=5, warmup=1, sys_folder=sysfs)
    assert report["cpu_temperature_c"] == {"before": 40.0, "after": 40.0}
    assert report["throttling"] == {"now": ["throttled"], "since_boot": []}
    assert report["power_w"] == {"source": "ina3221", "idle": 5.0, "busy": 5.0}
    assert 0 < report["energy_mj"] < 5 * 0.2 * 1e3
