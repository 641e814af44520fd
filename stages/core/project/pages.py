"""HTML pages from Jinja2 templates: every value is escaped unless a template marks it as safe."""

import jinja2

SHARED = "stages.core.project"
"""Its ``templates/page.css`` is the style that all pages begin with."""


def template(package: str, name: str) -> jinja2.Template:
    """Return a template, which refuses names that it is not given.

    Parameters
    ----------
    package : str
        Package of the page, e.g. ``"stages.report"``: its ``templates/`` may include those of `SHARED`.
    name : str
        File name of the template.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader(SHARED)]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda fraction: f"{fraction:.0%}"
    return environment.get_template(name)
