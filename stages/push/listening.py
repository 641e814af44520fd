"""Recordings of this machine through a release on it: any format that training takes, and folders of them."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from stages.core.audio.apart import is_plain_wav
from stages.core.audio.sources import recordings_below
from stages.core.audio.wav_copy import write_wav
from stages.core.project.errors import DataError, DeviceError
from stages.runtime import manifest
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import DEFAULT, Hearing
from stages.runtime.lines import Line

Ask = Callable[[Sequence[str]], Iterator[Line]]


def hearing_of(release: Path) -> Hearing:
    """Return the rules by which a release hears; the defaults if it has no manifest, which the release will say."""
    try:
        return manifest.load(release).hearing
    except RuntimeInputError:
        return DEFAULT


def classify(ask: Ask, paths: Sequence[Path], hearing: Hearing) -> Iterator[Line]:
    """Classify recordings of any format; those that a device does not read go to it as WAV copies.

    Parameters
    ----------
    ask : callable
        Takes paths of WAV files to answers, one for each, in their order; may raise `DeviceError` after the last.
    paths : sequence of Path
        Files, and folders: of those all recordings within, sorted, except for hidden files.
    hearing : Hearing
        Rules of the release.

    Yields
    ------
    dict
        `file` and answer of every recording, or ``ok: false`` and ``error``.

    Raises
    ------
    DataError, DeviceError
        After the last answer, if any recording could not be classified.
    """
    with tempfile.TemporaryDirectory(prefix="edac-classify-") as folder:
        asked: list[str] = []
        found: list[tuple[str, str, str]] = []  # as it is shown, as it is asked for, why it is not
        for path in _recordings(paths):
            name = str(path.absolute())
            if path.is_dir():
                found.append((name, "", f"{path} holds no recording. Name another folder."))
                continue
            if not path.is_file() or is_plain_wav(path):
                asked.append(name)
                found.append((name, name, ""))
                continue
            copy = Path(folder) / f"{len(found)}.wav"
            try:
                write_wav(path, copy, hearing)
            except DataError as error:
                found.append((name, "", str(error)))
                continue
            asked.append(str(copy))
            found.append((name, str(copy), ""))
        failed: list[str] = []
        answers = ask(asked) if asked else iter(())
        late: DeviceError | None = None
        for name, place, why in found:
            if why:
                failed.append(why)
                yield {"file": name, "ok": False, "error": why}
                continue
            answer = next(answers, None)
            if answer is None:
                continue
            if "error" in answer:
                answer["error"] = answer["error"].replace(place, name)
                failed.append(answer["error"])
            yield answer | {"file": name}
        try:
            next(answers, None)
        except DeviceError as error:
            late = error
    if any(why for _, _, why in found):
        counted = f"{len(failed)} of {len(found)} files cannot be classified. The first: " if len(found) > 1 else ""
        raise DataError(counted + failed[0])
    if late is not None:
        raise late


def _recordings(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        inside = recordings_below(path)
        yield from inside if path.is_dir() and inside else [path]
