"""`edac start` on folders, and what it writes read back by the pipeline's own check."""

import csv
import os
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.check import check
from flows.cli.main import parser
from flows.start import listing, naming, recipe, sizes, survey
from flows.start.fields import Item
from flows.start.naming import Asked
from stages.core.project import files, params
from stages.core.project.errors import DataError, ParameterError
from stages.pull.params import PullParams
from stages.pull.settle import settle
from stages.pull.sources import folder as source
from stages.quantize import convert
from tests.trees import encode

pytestmark = pytest.mark.thorough

RATE = 16000


def tone(hz: float, seconds: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * hz * t) + 0.01 * rng.normal(size=len(t))).astype(np.float32)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("calls")
    for i, label in enumerate(("low", "middle", "high")):
        for person in range(8):
            for take in range(2):
                name = f"{label}_p{person:02}_{take}.wav"
                encode(root / name, tone(300 * 2**i, 0.5 + 0.02 * person, person), RATE)
    return root


def start(*words: str) -> None:
    given = parser().parse_args(["start", *words])
    given.run(given)


def test_flat_folder_becomes_a_valid_project(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    start(str(recordings), "--yes", "--bytes", "40kB")
    check(tmp_path / "params.yaml")
    document = params.read(tmp_path / "params.yaml")
    assert document["features"]["options"]["log_mel"]["sample_rate"] == RATE
    assert document["features"]["options"]["log_mel"]["clip_samples"] == round(0.7 * RATE)  # the longest is 0.64 s
    assert document["select"]["metric"] == "accuracy"
    assert document["select"]["budget"]["raw_bytes"] == 40_000
    listed = source.recordings(source.Config(**document["pull"]["options"]["folder"]), tmp_path)
    assert Counter(entry.label for entry in listed) == {"low": 16, "middle": 16, "high": 16}
    assert len({entry.group for entry in listed}) == 8
    told = capsys.readouterr().out
    assert len(re.findall(r"^\w+_p\d\d_\d\.wav", told, re.MULTILINE)) == 10  # examples


@pytest.mark.usefixtures("any_width")
def test_explain_writes_nothing(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    start(str(recordings), "--yes", "--explain")
    assert list(tmp_path.iterdir()) == []


def test_own_params_are_kept(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("pull: {source: demo}\n")
    with pytest.raises(ParameterError, match="holds changes of your own"):
        start(str(recordings), "--yes")
    assert (tmp_path / "params.yaml").read_text() == "pull: {source: demo}\n"


@pytest.mark.parametrize(
    "words, error, message",
    [
        (["nowhere"], DataError, "does not exist"),
        (["{}", "--bytes", "2kB"], ParameterError, r"at least the [\d,]+ bytes"),
        (["{}", "--bytes", "small"], ParameterError, "such as 60kB"),
        (["{}", "--group", "part1"], ParameterError, "label cannot be told"),
        (["{}", "--leave-out", "loud"], ParameterError, "--leave-out must name a label; got 'loud'"),
    ],
)
def test_mistakes_leave_nothing(
    words: list[str],
    error: type[Exception],
    message: str,
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        start(*(word.format(recordings) for word in words), "--yes")
    assert list(tmp_path.iterdir()) == []


def test_a_class_of_one_recording_names_the_option_that_helps(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(recordings, tmp_path / "in")
    encode(tmp_path / "in" / "a b_p00_0.wav", tone(100, 0.5, 0), RATE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"'a b' has 1\. Record more .*, add --leave-out 'a b', or name another field"):
        start("in", "--label", "^([^_]+)_", "--group", "(p[0-9]+)", "--yes")
    start("in", "--label", "^([^_]+)_", "--group", "(p[0-9]+)", "--yes", "--leave-out", "a b")
    assert "note: 'a b' left out, as asked for; recordings that have no other label: 1" in capsys.readouterr().out
    check(tmp_path / "params.yaml")


def test_one_kind_of_mark_becomes_a_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(6):
        encode(tmp_path / "in" / f"dog{i}.wav", tone(300, 80.0, i), RATE)
        marks = "".join(f"{t}\t{t + 0.6}\tbark\n" for t in range(3, 77, 5))
        (tmp_path / "in" / f"dog{i}.txt").write_text(marks)
    monkeypatch.chdir(tmp_path)
    start("in", "--yes", "--background", "--group", "file")
    said = capsys.readouterr().out
    assert "note: 90 parts between the marked ones, each of 0.60 s, are the label 'background'" in said
    assert "180 parts of 6 recordings below" in said
    assert "not learned" not in said
    check(tmp_path / "params.yaml")
    document = params.read(tmp_path / "params.yaml")
    assert document["pull"]["options"]["folder"]["labels"] == ["background", "bark"]
    assert document["train"]["vary"]["background"] == "background"
    assert document["evaluate"]["stream"] == {
        "marked": True,
        "ignored": ["background"],
        "false_alarms_per_hour": [60.0],
    }
    with pytest.raises(ParameterError, match="--label must be a field"):
        start("in", "--yes", "--label", "label", "--group", "file", "--whole")


def test_the_network_is_the_widest_that_fits() -> None:
    shape = sizes.Shape((32, 24, 1), 3)
    width, size = sizes.widest("ds_cnn", shape, raw_bytes=30_000, scheme="static_wi8_ai8")
    wider = round(width + 0.1, 2)
    larger = sizes.measure(sizes.build("ds_cnn", {"width": wider}, shape), ["static_wi8_ai8"])["static_wi8_ai8"]
    assert 27_000 < size.raw_bytes <= 30_000 < larger.raw_bytes


def test_the_size_is_that_of_any_weights() -> None:
    shape = sizes.Shape((32, 24, 1), 3)
    trained = sizes.build("strided_cnn", {"width": 0.3}, shape)
    rng = np.random.default_rng(5)
    trained.set_weights([rng.normal(size=w.shape) ** 2 + 0.01 for w in trained.get_weights()])
    file = convert.to_float32(trained)
    told = sizes.measure(sizes.build("strided_cnn", {"width": 0.3}, shape), ["float32"])["float32"]
    assert told.raw_bytes == len(file)


def test_tables_name_label_group_and_side(tmp_path: Path) -> None:
    for side, people in (("train", "abcd"), ("val", "ef"), ("test", "gh")):
        with (tmp_path / f"{side}.csv").open("w") as stream:
            writer = csv.writer(stream)
            writer.writerow(["file", "class"])
            for person in people:
                for word in ("yes", "no"):
                    path = tmp_path / "sounds" / word / f"{person * 3}_{word}.wav"
                    encode(path, tone(500, 0.1, 0), RATE)
                    writer.writerow([f"sounds/{word}/{path.name}", word])
    encode(tmp_path / "sounds" / "noise.wav", tone(500, 0.1, 0), RATE)
    items, notes = listing.list_recordings(tmp_path)
    names = naming.find(items, Asked(group="part1"))
    assert names.label.distinct == ["no", "yes"]
    assert names.split is not None
    assert Counter(names.split.values) == {"train": 8, "validation": 4, "test": 4}
    assert any("1 recordings that no table names" in note for note in notes)


def names_of(rows: list[tuple[str, str, str]]) -> naming.Names:
    items = [
        Item(f"{i}.wav", {"label": label, "speaker": who, "split": side}) for i, (label, who, side) in enumerate(rows)
    ]
    return naming.find(items, Asked())


def surveyed(seconds: list[float], rates: dict[int, int], bandwidth: float = 3500) -> survey.Survey:
    n = sum(rates.values())
    lengths = np.resize(np.array(seconds), n)
    return survey.Survey(n, lengths, Counter(rates), {}, np.zeros(n), np.full(n, bandwidth), (), 0)


@pytest.fixture
def any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solve for no width, which takes a conversion: the rules under test do not depend on it."""
    monkeypatch.setattr(sizes, "widest", lambda *_, **__: (1.0, sizes.Size(50_000, 1_000_000, 40_000)))


def chosen(names: naming.Names, found: survey.Survey) -> tuple[dict[str, object], str]:
    made = recipe.choose(names, found, recipe.Target())
    return {choice.name: choice.value for choice in made.choices}, " ".join(made.warnings)


@pytest.mark.usefixtures("any_width")
@pytest.mark.parametrize("seconds, short", [([1.0, 1.2, 4.0], "repeat"), ([1.0, 3.0, 4.0], None), ([1.0], None)])
def test_mostly_short_recordings_are_repeated(seconds: list[float], short: str | None) -> None:
    values, told = chosen(
        names_of([(w, f"s{p}", "") for w in ("a", "b") for p in range(12)]), surveyed(seconds, {16000: 24})
    )
    assert values.get("features.short") == short
    assert ("repeated" in told) == (short is not None)


@pytest.mark.usefixtures("any_width")
@pytest.mark.parametrize("label, clip_samples, repeated", [("background", 16_000, False), ("drill", 80_000, True)])
def test_long_backgrounds_make_no_longer_clips(label: str, clip_samples: int, repeated: bool) -> None:
    rows = [(w, f"s{p}", "") for w in ("a", "b") for p in range(40)] + [(label, f"n{p}", "") for p in range(20)]
    seconds = np.array([1.0] * 80 + [5.0] * 20)
    found = replace(surveyed([1.0], {16000: 100}), seconds=seconds, labels=tuple(row[0] for row in rows))
    values, _ = chosen(names_of(rows), found)
    options, segment = values["features.options.log_mel"], values.get("features.segment")
    assert isinstance(options, dict)
    assert (options["clip_samples"], values.get("features.short") == "repeat") == (clip_samples, repeated)
    assert segment == ({"hop_s": 1.0} if label == "background" else None)
    clips = 70 * (1.8 if label == "background" else 1)  # 80 of one clip and 20 of five
    assert values["train.epochs"] == round(3000 * 32 / clips)


@pytest.mark.usefixtures("any_width")
def test_a_split_with_a_leak_or_without_a_class_is_not_used() -> None:
    whole = [
        (w, f"s{p}", side) for w in ("a", "b", "c") for side, ps in (("train", range(9)), ("test", (9, 10))) for p in ps
    ]
    values, _ = chosen(names_of(whole), surveyed([1.0], {16000: 33}))
    assert values["split.method"] == "official"
    leaking = [(w, "s1" if who == "s9" else who, side) for w, who, side in whole]
    values, told = chosen(names_of(leaking), surveyed([1.0], {16000: 33}))
    assert values["split.method"] == "groups"
    assert "on two of its sides" in told
    assert values["split.ignore_published"] is True
    assert values["pull.near_duplicates.action"] == "report"
    lacking = [row for row in whole if row[::2] != ("c", "test")]
    values, told = chosen(names_of(lacking), surveyed([1.0], {16000: 31}))
    assert values["split.method"] == "groups"
    assert "test has no c" in told


@pytest.mark.usefixtures("any_width")
@pytest.mark.parametrize(
    "seconds, rates, rate, samples",
    [
        ([1.0], {16000: 100}, 16000, 16000),
        ([0.3, 0.5, 0.9], {8000: 100}, 8000, 7200),
        ([5.0], {44100: 100}, 16000, 80000),
        ([2.0], {8000: 40, 48000: 60}, 8000, 16000),
        ([60.0], {16000: 100}, 16000, 80000),
    ],
)
def test_length_and_rate(seconds: list[float], rates: dict[int, int], rate: int, samples: int) -> None:
    rows = [(w, f"s{p}", "") for w in ("a", "b", "c") for p in range(25)]
    values, _ = chosen(names_of(rows), surveyed(seconds, rates))
    options = values["features.options.log_mel"]
    assert isinstance(options, dict)
    assert (options["sample_rate"], options["clip_samples"]) == (rate, samples)


@pytest.mark.usefixtures("any_width")
@pytest.mark.parametrize("minutes, steps", [(10.0, 3000), (0.5, 2500), (0.2, 1000)])
def test_few_clips_are_varied_for_as_many_steps_as_the_minutes_allow(minutes: float, steps: int) -> None:
    """A million multiply-adds, thrice, for each of 32 clips of a step: 2,500 steps in half a minute."""
    rows = [(w, f"s{p}", "") for w in ("a", "b", "c") for p in range(25)]
    made = recipe.choose(names_of(rows), surveyed([1.0], {16000: 75}), recipe.Target(minutes=minutes))
    values = {choice.name: choice.value for choice in made.choices}
    few = steps < 1500  # more would be learned by the recipe of many steps
    assert (values["train.learning_rate"], values["train.vary"]["p"]) == ((6.5e-3, 0.4) if few else (3e-3, 0.7))
    assert values["prune.vary"] == values["train.vary"]
    n_train = round(0.7 * len(rows))
    assert values["train.epochs"] * n_train / values["train.batch_size"] == pytest.approx(steps, rel=0.01)


@pytest.mark.usefixtures("any_width")
@pytest.mark.parametrize(
    "labels, metric, order",
    [
        (("ill", "well"), "roc_auc", ["well", "ill"]),
        (("a", "b", "c"), "accuracy", None),
        (("a", "b|c", "c"), "pr_auc", None),
    ],
)
def test_metric_and_order(labels: tuple[str, ...], metric: str, order: list[str] | None) -> None:
    rows = [(w, f"s{p}", "") for w in labels for p in range(25)]
    values, _ = chosen(names_of(rows), surveyed([1.0], {16000: 50}))
    assert values["select.metric"] == metric
    assert values.get("pull.options.folder.labels") == order


def words(root: Path, *labels: str) -> Path:
    for label in labels:
        for person in range(4):
            encode(root / label / f"anna{person}.wav", tone(400 + 40 * person, 0.3, person), RATE)
    return root


TABLE = "path,label,group\n" + "".join(f"a/anna{i}.wav,{'no' if i % 2 else 'yes'},g{i}\n" for i in range(4))


@pytest.mark.parametrize(
    "content, error",
    [
        (TABLE.replace("no", "猫").encode("shift_jis"), "line 3 .*UTF-8"),
        (TABLE.replace("g1", '"g1').encode(), "line 3 .*quotation mark"),
        ((TABLE + "a/anna1.wav,yes,g1\n").encode(), "anna1.wav is in lines 3 and 6"),
    ],
)
def test_a_table_that_is_not_certain_is_told(tmp_path: Path, content: bytes, error: str) -> None:
    table = words(tmp_path, "a", "b") / "t.csv"
    table.write_bytes(content)
    with pytest.raises(DataError, match=error):
        listing.list_recordings(tmp_path, table)
    items, notes = listing.list_recordings(tmp_path)
    assert len(items) == 8
    assert any(note.startswith("not used") and re.search(error, note) for note in notes)


def test_a_table_in_utf_16_names_recordings_and_those_that_are_not_there(tmp_path: Path) -> None:
    table = words(tmp_path, "a") / "t.csv"
    table.write_bytes((TABLE + "a/anna7.wav,yes,g7\n").replace(",", ";").encode("utf-16"))
    items, notes = listing.list_recordings(tmp_path)
    assert [item.fields["label"] for item in items] == ["yes", "no", "yes", "no"]
    assert any("line 6" in note for note in notes)


def test_loops_links_and_names_in_other_bytes_are_passed_over(tmp_path: Path) -> None:
    (words(tmp_path, "a", "b") / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "a" / os.fsdecode(b"caf\xe9.wav")).write_bytes(b"")
    (tmp_path / "b" / "gone.wav").symlink_to("nowhere")
    (tmp_path / "b" / "two\nlines.wav").write_bytes(b"")
    items, notes = listing.list_recordings(tmp_path)
    assert len(items) == 8
    assert "(4)" in notes[0]


def test_columns_with_gaps_are_told(tmp_path: Path) -> None:
    (words(tmp_path, "a") / "t.csv").write_text(TABLE.replace("g1", ""))
    items, _ = listing.list_recordings(tmp_path)
    notes = naming.find(items, Asked(group="file")).notes
    assert any("'group'" in note and " 1 " in note for note in notes)


def test_what_pull_would_refuse_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    with pytest.raises(DataError, match=r"label .*'nan'"):
        start(str(words(tmp_path / "words", "nan", "yes")), "--yes")
    assert list(project.iterdir()) == []


@pytest.mark.usefixtures("any_width")
def test_null_is_a_digit_if_a_folder_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for digit, hz in (("null", 300), ("eins", 600)):
        for person in range(8):
            encode(tmp_path / f"digits/{digit}/p{person}_1.wav", tone(hz + 10 * person, 0.4, person), RATE)
    monkeypatch.chdir(tmp_path)
    start(str(tmp_path / "digits"), "--yes")
    check(tmp_path / "params.yaml")
    assert pulled() == {"null", "eins"}
    assert "missing_values: [nan, none, na," in Path("params.yaml").read_text()


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of yes and no by twelve people, where some typed `Yes` and one signed twice."""
    root = tmp_path / "words"
    for person in range(12):
        for word in ("no", "yes"):
            name = "Yes" if word == "yes" and person % 3 == 0 else word
            who = "Anna00" if person == 1 and word == "yes" else f"anna{person:02}"
            encode(root / name / f"{who}.wav", tone(400 + 40 * person, 0.3, person), RATE)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return root


def pulled() -> set[str]:
    """Return the labels that the written parameters make of the written listing."""
    pull = params.section("pull", PullParams, Path("params.yaml"))
    module, config = pull.configure()
    return {entry.label for entry in settle(pull, module.recordings(config, Path()), config.labels).listed}


def test_similar_names_are_told_and_proposed(typed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start(str(typed), "--yes", "--group", "part1")
    text, said = Path("params.yaml").read_text(), capsys.readouterr().out
    for shown in (text, said):
        assert "'Yes' (4) / 'yes' (8)" in shown.replace("\n  #", "")
        assert "'Anna00' (1) / 'anna00' (2)" in shown.replace("\n  #", "")
    assert "  # similar_names: merge" in text
    with pytest.raises(DataError, match=r"pull\.similar_names"):
        pulled()
    Path("params.yaml").write_text(text.replace("# similar_names", "similar_names"))
    assert pulled() == {"no", "yes"}


@pytest.mark.parametrize(
    "how, labels, metric", [("merge", {"no", "yes"}, "roc_auc"), ("allow", {"no", "yes", "Yes"}, "accuracy")]
)
def test_similar_names_as_asked_for(typed: Path, how: str, labels: set[str], metric: str) -> None:
    start(str(typed), "--yes", "--group", "part1", "--similar-names", how)
    assert pulled() == labels
    assert params.read(Path("params.yaml"))["select"]["metric"] == metric


def test_similar_file_names_are_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for word in ("no", "yes"):
        for take in ("Evening", "evening", "evenings", "noon", "night", "dawn"):
            encode(tmp_path / "words" / word / f"{take}.wav", tone(400, 0.3, 0), RATE)
    monkeypatch.chdir(tmp_path)
    start(str(tmp_path / "words"), "--yes", "--group", "file")
    assert pulled() == {"no", "yes"}


@pytest.mark.parametrize("options, labels, metric", [((), 3, "pr_auc"), (("--label-separator", "|"), 7, "accuracy")])
def test_several_labels_of_a_recording(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    labels: int,
    metric: str,
) -> None:
    texts = [";".join(n for i, n in enumerate(("bird", "frog", "rain")) if kind >> i & 1) for kind in range(1, 8)]
    rows: list[dict[str, str]] = []
    for text in texts * 8:
        rows.append({"filename": f"{len(rows):03}.wav", "tags": text})
        encode(tmp_path / "field" / rows[-1]["filename"], tone(400, 0.3, len(rows)), RATE)
    files.write_csv(tmp_path / "field" / "tags.csv", ("filename", "tags"), rows)
    monkeypatch.chdir(tmp_path)
    start(str(tmp_path / "field"), "--yes", *options)
    assert ("--label-separator" in capsys.readouterr().out) == (not options)
    assert params.read(Path("params.yaml"))["select"]["metric"] == metric
    assert len({name for label in pulled() for name in label.split("|")}) == labels
