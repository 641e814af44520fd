"""Run `edac table` and `edac figures`."""

import argparse

from flows.cli import registry
from stages.core.project import layout
from stages.core.tracking import connection
from stages.report import distillation, figures, mou, paper, results, table
from stages.report.paper import Paper
from stages.report.results import Results


def print_table(given: argparse.Namespace) -> None:
    """Print a paper's tables with this project's figures beside."""
    tables = {"mou": _table_of_mou, "distillation": _table_of_distillation}
    print(tables.get(given.model, _table_of_paper)(given), end="")


def _table_of_paper(given: argparse.Namespace) -> str:
    found, paper = _results(given)
    if given.format == "csv":
        return table.as_csv(found, paper, given.model)
    return table.markdown(found, paper, given.model, margin=given.margin)


def _table_of_mou(given: argparse.Namespace) -> str:
    where, uri = layout.MLRUNS, given.tracking_uri
    one = given.experiment
    trackers = [connection.find(where, uri=uri, experiment=one)] if one else connection.find_all(where, uri=uri)
    paper = mou.read()
    found = mou.collect(trackers, paper)
    return mou.as_csv(paper, found) if given.format == "csv" else mou.markdown(paper, found)


def _table_of_distillation(given: argparse.Namespace) -> str:
    folders = distillation.Folders(layout.TEACHER, layout.FEATURES, layout.SWEEP, layout.EVALUATION)
    rows, n = distillation.collect(folders)
    if given.format == "csv":
        return distillation.as_csv(rows)
    return distillation.markdown(rows, n, distillation.published())


def draw_figures(given: argparse.Namespace) -> None:
    """Draw the figures of EDAC's paper and print where they lie."""
    found, paper = _results(given)
    for path in figures.save(found, paper, given.model, given.to, suffix=given.format):
        print(path)


def _results(given: argparse.Namespace) -> tuple[Results, Paper]:
    published = paper.read()
    published.of(given.model)
    tracker = registry.find(given.experiment, given.tracking_uri)
    return results.read(tracker, architecture=given.model.replace("-", "_"), sweep=given.sweep), published
