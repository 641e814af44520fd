from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import evaluation as evaluation_file
from stages.core.artifacts import pull_report
from stages.core.artifacts import selection as selection_file
from stages.core.artifacts.clips import Clip
from stages.core.artifacts.estimates import Estimate, SplitMetrics
from stages.core.artifacts.evaluation import EvaluatedVariant, Row, StreamFigures, StreamResult
from stages.core.artifacts.frontend import Frontend
from stages.core.artifacts.pull_report import Excluded, PullReport
from stages.core.artifacts.selection import DataFacts
from stages.core.artifacts.variant import write_variants
from stages.core.audio import decode
from stages.core.project import files, params
from stages.core.project.errors import DataError, EdacError, ParameterError
from stages.core.scoring import guessing
from stages.core.scoring.metrics import METRICS
from stages.runtime.events import EventRule
from stages.select import golden
from stages.select.params import SelectParams
from stages.select.rules import RefusedError, choose, pareto_front
from stages.select.stage import Inputs, refuse, select
from tests import examples
from tests.messages import line_with


def row(name: str, auc: float | None, size: int, latency: float = 1.0) -> Row:
    return {
        "name": name,
        "validation_roc_auc": auc,
        "validation_calibration_error": 0.1,
        "raw_bytes": 2 * size,
        "deflated_bytes": size,
        "sent_bytes": size,
        "release_bytes": 2 * size,
        "latency_p50_ms": latency,
        "latency_p95_ms": 2 * latency,
    }


TABLE = [
    row("big", 0.90, 1000, 4.0),
    row("middle", 0.89, 500, 2.0),
    row("small", 0.85, 100, 1.0),
    row("useless", 0.60, 400, 3.0),
]


@pytest.mark.parametrize(
    "changes, winner",
    [
        ({}, "big"),
        ({"margin": 0.01}, "middle"),
        ({"margin": 0.05}, "small"),
        ({"margin": 0.5}, "small"),
        ({"budget": {"deflated_bytes": 999}}, "middle"),
        ({"budget": {"raw_bytes": 999}}, "small"),
        ({"budget": {"latency_ms": 2}}, "middle"),
        ({"budget": {"latency_ms": 2, "roc_auc": 0.86}, "margin": 0.5}, "middle"),
        ({"budget": {"calibration_error": 0.1}, "margin": 0.05, "prefer": "latency_ms"}, "small"),
    ],
)
def test_the_smallest_in_the_budget_and_within_the_margin_wins(changes: dict[str, Any], winner: str) -> None:
    assert choose(TABLE, SelectParams(**changes))["name"] == winner


def test_a_budget_measured_on_a_device_spares_what_was_not_measured_there() -> None:
    limit = "device.pi.latency_ms"
    params = SelectParams(margin=0.1, budget={limit: 30})
    known = {"big": 40.0, "small": 31.0, "middle": None, "useless": None}
    table = [{**variant, limit: known[variant["name"]]} for variant in TABLE]
    assert choose(table, params)["name"] == "middle"
    with pytest.raises(EdacError, match=r"small, .*device\.pi\.latency_ms 31\.0, 3\.3% over"):
        choose([{**variant, limit: known[variant["name"]] or 50.0} for variant in TABLE], params)


def test_ties_go_to_the_better_metric_and_then_to_the_name() -> None:
    table = [row("b", 0.8, 10), row("c", 0.9, 10), row("a", 0.8, 10, 0.1)]
    assert choose(table, SelectParams(margin=0.2))["name"] == "c"
    assert choose([table[0], table[2]], SelectParams())["name"] == "a"


def test_a_budget_that_no_variant_meets_names_the_closest_and_by_how_much_it_misses() -> None:
    limits = r"of the 4 variants .*select\.budget \(raw_bytes at most 100, roc_auc at least 0\.86\)"
    misses = r"small, .*raw_bytes 200, 100\.0% over .*roc_auc 0\.85, 1\.2% under"
    with pytest.raises(EdacError, match=f"{limits}.*{misses}"):
        choose(TABLE, SelectParams(budget={"raw_bytes": 100, "roc_auc": 0.86}))


