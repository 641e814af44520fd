"""The model card that travels with a release, in Markdown: what the model is for, and how far it can be relied upon.

After Mitchell et al., "Model Cards for Model Reporting" (2019): intended use, data, figures pooled and apart, limits.
"""

from typing import Any

from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.frontend import Frontend
from stages.core.artifacts.selection import Selection
from stages.core.project import tables
from stages.core.scoring import interval
from stages.core.scoring.prevalence import PREVALENCES, predictive_values, rates
from stages.core.scoring.resampling import few_groups

NAME = "MODEL_CARD.md"

_USE = """\
It tells {classes} apart in recordings of {seconds:.2f} s at {rate} Hz, one channel. It is meant for research, and for
the kind of recordings that it was trained on (see Data).

**It is no medical device.** It was not made, tested or approved to diagnose, screen for or monitor any disease or
condition, and no decision about a person's health may rest on it."""

_DROP = ("drop", "drop_low", "drop_high", "drop_bound")
_LIMITS = """\
- The figures hold for recordings like those of the data set, and for no others: other microphones, rooms, people or
  sounds may do worse, and nothing tells when.
- {open_world}
- The scores are no probabilities unless the calibration error above is small.
- Where a site does much worse than another, expect the same of yours.
- A device takes this release only if it gives the golden recordings the scores they have at home, within a tolerance.
  That proves the computation, not the judgement."""


def write(selection: Selection, frontend: Frontend, *, version: int, device_class: str) -> str:
    """Return a model card; the same text for the same values.

    Parameters
    ----------
    selection : Selection
    frontend : Frontend
    version : int
        Version of the model in the registry.
    device_class : str
        Kind of device that the release is for.
    """
    variant, labels, measured = selection.variant, selection.labels, selection.measured
    rate, seconds = frontend.sample_rate, frontend.clip_s
    threshold, n_crops = selection.threshold, frontend.crops
    heard = "clip" if n_crops == 1 else f"of the {n_crops} crops over which a clip's scores are averaged"
    if isinstance(threshold, tuple):
        limits = (f"{label} from {limit:.3g}" for label, limit in zip(labels, threshold, strict=True))
        decision = f"each class on its own, from a score on: {', '.join(limits)}"
    elif threshold is None:
        decision = "the class of the highest score"
    else:
        decision = f"{labels[-1]} from a score of {threshold:g} on"
    facts = {
        "Version": version,
        "Variant": variant.name,
        "SHA-256 of model.tflite": variant.sha256,
        "Weights": f"{variant.scheme}, {variant.bit_width} bits, {variant.sparsity:.0%} pruned",
        "Model": f"{variant.raw_bytes:,} bytes",
        "Front end and model": f"{measured.release_bytes:,} bytes on a device, {measured.sent_bytes:,} to send (xz)",
        "Latency": f"{measured.latency_p50_ms:.3g} ms for one {heard}, median on one thread at home",
        "Classes": ", ".join(labels),
        "Decision": decision,
        "Scores": _calibration(selection),
        "Unknown": _unknown(selection),
        "Devices": device_class,
    }
    sections = {
        "": tables.markdown(("", ""), facts.items()),
        "Intended use": _USE.format(classes=" and ".join(labels), seconds=seconds, rate=rate),
        "Data": _data(selection),
        "How good it is": _figures(selection) + _beside(selection),
        "What an answer is worth": _answers(selection),
        "What compression costs": _drop(selection),
        "By recording site": _sites(selection),
        **({"Elsewhere": _elsewhere(selection)} if selection.elsewhere else {}),
        "Limits": _LIMITS.format(open_world=_open_world(selection)),
    }
    warning = f"**Warning**: this model is {selection.warning}\n\n" if selection.warning else ""
    parts = [f"## {title}\n\n{text}" if title else text for title, text in sections.items()]
    return f"# Model card: {tables.plain(variant.name)}\n\n{warning}" + "\n\n".join(parts) + "\n"


def _calibration(selection: Selection) -> str:
    found = selection.variant.score_calibration
    if found.reason and not found.changes_scores:
        return f"not calibrated: {found.reason}"
    return f"calibrated on {found.n} validation clips of {found.groups} groups, in the last layer's weights"


def _unknown(selection: Selection) -> str:
    rule = selection.rejection.rule
    if rule is None:
        return f"never said: {selection.rejection.reason}"
    whose = "a clip of a new group" if rule.by == "group" else "a clip of the groups of validation, not of new ones,"
    return f"said of a clip where {rule.condition()}; {whose} is kept with a probability of at least {rule.kept:g}"


def _open_world(selection: Selection) -> str:
    if selection.rejection.rule is None:
        return "Every recording gets a label, whether or not it holds a sound of any of these classes."
    return "A sound of no class may still get a label: nothing is promised of sounds that validation did not hold."


def _data(selection: Selection) -> str:
    data, teacher = selection.data, selection.variant.teacher
    facts = {
        "Source": data.source,
        "Citation": data.citation,
        "Licence": data.licence,
        "Homepage": data.homepage or "none",
        "Recordings": f"{data.usable} usable of {data.found} found",
        "Groups (speakers, or whatever must not be split)": data.groups,
        **{f"Recordings of class {label}": counts.usable for label, counts in sorted(data.labels.items())},
        **({"Teacher": teacher.kind, "Its licence": teacher.licence or "not stated"} if teacher else {}),
    }
    return tables.markdown(("", ""), facts.items())


