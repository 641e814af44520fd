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
            r"sweep\.sparsities\[0\] .*got 80.*0\.8\b",
        ),
        ("sweep", {"sparsities": [0.5, 0.5]}, r"sweep\.sparsities .*once; got \[0\.5, 0\.5\]"),
        ("sweep", {"sparsities": [-0.1]}, r"sweep\.sparsities\[0\] .*got -0\.1"),
        ("sweep", {"schemes": ["float16"]}, "sweep.schemes must contain float32"),
        (
            "train",
            {"architecture": "wav2vec2_student"},
            r"features\.options\.mfcc\.sample_rate .*16000 .*got 22050",
        ),
        ("sweep", {"schemes": ["float32", "int7"]}, r"sweep\.schemes\[1\] .*stages/quantize/schemes/"),
        ("sweep", {"qat_schemes": ["float16"]}, r"qat_schemes\[0\] must be a scheme of at most 8 bits; got 'float16'"),
        ("sweep", {"qat_schemes": ["static_wimixed_ai8"]}, r"qat_schemes\[0\] must be .*known before training; got"),
        ("sweep", {"schedules": ["cubic"]}, r"sweep\.schedules\[0\] .*stages/prune/schedules/"),
        ("sweep", {"criteria": ["magnitud"]}, r"sweep\.criteria\[0\] .*stages/prune/criteria/"),
        ("sweep", {"seeds": []}, r"sweep\.seeds .*got \[\].*\[1234\]"),
        ("sweep", {"distilled": []}, r"sweep\.distilled .*got \[\].*\[false\]"),
        ("sweep", {"distilled": [True]}, r"sweep\.distilled .*\[false\].*got \[True\]"),
        ("distill", {"teacher": "wise"}, r"distill\.teacher .*stages/distill/teachers/; got 'wise'"),
        ("distill", {"alpha": 2}, r"distill\.alpha .*got 2\.0"),
        ("sweep", {"workers": 0}, r"sweep\.workers .*got 0"),
        ("sweep", {"sparsity": [0.5]}, r"^sweep .*'sparsity'.*'sparsities'"),
        ("features", {"frontend": "mfc"}, "'mfcc'.*Known: "),
        ("features", {"segment": {"hop_s": 60.0}}, r"features\.segment\.hop_s .*segment's length.*got 60\.0"),
        ("features", {"options": {"mfcc": {"n_mfc": 15}}}, "features.options.mfcc has no parameter 'n_mfc'."),
        (
            "train",
            {"between_class": {}},
            r"features\.frontend .*between_class; got 'mfcc'",
        ),
        ("prune", {"between_class": {"stretch": 0.5}}, r"between_class\.stretch .*\[1, 4\]; got 0\.5"),
        ("prune", {"options": {"polynomial": {"powr": 3}}}, "prune.options.polynomial has no parameter 'powr'."),
        ("prune", {"options": {"magntude": {}}}, r"prune\.options .*'magntude'.*'magnitude'"),
        (
            "select",
            {"budget": {"device.locl.latency_ms": 5}},
            r"select\.budget .*push\.devices .*'locl'",
        ),
        ("push", {"devices": [{"name": "x", "transport": "pigeon"}]}, r"push\.devices\[0\]\.transport"),
    ],
)
def test_every_mistake_surfaces_at_once(tmp_path: Path, section: str, changes: dict[str, Any], sentence: str) -> None:
    document = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    document[section] |= changes
    YAML().dump(document, tmp_path / "params.yaml")
    with pytest.raises(ParameterError, match=sentence):
        check(tmp_path / "params.yaml")
