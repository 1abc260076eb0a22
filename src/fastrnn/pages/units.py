"""The part of a report that shows what units do while the model reads."""

from typing import cast

from ..data.corpus import Corpus
from ..insight.figures import Figures
from ..insight.units import LEAST
from .blocks import Block, Interactive, Table, Text
from .look import STYLE, Reading, explained, fitting, in_words, read, unit_names
from .sections import Missing
from .writing import script

SYMBOLS = 1000  # of the validation text that are shown, at most
VALUES = 1_200_000  # of all their units


def units(figures: Figures) -> list[Block] | None:
    """What units do at the start of the validation text."""
    if not figures.of_text:
        return None
    held = cast(Corpus | None, figures.held)
    if held is None:
        raise Missing("Without validation data there is no text that the model has not learned "
                      "from: fastrnn look MODEL FILE -o look.html shows any text.")
    found = read(figures.model, held, length=fitting(figures.model, SYMBOLS, VALUES))
    start = f"The start of the validation text, {len(found.found.ids):,} {figures.unit}s."
    return [Text(start), Interactive(found.html("h3"), STYLE, script("look.js"), _table(found))]


def _table(found: Reading) -> list[Block]:
    """The units that follow something, without the text in their colours."""
    rows = [(row.name, *(f"{unit} {r}" for unit, r in
                         zip(unit_names(row), in_words(row), strict=True)), f"{row.chance:.2f}")
            for row in found.followed.best()]
    if not rows:
        return [Text(f"It is too short to say which units follow something with a name: {LEAST} "
                     "symbols are needed.")]
    count, (layer, value, unit) = len(rows[0]) - 2, found.followed.best()[0].units[0]
    return [Table(rows, ("what", *["unit, correlation"] * count, "chance")),
            *(Text(text, note=True) for text in explained(found)),
            Text(f"{layer}:{value}:{unit} is in layer {layer} the {value} of unit {unit}. A report "
                 "as .html shows the text in the colours of each unit.", note=True)]
