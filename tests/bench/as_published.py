"""How much each fault of EDAC's released code inflates its result: `python -m tests.bench.as_published`.

The stages refuse every fault that is committed here on purpose; nothing else may import this. All arms share the
recordings, the network, its training and the copies of the positive class; they differ in one fault, the last has all.

- *Chained augmentation*: the second configuration is applied to the output of the first, not to the recording.
- *Augmented test*: the positives of the test split are augmented like those of training; the groups are kept apart.
  This is the published procedure. Altered copies are positive, so that whoever hears the alteration knows the class.
- *Augment, then split*: copies are made of every positive and then dealt out like recordings, so that a clip under test
  has its clones in training. This is what the released scripts do.
- *Thresholded*: predictions at 0.5 in place of scores, which makes of the AUC a balanced accuracy (the CNN-LSTM's).

Jovanović et al., "EDAC", arXiv:2309.05357, sections 3 and A.3; code `mlp-g001/EDAC-COVID19`.
"""

import argparse
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stages.augment.params import AugmentParams
from stages.augment.stage import augment
from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset
from stages.core.artifacts.recordings import Recording, read_index
from stages.core.project import errors, files, tables
from stages.core.project.errors import require
from stages.core.project.progress import track
from stages.core.scoring.metrics import MetricParams, evaluate
from stages.core.scoring.summary import summarise
from stages.evaluate import scoring
from stages.features.params import FeatureParams
from stages.features.stage import Inputs, make_features
from stages.pull.params import PullParams
from stages.pull.stage import pull
from stages.split.groups import assign
from stages.split.params import SplitParams
from stages.split.stage import split
from stages.train.params import TrainParams

WORK = Path("data/as_published")
COLUMNS = (
    *("arm", "seed", "metric", "value", "low", "high", "n", "positives", "groups", "groups_also_in_training"),
    "recordings_alone",  # the metric without the test split's copies
    "copies_above_recordings",  # probability that a copy scores higher than a positive recording; 0.5 if it is like one
)


@dataclass(frozen=True)
class Arm:
    """What is done wrong.

    Attributes
    ----------
    title : str
    chained : bool
        Copies of copies.
    sides : {"by group", "augmented test", "copies dealt out"}
        Which clips are on which side.
    metric : str
    """

    title: str
    chained: bool = False
    sides: Literal["by group", "augmented test", "copies dealt out"] = "by group"
    metric: str = "roc_auc"

    @property
    def training(self) -> str:
        """Names what the network is trained on; arms of the same name share it."""
        apart = "dealt-out" if self.sides == "copies dealt out" else "by-group"
        return f"{apart}-chained" if self.chained else apart


ARMS = (
    Arm("honest"),
    Arm("chained augmentation", chained=True),
    Arm("augmented test", sides="augmented test"),
    Arm("augment, then split", sides="copies dealt out"),
    Arm("thresholded", metric="balanced_accuracy"),
    Arm("all but thresholded", chained=True, sides="copies dealt out"),  # the released code of the CNN
    Arm("all faults", chained=True, sides="copies dealt out", metric="balanced_accuracy"),
)


@dataclass(frozen=True)
class Experiment:
    """Everything that determines the result.

    Attributes
    ----------
    pull, features : PullParams, FeatureParams
    train : TrainParams
        Its seed is replaced.
    seeds : tuple[int, ...]
        Each of a split and a training; the copies are the same.
    copies : int
        Of every recording of the positive class.
    metrics : MetricParams
    """

    pull: PullParams
    features: FeatureParams
    train: TrainParams
    seeds: tuple[int, ...] = (1234, 1235)
    copies: int = 2
    metrics: MetricParams = field(default_factory=MetricParams)

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(len(self.seeds) > 0, "--seeds", "hold at least one seed", [], "Try --seeds 1234 1235.")
        require(len(set(self.seeds)) == len(self.seeds), "--seeds", "name each seed once", list(self.seeds))


