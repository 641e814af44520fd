"""The faults are there in the faulty arms, and in no other. How much they inflate a tiny corpus says nothing."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from stages.core.artifacts.recordings import Recording
from stages.core.project import files
from stages.core.project.errors import ParameterError
from stages.core.scoring.metrics import MetricParams
from stages.features.params import FeatureParams
from stages.pull.params import PullParams
from stages.split.params import SplitParams
from stages.train.params import TrainParams
from tests.bench import as_published
from tests.bench.as_published import ARMS, Arm, Experiment

pytestmark = pytest.mark.thorough

EXPERIMENT = Experiment(
    pull=PullParams(source="demo", options={"demo": {"subjects": 12}}),
    features=FeatureParams(options={"mfcc": {"clip_samples": 22050}}),
    train=TrainParams(architecture="ds_cnn", epochs=1, threads=1),
    seeds=(1,),
    metrics=MetricParams(resamples=100),
)
BY_TITLE = {arm.title: arm for arm in ARMS}


def recording(name: str, label: str, group: str, parent: str = "") -> Recording:
    return Recording(name, Path(name), label, group, "", "", f"sha256 of {name}", 1.0, 8000, parent)


RECORDINGS = [recording(f"r{i}", "positive" if i % 2 else "negative", f"g{i // 2}") for i in range(40)]
COPIES = [
    recording(f"copies/{r.recording_id}.copy{k}", r.label, r.group, r.recording_id)
    for r in RECORDINGS
    if r.label == "positive"
    for k in (1, 2)
]


def shared(clips: Sequence[Recording], sides: dict[str, str]) -> set[str]:
    """Return the groups that are on more than one side."""
    found: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        if clip.recording_id in sides:
            found[clip.group].add(sides[clip.recording_id])
    return {group for group, at in found.items() if len(at) > 1}


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.title)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_only_copies_dealt_out_put_clones_on_several_sides(arm: Arm, seed: int) -> None:
    sides = as_published.sides_of(arm, RECORDINGS, COPIES, SplitParams(seed=seed))
    leak = shared([*RECORDINGS, *COPIES], sides)
    families = shared([replace(c, group=c.parent or c.recording_id) for c in (*RECORDINGS, *COPIES)], sides)
    assert bool(leak) == bool(families) == (arm.sides == "copies dealt out")
    assert {r.recording_id for r in RECORDINGS} <= set(sides)


@pytest.mark.parametrize(
    ("title", "augmented"),
    [
        ("honest", {"train"}),
        ("chained augmentation", {"train"}),
        ("thresholded", {"train"}),
        ("augmented test", {"train", "test"}),
        ("augment, then split", {"train", "validation", "test"}),
        ("all but thresholded", {"train", "validation", "test"}),
        ("all faults", {"train", "validation", "test"}),
    ],
)
def test_copies_are_where_the_arm_says(title: str, augmented: set[str]) -> None:
    sides = as_published.sides_of(BY_TITLE[title], RECORDINGS, COPIES, SplitParams(seed=1))
    assert {sides[c.recording_id] for c in COPIES if c.recording_id in sides} == augmented


def test_one_fault_at_a_time_and_then_all() -> None:
    honest = asdict(BY_TITLE["honest"])
    differences = {
        arm.title: {key for key, value in asdict(arm).items() if value != honest[key]} - {"title"} for arm in ARMS
    }
    assert [len(differences[arm.title]) for arm in ARMS] == [0, 1, 1, 1, 1, 2, 3]
    assert set.union(*differences.values()) == differences["all faults"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("as_published")


def test_the_experiment_runs_and_costs_nothing_the_second_time(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = as_published.run(EXPERIMENT, work=work)
    by_arm = {row["arm"]: row for row in rows}
    assert list(by_arm) == list(BY_TITLE)
    assert set(rows[0]) == set(as_published.COLUMNS)
    for title, row in by_arm.items():
        leaks = BY_TITLE[title].sides == "copies dealt out"
        assert (row["groups_also_in_training"] > 0) == leaks
        assert (row["low"] is None) == (row["groups"] < 10)
        assert row["low"] is None or row["low"] <= row["value"] <= row["high"]
        assert (row["copies_above_recordings"] is None) == (BY_TITLE[title].sides == "by group")
    assert by_arm["augmented test"]["recordings_alone"] == by_arm["honest"]["value"]
    assert by_arm["thresholded"]["n"] == by_arm["honest"]["n"] < by_arm["augmented test"]["n"]
    assert by_arm["thresholded"]["metric"] == "balanced_accuracy"
    (folder,) = work.iterdir()
    made = {path: path.stat().st_mtime_ns for path in (folder / "models").rglob("model.tflite")}
    assert len(made) == 4  # arms that differ in test or figure alone share a training

    for name in ("pull", "augment", "make_features"):
        monkeypatch.setattr(as_published, name, None)
    assert as_published.run(EXPERIMENT, work=work) == rows
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_chained_copies_differ_from_copies_of_the_recording(work: Path) -> None:
    (folder,) = work.iterdir()
    copies, chained = (
        {row["recording_id"]: row["sha256"] for row in files.read_csv(folder / name / "index.csv")}
        for name in ("copies", "chained")
    )
    assert copies.keys() == chained.keys()
    for name in copies:
        assert (copies[name] == chained[name]) == name.endswith(".copy1")


def test_the_table_shows_the_mean_over_seeds_and_what_a_fault_adds() -> None:
    rows = [
        {"arm": arm.title, "seed": seed, "metric": arm.metric, "value": value, "low": value - 0.1, "high": value + 0.1}
        | {"n": 10, "positives": 5, "groups": 9, "groups_also_in_training": 0}
        | {"recordings_alone": 0.5, "copies_above_recordings": None if arm.sides == "by group" else 0.75}
        for arm in ARMS
        for seed, value in ((1, 0.6 + 0.1 * arm.chained), (2, 0.8))
    ]
    lines = as_published.table(rows).splitlines()
    assert len(lines) == 2 + len(ARMS)
    assert lines[2].startswith(
        "| honest | ROC-AUC | 0.700 |  | 0.500 |  | 0.600 [0.500, 0.700], 10 of 9 groups, 0 also"
    )
    assert lines[3].startswith("| chained augmentation | ROC-AUC | 0.750 | +0.050 | 0.500 |  | 0.700 [0.600, 0.800]")
    assert "| 0.500 | 0.750 |" in lines[4]
    assert "| balanced accuracy |" in lines[6]


def test_seeds_are_checked() -> None:
    with pytest.raises(ParameterError, match=r"--seeds must .*got \[1, 1\]"):
        replace(EXPERIMENT, seeds=(1, 1))
    with pytest.raises(ParameterError, match=r"--seeds .*at least one"):
        replace(EXPERIMENT, seeds=())


def test_no_stage_reaches_the_faults() -> None:
    root = Path(as_published.__file__).parents[2]
    sources = [path for top in ("stages", "flows") for path in (root / top).rglob("*.py")]
    assert [path.name for path in sources if "as_published import" in path.read_text()] == []
    assert [path.name for path in sources if "import as_published" in path.read_text()] == []
