"""Write a model as a file that another program reads, such as a page that writes in a browser."""

import argparse
import os
from pathlib import Path
from typing import Any

from ..formats.exporting import export
from ..formats.format import of_path
from ..formats.table import FORMATS
from ..screen import show
from ..settings import ExportSettings
from ..training.checkpoint import load
from ..training.describing import block
from .flags import add_settings

EXAMPLES = """examples:
  fastrnn export model.safetensors play.html
  fastrnn export model.safetensors play.html --dtype int8 --title "After Goethe\"
  fastrnn export model.safetensors model.onnx --softmax"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="a checkpoint")
    parser.add_argument("output", metavar="OUTPUT", nargs="?", help="the file to write: "
                        + ", ".join(f"{each.endings[0]} {each.what}" for each in FORMATS))
    parser.add_argument("-o", "--output", dest="to", metavar="OUTPUT",
                        help="the file to write, in place of the second argument")
    parser.add_argument("--best", action=argparse.BooleanOptionalAction, default=None,
                        help="the model of the lowest validation loss, or else smoothed loss, in "
                             "place of the last (default: if there were validations)")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace a file that fastrnn did not write")
    add_settings(parser, ExportSettings)


def run(model: str, output: str | None, to: str | None, best: bool | None, overwrite: bool,
        **settings: Any) -> int:
    if (output is None) == (to is None):
        raise ValueError("give the file to write once, such as: fastrnn export "
                         f"{model} play.html")
    path = output or to or ""
    chosen = of_path(FORMATS, path, "writes")
    network = load(model, best=best)
    if "title" in chosen.settings:
        settings = {"title": Path(model).stem} | settings
    changed = export(network, path, overwrite=overwrite, **settings)
    lines = {"wrote": f"{path}, {chosen.what}, {os.path.getsize(path):,} bytes: {chosen.then}"}
    if changed is not None:
        lines["int8"] = changed.in_words(network.text_vocabulary.unit)
    show(block(lines))
    return 0
