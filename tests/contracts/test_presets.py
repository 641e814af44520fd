"""Every preset is a complete, valid params file, and the default is one of them."""

from pathlib import Path

import pytest

from flows import check
from stages.core.project import params, provenance

PRESETS = sorted((provenance.ROOT / "stages" / "presets").glob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_preset_is_valid_and_complete(preset: Path) -> None:
    check.check(preset)
    assert tuple(params.read(preset)) == params.SECTIONS, "every section, in the pipeline's order"


def test_the_committed_params_are_the_demo() -> None:
    demo = next(path for path in PRESETS if path.stem == "demo")
    assert (provenance.ROOT / params.PARAMS_FILE).read_text() == demo.read_text()
