"""Params are read strictly: what is not understood is refused with its name."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.project import params
from stages.core.project.errors import ParameterError, require
from tests.messages import line_with


@dataclass(frozen=True)
class Inner:
    rate: float = 1.0


@dataclass(frozen=True)
class Everything:
    needed: int
    number: float = 0.5
    flag: bool = False
    text: str = ""
    path: Path = Path()
    perhaps: int | None = None
    choice: Literal["a", "b"] = "a"
    many: tuple[float, ...] = ()
    table: dict[str, int] = field(default_factory=dict)
    inner: Inner = Inner()
    anything: Any = None

    def __post_init__(self) -> None:
        require(self.needed >= 0, "x.needed", "be at least 0", self.needed)


def load(**values: Any) -> Everything:
    return params.load(Everything, {"needed": 1, **values}, "x")


EVERYTHINGS = st.builds(
    Everything,
    needed=st.integers(0, 10),
    number=st.floats(allow_nan=False),
    flag=st.booleans(),
    text=st.text(),
    path=st.text("abc/", min_size=1).map(Path),
    perhaps=st.none() | st.integers(),
    choice=st.sampled_from(["a", "b"]),
    many=st.lists(st.floats(allow_nan=False)).map(tuple),
    table=st.dictionaries(st.text(), st.integers()),
    inner=st.builds(Inner, rate=st.floats(allow_nan=False)),
    anything=st.none() | st.lists(st.integers()),
)


@given(EVERYTHINGS)
def test_what_a_dataclass_holds_is_loaded_back(value: Everything) -> None:
    plain = asdict(value) | {"path": value.path.as_posix(), "many": list(value.many)}
    assert params.load(Everything, plain, "x") == value


def test_absent_values_take_their_defaults_and_nothing_given_is_changed() -> None:
    values = {"needed": 1, "many": [1, 2]}
    loaded = params.load(Everything, values, "x")
    assert loaded == Everything(needed=1, many=(1.0, 2.0))
    assert all(isinstance(item, float) for item in loaded.many)
    assert values == {"needed": 1, "many": [1, 2]}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"numbr": 1}, "^x .*'numbr'.*'number'.*Known: anything, choice, "),
        ({"needed": 1.5}, "x.needed must be a whole number; got 1.5."),
        ({"needed": True}, "x.needed .*got True"),
        ({"needed": "1"}, "x.needed must be a whole number; got '1'."),
        ({"needed": None}, "x.needed .*got None"),
        ({"needed": -1}, "x.needed must be at least 0; got -1."),
        ({"number": "0.5"}, "x.number must be a number; got '0.5'."),
        ({"number": True}, "x.number must be a number; got True."),
        ({"flag": 1}, "x.flag .*got 1"),
        ({"flag": "yes"}, "x.flag .*got 'yes'"),
        ({"text": 3}, "x.text must be text; got 3."),
        ({"path": 3}, "x.path must be a path; got 3."),
        ({"perhaps": "no"}, "x.perhaps .*got 'no'"),
        ({"choice": "c"}, "x.choice must be one of a, b; got 'c'."),
        ({"many": 0.5}, r"x.many must be a list; got 0.5. Write \[0.5\]."),
        ({"many": "12"}, r"x.many must be a list; got '12'."),
        ({"many": [1, "x"]}, r"x.many\[1\] must be a number; got 'x'."),
        ({"table": [1]}, r"x.table .*got \[1\]"),
        ({"table": {"k": "v"}}, r"x.table.k must be a whole number; got 'v'."),
        ({"inner": {"rat": 1}}, "x.inner .*'rat'.*'rate'"),
        ({"inner": 3}, "x.inner .*got 3"),
    ],
)
def test_refusals(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=f"^{sentence}"):
        load(**values)


def test_a_parameter_without_default_must_be_given() -> None:
    with pytest.raises(ParameterError, match=r"^x.needed .*no default\.$"):
        params.load(Everything, {}, "x")


def test_known_suggests_only_what_is_close() -> None:
    assert line_with(params.known("mfc", ["mfcc", "log_mel"]), "mean 'mfcc'", "log_mel, mfcc")
    assert params.known("wavelets", ["mfcc", "log_mel"]) == "Known: log_mel, mfcc."


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "params.yaml").write_text(text)
    return tmp_path / "params.yaml"


def test_a_section_is_read_from_its_file(tmp_path: Path) -> None:
    path = write(tmp_path, "split: {needed: 2, number: 1e-4}\npull:\n")
    assert params.section("split", Everything, path) == Everything(needed=2, number=1e-4)  # YAML 1.1 reads a text


def test_an_absent_or_empty_section_takes_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "pull: {}\naugment:\n")
    assert params.section("augment", Inner, path) == params.section("train", Inner, path) == Inner()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("trian: {}", ".*'trian'.*'train'.*Known: augment, "),
        ("a: [1", "is not valid YAML: "),
        ("pull: {}\npull: {}", "is not valid YAML: .*duplicate"),
        ("", r"must hold sections \(pull, .*\); got None"),
        ("- 1", r"must hold sections .* got \[1\]"),
    ],
)
def test_a_file_that_holds_no_params_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ParameterError, match=f"params.yaml {sentence}"):
        params.read(write(tmp_path, text))


def test_a_missing_file_says_where_to_stand(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"params.yaml does not exist"):
        params.read(tmp_path / "params.yaml")


def test_the_committed_params_hold_every_section() -> None:
    committed = params.read(Path(__file__).parents[3] / "params.yaml")
    assert tuple(committed) == params.SECTIONS


@dataclass(frozen=True)
class Renamed:
    workers: int = params.formerly("jobs", default=1)


def test_the_old_name_of_a_parameter_works_with_one_notice(capsys: pytest.CaptureFixture[str]) -> None:
    params._notice_renamed.cache_clear()
    for _ in range(2):
        assert params.load(Renamed, {"jobs": 3}, "x") == Renamed(workers=3)
    assert line_with(capsys.readouterr().err, "notice: ", "x.jobs", "x.workers")
    assert params.load(Renamed, {"workers": 3}, "x") == Renamed(workers=3)
    assert capsys.readouterr().err == ""
    with pytest.raises(ParameterError, match=r"^x\.jobs and x\.workers .*Remove x\.jobs"):
        params.load(Renamed, {"jobs": 3, "workers": 4}, "x")


def test_an_error_names_a_renamed_parameter_by_its_new_name() -> None:
    with pytest.raises(ParameterError, match=r"^x\.workers must .*got 'many'"):
        params.load(Renamed, {"jobs": "many"}, "x")


def test_a_tilde_in_a_path_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Places:
        store: Path
        models: tuple[Path, ...] = ()
        key: Path | None = None

    monkeypatch.setenv("HOME", "/home/me")
    places = params.load(Places, {"store": "~/cells", "models": ["a", "~/b"], "key": "~/k.pem"}, "sweep")
    assert places == Places(Path("/home/me/cells"), (Path("a"), Path("/home/me/b")), Path("/home/me/k.pem"))