def run(experiment: Experiment, *, work: Path, mirror: Path | None = None, workers: int = 1) -> list[dict[str, Any]]:
    """Do the experiment; a killed run goes on where it stopped when it is called again.

    Parameters
    ----------
    experiment : Experiment
    work : Path
        Takes a folder for each experiment, named by its digest; remove it after a change of the code.
    mirror : Path or None
        Of the source.
    workers : int
        Processes for copies and features; the result does not depend on it.

    Returns
    -------
    list[dict]
        One row of `COLUMNS` per arm and seed.

    Raises
    ------
    EdacError
    """
    folder = work / files.digest(asdict(experiment))[:12]
    recordings, copies, labels = _clips(experiment, folder, mirror, workers)
    if not (folder / "features").exists():
        everything = [copy for made in copies.values() for copy in made]
        sides = {recording.recording_id: "train" for recording in recordings}
        inputs = Inputs(recordings, everything, sides, labels)
        make_features(experiment.features, inputs, target=folder / "features", workers=workers)
    rows = []
    jobs = [(seed, arm) for seed in experiment.seeds for arm in ARMS]
    for seed, arm in track(jobs, "as published"):
        clips = folder / "arms" / f"{arm.sides}{' chained' if arm.chained else ''} {seed}".replace(" ", "-")
        sides = sides_of(arm, recordings, copies[arm.chained], SplitParams(seed=seed))
        write_clips(folder / "features", clips, sides)
        model = folder / "models" / f"{arm.training}-{seed}"
        test = dataset.read_split(clips, "test")
        scores = scoring.score(_trained(experiment.train, seed, clips, model), test.crops)
        summary = summarise(test, scores, labels=test.labels, params=experiment.metrics)
        truth = test.y == 1
        altered = np.isin(test.clip_ids, [copy.recording_id for copy in copies[arm.chained]])
        alone = evaluate(test.y[~altered], scores[~altered])[arm.metric]
        above = evaluate(altered[truth].astype(np.int64), scores[truth])["roc_auc"]
        rows.append(
            {"arm": arm.title, "seed": seed, "metric": arm.metric}
            | {end: summary["pooled"][arm.metric][end] for end in ("value", "low", "high")}
            | {name: summary[name] for name in ("n", "positives", "groups")}
            | {"groups_also_in_training": len(set(test.groups) & set(dataset.read_split(clips, "train").groups))}
            | {"recordings_alone": _rounded(alone), "copies_above_recordings": _rounded(above)}
        )
    return rows


def sides_of(
    arm: Arm, recordings: Sequence[Recording], copies: Sequence[Recording], params: SplitParams
) -> dict[str, str]:
    """Put clips on sides, as the arm does.

    Parameters
    ----------
    arm : Arm
    recordings, copies : Sequence[Recording]
    params : SplitParams

    Returns
    -------
    dict[str, str]
        `recording_id` to side, of the clips that the arm uses.
    """
    if arm.sides == "copies dealt out":
        clips = [replace(clip, group=clip.recording_id) for clip in (*recordings, *copies)]
        return dict(assign(clips, dict(params.fractions), by_site=params.by_site, seed=params.seed))
    sides: dict[str, str] = dict(split(params, recordings))
    augmented = ("train", "test") if arm.sides == "augmented test" else ("train",)
    return sides | {copy.recording_id: sides[copy.parent] for copy in copies if sides[copy.parent] in augmented}


