"""List the presets of `fastrnn train --preset`."""

import argparse
import textwrap

from ..presets import PRESETS
from ..screen import show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", choices=PRESETS,
                        help="show one of them only")


def run(name: str | None) -> int:
    for preset in (PRESETS[name],) if name else PRESETS.values():
        show(f"{preset.name}: for {'any data' if preset.kind == 'any' else preset.kind}\n"
              f"  from {preset.source}")
        settings = dict(preset.reading) | dict(preset.settings)
        text = ", ".join(f"{key} {value}" for key, value in settings.items())
        show(textwrap.fill(text, 80, initial_indent="  ", subsequent_indent="  ") + "\n")
    return 0
