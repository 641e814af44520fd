import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.check import check
from stages.core.project.errors import ParameterError

ROOT = Path(__file__).parents[2]


def test_the_committed_params_are_valid() -> None:
    check(ROOT / "params.yaml")


@pytest.mark.parametrize(
    "section, changes, sentence",
    [
        (
            "sweep",
            {"sparsities": [80]},
            "sweep.sparsities[0] must be a fraction in [0, 1); got 80. Write 0.8 for 80 %.",
        ),
        ("sweep", {"sparsities": [0.5, 0.5]}, "sweep.sparsities must name each value once; got [0.5, 0.5]."),
        ("sweep", {"sparsities": [-0.1]}, "sweep.sparsities[0] must be a fraction in [0, 1); got -0.1."),
        ("sweep", {"schemes": ["float16"]}, "sweep.schemes must contain float32"),
        (
            "train",
            {"architecture": "wav2vec2_student"},
            "features.options.mfcc.sample_rate must be 16000 for wav2vec2_student; got 22050.",
        ),
        ("sweep", {"schemes": ["float32", "int7"]}, "sweep.schemes[1] must name a file of stages/quantize/schemes/"),
        ("sweep", {"schedules": ["cubic"]}, "sweep.schedules[0] must name a file of stages/prune/schedules/"),
        ("sweep", {"criteria": ["magnitud"]}, "sweep.criteria[0] must name a file of stages/prune/criteria/"),
        ("sweep", {"seeds": []}, "sweep.seeds must contain at least one seed; got []. Try [1234]."),
        ("sweep", {"distilled": []}, "sweep.distilled must contain false, true or both; got []. Write [false]."),
        ("sweep", {"distilled": [True]}, "sweep.distilled must be [false] without a teacher; got [True]."),
        ("distill", {"teacher": "wise"}, "distill.teacher must name a file of stages/distill/teachers/; got 'wise'."),
        ("distill", {"alpha": 2}, "distill.alpha must be a fraction in [0, 1]; got 2.0."),
        ("sweep", {"workers": 0}, "sweep.workers must be at least 1, or null; got 0."),
        ("sweep", {"sparsity": [0.5]}, "sweep has no parameter 'sparsity'. Did you mean 'sparsities'?"),
        ("features", {"frontend": "mfc"}, "Did you mean 'mfcc'? Known:"),
        ("features", {"options": {"mfcc": {"n_mfc": 15}}}, "features.options.mfcc has no parameter 'n_mfc'."),
        (
            "train",
            {"between_class": {}},
            "features.frontend must make waveforms or levels in dB for between_class; got 'mfcc'",
        ),
        ("prune", {"between_class": {"stretch": 0.5}}, "between_class.stretch must be in [1, 4]; got 0.5."),
        ("prune", {"options": {"polynomial": {"powr": 3}}}, "prune.options.polynomial has no parameter 'powr'."),
        ("prune", {"options": {"magntude": {}}}, "prune.options has no plug-in 'magntude'. Did you mean 'magnitude'?"),
        (
            "select",
            {"budget": {"device.locl.latency_ms": 5}},
            "select.budget names a device that does not exist: push.devices has no device 'locl'.",
        ),
        ("push", {"devices": [{"name": "x", "transport": "pigeon"}]}, "push.devices[0].transport"),
    ],
)
def test_every_mistake_surfaces_at_once(tmp_path: Path, section: str, changes: dict[str, Any], sentence: str) -> None:
    document = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    document[section] |= changes
    YAML().dump(document, tmp_path / "params.yaml")
    with pytest.raises(ParameterError, match=re.escape(sentence)):
        check(tmp_path / "params.yaml")
