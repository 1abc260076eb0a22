"""Write a page that shows what the units of a model do while it reads a text."""

import argparse
import os
from pathlib import Path
from typing import Any

from ..data.corpus import Corpus
from ..data.files import STDIN
from ..model.model import Model
from ..pages.look import check_reads_text, look
from ..pages.writing import check_page
from ..screen import show
from ..settings import LookSettings
from ..training.checkpoint import load
from .flags import add_settings, read_label

EXAMPLES = """examples:
  fastrnn look model.safetensors book.txt -o look.html
  fastrnn look model.safetensors --text "He said: (and smiled)" -o look.html --unit 0:c:37
  fastrnn look names.safetensors --text Johanna --label Netherlands -o look.html"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="a checkpoint of texts or records")
    parser.add_argument("file", metavar="FILE", nargs="?",
                        help="the text to read, in UTF-8 or with --encoding; - is standard input")
    parser.add_argument("--text", metavar="TEXT", help="the text itself, or a record, such as a "
                        "name")
    parser.add_argument("-o", "--output", metavar="PAGE", required=True,
                        help="the page to write, such as look.html")
    parser.add_argument("--label", default=argparse.SUPPRESS, metavar="LABEL",
                        help="for records with labels: a label, or a mixture such as "
                             "Netherlands=0.5,Poland=0.5")
    parser.add_argument("--encoding", metavar="ENCODING", help="that of FILE, such as cp1252")
    parser.add_argument("--best", action=argparse.BooleanOptionalAction, default=None,
                        help="the model of the lowest validation loss, or else smoothed loss, in "
                             "place of the last (default: if there were validations)")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace a file that fastrnn did not write")
    add_settings(parser, LookSettings, leave_out={"label"})


def run(model: str, file: str | None, text: str | None, output: str, encoding: str | None,
        best: bool | None, overwrite: bool, **settings: Any) -> int:
    if (file is None) == (text is None):
        raise ValueError("give FILE, the text to read, or --text with the text itself")
    check_page(output, overwrite)
    reader = load(model, best=best)
    check_reads_text(reader)
    if "label" in settings:
        settings["label"] = read_label(settings["label"], reader.config["labels"])
    source = _read(file, reader, encoding) if text is None else text
    look(reader, source, output, overwrite=overwrite, **settings)
    show(f"page        {output}, {os.path.getsize(output):,} bytes: open it in a browser")
    return 0


def _read(file: str | None, model: Model, encoding: str | None) -> Corpus:
    vocabulary = model.text_vocabulary
    assert file is not None
    if vocabulary.stop is not None:
        raise ValueError("this model reads records, one at a time: give it with --text, in place "
                         "of FILE")
    return Corpus.from_file(file if file == STDIN else Path(file), vocabulary=vocabulary,
                            encoding=encoding)
