"""Write the report of the sweep: `python -m stages.report`."""

from stages.core.project import errors, layout, params
from stages.core.scoring.metrics import MetricParams
from stages.core.tracking import connection
from stages.report import facts, stage


def main() -> None:
    """Write the page, and log it and the page of the recordings with the sweep's run in MLflow."""
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
