"""`edac start`: look, say what was found, ask for what is missing, write."""

import dataclasses
import re
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from flows.start import background, listing, naming, recipe, similar, survey, write
from flows.start.guess import EACH_FILE
from flows.start.naming import Asked, Names
from flows.start.recipe import Target
from stages.core.project import files, params
from stages.core.project.errors import DataError, ParameterError
from stages.push import fleet

EXAMPLES = 10
DEFAULT_BYTES, DEFAULT_LATENCY_MS = 100_000, 50.0


@dataclass(frozen=True)
class Device:
    """Limits of the device, as typed; None asks, or takes the default."""

    bytes: str | None = None
    latency_ms: float | None = None


@dataclass(frozen=True)
class Rest:
    """Further choices: minutes, positive class, the model's name, what becomes of similar names, no marked parts."""

    minutes: float = 10.0
    positive: str | None = None
    name: str | None = None
    similar_names: similar.How | None = None
    whole: bool = False


@dataclass(frozen=True)
class Manner:
    """How the command behaves: ask nothing, show instead of write, overwrite."""

    yes: bool = False
    explain: bool = False
    force: bool = False


def start(recordings: Path, asked: Asked, device: Device, rest: Rest, manner: Manner) -> None:
    """Look at recordings and write `params.yaml` and the listing that it names.

    Parameters
    ----------
    recordings : Path
        Folder, or a table that lists recordings beside or below it.
    asked : Asked
    device : Device
    rest : Rest
    manner : Manner

    Raises
    ------
    DataError
        If there are no recordings, or they cannot be split so that every class is on every side.
    ParameterError
        If an option does not fit, `params.yaml` holds changes of the user's own, or no network keeps within the budget.
    """
    place = recordings.expanduser()
    if not place.exists():
        raise DataError(f"{recordings} must be a folder of recordings or a table; it does not exist. Correct the path.")
    table = place.resolve() if place.is_file() else None
    root = listing.root_of(table) if table else place.resolve()
    if not manner.explain:
        _require_free(params.PARAMS_FILE, manner.force)
    items, notes = listing.list_recordings(root, table, whole=rest.whole)
    for note in notes:
        print(f"note: {note}")
    names = naming.find(items, asked)
    if asked.background:
        names, added = background.between(names)
        print(f"note: {added}")
    print(_found(root, names))
    write.require_readable(names, root)
    measured = survey.survey(root, [(item.path, item.span) for item in names.items], names.label.values)
    print(_measured(measured))
    target = _target(root, device, rest, ask=not manner.yes and sys.stdin.isatty())
    settling = similar.settled(names, rest.similar_names)
    if settling.note:
        print(f"note: {settling.note}")  # first: it may be why no recipe can be chosen
    names, becomes = background.shared_out(settling.names)
    if becomes:
        print(f"note: {becomes}")
    chosen = recipe.choose(names, measured, target)
    streams = background.streams(names) if asked.background else []
    more = (*write.missing_values(names), *settling.choices, *chosen.choices, *streams)
    chosen = dataclasses.replace(chosen, choices=more)
    for warning in (*names.notes, *_unreadable(measured), *_between(names), *chosen.warnings):
        print(f"note: {warning}")
    csv = write.LISTING.absolute()
    heading = (
        f"Written by `edac start` for {root}: {_counted(names)}, {len(names.classes)} labels.",
        "Every parameter is explained in its stage's params.py; `edac check` checks them, `dvc repro` runs them.",
    )
    text = write.document(chosen, root=root, table=csv, heading=heading)
    if manner.explain:
        print(f"\n{text}", end="")
        return
    files.write_text(write.LISTING, write.listing(names))
    files.write_text(params.PARAMS_FILE, text)
    print(f"{params.PARAMS_FILE} and {write.LISTING} are written; `dvc repro` runs them")


def parse_bytes(text: str) -> int:
    """Return a number of bytes.

    Examples
    --------
    >>> parse_bytes("60kB"), parse_bytes("1.5 MB"), parse_bytes("4096")
    (60000, 1500000, 4096)
    """
    match = re.fullmatch(r"\s*([\d.]+)\s*(k|ki|m|mi)?b?\s*", text, re.IGNORECASE)
    try:
        number = float(match[1]) if match else 0.0
    except ValueError:
        number = 0.0
    if not match or number <= 0:
        raise ParameterError(f"--bytes must be a size such as 60kB or 1MB; got {text!r}.")
    return round(number * {"": 1, "k": 1e3, "ki": 1024, "m": 1e6, "mi": 1024**2}[(match[2] or "").casefold()])


