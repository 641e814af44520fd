import dataclasses
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from stages.core.litert import flatbuffer
from stages.core.nn.keras import tf
from stages.core.project import plugins
from stages.core.project.errors import ModelError
from stages.features.export import export
from stages.features.params import FRONTENDS

NAMES = plugins.names(FRONTENDS)
FROM_SCRATCH = """
import hashlib, importlib, sys
from stages.features.export import export
for name in sys.argv[1:]:
    frontend = importlib.import_module(name)
    print(hashlib.sha256(export(frontend, frontend.Config())).hexdigest(), flush=True)
"""


@pytest.fixture(scope="module")
def elsewhere() -> dict[str, str]:
    """The sha256 of every front end's file, made by another process in another order."""
    names = NAMES[::-1]
    done = subprocess.run(
        [sys.executable, "-c", FROM_SCRATCH, *(f"{FRONTENDS}.{name}" for name in names)],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(names, done.stdout.split(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_file_holds_builtin_operators_on_float32_only(name: str) -> None:
    frontend = plugins.load(FRONTENDS, name, "frontend")
    content = export(frontend, frontend.Config())
    contents = flatbuffer.read(content)
    assert not any(operator.startswith(("CUSTOM", "FLEX")) for operator in contents.operators)
    assert (contents.inputs, contents.outputs) == (("float32",), ("float32",))
    assert contents.negative_zeros == 0


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_its_bytes_repeat_in_another_process(name: str, elsewhere: dict[str, str]) -> None:
    frontend = plugins.load(FRONTENDS, name, "frontend")
    assert elsewhere[name] == hashlib.sha256(export(frontend, frontend.Config())).hexdigest()


@dataclasses.dataclass(frozen=True)
class Config:
    sample_rate: int = 8000
    clip_samples: int = 16


def frontend_of(graph: Callable[["tf.Tensor"], "tf.Tensor"], shape: tuple[int, ...]) -> ModuleType:
    module = ModuleType("own")
    vars(module).update(graph=lambda _: graph, feature_shape=lambda _: shape)
    return module


def test_a_wrong_feature_shape_is_told() -> None:
    with pytest.raises(ModelError, match=r"own .*\(8, 3, 1\); got \(4, 4, 1\)"):
        export(frontend_of(lambda x: tf.reshape(x, (-1, 4, 4, 1)), (8, 3, 1)), Config())


def test_an_operator_that_litert_lacks_is_told() -> None:
    with pytest.raises(ModelError, match=r"own must .*got Digamma"):
        export(frontend_of(lambda x: tf.math.digamma(x), (16,)), Config())
