"""A trained network's folder: which architecture it is, and its weights.

architecture.json  plug-in name, its parameters, `input_shape`, `n_classes`, `n_parameters`; where units were removed
                   also `kept`: layer to the units it kept of those it was built with; of a multi-label task,
                   `multi_label`; of one that was taught, `teacher`, as of `TeacherFolder.provenance`
weights.npz        as `stages.core.nn.keras.save_weights` writes them
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.core.nn import units as structure
from stages.core.nn.keras import keras, load_weights, save_weights
from stages.core.project import files, plugins
from stages.core.project.errors import DataError, ModelError

ARCHITECTURES = "stages.train.architectures"


def build(
    name: str, options: Mapping[str, Any], input_shape: tuple[int, ...], n_classes: int, *, multi_label: bool = False
) -> tuple["keras.Model", dict[str, Any]]:
    """Build a network with fresh weights.

    Parameters
    ----------
    name : str
        An architecture, e.g. ``"edac_cnn"``.
    options : Mapping
        Architecture name to its parameters.
    input_shape : tuple[int, ...]
        Of one clip's features.
    n_classes : int
    multi_label : bool
        Give it a sigmoid for each class in place of the architecture's own last layer.

    Returns
    -------
    model : tf_keras.Model
        Uncompiled.
    description : dict
        What `architecture.json` holds.

    Raises
    ------
    ParameterError
        For an unknown architecture or a parameter it refuses.
    """
    module, config = plugins.configure(ARCHITECTURES, name, options, "train")
    model = module.build(config, input_shape, n_classes)
    if multi_label:
        model = _with_sigmoids(model, n_classes)
    return model, {
        "name": name,
        "config": asdict(module.standalone(config) if hasattr(module, "standalone") else config),
        "input_shape": list(input_shape),
        "n_classes": n_classes,
        "n_parameters": model.count_params(),
        **({"multi_label": True} if multi_label else {}),
    }


def _with_sigmoids(model: "keras.Model", n_classes: int) -> "keras.Model":
    """Return a network whose last layer, which must be dense, is one of a sigmoid for each class."""
    last = model.layers[-1]
    if not isinstance(last, keras.layers.Dense):
        raise ModelError(f"{model.name} must end in a dense layer for a multi-label task; it ends in {last.name}.")
    head = keras.layers.Dense.from_config(last.get_config() | {"units": n_classes, "activation": "sigmoid"})
    return keras.Model(model.input, head(last.input), name=model.name)


def without_units(
    description: Mapping[str, Any], model: "keras.Model", kept: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """Return the description of a network that lost units.

    Parameters
    ----------
    description : Mapping
        Of the network before, which may have lost some already.
    model : tf_keras.Model
        The network after.
    kept : Mapping
        Layer to its kept units, numbered as in the network before; layers not named are whole.
    """
    before = description.get("kept", {})
    now = {name: [before[name][i] if name in before else i for i in units] for name, units in kept.items()}
    return {**description, "n_parameters": model.count_params(), "kept": {**before, **now}}


def save(model: "keras.Model", description: Mapping[str, Any], folder: Path) -> None:
    """Write a network into a folder."""
    files.write_json(folder / "architecture.json", description)
    save_weights(model, folder / "weights.npz")


def load(folder: Path) -> "keras.Model":
    """Read a network that `save` wrote; every call builds a new one.

    Raises
    ------
    DataError
        If the folder is incomplete.
    ModelError
        If the weights do not fit the architecture.
    """
    if not (folder / "weights.npz").is_file():
        raise DataError(f"{folder} holds no weights.npz. Run `dvc repro train` first.")
    stored = files.read_json(folder / "architecture.json")
    options = {stored["name"]: stored["config"]}
    model, _ = build(
        stored["name"],
        options,
        tuple(stored["input_shape"]),
        stored["n_classes"],
        multi_label=stored.get("multi_label", False),
    )
    if stored.get("kept"):
        model = structure.keep(model, stored["kept"])
    load_weights(model, folder / "weights.npz")
    return model
