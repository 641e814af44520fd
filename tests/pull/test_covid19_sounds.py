"""Small trees in the layout that COVID-19 Sounds' own code reads, through pull and the official split."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import soundfile

from stages.core.project.errors import DataError, ParameterError
from stages.split.params import SplitParams
from stages.split.stage import split
from tests.pull.conftest import Run
from tests.trees import bursts

pytestmark = pytest.mark.thorough  # test_speech_commands.py stands for the published sources in `make test`

# participant, visit, split, label: two visits of one participant, one to the web site
VISITS = [
    ("AbC202xyz1", "2020-06-01-10_00_00_000001", "train", 1),
    ("AbC202xyz1", "2020-06-03-10_00_00_000002", "train", 1),
    ("bbbbbbbbbb", "2020-06-02-10_00_00_000003", "train", 0),
    ("2020-04-07-11_05_20_123456", "2020-04-07-11_05_20_123456", "validation", 1),
    ("cccccccccc", "2020-06-04-10_00_00_000004", "validation", 0),
    ("2020-04-08-12_00_00_000000", "2020-04-08-12_00_00_000000", "test", 0),
    ("dddddddddd", "2020-06-05-10_00_00_000005", "test", 1),
]
SOUNDS = ("voice", "cough", "breath")
SPOKEN = ("Voice", "Cough", "Breath")


def owner(uid: str) -> str:
    return "form-app-users" if uid.startswith("2020-") else uid


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, bursts(seed, sample_rate=16000), 16000)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Return all three parts side by side."""
    root = tmp_path / "mirror"
    task1 = [
        "Uid;Age;Sex;Medhistory;Smoking;Language;Date;Folder Name;Symptoms;Covid-Tested;Hospitalized;Location;V;C;B;s;l"
    ]
    task2 = [",cough_path,breath_path,voice_path,label,uid,categs,fold"]
    for i, (uid, visit, fold, label) in enumerate(VISITS):
        for j, sound in enumerate(SOUNDS):
            for task in ("task1", "task2"):
                name = root / f"0426_EN_used_{task}" / owner(uid) / visit / f"audio_file_{sound}.wav"
                write(name, 100 * j + i)
        names = ";".join(f"audio_file_{sound}.wav" for sound in SOUNDS)
        number = ("train", "validation", "test").index(fold)
        task1.append(f"{uid};30-39;Male;None;never;en;1;{visit};x;no;no;;{names};{number};{label}")
        paths = (rf"{owner(uid)}\{visit}\audio_file_{sound}.wav" for sound in ("cough", "breath", "voice"))
        task2.append(f"{i},{','.join(paths)},{label},{uid},none,{fold}")
    (root / "data_0426_en_task1.csv").write_text("\n".join(task1) + "\n")
    (root / "data_0426_en_task2.csv").write_text("\n".join(task2) + "\n")
    head = "Uid;Age;Folder Name;Covid-Tested;" + ";".join(f"{s} {w}" for w in ("filename", "check") for s in SPOKEN)
    rows: dict[str, list[tuple[str, str, str, str]]] = {
        "android": [
            ("aaaa", "v1", "positiveLast14", "c"),
            ("aaaa", "v2", "negativeNever", "c"),
            ("bbbb", "v1", "no", "n"),
        ],
        "ios": [("cccc", "v1", "never", "c"), ("dddd", "v1", "yes", "c"), ("eeee", "v1", "", "c")],
        "web": [("form-app-users", f"2020-0{i}", "last14" if i % 2 else "negativeLast14", "c") for i in range(1, 5)],
    }
    for platform, visits in rows.items():
        table = root / f"all_metadata/results_raw_20210426_lan_yamnet_{platform}_noloc.csv"
        table.parent.mkdir(exist_ok=True)
        told = [f"{uid};20-29;{visit};{status};v.wav;c.wav;b.wav;v;{check};b" for uid, visit, status, check in visits]
        table.write_text("\n".join([head, *told]) + "\n")
        for i, (uid, visit, _, _) in enumerate(visits):
            if visit != "2020-04":
                write(root / "covid19_data_0426" / uid / visit / "c.wav", 1000 + 10 * list(rows).index(platform) + i)
    return root


