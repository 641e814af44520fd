"""A release's proof that it is whole and that this machine computes what was computed at home."""

import sys
from pathlib import Path

import numpy as np

from stages.runtime.audio import read_wav
from stages.runtime.classify import Classifier
from stages.runtime.errors import RuntimeInputError
from stages.runtime.lines import Check, Line
from stages.runtime.manifest import damaged_files, load

HOME_ONLY = ("tensorflow", "keras", "tf_keras", "librosa", "scipy", "sklearn", "soundfile", "mlflow", "prefect")


def selftest(folder: Path) -> Line:
    """Check a release's files and its answers to the golden recordings.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict
        ``ok``; ``name`` of the release; ``checks``, a list of ``{"check", "ok", "detail"}``, of golden recordings also
        ``"difference"``; ``modules``, those of the packages that belong at home which are loaded in this process: none,
        if all is well.

    Raises
    ------
    RuntimeInputError
        If there is no valid manifest to check against.
    """
    manifest = load(folder)
    damaged = damaged_files(folder, manifest)
    checks = [_check("files", not damaged, f"missing or altered: {', '.join(damaged)}" if damaged else "as listed")]
    if not damaged:
        checks += _golden_checks(folder)
    modules = [name for name in HOME_ONLY if name in sys.modules]
    checks.append(_check("modules", not modules, f"loaded: {', '.join(modules)}" if modules else "none from home"))
    return {"ok": all(c["ok"] for c in checks), "name": manifest.name, "checks": checks, "modules": modules}


def _golden_checks(folder: Path) -> list[Check]:
    try:
        classifier = Classifier(folder)
    except RuntimeInputError as error:
        return [_check("load", False, str(error))]
    checks = []
    for golden in classifier.manifest.golden:
        try:
            outputs = classifier.outputs(*read_wav(folder / golden.file))
        except RuntimeInputError as error:
            checks.append(_check(golden.file, False, str(error)))
            continue
        difference = float(np.abs(outputs - golden.scores).max())
        limit = classifier.manifest.tolerance
        detail = f"scores differ by {difference:.2g}, {limit:.2g} allowed"
        ok = difference <= limit  # not so of NaN
        expected = classifier.manifest.decision(golden.scores)
        if ok and classifier.manifest.is_clear(golden.scores):
            answer = classifier.answer(outputs, classifier.manifest.threshold)
            decided = answer["labels"] if classifier.manifest.multi_label else answer["label"]
            ok, detail = decided == expected, f"{detail}; decides {decided}, {expected} at home"
        checks.append(_check(golden.file, ok, detail) | ({"difference": difference} if np.isfinite(difference) else {}))
    return checks


def _check(name: str, ok: bool, detail: str) -> Check:
    return {"check": name, "ok": ok, "detail": detail}
