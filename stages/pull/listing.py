"""What a source says about one published file, before any audio is decoded."""

from dataclasses import dataclass
from pathlib import Path

from stages.core.artifacts.recordings import part_id


@dataclass(frozen=True)
class Listing:
    """One file as its publisher lists it.

    Attributes
    ----------
    path : Path
        Relative to the source's folder.
    label : str
        Class name; in a multi-label task, all classes that the file holds, joined by `|`.
    group : str
        Speaker, patient or source recording: whatever must not be on two sides of a split.
    site : str
        Where or with what it was recorded; empty if unknown.
    fold : str
        The publisher's fold or split name; empty if none.
    excluded : str
        Reason why it cannot be used, if the layout alone shows it (missing, hidden, without a status); such an entry
        needs no file and no label. Else empty.
    start_s, end_s : float or None
        Part of the file that it is (seconds), if it is not all of it.
    notes : tuple of str
        What a person should know of it although it may be used, such as an empty cell of its row.
    """

    path: Path
    label: str
    group: str
    site: str = ""
    fold: str = ""
    excluded: str = ""
    notes: tuple[str, ...] = ()
    start_s: float | None = None
    end_s: float | None = None

    @property
    def span(self) -> tuple[float, float] | None:
        """Part of the file that it is (seconds); None for all of it."""
        return None if self.start_s is None or self.end_s is None else (self.start_s, self.end_s)

    @property
    def recording_id(self) -> str:
        """Its path, and the times if it is a part: unique among the listings of a source."""
        return self.path.as_posix() if self.span is None else part_id(self.path.as_posix(), *self.span)
