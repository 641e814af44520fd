import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.project import files, provenance
from stages.core.project.errors import DataError, ParameterError
from stages.pull.params import PullParams
from stages.pull.sources import coswara
from tests.pull.conftest import Publisher, Run
from tests.trees import bursts, coswara_tree, tar_gz, wav

pytestmark = pytest.mark.thorough  # test_speech_commands.py stands for the published sources in `make test`

STATUSES = {
    "Ann": "healthy",
    "Bob": "no_resp_illness_exposed",
    "Cat": "resp_illness_not_identified",
    "Dan": "recovered_full",
    "Eve": "positive_mild",
    "Fay": "positive_moderate",
    "Gus": "positive_asymp",
    "Hal": "under_validation",
    "Ida": "healthy",
    "Jon": "healthy",
    "Kim": "positive_mild",
    "Leo": "healthy",
}
QUALITY = {"Ann": 2, "Bob": 1, "Cat": 0, "Dan": 2, "Eve": 2, "Fay": 1, "Gus": 0}
DAYS = ("20200413", "20210507")


def cough(seed: int, rate: int = 48_000) -> bytes:
    return wav(bursts(seed, sample_rate=rate), rate)


def held(name: str, number: int) -> list[tuple[str, bytes]]:
    shallow = {
        "Ida": b"",  # as some are
        "Jon": wav(np.zeros(0, np.float32), 48_000),
        "Kim": wav(np.zeros(48_000, np.float32), 48_000),
    }.get(name, cough(number, (48_000, 44_100, 16_000)[number % 3]))
    others = [("cough-heavy.wav", cough(100 + number)), ("vowel-a.wav", cough(200 + number)), ("metadata.json", b"{}")]
    return others if name == "Leo" else [("cough-shallow.wav", shallow), *others]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    people = {name: held(name, number) for number, name in enumerate(STATUSES)}
    days = dict(zip(DAYS, ({n: people[n] for n in list(people)[k::2]} for k in (0, 1)), strict=True))
    root = coswara_tree(tmp_path / "Coswara-Data", STATUSES, days, quality=QUALITY)
    monkeypatch.setattr(coswara, "LABELLED", files.digest(sorted(STATUSES.items())))
    return root


def test_the_published_table_gives_the_papers_counts(datasets: Path, tmp_path: Path) -> None:
    metadata = datasets / "coswara-metadata" / "combined_data.csv"
    coswara._check_labels(metadata)
    shutil.copyfile(metadata, tmp_path / "combined_data.csv")
    listed = coswara.recordings(coswara.Config(), tmp_path)
    assert Counter(entry.label for entry in listed) == {"negative": 1984, "positive": 681, "": 81}
    assert Counter(entry.excluded for entry in listed) == {"missing": 2665, "status under_validation": 81}
    assert len({entry.group for entry in listed}) == 2746


