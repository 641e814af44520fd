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


@pytest.fixture(scope="module")
def modules() -> list[ModuleType]:
    return [plugins.load(registry, name, "test") for registry, name in PLUGINS]


def missing(plugin: ModuleType) -> list[str]:
    """Return what a plug-in lacks of its folder's contract, one sentence each."""
    lacks = []
    for name, parameters in contract(plugin.__name__.rpartition(".")[0]).items():
        if not hasattr(plugin, name):
            lacks.append(f"{plugin.__name__} has no {name}")
        elif parameters is not None:
            taken = list(inspect.signature(getattr(plugin, name)).parameters.values())
            names = [p.name.removeprefix("_") for p in taken]  # an underscore says that this plug-in has no use for it
            if names[: len(parameters)] != parameters:
                lacks.append(f"{plugin.__name__}.{name} takes {names}, not {parameters}")
            if any(p.default is p.empty for p in taken[len(parameters) :]):
                lacks.append(f"{plugin.__name__}.{name} asks for more than {parameters}")
    return lacks


def test_registries_and_plugins_are_found() -> None:
    assert {"stages.pull.sources", "stages.quantize.schemes", "stages.push.transports"} <= set(REGISTRIES)
    assert ("stages.features.frontends", "mfcc") in PLUGINS
    assert not [name for _, name in PLUGINS if name.startswith("_")]


def test_a_registry_says_what_it_asks_and_is_not_empty() -> None:
    assert [registry for registry in REGISTRIES if not plugins.names(registry)] == []
    promises = {registry: contract(registry) for registry in REGISTRIES}
    assert [registry for registry in REGISTRIES if promises[registry].get("Config", []) is not None] == []
    asked = {registry: [p[0] for p in promises[registry].values() if p] for registry in REGISTRIES}
    assert [registry for registry in REGISTRIES if "config" not in asked[registry]] == []


def test_the_contract_is_read_as_it_is_written() -> None:
    assert contract("stages.quantize.schemes") == {
        "Config": None,
        "BIT_WIDTH": None,
        "NEEDS_CALIBRATION": None,
        "quantize": ["config", "float32", "calibration"],
        "verify": ["config", "model"],
    }


def test_holds_what_the_contract_names(modules: list[ModuleType]) -> None:
    assert [sentence for plugin in modules for sentence in missing(plugin)] == []


def test_what_a_plugin_lacks_is_seen() -> None:
    empty, other = ModuleType("stages.quantize.schemes.empty"), ModuleType("stages.quantize.schemes.other")
    assert missing(empty)[0] == "stages.quantize.schemes.empty has no Config"
    vars(other).update(Config=None, BIT_WIDTH=8, NEEDS_CALIBRATION=False)
    exec("def quantize(config, model, clips, more): ...\ndef verify(config, model, more): ...", vars(other))
    assert [sentence.split()[1] for sentence in missing(other)] == ["takes", "asks", "asks"]


def test_says_what_it_is(modules: list[ModuleType]) -> None:
    assert [plugin.__name__ for plugin in modules if not plugin.__doc__] == []
    own = "Config("  # the docstring that a dataclass gives itself
    assert [p.__name__ for p in modules if not p.Config.__doc__ or p.Config.__doc__.startswith(own)] == []


def test_config_is_a_frozen_dataclass(modules: list[ModuleType]) -> None:
    assert [p.__name__ for p in modules if not dataclasses.is_dataclass(p.Config)] == []
    assert [p.__name__ for p in modules if not p.Config.__dataclass_params__.frozen] == []


def test_config_has_defaults_unless_only_the_user_can_know(modules: list[ModuleType]) -> None:
    asking = {p.__name__ for p in modules if required(p.Config)}
    transports = {p.__name__ for p in modules if ".transports." in p.__name__}
    assert asking == transports | {"stages.pull.sources.folder"}


def test_config_survives_params_yaml(modules: list[ModuleType]) -> None:
    for plugin in modules:
        config = example(plugin)
        plain = json.loads(files.to_json(dataclasses.asdict(config)))
        at_home = {name: value.expanduser() for name, value in vars(config).items() if isinstance(value, Path)}
        expected = dataclasses.replace(config, **at_home)
        assert params.load(plugin.Config, plain, "options") == expected, plugin.__name__


def test_unknown_parameter_is_refused(modules: list[ModuleType]) -> None:
    for plugin in modules:
        with pytest.raises(ParameterError, match=r"^options.x has no parameter 'no_such_parameter'\. "):
            params.load(plugin.Config, {"no_such_parameter": 1}, "options.x")


@pytest.mark.thorough
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
