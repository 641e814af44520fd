"""What the registry says of a version: Markdown for people, tags to search and compare by."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stages.core.artifacts.frontend import Frontend

if TYPE_CHECKING:
    from stages.core.tracking.records import Version

COLUMNS = ("version", "aliases", "variant", "sparsity", "bits", "bytes", "deflated", "on validation", "latency")
NOTICE = (
    "**No medical device**: not made, tested or approved to diagnose, screen for or monitor any disease or condition."
)


def description(selection: Mapping[str, Any], frontend: Frontend) -> str:
    """Return Markdown of what a version is, what of, and how good.

    Parameters
    ----------
    selection : Mapping
        What `selection.json` holds.
    frontend : Frontend
    """
    variant, data, measured = selection["variant"], selection["data"], selection["measured"]
    teacher = variant.get("teacher")
    sizes = f"{measured['raw_bytes']:,} bytes, {measured['deflated_bytes']:,} deflated"
    lines = [
        f"`{variant['name']}`: tells {', '.join(selection['labels'])} apart in {frontend.clip_s:.2f} s at "
        f"{frontend.sample_rate} Hz; {variant['sparsity']:.0%} pruned, {variant['scheme']} ({variant['bit_width']} "
        "bits).",
        f"- Data: {data['source']}, {data['usable']} recordings of {data['groups']} groups; {data['licence']}.",
        *([f"- Teacher: {teacher['kind']}; licence: {teacher['licence'] or 'not stated'}."] if teacher else []),
        *(f"- {side.capitalize()}: {_figure(selection, side)}." for side in ("validation", "test")),
        f"- Size: {sizes}. Latency: {measured['latency_p50_ms']:.3g} ms, median on one thread at home.",
        f"- Chosen on validation among {selection['n_variants']} variants, so that its figure there is flattered; the "
        "test figure decided nothing, but is one of as many that could have been read.",
        f"- Why: {selection['reason']}.",
        f"- {NOTICE}",
    ]
    return lines[0] + "\n\n" + "\n".join(lines[1:]) + "\n"


def tags(selection: Mapping[str, Any]) -> dict[str, Any]:
    """Return a version's tags: sparsity, bit-width, bytes, latency, the metric with its interval.

    What is undefined is left out.
    """
    metric = selection["rule"]["metric"]
    shown = ("name", "criterion", "scheme", "bit_width", "schedule", "sparsity", "measured_sparsity")
    found = {name: selection["variant"][name] for name in shown} | selection["measured"]
    found |= {
        "labels": ",".join(selection["labels"]),
        "threshold": selection["threshold"],
        "metric": metric,
        "selected_by": f"validation {metric}",
        "n_variants": selection["n_variants"],
    }
    for side in ("validation", "test"):
        figure = selection[side]["pooled"][metric]
        found |= {f"{side}.{metric}": figure["value"]} | {f"{side}.{metric}.{e}": figure[e] for e in ("low", "high")}
    return {name: value for name, value in found.items() if value is not None}


def row(version: "Version") -> tuple[str, ...]:
    """Return a version's line of `edac models`, under `COLUMNS`."""
    tags = version.tags

    def bytes_of(kind: str) -> str:
        return f"{int(tags[kind]):,}" if kind in tags else ""

    metric = tags.get("metric", "")
    value, low, high = (tags.get(f"validation.{metric}{end}") for end in ("", ".low", ".high"))
    told = f"{metric} {float(value):.3f}" if value else ""
    told += f" [{float(low):.3f}, {float(high):.3f}]" if low and high else ""
    latency = f"{float(tags['latency_p50_ms']):.3g} ms" if "latency_p50_ms" in tags else ""
    sizes = (bytes_of("raw_bytes"), bytes_of("deflated_bytes"))
    aliases = ", ".join(version.aliases)
    facts = (tags.get(fact, "") for fact in ("name", "sparsity", "bit_width"))
    return str(version.number), aliases, *facts, *sizes, told, latency


def _figure(selection: Mapping[str, Any], side: str) -> str:
    figures, metric = selection[side], selection["rule"]["metric"]
    found = figures["pooled"][metric]
    value, low, high = (found[end] for end in ("value", "low", "high"))
    if value is None:
        return f"{metric} undefined (n = {figures['n']})"
    interval = "" if low is None else f" [{low:.3f}, {high:.3f}]"
    return f"{metric} {value:.3f}{interval} (n = {figures['n']})"
