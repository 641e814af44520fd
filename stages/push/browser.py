"""Ask a real headless browser on this machine: a release's self-test, latencies, scores of clips."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.project.errors import DeviceError
from stages.push import page
from stages.push.page_server import Question, Served, serving
from stages.runtime.lines import Line

ENVIRONMENT = "EDAC_BROWSER"
_KNOWN = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
_FIREFOX = ("firefox", "firefox-esr")
_QUIET = (
    "--headless=new",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--mute-audio",
    "--password-store=basic",
)


@dataclass(frozen=True)
class Browser:
    """A browser that is installed.

    Attributes
    ----------
    program : str
    """

    program: str

    def command(self, address: str, profile: Path) -> list[str]:
        """Return the command that opens an address without a window, with a profile of its own."""
        if "firefox" in Path(self.program).name:
            return [self.program, "--headless", "--no-remote", "--profile", str(profile), address]
        root = ("--no-sandbox",) if os.geteuid() == 0 else ()
        return [self.program, *_QUIET, *root, f"--user-data-dir={profile}", address]


def find(named: str | None = None) -> Browser:
    """Return the browser to ask: the one named, else the environment's EDAC_BROWSER, else the first known one.

    Raises
    ------
    DeviceError
        If there is none.
    """
    asked = named or os.environ.get(ENVIRONMENT)
    for name in (asked,) if asked else (*_KNOWN, *_FIREFOX):
        program = shutil.which(name)
        if program:
            return Browser(program)
    which = f"The browser {asked!r} is not installed" if asked else "No browser is installed"
    raise DeviceError(f"{which}. Install Chromium or Firefox, or name one in {ENVIRONMENT}.")


def ask(
    release: Path,
    question: Mapping[str, Any],
    *,
    keys: Mapping[str, bytes] | None,
    clips: bytes = b"",
    browser: Browser,
    timeout_s: float,
) -> Line:
    """Open the page with a release in a headless browser and put a question to it.

    Parameters
    ----------
    release : Path
        Folder of the release.
    question : Mapping
        ``{"do": "selftest"}``, ``{"do": "benchmark", "runs", "threads"}`` or ``{"do": "scores", "threads"}``.
    keys : Mapping or None
        Keys to pin in the page; see `stages.push.page.write`.
    clips : bytes
        float32 samples, for scores.
    browser : Browser
    timeout_s : float

    Returns
    -------
    dict
        The page's answer. ``ok`` is false, with an ``error``, where it refuses the release.

    Raises
    ------
    DeviceError
        If the browser does not start, or does not answer in time.
    """
    asked = Question(secrets.token_hex(16), dict(question), clips)
    with tempfile.TemporaryDirectory(prefix="edac-page-", ignore_cleanup_errors=True) as temporary:
        site, profile = Path(temporary) / "site", Path(temporary) / "profile"
        profile.mkdir()
        threads = question.get("threads", 1) > 1
        page.write(site, keys, threads=threads)
        with serving(Served(site, release, asked, threads)) as address:
            _open(browser.command(f"{address}#ask={asked.token}", profile), asked, timeout_s)
    assert asked.answer is not None
    return asked.answer


def _open(command: list[str], asked: Question, timeout_s: float) -> None:
    """Run the browser until the question is answered; it and all it started end then."""
    started = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + timeout_s
    try:
        while not asked.answered.wait(0.2):
            if started.poll() is not None:
                raise DeviceError(f"{command[0]} ended without an answer (exit code {started.returncode}).")
            if time.monotonic() > deadline:
                raise DeviceError(f"{command[0]} did not answer within {timeout_s:g} s. Raise timeout_s.")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()
