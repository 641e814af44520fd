"""A newcomer's way from `git clone` to a decision on a recording of their own, as a page for `docs/`.

`python -m tests.bench.newcomer FOLDER` makes recordings with espeak-ng in FOLDER/me/words, clones this project to
FOLDER/me/edac, runs each command there and writes docs/newcomer.md with every message as it appeared. Paths are
shortened to /home/me, and of a progress bar the last state is kept. Takes about four processor minutes.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from stages.core.project import provenance

WORDS = ("yes", "no", "stop", "go")
VOICES = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5", "croak", "Andy", "Annie", "Denis")
TAKES = 5
COMMANDS = (
    (
        "Look at the recordings, and write a `params.yaml` that is right for them:",
        "edac start ~/words --bytes 60kB --minutes 0.3 --yes",
    ),
    ("Check it, before anything is computed:", "edac check"),
    ("From recordings to a model on a device, here a folder of this machine:", "dvc repro"),
    ("The variants, beside the naive reference and chance:", "edac show"),
    ("The ten figures of the chosen one:", "dvc metrics show"),
    ("And a decision on a recording that it has never heard:", "edac classify ~/words-of-today/yes.wav"),
)
_BARS = re.compile(r"[^\r\n]*\r")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def main() -> None:
    """Make the recordings, run every command, and write the page."""
    home = Path(sys.argv[1]).absolute() / "me"
    shutil.rmtree(home, ignore_errors=True)
    speak(home)
    project = home / "edac"
    lines = [
        "# A newcomer's first run",
        "",
        "Every message as it appeared, from `git clone` to a decision, on a machine of two processors. The recordings",
        f"are {len(WORDS)} words in {len(VOICES)} voices of espeak-ng, {TAKES} times each; training was "
        "limited to 0.3 minutes, so that the page is made quickly.",
        "`python -m tests.bench.newcomer FOLDER` makes this page, in an environment that is installed already.",
        "",
    ]
    lines += session(
        "Get the project:", f"git clone -q {provenance.ROOT} edac", home, home, shown="git clone -q URL edac"
    )
    lines += [
        "```console",
        "$ cd edac",
        '$ python3.11 -m venv .venv && . .venv/bin/activate && pip install -q -e ".[pipeline]"',
    ]
    lines += ["```", ""]
    for why, command in COMMANDS:
        lines += session(why, command, project, home)
    (provenance.ROOT / "docs/newcomer.md").write_text("\n".join(lines).rstrip() + "\n")


def speak(home: Path) -> None:
    """Make the recordings: those to learn from, and one of a voice that is not among them."""
    words, today = home / "words", home / "words-of-today"
    words.mkdir(parents=True)
    today.mkdir()
    for i, voice in enumerate(VOICES):
        for word in WORDS:
            for take in range(TAKES):
                path = words / f"{word}_{voice.lower()}_{take + 1}.wav"
                _say(
                    word, f"en-us+{voice}", speed=130 + (17 * take + 5 * i) % 70, pitch=35 + (13 * take) % 40, path=path
                )
    _say("yes", "en-us+linda", speed=150, pitch=50, path=today / "yes.wav")


def _say(word: str, voice: str, *, speed: int, pitch: int, path: Path) -> None:
    command = ("espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", str(path), word)
    subprocess.run(command, check=True, capture_output=True)


def session(why: str, command: str, folder: Path, home: Path, *, shown: str = "") -> list[str]:
    """Run a command and return the page's part about it.

    Parameters
    ----------
    why : str
        What it is for.
    command : str
    folder, home : Path
        Where it runs, and what `~` stands for.
    shown : str
        How it is printed; empty for as it is.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"HOME": str(home), "PATH": path, "PYTHONPATH": str(folder), "COLUMNS": "110"}
    environment |= {"DVC_NO_ANALYTICS": "true", "DO_NOT_TRACK": "true", "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    print(f"{command}: exit code {done.returncode}", flush=True)
    return [why, "", "```console", f"$ {shown or command}", *cleaned(done.stdout.decode(), home), "```", ""]


def cleaned(text: str, home: Path) -> list[str]:
    """Return output as a person sees it: without what was overwritten, and with short paths.

    >>> cleaned("a 0%\\ra 50%\\ra 100%\\nb in /tmp/x/me/words\\n", Path("/tmp/x/me"))
    ['a 100%', 'b in /home/me/words']
    """
    seen = _ESCAPES.sub("", _BARS.sub("", text.replace("\r\n", "\n")))
    return [line.rstrip() for line in seen.replace(str(home), "/home/me").splitlines()]


if __name__ == "__main__":
    main()
