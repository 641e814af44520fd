"""What the tests share."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("edac", deadline=None)  # a busy machine is no failure
settings.load_profile("edac")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1234)


@pytest.fixture(scope="session")
def datasets() -> Path:
    """Folder of real recordings: EDAC_DATASETS, or `shared/datasets` beside the project; skips without."""
    folder = Path(os.environ.get("EDAC_DATASETS", ROOT.parent / "shared" / "datasets"))
    if not folder.is_dir():
        pytest.skip("no real recordings here; set EDAC_DATASETS to a folder that holds them")
    return folder
