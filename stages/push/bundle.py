"""A release: one folder that holds all a device needs and the means to prove it, the same bytes for the same content.

manifest.json    what it is, every file's sha256, the golden scores; its own sha256 is the release's identity
manifest.sig     signature of manifest.json, if a key was given
MODEL_CARD.md    what the model is for, and how good it is
model.tflite     features to scores
frontend.tflite  waveform to features
profile.json     what the model was made for, so that a device can tell drift, if validation has groups enough
single.tflite    both in one, float32 at both ends, if the model's ends are integers, which browsers refuse
golden/*.wav     recordings whose scores are known
stages/runtime/  the code that runs it: `python -m stages.runtime classify FILE.wav` in the folder
"""

import shutil
from pathlib import Path

from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import selection as selection_file
from stages.core.litert import flatbuffer, single
from stages.core.project import files, provenance
from stages.core.project.errors import ModelError
from stages.push import card, proof, signing
from stages.runtime import drift, manifest, trust
from stages.runtime.errors import RuntimeInputError

SINGLE = "single.tflite"


def build(
    folder: Path,
    *,
    selected: Path,
    version: int,
    device_class: str = manifest.ANY_CLASS,
    not_after: str | None = None,
    key: Path | None = None,
) -> None:
    """Put a release together.

    Parameters
    ----------
    folder : Path
        Made; must not exist.
    selected : Path
        What the select stage leaves: models, front end, golden recordings, `selection.json`.
    version : int
        Version of the model in the registry.
    device_class : str
        Kind of device it is for.
    not_after : str or None
        Last day on which a device takes it, ``YYYY-MM-DD``; None for no such day.
    key : Path or None
        Private key that signs it; None leaves it unsigned.

    Raises
    ------
    ModelError
        If model, front end and selection do not fit each other.
    ParameterError
        If the key cannot be used.
    """
    selection, frontend = selection_file.read(selected), frontend_file.read(selected)
    variant, threshold = selection.variant, selection.threshold
    if files.sha256(selected / manifest.MODEL) != variant.sha256:
        raise ModelError(
            f"{selected / manifest.MODEL} is not the file that was selected. Run `dvc repro select` again."
        )
    if key is not None:
        signing.public_key(key)  # a key that cannot be used ends it before the work
    folder.mkdir(parents=True)
    for name in (manifest.MODEL, manifest.FRONTEND):
        shutil.copyfile(selected / name, folder / name)
    if (selected / drift.NAME).is_file():
        shutil.copyfile(selected / drift.NAME, folder / drift.NAME)
    shutil.copytree(selected / "golden", folder / "golden")
    for module in ("stages", *_runtime_modules()):
        source = provenance.source_file(module)
        target = folder / source.relative_to(provenance.ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    files.write_text(folder / card.NAME, card.write(selection, frontend, version=version, device_class=device_class))
    scores = proof.golden_scores(folder, frontend.crops)
    tolerance, reason = proof.tolerance(variant.scheme, scores)
    proof.require_telling(scores, tolerance, selection.labels)
    contents = flatbuffer.read((folder / manifest.MODEL).read_bytes())
    if {*contents.inputs, *contents.outputs} != {"float32"}:
        parts = ((folder / name).read_bytes() for name in (manifest.FRONTEND, manifest.MODEL))
        (folder / SINGLE).write_bytes(single.merge(*parts, n_crops=frontend.crops))
    golden = sorted((folder / "golden").iterdir())
    try:
        content = {
            "schema": manifest.SCHEMA,
            "name": variant.name,
            "registered_name": selection.registered_name,
            "version": version,
            "not_after": not_after,
            "device_class": device_class,
            "card": card.NAME,
            "labels": list(selection.labels),
            "threshold": list(threshold) if isinstance(threshold, tuple) else threshold,
            "sample_rate": frontend.sample_rate,
            "clip_samples": frontend.clip_samples,
            "align": frontend.align,
            "crops": frontend.crops,
            "files": {p.relative_to(folder).as_posix(): files.sha256(p) for p in folder.rglob("*") if p.is_file()},
            "golden": [{"file": f"golden/{p.name}", "scores": s} for p, s in zip(golden, scores, strict=True)],
            "tolerance": tolerance,
            "tolerance_reason": reason,
            **({"hearing": rules} if (rules := frontend.hearing.changed()) else {}),
            **({"events": selection.events.plain()} if selection.events else {}),
            **({"reject": rule.plain()} if (rule := selection.rejection.rule) else {}),
            "model": {
                key: getattr(variant, key) for key in ("name", "sha256", "scheme", "bit_width", "sparsity", "raw_bytes")
            },
        }
        manifest.parse(content)
    except RuntimeInputError as error:
        raise ModelError(f"{selected} makes no release: {error}") from None
    files.write_json(folder / manifest.NAME, content)
    if key is not None:
        signature = signing.sign((folder / manifest.NAME).read_bytes(), key)
        files.write_text(folder / manifest.SIGNATURE, trust.encode(signature) + "\n")


def release_id(folder: Path) -> str:
    """Return the first 12 hexadecimal digits of the sha256 of a release's manifest."""
    return trust.release_id((folder / manifest.NAME).read_bytes())


def _runtime_modules() -> list[str]:
    folder = provenance.source_file("stages.runtime").parent
    return ["stages.runtime", *(f"stages.runtime.{p.stem}" for p in folder.glob("*.py") if p.stem != "__init__")]