@pytest.mark.parametrize("part", ["covid19", "symptoms"])
def test_the_tasks_have_their_split_and_web_visits_groups_of_their_own(part: str, mirror: Path, run: Run) -> None:
    report, index = run("covid19_sounds", mirror, part=part)
    assert (report["found"], report["usable"], report["excluded"]) == (7, 7, [])
    expected = Counter((uid, fold, ("negative", "positive")[label]) for uid, _, fold, label in VISITS)
    assert Counter((r.group, r.fold, r.label) for r in index.values()) == expected
    assert {r.group for r in index.values() if r.site == "web"} == {
        uid for uid, *_ in VISITS if uid.startswith("2020-")
    }
    assert all(Path(name).name == "audio_file_cough.wav" for name in index)
    recordings = list(index.values())
    sides = split(SplitParams(method="official", by_site=False), recordings)
    assert {r.fold: sides[r.recording_id] for r in recordings} == {f: f for f in ("train", "validation", "test")}


def test_another_sound(mirror: Path, run: Run) -> None:
    for part in ("covid19", "symptoms"):
        for sound in ("breath", "voice"):
            _, index = run("covid19_sounds", mirror, part=part, sound=sound)
            assert all(Path(name).name == f"audio_file_{sound}.wav" for name in index)
            assert len(index) == 7


def test_everything_goes_by_the_last_test(mirror: Path, run: Run) -> None:
    report, index = run("covid19_sounds", mirror, part="all")
    assert {(r.group, Path(r.recording_id).parts[-2]): r.label for r in index.values()} == {
        ("aaaa", "v1"): "positive",
        ("aaaa", "v2"): "negative",
        ("dddd", "v1"): "positive",
        ("2020-01", "2020-01"): "positive",
        ("2020-02", "2020-02"): "negative",
        ("2020-03", "2020-03"): "positive",
    }
    assert Counter(entry["reason"] for entry in report["excluded"]) == {
        "the publisher hears no cough": 1,
        "status never": 1,
        "status not given": 1,
        "missing": 1,
    }
    assert {r.fold for r in index.values()} == {""}


def test_it_is_given_on_request(run: Run, mirror: Path) -> None:
    with pytest.raises(DataError, match=r"on request .*pull.mirror"):
        run("covid19_sounds", None)
    (mirror / "all_metadata/results_raw_20210426_lan_yamnet_web_noloc.csv").unlink()
    with pytest.raises(
        DataError, match=r"must hold all_metadata/results_raw_20210426_lan_yamnet_web_noloc.csv, as pub"
    ):
        run("covid19_sounds", mirror, part="all")


@pytest.mark.parametrize(
    ("table", "text", "options", "message"),
    [
        ("task2", "a,b\n1,2\n", {}, r"data_0426_en_task2.csv .*column fold; it has a, b\."),
        (
            "task1",
            "a;b\n1;2\n",
            {"part": "symptoms"},
            "data_0426_en_task1.csv .*17 columns; it has a, b",
        ),
        (
            "task2",
            ",c,b,v,label,uid,categs,fold\n0,..\\x.wav,,,1,u,n,train\n",
            {},
            "within its tree; got",
        ),
    ],
)
def test_a_table_of_another_kind_is_refused(
    table: str, text: str, options: dict[str, Any], message: str, mirror: Path, run: Run
) -> None:
    (mirror / f"data_0426_en_{table}.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        run("covid19_sounds", mirror, **options)


def test_a_status_of_both_classes_is_refused(mirror: Path, run: Run) -> None:
    with pytest.raises(ParameterError, match=r"pull.options.covid19_sounds .*positive and negative"):
        run("covid19_sounds", mirror, positive=["yes"], negative=["yes"])