def _figures(selection: Selection) -> str:
    heads = ("Validation (chose the model)", "Test (chose nothing)")
    splits = selection.splits.values()
    rows = [
        (metric.replace("_", " "), *(_interval(split.pooled[metric]) for split in splits))
        for metric in sorted(selection.test.pooled)
    ]
    counts: list[tuple[Any, ...]] = [
        (f"n {what}", *(getattr(split, key) for split in splits))
        for what, key in (("recordings", "n"), ("groups", "groups"))
    ]
    text = "Estimate and, in brackets, its interval over groups.\n\n" + tables.markdown(("", *heads), [*counts, *rows])
    error = selection.test.pooled.get("calibration_error")
    if error is not None and error.observed is not None and error.null is not None:
        text += (
            f"\n\nThe calibration error is without what chance puts there: on test {error.observed:.3f} was observed, "
            f"and a perfectly calibrated classifier would show {error.null:.3f}."
        )
    warnings = [
        f"{name.capitalize()}: {few}" for name, split in selection.splits.items() if (few := few_groups(split.groups))
    ]
    return text + "".join(f"\n\n**{warning}**" for warning in warnings)


def _answers(selection: Selection) -> str:
    """Say what an answer is worth where the positive class is rarer or more frequent than on the test split."""
    test = selection.test
    accuracy, f1 = (test.pooled[name].value if name in test.pooled else None for name in ("accuracy", "f1"))
    if test.positives is None or accuracy is None or f1 is None:
        return "The task is not binary, or the test split does not hold both classes."
    here = test.positives / test.n
    sensitivity, specificity = rates(n=test.n, positives=test.positives, accuracy=accuracy, f1=f1)
    rows = [
        (f"{prevalence:.1%}{' (test split)' if prevalence == here else ''}", *map(_number, values))
        for prevalence in sorted({*PREVALENCES, here})
        for values in [predictive_values(sensitivity, specificity, prevalence)]
    ]
    label = selection.labels[-1]
    return (
        f"On the test split {here:.1%} of the recordings are {label}, of which {sensitivity:.1%} are found; of the "
        f"others {specificity:.1%} are recognised as such. An answer is worth less where {label} is rare:\n\n"
        + tables.markdown(
            (f"share of {label}", f"{label} answers that are right", "other answers that are right"), rows
        )
        + f"\n\nIf training weighted the classes (`train.class_weights`), a score is the probability among as many "
        f"{label} recordings as others; where their share is p, multiply the odds of a score by p / (1 - p)."
    )


def _beside(selection: Selection) -> str:
    """Return the table of network, compressed network, naive reference and chance, if there is one."""
    standing = selection.standing
    if standing is None:
        return ""
    mine = {name: split.pooled[standing.metric] for name, split in selection.splits.items()}
    rows = [
        (title, *(_interval(found[name]) for name in selection.splits))
        for title, found in (
            ("float32 network", standing.network),
            ("this variant", mine),
            (f"naive: {standing.classifier} on pooled spectra", standing.naive),
        )
    ]
    rows.append(("chance", *(f"{standing.chance[name]:.3f}" for name in selection.splits)))
    head = (standing.metric.replace("_", " "), *(name.capitalize() for name in selection.splits))
    return "\n\nBeside it:\n\n" + tables.markdown(head, rows)


def _drop(selection: Selection) -> str:
    n, rule = selection.n_variants, selection.rule
    metric, sure = rule.metric.replace("_", " "), f"{rule.confidence:.0%}"
    drops = (("validation", selection.drop.validation), ("test", selection.drop.test))
    rows = [(name, *(_number(getattr(drop, column)) for column in _DROP)) for name, drop in drops]
    return (
        f"The {metric} of the float32 baseline minus this variant's, on the same clips: above zero is worse. "
        f"This is one of {n} variants that were looked at on validation; the bound there holds for all {n} at once, "
        f"with {sure} confidence. The test split chose nothing, and its row is of this variant alone.\n\n"
        + tables.markdown(("", "drop", f"{sure} from", "to", "bound"), rows)
        + f"\n\nWhy this one: {tables.plain(selection.reason)}."
    )


def _sites(selection: Selection) -> str:
    sites = selection.test.sites
    if not sites:
        return "The data set does not say where a recording was made."
    metrics = sorted(selection.test.pooled)
    rows = [
        (site, found.n, found.groups, *(_interval(found.metrics[metric]) for metric in metrics))
        for site, found in sorted(sites.items())
    ]
    return "On the test split.\n\n" + tables.markdown(
        ("site", "n", "groups", *(m.replace("_", " ") for m in metrics)), rows
    )


def _elsewhere(selection: Selection) -> str:
    found = selection.elsewhere
    metric = next(iter(found.values())).metric
    rows = [
        (place, each.n, each.groups, *map(_interval, (each.figures[metric], each.drop, each.excess)))
        for place, each in sorted(found.items())
    ]
    name = metric.replace("_", " ")
    heads = ("place", "n", "groups", f"{name} there", "test split minus that", "compression costs more there by")
    return (
        "Recordings from other places, which took no part in training or in any choice, decided by the same "
        "threshold.\n\n" + tables.markdown(heads, rows)
    )


def _number(value: float | None) -> str:
    return interval.number(value, undefined="undefined")


def _interval(estimate: Estimate) -> str:
    return interval.text_or_reason(estimate, undefined="undefined")
