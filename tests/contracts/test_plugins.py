"""Every plug-in keeps the contract in its folder's docstring; plug-ins are found by looking, not from a list.

A contract's lines read `NAME, NAME : type` or `function(parameter, ...) -> type`, indented by four spaces.
"""

import dataclasses
import importlib
import inspect
import json
import re
import subprocess
import sys
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stages.core.project import files, params, plugins, provenance
from stages.core.project.errors import ParameterError

STAGES = provenance.ROOT / "stages"
REGISTRIES = sorted(
    ".".join(("stages", *path.parent.relative_to(STAGES).parts))
    for path in STAGES.glob("*/*/__init__.py")
    if path.parents[1].name != "core"
)
PLUGINS = [(registry, name) for registry in REGISTRIES for name in plugins.names(registry)]
CHOICES = {"stages.pull.sources.folder": {"csv": "labels.csv"}}  # where defaults alone are no choice
CONTRACT = re.compile(r"^    (?P<names>\w+(?:, \w+)*)(?:\((?P<parameters>[^)]*)\))?(?: :| ->)", re.MULTILINE)


def contract(registry: str) -> dict[str, list[str] | None]:
    """Return the names a plug-in must hold; of functions, with the names of their parameters."""
    promises: dict[str, list[str] | None] = {}
    for line in CONTRACT.finditer(importlib.import_module(registry).__doc__ or ""):
        parameters = line["parameters"]
        for name in line["names"].split(", "):
            promises[name] = None if parameters is None else parameters.split(", ")
    return promises


def required(cls: type[Any]) -> list[str]:
    unset = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(cls) if f.default is unset and f.default_factory is unset]


def example(plugin: ModuleType) -> Any:
    """Return a plug-in's configuration with its defaults, and something fitting for what has none."""
    samples: dict[Any, Any] = {Path: Path("folder"), str: "text", int: 1, float: 1.0}
    hints = typing.get_type_hints(plugin.Config)
    values = {name: samples[hints[name]] for name in required(plugin.Config)}
    return plugin.Config(**values, **CHOICES.get(plugin.__name__, {}))


@pytest.fixture(params=PLUGINS, ids=lambda plugin: ".".join(plugin).removeprefix("stages."))
def plugin(request: pytest.FixtureRequest) -> ModuleType:
    registry, name = request.param
    return plugins.load(registry, name, "test")


def test_registries_and_plugins_are_found() -> None:
    assert {"stages.pull.sources", "stages.quantize.schemes", "stages.push.transports"} <= set(REGISTRIES)
    assert ("stages.features.frontends", "mfcc") in PLUGINS
    assert not [name for _, name in PLUGINS if name.startswith("_")]


@pytest.mark.parametrize("registry", REGISTRIES)
def test_a_registry_says_what_it_asks_and_is_not_empty(registry: str) -> None:
    assert plugins.names(registry)
    promises = contract(registry)
    assert promises["Config"] is None
    assert any(parameters and parameters[0] == "config" for parameters in promises.values())


def test_the_contract_is_read_as_it_is_written() -> None:
    assert contract("stages.quantize.schemes") == {
        "Config": None,
        "BIT_WIDTH": None,
        "NEEDS_CALIBRATION": None,
        "quantize": ["config", "float32", "calibration"],
        "verify": ["config", "model"],
    }


def test_holds_what_the_contract_names(plugin: ModuleType) -> None:
    for name, parameters in contract(plugin.__name__.rpartition(".")[0]).items():
        assert hasattr(plugin, name), f"{plugin.__name__} has no {name}"
        if parameters is not None:
            taken = list(inspect.signature(getattr(plugin, name)).parameters.values())
            names = [p.name.removeprefix("_") for p in taken]  # an underscore says that this plug-in has no use for it
            assert names[: len(parameters)] == parameters
            assert all(p.default is not p.empty for p in taken[len(parameters) :])


def test_says_what_it_is(plugin: ModuleType) -> None:
    assert plugin.__doc__
    assert plugin.Config.__doc__
    assert not plugin.Config.__doc__.startswith("Config("), "Config has only the docstring a dataclass gives itself"


def test_config_is_a_frozen_dataclass(plugin: ModuleType) -> None:
    assert dataclasses.is_dataclass(plugin.Config)
    config = example(plugin)
    for field in dataclasses.fields(config):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, field.name, None)


def test_config_has_defaults_unless_only_the_user_can_know(plugin: ModuleType) -> None:
    if ".transports." in plugin.__name__ or plugin.__name__ == "stages.pull.sources.folder":
        assert required(plugin.Config)
    else:
        assert plugin.Config() == example(plugin)


def test_config_survives_params_yaml(plugin: ModuleType) -> None:
    config = example(plugin)
    plain = json.loads(files.to_json(dataclasses.asdict(config)))
    assert params.load(plugin.Config, plain, "options") == config


def test_unknown_parameter_is_refused(plugin: ModuleType) -> None:
    with pytest.raises(ParameterError, match=r"^options.x has no parameter 'no_such_parameter'\. "):
        params.load(plugin.Config, {"no_such_parameter": 1}, "options.x")


def test_choosing_a_plugin_does_not_import_tensorflow() -> None:
    modules = [f"{registry}.{name}" for registry, name in PLUGINS]
    modules += [f"stages.{path.parent.name}.params" for path in sorted(STAGES.glob("*/params.py"))]
    script = f"""
import importlib, sys
for name in {modules}:
    importlib.import_module(name)
    heavy = {{"tensorflow", "tf_keras", "mlflow", "prefect", "tensorflow_model_optimization"}} & set(sys.modules)
    assert not heavy, f"importing {{name}} imports {{heavy}}"
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=provenance.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
