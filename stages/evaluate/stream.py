"""Events in a stream before a device hears one: misses against false alarms per hour, per variant.

Streams are composed of held-out clips (`stages.evaluate.soundscape`), or are the user's own annotated recordings
(`stages.evaluate.annotated`), one of the validation side and one of the test side. The event rule of every variant is
chosen on the first for a stated number of false alarms per hour (`stages.evaluate.event_rules`), and judged on the
second.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.evaluation import SnrMisses, StreamFigures, StreamResult
from stages.core.artifacts.frontend import Frontend
from stages.core.artifacts.split import SplitName
from stages.core.artifacts.variant import Variant
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.project.progress import track
from stages.core.scoring import detection
from stages.core.scoring.arrays import rounded
from stages.core.scoring.detection import Sounds, TrueEvent
from stages.evaluate import annotated
from stages.evaluate.event_rules import choose
from stages.evaluate.params import EvaluateParams, StreamParams
from stages.evaluate.soundscape import Soundscape, Stream, background, place
from stages.runtime.audio import clip as fit
from stages.runtime.events import Event, EventRule, Windows, events_from, smooth_all
from stages.runtime.frontend_distance import summaries
from stages.runtime.hearing import is_silent
from stages.runtime.litert import Model

SIDES: tuple[SplitName, ...] = ("validation", "test")
COLUMNS = (
    "name",
    "target_per_hour",
    "split",
    "snr_db",
    "figure",
    "value",
    "low",
    "high",
    "n",
    "groups",
    "hours",
    "reason",
    "passes",
)
BATCH = 64


@dataclass(frozen=True)
class Heard:
    """The windows of one soundscape, and what is in it.

    Attributes
    ----------
    starts_s : np.ndarray, shape (n,)
    silent : np.ndarray, shape (n,), bool
    scores : dict[str, np.ndarray]
        Variant to outputs, (n, n_outputs) float32.
    summaries : np.ndarray, shape (n, n_values), float64
        Front end's output of each window, as `stages.runtime.frontend_distance` sums it up.
    truth : tuple[TrueEvent, ...]
    sounds : Sounds
    """

    starts_s: np.ndarray
    silent: np.ndarray
    scores: dict[str, np.ndarray]
    summaries: np.ndarray
    truth: tuple[TrueEvent, ...]
    sounds: Sounds


def measure(
    variants: Sequence[Variant], sweep: Path, *, features: Path, folder: Path, params: EvaluateParams
) -> dict[str, tuple[StreamResult, ...]]:
    """Measure every variant on streams.

    Parameters
    ----------
    variants : Sequence[Variant]
    sweep : Path
        Holds ``<variant>.tflite``.
    features : Path
        Holds ``clips.csv``, ``frontend.json`` and ``frontend.tflite``.
    folder : Path
        Takes the scores of each side, ``<side>.npz``; a side that an interrupted call finished is read back.
    params : EvaluateParams

    Returns
    -------
    dict[str, tuple[StreamResult, ...]]
        Variant to one result per target rate.
    """
    folder.mkdir(exist_ok=True)
    frontend, given = frontend_file.read(features), params.stream
    heard = {side: _hear(side, variants, sweep, features=features, folder=folder, params=params) for side in SIDES}
    labels = [label for label in frontend.labels if label not in given.ignored]
    if len(frontend.labels) == 2 and not isinstance(variants[0].threshold, tuple):
        labels = [frontend.labels[-1]]
    found = {}
    for variant in track(variants, "streams"):
        sounds = {side: _windows(variant, heard[side], frontend, given.hop_s) for side in SIDES}
        targets, validation = given.false_alarms_per_hour, heard["validation"]
        chosen = choose(
            sounds["validation"],
            validation.truth,
            labels,
            sounds=validation.sounds,
            targets=targets,
            per_label=given.thresholds == "per_label",
        )
        found[variant.name] = tuple(
            replace(_judge(target, rule, sounds, heard, sure=params.confidence), most=given.most)
            for target, rule in zip(targets, chosen, strict=True)
        )
    return found


def rows(name: str, results: Sequence[StreamResult]) -> Iterator[dict[str, object]]:
    """Yield a variant's figures as rows of `COLUMNS`; the misses of one ratio alone have it in ``snr_db``."""
    for result in results:
        for side, each in result.figures.items():
            common = {"name": name, "target_per_hour": result.target, "split": side, "hours": each.hours}
            whole = {"n": each.n_true, "groups": each.groups, "passes": result.passes(side)}
            for figure in ("misses", "false_alarms_per_hour", "delay_s", "event_f1"):
                yield common | whole | {"figure": figure} | _ends(getattr(each, figure))
            for part in each.by_snr:
                of_ratio = {"snr_db": part.snr_db, "n": part.n_true, "groups": part.groups}
                yield common | of_ratio | {"figure": "misses"} | _ends(part.misses)


