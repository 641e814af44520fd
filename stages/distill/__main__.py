"""Have the teacher, if there is one, answer for the clips: `python -m stages.distill`."""

from stages.core.project import errors, layout, params
from stages.distill.params import DistillParams
from stages.distill.stage import distill


def main() -> None:
    """Run the stage."""
    section = params.section("distill", DistillParams)
    taught = distill(section, layout.FEATURES, layout.TEACHER)
    if taught["teacher"] is None:
        print("no teacher: distill.teacher is null")
        return
    accuracy = taught["validation"]["pooled"]["accuracy"]
    print(
        f"{taught['teacher']}: accuracy {accuracy['value']} ({accuracy['low']} to {accuracy['high']}) on "
        f"{taught['validation']['n']} validation clips"
    )


if __name__ == "__main__":
    errors.run(main)
