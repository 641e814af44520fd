"""The self-test of a release: the scores its golden recordings have at home, and how far a device's may be from them.

`python -m stages.push.proof FOLDER N_CROPS` prints the scores; it is run as a child, because a damaged model can crash
the kernels and with them the process that loads it.
"""

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.core.project.errors import ModelError
from stages.core.scoring import guessing
from stages.push import answers
from stages.runtime import audio, manifest
from stages.runtime.errors import RuntimeInputError
from stages.runtime.litert import Model

LONGEST_S = 600.0

# Arithmetic of a scheme to the least tolerance and to the most that other kernels' rounding can need, of a score.
_ROUNDING = {
    "static": (0.005, guessing.LOOSEST),  # a step of an 8-bit output is 0.0039
    "dynamic": (0.002, guessing.LOOSEST),
    "float": (0.0005, 0.005),
}


def golden_scores(folder: Path, n_crops: int) -> list[list[float]]:
    """Compute the scores of a release's golden recordings in a child process.

    Parameters
    ----------
    folder : Path
        The release: models and `golden/`.
    n_crops : int
        Crops per clip; a clip's score is their mean.

    Returns
    -------
    list[list[float]]
        The output vector of each recording, sorted by file name.

    Raises
    ------
    ModelError
        If a model cannot be loaded or run, or crashes the kernels.
    """
    command = [sys.executable, "-m", "stages.push.proof", str(folder), str(n_crops)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"The models of {folder.name} did not answer within {LONGEST_S:g} s. Make them again."
        ) from None
    if done.returncode != 0:
        raise ModelError(
            f"{manifest.MODEL} or {manifest.FRONTEND} cannot be run: the process that tried it {_ending(done)}. "
            "Make them again."
        )
    found: list[list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def tolerance(scheme: str, scores: Sequence[Sequence[float]]) -> tuple[float, str]:
    """Return the largest difference of a score that a device may show, and the reason for it.

    It allows for the rounding of other kernels, and is at most a quarter of what the golden scores span: whatever
    answers the same to every recording misses one of them by at least half of the span.

    Parameters
    ----------
    scheme : str
        Quantisation scheme of the model, e.g. ``"static_wi8_ai8"``.
    scores : Sequence
        Output vector of each golden recording.

    Raises
    ------
    ModelError
        If the scores span too little for any device to be told from one that always answers the same.

    Examples
    --------
    >>> tolerance("float32", [[0.1], [0.9]])[0]
    0.005
    >>> tolerance("static_wi8_ai8", [[0.10], [0.14]])[0]
    0.01
    """
    arithmetic = scheme.partition("_")[0]
    least, most = _ROUNDING.get(arithmetic, _ROUNDING["float"])
    span = guessing.span(scores)
    if not span / guessing.PART_OF_SPAN >= least:
        raise ModelError(
            f"The golden scores must span at least {least * guessing.PART_OF_SPAN:g} of a score, so that a device that "
            f"always answers the same fails its self-test; got {span:.2g}. Raise select.golden_recordings, or choose a "
            "model that tells the recordings apart."
        )
    allowed = guessing.allowed_difference(scores, most)
    why = "what other kernels may round differently" if allowed == most else "a quarter of what the golden scores span"
    reason = f"{allowed:.3g} of a score: {why} ({scheme}: {least:g} to {most:g}; span {span:.3g})"
    return round(allowed, 6), reason


def require_telling(scores: Sequence[Sequence[float]], allowed: float, labels: Sequence[str]) -> None:
    """Check that a device that mixes up recordings or classes, or guesses, fails the self-test.

    Parameters
    ----------
    scores : Sequence
        Output vector of each golden recording.
    allowed : float
        The tolerance.
    labels : Sequence[str]
        Names of the classes, for the message.

    Raises
    ------
    ModelError
        If answers drawn from the golden scores at random pass more often than `stages.core.scoring.guessing.MOST`
        allows; or if two classes could be exchanged, one of which the golden recordings tell apart from its absence.

    Examples
    --------
    >>> require_telling([[0.1], [0.4], [0.6], [0.9]], 0.02, ["no", "yes"])
    """
    expected = np.asarray(scores, np.float64)
    passes = guessing.chance(scores, allowed)
    if passes > guessing.MOST:
        raise ModelError(
            f"The golden recordings must differ in their scores so that a device that guesses fails its self-test; one "
            f"in {1 / passes:.3g} guesses would pass. Raise select.golden_recordings and run `dvc repro select`, or "
            "choose a model that tells the recordings apart."
        )
    binary = expected.shape[1] == 1
    columns = np.hstack([1 - expected, expected]) if binary else expected
    spans = np.ptp(columns, axis=0) > 2 * allowed
    for i, j in itertools.combinations(range(columns.shape[1]), 2):
        if (spans[i] or spans[j]) and np.abs(columns[:, i] - columns[:, j]).max() <= allowed:
            raise ModelError(
                f"The golden recordings must tell {labels[i]!r} from {labels[j]!r}; a device that exchanges them would "
                "pass its self-test. Raise select.golden_recordings, or choose a model that tells them apart."
            )


def _ending(done: "subprocess.CompletedProcess[str]") -> str:
    said = answers.failure(done)
    return said if said.startswith("was ") else f"said: {said}"


def main() -> int:
    """Print the scores of a release's golden recordings as one line of JSON."""
    folder, n_crops = Path(sys.argv[1]), int(sys.argv[2])
    try:
        frontend, model = Model(folder / manifest.FRONTEND), Model(folder / manifest.MODEL)
        scores = []
        for path in sorted((folder / "golden").iterdir()):
            samples, _ = audio.read_wav(path)
            scores.append(model.mean_over_crops(frontend.run(samples[np.newaxis]), n_crops)[0].tolist())
    except RuntimeInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(scores))
    return 0


if __name__ == "__main__":
    sys.exit(main())
