"""Write the report of the sweep: `python -m stages.report`."""

from stages.core.artifacts import evaluation, selection
from stages.core.project import errors, layout, params
from stages.core.scoring.metrics import MetricParams
from stages.core.tracking import connection
from stages.report import facts, refused, stage


def main() -> None:
    """Write the page, and log it and the page of the recordings with the sweep's run in MLflow."""
    why = selection.refusal(layout.SELECTED)
    if why is not None:
        rows = [each.row() for each in evaluation.read(layout.EVALUATION)]
        refused.write(why, rows, layout.REPORT, picture=layout.EVALUATION / "accuracy_versus_size.png")
        connection.connect(layout.MLRUNS, why.registered_name).log_report(layout.SWEEP, layout.REPORT)
        print(f"{layout.REPORT}: no variant is chosen; open it in a browser")
        return
    section = params.read().get("evaluate") or {}
    names = ("confidence", "calibration_bins")
    inputs = facts.Inputs(
        layout.SWEEP,
        layout.EVALUATION,
        layout.SELECTED,
        layout.FEATURES,
        layout.PULL_REPORT,
        layout.SPLIT_REPORT,
    )
    found = facts.read(inputs, MetricParams(**{name: section[name] for name in names if name in section}))
    stage.write(found, layout.REPORT, picture=layout.EVALUATION / "accuracy_versus_size.png")
    tracking = connection.connect(layout.MLRUNS, found.selection.registered_name)
    tracking.log_report(layout.SWEEP, layout.REPORT)
    tracking.log_report(layout.SWEEP, layout.OVERVIEW, place="data")
    print(f"{layout.REPORT}: {len(found.rows)} variants; open it in a browser")


if __name__ == "__main__":
    errors.run(main)