def write_clips(features: Path, target: Path, sides: Mapping[str, str]) -> None:
    """Write a features folder with the clips on other sides; those without a side are on none.

    Parameters
    ----------
    features : Path
        Folder with every clip; its array is linked, not copied.
    target : Path
    sides : Mapping
        From `sides_of`.
    """
    rows = [row | {"split": sides.get(row["clip_id"], "")} for row in files.read_csv(features / "clips.csv")]
    files.write_csv(target / "clips.csv", clips_file.COLUMNS, rows)
    shutil.copyfile(features / "frontend.json", target / "frontend.json")
    (target / "features.npy").unlink(missing_ok=True)
    (target / "features.npy").symlink_to((features / "features.npy").absolute())


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the result as Markdown: every arm's means over the seeds, what it adds to the honest one, and each seed.

    Parameters
    ----------
    rows : Sequence[Mapping]
        From `run`.
    """
    seeds = sorted({row["seed"] for row in rows})
    head = ["arm", "figure", "mean", "against honest", "on recordings alone", "a copy above a recording"]
    head += [f"seed {seed} [95 % interval], test clips" for seed in seeds]
    lines = []
    honest = _mean([row for row in rows if row["arm"] == ARMS[0].title], "value")
    for arm in ARMS:
        mine = [row for row in rows if row["arm"] == arm.title]
        mean, above = _mean(mine, "value"), _mean(mine, "copies_above_recordings")
        lines.append(
            [
                arm.title,
                "ROC-AUC" if arm.metric == "roc_auc" else "balanced accuracy",
                f"{mean:.3f}",
                f"{mean - honest:+.3f}" if arm != ARMS[0] else "",
                f"{_mean(mine, 'recordings_alone'):.3f}",
                "" if np.isnan(above) else f"{above:.3f}",
                *(_cell(row) for seed in seeds for row in mine if row["seed"] == seed),
            ]
        )
    return tables.markdown(head, lines)


def _mean(rows: Sequence[Mapping[str, Any]], column: str) -> float:
    return float(np.mean([np.nan if row[column] is None else row[column] for row in rows]))


def _interval(row: Mapping[str, Any]) -> str:
    return "" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]"


def _rounded(value: np.ndarray) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def _cell(row: Mapping[str, Any]) -> str:
    return (
        f"{row['value']:.3f}{_interval(row)}, {row['n']} of {row['groups']} groups, "
        f"{row['groups_also_in_training']} also in training"
    )


def _clips(
    experiment: Experiment, folder: Path, mirror: Path | None, workers: int
) -> tuple[list[Recording], dict[bool, list[Recording]], list[str]]:
    """Return the recordings, their copies without and with chaining, and the labels."""
    paths = {"recordings": folder / "recordings", "index": folder / "index.csv", "labels": folder / "labels.json"}
    if not (folder / "pull_report.json").exists():
        pull(experiment.pull, mirror=mirror, report=folder / "pull_report.json", **paths)
    recordings, labels = read_index(paths["index"]), files.read_json(paths["labels"])
    copies = {}
    for chained in (False, True):
        target = folder / ("chained" if chained else "copies")
        if not target.exists():
            params = AugmentParams(
                preset="edac_coswara",
                copies={labels[-1]: experiment.copies},
                chained=chained,
            )
            everywhere = {recording.recording_id: "train" for recording in recordings}  # the fault itself
            augment(params, recordings, splits=everywhere, target=target, workers=workers)
        made = read_index(target / "index.csv")
        copies[chained] = [replace(c, recording_id=f"{target.name}/{c.recording_id}") for c in made]
    return recordings, copies, labels


def _trained(params: TrainParams, seed: int, clips: Path, target: Path) -> bytes:
    """Return the model file of a network trained on a features folder, unless `target` has it already."""
    model = target / "model.tflite"
    if not model.exists():
        from stages.core.nn import network
        from stages.quantize import convert
        from stages.train.stage import train

        if not target.exists():
            train(clips, target, replace(params, seed=seed))
        with files.atomic(model) as temporary:
            temporary.write_bytes(convert.to_float32(network.load(target)))
    return model.read_bytes()


def main() -> None:
    """Run the experiment of the command line, write `results.csv` and `results.md`, print the table."""
    from stages.core.nn.keras import make_deterministic

    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.as_published", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("--source", default="covid19_cough", help="of stages/pull/sources, binary (covid19_cough)")
    parser.add_argument("--epochs", type=int, default=12, help="at most; EDAC: 200 (12)")
    parser.add_argument("--patience", type=int, default=4, help="epochs without a lower validation loss (4)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1234, 1235], help="of split and training (1234 1235)")
    parser.add_argument("--threads", type=int, default=1, help="part of the result (1)")
    parser.add_argument("--work", type=Path, default=WORK, help=f"takes everything that is made ({WORK})")
    given = parser.parse_args()
    make_deterministic(given.seeds[0], given.threads)
    mirror = os.environ.get("EDAC_MIRROR")
    experiment = Experiment(
        pull=PullParams(source=given.source),
        features=FeatureParams(),
        train=TrainParams(
            learning_rate=1e-4, epochs=given.epochs, patience=given.patience, threads=given.threads
        ),  # EDAC's Adam and batches of 32; class weights because copies tip this corpus, which was balanced
        seeds=tuple(given.seeds),
    )
    rows = run(experiment, work=given.work, mirror=Path(mirror) if mirror else None, workers=given.threads)
    files.write_csv(given.work / "results.csv", COLUMNS, rows)
    files.write_text(given.work / "results.md", table(rows) + "\n")
    print(table(rows))


if __name__ == "__main__":
    errors.run(main)
