"""Rank the labels of records, such as the countries of a name."""

import argparse
from collections.abc import Sequence
from typing import Any

from ..model.ensemble import Average, average
from ..model.model import Model
from ..screen import show
from ..training.checkpoint import load
from .flags import weighted

EXAMPLES = """examples:
  fastrnn rank names.safetensors Johanna Jan
  fastrnn rank names.safetensors Johanna --labels Netherlands,Poland --prior training
  fastrnn rank names.safetensors Johanna --labels Iran,Chile --prior Iran=0.8,Chile=0.2
  fastrnn rank a.safetensors Johanna --with b.safetensors --with c.safetensors"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="a checkpoint of records with labels")
    parser.add_argument("texts", metavar="TEXT", nargs="+", help="a record, such as a name")
    parser.add_argument("--labels", metavar="LABEL,LABEL", help="rank only these labels")
    parser.add_argument("--prior", metavar="PRIOR", help='"training": how often each label came in '
                        "training; or the probabilities before the text is read, such as "
                        "Netherlands=0.7,Poland=0.3 (default: all labels are equally likely)")
    parser.add_argument("--best", action=argparse.BooleanOptionalAction, default=None,
                        help="the model of the lowest validation loss, or else smoothed loss, in "
                             "place of the last (default: if there were validations)")


    parser.add_argument("--with", dest="others", metavar="MODEL", action="append", default=[],
                        help="a checkpoint of the same symbols and labels, whose probabilities are "
                             "averaged with those of the first MODEL; may be given several times")


def run(model: str, texts: Sequence[str], labels: str | None, prior: str | None,
        best: bool | None, others: Sequence[str] = ()) -> int:
    first = load(model, best=best)
    ranker: Model | Average = first
    if others:
        ranker = average([first, *(load(name, best=best) for name in others)])
    chosen = None if labels is None else _chosen(labels, first)
    before: Any = prior
    if prior is not None and prior != "training":
        before = weighted("prior", prior)
    unit = ranker.text_vocabulary.unit
    for text in texts:
        ranking = ranker.rank_labels(text, chosen, before)
        width = max(len("label"), *(len(ranked.label) for ranked in ranking))
        rows = [(str(rank), ranked.label, f"{ranked.probability:.2%}", f"{ranked.total:.3f}",
                 f"{ranked.loss:.4f}") for rank, ranked in enumerate(ranking, 1)]
        show(text)
        for row in [("rank", "label", "probability", "nats in all", f"nats per {unit}"), *rows]:
            show(f"  {row[0]:>4}  {row[1]:{width}}  {row[2]:>11}  {row[3]:>11}  {row[4]:>13}")
    return 0


def _chosen(labels: str, ranker: Model) -> list[str]:
    """One label, which may have a comma, or several."""
    if labels in (ranker.config["labels"] or ()):
        return [labels]
    return [label.strip() for label in labels.split(",")]
