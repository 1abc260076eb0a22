"""List the presets of `fastrnn train --preset`."""

import argparse

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
        show("  " + ", ".join(f"{key} {value}" for key, value in settings.items()) + "\n")
    return 0
