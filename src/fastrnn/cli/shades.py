"""Colours of symbols by their surprisal, for a terminal."""

import argparse
import bisect
import math
import os
import re
import sys
from collections.abc import Iterable

from ..screen import escaped, is_terminal, show
from .flags import COLOR

# Least bits of each shade but the first: the probability is at most 1/2, 1/4, 1/16, 1/256.
EDGES = (1, 2, 4, 8)
# (background, text) among the 256 colours: beige to dark red, each darker than the one before,
# so that they can be told apart without seeing colours, and with their own colour of the text,
# so that they are readable whatever the terminal's colours are
SHADES = ((187, 16), (179, 16), (202, 16), (124, 231))


def add_color(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--color", nargs="?", const="auto", default="never", choices=COLOR,
                        metavar="WHEN", help="shade each symbol by its surprisal, in bits: auto "
                        "(the default of a bare --color) on a terminal, unless NO_COLOR is set, "
                        "always or never")


def wanted(when: str) -> bool:
    """Whether standard output is to be coloured."""
    if when != "auto":
        return when == "always"
    return (is_terminal(sys.stdout) and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") != "dumb")


def shaded(symbol: str, nats: float) -> str:
    """A symbol, escaped, in the shade of its surprisal; NaN, and line ends, have none."""
    level = bisect.bisect_right(EDGES, nats / math.log(2)) if nats == nats else 0
    if not level:
        return escaped(symbol)
    background, text = SHADES[level - 1]
    color = f"\x1b[38;5;{text};48;5;{background}m"
    return re.sub(r"[^\r\n]+", lambda found: f"{color}{found[0]}\x1b[0m", escaped(symbol))


def show_symbols(symbols: Iterable[tuple[str, float]], colored: bool) -> None:
    """Print each symbol as it comes, and end the line, after Ctrl-C too."""
    def put(text: str, nats: float) -> None:
        show(shaded(text, nats) if colored else text, end="", harmless=colored)

    held, before = "", math.nan  # a carriage return, until it is known whether a line feed follows
    try:
        for symbol, nats in symbols:
            if symbol.startswith("\n"):
                symbol = held + symbol
            elif held:
                put(held, before)
            text = symbol.removesuffix("\r")
            put(text, nats)
            held, before = symbol[len(text):], nats
    finally:
        show(held)


def legend(unit: str) -> str:
    """The line that says what the shades mean, harmless."""
    names = [f"0-{EDGES[0]}", *map("{}-{}".format, EDGES, EDGES[1:]), f"{EDGES[-1]}+"]
    middle = (0.0, *(1.5 * edge * math.log(2) for edge in EDGES))
    unit = "char" if unit == "byte" else unit  # one shade for the bytes of a character
    return (f"bits per {unit} (-log2 p at temperature 1): "
            + " ".join(shaded(f" {name} ", nats) for name, nats in zip(names, middle, strict=True)))
