"""`edac-runtime`, or `python -m stages.runtime`: a release's answers, one line of JSON each, to stdout.

LiteRT is imported inside the commands that need it, so that a first answer comes soon.
"""

import argparse
import dataclasses
import datetime
import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stages.runtime import events, keys, manifest, storage, trust
from stages.runtime.errors import RuntimeInputError
from stages.runtime.events import EventRule
from stages.runtime.lines import Line
from stages.runtime.manifest import Manifest

if TYPE_CHECKING:
    from stages.runtime.drift import Watch

_SPACING_S = 60.0
"""Seconds between two windows of a stream that are counted for drift."""


def main() -> int:
    """Run one command and return the exit code: 1 after a mistake of the user's or a failed self-test.

    SIGINT and SIGTERM end it cleanly, and so does a reader that has heard enough.
    """
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ok = True
    try:
        for answer in arguments.command(arguments):
            _write(answer)
            ok = ok and answer.get("ok", True)
    except RuntimeInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0 if arguments.command is _listen else 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if ok else 1


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    here = Path(__file__).resolve().parents[2]
    release = here if (here / "manifest.json").exists() else Path()
    common.add_argument(
        "--folder", type=Path, default=release, help="the release; by default the one this code is of, or else this one"
    )
    parser = argparse.ArgumentParser(prog="edac-runtime", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, function, does in (
        ("classify", _classify, "decide on recordings: WAV files"),
        ("listen", _listen, "decide on a stream: raw samples from stdin, or a microphone"),
        ("selftest", _selftest, "check the scores of the golden recordings"),
        ("benchmark", _benchmark, "time the model"),
        ("info", _info, "tell what the release is"),
    ):
        command = commands.add_parser(name, parents=[common], help=does, description=f"{does[0].upper()}{does[1:]}.")
        command.set_defaults(command=function)
        if name == "classify":
            command.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="a WAV file, or a folder of them")
            command.add_argument("--hop-s", type=float, help="between windows of a long file; the task's by default")
            command.add_argument(
                "--output",
                choices=("windows", "events"),
                default="windows",
                help="of a long file: windows and events in its line, or one line per event before it",
            )
        if name == "listen":
            command.add_argument("--microphone", nargs="?", const="", metavar="DEVICE", help="instead of stdin")
            command.add_argument("--rate", type=int, help="Hz; the model's own by default")
            command.add_argument("--format", choices=("s16le", "f32le"), default="s16le", help="of stdin")
            command.add_argument("--channels", type=int, default=1, help="of stdin")
            command.add_argument("--hop-s", type=float, help="between windows; the event rule's by default, or 1")
            command.add_argument(
                "--output",
                choices=("windows", "events", "both"),
                help="one line per window, per event, or both; events if the release's rule is for streams",
            )
            command.add_argument("--smooth", metavar="RULE", help="mean:N windows, or exponential:A with 0 < A <= 1")
            command.add_argument("--threshold", type=float, help="the release's by default")
            command.add_argument("--hysteresis", type=float, help="below the threshold, to end a positive")
            command.add_argument("--refractory-s", type=float, help="after an event without another of its label")
            command.add_argument("--merge-s", type=float, help="longest gap within an event")
            command.add_argument("--live", action="store_true", help="drop windows rather than make stdin wait")
        if name in ("classify", "listen"):
            command.add_argument(
                "--summary", action="store_true", help="end with what was heard against what the model was made for"
            )
            text = "file that counts it by day; `edac devices` reads drift.json in the device's folder"
            command.add_argument("--keep", type=Path, metavar="FILE", help=text)
        if name == "benchmark":
            command.add_argument("--threads", type=int, default=1)
            command.add_argument("--runs", type=int, default=200)
    on_device = argparse.ArgumentParser(add_help=False)
    on_device.add_argument("--device", type=Path, default=Path(), help="the device's folder; this one by default")
    accept = commands.add_parser("accept", parents=[common, on_device], help="check whether the device takes a release")
    accept.add_argument("--force", action="store_true", help="even if the device ran a newer version")
    accept.add_argument("--today", metavar="DAY", help="at home, YYYY-MM-DD: counts where the clock here is behind")
    accept.set_defaults(command=_accept)
    remember = commands.add_parser("remember", parents=[common, on_device], help="take no older version from now on")
    remember.set_defaults(command=_remember)
    verify = commands.add_parser("verify", parents=[common, on_device], help="check every file, signature and score")
    verify.add_argument("--today", metavar="DAY", help="at home, YYYY-MM-DD: counts where the clock here is behind")
    verify.set_defaults(command=_verify)
    signer = commands.add_parser("signer", parents=[common, on_device], help="tell which trusted key signed a release")
    signer.set_defaults(command=_signer)
    trusted = commands.add_parser(
        "trust", parents=[on_device], help="take releases signed with a key, no unsigned ones"
    )
    trusted.add_argument("key", help="the public key, base64")
    trusted.set_defaults(command=_trust)
    distrusted = commands.add_parser("distrust", parents=[on_device], help="stop trusting a key")
    distrusted.add_argument("fingerprint", help="of the public key")
    distrusted.set_defaults(command=_distrust)
    listed = commands.add_parser("keys", parents=[on_device], help="list the keys that the device trusts")
    listed.set_defaults(command=_keys)
    identify = commands.add_parser("identify", parents=[on_device], help="set the device's name and class")
    identify.add_argument("--name", required=True)
    identify.add_argument("--class", required=True, dest="device_class", help="kind of device, such as raspberry-pi")
    identify.set_defaults(command=_identify)
    return parser


