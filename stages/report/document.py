"""Tables with text around them, rendered as Markdown, CSV or HTML: the one renderer of all published tables."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.core.project import pages, tables


@dataclass(frozen=True)
class Section:
    """One table.

    Attributes
    ----------
    head : Sequence[str]
    rows : Sequence[Sequence[str]]
    text_columns : int or None
        Number of columns, from the left, that hold text; the others hold numbers. None: all hold text.
    title, before, after : str
        Heading, and a paragraph on either side of the table; empty for none.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int | None = None
    title: str = ""
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Document:
    """Tables and what a reader must know about them.

    Attributes
    ----------
    title, intro : str
        Empty for none.
    sections : Sequence[Section]
    notes : Sequence[str]
        Remarks below the tables.
    records : Sequence[Mapping]
        The same figures at full precision, one line of CSV each; all have the same keys.
    """

    title: str
    intro: str
    sections: Sequence[Section]
    notes: Sequence[str]
    records: Sequence[Mapping[str, object]]


def render(document: Document, form: str) -> str:
    """Return a document as text.

    Parameters
    ----------
    document : Document
    form : {"markdown", "csv", "html"}
    """
    return {"markdown": markdown, "csv": as_csv, "html": html}[form](document)


def markdown(document: Document) -> str:
    """Return a document as Markdown.

    Examples
    --------
    >>> section = Section(["model", "AUC"], [["a", "0.9"]], text_columns=1)
    >>> print(markdown(Document("Results", "", [section], [], [])), end="")
    # Results
    <BLANKLINE>
    | model | AUC |
    | --- | ---: |
    | a | 0.9 |
    """
    parts = [f"# {document.title}" if document.title else "", document.intro]
    for section in document.sections:
        table = tables.markdown(section.head, section.rows, text_columns=section.text_columns)
        parts += [f"## {section.title}" if section.title else "", section.before, table, section.after]
    parts.append("\n".join(f"- {note}" for note in document.notes))
    return "\n\n".join(filter(None, parts)) + "\n"


def as_csv(document: Document) -> str:
    """Return a document's records as CSV; None becomes an empty field."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(document.records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(document.records)
    return stream.getvalue()


def html(document: Document) -> str:
    """Return a document as an HTML page without any dependency."""
    return pages.template("stages.report", "document.html.j2").render(document=document) + "\n"