def _ends(estimate: Estimate) -> dict[str, object]:
    return {key: getattr(estimate, key) for key in ("value", "low", "high", "reason")}


def _hear(
    side: SplitName, variants: Sequence[Variant], sweep: Path, *, features: Path, folder: Path, params: EvaluateParams
) -> Heard:
    frontend, given = frontend_file.read(features), params.stream
    sound = compose(side, features, frontend, given)
    path = folder / f"{side}.npz"
    if not path.exists():
        scored = _score(sound, variants, sweep, features, given.hop_s)
        with files.atomic(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **scored)  # type: ignore[arg-type]
    with np.load(path) as stored:
        scores = {variant.name: stored[variant.name] for variant in variants}
        known = (stored["starts_s"], stored["silent"], scores, stored["summaries"])
        return Heard(*known, tuple(sound.truth), sound.sounds)


def compose(side: SplitName, features: Path, frontend: Frontend, given: StreamParams) -> Stream:
    """Return the stream of one side of the split: the user's recordings where there are some, else composed clips.

    Parameters
    ----------
    side : {"validation", "test"}
    features : Path
    frontend : Frontend
    given : StreamParams

    Raises
    ------
    DataError
        If a recording or an annotation cannot be used, or the side has no clip.
    """
    clips, rate, hearing = clips_file.read(features, side), frontend.sample_rate, frontend.hearing
    if len(frontend.labels) == 2 and not any(len(clip.labels) > 1 for clip in clips):
        ignored: Sequence[str] = (frontend.labels[0], *given.ignored)
    else:
        ignored = given.ignored
    if given.marked:
        return annotated.Recordings(annotated.marked(features, side, ignored), frontend)
    if given.recordings is not None:
        found = annotated.recordings(given, features, frontend, ignored)
        if chosen := annotated.of_side(found, side):
            return annotated.Recordings(chosen, frontend)
    if not clips:
        raise DataError(f"evaluate.stream needs clips of the {side} split; there are none. Run `dvc repro split`.")
    seconds, seed = 60 * given.minutes, (given.seed, SIDES.index(side))
    placed = place(clips, seconds=seconds, per_hour=given.clips_per_hour, snr_db=given.snr_db, rate=rate, seed=seed)
    sound = background(given.background, side, rate, hearing, given.seed)
    return Soundscape(placed, sound, seconds=seconds, rate=rate, hearing=hearing, ignored=ignored)


def _score(
    sound: Stream, variants: Sequence[Variant], sweep: Path, features: Path, hop_s: float
) -> dict[str, np.ndarray]:
    """Run front end and every variant on all windows; features are held for a few windows at a time."""
    frontend, model = frontend_file.read(features), Model(features / "frontend.tflite")
    split = dataset.read_split(features, "validation")  # for its crops alone
    rate, length = frontend.sample_rate, frontend.clip_samples
    models = {variant.name: Model(sweep / f"{variant.name}.tflite") for variant in variants}
    starts: list[float] = []
    silent: list[bool] = []
    values: list[np.ndarray] = []
    scores: dict[str, list[np.ndarray]] = {name: [] for name in models}
    framed = sound.windows(length, round(hop_s * rate))
    held: list[np.ndarray] = []

    def flush() -> None:
        if held:
            values.append(summaries(np.stack(held)))
            crops = replace(split, x=np.stack(held)).crops
            for name, each in models.items():
                scores[name] += [each.mean(clip) for clip in crops]
            held.clear()

    for start, window in track(framed, "stream"):
        samples = fit(window, length, frontend.align, frontend.hearing)
        starts.append(start / rate)
        silent.append(is_silent(window, frontend.hearing.silence_dbfs))
        held.append(model.run(samples[np.newaxis])[0])
        if len(held) == BATCH:
            flush()
    flush()
    found = {name: np.stack(outputs).astype(np.float32) for name, outputs in scores.items()}
    return found | {"starts_s": np.array(starts), "silent": np.array(silent), "summaries": np.concatenate(values)}


