"""`teacher.json`: which teacher a teacher folder comes from, and how good it is."""

from dataclasses import dataclass, field
from pathlib import Path

from stages.core.artifacts import json_file
from stages.core.artifacts.estimates import SplitMetrics
from stages.core.artifacts.json_file import Json

FILE = "teacher.json"


@dataclass(frozen=True)
class Teacher:
    """The teacher of a distilled network, as its descendants name it.

    Attributes
    ----------
    kind : str
        Kind of teacher, e.g. ``"5 edac_cnn over folds"``; empty for no teacher.
    licence : str
        Its licence; empty if not stated.
    """

    kind: str = ""
    licence: str = ""

    def __bool__(self) -> bool:
        """Return whether there is a teacher."""
        return self.kind != ""


NO_TEACHER = Teacher()


@dataclass(frozen=True)
class TeacherReport:
    """Content of `teacher.json`.

    Attributes
    ----------
    teacher : str or None
        Plug-in name, a file of ``stages/distill/teachers/``; None if no teacher is configured. Everything else is then
        empty.
    key : str
        Digest of everything that determines the teacher's outputs.
    sha256 : str
        Digest of the teacher itself.
    labels : tuple[str, ...]
        Labels of the logits, in output order.
    about : dict
        Statements of the plug-in: at least `kind`, and where known `licence`, `parameters`, `bytes` and
        `cpu_seconds_per_second` (CPU seconds per second of audio).
    validation : SplitMetrics or None
        The teacher's metrics on the validation split.
    """

    teacher: str | None
    key: str = ""
    sha256: str = ""
    labels: tuple[str, ...] = ()
    about: Json = field(default_factory=dict)
    validation: SplitMetrics | None = None

    @property
    def named(self) -> Teacher:
        """The teacher's kind and licence."""
        return Teacher(str(self.about.get("kind", "")), str(self.about.get("licence", "")))


def read(folder: Path) -> TeacherReport:
    """Read the report of a teacher folder; raises `DataError` if it is missing or invalid."""
    return json_file.read(TeacherReport, folder / FILE, stage="distill")


def write(folder: Path, report: TeacherReport) -> None:
    """Write the report of a teacher folder; fields that hold their default are left out."""
    json_file.write(folder / FILE, report, omit_defaults=True)
