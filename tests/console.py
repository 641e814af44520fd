"""The command `edac` within a test's own process."""

import pytest

from flows.cli import main


def edac(*arguments: str) -> int:
    """Return the exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main.main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code
