"""Write a page in which a trained model writes text, in any browser."""

import argparse
import os
from pathlib import Path
from typing import Any

from ..pages.play import export
from ..pages.writing import check_page
from ..screen import show
from ..settings import ExportSettings
from ..training.checkpoint import load
from ..training.describing import block
from .flags import add_settings

EXAMPLES = """examples:
  fastrnn export model.safetensors -o play.html
  fastrnn export model.safetensors -o play.html --dtype int8 --title "After Goethe\""""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="a checkpoint of texts or records")
    parser.add_argument("-o", "--output", metavar="PAGE", required=True,
                        help="the page to write, such as play.html")
    parser.add_argument("--best", action=argparse.BooleanOptionalAction, default=None,
                        help="the model of the lowest validation loss, or else smoothed loss, in "
                             "place of the last (default: if there were validations)")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace a file that fastrnn did not write")
    add_settings(parser, ExportSettings)


def run(model: str, output: str, best: bool | None, overwrite: bool, **settings: Any) -> int:
    check_page(output, overwrite)
    network = load(model, best=best)
    changed = export(network, output, overwrite=overwrite,
                     **{"title": Path(model).stem} | settings)
    lines = {"page": f"{output}, {os.path.getsize(output):,} bytes: open it in a browser"}
    if changed is not None:
        lines["int8"] = changed.in_words(network.text_vocabulary.unit)
    show(block(lines))
    return 0
