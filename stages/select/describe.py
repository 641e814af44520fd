"""Describe a registered version: Markdown for people, tags to search and to compare by."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.frontend import Frontend
from stages.core.artifacts.selection import Selection, Standing
from stages.core.artifacts.split import SplitName
from stages.core.artifacts.variant import Variant
from stages.core.scoring import interval

if TYPE_CHECKING:
    from stages.core.tracking.records import Version

COLUMNS = ("version", "aliases", "variant", "sparsity", "bits", "bytes", "deflated", "on validation", "latency")
NOTICE = (
    "**No medical device**: not made, tested or approved to diagnose, screen for or monitor any disease or condition."
)


def description(selection: Selection, frontend: Frontend) -> str:
    """Describe a version in Markdown: what it is, the data behind it and how good it is.

    Parameters
    ----------
    selection : Selection
    frontend : Frontend
    """
    variant, data, measured, teacher = selection.variant, selection.data, selection.measured, selection.variant.teacher
    sizes = (
        f"{measured.raw_bytes:,} bytes; with its front end {measured.release_bytes:,}, {measured.sent_bytes:,} to send"
    )
    lines = [
        f"`{variant.name}`: classifies {', '.join(selection.labels)} in {frontend.clip_s:.2f} s at "
        f"{frontend.sample_rate} Hz; {variant.sparsity:.0%} pruned, {variant.scheme} ({variant.bit_width} "
        "bits).",
        f"- Data: {data.source}, {data.usable} recordings of {data.groups} groups; {data.licence}.",
        *([f"- Teacher: {teacher.kind}; licence: {teacher.licence or 'not stated'}."] if teacher else []),
        *(f"- {name.capitalize()}: {_figure(selection, name)}." for name in selection.splits),
        *([f"- **Warning**: {selection.warning}"] if selection.warning else []),
        *([f"- Beside it on test: {_beside(selection.standing)}."] if selection.standing else []),
        f"- Size: {sizes}. Latency: {measured.latency_p50_ms:.3g} ms, median on one thread at home.",
        f"- Chosen on validation among {selection.n_variants} variants, so that its figure there is optimistically "
        "biased; the test figure decided nothing, but is one of as many that could have been read.",
        f"- Why: {selection.reason}.",
        f"- {NOTICE}",
    ]
    return lines[0] + "\n\n" + "\n".join(lines[1:]) + "\n"


def headlines(selection: Selection, float32: Variant) -> dict[str, float | None]:
    """Return the ten figures that `dvc metrics show` prints, at most: quality with its references, size and latency.

    Parameters
    ----------
    selection : Selection
    float32 : Variant
        The float32 baseline.
    """
    metric, standing, measured = selection.rule.metric, selection.standing, selection.measured
    test = selection.test.pooled[metric]
    found = {
        f"validation_{metric}": selection.validation.pooled[metric].value,
        f"test_{metric}": test.value,
        f"test_{metric}_low": test.low,
        f"test_{metric}_high": test.high,
        f"test_{metric}_float32": float32.metrics["test"].pooled[metric].value,
    }
    if standing is not None:
        found |= {
            f"test_{metric}_naive": standing.naive["test"].value,
            f"test_{metric}_chance": standing.chance["test"],
        }
    return found | {name: getattr(measured, name) for name in ("raw_bytes", "deflated_bytes", "latency_p50_ms")}


def _beside(standing: Standing) -> str:
    """Return the test figures of the float32 network, the naive reference and chance."""
    network, naive = (interval.text(found["test"]) for found in (standing.network, standing.naive))
    chance = interval.number(standing.chance["test"])
    return f"float32 network {network}; {standing.classifier} on pooled spectra {naive}; chance {chance}"


def tags(selection: Selection) -> dict[str, object]:
    """Return a version's tags: sparsity, bit-width, bytes, latency, the metric with its interval.

    Undefined figures are left out.
    """
    metric, threshold = selection.rule.metric, selection.threshold
    shown = ("name", "criterion", "scheme", "bit_width", "schedule", "sparsity", "measured_sparsity")
    found: dict[str, object] = {name: getattr(selection.variant, name) for name in shown}
    found |= asdict(selection.measured)
    found |= {
        "labels": ",".join(selection.labels),
        "threshold": list(threshold) if isinstance(threshold, tuple) else threshold,
        "metric": metric,
        "selected_by": f"validation {metric}",
        "n_variants": selection.n_variants,
    }
    for name, split in selection.splits.items():
        estimate = split.pooled[metric]
        found |= {f"{name}.{metric}": estimate.value, f"{name}.{metric}.low": estimate.low}
        found |= {f"{name}.{metric}.high": estimate.high}
    return {name: value for name, value in found.items() if value is not None}


def row(version: "Version") -> tuple[str, ...]:
    """Return a version's line of `edac models`, under `COLUMNS`."""
    tags = version.tags

    def bytes_of(kind: str) -> str:
        return f"{int(tags[kind]):,}" if kind in tags else ""

    metric = tags.get("metric", "")
    value, low, high = (tags.get(f"validation.{metric}{end}") for end in ("", ".low", ".high"))
    number, lowest, highest = (float(end) if end else None for end in (value, low, high))
    shown = f"{metric} {interval.text(Estimate(number, lowest, highest))}" if value else ""
    latency = f"{float(tags['latency_p50_ms']):.3g} ms" if "latency_p50_ms" in tags else ""
    sizes = (bytes_of("raw_bytes"), bytes_of("deflated_bytes"))
    aliases = ", ".join(version.aliases)
    facts = (tags.get(fact, "") for fact in ("name", "sparsity", "bit_width"))
    return str(version.number), aliases, *facts, *sizes, shown, latency


def _figure(selection: Selection, name: SplitName) -> str:
    split, metric = selection.splits[name], selection.rule.metric
    return f"{metric} {interval.text(split.pooled[metric], undefined='undefined')} (n = {split.n})"
