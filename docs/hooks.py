"""MkDocs hooks: the reference pages that are generated from the code, so that they cannot go stale.

`reference/parameters.md` is made of the dataclasses that read `params.yaml`, `reference/plugins.md` of the contracts in
the docstrings of the plug-in folders.
"""

import dataclasses
import importlib
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from numpydoc.docscrape import ClassDoc

from stages.core.project import params, plugins

STAGES = Path(params.__file__).parents[2]
SECTION_MODULES = {"sweep": "flows.sweep.params"}
REGISTRIES = [
    f"stages.{path.parent.parent.name}.{path.parent.name}"
    for path in sorted(STAGES.glob("*/*/__init__.py"))
    if path.parents[1].name != "core" and "Config" in path.read_text()
]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    for name, text in {"parameters": parameters_page(), "plugins": plugins_page()}.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def parameters_page() -> str:
    """Return the page that lists every parameter of `params.yaml`, in Markdown."""
    parts = [
        "# Every parameter",
        "`params.yaml` has one section for each stage. It is read strictly: an unknown name, a wrong type or a value "
        "out of range stops the pipeline before any work, in one sentence. A parameter that is left out takes its "
        "default. The options of a plug-in stand under `options`, below the plug-in's name.",
    ]
    for section in params.SECTIONS:
        module = importlib.import_module(SECTION_MODULES.get(section, f"stages.{section}.params"))
        cls = getattr(module, _class_name(section, module))
        parts += [f"## {section}", _text(cls), _table(cls)]
        for registry in (r for r in REGISTRIES if _owner(r) == section):
            for name in plugins.names(registry):
                config = importlib.import_module(f"{registry}.{name}").Config
                if dataclasses.fields(config):
                    parts += [f"### {section}.options.{name}", _text(config), _table(config)]
    return "\n\n".join(filter(None, parts)) + "\n"


def plugins_page() -> str:
    """Return the page that shows what each plug-in folder asks of a file in it, in Markdown."""
    parts = ["# Plug-in contracts", "A folder is a registry: a plug-in is one new file in it. These are the contracts."]
    for registry in REGISTRIES:
        document = (importlib.import_module(registry).__doc__ or "").strip()
        known = ", ".join(f"`{name}`" for name in plugins.names(registry))
        parts += [f"## {registry.replace('.', '/')}/", f"```text\n{document}\n```", f"Known: {known}."]
    return "\n\n".join(parts) + "\n"


def _owner(registry: str) -> str:
    """Return the section of `params.yaml` that holds the options of a registry's plug-ins."""
    return registry.split(".")[1]


def _class_name(section: str, module: types.ModuleType) -> str:
    known = {name.lower(): name for name in vars(module)}
    return known.get(f"{section}params") or known[f"{section.removesuffix('s')}params"]


def _text(cls: type[Any]) -> str:
    document = ClassDoc(cls)
    return "\n\n".join("\n".join(part) for part in (document["Summary"], document["Extended Summary"]) if part)


def _table(cls: type[Any]) -> str:
    rows = ["| parameter | type | default | meaning |", "| --- | --- | --- | --- |"]
    rows += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in _rows(cls, "")]
    return "\n".join(rows)


def _rows(cls: type[Any], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    meanings: dict[str, str] = {}
    for attribute in ClassDoc(cls)["Attributes"]:
        for name in attribute.name.split(", "):
            meanings[name] = " ".join(attribute.desc)
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        nested = hints[field.name] if dataclasses.is_dataclass(hints[field.name]) else None
        if nested:
            yield from _rows(typing.cast(type[Any], nested), f"{prefix}{field.name}.")
        else:
            yield f"`{prefix}{field.name}`", _type(hints[field.name]), _default(field), meanings.get(field.name, "")


def _type(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(f"`{value}`" for value in typing.get_args(hint))
    text = str(hint) if typing.get_args(hint) else getattr(hint, "__name__", str(hint))
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text).replace("NoneType", "null").replace("| None", "or null")


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"`{_yaml(field.default)}`"
    if field.default_factory is not dataclasses.MISSING:
        return f"`{_yaml(field.default_factory())}`"
    return "must be given"


def _yaml(value: Any) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_yaml, value))}]"
    return str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
