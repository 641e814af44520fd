"""Run `edac table` and `edac figures`."""

import argparse

from flows.cli import registry
from stages.core.project import layout
from stages.core.tracking import connection
from stages.report import distillation, document, edac, figures, mou, paper, results
from stages.report.document import Document
from stages.report.paper import Paper
from stages.report.results import Results


def print_table(given: argparse.Namespace) -> None:
    """Print a paper's tables with this project's figures beside."""
    papers = {"mou": _mou, "distillation": _distillation}
    print(document.render(papers.get(given.model, _edac)(given), given.format), end="")


def draw_figures(given: argparse.Namespace) -> None:
    """Draw the figures of EDAC's paper and print where they lie."""
    found, published = _results(given)
    for path in figures.save(found, published, given.model, given.to, suffix=given.format):
        print(path)


def _edac(given: argparse.Namespace) -> Document:
    found, published = _results(given)
    return edac.document(found, published, given.model, margin=given.margin)


def _mou(given: argparse.Namespace) -> Document:
    where, uri, one = layout.MLRUNS, given.tracking_uri, given.experiment
    trackers = [connection.find(where, uri=uri, experiment=one)] if one else connection.find_all(where, uri=uri)
    published = paper.read("mou")
    return mou.document(published, mou.collect(trackers, published))


def _distillation(_: argparse.Namespace) -> Document:
    folders = distillation.Folders(layout.TEACHER, layout.FEATURES, layout.SWEEP, layout.EVALUATION)
    return distillation.document(*distillation.collect(folders), paper.read("distillation"))


def _results(given: argparse.Namespace) -> tuple[Results, Paper]:
    published = paper.read("edac")
    published.of(given.model)
    tracker = registry.find(given.experiment, given.tracking_uri)
    return results.read(tracker, architecture=given.model.replace("-", "_"), sweep=given.sweep), published
