"""Build, save and load a network.

A network's folder holds `architecture.json` (see `stages.core.artifacts.network`) and `weights.npz`, as
`stages.core.nn.keras.save_weights` writes it.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.core.artifacts import network as network_file
from stages.core.artifacts.network import NetworkDescription
from stages.core.nn import units as structure
from stages.core.nn.keras import keras, load_weights, save_weights
from stages.core.project import plugins
from stages.core.project.errors import DataError, ModelError, ParameterError

ARCHITECTURES = plugins.registry("architectures")


def build(
    name: str, options: Mapping[str, Any], input_shape: tuple[int, ...], n_classes: int, *, multi_label: bool = False
) -> tuple["keras.Model", NetworkDescription]:
    """Build a network with fresh weights.

    Parameters
    ----------
    name : str
        An architecture, e.g. ``"edac_cnn"``.
    options : Mapping
        Architecture name to its parameters.
    input_shape : tuple[int, ...]
        Shape of one clip's features.
    n_classes : int
    multi_label : bool
        Give it a sigmoid for each class in place of the architecture's own last layer.

    Returns
    -------
    model : tf_keras.Model
        Uncompiled.
    description : NetworkDescription

    Raises
    ------
    ParameterError
        For an unknown architecture, a parameter it refuses, or features that it cannot take.
    """
    module, config = plugins.configure(ARCHITECTURES, name, options, "train")
    try:
        model = module.build(config, input_shape, n_classes)
    except ValueError as error:  # what Keras raises of shapes that do not fit
        advice = "Choose another front end or architecture."
        raise ParameterError(f"features must fit {name}; got the shape {tuple(input_shape)}. {advice}") from error
    if multi_label:
        model = _with_sigmoids(model, n_classes)
    return model, NetworkDescription(
        name=name,
        config=asdict(module.standalone(config) if hasattr(module, "standalone") else config),
        input_shape=tuple(input_shape),
        n_classes=n_classes,
        n_parameters=model.count_params(),
        multi_label=multi_label,
    )


def _with_sigmoids(model: "keras.Model", n_classes: int) -> "keras.Model":
    """Return a network whose last layer, which must be dense, is one of a sigmoid for each class."""
    last = model.layers[-1]
    if not isinstance(last, keras.layers.Dense):
        raise ModelError(f"{model.name} must end in a dense layer for a multi-label task; it ends in {last.name}.")
    head = keras.layers.Dense.from_config(last.get_config() | {"units": n_classes, "activation": "sigmoid"})
    return keras.Model(model.input, head(last.input), name=model.name)


def save(model: "keras.Model", description: NetworkDescription, folder: Path) -> None:
    """Write a network into a folder."""
    network_file.write(folder, description)
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
    stored = network_file.read(folder)
    options = {stored.name: stored.config}
    model, _ = build(stored.name, options, stored.input_shape, stored.n_classes, multi_label=stored.multi_label)
    if stored.kept:
        model = structure.keep(model, stored.kept)
    load_weights(model, folder / "weights.npz")
    return model
