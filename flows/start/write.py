"""Write `params.yaml`, each choice with its reason, and the listing of the recordings."""

import csv
import io
import json
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.start.choice import Choice
from flows.start.fields import from_path
from flows.start.naming import Names
from flows.start.recipe import Recipe
from stages.core.artifacts.recordings import PART_COLUMNS, SEPARATOR
from stages.core.project import params
from stages.core.project.errors import DataError
from stages.pull.sources import folder as source

LISTING = Path("data/listing.csv")
_WIDTH = 118


def listing(names: Names) -> str:
    """Return the CSV that names every recording or part with its label and group, and split and site if there are any.

    Parameters
    ----------
    names : Names
    """
    columns = {"label": names.label.values, "group": names.group.values}
    columns |= {kind: f.values for kind, f in (("split", names.split), ("site", names.site)) if f is not None}
    if names.in_parts:
        for i, name in enumerate(PART_COLUMNS):
            columns[name] = tuple("" if item.span is None else f"{item.span[i]:.10g}" for item in names.items)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", *columns])
    for i, item in enumerate(names.items):
        writer.writerow([item.path, *(values[i] for values in columns.values())])
    return stream.getvalue()


def missing_values(names: Names) -> tuple[Choice, ...]:
    """Return the choice that folders or parts of file names called `null` or `none` are labels, as in German digits.

    Parameters
    ----------
    names : Names
    """
    words = sorted({"null", "none"} & set(names.classes)) if from_path(names.label.name) else []
    if not words:
        return ()
    reason = f"{' and '.join(words)} would stand for a missing label, and {names.label.reason} have it for one"
    kept = [value for value in source.MISSING if value not in words]
    return (Choice("pull.options.folder.missing_values", kept, reason),)


def require_readable(names: Names, root: Path) -> None:
    """Raise if `pull` would refuse the listing of these names, before anything is written.

    Parameters
    ----------
    names : Names
    root : Path
        Folder of the recordings.

    Raises
    ------
    DataError
        As `pull` would, such as for a label that stands for a missing value.
    """
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, LISTING.name)
        table.write_text(listing(names))
        try:
            missing = next((tuple(choice.value) for choice in missing_values(names)), source.MISSING)
            config = source.Config(root=str(root), csv=str(table), label_separator=SEPARATOR, missing_values=missing)
            source.recordings(config, root)
        except DataError as error:
            raise DataError(str(error).replace(str(table), f"the listing of {root}")) from None


def document(recipe: Recipe, *, root: Path, table: Path, heading: Sequence[str]) -> str:
    """Return the text of `params.yaml`.

    Parameters
    ----------
    recipe : Recipe
    root : Path
        Folder of the recordings.
    table : Path
        CSV that lists them.
    heading : sequence of str
        Comment lines at the top.
    """
    source = [
        Choice("pull.source", "folder"),
        Choice("pull.options.folder.root", str(root)),
        Choice("pull.options.folder.csv", str(table), "which recordings there are, and what is known of them"),
    ]
    choices = {choice.name: choice for choice in (*source, *recipe.choices)}
    lines = [f"# {line}" for line in heading]
    for section in params.SECTIONS:
        mine = {name: choice for name, choice in choices.items() if name.partition(".")[0] == section}
        if mine:
            lines += ["", f"{section}:", *_lines(mine, 1)]
    return "\n".join(lines) + "\n"


def _lines(choices: Mapping[str, Choice], depth: int) -> list[str]:
    lines, indent = [], "  " * depth
    keys = dict.fromkeys(name.split(".")[depth] for name in choices)
    for key in keys:
        mine = {name: choice for name, choice in choices.items() if name.split(".")[depth] == key}
        first = next(iter(mine.values()))
        if len(first.name.split(".")) > depth + 1:
            lines += [f"{indent}{key}:", *_lines(mine, depth + 1)]
        else:
            lines += _entry(indent, key, first)
    return lines


def _entry(indent: str, key: str, choice: Choice) -> list[str]:
    line = f"{indent}{'# ' * choice.proposed}{key}: {_yaml(choice.value)}"
    if not choice.reason:
        return [line]
    if len(line) + len(choice.reason) + 3 <= _WIDTH:
        return [f"{line} # {choice.reason}"]
    return [*textwrap.wrap(choice.reason, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "), line]


def _yaml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_yaml(k)}: {_yaml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, str):
        return _text(value)
    return json.dumps(value)


def _text(value: str) -> str:
    """Return a bare word, or a text in quotation marks whose letters of other alphabets can be read."""
    if value.replace("_", "a").replace("-", "a").isalnum() and _is_text(value):
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())


def _is_text(value: str) -> bool:
    """Return whether YAML reads a bare word as text."""
    return isinstance(YAML(typ="safe", pure=True).load(value), str)
