"""Check of every parameter before any work: `python -m flows.check` is the first DVC stage.

Without it, a mistake in the last section would surface after hours.
"""

import os
from pathlib import Path

from flows.start import budget, remarks
from flows.sweep.params import SweepParams
from stages.augment.params import AugmentParams
from stages.core.nn.network import ARCHITECTURES
from stages.core.project import errors, files, layout, params, plugins
from stages.core.project.errors import ParameterError, require
from stages.distill.params import DistillParams
from stages.evaluate.params import EvaluateParams
from stages.features.params import FeatureParams
from stages.prune.params import CRITERIA, SCHEDULES, PruneParams
from stages.pull import guard
from stages.pull.link import linking
from stages.pull.params import PullParams
from stages.push.params import PushParams, choose, devices
from stages.quantize.params import SCHEMES, QuantizeParams, is_lossy
from stages.runtime.hearing import DEFAULT
from stages.select.params import SelectParams, device_of
from stages.split.params import SplitParams
from stages.train.params import TrainParams


def check(path: Path = params.PARAMS_FILE) -> None:
    """Check a params file: every section, every plug-in that it names, and that plug-in's parameters.

    Raises
    ------
    ParameterError
        For the first mistake.
    """
    _check_pull(params.section("pull", PullParams, path))
    params.section("split", SplitParams, path)
    augment, features = params.section("augment", AugmentParams, path), params.section("features", FeatureParams, path)
    augment.configure()
    _, frontend = features.configure()
    features.hearing(DEFAULT, frontend.sample_rate, frontend.clip_samples)
    if augment.masks.wanted:
        features.require_levels()
    distill = params.section("distill", DistillParams, path)
    distill.configure()
    train = params.section("train", TrainParams, path)
    architecture, _ = plugins.configure(ARCHITECTURES, train.architecture, train.options, "train")
    rate, owner = getattr(architecture, "SAMPLE_RATE", None), f"features.options.{features.frontend}.sample_rate"
    require(rate in (None, frontend.sample_rate), owner, f"be {rate} for {train.architecture}", frontend.sample_rate)
    sweep, prune = params.section("sweep", SweepParams, path), params.section("prune", PruneParams, path)
    advice = "Set distill.teacher and give it a weight, or write [false]."
    require(
        distill.enabled or not any(sweep.distilled),
        "sweep.distilled",
        "be [false] without a teacher",
        list(sweep.distilled),
        advice,
    )
    for i, criterion in enumerate(sweep.criteria):
        plugins.load(CRITERIA, criterion, f"sweep.criteria[{i}]")
        prune.plug_in(CRITERIA, criterion)
    for i, schedule in enumerate(sweep.schedules):
        plugins.load(SCHEDULES, schedule, f"sweep.schedules[{i}]")
        prune.plug_in(SCHEDULES, schedule)
    quantize = params.section("quantize", QuantizeParams, path)
    for i, scheme in enumerate(sweep.schemes):
        plugins.load(SCHEMES, scheme, f"sweep.schemes[{i}]")
        quantize.scheme(scheme)
    for i, scheme in enumerate(sweep.qat_schemes):
        module = plugins.load(SCHEMES, scheme, f"sweep.qat_schemes[{i}]")
        require(
            is_lossy(module),
            f"sweep.qat_schemes[{i}]",
            "be a scheme of at most 8 bits",
            scheme,
            "Wider ones lose nothing.",
        )
        require(
            not getattr(module, "AFTER_TRAINING_ONLY", False),
            f"sweep.qat_schemes[{i}]",
            "be a scheme whose bits are known before training",
            scheme,
            "Put it into sweep.schemes.",
        )
        quantize.scheme(scheme)
    if any(learning.between_class for learning in (train, prune, quantize.aware)):
        features.require_bands()
    evaluate = params.section("evaluate", EvaluateParams, path)
    select, push = params.section("select", SelectParams, path), params.section("push", PushParams, path)
    rate, stream = select.false_alarms_per_hour, evaluate.stream
    if augment.preset == "background" and stream.background is not None:
        _, learnt = augment.configure()
        apart = learnt.folder.resolve() != stream.background.resolve()
        rule = "be another folder than that of augment.options.background, from which the network learns"
        require(apart, "evaluate.stream.background", rule, str(stream.background))
    measured = list(stream.false_alarms_per_hour) if stream.asked else []
    rule = "be one of evaluate.stream.false_alarms_per_hour, with streams to measure it on"
    require(rate is None or rate in measured, "select.false_alarms_per_hour", rule, rate, f"Measured: {measured}.")
    for device in filter(None, map(device_of, select.budget)):
        try:
            choose(devices(push), names=[device])
        except ParameterError as error:
            raise ParameterError(f"select.budget names a device that does not exist: {error}") from None


def _check_pull(pull: PullParams) -> None:
    """Check the source and that no data of the user's lies where DVC deletes, before any stage runs."""
    _, config = pull.configure()
    mirror = pull.mirror or os.environ.get("EDAC_MIRROR")
    guard.protect(guard.named(config, Path(mirror).expanduser() if mirror else None), guard.outputs())
    with linking(pull.link):
        pass


def forecast(path: Path = params.PARAMS_FILE) -> list[str]:
    """Refuse a budget of bytes that nothing can keep, and return what is worth knowing of recordings and parameters.

    Raises
    ------
    ParameterError
        If no file of the sweep can keep within `select.budget.raw_bytes`.
    """
    budget.require_fits(path, layout.SIZES)
    return remarks.remarks(path)


def main() -> None:
    """Check `params.yaml` and write a file that the other stages depend on."""
    check()
    for remark in forecast():
        print(f"note: {remark}")
    files.write_json(layout.PARAMS_CHECKED, {"params.yaml": "is valid"})


if __name__ == "__main__":
    errors.run(main)
