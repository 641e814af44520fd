"""Refuse a size budget that no variant of the sweep can keep, before anything is trained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.start import recordings, sizes
from flows.sweep.params import SweepParams
from stages.core.nn.network import ARCHITECTURES
from stages.core.project import files, params, plugins, provenance
from stages.core.project.errors import ParameterError
from stages.features.params import FeatureParams
from stages.prune.params import CRITERIA
from stages.pull.params import PullParams
from stages.quantize.params import QuantizeParams
from stages.select.params import SelectParams
from stages.train.params import TrainParams

LIMIT = "raw_bytes"
_BYTES_OF_A_LAYER = 4000  # at most, beside its weights: names, shapes, the operator


@dataclass(frozen=True)
class Asked:
    """Everything that decides how large the files of a sweep are."""

    train: TrainParams
    quantize: QuantizeParams
    schemes: tuple[str, ...]
    shape: sizes.Shape

    @property
    def options(self) -> Mapping[str, Any]:
        """Parameters of the architecture."""
        options: Mapping[str, Any] = self.train.options.get(self.train.architecture) or {}
        return options

    @property
    def key(self) -> str:
        """Digest of all of this, and of the code."""
        module = f"{ARCHITECTURES}.{self.train.architecture}"
        code = provenance.code_hash([sizes.__name__, module], ["tensorflow", "ai-edge-quantizer"])
        rest = [self.quantize.options, self.quantize.calibration, self.schemes, asdict(self.shape)]
        return files.digest(self.train.architecture, self.options, *rest, code)


def require_fits(path: Path, kept: Path) -> None:
    """Raise if `select.budget.raw_bytes` is below the smallest file that the sweep can make.

    The bytes of a file follow from the network's shape, except for schemes that store zeros or clusters compactly and
    for criteria that remove whole units: with one of these in the sweep, nothing is said before it has run. Nor is it
    of a network whose shape comes from a file, which a stage such as `distill` may yet have to make.

    Parameters
    ----------
    path : Path
        ``params.yaml``.
    kept : Path
        File that keeps the sizes for the next time, as to convert a network takes seconds.

    Raises
    ------
    ParameterError
        Names the smallest file, and the width that would fit if the architecture has one.
    """
    limit = params.section("select", SelectParams, path).budget.get(LIMIT)
    asked = _asked(path) if limit is not None else None
    if limit is None or asked is None:
        return
    smallest = _smallest(asked, limit, kept)
    if smallest is None or smallest[1] <= limit:
        return
    scheme, raw_bytes = smallest
    raise ParameterError(
        f"select.budget.{LIMIT} must be at least the {raw_bytes:,} bytes of {asked.train.architecture} in {scheme}, "
        f"the smallest of sweep.schemes; got {limit:,.0f}. {_advice(asked, limit, scheme)}"
    )


def _asked(path: Path) -> Asked | None:
    """Return what decides the sizes; None if the weights do too."""
    sweep, quantize = params.section("sweep", SweepParams, path), params.section("quantize", QuantizeParams, path)
    units = any(plugins.load(CRITERIA, name, "sweep.criteria").GRANULARITY == "unit" for name in sweep.criteria)
    schemes = tuple(dict.fromkeys((*sweep.schemes, *sweep.qat_schemes)))
    if any(getattr(quantize.scheme(name)[0], "SIZE_DEPENDS_ON_WEIGHTS", False) for name in schemes):
        return None
    if units and any(sweep.sparsities):
        return None
    train = params.section("train", TrainParams, path)
    _, config = plugins.configure(ARCHITECTURES, train.architecture, train.options, "train")
    if any(isinstance(value, Path) for value in vars(config).values()):
        return None
    features, pull = params.section("features", FeatureParams, path), params.section("pull", PullParams, path)
    n_classes = len(recordings.labels(pull)) or 2  # unknown until the recordings are there: at least two
    return Asked(train, quantize, schemes, sizes.shape(features, n_classes))


def _smallest(asked: Asked, limit: float, kept: Path) -> tuple[str, int] | None:
    """Return the smallest scheme with its bytes; None if even an upper bound of float32 is within the limit."""
    key = asked.key
    if kept.is_file():
        known = files.read_json(kept)
        if known.get("key") == key and (known["bytes"] or limit >= known["at_most"]):
            return min(known["bytes"].items(), key=lambda item: item[1], default=None)
    model = sizes.build(asked.train.architecture, dict(asked.options), asked.shape)
    at_most = 4 * model.count_params() + _BYTES_OF_A_LAYER * (len(model.layers) + 5)
    found: dict[str, int] = {}
    if limit < at_most:
        found = {name: size.raw_bytes for name, size in sizes.measure(model, asked.schemes, asked.quantize).items()}
    if kept.parent.is_dir():  # in a project; elsewhere a check leaves nothing behind
        files.write_json(kept, {"key": key, "at_most": at_most, "bytes": found})
    return min(found.items(), key=lambda item: item[1], default=None)


def _advice(asked: Asked, limit: float, scheme: str) -> str:
    name = asked.train.architecture
    module, _ = plugins.configure(ARCHITECTURES, name, asked.train.options, "train")
    if "width" in module.Config.__dataclass_fields__:
        options = dict(asked.options)
        try:
            width, size = sizes.widest(name, asked.shape, raw_bytes=limit, scheme=scheme, options=options)
        except ParameterError:
            return f"No width of {name} fits. Raise the budget, or choose from `edac list architectures`."
        return (
            f"Write train.options.{name}.width: {width:g}, which takes {size.raw_bytes:,} bytes, or raise the budget."
        )
    return "Raise the budget, make the network smaller, or choose from `edac list architectures`."
