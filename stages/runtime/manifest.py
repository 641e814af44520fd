"""`manifest.json`: what a release is, which files it consists of, and what it must answer to prove itself.

schema        2; `manifest.schema.json` says the same to other programs
name          of the release
version       of the model in the registry; a device takes none below the highest one of that model that it ran
device_class  kind of device it is for, e.g. raspberry-pi; "any" for all
card          relative path of the model card
labels        class names in output order; the positive class of a binary task is last
threshold     of a binary task's positive score; null with more than two labels; of a multi-label task, a list of
              one per label
sample_rate   of the front end (Hz)
clip_samples  length of what the front end takes (samples)
align         where a recording of another length lies in it: "start", or "middle"; if it is left out, "start"
crops         of the front end's features along time that the model takes, whose scores are averaged; if left out, 1
hearing       how recordings are heard, as `stages.runtime.hearing` has it; what is left out takes its default
events        how windows become events, as `stages.runtime.events` has it; if left out or null, by the threshold alone
files         relative path to sha256, of every file but the manifest itself and its signature, `manifest.sig`
golden        [{"file", "scores"}]: recordings, and the model's output vector for each
tolerance     largest absolute difference of a golden score
model         what is known of the model; free
reject        when the classifier says "unknown", as `stages.runtime.rejection` has it; if left out or null, never
registered_name  of the registered model that `version` counts; if left out, ""
not_after     last day on which a device takes it, YYYY-MM-DD; if left out or null, there is none
tolerance_reason  why the tolerance is what it is; if left out, ""
"""

import datetime
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.runtime import events, hearing, rejection, storage
from stages.runtime.audio import ALIGNMENTS
from stages.runtime.errors import RuntimeInputError
from stages.runtime.events import EventRule
from stages.runtime.hearing import Hearing
from stages.runtime.rejection import Rejection

