"""`dvc.yaml` lists for every stage the rooms and files of ours that it is made of: no more, no fewer.

A stage is made of what its command imports, of the modules it names in a string (commands of subprocesses), and of the
plug-ins of the folders it names: of a plug-in that `params.yaml` chooses by name `deps` hold the file alone, as
`${section.parameter}`, of a list of them the folder, and what any plug-in of the folder needs besides is listed.
"""

import ast
import functools
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.core.project import params, plugins, provenance

ROOT = provenance.ROOT
PIPELINE: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
MODULES = [p.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for p in ROOT.glob("flows/**/*.py")]
REGISTRIES = {
    path.parent.relative_to(ROOT).as_posix().replace("/", ".")
    for path in ROOT.glob("stages/*/*/__init__.py")
    if path.parents[1].name != "core"
}


def command(stage: str) -> str:
    """Return the module that a stage runs."""
    module = re.fullmatch(r"python -m ([\w.]+)", PIPELINE[stage]["cmd"])
    assert module, f"{stage}.cmd must be `python -m MODULE`; got {PIPELINE[stage]['cmd']!r}"
    return runnable(module[1])


def runnable(module: str) -> str:
    return f"{module}.__main__" if provenance.source_file(module).name == "__init__.py" else module


@functools.cache
def named(module: str) -> set[str]:
    """Return the modules that a module names in strings or as a registry: the plug-ins of a folder, or a command."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(provenance.source_file(module).read_text())):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "plugins.registry":
            text = plugins.registry(ast.literal_eval(node.args[0]))
        if not isinstance(text, str) or not re.fullmatch(r"(stages|flows)(\.\w+)+", text):
            continue
        if text in REGISTRIES:
            found.update(f"{text}.{name}" for name in plugins.names(text))
        elif provenance.source_file(runnable(text)).is_file():
            found.add(runnable(text))
    return found


@functools.cache
def made_of(module: str) -> set[str]:
    """Return the files that a command is made of, except for packages that hold a docstring only."""
    seen: set[str] = set()
    waiting = {module}
    while waiting:
        fresh = {m for name in waiting for m in provenance.closure(name)} - seen
        seen |= fresh
        waiting = {m for name in fresh for m in named(name)} - seen
    paths = [provenance.source_file(m) for m in seen]
    return {p.relative_to(ROOT).as_posix() for p in paths if holds_code(p)}


@functools.cache
def holds_code(path: Path) -> bool:
    return len(ast.parse(path.read_text()).body) > 1


def listed(stage: str) -> set[str]:
    """Return the `deps` of a stage that are our source, as patterns: a parameter stands for any name."""
    deps = [re.sub(r"\$\{[\w.]+\}", "*", dep) for dep in PIPELINE[stage].get("deps", [])]
    return {dep for dep in deps if Path(dep).parts[0] in ("stages", "flows")}


def covers(pattern: str, path: str) -> bool:
    if (ROOT / pattern).is_dir():
        return Path(pattern) in Path(path).parents
    plugin = Path(path).parent.as_posix().replace("/", ".") in REGISTRIES and not Path(path).name.startswith("_")
    return pattern == path or (plugin and Path(path).match(pattern))


# `check` reads every dataclass there is, in two seconds, before anything else: to watch their source as well would only
# run it again after every edit, and what an edit breaks its own stage tells.
def test_deps_are_the_files_the_stage_is_made_of() -> None:
    advice = []
    for stage in PIPELINE.keys() - {"check"}:
        needed, given = made_of(command(stage)), listed(stage)
        missing = sorted(path for path in needed if not any(covers(pattern, path) for pattern in given))
        idle = sorted(pattern for pattern in given if not any(covers(pattern, path) for path in needed))
        advice += [f"add to dvc.yaml, stages.{stage}.deps: {', '.join(missing)}"] if missing else []
        advice += [f"remove from dvc.yaml, stages.{stage}.deps: {', '.join(idle)}"] if idle else []
    assert not advice, "\n".join(advice)


def test_an_edit_in_tracking_trains_no_network_again() -> None:
    rooms = {stage: {Path(path).parent.as_posix() for path in made_of(command(stage))} for stage in PIPELINE}
    assert {stage for stage, made in rooms.items() if "stages/core/tracking" in made} == {
        "sweep",  # whose networks are kept by keys of what the steps below are made of
        "select",
        "report",
        "push",
    }
    steps = [path for path in MODULES if path.startswith("flows.sweep.steps.")]
    assert len(steps) >= 3
    assert [step for step in steps if any(m.startswith("stages.core.tracking") for m in provenance.closure(step))] == []


def made_by(stage: str) -> set[str]:
    outs = [out for kind in ("outs", "metrics", "plots") for out in PIPELINE[stage].get(kind, [])]
    return {out if isinstance(out, str) else next(iter(out)) for out in outs}


def test_what_a_stage_reads_another_makes() -> None:
    for stage in PIPELINE:
        made = {out for other in PIPELINE if other != stage for out in made_by(other)}
        for dep in PIPELINE[stage].get("deps", []):
            if dep.startswith(("data/", "models/")):
                found = made & {dep, *map(str, Path(dep).parents)}
                assert found, f"stages.{stage}.deps has {dep}, which no stage makes"


def test_every_section_of_params_is_watched() -> None:
    watched = {name.split(".")[0] for stage in PIPELINE.values() for name in stage.get("params", [])}
    assert watched == set(params.SECTIONS)
