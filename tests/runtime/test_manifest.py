import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stages.runtime import manifest
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import Hearing

SHA256 = "0" * 64
SCHEMA = json.loads(Path(manifest.__file__).with_name("manifest.schema.json").read_text())
FILES = ("model.tflite", "frontend.tflite", "MODEL_CARD.md", "golden/0.wav")

OPTIONAL = {"align", "crops", "events", "hearing", "registered_name", "reject", "not_after", "tolerance_reason"}


def values(**changes: Any) -> dict[str, Any]:
    return {
        "schema": 2,
        "name": "r",
        "version": 1,
        "device_class": "any",
        "card": "MODEL_CARD.md",
        "labels": ["no", "yes"],
        "threshold": 0.4,
        "sample_rate": 22050,
        "clip_samples": 154350,
        "files": dict.fromkeys(FILES, SHA256),
        "golden": [{"file": "golden/0.wav", "scores": [0.25]}],
        "tolerance": 1e-3,
        "model": {"anything": None},
    } | changes


VALIDATOR = Draft202012Validator(SCHEMA)
NAN = float("nan")
FAR = {"measure": "frontend_distance", "limit": -2, "kept": 0.9, "frontend": {"means": [0, 1.5], "scales": [1, 2]}}
BEYOND_THE_SCHEMA: list[dict[str, Any]] = [
    {"golden": [{"file": "golden/0.wav", "scores": [NAN]}]},
    {"golden": [{"file": "golden/1.wav", "scores": [0.5]}]},
    {"reject": {"measure": "margin", "limit": 1, "kept": 0.9}},
    {"sample_rate": 22050.0},
    {"threshold": 10**400},
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["file", "a"]) | st.text(), inner),
    max_leaves=5,
) | st.sampled_from([1, 2, 0.5, "a", SHA256, *FILES])


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value inside a JSON value."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*way, key)
        yield from places(value[key], (*way, key))


def test_a_good_manifest_is_read_as_it_stands() -> None:
    parsed = manifest.parse(json.loads(json.dumps(values())))
    assert parsed.labels == ("no", "yes")
    assert parsed.threshold == 0.4
    assert parsed.n_outputs == 1
    assert parsed.golden == (manifest.Golden("golden/0.wav", (0.25,)),)


