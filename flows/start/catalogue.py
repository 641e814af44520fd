"""Plug-ins with what they are and, where it follows from shapes, what they take; and the table of finished variants."""

import importlib
import textwrap
from collections.abc import Sequence
from pathlib import Path

from flows.start import sizes
from stages.core.artifacts import naive as naive_file
from stages.core.artifacts.recordings import read_labels
from stages.core.project import files, layout, params, plugins
from stages.core.project.errors import DataError, EdacError, ParameterError
from stages.core.scoring.metrics import METRICS
from stages.features.params import FeatureParams
from stages.push import fleet
from stages.quantize.params import QuantizeParams
from stages.select.params import SelectParams
from stages.train.params import TrainParams

REGISTRIES = {
    "sources": "stages.pull.sources",
    "augmentations": "stages.augment.presets",
    "frontends": "stages.features.frontends",
    "architectures": "stages.train.architectures",
    "teachers": "stages.distill.teachers",
    "criteria": "stages.prune.criteria",
    "schedules": "stages.prune.schedules",
    "schemes": "stages.quantize.schemes",
    "transports": "stages.push.transports",
}
_FULL_INTEGER = "static_wi8_ai8"


def catalogue(kind: str) -> str:
    """Return a table of the plug-ins of a kind.

    Architectures and schemes are shown with their sizes for the clips that `params.yaml` asks for, with the options
    that it holds; the number of classes is that of the pulled recordings, or two.

    Parameters
    ----------
    kind : str
        Key of `REGISTRIES`, or ``"metrics"``.

    Raises
    ------
    ParameterError
        If there is no such kind.
    """
    if kind == "metrics":
        return "\n".join(METRICS)
    if kind not in REGISTRIES:
        raise ParameterError(f"`edac list` knows no {kind!r}. {params.known(kind, (*REGISTRIES, 'metrics'))}")
    names = plugins.names(REGISTRIES[kind])
    rows = [(name, _summary(f"{REGISTRIES[kind]}.{name}")) for name in names]
    if kind == "architectures":
        taken = {name: _architecture(name) for name in names}
        head = ("architecture", "parameters", "float32", "full integer", "multiply-adds", "what it is")
        return fleet.table(head, [(name, *taken[name], text) for name, text in rows])
    if kind == "schemes":
        found = _schemes(names)
        return fleet.table(("scheme", "bytes", "what it is"), [(name, found[name], text) for name, text in rows])
    return fleet.table((kind, "what it is"), rows)


def _summary(module: str) -> str:
    text = (importlib.import_module(module).__doc__ or "").strip().partition("\n")[0]
    return textwrap.shorten(text.partition(": ")[0].partition("; ")[0].rstrip(".:"), 80, placeholder=" ...")


def _shape() -> sizes.Shape:
    n_classes = len(read_labels(layout.LABELS)) if layout.LABELS.is_file() else 2
    return sizes.shape(params.section("features", FeatureParams), n_classes)


def _architecture(name: str) -> tuple[str, str, str, str]:
    options = params.section("train", TrainParams).options.get(name) or {}
    try:
        model = sizes.build(name, options, _shape())
        found = sizes.measure(model, ["float32", _FULL_INTEGER])
    except (EdacError, ValueError) as error:  # an architecture says itself what it does not take
        return "", "", "", f"not for these features: {str(error).partition('. ')[0][:60]}"
    whole, integer = found["float32"], found[_FULL_INTEGER]
    operations = f"{whole.multiply_adds / 1e6:.3g} M"
    return f"{whole.parameters:,}", f"{whole.raw_bytes:,}", f"{integer.raw_bytes:,}", operations


def _schemes(names: Sequence[str]) -> dict[str, str]:
    train, quantize = params.section("train", TrainParams), params.section("quantize", QuantizeParams)
    model = sizes.build(train.architecture, train.options.get(train.architecture) or {}, _shape())
    return {name: f"{sizes.measure(model, [name], quantize)[name].raw_bytes:,}" for name in names}


def variants(evaluation: Path, naive: Path, *, most: int = 20) -> str:
    """Return the finished variants as a table, the best on validation first, with the naive reference and chance.

    Parameters
    ----------
    evaluation, naive : Path
        Folders of the two stages.
    most : int
        Variants shown.

    Raises
    ------
    DataError
        If nothing was evaluated yet, or by an older version.
    """
    table = evaluation / "variants.csv"
    if not table.is_file():
        raise DataError(f"{table} does not exist. Run `dvc repro evaluate` first.")
    metric = params.section("select", SelectParams).metric
    rows = files.read_csv(table)
    if rows and "sent_bytes" not in rows[0]:
        raise DataError(
            f"{table} must have the column sent_bytes; an older version wrote it. Run `dvc repro evaluate`."
        )
    rows.sort(key=lambda row: (-float(row[f"validation_{metric}"] or 0), int(row["sent_bytes"]), row["name"]))
    shown = [
        (
            row["name"],
            *(_figure(row, f"{side}_{metric}") for side in ("validation", "test")),
            f"{int(row['release_bytes']):,}",
            f"{int(row['sent_bytes']):,}",
            f"{float(row['latency_p50_ms']):.3g}",
        )
        for row in rows[:most]
    ]
    if (naive / naive_file.FILE).is_file():
        shown += _reference(naive_file.read(naive), metric)
    head = ("variant", f"validation {metric}", f"test {metric}", "on the device", "to send", "latency, ms")
    first = rows[0]
    note = (
        "Bytes are of front end and model together.\n"
        f"validation: n = {first['validation_n']}, {first['validation_groups']} groups; test: n = {first['test_n']}, "
    )
    return f"{fleet.table(head, shown)}\n{note}{first['test_groups']} groups"


def _figure(row: dict[str, str], name: str) -> str:
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    if not row[name]:
        return "undefined"
    return f"{float(row[name]):.3f}" + (f" [{float(low):.3f}, {float(high):.3f}]" if low and high else "")


def _reference(naive: naive_file.Naive, metric: str) -> list[tuple[str, ...]]:
    if metric not in naive.chance["test"]:
        return []
    figures = []
    for side in (naive.validation, naive.test):
        estimate = side.metrics[metric]
        figures.append(
            _figure(
                {"m": str(estimate.value), "m_low": str(estimate.low or ""), "m_high": str(estimate.high or "")}, "m"
            )
        )
    guess = (f"{naive.chance[side][metric]:.3f}" for side in ("validation", "test"))
    return [(f"naive: {naive.classifier}", *figures, "", "", ""), ("chance", *guess, "", "", "")]