def test_variants_without_a_figure_are_left_out_and_none_at_all_is_an_error() -> None:
    assert choose([row("a", None, 1), row("b", 0.5, 2)], SelectParams())["name"] == "b"
    with pytest.raises(DataError, match="No variant has a validation_roc_auc"):
        choose([row("a", None, 1)], SelectParams())


tables = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=12).map(
    lambda points: [row(f"v{i:02d}", auc / 4, size, float(ms)) for i, (auc, size, ms) in enumerate(points)]
)


@given(tables, st.floats(0, 0.99))
def test_the_winner_is_on_the_front_up_to_latency_and_order_does_not_matter(table: list[Row], margin: float) -> None:
    params = SelectParams(margin=margin)
    winner = choose(table, params)
    assert choose(table[::-1], params) == winner
    same = {(r["validation_roc_auc"], r["deflated_bytes"]) for r in pareto_front(table, params)}
    assert (winner["validation_roc_auc"], winner["deflated_bytes"]) in same


@given(tables)
def test_the_front_is_what_nobody_beats(table: list[Row]) -> None:
    def point(r: Row) -> tuple[float, float, float]:
        return -r["validation_roc_auc"], r["deflated_bytes"], r["latency_p50_ms"]

    front = [point(r) for r in pareto_front(table, SelectParams())]
    for mine in map(point, table):
        dominated = any(
            o != mine and o[0] <= mine[0] and o[1] <= mine[1] and o[2] <= mine[2] for o in map(point, table)
        )
        assert (mine in front) is not dominated
    assert [p[1] for p in front] == sorted(p[1] for p in front)


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"metric": "auc"}, r"select\.metric .*got 'auc'.*mean"),
        ({"metric": "calibration_error"}, r"select\.metric .*more is better"),
        ({"margin": 2}, r"select\.margin .*got 2\.0.*0\.02"),
        (
            {"confidence": 95},
            r"select\.confidence .*auto or null; got 95\.0.*0\.95",
        ),
        ({"budget": {"ram": 1}}, r"select\.budget .*limit 'ram'"),
        ({"budget": {"raw_bytes": -1}}, r"select\.budget\.raw_bytes .*got -1\.0"),
        ({"budget": {"device.pi.latency_ms": 0}}, r"select\.budget\.device\.pi\.latency_ms .*got 0\.0"),
        ({"budget": {"device.pi.latency": 9}}, r"select\.budget .*limit 'device\.pi\.latency'"),
        ({"budget": {"accuracy": 80}}, r"select\.budget\.accuracy .*got 80\.0.*0\.8\b"),
        ({"false_alarms_per_hour": 0}, r"select\.false_alarms_per_hour .*got 0\.0"),
        (
            {"false_alarms_per_hour": 1, "confidence": 0.9},
            r"select\.confidence .*beside select\.false_alarms_per_hour",
        ),
        ({"golden_recordings": 3}, r"select\.golden_recordings .*got 3"),
        ({"prefer": "size"}, r"select\.prefer .*sent_bytes, release_bytes, raw_bytes, deflated_bytes, "),
        ({"registered_name": "a/b"}, r"select\.registered_name .*without"),
    ],
)
def test_mistakes_in_the_section_are_told(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        params.load(SelectParams, values, "select")


SAMPLE_RATE, CLIP_SAMPLES = 8000, 4000


def write_clips(features: Path) -> None:
    """Eight validation recordings and four others, at another rate and length than the front end's."""
    rng = np.random.default_rng(1234)
    clips = []
    for i in range(12):
        path = features / f"{i:02d}.flac"
        soundfile.write(path, rng.uniform(-1, 1, 11025 + 1000 * i), 22050)
        split = "validation" if i < 8 else "test"
        label = ["no", "yes"][i % 2]
        clip = {"clip_id": f"c{i:02d}", "path": path, "split": split, "label": label, "group": f"g{i // 2}"}
        clips.append(clip | {"site": "", "parent": ""})
    files.write_csv(features / "clips.csv", list(clips[0]), clips)


def test_golden_recordings_are_of_the_validation_split_of_every_label_and_span_the_scores(
    stages_before: Inputs,
) -> None:
    features, stored = stages_before.features, stages_before.sweep / "scores" / "b.npz"
    with np.load(stored) as kept:
        scores = kept["validation"]
    chosen = [int(clip.clip_id[1:]) for clip in golden.choose(features, 4, stored)]
    assert len(set(chosen)) == 4
    assert max(chosen) < 8
    assert chosen[0] == min(range(0, 8, 2), key=lambda i: scores[i]), "the surest of the first label"
    assert chosen[1] == max(range(1, 8, 2), key=lambda i: scores[i])
    assert np.ptp(scores[chosen]) > 0.8 * np.ptp(scores)
    assert golden.choose(features, 6, stored)[:4] == golden.choose(features, 4, stored)
    assert len(golden.choose(features, 100, stored)) == 8
    table = files.read_csv(features / "clips.csv")
    files.write_csv(features / "clips.csv", list(table[0]), table[8:])
    with pytest.raises(DataError, match="holds no validation clip"):
        golden.choose(features, 4, stored)


@pytest.mark.parametrize(("positives", "expected"), [(20, 6), (1, 19)])
def test_more_golden_recordings_travel_where_scores_are_easy_to_guess(
    tmp_path: Path, positives: int, expected: int
) -> None:
    about = {"labels": ["no", "yes"], "sample_rate": SAMPLE_RATE, "clip_samples": CLIP_SAMPLES, "align": "start"}
    files.write_json(tmp_path / "frontend.json", about)
    labels = ["yes"] * positives + ["no"] * (40 - positives)
    clips_file.write(
        tmp_path, [Clip(f"c{i}", Path("c.wav"), "validation", each, f"g{i}") for i, each in enumerate(labels)]
    )
    scores = np.array([0.999 if each == "yes" else 0.001 for each in labels], np.float32)
    np.savez(tmp_path / "scores.npz", validation=scores)
    chosen = golden.choose(tmp_path, 4, tmp_path / "scores.npz")
    assert len({clip.clip_id for clip in chosen}) == expected
    assert guessing.chance(golden.scores(chosen, tmp_path, tmp_path / "scores.npz"), 0.02) <= guessing.MOST


def test_golden_recordings_are_16_bit_wav_at_the_front_ends_rate_and_length(
    stages_before: Inputs, tmp_path: Path
) -> None:
    features = stages_before.features
    clips = golden.choose(features, 3, stages_before.sweep / "scores" / "b.npz")
    golden.write(tmp_path / "golden", clips, Frontend(("no", "yes"), SAMPLE_RATE, CLIP_SAMPLES))
    for i, clip in enumerate(clips):
        path = tmp_path / f"golden/{i}.wav"
        about = soundfile.info(path)
        assert (about.samplerate, about.frames, about.channels, about.subtype) == (
            SAMPLE_RATE,
            CLIP_SAMPLES,
            1,
            "PCM_16",
        )
        expected = decode.load(clip.path, SAMPLE_RATE)[:CLIP_SAMPLES]
        heard, _ = soundfile.read(path, dtype="float32")
        np.testing.assert_allclose(heard[: len(expected)], np.clip(expected, -1, 1 - 2**-15), atol=2**-16)
    assert len({(tmp_path / f"golden/{i}.wav").read_bytes() for i in range(3)}) == 3


@pytest.fixture
def stages_before(tmp_path: Path) -> Inputs:
    sweep, features, evaluation = (tmp_path / name for name in ("sweep", "features", "evaluation"))
    pooled = dict.fromkeys(METRICS, Estimate(0.1)) | {"roc_auc": Estimate(0.9, 0.8, 0.95)}
    figures = SplitMetrics(12, 12, threshold=0.25, pooled=pooled)
    variants = []
    (sweep / "scores").mkdir(parents=True)
    for name, content in (("a", b"aaaa"), ("b", b"bb")):
        (sweep / f"{name}.tflite").write_bytes(content)
        scores = np.random.default_rng(len(content)).uniform(size=12)
        np.savez(sweep / "scores" / f"{name}.npz", validation=scores[:8], test=scores[8:])
        facts = {"sha256": files.sha256(sweep / f"{name}.tflite"), "raw_bytes": len(content)}
        metrics = {"validation": figures, "test": figures}
        variants.append(examples.variant(name, deflated_bytes=len(content), metrics=metrics, **facts))
    write_variants(sweep / "variants.json", variants)
    evaluation_file.write(
        evaluation, [EvaluatedVariant(v, 1.0, 2.0, 1.0, 1.0, 2 * v.raw_bytes, v.raw_bytes) for v in variants]
    )
    frontend = {"labels": ["no", "yes"], "sample_rate": SAMPLE_RATE, "clip_samples": CLIP_SAMPLES, "align": "start"}
    files.write_json(features / "frontend.json", frontend)
    (features / "frontend.tflite").write_bytes(b"front end")
    write_clips(features)
    report = tmp_path / "pull_report.json"
    pull_report.write(report, PullReport("demo", "Nobody", "CC0", "", 3, 2, 2, {}, (Excluded("a.wav", "silent"),)))
    return Inputs(evaluation, sweep, features, report)


def test_the_selected_folder_holds_what_a_release_needs(stages_before: Inputs, tmp_path: Path) -> None:
    target = tmp_path / "selected"
    for _ in range(2):
        variant, selection = select(SelectParams(), stages_before, target)
    assert variant.name == "b"
    assert (target / "model.tflite").read_bytes() == b"bb"
    assert (target / "frontend.tflite").read_bytes() == b"front end"
    assert (target / "frontend.json").read_bytes() == (stages_before.features / "frontend.json").read_bytes()
    assert sorted(p.name for p in (target / "golden").iterdir()) == ["0.wav", "1.wav", "2.wav", "3.wav"]
    assert (
        tuple(
            clip.clip_id for clip in golden.choose(stages_before.features, 4, stages_before.sweep / "scores" / "b.npz")
        )
        == selection.golden
    )
    assert selection_file.read(target) == selection
    assert selection.labels == ("no", "yes")
    assert selection.threshold == 0.25
    assert selection.test.pooled["roc_auc"].high == 0.95
    assert selection.variant.sha256 == variant.sha256
    assert selection.n_variants == 2
    assert selection.data == DataFacts("demo", "Nobody", "CC0", "", 3, 2, 2, {})
    comparison = selection_file.read_comparison(target)
    assert comparison.front == ("b",)
    assert comparison.drops["a"].drop == comparison.drops["a"].drop_bound == 0
    assert comparison.drops["b"] == selection.drop.validation
    assert [row["name"] for row in files.read_csv(target / "front.csv")] == ["b"]
    assert [row["name"] for row in files.read_csv(target / "comparison.csv")] == ["a", "b"]
    with np.load(stages_before.sweep / "scores/a.npz") as a, np.load(stages_before.sweep / "scores/b.npz") as b:
        for side, rows, found in (("validation", 8, selection.drop.validation), ("test", 4, selection.drop.test)):
            y = [0, 1] * (rows // 2)
            drop = roc_auc_score(y, a[side]) - roc_auc_score(y, b[side])
            assert found.drop == pytest.approx(drop, abs=1e-6)


def heard(missed: dict[float, float | None], on: float) -> tuple[StreamResult, ...]:
    """Streams at some rates, with the share of the validation events that are missed at each; None without a rule."""
    none, rule = Estimate(None), EventRule({"yes": on})
    return tuple(
        StreamResult(rate, None, {}, "too short")
        if share is None
        else StreamResult(
            rate, rule, {"validation": StreamFigures(100, 5, 2.0, 1, Estimate(share), Estimate(0.5), none, none)}
        )
        for rate, share in missed.items()
    )


def test_variants_can_be_ranked_by_misses_at_a_rate_of_false_alarms(stages_before: Inputs, tmp_path: Path) -> None:
    big, small = evaluation_file.read(stages_before.evaluation)
    streams = {"a": heard({1.0: 0.2, 5.0: 0.1}, 0.9), "b": heard({1.0: 0.5, 5.0: 0.11}, 0.8)}

    def chosen(**values: Any) -> Any:
        measured = [replace(each, streams=streams[each.name]) for each in (big, small)]
        evaluation_file.write(stages_before.evaluation, measured)
        return select(SelectParams(margin=0.02, **values), stages_before, tmp_path / "selected")

    assert chosen()[0].name == "b", "by the metric, which both have"
    variant, selection = chosen(false_alarms_per_hour=1.0)
    assert variant.name == "a"
    assert line_with(selection.reason, "1 false alarms an hour", "0.02", "(best 0.800000)")
    assert selection.events == EventRule({"yes": 0.9})
    assert selection.rule.chance_of_worse is None
    variant, selection = chosen(false_alarms_per_hour=5.0)
    assert variant.name == "b", "which misses hardly more, and is smaller"
    streams["b"] = heard({1.0: None, 5.0: None}, 0.8)
    assert chosen(false_alarms_per_hour=5.0)[0].name == "a"
    with pytest.raises(DataError, match=r"must be among evaluate.stream.false_alarms_per_hour; got 2, measured: 1, 5"):
        chosen(false_alarms_per_hour=2.0)
    streams["a"] = streams["b"]
    with pytest.raises(DataError, match=r"No variant .*select.false_alarms_per_hour 1\b"):
        chosen(false_alarms_per_hour=1.0)


def test_with_a_confidence_only_variants_shown_not_to_be_inferior_may_win() -> None:
    table = [variant | {"drop_bound": bound} for variant, bound in zip(TABLE, (0.0, 0.02, 0.2, None), strict=True)]
    asked = SelectParams(margin=0.05, confidence=0.95)
    assert choose(table, SelectParams(margin=0.05, confidence=None))["name"] == "small"
    assert choose(table, SelectParams(margin=0.05))["name"] == "middle", "auto: the data show it of one"
    assert choose(table, SelectParams(margin=0.01))["name"] == "middle", "auto: they show it of none but the baseline"
    assert choose(table, asked)["name"] == "middle"
    assert choose(table, replace(asked, budget={"roc_auc": 0.5, "raw_bytes": 2000}))["name"] == "middle"
    with pytest.raises(EdacError, match=r"of the 1 variants .*select\.margin 0\.05 below") as caught:
        choose(table, replace(asked, budget={"raw_bytes": 300}))
    assert "small, may lie 0.2 below" in str(caught.value)


def test_the_reason_tells_what_no_device_has_measured_yet(stages_before: Inputs, tmp_path: Path) -> None:
    params = SelectParams(budget={"device.pi.latency_ms": 30, "device.attic.latency_ms": 30})
    latencies = {"b": {"pi": 40.0}, "a": {"pi": 20.0}}
    variant, selection = select(params, replace(stages_before, latencies=latencies), tmp_path / "selected")
    assert variant.name == "a"
    assert "not measured yet on attic" in selection.reason
    assert line_with(selection.reason, "as they came out")
    assert selection.rule.chance_of_worse == 0
    (front, *_) = files.read_csv(tmp_path / "selected/front.csv")
    assert (front["name"], front["device.pi.latency_ms"], front["device.attic.latency_ms"]) == ("b", "40.0", "")


def break_model(folders: Inputs) -> None:
    (folders.sweep / "b.tflite").write_bytes(b"other")


def forget_table(folders: Inputs) -> None:
    (folders.evaluation / "evaluation.json").unlink()


@pytest.mark.parametrize(
    "damage, sentence",
    [(break_model, r"b\.tflite is not the file"), (forget_table, r"evaluation\.json .*`dvc repro evaluate`")],
)
def test_folders_that_do_not_belong_together_are_refused(
    stages_before: Inputs, tmp_path: Path, damage: Callable[[Inputs], None], sentence: str
) -> None:
    damage(stages_before)
    with pytest.raises(DataError, match=sentence):
        select(SelectParams(), stages_before, tmp_path / "selected")
    assert not (tmp_path / "selected").exists()


def test_a_refusal_is_told_written_and_read_in_place_of_a_selection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    section = SelectParams(registered_name="words", budget={"raw_bytes": 100})
    with pytest.raises(RefusedError) as caught:
        choose(TABLE, section)
    assert caught.value.misses["small"] == "has raw_bytes 200, 100.0% over"
    assert set(caught.value.misses) == {row["name"] for row in TABLE}
    refuse(section, caught.value, tmp_path / "selected")
    said = capsys.readouterr().err
    assert line_with(said, "warning: ", "None of the 4 variants")
    assert "stops before the devices" in said
    found = selection_file.refusal(tmp_path / "selected")
    assert found is not None
    assert found.misses == caught.value.misses
    with pytest.raises(EdacError, match="None of the 4 variants"):
        selection_file.read(tmp_path / "selected")
    assert selection_file.refusal(tmp_path) is None