def _windows(variant: Variant, heard: Heard, frontend: Frontend, hop_s: float) -> Windows:
    outputs, threshold = heard.scores[variant.name].astype(np.float64), variant.threshold
    audible, rule = ~heard.silent, variant.rejection.rule
    if rule is not None:
        single = threshold if isinstance(threshold, float) else None
        sound = None if rule.frontend is None else rule.frontend.of_summaries(heard.summaries)
        audible = audible & (rule.excess(outputs, sound, single) >= 0)
    scores = np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs
    return Windows(scores, heard.starts_s, audible, frontend.clip_s, hop_s, tuple(frontend.labels))


def _judge(
    target: float,
    rule: EventRule | None,
    sounds: dict[SplitName, Windows],
    heard: dict[SplitName, Heard],
    *,
    sure: float,
) -> StreamResult:
    if rule is None:
        hours = heard["validation"].sounds.hours
        reason = f"no threshold keeps within {target:g} an hour on {hours:.4g} h of validation"
        if target * hours < 1 - 1e-9:
            reason = f"{target:g} an hour needs at least {1 / target:.4g} h of stream; there are {hours:.4g}"
        return StreamResult(target, None, {}, reason)
    figures = {}
    for side in SIDES:
        smoothed = smooth_all(np.where(sounds[side].heard[:, np.newaxis], sounds[side].scores, 0.0), rule.smooth)
        found = events_from(smoothed, sounds[side], rule)
        figures[str(side)] = figures_of(heard[side].truth, found, heard[side].sounds, confidence=sure)
    return StreamResult(target, rule, figures)


def figures_of(
    truth: Sequence[TrueEvent], found: Sequence[Event], sounds: Sounds, *, confidence: float
) -> StreamFigures:
    """Return misses, also by signal-to-noise ratio, false alarms per hour, median delay and event-based F1.

    Parameters
    ----------
    truth : Sequence[TrueEvent]
    found : Sequence[Event]
    sounds : Sounds
    confidence : float
        Confidence of the intervals: Clopper and Pearson's for misses, with events taken as independent, and Garwood's
        for false alarms, which is wider where they come in clusters, by speaker or by place of the background.
    """
    matching, n, hours = detection.match(truth, found), len(truth), sounds.hours
    ratios = sorted({event.snr_db for event in truth if event.snr_db is not None})
    spread = sounds.dispersion(sounds.clusters([found[i] for i in matching.false.tolist()]))
    rate = detection.poisson_interval(matching.n_false, hours, confidence=confidence, dispersion=spread)
    delays = matching.delay_s[matching.detected]
    quartiles = np.percentile(delays, [50, 5, 95]) if len(delays) else np.full(3, np.nan)
    return StreamFigures(
        n_true=n,
        groups=len({event.group for event in truth}),
        hours=round(hours, 6),
        n_false=matching.n_false,
        misses=_misses(matching.detected, confidence),
        false_alarms_per_hour=_estimate(matching.n_false / hours, *rate),
        delay_s=_estimate(*quartiles.tolist()),
        event_f1=Estimate(rounded(detection.event_f1(truth, found))),
        by_snr=tuple(_of_ratio(ratio, truth, matching.detected, confidence) for ratio in ratios),
    )


def _of_ratio(ratio: float, truth: Sequence[TrueEvent], detected: np.ndarray, confidence: float) -> SnrMisses:
    rows = [i for i, event in enumerate(truth) if event.snr_db == ratio]
    groups = {truth[i].group for i in rows}
    return SnrMisses(ratio, len(rows), len(groups), _misses(detected[rows], confidence))


def _misses(detected: np.ndarray, confidence: float) -> Estimate:
    n, missed = len(detected), int((~detected).sum())
    if not n:
        return _estimate(np.nan, np.nan, np.nan)
    return _estimate(missed / n, *detection.binomial_interval(missed, n, confidence=confidence))


def _estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(rounded(value), rounded(low), rounded(high))
