"""A static page that runs the release in its visitors' browsers, in a folder that any web server or store publishes.

The folder is a device like any other: releases aside, among `releases/`, `current`; the page's files lie beside them.
What a device computes, a headless browser on this machine computes here, with the page as visitors get it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np

from stages.core.project.errors import EdacError, require
from stages.push import browser, page
from stages.push.device_state import CURRENT
from stages.push.transports import local
from stages.runtime import audio, benchmark, keys, manifest, versions
from stages.runtime.errors import RuntimeInputError
from stages.runtime.lines import Line

_BY_BROWSER = ("selftest", "classify", "benchmark")


@dataclass(frozen=True)
class Config:
    """Where the page is written.

    Attributes
    ----------
    folder : Path
        Made if it does not exist. Publish all of it; HTTPS, or localhost, is what browsers ask for.
    browser : str or None
        Browser that tests a release before it is published; None takes EDAC_BROWSER, or the first one installed.
    timeout_s : float
        How long one question to the browser may take.
    """

    folder: Path
    browser: str | None = None
    timeout_s: float = 120.0

    @property
    def place(self) -> str:
        """What no two devices share."""
        return str(self.folder.absolute())

    def __post_init__(self) -> None:
        """Check the time."""
        require(self.timeout_s > 0, "push.devices: timeout_s", "be positive", self.timeout_s, "Give seconds.")


def connect(config: Config, name: str) -> "WebTransport":
    """Return the transport to the page `name`; nothing is touched yet."""
    return WebTransport(config, name)


class WebTransport(local.LocalTransport):
    """See `stages.push.transport.Transport`."""

    def __init__(self, config: Config, name: str) -> None:
        super().__init__(local.Config(config.folder, timeout_s=config.timeout_s), name)
        self._page = config

    def run(self, folder: str, arguments: Sequence[str]) -> CompletedProcess[str]:
        """Run what a browser can answer in a browser, and the rest with this machine's runtime."""
        if arguments[:2] == ["-I", "-c"] and arguments[4] in _BY_BROWSER:
            return self._in_browser(folder, arguments[4], arguments[5:], arguments)
        done = super().run(folder, arguments)
        asked = [argument for argument in arguments if argument in ("verify", "trust", "distrust")]
        if asked == ["verify"] and done.stdout.strip():
            return self._verified(done)
        if asked and done.returncode == 0 and (self._folder / page.INDEX).exists():
            page.write(self._folder, self._keys(), rollback=self._rollback(CURRENT))
        return done

    def write_link(self, link: str, target: str) -> None:
        """Bring the page up to date, then switch the release that it opens in one step."""
        page.write(self._folder, self._keys(), rollback=self._rollback(target if link == CURRENT else CURRENT))
        super().write_link(link, target)

    def _rollback(self, place: str) -> page.Rollback | None:
        """Return the leave that browsers need to take a release; None if no later version of its model ran here."""
        try:
            release = manifest.load(self._folder / place)
            identity = versions.release_id((self._folder / place / manifest.NAME).read_bytes())
            highest = versions.highest_version(release.registered_name, self._folder)
        except RuntimeInputError:
            return None
        if release.version >= highest:
            return None
        return page.Rollback(release.registered_name, identity, highest)

    def _keys(self) -> dict[str, bytes] | None:
        return keys.trusted_keys(self._folder)

    def _ask_browser(self, folder: str, question: Line, clips: bytes = b"") -> Line:
        return browser.ask(
            (self._folder / folder).resolve(),
            question,
            keys=self._keys(),
            clips=clips,
            browser=browser.find(self._page.browser),
            timeout_s=self._page.timeout_s,
        )

    def _in_browser(
        self, folder: str, what: str, options: Sequence[str], arguments: Sequence[str]
    ) -> CompletedProcess[str]:
        answers = {"selftest": self._self_test, "classify": self._classify, "benchmark": self._benchmark}
        try:
            found = answers[what](folder, options)
        except (EdacError, RuntimeInputError) as error:
            return CompletedProcess(arguments, 1, "", f"error: {error}")
        ok = all(answer.get("ok", True) for answer in found)
        return CompletedProcess(arguments, int(not ok), "".join(f"{json.dumps(answer)}\n" for answer in found), "")

    def _self_test(self, folder: str, _: Sequence[str]) -> list[Line]:
        checks = _checks(self._ask_browser(folder, {"do": "selftest"}))
        name = manifest.load(self._folder / folder).name
        return [{"ok": all(each["ok"] for each in checks), "name": name, "checks": checks, "modules": []}]

    def _classify(self, folder: str, paths: Sequence[str]) -> list[Line]:
        release, clips = manifest.load(self._folder / folder), []
        for path in paths:
            samples, rate = audio.read_wav(self._folder / folder / path, release.hearing)
            resampled = audio.resample(samples, rate, release.sample_rate)
            clips.append(audio.clip(resampled, release.clip_samples, release.align, release.hearing))
        said = self._ask_browser(folder, {"do": "scores", "threads": 1}, np.concatenate(clips).tobytes())
        if not said["ok"]:
            return [{"ok": False, "checks": [_check("browser", False, str(said.get("error")))]}]
        return [{"file": path} | _decided(release, scores) for path, scores in zip(paths, said["scores"], strict=True)]

    def _benchmark(self, folder: str, options: Sequence[str]) -> list[Line]:
        release, runs = manifest.load(self._folder / folder), int(options[options.index("--runs") + 1])
        said = self._ask_browser(folder, {"do": "benchmark", "runs": runs, "threads": 1})
        if not said["ok"]:
            return [{"ok": False, "checks": [_check("browser", False, str(said.get("error")))]}]
        first, second = (np.asarray(said[name]) / 1000 for name in ("frontend_ms", "model_ms"))
        together = benchmark.percentiles(first + second)
        return [
            {
                "frontend_ms": benchmark.percentiles(first),
                "model_ms": benchmark.percentiles(second),
                "together_ms": together,
                "real_time_factor": together["p50"] * release.sample_rate / release.clip_samples / 1000,
                "cold_start_s": {"total": said["first_ms"] / 1000},
                "browser": said["agent"],
            }
        ]

    def _verified(self, done: CompletedProcess[str]) -> CompletedProcess[str]:
        """Return what this machine's runtime found, with the golden scores of the browser for its own."""
        answer = json.loads(done.stdout.splitlines()[-1])
        golden = {entry.file for entry in manifest.load(self._folder / CURRENT).golden}
        try:
            mine = _checks(self._ask_browser(CURRENT, {"do": "selftest"}))
        except EdacError as error:
            mine = [_check("browser", False, str(error))]
        answer["checks"] = [check for check in answer["checks"] if check["check"] not in golden] + mine
        answer["ok"] = all(check["ok"] for check in answer["checks"])
        return CompletedProcess(done.args, int(not answer["ok"]), json.dumps(answer) + "\n", done.stderr)


def _checks(said: Line) -> list[Line]:
    """Return a page's self-test as the runtime answers it."""
    differences = said.get("differences", {})
    found = [
        _check(file, True, f"scores differ by {value:.2g} in the browser") | {"difference": float(value)}
        for file, value in differences.items()
    ]
    if not said["ok"]:
        found.append(_check("browser", False, str(said.get("reason") or said.get("error"))))
    return found


def _check(name: str, ok: bool, detail: str) -> Line:
    return {"check": name, "ok": ok, "detail": detail}


def _decided(release: manifest.Manifest, scores: Sequence[float]) -> Line:
    """Return a browser's scores as the runtime answers them."""
    decided = release.decision(scores)
    values = [1 - scores[0], scores[0]] if isinstance(release.threshold, float) else scores
    named = dict(zip(release.labels, values, strict=True))
    return {"scores": named} | ({"labels": decided} if isinstance(decided, list) else {"label": decided})