def _classify(arguments: argparse.Namespace) -> Iterator[Line]:
    from stages.runtime.audio import wav_files
    from stages.runtime.classify import Classifier
    from stages.runtime.recording import Recording

    classifier, bad, n_files = Classifier(arguments.folder), list[str](), 0
    watch = classifier.watch = _watch(arguments, classifier.manifest)

    def failed(path: Path, error: Exception) -> Line:
        bad.append(str(error) or f"{path} does not fit into memory. Split it.")
        return {"ok": False, "error": bad[-1]}

    def windows(recording: Recording, end: Line) -> Iterator[Line]:
        try:
            yield from recording.windows()
            end.update({"events": [event.answer() for event in recording.events]} | recording.answer())
        except (RuntimeInputError, MemoryError) as error:  # a sample in the middle, say
            end.update(failed(recording.path, error))

    for named in arguments.paths:
        try:
            files = list(wav_files([named]))
        except RuntimeInputError as error:
            n_files += 1
            yield {"file": str(named)} | failed(named, error)
            continue
        for path in files:
            n_files += 1
            if watch is not None:
                watch.restart()
            try:
                recording = Recording(classifier, path, hop_s=arguments.hop_s)
                if recording.is_long and arguments.output == "events":
                    end: Line = {}
                    for _ in windows(recording, end):
                        pass
                    for event in end.pop("events", ()):
                        yield {"file": str(path), "event": event.pop("label")} | event
                    yield {"file": str(path)} | end
                elif recording.is_long:
                    end = {}
                    yield {"file": str(path), "windows": windows(recording, end), "end": end}
                else:
                    yield {"file": str(path)} | recording.answer()
            except (RuntimeInputError, MemoryError) as error:
                yield {"file": str(path)} | failed(path, error)
    if watch is not None and arguments.summary:
        yield {"summary": watch.summary()}
    if bad:
        counted = f"{len(bad)} of {n_files} files cannot be classified. The first: " if n_files > 1 else ""
        raise RuntimeInputError(counted + bad[0])


def _watch(
    arguments: argparse.Namespace, release: Manifest, *, hop_s: float = 1.0, spacing_s: float = math.inf
) -> "Watch | None":
    """Return what counts the clips, if it is asked for."""
    if not arguments.summary and arguments.keep is None:
        return None
    from stages.runtime import drift

    profile = drift.load(arguments.folder)
    if profile is None:
        raise RuntimeInputError(
            f"{arguments.folder} holds no {drift.NAME} to compare with. Push a release that was selected with one."
        )
    identity = trust.release_id(storage.read(arguments.folder / manifest.NAME))

    def on_count(counts: drift.Counts) -> None:
        if arguments.keep is not None:
            day = datetime.datetime.now(datetime.UTC).date().isoformat()
            drift.keep(arguments.keep, identity, day, counts)

    silence = release.hearing.silence_dbfs
    return drift.Watch(profile, silence_dbfs=silence, step_s=hop_s, spacing_s=spacing_s, on_count=on_count)


def _write(answer: Line) -> None:
    """Write one line of JSON; windows are written as they come, and what is known only then stands behind them."""
    if "windows" in answer:
        sys.stdout.write(f'{json.dumps({"file": answer["file"]})[:-1]}, "windows": [')
        for number, window in enumerate(answer["windows"]):
            sys.stdout.write((", " if number else "") + json.dumps(window))
        sys.stdout.write(f"], {json.dumps(answer['end'])[1:]}\n")
        sys.stdout.flush()
    else:
        print(json.dumps(answer), flush=True)


