"""No file can stop a pull: each is excluded by name with a reason, and the others are used."""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stages.core.project.params import load
from stages.pull.params import PullParams
from stages.pull.stage import pull
from tests.wavs import Pcm, chunk, form, riff, sound
from tests.wavs import wav as plain

RATE = 16_000


def pulled(root: Path, out: Path, **params: Any) -> dict[str, Any]:
    options = {"root": str(root), "group_pattern": r"/([^/.]+)\."}
    return pull(
        load(PullParams, {"source": "folder", "options": {"folder": options}} | params, "pull"),
        mirror=None,
        recordings=out / "recordings",
        index=out / "index.csv",
        labels=out / "labels.json",
        report=out / "pull_report.json",
    )


def test_whatever_one_file_does_the_rest_is_pulled(tmp_path: Path) -> None:
    root, out = tmp_path / "mine", tmp_path / "data"
    for label in ("dog", "cat"):
        (root / label).mkdir(parents=True)
        soundfile.write(root / label / f"good_{label}.flac", sound(seed=len(label) + ord(label[0])), RATE)
    flac = bytearray((root / "dog" / "good_dog.flac").read_bytes())
    flac[18:26] = (int.from_bytes(flac[18:26], "big") >> 36 << 36).to_bytes(8, "big")  # no length, which is legal
    pcm = Pcm().encode(sound(seed=5))
    files = {
        "raw.raw": bytes(4000),
        "rate.wav": plain(sound(), rate=3_000_000_000),
        "cut.wav": riff(chunk(b"fmt ", form()), chunk(b"data", pcm))[: 44 + 320],
        "loud.wav": riff(chunk(b"fmt ", form(3, bits=32)), chunk(b"data", (sound() * 32767).astype("<f4").tobytes())),
        "constant.wav": plain(np.full((1600, 1), 0.3)),
        "opposed.wav": plain(np.concatenate([sound(), -sound()], axis=1)),
        "not_finite.wav": riff(chunk(b"fmt ", form(3, bits=32)), chunk(b"data", struct.pack("<ff", 0.1, np.nan))),
        "open.wav": riff(chunk(b"fmt ", form()), chunk(b"data", pcm, size=0xFFFFFFFF)),
        "unknown_length.flac": bytes(flac),
        "truncated.flac": bytes(flac[: len(flac) // 2]),
        "page.mp3": b"<!DOCTYPE html>",
    }
    for name, content in files.items():
        (root / "dog" / name).write_bytes(content)
    (root / "dog" / os.fsdecode(b"caf\xe9.wav")).write_bytes(plain(sound(seed=8)))
    report = pulled(root, out)
    assert {entry["path"].removeprefix("dog/"): entry["reason"] for entry in report["excluded"]} == {
        "raw.raw": "undecodable",
        "rate.wav": "undecodable",
        "cut.wav": "heard in part",
        "loud.wav": "beyond full scale",
        "constant.wav": "silent",
        "opposed.wav": "silent",
        "not_finite.wav": "undecodable",
        "truncated.flac": "undecodable",
        "page.mp3": "undecodable",
        r"caf\xe9.wav": "name is not UTF-8",
    }
    details = {entry["path"]: entry["detail"] for entry in report["excluded"] if "detail" in entry}
    assert details["dog/cut.wav"].startswith("cut.wav can be heard in part only: 0.01 s of the 0.1 s")
    assert details["dog/rate.wav"] == (
        "rate.wav must have a sample rate of 1000 to 768000 Hz; got 3000000000. Correct its header, or resample it."
    )
    assert report["usable"] == 4
    (note,) = report["notes"]
    assert note["path"] == "dog/open.wav"
    kept = pulled(root, out, partial="keep", overload="scale", channel="left")
    assert kept["excluded_by_reason"] == {"undecodable": 5, "silent": 1, "name is not UTF-8": 1}
