"""The model card: what a person at a device reads."""

import copy
import itertools
from dataclasses import replace
from typing import Any

import pytest

from stages.core.artifacts.frontend import Frontend
from stages.push import card
from tests import examples

FIGURES: dict[str, Any] = {
    "n": 50,
    "groups": 10,
    "pooled": {
        "roc_auc": {"value": 0.745, "low": 0.34752, "high": 0.995826},
        "f1": {"value": None, "low": None, "high": None, "reason": "no positive"},
    },
    "sites": {
        site: {
            "n": n,
            "groups": 3,
            "classes": {},
            "metrics": {"roc_auc": {"value": auc, "low": 0.1, "high": 1.0}, "f1": none},
        }
        for site, n, auc, none in (
            ("phone", 15, 0.090909, {"value": None, "low": None, "high": None}),
            ("clinic", 15, 1.0, {"value": 0.5, "low": None, "high": None}),
        )
    },
}
SELECTION: dict[str, Any] = {
    "variant": {
        "name": "polynomial-s0.90-int8-seed1234",
        "sha256": "ab" * 32,
        "scheme": "static_wi8_ai8",
        "bit_width": 8,
        "sparsity": 0.9,
        "raw_bytes": 6156688,
        "deflated_bytes": 1000,
    },
    "registered_name": "coughs",
    "measured": {
        "raw_bytes": 6156688,
        "deflated_bytes": 1000,
        "latency_p50_ms": 0.26754,
        "release_bytes": 6200000,
        "sent_bytes": 1100,
    },
    "n_variants": 20,
    "reason": "smallest | of them",
    "rule": {"metric": "roc_auc", "margin": 0.02, "confidence": 0.95},
    "drop": {
        "validation": {"drop": 0.0104, "drop_low": -0.02, "drop_high": 0.03, "drop_bound": 0.05, "delong_p": 0.2},
        "test": {"drop": -0.001, "drop_low": None, "drop_high": None, "drop_bound": None, "delong_p": None},
    },
    "labels": ["negative", "positive"],
    "threshold": 0.723641037940979,
    "validation": FIGURES | {"n": 52},
    "test": FIGURES,
    "data": {
        "source": "demo",
        "citation": "Two | people,\n2020",
        "licence": "CC0-1.0",
        "homepage": "",
        "found": 313,
        "usable": 305,
        "groups": 59,
        "labels": {"positive": {"found": 128, "usable": 124}, "negative": {"found": 185, "usable": 181}},
    },
}
FRONTEND = Frontend(("negative", "positive"), sample_rate=22050, clip_samples=154350)


def written(frontend: Frontend = FRONTEND, **changes: Any) -> str:
    return card.write(examples.selection(**SELECTION | changes), frontend, version=7, device_class="jetson")


def lines(**changes: Any) -> list[str]:
    return written(**changes).splitlines()


@pytest.mark.parametrize(
    "line",
    [
        "# Model card: polynomial-s0.90-int8-seed1234",
        "| Version | 7 |",
        f"| SHA-256 of model.tflite | {'ab' * 32} |",
        "| Weights | static_wi8_ai8, 8 bits, 90% pruned |",
        "| Model | 6,156,688 bytes |",
        "| Front end and model | 6,200,000 bytes on a device, 1,100 to send (xz) |",
        "| Latency | 0.268 ms for one clip, median on one thread at home |",
        "|  | drop | 95% from | to | bound |",
        "| validation | 0.010 | -0.020 | 0.030 | 0.050 |",
        "| test | -0.001 | undefined | undefined | undefined |",
        "Why this one: smallest \\| of them.",
        "| Decision | positive from a score of 0.723641 on |",
        "| Devices | jetson |",
        "the kind of recordings that it was trained on (see Data).",
        "| Citation | Two \\| people, 2020 |",
        "| Licence | CC0-1.0 |",
        "| Homepage | none |",
        "| Recordings | 305 usable of 313 found |",
        "| Recordings of class negative | 181 |",
        "| n recordings | 52 | 50 |",
        "| n groups | 10 | 10 |",
        "| roc auc | 0.745 [0.348, 0.996] | 0.745 [0.348, 0.996] |",
        "| f1 | undefined | undefined |",
        "| site | n | groups | f1 | roc auc |",
        "| clinic | 15 | 3 | 0.500 | 1.000 [0.100, 1.000] |",
        "| phone | 15 | 3 | undefined | 0.091 [0.100, 1.000] |",
    ],
)
def test_what_it_says(line: str) -> None:
    assert line in lines()


def test_it_says_plainly_that_it_is_no_medical_device() -> None:
    assert any(line.startswith("**It is no medical device.**") for line in lines())