def test_the_published_quality_labels_are_read(datasets: Path, tmp_path: Path) -> None:
    for name in ("combined_data.csv", "annotations/cough-shallow_labels.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(datasets / "coswara-metadata" / name, tmp_path / name)
    quality = coswara._quality(tmp_path, "cough-shallow")
    assert Counter(quality.values()) == {2: 2239, 1: 325, 0: 181}
    listed = coswara.recordings(coswara.Config(min_quality=1), tmp_path)
    # Counted with awk: of the 2,665 with a usable status 171 are bad and one has no label.
    assert Counter(e.excluded for e in listed) == {
        "missing": 2493,
        "quality below 1": 172,
        "status under_validation": 81,
    }


@pytest.mark.parametrize("form", ["parts", "extracted"])
def test_a_tree_in_the_published_layout(tree: Path, run: Run, form: str) -> None:
    if form == "extracted":
        for day in DAYS:
            joined = b"".join(part.read_bytes() for part in sorted((tree / day).glob("*.tar.gz.*")))
            with tarfile.open(fileobj=io.BytesIO(joined)) as archive:
                safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from Python 3.11.4 on
                archive.extractall(tree / "Extracted_data", **safely)
            for part in (tree / day).glob("*.tar.gz.*"):
                part.unlink()
    else:
        assert min(len(list((tree / day).glob("*.tar.gz.a?"))) for day in DAYS) > 10
    report, index = run("coswara", tree.parent)
    labels = {r.group: r.label for r in index.values()}
    assert labels == dict.fromkeys(["Ann", "Bob", "Cat", "Dan"], "negative") | dict.fromkeys(
        ["Eve", "Fay", "Gus"], "positive"
    )
    assert index["Extracted_data/20200413/Ann/cough-shallow.wav"].sample_rate == 48_000
    assert {r.sample_rate for r in index.values()} == {48_000, 44_100, 16_000}
    assert {Path(entry["path"]).parts[-2]: entry["reason"] for entry in report["excluded"]} == {
        "Hal": "status under_validation",
        "Ida": "undecodable",
        "Jon": "empty",
        "Kim": "silent",
        "Leo": "missing",
    }
    assert (report["found"], report["usable"]) == (12, 7)
    assert report["labels"]["negative"] == {"found": 7, "usable": 4}
    written = {p.name for p in index["Extracted_data/20200413/Ann/cough-shallow.wav"].path.parents[3].rglob("*.*")}
    assert written == {"cough-shallow.wav", "combined_data.csv", "20200413.csv", "20210507.csv"}


def test_quality_and_the_heavy_cough(tree: Path, run: Run) -> None:
    _, index = run("coswara", tree, min_quality=1)
    assert {r.group for r in index.values()} == {"Ann", "Bob", "Dan", "Eve", "Fay"}
    report, index = run("coswara", tree, sounds=["cough-shallow", "cough-heavy"])
    assert Counter(r.path.name for r in index.values()) == {"cough-shallow.wav": 7, "cough-heavy.wav": 11}
    assert Counter(r.group for r in index.values())["Ann"] == 2
    assert report["groups"] == 11


def git_name(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@pytest.fixture
def published(tree: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    contents = {p.relative_to(tree).as_posix(): p.read_bytes() for p in tree.rglob("*") if p.is_file()}
    contents |= {"README.md": b"# Coswara", "annotations/vowel-a_labels.csv": b"FILENAME, QUALITY\n"}
    listing = [{"path": path, "type": "blob", "sha": git_name(content)} for path, content in contents.items()]
    commit = {"sha": "c0ffee" * 6, "commit": {"tree": {"sha": "7ee"}}}
    publisher.contents = {f"/raw/{commit['sha']}/{path}": content for path, content in contents.items()} | {
        "/api/commits/4942c97": json.dumps(commit).encode(),
        "/api/git/trees/7ee?recursive=1": json.dumps({"tree": listing, "truncated": False}).encode(),
    }
    monkeypatch.setattr(coswara, "API", f"{publisher.url}/api")
    monkeypatch.setattr(coswara, "RAW", f"{publisher.url}/raw")
    return publisher


def test_parts_come_from_the_network_and_a_broken_one_is_resumed(published: Publisher, tree: Path, run: Run) -> None:
    shutil.move(tree, tree.parent / "gone")
    broken = f"/raw/{'c0ffee' * 6}/20200413/20200413.tar.gz.ab"
    published.cut = {broken}
    _, index = run("coswara", None)
    assert len(index) == 7
    half = len(published.contents[broken]) // 2
    assert [wanted for path, wanted in published.asked if path == broken] == [None, f"bytes={half}-"]
    asked = {path.rpartition("/")[2] for path, _ in published.asked}
    assert not asked & {"README.md", "vowel-a_labels.csv", "cough-heavy_labels.csv"}
    published.asked.clear()
    run("coswara", None, sounds=["cough-heavy"])  # its labels' table is all that the parts at hand lack
    assert [path.rpartition("/")[2] for path, _ in published.asked] == ["cough-heavy_labels.csv"]


def test_a_part_with_other_bytes_is_refused(published: Publisher, run: Run) -> None:
    part = f"/raw/{'c0ffee' * 6}/20200413/20200413.tar.gz.ab"
    published.contents[part] = b"something else"
    with pytest.raises(DataError, match=r"20200413\.tar\.gz\.ab must have git [0-9a-f]{40}; got [0-9a-f]{40}\."):
        run("coswara", None)


def test_a_listing_cut_short_is_refused(published: Publisher, run: Run) -> None:
    published.contents["/api/git/trees/7ee?recursive=1"] = b'{"tree": [], "truncated": true}'
    with pytest.raises(DataError, match=r"commit 4942c97.*pull\.mirror"):
        run("coswara", None)


KILLED = """
import pathlib, sys, time
from stages.pull import archive
from stages.pull.sources import coswara
coswara.LABELLED = sys.argv[3]
copy = archive.shutil.copyfileobj
def slow(source, target):
    print("member", flush=True)
    time.sleep(0.05)
    copy(source, target)
archive.shutil.copyfileobj = slow
coswara.fetch(coswara.Config(), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[1]))
"""


def test_what_kill_9_leaves_is_taken_up(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tree), str(folder), coswara.LABELLED],
        cwd=provenance.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    extracted = folder / "Extracted_data"
    for _ in process.stdout:
        if (extracted / DAYS[0]).is_dir():  # in the midst of the second day
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (extracted / DAYS[1]).exists()
    before = (extracted / DAYS[0]).stat().st_ino
    coswara.fetch(coswara.Config(), folder, tree)
    assert (extracted / DAYS[0]).stat().st_ino == before
    assert sorted(p.name for p in extracted.iterdir()) == list(DAYS)
    assert len(list(extracted.glob("*/*/cough-shallow.wav"))) == 11


def replace_parts(tree: Path, content: bytes) -> None:
    for part in (tree / DAYS[0]).glob("*.tar.gz.*"):
        part.unlink()
    (tree / DAYS[0] / f"{DAYS[0]}.tar.gz.aa").write_bytes(content)


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


@pytest.mark.parametrize(
    ("member", "sentence"),
    [
        ("20200413/../../../cough-shallow.wav", r"would land outside its folder"),
        ("/tmp/Ann/cough-shallow.wav", r"would land outside its folder"),
        (link("20200413/Ann/cough-shallow.wav", "/etc/passwd"), r"holds a link, '20200413/Ann/cough-shallow\.wav'"),
    ],
)
def test_an_unsafe_archive_is_refused(tree: Path, run: Run, member: str | tarfile.TarInfo, sentence: str) -> None:
    replace_parts(tree, tar_gz([("20200413/Bob/cough-shallow.wav", cough(1)), (member, b"")]))
    with pytest.raises(DataError, match=sentence):
        run("coswara", tree)
    assert not list(tree.parent.glob("data/**/20200413/Bob"))


def test_a_missing_or_damaged_part_is_told(tree: Path, run: Run) -> None:
    parts = sorted((tree / DAYS[0]).glob("*.tar.gz.*"))
    whole = b"".join(part.read_bytes() for part in parts)
    parts[-1].unlink()
    with pytest.raises(DataError, match=r"20200413\.tar\.gz\.\* \(\d+ parts\)"):
        run("coswara", tree)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (bytes(flipped), b"no archive", whole[:-4] + b"\0\0\0\0", b""):
        replace_parts(tree, content)
        with pytest.raises(DataError, match="must join to a whole archive"):
            run("coswara", tree)
    (tree / DAYS[0] / f"{DAYS[0]}.tar.gz.aa").unlink()
    with pytest.raises(DataError, match=r"20200413 .*archive"):
        run("coswara", tree)


def test_an_incomplete_or_other_table_is_told(tree: Path, run: Run) -> None:
    (tree / DAYS[1] / f"{DAYS[1]}.csv").unlink()
    with pytest.raises(DataError, match=r"must hold 20210507/20210507\.csv, as published"):
        run("coswara", tree)
    metadata = tree / "combined_data.csv"
    metadata.write_text(metadata.read_text().replace("Ann,30,healthy", "Ann,30,positive_mild"))
    with pytest.raises(DataError, match=r"commit 4942c97; .*12 rows"):
        run("coswara", tree)
    metadata.write_text("name,status\nAnn,healthy\n")
    with pytest.raises(DataError, match="columns id and covid_status"):
        run("coswara", tree)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"min_quality": 3}, r"pull\.options\.coswara\.min_quality must be 0, 1 or 2; got 3"),
        ({"sounds": []}, r"pull\.options\.coswara\.sounds .*once"),
        ({"sounds": ["cough-heavy", "cough-heavy"]}, r"each once"),
        ({"sounds": ["vowel-a"]}, "sounds.* cough-shallow, cough-heavy; got 'vowel-a'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        PullParams(source="coswara", options={"coswara": options}).configure()
