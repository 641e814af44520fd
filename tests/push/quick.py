"""A device that needs no processes, and releases for it: for tests of what a push does to a device's folder."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.core.project import files
from stages.push.transports import local
from stages.runtime import manifest, trust
from stages.runtime.errors import RuntimeInputError


class QuickDevice(local.LocalTransport):
    """A device that answers as the runtime would, without a process of its own."""

    @property
    def folder(self) -> Path:
        """Of the device."""
        return self._folder

    def run(self, folder: str, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Answer the commands of a push."""
        try:
            return self.answer(folder, arguments)
        except RuntimeInputError as error:
            return subprocess.CompletedProcess([], 1, "", f"error: {error}\n")

    def answer(self, folder: str, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Answer, or raise as the runtime does."""
        if "accept" in arguments:
            today = arguments[arguments.index("--today") + 1] if "--today" in arguments else None
            aside = self._folder / arguments[arguments.index("--folder") + 1]
            return subprocess.CompletedProcess(
                [], 0, json.dumps(trust.accept(aside, self._folder, force="--force" in arguments, today=today)), ""
            )
        if "remember" in arguments:
            return subprocess.CompletedProcess(
                [], 0, json.dumps(trust.remember(self._folder / "current", self._folder)), ""
            )
        release = manifest.load(self._folder / folder)
        damaged = manifest.damaged_files(self._folder / folder, release)
        if "selftest" in arguments:
            check = {"check": "files", "ok": not damaged, "detail": "missing or altered"}
            return subprocess.CompletedProcess(
                [], int(bool(damaged)), files.to_json({"checks": [check]}).replace("\n", "")
            )
        scores = [
            {"label": release.labels[0], "scores": dict(zip(release.labels, (0.75, 0.25), strict=True))}
            for _ in release.golden
        ]
        return subprocess.CompletedProcess([], 0, "\n".join(files.to_json(s).replace("\n", "") for s in scores))


def make_bundle(folder: Path, model: str, version: int, **more: Any) -> Path:
    """Make a release without a model that runs; `more` goes into its manifest."""
    held = {"model.tflite": model, "frontend.tflite": "f", "golden/0.wav": "g", "MODEL_CARD.md": "c"}
    for path, text in held.items():
        files.write_text(folder / path, text)
    content = {
        "schema": 2,
        "name": model[:40],
        "version": version,
        "device_class": "any",
        "card": "MODEL_CARD.md",
        "labels": ["no", "yes"],
        "threshold": 0.5,
        "sample_rate": 8000,
        "clip_samples": 8000,
        "files": {path: files.sha256(folder / path) for path in held},
        "golden": [{"file": "golden/0.wav", "scores": [0.25]}],
        "tolerance": 0.0,
        "model": {"sha256": files.sha256(folder / "model.tflite")},
    } | more
    files.write_json(folder / "manifest.json", content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