NAME, SIGNATURE = "manifest.json", "manifest.sig"
SCHEMA = 2
FRONTEND, MODEL = "frontend.tflite", "model.tflite"
ANY_CLASS = "any"
_PATH = re.compile(r"(?!manifest\.(json|sig)$)[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
CLASS_RULE = "a name of small letters, digits, dots, dashes and underscores"
_CLASS = re.compile(r"[a-z0-9][a-z0-9._-]*")


_OPTIONAL = {"align", "crops", "events", "hearing", "registered_name", "reject", "not_after", "tolerance_reason"}


@dataclass(frozen=True)
class Golden:
    """A recording of the release and the model's output vector for it."""

    file: str
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Manifest:
    """A checked manifest; the fields are explained at the top of this file."""

    name: str
    version: int
    device_class: str
    card: str
    labels: tuple[str, ...]
    threshold: float | tuple[float, ...] | None
    sample_rate: int
    clip_samples: int
    files: dict[str, str]
    golden: tuple[Golden, ...]
    tolerance: float
    model: dict[str, Any]
    align: str = "start"
    crops: int = 1
    hearing: Hearing = hearing.DEFAULT
    registered_name: str = ""
    not_after: str | None = None
    tolerance_reason: str = ""
    events: EventRule | None = None
    reject: Rejection | None = None

    @property
    def n_outputs(self) -> int:
        """Length of the model's output vector: 1 for a binary task, else one per label."""
        return 1 if isinstance(self.threshold, float) else len(self.labels)

    @property
    def multi_label(self) -> bool:
        """Whether each class is decided on its own."""
        return isinstance(self.threshold, tuple)

    def decision(self, scores: Sequence[float]) -> str | list[str]:
        """Return the label that an output vector means, or the labels of a multi-label task.

        Parameters
        ----------
        scores : Sequence[float]
            List of length `n_outputs`.
        """
        if isinstance(self.threshold, tuple):
            limits = zip(self.labels, scores, self.threshold, strict=True)
            return [label for label, score, limit in limits if score >= limit]
        if self.threshold is None:
            return self.labels[max(range(len(scores)), key=scores.__getitem__)]
        return self.labels[scores[0] >= self.threshold]

    def is_clear(self, scores: Sequence[float]) -> bool:
        """Return whether no output vector within the tolerance of this one means another decision."""
        if isinstance(self.threshold, tuple):
            return all(abs(score - limit) > self.tolerance for score, limit in zip(scores, self.threshold, strict=True))
        if self.threshold is None:
            second, first = sorted(scores)[-2:]
            return first - second > 2 * self.tolerance
        return abs(scores[0] - self.threshold) > self.tolerance


def load(folder: Path) -> Manifest:
    """Read and check the manifest of a release.

    Parameters
    ----------
    folder : Path
        The release.

    Raises
    ------
    RuntimeInputError
        If it is missing, is not JSON or breaks a rule.
    """
    path = folder / NAME
    try:
        content = storage.read(path)
    except OSError as error:
        raise RuntimeInputError(f"{path} cannot be read ({error.strerror}). Name a release's folder.") from None
    return decode(content, str(path))


def decode(content: bytes, owner: str) -> Manifest:
    """Read and check the bytes of a manifest; `owner` and errors as for `parse`."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RuntimeInputError(f"{owner} is not JSON ({error}). Push the release again.") from None
    return parse(values, owner)


def parse(values: Any, owner: str = NAME) -> Manifest:
    """Check plain values, as JSON gives them, and return them as a `Manifest`.

    Parameters
    ----------
    values : Any
    owner : str
        What the message calls the manifest.

    Raises
    ------
    RuntimeInputError
        If a key is missing, unknown or of another type, a path leaves the folder, or the parts contradict each other.
    """

    def require(holds: bool, rule: str, got: Any) -> None:
        if not holds:
            raise RuntimeInputError(f"{owner}: {rule}; got {got!r}. Push the release again.")

    require(isinstance(values, dict), "it must be a JSON object", values)
    expected = {"schema", *Manifest.__dataclass_fields__}
    require(set(values) | _OPTIONAL == expected, f"its keys must be {', '.join(sorted(expected))}", sorted(values))
    require(values["schema"] == SCHEMA, f"schema must be {SCHEMA}", values["schema"])
    require(_is_text(values["name"]), "name must be text", values["name"])
    require(is_class(values["device_class"]), f"device_class must be {CLASS_RULE}", values["device_class"])

    labels = values["labels"]
    unique = isinstance(labels, list) and all(map(_is_text, labels)) and len(set(labels)) == len(labels)
    require(unique and len(labels) >= 2, "labels must be a list of at least two different names", labels)
    threshold = values["threshold"]
    if isinstance(threshold, list):
        fits = len(threshold) == len(labels) and all(map(_is_number, threshold))
        require(fits, f"a list of thresholds must hold {len(labels)} numbers, one for each label", threshold)
        threshold = tuple(map(float, threshold))
    elif len(labels) == 2:
        require(_is_number(threshold), "threshold must be a number when there are two labels", threshold)
    else:
        require(threshold is None, "threshold must be null when there are more than two labels", threshold)
    for key in ("version", "sample_rate", "clip_samples"):
        require(_is_count(values[key]), f"{key} must be a whole number of at least 1", values[key])

    align = values.get("align", "start")
    require(align in ALIGNMENTS, f"align must be {' or '.join(ALIGNMENTS)}", align)

    crops = values.get("crops", 1)
    require(_is_count(crops), "crops must be a whole number of at least 1", crops)

    try:
        rules = hearing.parse(values.get("hearing", {}))
    except ValueError as error:
        raise RuntimeInputError(f"{owner}: {error}. Push the release again.") from None

    try:
        rule = None if values.get("events") is None else events.parse(values["events"], labels)
    except ValueError as error:
        raise RuntimeInputError(f"{owner}: events {error}. Push the release again.") from None

    given = values.get("reject")
    try:
        require(given is None or not isinstance(threshold, tuple), "reject must be null of a multi-label task", given)
        unknown = None if given is None else rejection.parse(given, binary=threshold is not None)
    except ValueError as error:
        message = str(error) if isinstance(error, RuntimeInputError) else f"{owner}: reject {error}. Push it again."
        raise RuntimeInputError(message) from None

    for key in ("registered_name", "tolerance_reason"):
        require(isinstance(values.get(key, ""), str), f"{key} must be text", values.get(key))
    not_after = values.get("not_after")
    require(not_after is None or is_day(not_after), "not_after must be a day, YYYY-MM-DD, or null", not_after)

    listed = values["files"]
    require(isinstance(listed, dict), "files must be an object of paths and sha256", listed)
    for path, sha256 in listed.items():
        require(_stays_inside(path), "files must hold relative paths that stay in the folder", path)
        require(_is_sha256(sha256), f"files[{path!r}] must be a sha256 of 64 hexadecimal digits", sha256)
    for path in (FRONTEND, MODEL):
        require(path in listed, f"files must hold {path}", sorted(listed))
    card = values["card"]
    require(_is_text(card) and card in listed, "card must be among files", card)

    golden = values["golden"]
    require(isinstance(golden, list) and len(golden) >= 1, "golden must be a list of at least one recording", golden)
    n_outputs = 1 if len(labels) == 2 and not isinstance(threshold, tuple) else len(labels)
    for entry in golden:
        require(isinstance(entry, dict) and set(entry) == {"file", "scores"}, "golden must hold file and scores", entry)
        require(_is_text(entry["file"]) and entry["file"] in listed, "a golden file must be among files", entry["file"])
        scores = entry["scores"]
        fits = isinstance(scores, list) and len(scores) == n_outputs and all(map(_is_number, scores))
        require(fits, f"golden scores must be {n_outputs} numbers", scores)
    tolerance = values["tolerance"]
    require(_is_number(tolerance) and tolerance >= 0, "tolerance must be a number of at least 0", tolerance)
    require(isinstance(values["model"], dict), "model must be an object", values["model"])
    return Manifest(
        name=values["name"],
        version=values["version"],
        device_class=values["device_class"],
        card=card,
        labels=tuple(labels),
        threshold=threshold if threshold is None or isinstance(threshold, tuple) else float(threshold),
        sample_rate=values["sample_rate"],
        clip_samples=values["clip_samples"],
        files=dict(listed),
        golden=tuple(Golden(entry["file"], tuple(map(float, entry["scores"]))) for entry in golden),
        tolerance=float(tolerance),
        model=dict(values["model"]),
        align=align,
        crops=crops,
        hearing=rules,
        registered_name=values.get("registered_name", ""),
        not_after=not_after,
        tolerance_reason=values.get("tolerance_reason", ""),
        events=rule,
        reject=unknown,
    )


def is_class(value: Any) -> bool:
    """Return whether a value names a kind of device: `CLASS_RULE`."""
    return isinstance(value, str) and _CLASS.fullmatch(value) is not None


def damaged_files(folder: Path, manifest: Manifest) -> list[str]:
    """Return the manifest's files that are missing from `folder` or have another sha256, sorted."""
    return [path for path, expected in sorted(manifest.files.items()) if _sha256(folder / path) != expected]


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stays_inside(path: str) -> bool:
    return _PATH.fullmatch(path) is not None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_day(value: Any) -> bool:
    """Return whether a value is a day, ``YYYY-MM-DD``."""
    try:
        return datetime.date.fromisoformat(value).isoformat() == value
    except (TypeError, ValueError):
        return False


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
