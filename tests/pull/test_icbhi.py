"""A small tree in the layout of ICBHI 2017: cycles of breath, patients, and the published split with its two traps."""

import io
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core.project import files
from stages.core.project.errors import DataError
from stages.pull.sources import icbhi
from stages.split.params import SplitParams
from stages.split.stage import split
from tests.pull.conftest import Publisher, Run
from tests.trees import bursts, encode

pytestmark = pytest.mark.thorough  # test_speech_commands.py stands for the published sources in `make test`

RATE = 4000
CYCLES = ((0.036, 0.579, 0, 0), (0.579, 1.2, 1, 0), (1.2, 1.9, 0, 1), (1.9, 2.5, 1, 1))
RECORDINGS = {  # name: side
    "101_1b1_Al_sc_Meditron": "train",
    "101_1b1_Pr_sc_Meditron": "train",
    "102_1b1_Ar_sc_Litt3200": "train",
    "103_2b2_Ar_mc_LittC2SE": "train",
    "104_1b1_Ar_sc_Litt3200": "train",
    "105_1b1_Tc_sc_Meditron": "train",
    "156_2b3_Al_mc_AKGC417L": "train",
    "156_5b3_Al_mc_AKGC417L": "test",
    "170_1b2_Al_mc_AKGC417L": "test",
    "226_1b1_Pl_sc_LittC2SE": "test",
}


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror" / "ICBHI_final_database" / "audio_and_txt_files"
    for number, name in enumerate(RECORDINGS):
        encode(folder / f"{name}.wav", bursts(number, sample_rate=RATE, seconds=2.6), RATE)
        (folder / f"{name}.txt").write_text("".join("\t".join(map(str, cycle)) + "\n" for cycle in CYCLES))
    (folder.parent / "filename_format.txt").write_text("patient, recording, place, mode, device\n")
    rows = [f"{name}\t{side}" for name, side in RECORDINGS.items()]
    rows[-1] = rows[-1].replace("LittC2SE", "Meditron")  # the device was corrected in the file's name alone
    (tmp_path / "mirror" / icbhi.SPLIT).write_text("\n".join(rows) + "\n")
    return tmp_path / "mirror"


def test_cycles_are_clips_and_no_patient_is_on_two_sides(mirror: Path, run: Run) -> None:
    report, index = run("icbhi", mirror)
    assert files.read_json(mirror.parent / "data" / "labels.json") == ["normal", "crackle", "wheeze", "both"]
    assert report["found"] == 40
    assert report["excluded_by_reason"] == {icbhi.BOTH_SIDES: 4}
    assert {entry["path"] for entry in report["excluded"]} == {
        f"cycles/156_2b3_Al_mc_AKGC417L_{i:02}.flac" for i in range(4)
    }
    assert Counter(r.label for r in index.values()) == {"normal": 9, "crackle": 9, "wheeze": 9, "both": 9}
    clip = index["cycles/101_1b1_Pr_sc_Meditron_01.flac"]
    assert (clip.group, clip.site, clip.fold, clip.label) == ("101", "Meditron", "train", "crackle")
    assert clip.duration_s == pytest.approx(0.621)
    got, rate = soundfile.read(clip.path)
    whole, _ = soundfile.read(mirror / "ICBHI_final_database/audio_and_txt_files/101_1b1_Pr_sc_Meditron.wav")
    np.testing.assert_allclose(got, whole[round(0.579 * rate) : round(1.2 * rate)], atol=1e-6)
    assert index["cycles/226_1b1_Pl_sc_LittC2SE_00.flac"].fold == "test"


def test_the_official_test_with_validation_by_patient(mirror: Path, run: Run) -> None:
    _, index = run("icbhi", mirror, task="abnormal")
    assert {r.label for r in index.values()} == {"normal", "abnormal"}
    sides = split(SplitParams(method="official", folds={"test": ("test",)}, by_site=False), list(index.values()))
    assert {index[name].group for name, side in sides.items() if side == "test"} == {"156", "170", "226"}
    on = {side: {index[name].group for name, at in sides.items() if at == side} for side in ("train", "validation")}
    assert on["train"] | on["validation"] == {"101", "102", "103", "104", "105"}
    assert not on["train"] & on["validation"]


def test_what_is_missing_damaged_or_not_in_the_split_is_named(mirror: Path, run: Run) -> None:
    folder = mirror / "ICBHI_final_database" / "audio_and_txt_files"
    (folder / "101_1b1_Pr_sc_Meditron.wav").unlink()
    (folder / "102_1b1_Ar_sc_Litt3200.wav").write_text("no sound")
    table = mirror / icbhi.SPLIT
    table.write_text("".join(line for line in table.read_text().splitlines(keepends=True) if "105" not in line))
    report, _ = run("icbhi", mirror)
    assert report["excluded_by_reason"] == {
        "missing": 1,
        "undecodable": 4,
        "not in the official split": 4,
        icbhi.BOTH_SIDES: 4,
    }


def test_the_published_archive(mirror: Path, run: Run, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted((mirror / "ICBHI_final_database" / "audio_and_txt_files").iterdir()):
            archive.write(path, f"ICBHI_final_database/{path.name}")
    publisher.contents[f"/{icbhi.ARCHIVE}"] = packed.getvalue()
    publisher.contents[f"/{icbhi.SPLIT}"] = (mirror / icbhi.SPLIT).read_bytes()
    monkeypatch.setattr(icbhi, "URL", publisher.url)
    assert run("icbhi", None)[0]["usable"] == 36


def test_mistakes_are_told(mirror: Path, run: Run) -> None:
    annotation = mirror / "ICBHI_final_database/audio_and_txt_files/101_1b1_Al_sc_Meditron.txt"
    annotation.write_text("0.1\t0.5\t0\t0\n0.5\t0.9\tyes\t0\n")
    with pytest.raises(DataError, match=r"101_1b1_Al_sc_Meditron\.txt, line 2: "):
        run("icbhi", mirror)
    annotation.write_text("0.1\t0.5\t0\t0\n")
    (mirror / icbhi.SPLIT).write_text("101_1b1_Al_sc_Meditron validation\n")
    with pytest.raises(DataError, match=r"ICBHI_challenge_train_test\.txt, line 1: "):
        run("icbhi", mirror)
    (mirror / icbhi.SPLIT).unlink()
    with pytest.raises(DataError, match=r"must hold ICBHI_challenge_train_test\.txt and the recordings"):
        run("icbhi", mirror)
