"""Have the teacher, if there is one, answer for the clips: `python -m stages.distill`."""

from stages.core.project import errors, layout, params
from stages.core.scoring import interval
from stages.distill.params import DistillParams
from stages.distill.stage import distill


def main() -> None:
    """Run the stage."""
    section = params.section("distill", DistillParams)
    report = distill(section, layout.FEATURES, layout.TEACHER)
    if report.validation is None:
        print("no teacher: distill.teacher is null")
        return
    accuracy = interval.text(report.validation.pooled["accuracy"])
    print(f"{report.teacher}: accuracy {accuracy} on {report.validation.n} validation clips")


if __name__ == "__main__":
    errors.run(main)
