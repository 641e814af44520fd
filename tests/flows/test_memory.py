"""Memory of a cell's process, from its network and clips."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.execution.executor import ExecutionParams
from flows.sweep.grid import Sources
from flows.sweep.inputs import SweepInputs
from flows.sweep.memory import FIXED, PER_PARAMETER, job_bytes
from stages.core.artifacts import network as network_file
from stages.core.project.errors import DataError
from stages.evaluate.params import EvaluateParams
from stages.prune.params import PruneParams
from stages.quantize.params import QuantizeParams


def inputs(sources: Sources, prune: PruneParams | None = None) -> SweepInputs:
    return SweepInputs(sources, prune or PruneParams(), QuantizeParams(), EvaluateParams())


def test_it_grows_with_the_network_and_the_size_of_a_clip_and_not_with_their_number(
    sources: Sources, tmp_path: Path
) -> None:
    network, clip = network_file.read(sources.baseline), np.load(sources.features / "features.npy")[0].nbytes
    held = 512 + 4 * 32
    assert job_bytes(inputs(sources)) == FIXED + PER_PARAMETER * network.n_parameters + held * clip
    for folder in ("features", "baseline"):
        (tmp_path / folder).mkdir()
    larger = Sources(tmp_path / "baseline", tmp_path / "features")
    network_file.write(larger.baseline, replace(network, n_parameters=42_000_000))
    np.save(larger.features / "features.npy", np.zeros((7, 220_500, 1), np.float32))
    assert job_bytes(inputs(larger)) == FIXED + PER_PARAMETER * 42e6 + held * 4 * 220_500
    np.save(larger.features / "features.npy", np.zeros((70, 220_500, 1), np.float32))
    assert job_bytes(inputs(larger)) == FIXED + PER_PARAMETER * 42e6 + held * 4 * 220_500
    assert job_bytes(inputs(larger, PruneParams(batch_norm_clips=2048))) > job_bytes(inputs(larger))


def test_a_folder_without_features_is_named(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"features.npy .*`dvc repro features`"):
        job_bytes(inputs(replace(sources, features=tmp_path)))


def test_a_machine_runs_as_many_jobs_as_its_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 24e9 / 4096}.__getitem__)
    assert ExecutionParams(job_bytes=1e9).local_workers() == 16
    assert ExecutionParams(job_bytes=5e9).local_workers() == 4
    assert ExecutionParams(job_bytes=5e10).local_workers() == 1
    assert ExecutionParams(job_bytes=5e10, workers=3).local_workers() == 3
