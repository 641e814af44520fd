"""What a search varies: recipe, architecture and width, the latter within a number of bytes."""

from dataclasses import asdict, dataclass, replace

import optuna

from flows.start import sizes
from stages.core.nn.network import ARCHITECTURES
from stages.core.project import plugins
from stages.core.project.errors import EdacError, ParameterError
from stages.core.project.params import Options
from stages.train.params import TrainParams

FRACTIONS = (0.6, 0.8, 1.0)
"""Widths that are tried, as fractions of the widest that fits."""
RANGES = {
    "dropout": (0.0, 0.5),
    "learning_rate": (3e-4, 1e-2),
    "label_smoothing": (0.0, 0.2),
    "mixup": (0.0, 0.6),
    "time_shift": (0.0, 0.2),
    "vary.p": (0.3, 1.0),
    "vary.warp": (0.0, 0.3),
    "vary.room": (0.0, 1.0),
    "vary.filter_db": (0.0, 8.0),
}
"""Parameter to its least and largest value; `dropout` is that of the architecture."""


@dataclass(frozen=True)
class Space:
    """The recipe and what may change in it.

    Attributes
    ----------
    recipe : TrainParams
    widest : dict[str, float]
        Architecture to the largest width whose file keeps within the limit.
    """

    recipe: TrainParams
    widest: dict[str, float]

    def suggest(self, trial: optuna.Trial) -> TrainParams:
        """Return a candidate: the recipe with values that a trial's sampler chooses."""
        recipe = self.recipe
        name = trial.suggest_categorical("architecture", sorted(self.widest))
        fraction = trial.suggest_categorical("size", FRACTIONS)
        options = {**(recipe.options.get(name) or {}), "width": max(0.1, round(self.widest[name] * fraction, 2))}
        options["dropout"] = _number(trial, "dropout")
        changes: Options = {
            "architecture": name,
            "options": {**recipe.options, name: options},
            "learning_rate": _number(trial, "learning_rate"),
            "label_smoothing": _number(trial, "label_smoothing"),
        }
        if recipe.between_class is None:
            changes |= {"mixup": _number(trial, "mixup"), "time_shift": _number(trial, "time_shift")}
        if recipe.vary is not None:
            changes["vary"] = replace(
                recipe.vary,
                p=_number(trial, "vary.p"),
                warp=_number(trial, "vary.warp"),
                room=_number(trial, "vary.room"),
                filter_db=_number(trial, "vary.filter_db"),
            )
        return replace(recipe, **changes)

    def of_recipe(self) -> Options | None:
        """Return what `suggest` would ask for the recipe, the nearest within each range; None if no width fits."""
        name = self.recipe.architecture
        if name not in self.widest:
            return None
        own = asdict(plugins.load(ARCHITECTURES, name, "train.architecture").Config())
        own |= self.recipe.options.get(name) or {}
        values = _flat(asdict(self.recipe)) | {"dropout": own["dropout"]}
        found: Options = {
            key: min(max(float(values[key]), low), high) for key, (low, high) in RANGES.items() if key in values
        }
        size = min(FRACTIONS, key=lambda fraction: abs(fraction * self.widest[name] - own["width"]))
        return found | {"architecture": name, "size": size}


def _number(trial: optuna.Trial, name: str) -> float:
    low, high = RANGES[name]
    return float(f"{trial.suggest_float(name, low, high, log=name == 'learning_rate'):.3g}")


def space(recipe: TrainParams, shape: sizes.Shape, *, raw_bytes: float | None, scheme: str) -> Space:
    """Return the space around a recipe: all architectures with a width that keep within a number of bytes.

    Parameters
    ----------
    recipe : TrainParams
    shape : sizes.Shape
    raw_bytes : float or None
        None is the size of the recipe's own file.
    scheme : str
        Quantisation scheme whose file must keep within it.

    Raises
    ------
    ParameterError
        If no architecture does.
    """
    if raw_bytes is None:
        own = sizes.build(recipe.architecture, recipe.options.get(recipe.architecture) or {}, shape)
        raw_bytes = sizes.measure(own, [scheme])[scheme].raw_bytes
    widest = {}
    for name in plugins.names(ARCHITECTURES):
        fields = plugins.load(ARCHITECTURES, name, "train.architecture").Config.__dataclass_fields__
        if not {"width", "dropout"} <= set(fields):
            continue
        try:
            options = recipe.options.get(name) or {}
            widest[name], _ = sizes.widest(name, shape, raw_bytes=raw_bytes, scheme=scheme, options=options)
        except (EdacError, ValueError):  # too large at its narrowest, or not for these features
            continue
    if not widest:
        raise ParameterError(
            f"select.budget.raw_bytes must leave room for an architecture with a width; got {raw_bytes:,.0f}. Raise it."
        )
    return Space(recipe, widest)


def changes(recipe: TrainParams, candidate: TrainParams) -> Options:
    """Return what a candidate changes, by dotted name within `train`.

    >>> changes(TrainParams(mixup=0.3), TrainParams(mixup=0.1))
    {'mixup': 0.1}
    """
    before, after = _flat(asdict(recipe)), _flat(asdict(candidate))
    other = {f"options.{candidate.architecture}.", "architecture"}
    return {
        name: value
        for name, value in after.items()
        if before.get(name) != value and (not name.startswith("options.") or any(map(name.startswith, other)))
    }


def _flat(values: Options, prefix: str = "") -> Options:
    found: Options = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
