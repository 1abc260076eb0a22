"""Make a model of a file that another program wrote."""

import argparse

from ..formats.importing import import_model
from ..formats.table import READABLE
from ..screen import show
from ..training.describing import block


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = ", ".join(f"{each.endings[0]} {each.what}" for each in READABLE)
    parser.add_argument("file", metavar="FILE", help=f"the file: {kinds}")
    parser.add_argument("-o", "--output", metavar="MODEL", required=True,
                        help="the model to write, such as model.safetensors")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace a file that fastrnn did not write")


def run(file: str, output: str, overwrite: bool) -> int:
    model = import_model(file)
    model.save(output, overwrite=overwrite)
    show(block({"wrote": f"{output}, {model!r}"}))
    return 0
