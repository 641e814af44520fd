"""Similar labels, groups, splits and sites: those at which `pull` stops, with the parameter that settles it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from flows.start.choice import Choice
from flows.start.fields import Field
from flows.start.guess import EACH_FILE
from flows.start.naming import Names
from stages.pull.listing import Listing
from stages.pull.params import PullParams
from stages.pull.settle import describe, settle

How = Literal["merge", "allow"]
PARAMETER = "pull.similar_names"


@dataclass(frozen=True)
class Settling:
    """Names as `pull` will have them.

    Attributes
    ----------
    names : Names
        Cleaned, and merged if that was asked for.
    choices : tuple of Choice
        `pull.similar_names`, if there are similar names.
    note : str
        What the user has to decide; empty if nothing.
    """

    names: Names
    choices: tuple[Choice, ...] = ()
    note: str = ""


def settled(names: Names, how: How | None) -> Settling:
    """Clean names by the rules of `pull`, and say which are similar.

    Names of files that are each a group of their own may be similar: they are allowed, as files differ whatever they
    are called.

    Parameters
    ----------
    names : Names
    how : {"merge", "allow"} or None
        What the user wants to become of similar names; None proposes both in a comment, and `pull` stops.

    Returns
    -------
    Settling
    """
    listed = _listed(names)
    apart = settle(PullParams(source="folder", similar_names="allow"), listed, ())
    if not apart.similar:
        return Settling(_with(names, apart.listed))
    found = describe(apart.similar, apart.listed)
    if how == "merge":
        merged = settle(PullParams(source="folder", similar_names="merge"), listed, ())
        return Settling(_with(names, merged.listed), (Choice(PARAMETER, how, f"as asked for: {found}"),))
    names = _with(names, apart.listed)
    if how == "allow":
        return Settling(names, (Choice(PARAMETER, how, f"as asked for: {found}"),))
    if names.group.name == EACH_FILE and set(apart.similar) == {"groups"}:
        return Settling(names, (Choice(PARAMETER, "allow", "each file is a group, whatever it is called"),))
    proposal = f"or allow, or correct the names; without it `dvc repro` stops at {found}"
    note = (
        f"similar names, with their numbers of recordings: {found}. Correct them, or add --similar-names merge if they "
        f"mean the same, or allow if they do not ({PARAMETER} in params.yaml); `dvc repro` stops until then"
    )
    return Settling(names, (Choice(PARAMETER, "merge", proposal, proposed=True),), note)


def _listed(names: Names) -> list[Listing]:
    def of(found: Field | None) -> tuple[str, ...]:
        return found.values if found is not None else ("",) * len(names.items)

    rows = zip(names.items, names.label.values, names.group.values, of(names.site), of(names.split), strict=True)
    return [
        Listing(
            Path(item.path),
            label,
            group,
            site,
            fold,
            start_s=item.span and item.span[0],
            end_s=item.span and item.span[1],
        )
        for item, label, group, site, fold in rows
    ]


def _with(names: Names, listed: list[Listing]) -> Names:
    values: Mapping[str, tuple[str, ...]] = {
        "label": tuple(entry.label for entry in listed),
        "group": tuple(entry.group for entry in listed),
        "site": tuple(entry.site for entry in listed),
        "split": tuple(entry.fold for entry in listed),
    }
    return replace(
        names,
        label=replace(names.label, values=values["label"]),
        group=replace(names.group, values=values["group"]),
        site=names.site and replace(names.site, values=values["site"]),
        split=names.split and replace(names.split, values=values["split"]),
    )
