import signal
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from stages.core.audio import decode
from stages.core.project import files, provenance
from stages.core.project.errors import DataError, ParameterError
from stages.pull.params import PullParams
from stages.pull.sources import coughvid
from tests.pull.conftest import Publisher, Run
from tests.trees import bursts, coughvid_metadata, coughvid_tree, encode

pytestmark = pytest.mark.thorough  # test_speech_commands.py stands for the published sources in `make test`

RATE = 48_000
# uuid: suffix, status, cough_detected
CODED = {
    "a": (".webm", "healthy", "0.9871"),
    "b": (".ogg", "healthy", "0.7"),
    "c": (".wav", "symptomatic", "0.81"),
    "d": (".webm", "COVID-19", "1.0"),
    "e": (".webm", "healthy", "0.6999"),
    "f": (".webm", "", "0.99"),
    "g": (".webm", "", "0.01"),
    "h": (".webm", "COVID-19", "0.9"),  # these are words
    "i": (".webm", "COVID-19", "0.9"),  # not there
    "j": (".wav", "healthy", "0.9"),  # silent
    "k": (".webm", "healthy", "0.9"),  # nothing reaches -35 dBFS
}


def two_coughs(seed: int) -> np.ndarray:
    """A second of quiet, 0.5 s of cough, 1 s of quiet, 0.5 s of cough, a second of quiet."""
    quiet, sound = np.zeros(RATE, np.float32), np.clip(4 * bursts(seed, seconds=0.5), -0.9, 0.9)
    return np.concatenate([quiet, sound, quiet, sound, quiet])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "mirror" / "coughvid_20211012"
    rows = [{"uuid": u, "status": status, "cough_detected": p} for u, (_, status, p) in CODED.items()]
    coughvid_metadata(root, rows)
    for number, (uuid, (suffix, _, _)) in enumerate(CODED.items()):
        if uuid != "i":
            encode(root / f"{uuid}{suffix}", {"j": 0, "k": 0.01}.get(uuid, 1) * two_coughs(number), RATE)
    (root / "h.webm").write_text("these are words")
    return root


