"""Imports go down, and the walls hold: the laws of the layout, read from the source of every module.

runtime < core < plug-in files < a stage's logic < its `__main__` < flows < the console command.
"""

import ast
import functools
import re
import sys

import pytest

from stages.core.project import provenance

LAYERS = ("runtime", "core", "plug-in", "logic", "__main__", "flow", "console")

# Third-party package to the modules, or packages of modules, that may import it.
WALLS = {
    "mlflow": {"stages.core.tracking"},
    "prefect": {"flows"},
    "tensorflow": {
        "stages.core.nn.keras",
        "stages.core.litert.convert",
    },  # the latter for an exception nobody re-exports
    "tf_keras": {"stages.core.nn.keras"},
    "keras": set[str](),
    "tensorflow_model_optimization": {"stages.prune.schedules"},
    "librosa": set[str](),
    "asyncssh": {"stages.push.transports.ssh", "stages.push.transports._connection"},
    "paramiko": {"stages.push.transports.ssh"},
    "fabric": {"stages.push.transports.ssh"},
    "cryptography": {"stages.push.signing", "stages.runtime.keys"},
    "safetensors": {"stages.core.nn.wav2vec2"},
    "torch": {"stages.distill.teachers.wav2vec2", "stages.distill.teachers._wav2vec2"},
    "transformers": {"stages.distill.teachers.wav2vec2", "stages.distill.teachers._wav2vec2"},
}
RUNTIME_MAY_IMPORT = {"numpy", "ai_edge_litert", "stages", *sys.stdlib_module_names}
RUNTIME_MAY_TRY = {"stages.runtime.keys": {"cryptography"}, "stages.runtime.chunks": {"sounddevice"}}


FILES = [p for top in ("stages", "flows") for p in (provenance.ROOT / top).rglob("*.py")]
NAMES = {p: p.relative_to(provenance.ROOT).with_suffix("").as_posix().replace("/", ".") for p in FILES}
PACKAGES = sorted(name.removesuffix(".__init__") for p, name in NAMES.items() if p.name == "__init__.py")
MODULES = sorted(name for p, name in NAMES.items() if p.name != "__init__.py")


def layer(module: str) -> str:
    parts = module.split(".")
    if module == "stages":
        return "runtime"
    if module.startswith("flows.cli"):
        return "console"
    if parts[0] == "flows":
        return "flow"
    if parts[1] in ("runtime", "core"):
        return parts[1]
    if parts[-1] == "__main__":
        return "__main__"
    return "plug-in" if len(parts) > 3 else "logic"


def knows_plugins(module: str) -> bool:
    """Whether a module of a stage loads plug-ins, so that no plug-in may lean on it."""
    return "stages.core.project.plugins" in provenance.closure(module)


def forbidden(module: str, imported: str) -> str | None:
    """Return why `module` must not import `imported`, both of this project; None if it may."""
    below, above = layer(imported), layer(module)
    if above == "console":
        return None
    if above == "flow":
        return "nothing imports the console command" if below == "console" else None
    if above == "plug-in" and below == "logic" and not knows_plugins(imported):
        pass  # a helper of its stage that the plug-ins share
    elif LAYERS.index(below) > LAYERS.index(above):
        return f"{above} must not import {below}"
    if below in ("runtime", "core"):
        return None
    if imported.split(".")[1] != module.split(".")[1]:
        return "a stage must not import another stage"
    if below == "plug-in" and above != "plug-in":
        return "plug-ins are loaded by name, through stages.core.project.plugins"
    return None


