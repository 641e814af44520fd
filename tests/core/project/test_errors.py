"""Mistakes are told in one sentence and one exit code; bugs keep their traceback."""

import pytest

from stages.core.project import errors
from stages.core.project.errors import DataError, DeviceError, EdacError, ModelError, ParameterError


def test_require_speaks_in_the_houses_shape() -> None:
    with pytest.raises(ParameterError) as caught:
        errors.require(False, "sweep.sparsities[0]", "be a fraction in [0, 1)", 80, "Write 0.8 for 80 %.")
    assert str(caught.value) == "sweep.sparsities[0] must be a fraction in [0, 1); got 80. Write 0.8 for 80 %."


def test_require_without_advice_ends_after_the_value() -> None:
    with pytest.raises(ParameterError, match=r"^a must be text; got None\.$"):
        errors.require(False, "a", "be text", None)


def test_require_lets_pass_what_holds() -> None:
    errors.require(True, "a", "be text", None)


@pytest.mark.parametrize("kind", [EdacError, ParameterError, DataError, ModelError, DeviceError])
def test_a_mistake_is_one_line_and_exit_code_1(kind: type[EdacError], capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise kind("x.wav is missing.")

    with pytest.raises(SystemExit) as ended:
        errors.run(main)
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "error: x.wav is missing.\n")


def test_an_interruption_says_that_it_can_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        errors.run(main)
    assert ended.value.code == 130
    assert "run the same command again" in capsys.readouterr().err


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_the_exit_code_is_what_main_returns(returned: int | None, code: int) -> None:
    with pytest.raises(SystemExit) as ended:
        errors.run(lambda: returned)
    assert ended.value.code == code


def test_a_bug_is_not_hidden() -> None:
    def main() -> None:
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours"):
        errors.run(main)
