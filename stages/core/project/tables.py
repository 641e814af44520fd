"""Tables for people to read."""

from collections.abc import Iterable, Sequence
from typing import Any


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]], *, text_columns: int | None = None) -> str:
    """Return a table in Markdown.

    Parameters
    ----------
    head : Sequence of str
    rows : Iterable of Sequence
        Rows of as many cells as `head`; each is written as `plain` has it.
    text_columns : int or None
        How many columns, from the left, hold text; the others hold numbers and are aligned right. None: all hold text.
    """
    texts = len(head) if text_columns is None else text_columns
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    lines = [map(plain, head), rule, *(map(plain, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(value: Any) -> str:
    """Return text that stays in its cell and its line."""
    return " ".join(str(value).split()).replace("|", r"\|")
