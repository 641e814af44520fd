"""`edac list` and `edac show`."""

from pathlib import Path

import pytest

from flows.start import catalogue
from stages.core.artifacts import naive as naive_file
from stages.core.artifacts.estimates import Estimate
from stages.core.project.errors import DataError, ParameterError


def test_every_kind_lists_its_plugins() -> None:
    for kind in set(catalogue.REGISTRIES) - {"architectures", "schemes"}:
        assert len(catalogue.catalogue(kind).splitlines()) > 1


def test_an_unknown_kind() -> None:
    with pytest.raises(ParameterError, match="Did you mean 'schemes'"):
        catalogue.catalogue("scheme")


@pytest.mark.thorough
def test_sizes_are_those_of_the_current_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(
        "features: {frontend: log_mel, options: {log_mel: {sample_rate: 8000, clip_samples: 4000, n_fft: 256, "
        "hop_length: 128, n_mels: 20}}}\ntrain: {architecture: ds_cnn, options: {ds_cnn: {width: 0.25}}}\n"
    )
    table = [line.split() for line in catalogue.catalogue("schemes").splitlines()[1:]]
    found = {name: int(size.replace(",", "")) for name, size, *_ in table}
    assert found["static_wi8_ai8"] < found["float32"] < 100_000
    assert found["float16"] < found["float32"]


def test_variants_beside_naive_and_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("select: {metric: accuracy}\n")
    with pytest.raises(DataError, match="Run `dvc repro evaluate` first"):
        catalogue.variants(tmp_path, tmp_path / "naive")
    (tmp_path / "variants.csv").write_text("name,raw_bytes\nolder,900\n")
    with pytest.raises(DataError, match="must have the column sent_bytes"):
        catalogue.variants(tmp_path, tmp_path / "naive")
    head = "name,release_bytes,sent_bytes,latency_p50_ms,validation_n,validation_groups,test_n,test_groups"
    figures = ",".join(f"{side}_accuracy{end}" for side in ("validation", "test") for end in ("", "_low", "_high"))
    rows = [
        "worse,900,800,0.1,40,12,50,13,0.7,0.6,0.8,0.71,0.6,0.8",
        "better,1000,900,0.2,40,12,50,13,0.9,,,0.8,0.7,0.9",
    ]
    (tmp_path / "variants.csv").write_text("\n".join([f"{head},{figures}", *rows]) + "\n")
    side = naive_file.Figures(50, 13, {"accuracy": Estimate(0.6, 0.5, 0.7)})
    chance = {name: {"accuracy": 0.25} for name in ("validation", "test")}
    (tmp_path / "naive").mkdir()
    naive_file.write(tmp_path / "naive", naive_file.Naive("trees", "accuracy", {"trees": 0.6}, 301, side, side, chance))
    lines = catalogue.variants(tmp_path, tmp_path / "naive").splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["better", "worse", "naive:", "chance"]
    assert "0.600 [0.500, 0.700]" in lines[3]
    assert lines[0].split("  ")[-1].strip() == "latency, ms"
    assert "1,000" in lines[1]
    assert lines[-2] == "Bytes are of front end and model together."
    assert lines[-1] == "validation: n = 40, 12 groups; test: n = 50, 13 groups"
