"""Write a report on a trained model: losses, samples, gradient check, simple models, settings."""

import argparse
from typing import Any

from ..data.corpus import Corpus
from ..model.model import Model
from ..pages.courses import COURSES
from ..pages.formats import KINDS
from ..pages.report import report
from ..screen import show
from ..training.checkpoint import load, read
from .sources import add_sources, check_fits, load_with, read_source, read_valid, source_flags
from .train import DEFAULT_TEXT

EXAMPLES = """examples:
  fastrnn report book.safetensors book.txt -o report.html
  fastrnn report names.safetensors --table names.tsv --for names -o report.pdf

FILE or the flags that name the data are those of the training: with them the validation loss is
compared with simple models, and the samples with the training text. Without them these parts are
left out."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "fastrnn report MODEL [FILE] -o REPORT [FLAGS]"
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="a checkpoint")
    add_sources(parser, reading=False)
    parser.add_argument("-o", "--output", dest="output", metavar="REPORT", required=True,
                        help=f"the report, which ends in {', '.join(KINDS)}")
    parser.add_argument("--for", dest="course", choices=COURSES, default=None,
                        help="in the order of a course, with its questions as headings, the "
                             "measured figures that answer them, and what is left to write: "
                             + ", ".join(COURSES))
    parser.add_argument("--valid", metavar="FILE", default=argparse.SUPPRESS,
                        help="the validation data, of a training that had --valid")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: 0)")
    parser.add_argument("--temperature", type=float, default=1.0,
                        help="of the samples (default: 1.0)")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace a file that fastrnn did not write")
    parser.add_argument("--best", action=argparse.BooleanOptionalAction, default=None,
                        help="the model of the lowest validation loss, or without validation of "
                             "the lowest smoothed loss, in place of the last (default: yes)")


def run(model: str, output: str, seed: int, temperature: float, overwrite: bool,
        best: bool | None, course: str | None = None, **given: Any) -> int:
    if best is None:
        best = "trainer" in read(model)[2]
    network = load(model, best=best)
    data, valid = None, None
    if network.vocabulary is None:
        if source_flags(given):
            raise ValueError("the model was made for sequences, which no flag names: leave the "
                             "data out, or call model.report in Python with them")
    else:
        check_fits(model, network, given)
        data = read_source(given, network.vocabulary) or _default_text(network)
    if data is not None and given.get("valid") is not None:
        valid = read_valid(given["valid"], given, data)
    report(network, output, data, valid=valid, course=course, seed=seed, temperature=temperature,
           overwrite=overwrite, file=model, flags=source_flags(given))
    show(f"report      {output}")
    return 0


def _default_text(model: Model) -> Corpus | None:
    """What `fastrnn train` without FILE trains on, if it is what this model was trained on."""
    about = (model.run or {}).get("text", {})
    if about.get("name") != DEFAULT_TEXT:
        return None
    corpus = load_with(model.text_vocabulary, DEFAULT_TEXT)
    return corpus if corpus.fingerprint() == about["fingerprint"] else None