def _listen(arguments: argparse.Namespace) -> Iterator[Line]:
    from stages.runtime import chunks as sound
    from stages.runtime import stream
    from stages.runtime.classify import Classifier

    started = _place(arguments.folder)
    classifier = Classifier(arguments.folder)
    channel = classifier.manifest.hearing.channel
    rate = classifier.manifest.sample_rate if arguments.rate is None else arguments.rate
    if arguments.microphone is None:
        # Unbuffered: a thread that waits in a buffered read would hold its lock while the process ends.
        source = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115
        chunks = sound.pcm(source, rate, encoding=arguments.format, n_channels=arguments.channels, channel=channel)
    else:
        chunks = sound.microphone(rate, arguments.microphone or None)
    live, dropped = arguments.live or arguments.microphone is not None, 0
    hop_s, rule = 1.0 if arguments.hop_s is None else arguments.hop_s, None
    if _output(arguments, classifier.manifest) == "windows":
        decided = stream.WindowRule(hop_s, arguments.smooth, arguments.threshold, arguments.hysteresis or 0.0)
        answers = stream.listen(classifier, chunks, rate, decided, live=live)
    else:
        rule = _event_rule(arguments, classifier.manifest)
        hop_s = rule.hop_s
        answers = stream.listen_events(
            classifier, chunks, rate, rule, live=live, with_windows=arguments.output == "both"
        )
    classifier.watch = _watch(arguments, classifier.manifest, hop_s=hop_s, spacing_s=_SPACING_S)
    if sys.stderr.isatty():  # a person waits, and nothing may be heard for hours
        labels = ", ".join(rule.on if rule is not None else classifier.manifest.labels)
        print(f"listening at {rate} Hz for {labels}, every {hop_s:g} s; Ctrl-C ends", file=sys.stderr)
    try:
        for answer in answers:
            if answer["dropped"] > dropped == 0:
                print("warning: this device is slower than real time and drops windows: raise --hop-s", file=sys.stderr)
            dropped = answer["dropped"]
            yield answer
            if _place(arguments.folder) != started:
                print("the release was replaced: start again to run the new one", file=sys.stderr)
                return
    finally:  # Ctrl-C is how most streams end
        if classifier.watch is not None and arguments.summary:
            _write({"summary": classifier.watch.summary()})


def _output(arguments: argparse.Namespace, release: Manifest) -> str:
    chosen_on_streams = release.events is not None and release.events.hop_s > 0
    return arguments.output or ("events" if chosen_on_streams else "windows")


def _event_rule(arguments: argparse.Namespace, release: Manifest) -> EventRule:
    """Return the release's event rule, or its thresholds as one, with what the command line changes of it."""
    rule = release.events or events.default_rule(release.labels, release.threshold)
    changes: Line = {"hop_s": rule.hop_s or min(1.0, release.clip_samples / release.sample_rate)}
    for name in ("hop_s", "smooth", "refractory_s", "merge_s"):
        if getattr(arguments, name) is not None:
            changes[name] = getattr(arguments, name)
    if arguments.threshold is not None:
        changes |= {"on": dict.fromkeys(rule.on, arguments.threshold), "off": {}}
    if arguments.hysteresis is not None:
        on = changes.get("on", rule.on)
        changes["off"] = {label: limit - arguments.hysteresis for label, limit in on.items()}
    try:
        return dataclasses.replace(rule, **changes)
    except ValueError as error:
        raise RuntimeInputError(f"Events {error}.") from None


def _place(folder: Path) -> tuple[int, int] | None:
    """Return which folder a path leads to now; None if to none any more."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _selftest(arguments: argparse.Namespace) -> Iterator[Line]:
    from stages.runtime.selftest import selftest

    yield selftest(arguments.folder)


def _benchmark(arguments: argparse.Namespace) -> Iterator[Line]:
    from stages.runtime.benchmark import benchmark

    yield benchmark(arguments.folder, threads=arguments.threads, runs=arguments.runs)


def _accept(arguments: argparse.Namespace) -> Iterator[Line]:
    yield trust.accept(arguments.folder, arguments.device, force=arguments.force, today=arguments.today)


def _signer(arguments: argparse.Namespace) -> Iterator[Line]:
    yield {"ok": True, "signed_by": trust.signer(arguments.folder, arguments.device)}


def _remember(arguments: argparse.Namespace) -> Iterator[Line]:
    yield trust.remember(arguments.folder, arguments.device)


def _verify(arguments: argparse.Namespace) -> Iterator[Line]:
    yield trust.verify(arguments.folder, arguments.device, today=arguments.today)


def _distrust(arguments: argparse.Namespace) -> Iterator[Line]:
    yield keys.remove_key(arguments.device, arguments.fingerprint)


def _keys(arguments: argparse.Namespace) -> Iterator[Line]:
    trusted = keys.trusted_keys(arguments.device)
    yield {"ok": True, "asks_for_signature": trusted is not None, "trusted": sorted(trusted or ())}


def _trust(arguments: argparse.Namespace) -> Iterator[Line]:
    yield trust.add_key(arguments.device, arguments.key)


def _identify(arguments: argparse.Namespace) -> Iterator[Line]:
    yield trust.identify(arguments.device, arguments.name, arguments.device_class)


def _info(arguments: argparse.Namespace) -> Iterator[Line]:
    yield dataclasses.asdict(manifest.load(arguments.folder))


if __name__ == "__main__":
    sys.exit(main())
