"""Choose the variant that goes to the devices and register it: `python -m stages.select`."""

import tempfile
from dataclasses import asdict
from pathlib import Path

from stages.core.artifacts import evaluation, naive
from stages.core.project import errors, layout, params
from stages.core.tracking import connection, records
from stages.select.params import SelectParams
from stages.select.register import register
from stages.select.rules import RefusedError
from stages.select.stage import Inputs, judge, refuse


def main() -> None:
    """Read the section, choose, register in MLflow; which aliases point where: `SelectParams.promote`."""
    section = params.section("select", SelectParams)
    name = section.registered_name
    tracker = connection.connect(layout.MLRUNS, name).with_data(layout.FEATURES)
    tracker.log_sweep(layout.SWEEP)
    evaluated = evaluation.read(layout.EVALUATION)
    on_devices = tracker.device_latencies([each.variant.key for each in evaluated])
    inputs = Inputs(
        layout.EVALUATION,
        layout.SWEEP,
        layout.FEATURES,
        layout.PULL_REPORT,
        naive=naive.read(layout.NAIVE),
        latencies={each.name: on_devices[each.variant.key] for each in evaluated},
    )
    try:
        choice = judge(section, inputs)
    except RefusedError as refused:
        refuse(section, refused, layout.SELECTED)
        return
    figures = ("latency_p50_ms", "latency_p95_ms", "robustness")
    measured = {each.variant.key: {name: asdict(each)[name] for name in figures} for each in evaluated}
    tracker.add_metrics(measured)

    aliases = [records.CANDIDATE]
    for alias, row, column in choice.others:
        if row["name"] == choice.winner["name"]:
            aliases.append(alias)
            continue
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "selected"
            register(tracker, *choice.release(row, target, choice.reason(row, column)), target, (alias,))
    variant, selection = choice.release(choice.winner, layout.SELECTED, choice.reason(choice.winner))
    if selection.warning:
        print(f"warning: {variant.name} is {selection.warning}")
    free = not any(records.CHAMPION in each.aliases for each in tracker.versions(name))
    if selection.may_be_deployed and (section.promote == "always" or free):
        aliases.append(records.CHAMPION)
    version = register(tracker, variant, selection, layout.SELECTED, aliases)
    print(f"{variant.name}: {selection.reason}; registered as {name} version {version}, {', '.join(aliases)}")


if __name__ == "__main__":
    errors.run(main)
