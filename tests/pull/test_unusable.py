"""No file can stop a pull: each is excluded by name with a reason, and the others are used."""

import errno
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stages.core.artifacts.recordings import read_index
from stages.core.audio.decode import content_hash
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.project.params import load
from stages.pull import download
from stages.pull.params import PullParams
from stages.pull.stage import pull
from tests.messages import line_with
from tests.wavs import Pcm, chunk, form, riff, sound
from tests.wavs import wav as plain

RATE = 16_000


def pulled(root: Path, out: Path, **params: Any) -> dict[str, Any]:
    options = {"root": str(root), "group_pattern": r"/([^/.]+)\."}
    pull(
        load(PullParams, {"source": "folder", "options": {"folder": options}} | params, "pull"),
        mirror=None,
        recordings=out / "recordings",
        index=out / "index.csv",
        labels=out / "labels.json",
        report=out / "pull_report.json",
    )
    return files.read_json(out / "pull_report.json")


@pytest.mark.thorough
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
    assert line_with(details["dog/cut.wav"], "cut.wav", "0.01 s of the 0.1 s")
    assert line_with(details["dog/rate.wav"], "rate.wav", "1000 to 768000 Hz; got 3000000000")
    assert report["usable"] == 4
    (note,) = report["notes"]
    assert note["path"] == "dog/open.wav"
    kept = pulled(root, out, partial="keep", overload="scale", channel="left")
    assert kept["excluded_by_reason"] == {"undecodable": 5, "silent": 1, "name is not UTF-8": 1}


def parts(root: Path, out: Path, *rows: str) -> dict[str, Any]:
    (root / "labels.csv").write_text("\n".join(["path,label,group,start_s,end_s", *rows]) + "\n")
    options = {"root": str(root), "csv": "labels.csv"}
    pull(
        load(PullParams, {"source": "folder", "options": {"folder": options}}, "pull"),
        mirror=None,
        recordings=out / "recordings",
        index=out / "index.csv",
        labels=out / "labels.json",
        report=out / "pull_report.json",
    )
    return files.read_json(out / "pull_report.json")


@pytest.mark.thorough
def test_parts_of_a_long_recording_are_recordings_of_one_group(tmp_path: Path) -> None:
    root, out = tmp_path / "mine", tmp_path / "data"
    root.mkdir()
    long = sound(5 * RATE)
    long[RATE : 2 * RATE] = 0.25  # a constant: silent
    soundfile.write(root / "long.flac", long, RATE)
    (root / "other.wav").write_bytes(plain(sound(seed=3)))
    rows = ("long.flac,dog,anna,0,1", "long.flac,cat,ben,2.5,4.25", "long.flac,dog,anna,1,2", "other.wav,cat,carl,,")
    report = parts(root, out, *rows, "long.flac,dog,anna,4.5,6")
    (silent, beyond) = report["excluded"]
    assert silent == {"path": "long.flac@1-2", "reason": "silent"}
    assert (beyond["path"], beyond["reason"]) == ("long.flac@4.5-6", "part beyond the end")
    assert line_with(beyond["detail"], "at 5 s", "to 6 s")
    found = {r.recording_id: r for r in read_index(out / "index.csv")}
    assert {name: (r.group, r.label, r.span, r.duration_s) for name, r in found.items()} == {
        "long.flac@0-1": ("anna", "dog", (0, 1), 1),
        "long.flac@2.5-4.25": ("anna", "cat", (2.5, 4.25), 1.75),  # one recording, one group
        "other.wav": ("carl", "cat", None, 0.1),
    }
    samples = soundfile.read(root / "long.flac", dtype="float32")[0][40_000:68_000]
    assert found["long.flac@2.5-4.25"].sha256 == content_hash(samples)


@pytest.mark.parametrize("times", ["1,1", "2,1", "-1,2", "1,", ",1", "a,b", "0,inf", "nan,1", '"0,5",1', "0,1_0"])
def test_times_of_a_part_that_make_no_sense_are_told_with_their_line(tmp_path: Path, times: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.wav").write_bytes(plain(sound()))
    with pytest.raises(DataError, match=r"labels\.csv, line 3: start_s and end_s .*0 <= "):
        parts(tmp_path / "mine", tmp_path / "data", "a.wav,dog,anna,0,0.05", f"a.wav,dog,anna,{times}")


@pytest.mark.thorough
def test_a_part_far_beyond_every_end_is_named(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    for name in ("a.wav", "b.wav", "c.wav"):
        (root / name).write_bytes(plain(sound(seed=ord(name[0]))))
    soundfile.write(root / "d.flac", sound(seed=9), RATE)
    far = [f"{name},{times}" for name in ("c.wav,cat,carl", "d.flac,cat,dora") for times in ("5,6", "1e200,1e300")]
    report = parts(root, tmp_path / "data", "a.wav,dog,anna,,", "b.wav,cat,ben,,", *far)
    assert [entry["reason"] for entry in report["excluded"]] == ["part beyond the end"] * 4


def test_where_nothing_is_usable_the_reasons_are_counted(tmp_path: Path) -> None:
    for name in ("dog/a.wav", "cat/b.wav", "cat/c.wav"):
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_bytes(plain(np.zeros((1600, 1))))
    (tmp_path / "mine" / "dog" / "d.wav").write_bytes(b"\xff\xd8\xff\xe0 a picture")
    with pytest.raises(DataError, match=r"silent \(3\), undecodable \(1\)"):
        pulled(tmp_path / "mine", tmp_path / "data")


def test_a_file_that_the_disk_does_not_give_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dog/a.wav", "cat/b.wav"):
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_bytes(plain(sound(seed=ord(name[4]))))

    def fail(origin: Path, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(origin))

    monkeypatch.setattr(download, "bring", fail)
    with pytest.raises(DataError, match=r"cat/b\.wav .*Input/output error"):
        pulled(tmp_path / "mine", tmp_path / "data")
