"""Train the baseline: `python -m stages.train`."""

from stages.core.nn.keras import make_deterministic
from stages.core.project import errors, layout, params
from stages.core.training.teacher import Distillation, teacher_folder
from stages.train.params import TrainParams
from stages.train.stage import train


def main() -> None:
    """Read the section, train, and print loss and accuracy."""
    section, rule = params.section("train", TrainParams), params.section("distill", Distillation)
    make_deterministic(section.seed, section.threads)
    teacher = teacher_folder(layout.TEACHER, rule) if rule.train else None
    metrics = train(layout.FEATURES, layout.BASELINE, section, teacher=teacher)
    for split, values in metrics.items():
        print(f"{split}: loss {values['loss']:.3f}, accuracy {values['accuracy']:.3f} on {values['n_clips']} clips")


if __name__ == "__main__":
    errors.run(main)
