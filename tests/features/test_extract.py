import contextlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core.audio import decode
from stages.core.project.errors import DataError
from stages.core.project.workers import spawned
from stages.features import extract as module
from stages.features.export import export
from stages.features.extract import Clip, Extractor, extract
from stages.features.frontends import mfcc
from stages.runtime.audio import fit_length
from stages.runtime.litert import Model

CONFIG = mfcc.Config(sample_rate=8000, clip_samples=4000, n_fft=512, hop_length=256, n_mels=20, n_mfcc=5)


@pytest.fixture(scope="module")
def frontend() -> bytes:
    return export(mfcc, CONFIG)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Recordings of several rates, lengths and formats."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    made = []
    for i, rate in enumerate((8000, 16000, 44100, 22050, 8000, 48000, 11025)):
        made.append(folder / f"{i}.{'flac' if i % 2 else 'wav'}")
        soundfile.write(made[-1], rng.uniform(-0.5, 0.5, rate // (1 + i % 3)), rate)
    return made


def run(paths: list[Path], frontend: bytes, folder: Path, workers: int) -> bytes:
    folder.mkdir(exist_ok=True)
    extract([Clip(path) for path in paths], Extractor(frontend, 8000, 4000), folder=folder, workers=workers)
    assert [p.name for p in folder.iterdir()] == ["features.npy"]
    return (folder / "features.npy").read_bytes()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)


@pytest.mark.thorough
def test_rows_are_the_graphs_answers_in_order_whatever_the_number_of_workers(
    paths: list[Path], frontend: bytes, tmp_path: Path
) -> None:
    one, three = (run(paths, frontend, tmp_path / str(n), n) for n in (1, 3))
    assert one == three
    clips = np.stack([fit_length(decode.load(path, 8000), 4000) for path in paths])
    features = np.load(tmp_path / "1" / "features.npy")
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, Model(frontend).run(clips), atol=1e-3)


def test_an_interrupted_run_goes_on(paths: list[Path], frontend: bytes, tmp_path: Path) -> None:
    late = tmp_path / "late.wav"
    with pytest.raises(DataError, match=r"late\.wav does not exist"):
        run([*paths, late], frontend, tmp_path / "f", workers=1)
    done = sorted((tmp_path / "f" / "chunks").iterdir())
    assert len(done) == 3
    with np.load(done[1]) as chunk:
        marked = np.full_like(chunk["features"], 7)  # a mark that survives only if the chunk is not done again
    np.savez(done[1], features=marked, heard=np.ones(len(marked), bool))
    late.write_bytes(paths[0].read_bytes())
    run([*paths, late], frontend, tmp_path / "f", workers=1)
    features = np.load(tmp_path / "f" / "features.npy")
    assert (features[2:4] == 7).all()
    np.testing.assert_array_equal(features[-1], features[0])
    assert not (features[4:] == 7).any()


def test_workers_never_import_tensorflow(frontend: bytes) -> None:
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(spawned(1, module._set_up, Extractor(frontend, 8000, 4000)))
        loaded = pool.submit(eval, "set(__import__('sys').modules)").result()
    assert "stages.features.extract" in loaded
    assert not loaded & {"tensorflow", "tf_keras", "librosa"}
