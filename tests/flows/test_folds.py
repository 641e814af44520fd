"""Cross-validation over published folds: real DVC projects for the arrangement, runs made up by hand for the sums."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from scipy.stats import ttest_rel

from flows.studies.folds import run_folder, summary, table
from flows.studies.folds import runs as folds
from flows.studies.folds.figures import Figures
from flows.studies.folds.run_folder import Run
from stages.core.artifacts import clips as clips_file
from stages.core.artifacts.split import SPLITS
from stages.core.artifacts.variant import write_variants
from stages.core.project import files, layout, provenance
from stages.core.project.errors import DataError, EdacError, ParameterError
from stages.evaluate.params import EvaluateParams
from tests import examples


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, datasets: Path) -> Path:
    """A copy of this project with the preset of ESC-10."""
    if not (datasets / "ESC-10").is_dir():
        pytest.skip("needs ESC-10")
    root, place = provenance.ROOT, tmp_path_factory.mktemp("project")
    for name in ("stages", "flows"):
        shutil.copytree(root / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", "pyproject.toml"):
        shutil.copyfile(root / name, place / name)
    shutil.copyfile(root / "stages/presets/esc10.yaml", place / "params.yaml")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=place, check=True)
    yaml = YAML()
    document = yaml.load(place / "params.yaml")
    document["pull"]["mirror"] = str(datasets)
    yaml.dump(document, place / "params.yaml")
    return place


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    monkeypatch.delenv("EDAC_MIRROR", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return project


@pytest.mark.thorough
def test_every_clip_is_tested_once_and_what_does_not_depend_on_the_fold_is_done_once(inside: Path) -> None:
    folds._dvc(Path(), "repro", "pull")
    runs = folds.plan([7, 8])
    assert [(run.fold, run.seed) for run in runs] == [(fold, seed) for seed in (7, 8) for fold in "12345"]
    tested: list[str] = []
    for run in runs[:5]:
        run_folder.prepare(run)
        folds.reproduce(run, "split")
        told = (run.folder / "data/dvc.log").read_text()
        assert "Stage 'pull' is cached" in told
        sides = {row["recording_id"]: row["split"] for row in files.read_csv(run.folder / layout.SPLITS)}
        assert {side: list(sides.values()).count(side) for side in SPLITS}["test"] == 80
        tested += [name for name, side in sides.items() if side == "test"]
    assert len(set(tested)) == len(tested) == 400
    chosen = YAML(typ="safe", pure=True).load(runs[1].folder / "params.yaml")
    assert (chosen["split"]["folds"], chosen["train"]["seed"]) == ({"test": ["2"]}, 7)

    before = (runs[0].folder / "dvc.lock").read_bytes()
    run_folder.prepare(runs[0])
    folds.reproduce(runs[0], "split")
    assert (runs[0].folder / "dvc.lock").read_bytes() == before
    assert "Running stage" not in (runs[0].folder / "data/dvc.log").read_text()


def test_a_copy_of_the_code_follows_the_code(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    for folder, names in (
        (source, ("same.py", "changed.py", "new/new.py")),
        (target, ("same.py", "changed.py", "old.py")),
    ):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("x" if name == "same.py" else f"{name} {folder}")
    time = (target / "same.py").stat().st_mtime_ns
    run_folder._mirror(source, target)
    assert {p.relative_to(target): p.read_bytes() for p in target.rglob("*.py")} == {
        p.relative_to(source): p.read_bytes() for p in source.rglob("*.py")
    }
    assert (target / "same.py").stat().st_mtime_ns == time


@pytest.mark.thorough
def test_a_failure_names_the_run_and_its_log(inside: Path) -> None:
    folds._dvc(Path(), "repro", "pull")
    run = folds.plan([9])[0]
    run_folder.prepare(run)
    (run.folder / "params.yaml").write_text((run.folder / "params.yaml").read_text().replace("hop_length", "hop"))
    said = r"seed9: `dvc repro check` failed: features.*no parameter 'hop'.*[^.]\. Read .*dvc.log"
    with pytest.raises(EdacError, match=said):
        folds.reproduce(run, "check")


def test_seeds_are_checked_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("split: {method: official, folds: {test: [1]}}\n")
    with pytest.raises(ParameterError, match=r"--seeds must .*got \[1, 1\]"):
        folds.run([1, 1])
    with pytest.raises(ParameterError, match=r"--seeds must be 0 or more; got \[-1\]"):
        folds.run([-1])


def test_progress_names_fold_seed_and_stage_and_its_time_left_is_by_the_runs_that_worked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = ["Stage 'pull' is cached", "Running stage 'train':", "> python -m stages.train", "Running stage 'sweep':"]
    clock = [1000.0]

    def dvc(*_: str, folder: Path, on_line: Callable[[str], None], **__: object) -> None:
        done_before = folder.name in "123"
        clock[0] += 1 if done_before else 600
        for line in printed[:1] if done_before else printed:
            on_line(line)

    monkeypatch.setattr(folds, "dvc", dvc)
    monkeypatch.setattr(folds, "prepare", lambda _: None)
    monkeypatch.setattr(folds, "reproduce", lambda run, _, on_stage: folds._dvc(run.folder, on_stage=on_stage))
    for name in ("time.time", "tqdm.std.time"):
        monkeypatch.setattr(name, lambda: clock[0])
    folds.reproduce_all([Run(str(n), 7, tmp_path / str(n)) for n in range(1, 7)], "sweep")
    shown = capsys.readouterr().err
    assert "fold 4, seed 7: train" in shown
    assert "fold 4, seed 7: sweep" in shown
    assert "pull" not in shown
    assert "3/6 [00:00<?" in shown, "nothing is known after three that were done before"
    assert "4/6 [10:00<20:00, 600" in shown
    assert "5/6 [20:00<10:00, 600" in shown
    assert Run("", 7, tmp_path, {"train.mixup": 0}).title == "seed 7, with train.mixup"


def test_a_split_by_group_is_run_once_per_seed(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Path("params.yaml").read_text()
    try:
        Path("params.yaml").write_text(original.replace("method: official", "method: groups"))
        runs = folds.plan([7, 8])
        assert [(run.fold, run.seed, run.folder.name) for run in runs] == [("", 7, "seed7"), ("", 8, "seed8")]
        run_folder.prepare(runs[1])
    finally:
        Path("params.yaml").write_text(original)
    chosen = YAML(typ="safe", pure=True).load(runs[1].folder / "params.yaml")
    assert (chosen["split"]["folds"], chosen["train"]["seed"]) == ({"test": [5]}, 8)


def test_a_teachers_file_is_found_from_a_runs_folder(inside: Path) -> None:
    original = Path("params.yaml").read_text()
    taught = "  teacher: tflite\n  options: {tflite: {model: ears.tflite}}\n"
    try:
        by_group = original.replace("method: official", "method: groups")  # which needs no index of the recordings
        Path("params.yaml").write_text(re.sub(r"  teacher:.*\n", taught, by_group))
        run = folds.plan([7])[0]
        run_folder.prepare(run)
    finally:
        Path("params.yaml").write_text(original)
    chosen = YAML(typ="safe", pure=True).load(run.folder / "params.yaml")
    assert chosen["distill"]["options"]["tflite"]["model"] == str(inside / "ears.tflite")


def test_seeds_share_the_teacher_of_a_fold(tmp_path: Path) -> None:
    runs = {(fold, seed): Run(fold, seed, tmp_path / f"fold{fold}-seed{seed}") for fold in "12" for seed in (7, 8)}
    for fold in "12":
        files.write_json(runs[fold, 7].folder / layout.TEACHER / "teacher.json", {"fold": fold})
    (tmp_path / "fold1-seed6" / layout.TEACHER).mkdir(parents=True)  # which is not finished
    stale = tmp_path / "fold1-seed9" / layout.TEACHER / "teacher.json"
    files.write_json(stale, {"fold": "of other parameters"})
    os.utime(stale, (0, 0))
    for fold in "12":
        run_folder._share_teacher(runs[fold, 8])
        assert files.read_json(runs[fold, 8].folder / layout.TEACHER / "teacher.json") == {"fold": fold}
    files.write_json(runs["1", 8].folder / layout.TEACHER / "teacher.json", {"mine": True})
    run_folder._share_teacher(runs["1", 8])
    assert files.read_json(runs["1", 8].folder / layout.TEACHER / "teacher.json") == {"mine": True}
    assert [path.name for path in (runs["2", 8].folder / "data").iterdir()] == ["teacher"]
    run_folder._share_teacher(alone := Run("", 8, tmp_path / "seed8"))
    assert not alone.folder.exists()


FRONT = "no other is both as small, in raw bytes, and as good in the mean. The test folds chose it, so that it is no "
FRONT += "prediction of which would lead on other clips."


def made_up(
    folder: Path, fold: str, seed: int, right: dict[str, list[bool]], raw_bytes: dict[str, int] | None = None
) -> Run:
    """Write a run of three classes in which each variant has the given clips right; two clips a group."""
    run = Run(fold, seed, folder / f"fold{fold}-seed{seed}")
    n = len(next(iter(right.values())))
    y = np.arange(n) % 3
    clips = [
        {"clip_id": f"{i}", "path": "", "split": "test", "label": "abc"[y[i]], "group": f"{fold}-{i // 2}"}
        | {"site": "", "parent": ""}
        for i in range(n)
    ]
    features = run.folder / layout.FEATURES
    files.write_csv(features / "clips.csv", clips_file.COLUMNS, clips)
    files.write_json(features / "frontend.json", {"labels": ["a", "b", "c"], "sample_rate": 8000, "clip_samples": 8000})
    np.save(features / "features.npy", np.zeros((n, 1), np.float32))
    variants = []
    for label, hits in right.items():
        name = f"{label}-seed{seed}" if "baseline" not in label else label
        scores = np.eye(3)[np.where(hits, y, (y + 1) % 3)]
        (run.folder / layout.SWEEP / "scores").mkdir(parents=True, exist_ok=True)
        np.savez(run.folder / layout.SWEEP / "scores" / f"{name}.npz", test=scores)
        sizes = {"raw_bytes": (raw_bytes or {}).get(label, 100 * seed), "deflated_bytes": 10 * seed}
        metrics = {"validation": examples.split_metrics()}
        variants.append(examples.variant(name, seed=seed, metrics=metrics, **sizes))
    write_variants(run.folder / layout.SWEEP / "variants.json", variants)
    return run


def test_means_by_hand(tmp_path: Path) -> None:
    everything, half, none = [True] * 24, [True, False] * 12, [False] * 24
    runs = [
        made_up(tmp_path, "1", 1, {"baseline-float32": everything, "pruned": half}),
        made_up(tmp_path, "2", 1, {"baseline-float32": everything, "pruned": half}),
        made_up(tmp_path, "1", 3, {"baseline-float32": everything, "pruned": everything, "failed elsewhere": none}),
        made_up(tmp_path, "2", 3, {"baseline-float32": everything, "pruned": none}),
    ]
    figures = Figures(runs, metric="accuracy", evaluate=EvaluateParams())
    baseline, pruned = summary.collect(figures)
    assert (baseline.name, baseline.values, baseline.high) == ("baseline-float32", (1.0, 1.0), 1.0)
    assert baseline.low == pytest.approx(0.025 ** (1 / 24)), "24 groups without an error prove no certainty"
    assert (baseline.drop_low, baseline.drop_high) == (0, 0)
    assert pruned.name == "pruned"
    assert pruned.values == (0.75, 0.25)
    assert pruned.drop == pytest.approx(0.5)
    assert pruned.low < 0.5 < pruned.high
    assert pruned.drop_low < 0.5 < pruned.drop_high
    assert (pruned.raw_bytes, pruned.deflated_bytes, pruned.latency_ms) == (200, 20, None)

    text = table.table([baseline, pruned], figures)
    assert "| pruned | 0.500 [" in text
    assert "| **baseline-float32** | 1.000 [" in text
    assert "| 0.354 | +0.500 [" in text  # the sample standard deviation of 0.75 and 0.25
    assert text.endswith(
        "\n\n48 clips, each tested once by 2 seeds, in 2 folds. In bold the front over 2 means: " + FRONT
    )


def test_the_front_is_what_none_beats_in_size_and_metric(tmp_path: Path) -> None:
    n_right = {"baseline-float32": 5, "better": 6, "as small, worse": 4, "small": 4, "smaller, as good": 4, "least": 1}
    sizes = dict(zip(n_right, (100, 60, 60, 50, 40, 10), strict=True))
    right = {name: [True] * n + [False] * (6 - n) for name, n in n_right.items()}
    runs = [made_up(tmp_path, "1", 1, right, sizes)]
    rows = summary.collect(Figures(runs, metric="accuracy", evaluate=EvaluateParams()))
    assert {row.name for row in rows if row.front} == {"better", "smaller, as good", "least"}


def test_gains_by_hand(tmp_path: Path) -> None:
    right = {n: [True] * n + [False] * (6 - n) for n in range(7)}
    these, others = [5, 6, 4, 3], [4, 6, 2, 4]
    places = [("1", 1), ("2", 1), ("1", 2), ("2", 2)]
    figures = []
    for way, hits in (("this", these), ("other", others)):
        runs = [
            made_up(tmp_path / way, fold, seed, {"baseline-float32": right[n]})
            for (fold, seed), n in zip(places, hits, strict=True)
        ]
        figures.append(Figures(runs, metric="accuracy", evaluate=EvaluateParams()))
    (gain,) = summary.compare(*figures)
    assert (gain.name, gain.site, gain.n_folds, gain.n_seeds) == ("baseline-float32", "", 2, 2)
    assert (gain.mean, gain.other) == pytest.approx((18 / 24, 16 / 24))
    of_folds = np.array([[5 + 4, 6 + 3], [4 + 2, 6 + 4]]) / 12  # seeds of a fold count once
    expected = ttest_rel(*of_folds).confidence_interval(0.95)  # no clip is for training here: nothing overlaps
    assert gain.gain == pytest.approx(2 / 24)
    assert (gain.low, gain.high) == pytest.approx(tuple(expected))
    assert np.isnan(gain.clips_low), "6 groups are too few"
    text = table.gains_table([gain], figures[0], "train.mixup=0")
    assert "| baseline-float32 | all | 0.750 | 0.667 | +0.083 [" in text
    assert "| too few groups |" in text
    assert text.endswith(
        "2 folds, the mean of 2 seeds each; corrected for overlapping training sets (Nadeau and Bengio)."
    )

    elsewhere = made_up(tmp_path / "third", "7", 1, {"baseline-float32": right[1]})
    third = Figures([elsewhere], metric="accuracy", evaluate=EvaluateParams())
    with pytest.raises(DataError, match="tested on the same clips"):
        summary.compare(figures[0], third)


@pytest.mark.parametrize(
    ("against", "said"),
    [
        ("train.mixup", r"--against must be KEY=VALUE; got 'train.mixup'"),
        ("mixup=0", r"--against .*params.yaml; got 'mixup'"),
        ("train.learning_rate.mixup=0", r"--against must name a parameter of params.yaml"),
        ("tarin.mixup=0", r"--against .*params.yaml; got 'tarin.mixup'"),
    ],
)
def test_a_wrong_twin_is_refused_before_any_work(inside: Path, against: str, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        folds.run([1], against=[against])
    assert not list(inside.glob("data/folds/against-*"))


def test_a_twin_differs_in_what_it_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_folder, "_CODE", ())
    shutil.copyfile(provenance.ROOT / "params.yaml", "params.yaml")
    run = folds.plan([5], changes={"train.mixup": 0.7, "train.options.ds_cnn": {"stem": 8}})[0]
    run_folder.prepare(run)
    own, theirs = (YAML(typ="safe", pure=True).load(path) for path in (Path("params.yaml"), run.folder / "params.yaml"))
    options = own["train"]["options"] | {"ds_cnn": {"stem": 8}}
    assert theirs["train"] == own["train"] | {"mixup": 0.7, "options": options, "seed": 5}


def test_gains_of_each_site_are_those_of_its_clips_alone(tmp_path: Path) -> None:
    """Clips 0 to 2 are of site a, 3 to 5 of site b; this way is right of all, the other of those of a."""
    figures = []
    for way, right in (("this", [True] * 6), ("other", [True] * 3 + [False] * 3)):
        run = made_up(tmp_path / way, "1", 1, {"baseline-float32": right})
        path = run.folder / layout.FEATURES / "clips.csv"
        clips = [row | {"site": "ab"[int(row["clip_id"]) // 3]} for row in files.read_csv(path)]
        files.write_csv(path, clips_file.COLUMNS, clips)
        figures.append(Figures([run], metric="accuracy", evaluate=EvaluateParams()))
    gains = summary.compare(*figures)
    assert [(gain.site, gain.mean, gain.other, gain.gain) for gain in gains] == [
        ("", 1.0, 0.5, 0.5),
        ("a", 1.0, 1.0, 0.0),
        ("b", 1.0, 0.0, 1.0),
    ]
    assert np.isnan(gains[0].low), "one pair has no spread"
    row = summary.collect(figures[0])[0]
    assert row.sd is None
    assert table.table([row], figures[0]).endswith(
        "\n\n6 clips, each tested once by 1 seed. No intervals: 3 groups; an interval needs 10. In bold the front over "
        "1 means: " + FRONT
    )


def test_parts_of_groups_are_planned_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("split: {method: official, folds: {test: [5]}}\ntrain: {}\nsweep: {}\n")
    runs = folds.plan([7], parts=3)
    assert [(run.fold, run.parts) for run in runs] == [("1", 3), ("2", 3), ("3", 3)]
    monkeypatch.setattr(run_folder, "_CODE", ())
    run_folder.prepare(runs[1])
    written = YAML(typ="safe").load(runs[1].folder / "params.yaml")["split"]
    assert written == {"method": "groups", "folds": {}, "parts": 3, "part": 1, "ignore_published": True}


def test_sites_are_left_out_one_at_a_time(tmp_path: Path) -> None:
    runs = folds.plan([7, 8], tmp_path, sites=("home", "ward"))
    assert [(run.fold, run.site, run.seed) for run in runs] == [
        (fold, site, seed) for seed in (7, 8) for fold, site in (("1", "home"), ("2", "ward"))
    ]
    assert runs[1].title == "fold 2 (ward), seed 7"
    assert len({run.folder for run in runs}) == 4