def _require_free(target: Path, force: bool) -> None:
    folder = resources.files("stages.presets")
    presets = [p.read_text() for p in folder.iterdir() if p.name.endswith(".yaml")]
    text = target.read_text() if target.exists() else ""
    own = text and text not in presets and not text.startswith("# Written by `edac start`")
    if own and not force:
        raise ParameterError(f"{target} holds changes of your own. Save it elsewhere, or add --force to lose them.")


def _target(root: Path, device: Device, rest: Rest, *, ask: bool) -> Target:
    size, latency = device.bytes, device.latency_ms
    if ask and size is None:
        size = input(f"largest model file on the device [{DEFAULT_BYTES // 1000}kB]: ").strip() or None
    if ask and latency is None:
        answer = input(f"longest time for one clip, ms [{DEFAULT_LATENCY_MS:g}]: ").strip()
        try:
            latency = float(answer) if answer else None
        except ValueError:
            raise ParameterError(f"the longest time must be a number of ms; got {answer!r}.") from None
    slug = re.sub(r"[^a-z0-9]+", "-", root.name.casefold()).strip("-") or "own"
    return Target(
        raw_bytes=DEFAULT_BYTES if size is None else parse_bytes(size),
        latency_ms=DEFAULT_LATENCY_MS if latency is None else latency,
        minutes=rest.minutes,
        positive=rest.positive,
        registered_name=rest.name or f"edac-{slug}",
    )


def _found(root: Path, names: Names) -> str:
    """Return what folders, file names and tables tell, with ten examples."""
    kinds = [("label", names.label), ("group", names.group)]
    kinds += [(kind, found) for kind, found in (("split", names.split), ("site", names.site)) if found is not None]
    lines = [f"{_counted(names)} below {root}"]
    for kind, found in kinds:
        distinct = sorted(names.classes) if kind == "label" else found.distinct
        values = "" if found.name == EACH_FILE else f": {listing.shown(distinct)}"
        lines.append(f"{kind}: {found.reason} ({len(distinct)}{values})")
    rows = listing.spread(len(names.items), EXAMPLES)
    shown = [(names.items[i].shown, *(found.values[i] for _, found in kinds)) for i in rows]
    most, least = names.classes.most_common(1)[0], names.classes.most_common()[-1]
    lines.append(f"recordings of a label: from {least[1]} ({least[0]}) to {most[1]} ({most[0]})")
    return "\n".join([*lines, fleet.table(("recording", *(kind for kind, _ in kinds)), shown)])


def _counted(names: Names) -> str:
    """Return how many recordings there are, or parts of them."""
    recordings = len({item.path for item in names.items})
    parts = f"{len(names.items)} parts of " if names.in_parts else ""
    return f"{parts}{recordings} recordings"


def _measured(found: survey.Survey) -> str:
    q = found.quantile
    rates = ", ".join(f"{hz} Hz ({n})" for hz, n in found.rates.most_common(4))
    low, high = float(min(found.peaks_db)), float(max(found.peaks_db))
    return (
        f"length: median {q(0.5):.2f} s, 5 to 95 % {q(0.05):.2f} to {q(0.95):.2f} s, longest {q(1):.2f} s\n"
        f"rate: {rates}; peak level from {low:.0f} to {high:.0f} dB ({found.n} recordings decoded)"
    )


def _between(names: Names) -> list[str]:
    """Say that nothing is learned of what lies between marked parts."""
    if not names.in_parts or background.label_of(names):
        return []
    return [
        "what lies between the marked parts is not learned, so that a device calls it one of the labels; if everything "
        "that matters is marked, add --background"
    ]


def _unreadable(found: survey.Survey) -> list[str]:
    notes = []
    if found.failed:
        notes.append(f"{len(found.failed)} of the recordings looked at cannot be decoded, such as {found.failed[0]}")
    if found.silent:
        notes.append(f"{found.silent} of the recordings looked at are silent")
    return notes
