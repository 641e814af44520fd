"""Every example in a docstring runs, and every plug-in that a user names in `params.yaml` has one or shares one."""

import doctest
import importlib
import io
from contextlib import redirect_stdout

from stages.core.project import plugins, provenance

FILES = [path for top in ("stages", "flows") for path in sorted((provenance.ROOT / top).rglob("*.py"))]
WITH_EXAMPLES = ("stages.prune.criteria", "stages.prune.schedules", "stages.features.frontends")


def test_examples_run() -> None:
    names = [
        path.relative_to(provenance.ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in FILES
        if ">>>" in path.read_text()
    ]
    assert len(names) > 50
    failures = []
    for name in names:
        with redirect_stdout(io.StringIO()) as said:
            result = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
        if result.failed:
            failures.append((name, said.getvalue()))
    assert failures == []


def test_plug_ins_show_an_example() -> None:
    found = [f"{package}.{name}" for package in WITH_EXAMPLES for name in plugins.names(package)]
    assert [name for name in found if ">>>" not in provenance.source_file(name).read_text()] == []
