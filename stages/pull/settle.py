"""Names as a source gives them: cleaned, renamed, and similar ones stopped, merged or allowed."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from stages.core.artifacts.recordings import SEPARATOR, labels_of
from stages.core.project import names, params
from stages.core.project.errors import DataError, ParameterError
from stages.pull.listing import Listing
from stages.pull.params import KINDS, PullParams

_SHOWN = 10  # sets of similar names in a sentence
_READ: Mapping[str, Callable[[Listing], Sequence[str]]] = {
    "labels": lambda entry: labels_of(entry.label),
    "groups": lambda entry: (entry.group,),
    "sites": lambda entry: (entry.site,),
    "splits": lambda entry: (entry.fold,),
}


@dataclass(frozen=True)
class Settled:
    """Listings with names that mean what they say.

    Attributes
    ----------
    listed : list of Listing
    renamed : dict of str to dict of str to str
        Kind (`labels`, `groups`, `sites`, `splits`) to each changed name as its source gives it, and what it became.
    similar : dict of str to list of tuple of str
        Kind to the similar names that stay apart because `pull.similar_names` is `allow`.
    """

    listed: list[Listing]
    renamed: dict[str, dict[str, str]] = field(default_factory=dict)
    similar: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)


def settle(settings: PullParams, listed: Sequence[Listing], labels: Sequence[str]) -> Settled:
    """Clean and rename the labels, groups, sites and splits of all listings, and look for similar names.

    Parameters
    ----------
    settings : PullParams
        `rename` and `similar_names`.
    listed : sequence of Listing
    labels : sequence of str
        Classes in output order, if they are given; merged labels take their spelling.

    Returns
    -------
    Settled

    Raises
    ------
    ParameterError
        If `pull.rename` names what no recording has.
    DataError
        If names are similar and `pull.similar_names` is `stop`: one sentence lists them.
    """
    becomes: dict[str, dict[str, str]] = {}
    similar: dict[str, list[tuple[str, ...]]] = {}
    for kind in KINDS:
        given = Counter(name for entry in listed for name in _READ[kind](entry) if name)
        preferred = [names.clean(label) for label in labels] if kind == "labels" else []
        becomes[kind] = _renamed(settings, kind, given)
        counts = Counter(dict.fromkeys(preferred, 0))
        for name, n in given.items():
            counts[becomes[kind][name]] += n
        alike = names.similar(counts)
        if settings.similar_names == "merge":
            leaders = {name: _leader(cluster, counts, preferred) for cluster in alike for name in cluster}
            becomes[kind] = {name: leaders.get(to, to) for name, to in becomes[kind].items()}
        elif alike:
            similar[kind] = alike
    settled = [_apply(entry, becomes) for entry in listed]
    if similar and settings.similar_names == "stop":
        raise DataError(
            f"the source {settings.source!r} must spell every name in one way; similar names, with their numbers of "
            f"recordings, are {describe(similar, settled)}. Correct them, or list them in pull.rename, or set "
            "pull.similar_names: merge if they mean the same, or allow if they do not."
        )
    return Settled(
        listed=settled,
        renamed={kind: changed for kind in KINDS if (changed := {n: to for n, to in becomes[kind].items() if n != to})},
        similar=similar,
    )


def _renamed(settings: PullParams, kind: str, given: Mapping[str, int]) -> dict[str, str]:
    wanted = {names.clean(str(name)): names.clean(to) for name, to in settings.rename.get(kind, {}).items()}
    cleaned = {name: names.clean(name) for name in given}
    for name in wanted:
        if name not in cleaned.values():
            advice = params.known(name, set(cleaned.values())) if len(given) <= 100 else "Correct or remove it."
            raise ParameterError(f"pull.rename.{kind} has {name!r}, which no recording of the source has. {advice}")
    return {name: wanted.get(to, to) for name, to in cleaned.items()}


def _leader(cluster: Sequence[str], counts: Mapping[str, int], preferred: Sequence[str]) -> str:
    """Return the spelling that a set of similar names takes: one given in `labels`, else the most frequent."""
    return min(cluster, key=lambda name: (name not in preferred, -counts[name], name))


def describe(similar: Mapping[str, Sequence[tuple[str, ...]]], listed: Sequence[Listing]) -> str:
    """Return the sets of similar names with their numbers of recordings, ten of a kind at most.

    Examples
    --------
    >>> from pathlib import Path
    >>> listed = [Listing(Path("a.wav"), "dog", "anna"), Listing(Path("b.wav"), "Dog", "ben")]
    >>> describe({"labels": [("Dog", "dog")]}, listed)
    "labels 'Dog' (1) / 'dog' (1)"
    """
    kinds = []
    for kind, clusters in similar.items():
        counts = Counter(name for entry in listed for name in _READ[kind](entry))
        some = [" / ".join(f"{name!r} ({counts[name]})" for name in cluster) for cluster in clusters[:_SHOWN]]
        more = f" and {len(clusters) - _SHOWN} more" if len(clusters) > _SHOWN else ""
        kinds.append(f"{kind} {', '.join(some)}{more}")
    return "; ".join(kinds)


def _apply(entry: Listing, becomes: Mapping[str, Mapping[str, str]]) -> Listing:
    def new(kind: str, name: str) -> str:
        return becomes[kind].get(name, name)

    return dataclasses.replace(
        entry,
        label=SEPARATOR.join(dict.fromkeys(new("labels", label) for label in labels_of(entry.label))),
        group=new("groups", entry.group),
        site=new("sites", entry.site),
        fold=new("splits", entry.fold),
    )