def test_three_labels_have_three_outputs_and_no_threshold() -> None:
    golden = [{"file": "golden/0.wav", "scores": [0.2, 0.3, 0.5]}]
    assert manifest.parse(values(labels=["a", "b", "c"], threshold=None, golden=golden)).n_outputs == 3


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"schema": 1}, "schema must be 2; got 1"),
        ({"extra": 1}, "its keys must be"),
        ({"name": ""}, "name must be text"),
        ({"version": 0}, "^manifest.json: version .*got 0"),
        ({"version": "2"}, "version must be a whole number"),
        ({"version": True}, "version must be a whole number"),
        ({"device_class": ""}, "device_class .*small letters"),
        ({"device_class": "Raspberry Pi"}, "device_class .*small letters"),
        ({"device_class": None}, "device_class .*small letters"),
        ({"labels": ["no"]}, "at least two different names"),
        ({"labels": ["no", "no"]}, "at least two different names"),
        ({"threshold": None}, "threshold .*got None"),
        ({"threshold": True}, "threshold must be a number"),
        ({"labels": ["a", "b", "c"]}, "threshold must be null"),
        ({"sample_rate": 22050.0}, "sample_rate must be a whole number"),
        ({"clip_samples": 0}, "clip_samples .*at least 1"),
        ({"align": "centre"}, "align .*got 'centre'"),
        ({"crops": 0}, "crops .*got 0"),
        ({"files": []}, "files must be an object"),
        ({"files": {"model.tflite": SHA256}}, "files must hold frontend.tflite"),
        ({"files": values()["files"] | {"model.tflite": "abc"}}, "64 hexadecimal digits"),
        ({"golden": []}, "at least one recording"),
        ({"golden": [{"file": "golden/1.wav", "scores": [0.5]}]}, "must be among files; got 'golden/1.wav'"),
        ({"golden": [{"file": "golden/0.wav", "scores": [0.5, 0.5]}]}, "golden scores must be 1 numbers"),
        ({"golden": [{"file": "golden/0.wav", "scores": [NAN]}]}, "golden scores must be 1 numbers"),
        ({"threshold": 10**400}, "threshold must be a number"),
        ({"tolerance": -1}, "tolerance .*at least 0"),
        ({"model": "m"}, "model must be an object"),
        ({"reject": {"measure": "margin", "limit": 1, "kept": 0.9}}, "reject .*measure"),
        (
            {"reject": {"measure": "distance", "limit": 1, "kept": 1}},
            "finite limit and kept",
        ),
        ({"reject": {"measure": "distance", "limit": "1", "kept": 0.9}}, "reject .*numbers as limit and kept"),
        ({"reject": FAR | {"frontend": None}}, "reject .*frontend .*means and scales"),
        ({"reject": FAR | {"measure": "distance"}}, "reject .*frontend if .*frontend_distance"),
        (
            {"reject": {"measure": "frontend_distance", "limit": -1, "kept": 0.9}},
            "reject must have frontend if measure",
        ),
        ({"reject": {"limit": 1}}, "reject .*measure, limit, kept and by"),
        ({"events": []}, "events .*hop_s, smooth, on, off, refractory_s, merge_s; got"),
        ({"events": {"on": {"yes": 0}}}, "events .*got 0.0 for yes"),
        ({"events": {"on": {"yes": 0.5}, "smooth": "median:3"}}, "events must have smooth as mean:N"),
        ({"events": {"on": {"yes": 0.5}, "merge_s": -1}}, "events .*merge_s"),
        ({"events": {"on": {"yes": 0.5}, "hop_s": "1"}}, "events .*hop_s"),
    ],
)
def test_a_broken_rule_is_told(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(RuntimeInputError, match=match):
        manifest.parse(values(**changes))
    if changes not in BEYOND_THE_SCHEMA:
        assert not VALIDATOR.is_valid(values(**changes))


@pytest.mark.parametrize("card", ["", "other.md", "../MODEL_CARD.md", None, ["MODEL_CARD.md"]])
def test_the_card_is_among_the_files(card: Any) -> None:
    with pytest.raises(RuntimeInputError, match="card must be among files"):
        manifest.parse(values(card=card))


@given(st.data())
def test_what_is_read_follows_the_schema(data: st.DataObject) -> None:
    """Alter any one value, however deep: what `parse` lets through, the schema lets through."""
    altered = copy.deepcopy(values(reject=FAR | {"scores": {"measure": "distance", "limit": 0.5}}))
    VALIDATOR.validate(altered)
    place = data.draw(st.sampled_from(list(places(altered))))
    *way, last = place
    holder = altered
    for step in way:
        holder = holder[step]
    holder[last] = data.draw(JSON)
    try:
        manifest.parse(altered)
    except RuntimeInputError:
        return
    VALIDATOR.validate(altered)


@given(
    st.text("a./\\:\n-_ manifest.json", max_size=12)
    | st.sampled_from(["manifest.sig", "manifest.json", "x/manifest.json"])
)
def test_a_path_that_is_read_stays_inside_and_follows_the_schema(path: str) -> None:
    altered = values(files=dict.fromkeys([*FILES, path], SHA256))
    try:
        manifest.parse(altered)
    except RuntimeInputError:
        return
    inside = (Path("/release") / path).resolve()
    assert inside.is_relative_to("/release")
    assert inside not in {Path("/release"), Path("/release/manifest.json"), Path("/release/manifest.sig")}
    VALIDATOR.validate(altered)


def test_the_schema_itself_is_sound() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert VALIDATOR.is_valid(values())
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"]) - OPTIONAL == set(values())


@pytest.mark.parametrize("key", sorted(values()))
def test_every_key_is_needed(key: str) -> None:
    with pytest.raises(RuntimeInputError, match="its keys must be"):
        manifest.parse({k: v for k, v in values().items() if k != key})


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "./a",
        "a\\b",
        "c:/x",
        "",
        ".",
        "manifest.json",
        "manifest.sig",
        "a/.b",
        "~/a",
        "a b",
        "a\n",
    ],
)
def test_a_path_never_leaves_the_folder(path: str) -> None:
    with pytest.raises(RuntimeInputError, match="stay in the folder"):
        manifest.parse(values(files=values()["files"] | {path: SHA256}))


def test_damage_is_found(release: Path) -> None:
    parsed = manifest.load(release)
    assert manifest.damaged_files(release, parsed) == []
    (release / "golden" / "1.wav").unlink()
    with (release / "model.tflite").open("ab") as stream:
        stream.write(b"x")
    assert manifest.damaged_files(release, parsed) == ["golden/1.wav", "model.tflite"]


def test_a_folder_without_manifest_and_one_without_json(release: Path, alter: Callable[..., None]) -> None:
    with pytest.raises(RuntimeInputError, match="Name a release's folder"):
        manifest.load(release / "golden")
    (release / "manifest.json").write_text("{")
    with pytest.raises(RuntimeInputError, match="is not JSON"):
        manifest.load(release)


def test_how_recordings_are_heard_travels_and_may_be_left_out() -> None:
    assert manifest.parse(values()).hearing == Hearing()
    rules = {"channel": "loudest", "remove_dc": True, "segment_s": 1, "hop_s": 0.5}
    assert manifest.parse(values(hearing=rules)).hearing == Hearing("loudest", remove_dc=True, segment_s=1, hop_s=0.5)
    VALIDATOR.validate(values(hearing=rules))


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"channel": "rear"}, "channel .*got 'rear'"),
        ({"volume": 11}, "hearing must hold channel, .*; got volume 11"),
        ({"remove_dc": 1}, "got remove_dc 1"),
        ({"silence_dbfs": 3}, r"silence_dbfs must be in \[-120, 0\) dB; got 3"),
        ({"segment_s": 1.0, "hop_s": 2.0}, "hop_s .*segment_s; got 2.0 of 1.0"),
        ([], "hearing must be an object"),
    ],
)
def test_a_rule_of_hearing_that_nobody_knows_is_refused(rules: Any, sentence: str) -> None:
    with pytest.raises(RuntimeInputError, match=rf"^manifest\.json: .*{sentence}.*Push the release again\.$"):
        manifest.parse(values(hearing=rules))