@pytest.fixture
def archive(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "packed" / "public_dataset_v3.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as opened:
        for file in sorted(tree.iterdir()):
            opened.write(file, f"coughvid_20211012/{file.name}")
    monkeypatch.setattr(coughvid, "ARCHIVE", f"sha256:{files.sha256(path)}")
    return path


REASONS = {
    "e": "cough_detected below 0.7",
    "f": "no status",
    "g": "no status",
    "h": "undecodable",
    "i": "missing",
    "j": "silent",
}


@pytest.mark.parametrize("place", ["", "mirror", "archive"])
def test_a_tree_in_the_published_layout(tree: Path, archive: Path, run: Run, place: str) -> None:
    mirror = {"": tree, "mirror": tree.parent, "archive": archive.parent}[place]
    report, index = run("coughvid", mirror)
    assert {r.group: r.label for r in index.values()} == dict.fromkeys("ab", "negative") | dict.fromkeys(
        "cd", "positive"
    )
    assert {Path(e["path"]).stem: e["reason"] for e in report["excluded"]} == REASONS | {"k": "silent"}
    assert report["labels"] == {"negative": {"found": 5, "usable": 2}, "positive": {"found": 4, "usable": 2}}
    assert (report["found"], report["usable"], report["groups"]) == (11, 4, 4)
    for recording in index.values():  # each cough with its margins: 2 x (0.5 + 2 x 0.125) s, less what is quiet of it
        assert recording.recording_id == f"silence_removed/{recording.group}.flac"
        assert 1.2 < recording.duration_s < 1.55
    there = {p.name for p in index["silence_removed/a.flac"].path.parents[1].glob("coughvid_20211012/*")}
    assert there == {"metadata_compiled.csv", "a.webm", "b.ogg", "c.wav", "d.webm", "h.webm", "j.wav", "k.webm"}


def test_silence_may_stay(tree: Path, run: Run) -> None:
    report, index = run("coughvid", tree, silence_removal=None)
    assert {i: r.duration_s for i, r in index.items()} == {
        f"coughvid_20211012/{name}": 4.0 for name in ("a.webm", "b.ogg", "c.wav", "d.webm", "k.webm")
    }
    assert {Path(e["path"]).stem: e["reason"] for e in report["excluded"]} == REASONS


def test_what_is_cut_is_what_the_rule_says(tree: Path, run: Run) -> None:
    _, index = run("coughvid", tree, silence_removal={"min_sound_s": 0.0})
    samples, _ = decode.decode(tree / "c.wav")
    loud = np.flatnonzero(np.abs(samples) >= 10 ** (-35 / 20))
    gap = np.flatnonzero(np.diff(loud) > RATE // 2)
    assert len(gap) == 1
    (first, second), margin = np.split(loud, gap + 1), RATE // 8
    expected = np.concatenate([samples[s[0] - margin : s[-1] + 1 + margin] for s in (first, second)])
    np.testing.assert_array_equal(decode.decode(index["silence_removed/c.flac"].path)[0], expected)


def test_statuses_and_the_threshold_are_the_users(tree: Path, run: Run) -> None:
    report, index = run("coughvid", tree, positive=["COVID-19"], min_cough_detected=0.5, silence_removal=None)
    assert {r.group: r.label for r in index.values()} == dict.fromkeys("abek", "negative") | {"d": "positive"}
    assert report["excluded_by_reason"]["status symptomatic"] == 1


def test_the_archive_comes_from_the_network_and_is_resumed(
    archive: Path, publisher: Publisher, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.contents["/public_dataset_v3.zip"] = archive.read_bytes()
    publisher.cut = {"/public_dataset_v3.zip"}
    monkeypatch.setattr(coughvid, "URL", f"{publisher.url}/public_dataset_v3.zip")
    _, index = run("coughvid", None)
    assert len(index) == 4
    assert [wanted for _, wanted in publisher.asked] == [None, f"bytes={archive.stat().st_size // 2}-"]
    run("coughvid", None, min_cough_detected=0.0)
    assert len(publisher.asked) == 2


def test_a_changed_archive_is_refused(archive: Path, run: Run) -> None:
    archive.write_bytes(archive.read_bytes() + b"more")
    with pytest.raises(DataError, match=r"public_dataset_v3\.zip must have sha256 [0-9a-f]{64}; got"):
        run("coughvid", archive.parent)


def test_a_table_without_a_column_is_told(tree: Path, run: Run) -> None:
    (tree / "metadata_compiled.csv").write_text("uuid,status\na,healthy\n")
    with pytest.raises(DataError, match=r"metadata_compiled\.csv .*cough_detected"):
        run("coughvid", tree)


KILLED = """
import pathlib, sys, time
from stages.pull.sources import coughvid
cut = coughvid.remove_silence
def slow(*arguments):
    print("recording", flush=True)
    time.sleep(0.2)
    return cut(*arguments)
coughvid.remove_silence = slow
coughvid.fetch(coughvid.Config(), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[1]))
"""


def test_what_kill_9_leaves_is_taken_up(tree: Path, tmp_path: Path) -> None:
    folder, whole = tmp_path / "work", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tree), str(folder)],
        cwd=provenance.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    for _ in process.stdout:
        if list(folder.glob("silence_removed/?.flac")):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    done = {p.name: p.stat().st_ino for p in folder.glob("silence_removed/?.flac")}
    assert 0 < len(done) < 6
    coughvid.fetch(coughvid.Config(), folder, tree)
    coughvid.fetch(coughvid.Config(), whole, tree)
    assert {name: (folder / "silence_removed" / name).stat().st_ino for name in done} == done
    assert {p.name: p.read_bytes() for p in folder.glob("silence_removed/?.flac")} == {
        p.name: p.read_bytes() for p in whole.glob("silence_removed/?.flac")
    }


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"min_cough_detected": 70}, r"pull\.options\.coughvid\.min_cough_detected must be a probability in \[0, 1\]"),
        ({"positive": ["healthy"]}, r"pull\.options\.coughvid .*positive and negative"),
        ({"positive": ["covid"]}, "healthy, symptomatic, COVID-19, .*twice"),
        ({"negative": []}, r"each at least one"),
        ({"silence_removal": {"level": -35}}, r"coughvid\.silence_removal has no parameter 'level'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        PullParams(source="coughvid", options={"coughvid": options}).configure()


def test_a_tree_out_of_real_recordings(datasets: Path, tmp_path: Path, run: Run) -> None:
    root = datasets / "covid19-cough"
    published = files.read_json(root / "metadata.json")
    chosen = [e for label in (True, False) for e in [e for e in published if e["covid19"] == label][:3]]
    statuses = {root / "raw" / e["filename"]: "COVID-19" if e["covid19"] else "healthy" for e in chosen}
    _, index = run("coughvid", coughvid_tree(tmp_path / "mirror", statuses), silence_removal=None)
    assert Counter(r.label for r in index.values()) == {"positive": 3, "negative": 3}
    durations = sorted(len(samples) / rate for samples, rate in map(decode.decode, statuses))
    np.testing.assert_allclose(sorted(r.duration_s for r in index.values()), durations, atol=0.03)
