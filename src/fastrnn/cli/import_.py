"""Make a model of a file that another program wrote."""

import argparse
from typing import Any

from ..formats.importing import import_model
from ..formats.table import READABLE
from ..screen import show
from ..settings import ImportSettings
from ..training.describing import block
from .flags import add_settings

EXAMPLES = """examples:
  fastrnn import lstm.pt.safetensors -o model.safetensors
  fastrnn import state_dict.safetensors -o model.safetensors --vocabulary symbols.json
  fastrnn import model.onnx -o model.safetensors"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = ", ".join(f"{each.endings[0]} {each.what}" for each in READABLE)
    parser.epilog = EXAMPLES
    parser.add_argument("file", metavar="FILE", help=f"the file: {kinds}")
    parser.add_argument("-o", "--output", metavar="MODEL", required=True,
                        help="the model to write, such as model.safetensors")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace a file that fastrnn did not write")
    add_settings(parser, ImportSettings)


def run(file: str, output: str, overwrite: bool, **settings: Any) -> int:
    model = import_model(file, **settings)
    model.save(output, overwrite=overwrite)
    show(block({"wrote": f"{output}, {model!r}"}))
    return 0