def test_it_says_how_many_variants_were_looked_at() -> None:
    assert any(
        "one of 20 variants that were looked at on validation; the bound there holds for all 20 at once" in x
        for x in lines()
    )


def test_sections_come_in_order() -> None:
    titles = [line.removeprefix("## ") for line in lines() if line.startswith("## ")]
    assert titles == [
        "Intended use",
        "Data",
        "How good it is",
        "What an answer is worth",
        "What compression costs",
        "By recording site",
        "Limits",
    ]


def test_it_says_what_it_hears() -> None:
    told = "It tells negative and positive apart in recordings of 7.00 s at 22050 Hz, one channel."
    assert any(line.startswith(told) for line in lines())


def test_three_classes_without_sites() -> None:
    said = lines(labels=["a", "b", "c"], threshold=None, test=FIGURES | {"sites": {}})
    assert "| Decision | the class of the highest score |" in said
    assert "| Classes | a, b, c |" in said
    assert "The data set does not say where a recording was made." in said


def test_it_says_how_it_does_elsewhere() -> None:
    figure = {"value": 0.6, "low": 0.5, "high": 0.7}
    there = {
        "n": 31,
        "groups": 12,
        "metric": "roc_auc",
        "figures": {"roc_auc": figure},
        "drop": figure,
        "excess": figure,
    }
    said = lines(elsewhere={"ward": there})
    assert "## Elsewhere" in said
    assert f"| ward | 31 | 12 | {' | '.join(['0.600 [0.500, 0.700]'] * 3)} |" in said


def test_same_values_same_text_whatever_their_order() -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return value

    before = copy.deepcopy(SELECTION)
    assert lines(**turned(SELECTION)) == lines()
    assert before == SELECTION


def test_every_table_is_as_wide_as_its_head() -> None:
    widths = [line.replace("\\|", "").count("|") for line in lines()]
    for above, below in itertools.pairwise(widths):
        assert above == below or 0 in (above, below)


def test_latency_is_that_of_a_crop_where_there_are_several() -> None:
    card_of = written(replace(FRONTEND, crops=10))
    assert " ms for one of the 10 crops over which a clip's scores are averaged, median" in card_of
    assert " ms for one clip, median" in written()


def test_it_names_the_teacher_and_its_licence() -> None:
    assert not [line for line in lines() if "Teacher" in line]
    taught = SELECTION["variant"] | {"teacher": {"kind": "head on birds.tflite", "licence": "CC BY-NC-SA 4.0"}}
    told = lines(variant=taught)
    i = told.index("| Teacher | head on birds.tflite |")
    assert told[i + 1] == "| Its licence | CC BY-NC-SA 4.0 |"


def test_it_says_what_an_answer_is_worth_where_positives_are_rare() -> None:
    """Of 20 positives 16 are found, of 30 negatives 24: at 1 % one positive answer in 26 is right."""
    pooled = {"accuracy": {"value": 0.8, "low": 0.6, "high": 0.9}, "f1": {"value": 32 / 42, "low": None, "high": None}}
    side = FIGURES | {"positives": 20, "pooled": FIGURES["pooled"] | pooled, "sites": {}}
    told = lines(test=side, validation=side)
    assert any("40.0% of the recordings are positive, of which 80.0% are found; of the others 80.0%" in x for x in told)
    assert "| 1.0% | 0.039 | 0.997 |" in told
    assert "| 40.0% (test split) | 0.727 | 0.857 |" in told
    assert any("multiply the odds of a score by p / (1 - p)" in x for x in told)


def test_few_groups_are_warned_of_where_the_figures_stand() -> None:
    none = {"value": 0.9, "low": None, "high": None, "reason": "4 groups; an interval needs 10"}
    told = lines(test=FIGURES | {"groups": 4, "pooled": {"roc_auc": none, "f1": FIGURES["pooled"]["f1"]}})
    assert "| roc auc | 0.745 [0.348, 0.996] | 0.900 (no interval: 4 groups; an interval needs 10) |" in told
    assert "**Test: 4 groups are too few for an interval (10 are needed): the figures may be chance.**" in told
    assert any(x.startswith("**Validation: 10 groups are few") for x in told)


def test_the_calibration_error_stands_beside_what_chance_puts_there() -> None:
    error = {"value": 0.02, "low": 0.0, "high": 0.1, "observed": 0.09, "null": 0.08}
    side = FIGURES | {"pooled": FIGURES["pooled"] | {"calibration_error": error}, "sites": {}}
    told = written(test=side, validation=side)
    assert "on test 0.090 was observed, and a perfectly calibrated classifier would show 0.080" in told
