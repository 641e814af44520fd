"""`edac table` and `edac figures`: a paper's tables and figures from sweeps in MLflow."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli.arguments import Commands

if TYPE_CHECKING:
    from stages.report.paper import Paper
    from stages.report.results import Results


def add(commands: Commands) -> None:
    """Add the commands."""
    source = argparse.ArgumentParser(add_help=False)
    source.add_argument("model", metavar="MODEL", help="model of EDAC's paper: edac-cnn, edac-cnn-lstm")
    source.add_argument("--sweep", metavar="S", help="name or run id; default: the newest of the model")
    source.add_argument("--experiment", metavar="E", help="MLflow experiment; default: select.registered_name")
    source.add_argument("--tracking-uri", metavar="U", help="MLflow server; default: MLFLOW_TRACKING_URI or mlruns/")
    table = commands.add_parser(
        "table",
        parents=[source],
        help="print a paper's tables from sweeps in MLflow; MODEL mou: 1-5; distillation: of the last `dvc repro`",
    )
    table.add_argument("--format", choices=("markdown", "csv"), default="markdown")
    table.add_argument("--margin", type=float, default=0.02, help="validation AUC that a pick may lose; default: 0.02")
    table.set_defaults(run=_table)
    figures = commands.add_parser("figures", parents=[source], help="draw the paper's Figures 1, 2, 5 and 6 likewise")
    figures.add_argument(
        "--to", type=Path, default=Path("data/figures"), metavar="FOLDER", help="default: data/figures"
    )
    figures.add_argument("--format", choices=("png", "svg"), default="png")
    figures.set_defaults(run=_figures)


def _table(given: argparse.Namespace) -> None:
    tables = {"mou": _table_of_mou, "distillation": _table_of_distillation}
    print(tables.get(given.model, _table_of_paper)(given), end="")


def _table_of_paper(given: argparse.Namespace) -> str:
    from stages.report import table

    found, paper = _results(given)
    if given.format == "csv":
        return table.as_csv(found, paper, given.model)
    return table.markdown(found, paper, given.model, margin=given.margin)


def _table_of_mou(given: argparse.Namespace) -> str:
    from stages.core.project import layout
    from stages.core.tracking import connection
    from stages.report import mou

    where, uri = layout.MLRUNS, given.tracking_uri
    one = given.experiment
    trackers = [connection.find(where, uri=uri, experiment=one)] if one else connection.find_all(where, uri=uri)
    paper = mou.read()
    found = mou.collect(trackers, paper)
    return mou.as_csv(paper, found) if given.format == "csv" else mou.markdown(paper, found)


def _table_of_distillation(given: argparse.Namespace) -> str:
    from stages.core.project import layout
    from stages.report import distillation

    folders = distillation.Folders(layout.TEACHER, layout.FEATURES, layout.SWEEP, layout.EVALUATION)
    rows, n = distillation.collect(folders)
    if given.format == "csv":
        return distillation.as_csv(rows)
    return distillation.markdown(rows, n, distillation.published())


def _figures(given: argparse.Namespace) -> None:
    from stages.report import figures

    found, paper = _results(given)
    for path in figures.save(found, paper, given.model, given.to, suffix=given.format):
        print(path)


def _results(given: argparse.Namespace) -> "tuple[Results, Paper]":
    from flows.cli import project
    from stages.report import paper, results

    published = paper.read()
    published.of(given.model)
    tracker = project.find(given.experiment, given.tracking_uri)
    return results.read(tracker, architecture=given.model.replace("-", "_"), sweep=given.sweep), published
