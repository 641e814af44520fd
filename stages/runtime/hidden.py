"""The one rule for files that no person put into a folder: hidden files and what operating systems leave behind."""

from pathlib import PurePath

_LEFT_BEHIND = frozenset(
    {
        "thumbs.db",  # Windows
        "ehthumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        "__macosx",  # zip archives made by macOS
        "icon\r",
        "@eadir",  # network drives
        "#recycle",
        "lost+found",  # ext file systems
    }
)


def is_hidden(path: PurePath) -> bool:
    """Return whether a file is ignored wherever a folder of recordings is read, at home and on a device.

    Parameters
    ----------
    path : PurePath
        Relative to the folder. Every part of it counts, so that all of a hidden folder is ignored.

    Returns
    -------
    bool
        True for names that begin with a dot (`.DS_Store`, `._a.wav`), for office lock files (`~$list.csv`), and for
        `Thumbs.db`, `desktop.ini`, `__MACOSX` and their like.

    Examples
    --------
    >>> is_hidden(PurePath("dog/._anna-1.wav")), is_hidden(PurePath("__MACOSX/dog/anna-1.wav"))
    (True, True)
    >>> is_hidden(PurePath("dog/anna-1.wav"))
    False
    """
    return any(part.startswith((".", "~$")) or part.casefold() in _LEFT_BEHIND for part in path.parts)