@functools.cache
def third_party(module: str) -> frozenset[str]:
    """Return the top-level names of everything a module imports when it runs, anywhere in its source."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(provenance.source_file(module).read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import; write the whole name"
            found.add(node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("lazy.module", "lazy.LazyModule"):
            found.add(ast.literal_eval(node.args[0]))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting.extend(node.orelse)
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return frozenset(name.split(".")[0] for name in found)


def is_behind(module: str, wall: set[str]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in wall)


def test_imports_go_down() -> None:
    pairs = [(module, imported) for module in MODULES for imported in provenance.imports(module)]
    assert [f"{m} imports {i}: {reason}" for m, i in pairs if (reason := forbidden(m, i))] == []


def test_runtime_and_core_name_no_module_of_a_stage_in_a_string() -> None:
    stages = {module.split(".")[1] for module in MODULES if layer(module) in ("logic", "plug-in")}
    named = re.compile(rf"^stages\.({'|'.join(sorted(stages))})\b[\w.]*$")
    found = [
        (module, node.value)
        for module in MODULES
        if layer(module) in ("runtime", "core")
        for node in ast.walk(ast.parse(provenance.source_file(module).read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and named.match(node.value)
    ]
    assert found == []


def test_walls() -> None:
    used = [(module, package) for module in (*PACKAGES, *MODULES) for package in third_party(module) & set(WALLS)]
    assert [f"{m} imports {package}" for m, package in used if not is_behind(m, WALLS[package])] == []


def test_a_device_needs_numpy_and_litert_alone() -> None:
    runtime = [m for m in MODULES if m.startswith("stages.runtime")]
    needs = {m: third_party(m) - RUNTIME_MAY_IMPORT - RUNTIME_MAY_TRY.get(m, set()) for m in runtime}
    assert {module: packages for module, packages in needs.items() if packages} == {}


def test_only_commands_know_where_things_lie() -> None:
    layout = "stages.core.project.layout"
    knowing = [m for m in MODULES if m != layout and layout in provenance.imports(m)]
    assert [m for m in knowing if layer(m) not in ("__main__", "flow", "console")] == []


def test_a_params_section_is_read_without_its_stage() -> None:
    below = ("stages.core.", "stages.runtime.")
    sections = [m for m in MODULES if m.startswith("stages.") and m.endswith(".params")]
    assert [(m, i) for m in sections for i in provenance.imports(m) if not i.startswith(below)] == []


def test_packages_hold_a_docstring_and_import_nothing_of_ours() -> None:
    trees = {module: ast.parse(provenance.source_file(module).read_text()) for module in PACKAGES}
    assert [module for module, tree in trees.items() if not ast.get_docstring(tree)] == []
    assert [module for module in PACKAGES if provenance.imports(module)] == []
    assert [module for module, tree in trees.items() if module.startswith("stages") and len(tree.body) > 1] == []


def test_a_stages_command_fits_on_a_screen_and_prints_errors_as_a_sentence() -> None:
    sources = {m: provenance.source_file(m).read_text() for m in MODULES if layer(m) == "__main__"}
    assert [module for module, source in sources.items() if len(source.splitlines()) > 60] == []
    end = '\n\nif __name__ == "__main__":\n    errors.run(main)\n'
    assert [module for module, source in sources.items() if not source.endswith(end)] == []


@pytest.mark.parametrize(
    ("module", "imported", "reason"),
    [
        ("stages.runtime.litert", "stages.core.project.files", "runtime must not import core"),
        ("stages.core.project.files", "stages.split.stage", "core must not import logic"),
        ("stages.split.stage", "stages.split.__main__", "logic must not import __main__"),
        ("stages.split.stage", "stages.pull.listing", "a stage must not import another stage"),
        ("stages.prune.finetune", "stages.train.stage", "a stage must not import another stage"),
        ("stages.push.rollout", "flows.sweep.run", "logic must not import flow"),
        ("stages.push.rollout", "stages.push.transports.local", "plug-ins are loaded by name"),
        ("stages.features.frontends.mfcc", "stages.features.params", "plug-in must not import logic"),
        ("flows.sweep.run", "flows.cli.main", "nothing imports the console"),
    ],
)
def test_the_law_forbids(module: str, imported: str, reason: str) -> None:
    assert reason in (forbidden(module, imported) or "nothing")


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("stages.core.audio.decode", "stages.runtime.audio"),
        ("stages.push.bundle", "stages.runtime.litert"),
        ("stages.features.frontends.mfcc", "stages.features.spectral"),
        ("flows.sweep.run", "stages.prune.finetune"),
        ("flows.cli.main", "flows.sweep.run"),
    ],
)
def test_the_law_allows(module: str, imported: str) -> None:
    assert forbidden(module, imported) is None


def test_imports_are_seen_wherever_they_stand() -> None:
    assert {"tensorflow", "tf_keras"} <= third_party("stages.core.nn.keras")
    assert "mlflow" in third_party("stages.core.tracking.connection")
    assert "prefect" in third_party("flows.sweep.params")  # inside a function


def test_only_what_is_not_ours_is_imported_on_first_use() -> None:
    """What this project is made of is read from its import statements: `dvc.yaml`, the keys of cells, the layers."""
    used = {module: third_party(module) for module in MODULES}
    calls = [
        (module, ast.literal_eval(node.args[0]))
        for module in MODULES
        for node in ast.walk(ast.parse(provenance.source_file(module).read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy.module"
    ]
    assert [(module, name) for module, name in calls if name.split(".")[0] in ("stages", "flows")] == []
    assert all(name.split(".")[0] in used[module] for module, name in calls)


def test_every_file_was_looked_at() -> None:
    assert {
        "stages.runtime.litert",
        "stages.core.project.params",
        "stages.pull.sources.demo",
        "flows.sweep.run",
    } <= set(MODULES)
