"""Choose the variant that goes to the devices and register it: `python -m stages.select`."""

import tempfile
from pathlib import Path

from stages.core.artifacts.variant import read_variants
from stages.core.project import errors, layout, params
from stages.core.tracking import connection, records
from stages.select.params import SelectParams
from stages.select.register import register
from stages.select.stage import judge, latency_of, read_robustness, read_table


def main() -> None:
    """Read the section, choose, register in MLflow; which aliases point where: `SelectParams.promote`."""
    section = params.section("select", SelectParams)
    name = section.registered_name
    tracker = connection.connect(layout.MLRUNS, name).with_data(layout.FEATURES)
    tracker.log_sweep(layout.SWEEP)
    variants = read_variants(layout.SWEEP / "variants.json")
    measured = tracker.device_latencies([each.key for each in variants])
    choice = judge(
        section,
        evaluation=layout.EVALUATION,
        sweep=layout.SWEEP,
        features=layout.FEATURES,
        report=layout.PULL_REPORT,
        latencies={each.name: measured[each.key] for each in variants},
    )
    latencies = {row["name"]: latency_of(row) for row in read_table(layout.EVALUATION / "variants.csv")}
    robustness = read_robustness(layout.EVALUATION / "robustness.csv")
    tracker.add_metrics({v.key: latencies[v.name] | {"robustness": robustness.get(v.name, {})} for v in variants})

    aliases = [records.CANDIDATE]
    for alias, row, column in choice.others:
        if row["name"] == choice.winner["name"]:
            aliases.append(alias)
            continue
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "selected"
            register(tracker, *choice.release(row, target, choice.reason(row, column)), target, (alias,))
    variant, selection = choice.release(choice.winner, layout.SELECTED, choice.reason(choice.winner))
    if section.promote == "always" or not any(records.CHAMPION in each.aliases for each in tracker.versions(name)):
        aliases.append(records.CHAMPION)
    version = register(tracker, variant, selection, layout.SELECTED, aliases)
    print(f"{variant.name}: {selection['reason']}; registered as {name} version {version}, {', '.join(aliases)}")


if __name__ == "__main__":
    errors.run(main)
