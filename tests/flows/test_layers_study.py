"""What layers cost and are worth, against networks where that is known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.cli import main
from flows.studies.layers import sensitivity, table
from stages.core.artifacts import dataset
from stages.core.artifacts.dataset import Split
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.project import layout
from stages.core.project.errors import ParameterError
from stages.core.training.inference import evaluate


def clips(n: int = 24) -> Split:
    rng = np.random.default_rng(7)
    names = np.array([str(i) for i in range(n)])
    x = rng.normal(size=(n, 6, 4, 1)).astype(np.float32)
    return Split(x, np.arange(n) % 2, names, names, names, ("negative", "positive"))


def network_with_dead_units() -> Any:
    """Two of the four filters and of the six neurons do nothing."""
    keras.utils.set_random_seed(11)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((6, 4, 1)),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(6, "relu", name="hidden"),
            layers.Dense(1, "sigmoid", name="scores"),
        ]
    )
    for name in ("conv", "hidden"):
        kernel = model.get_layer(name).kernel
        kernel.assign(np.where(np.arange(kernel.shape[-1]) % 2 == 0, kernel.numpy(), 0)[..., :])
    return model


@pytest.mark.thorough
def test_dead_units_are_worth_nothing_and_cost_their_share() -> None:
    model, split = network_with_dead_units(), clips()
    whole, conv, hidden = sensitivity(model, split, removed=0.5)
    assert (whole.layer, conv.layer, hidden.layer) == ("", "conv", "hidden")
    assert [(row.n_units, row.n_kept) for row in (conv, hidden)] == [(4, 2), (6, 3)]
    assert whole.loss == pytest.approx(evaluate(model, split)[0])
    assert (conv.loss, hidden.loss) == pytest.approx((whole.loss, whole.loss), abs=1e-6)
    per_filter = 8 * 9 + 8 * 6  # eight places of nine weights each, and what the neurons read of them
    per_neuron = 4 * 8 + 1
    assert whole.flops - conv.flops == 2 * per_filter
    assert whole.flops - hidden.flops == 3 * per_neuron
    assert min(row.latency_ms for row in (whole, conv, hidden)) > 0


@pytest.mark.thorough
def test_living_units_are_worth_something() -> None:
    model, split = network_with_dead_units(), clips()
    whole, conv, hidden = sensitivity(model, split, removed=0.75, multiple=1)
    assert [(row.n_kept) for row in (conv, hidden)] == [1, 2]
    assert abs(conv.loss - whole.loss) > 1e-4
    assert abs(hidden.loss - whole.loss) > 1e-4
    _, conv, hidden = sensitivity(model, split, removed=0.75, multiple=4)
    assert [(row.n_kept) for row in (conv, hidden)] == [4, 4]


@pytest.mark.thorough
def test_the_table_tells_differences() -> None:
    whole, conv, hidden = sensitivity(network_with_dead_units(), clips())
    lines = table([whole, conv, hidden]).splitlines()
    assert lines[2].startswith("| conv | 4 | 2 | 0.00 | ")
    assert lines[2].endswith(" | +0.000 |")
    assert f"loss {whole.loss:.3f}." in lines[-1]


def test_bad_fraction() -> None:
    with pytest.raises(ParameterError, match=r"^--removed must be a fraction in \[0, 1\); got 1\.5"):
        sensitivity(network_with_dead_units(), clips(), removed=1.5)


@pytest.mark.thorough
def test_edac_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("prune:\n  unit_multiple: 8\n")
    with pytest.raises(SystemExit) as ended:
        main.main(["layers"])
    assert ended.value.code == 1
    assert "dvc repro train" in capsys.readouterr().err

    model, description = network.build("ds_cnn", {"ds_cnn": {"stem": 16, "widths": [16, 24]}}, (20, 8), 2)
    network.save(model, description, layout.BASELINE)
    split = clips()
    blank = replace(split, x=np.zeros((len(split), 20, 8), np.float32))
    monkeypatch.setattr(dataset, "read_split", lambda *_: blank)
    with pytest.raises(SystemExit) as ended:
        main.main(["layers", "--removed", "0.4"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    kept = [int(line.split("|")[3]) for line in told.splitlines()[2:-2]]
    assert kept
    assert all(n % 8 == 0 for n in kept)
