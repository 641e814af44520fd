"""`edac table` and `edac figures`: a paper's tables and figures from sweeps in MLflow."""

import argparse
from pathlib import Path

from flows.cli.arguments import Commands, action


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
    table.add_argument("--format", choices=("markdown", "csv", "html"), default="markdown")
    table.add_argument("--margin", type=float, default=0.02, help="validation AUC that a pick may lose; default: 0.02")
    table.set_defaults(run=action("reports.print_table"))
    figures = commands.add_parser("figures", parents=[source], help="draw the paper's Figures 1, 2, 5 and 6 likewise")
    figures.add_argument(
        "--to", type=Path, default=Path("data/figures"), metavar="FOLDER", help="default: data/figures"
    )
    figures.add_argument("--format", choices=("png", "svg"), default="png")
    figures.set_defaults(run=action("reports.draw_figures"))
