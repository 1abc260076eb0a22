"""A page that shows what the units of a model do while it reads a text."""

import os
from dataclasses import dataclass
from html import escape
from typing import Any, Unpack

import numpy as np

from ..checks.reference import CELLS
from ..data.corpus import Corpus
from ..data.vocabulary import Vocabulary
from ..html import document, embed, visible
from ..insight.activations import Activations, activations
from ..insight.reach import LAGS, reach
from ..insight.units import LEAST, SHIFTS, Correlations, Followed, correlations
from ..model.model import Model
from ..model.scoring import ids_of_text
from ..settings import LookSettings, checked, documented
from .look_data import SEEN, data_of, name_of
from .writing import check_page, script, write_page

MOST_SYMBOLS = 2000  # shown where no length is given, or as many as have
MOST_VALUES = 3_200_000  # in all, but at least LEAST symbols
STYLE = script("look.css")


@documented(LookSettings)
def look(model: Model, text: str | bytes | Corpus, path: str | os.PathLike[str], *,
         overwrite: bool = False, **settings: Unpack[LookSettings]) -> None:
    """Write a page that shows what the units of a model do while it reads a text.

    One file that needs no network. The text is coloured by the value of a unit or gate, which is
    chosen with a slider or with keys; by the surprisal of each symbol, in bits, beside the five
    symbols that were likeliest in its place; or by the gradient of one prediction's loss with
    respect to each symbol before it. Units that follow something with a name, such as quotation
    marks or the place in the line, are listed with their correlation.

    Parameters
    ----------
    model : Model
        With a vocabulary.
    text : str, bytes (for unit "byte") or Corpus of a text
        Read from ``model.state``; for a model of records one record, read from the zero state.
    path : str or path-like
        The file, which ends in .html.
    overwrite : bool
        Whether a file that is no page of fastrnn may be replaced.
    **settings
        `LookSettings`.

    Raises
    ------
    ValueError, TypeError
        A model of sequences, an empty text, symbols that the vocabulary does not have, an unknown
        label, a unit that does not exist, values that are not finite, or another kind of file.
    OSError
        The file cannot be written; an earlier one is unchanged.

    See Also
    --------
    fastrnn.insight.activations.activations : the values as arrays.
    fastrnn.gradient_norms : gradients with respect to the state, and for sequences of numbers.
    """
    check_page(path, overwrite)
    body = read(model, text, **settings).html()
    title = f"What {_of_model(model)} does while it reads"
    page = document(title, f"<h1>{visible(title)}</h1>\n{body}", script=script("look.js"),
                    style=f"body {{ max-width: 74rem; }}\n{STYLE}")
    write_page(path, page, overwrite)


@dataclass(frozen=True)
class Reading:
    """What a model did while it read a text, ready to be shown: the start of the text that is
    shown (the whole has `total` symbols; 0 for a record), what units follow there, and what look.js
    needs."""

    model: Model
    found: Activations
    followed: Correlations
    data: dict[str, Any]
    total: int

    def html(self, heading: str = "h2") -> str:
        """A part of a page that has `STYLE` and the script "look.js" at its end, with this tag for
        its headings."""
        return (f'<div id="look">\n{_head(self)}{_units(self, heading)}{_reach(self, heading)}'
                f'</div>\n{embed(self.data, "look-data")}')


def read(model: Model, text: str | bytes | Corpus, **settings: Unpack[LookSettings]) -> Reading:
    """Let a model read a text, or its start. Arguments and errors are those of `look`."""
    given = checked(LookSettings, dict(settings), "look")
    vocabulary = check_reads_text(model)
    series = _series(model)
    chosen = given["unit"] and _chosen(given["unit"], series, model.config["hidden_size"])
    most = given["length"] or fitting(model)
    text, total = _cut(model, text, 2 * most)  # as many again are not shown, but compared with
    whole = activations(model, text, given["label"])
    if not all(np.isfinite(v).all() for layer in whole.layers for v in layer.values()):
        raise ValueError("the values of this model are not finite: its training has diverged, and "
                         "there is nothing to see")
    found = whole.first(most) if total else whole
    followed = correlations(whole, vocabulary, len(found.ids))
    predictions = int((found.targets >= 0).sum())
    norms = (reach(model, found, min(LAGS, predictions))
             if predictions and model.reservoir is None else None)
    best = followed.best()
    start = chosen or (best[0].units[best[0].holds.argmax()] if best else followed.units[0])
    data = data_of(vocabulary, found, followed, series, norms, start)
    return Reading(model, found, followed, data, total)


def fitting(model: Model, symbols: int = MOST_SYMBOLS, values: int = MOST_VALUES) -> int:
    """The largest number of symbols, at most `symbols` and at least LEAST, whose values are not
    more than `values`."""
    of_each: int = len(_series(model)) * model.config["hidden_size"]
    return max(LEAST, min(symbols, values // of_each))


def _series(model: Model) -> list[tuple[int, str]]:
    """Layer and name of all values, in the order in which the page has them."""
    return [(layer, name) for layer in range(model.config["num_layers"])
            for name in CELLS[model.config["cell"]].names]


def check_reads_text(model: Model) -> Vocabulary:
    """The model's vocabulary; ValueError, which says what to do instead, if it has none."""
    if model.vocabulary is None:
        raise ValueError("look shows how a model reads a text, and this one was made for "
                         "sequences: Model.predict and gradient_norms read those")
    return model.vocabulary


def _of_model(model: Model) -> str:
    cell, layers = model.config["cell"].upper(), model.config["num_layers"]
    article = "an" if cell[0] in "ERL" and cell != "RELU" else "a"
    of = f"of {layers} layers of" if layers > 1 else "of"
    return f"{article} {cell} {of} {model.config['hidden_size']} units"


def _chosen(unit: str, series: list[tuple[int, str]], H: int) -> tuple[int, str, int]:
    """The layer, value and unit of a text such as "0:37" or "0:c:37"."""
    layer, _, rest = str(unit).partition(":")
    name, _, number = rest.rpartition(":")
    if layer.isdecimal() and number.isdecimal() and int(number) < H:
        found = int(layer), name or "h"
        if found in series:
            return (*found, int(number))
    names, last = ", ".join(dict.fromkeys(name for _, name in series)), series[-1][0]
    raise ValueError(f"unit must be LAYER:UNIT or LAYER:VALUE:UNIT, such as 0:{H - 1} or "
                     f"0:h:{H - 1}, with {f'a layer from 0 to {last}' if last else 'layer 0'}, a "
                     f"unit from 0 to {H - 1} and a value of {names}, not {unit!r}")


def _cut(model: Model, text: str | bytes | Corpus,
         most: int) -> tuple[str | bytes | Corpus, int]:
    """The first `most` symbols of a text, and how many the whole has; a record, and 0."""
    vocabulary = model.text_vocabulary
    if vocabulary.stop is not None:
        return text, 0
    ids = ids_of_text(model, vocabulary, text)
    return Corpus(ids[:most], vocabulary), len(ids)


def _cell(vocabulary: Vocabulary, number: int) -> str:
    """A symbol of the text: as it is where it can be seen, else its name in grey."""
    name, symbol = name_of(vocabulary, number), vocabulary.symbols[number]
    if vocabulary.unit == "bpe":
        text = vocabulary.texts[number]
        end = "\n" if text.endswith("\n") else ""
        return f"{' ' * text.startswith(' ')}<span>{escape(name)}</span>{end}"
    if vocabulary.unit == "word":
        return f"<span>{escape(name)}</span> "
    character = chr(symbol) if isinstance(symbol, int) else symbol
    if name == character or name == f"◌{character}":
        return f"<span>{escape(name)}</span>"
    if character in SEEN and character != "\n":
        return f"<span>{character}</span>"
    end = "\n" if character == "\n" else ""
    return f'<span><span class="hidden-symbol">{escape(name)}</span>{end}</span>'


INTRO = """\
<p>Each symbol is coloured by the value of one unit after the model has read it. Layers, units and
positions count from 0, as in Python: {example}. A click or a tap on a symbol holds it.
<span class="look-keys">Keys: ← → another unit, ↑ ↓ another gate, state or layer, Shift ← → another
symbol.</span></p>
<div class="look-controls controls">
<fieldset><legend>Colour by</legend>
<label><input type="radio" name="look-mode" value="unit" checked> a unit</label>
<label><input type="radio" name="look-mode" value="surprisal"> surprisal</label>
<label{no_gradient}><input type="radio" name="look-mode" value="gradient"> gradient</label>
</fieldset>
<label>Value <select id="look-series"></select></label>
<span><label>Unit <input type="range" id="look-slider" min="0" max="{last}"></label>
<input type="number" id="look-unit" min="0" max="{last}" aria-label="number of the unit"></span>
</div>
<p id="look-legend">The values could not be read: this page needs JavaScript, and a browser of 2023
or later.</p>
<div class="look-columns">
<div id="look-text" class="text" tabindex="0" role="group" aria-label="the text">{cells}</div>
<aside id="look-panel" aria-live="polite">Point at a symbol.</aside>
</div>
<p class="note">{note}</p>
"""


def _head(reading: Reading) -> str:
    """Controls, the text, and what is said about both."""
    model, data, total = reading.model, reading.data, reading.total
    vocabulary, shown = model.text_vocabulary, len(reading.found.ids)
    name = "character" if vocabulary.unit == "char" else vocabulary.unit
    unit = name if vocabulary.stop is None else "symbol"
    note = [f"{shown:,} {unit}s"]
    if shown < total:
        note = [f"The first {shown:,} of {total:,} {name}s; the others are not shown"]
    step = 100 / (2 * data["levels"])
    note.append(f"values of gates are rounded to {step / 100:.2g}, of other units to {step:.2g} % "
                "of the range from minus to plus the largest of that unit")
    if data["reach"]:
        note.append("gradients to about "
                    f"{(10 ** ((data['reach']['high'] - data['reach']['low']) / 506) - 1):.1%}")
    cells = "".join(_cell(vocabulary, i) for i in data["ids"])
    first, unit = data["series"][data["start"][0]], data["start"][1]
    example = (f"{first['layer']}:{first['name']}:{unit} is in layer {first['layer']} the "
               f"{first['title']} {first['name']} of unit {unit}")
    return INTRO.format(cells=cells, note="; ".join(note) + ".", example=example,
                        last=model.config["hidden_size"] - 1,
                        no_gradient="" if data["reach"] else " hidden")


def _units(reading: Reading, heading: str) -> str:
    """The list of the units that follow something."""
    followed, count = reading.followed, len(reading.found.ids)
    if not followed.features:
        return (f'<p class="note">{count} symbols are too few to say which units follow something '
                f"with a name: {LEAST} are needed.</p>\n")
    rows = []
    for row in followed.best():
        buttons = "".join(
            f'<button type="button" data-unit="{unit}"{"" if holds else " class=look-chance"}>'
            f"{unit} &ensp;{r}</button>"
            for unit, r, holds in zip(unit_names(row), in_words(row), row.holds, strict=True))
        values = followed.features[row.name]
        true = (">a count" if values.max() > 1 else f' data-what="true of">{int(values.sum()):,}')
        rows.append(
            f'<tr><td>{escape(row.name)}</td><td class="number"{true}</td>'
            f'<td>{buttons}</td><td class="number" data-what="chance">{row.chance:.2f}</td></tr>')
    return (
        f"<{heading}>Units that follow something with a name</{heading}>\n"
        '<div class="wide"><table class="look-units"><thead><tr><th scope="col">what</th>'
        '<th scope="col" class="number">true of</th><th scope="col">units, with their correlation'
        '</th><th scope="col" class="number">chance</th></tr></thead>\n<tbody>'
        + "\n".join(rows) + "</tbody></table></div>\n"
        '<p class="note">A button colours the text by that unit.</p>\n'
        + "".join(f'<p class="note">{visible(text)}</p>\n' for text in explained(reading)))


def unit_names(row: Followed) -> list[str]:
    """The units of a feature as the page calls them, such as "0:c:37"."""
    return [f"{layer}:{value}:{unit}" for layer, value, unit in row.units]


def in_words(row: Followed) -> list[str]:
    """The correlation of each unit with a feature, and where it is known that in the symbols after
    them."""
    after = [""] * len(row.r) if row.after is None else [f" ({_signed(r)})" for r in row.after]
    return [f"{_signed(r)}{more}" for r, more in zip(row.r, after, strict=True)]


def explained(reading: Reading) -> list[str]:
    """What the list of units shows, in paragraphs."""
    followed = reading.followed
    after = ("In brackets: the correlation in the symbols that follow, which are not shown and by "
             "which no unit was chosen. Where it is less than half as large, the unit follows "
             "something else, and is grey."
             if followed.after is not None else "In another text it may be smaller.")
    return [
        f"Pearson correlation over the {len(reading.found.ids):,} symbols shown: of the value "
        "after a symbol with what is true of that symbol (1 or 0), or with the count; the three "
        f"largest. {after}",
        f"Some of {len(followed.units):,} values follow anything by chance: “chance” is the 99th "
        "percentile of the largest correlation among all of them when what is true is moved along "
        f"the text, by {SHIFTS} distances in turn; what is not above it is grey. A correlation may "
        "come from a few large counts, and does not say that the model uses the unit for this. "
        "Several units together may follow what none does alone."]


def _signed(r: float) -> str:
    return "–" if np.isnan(r) else f"{'+' if r > 0 else '−'}{abs(r):.2f}"


def _reach(reading: Reading, heading: str) -> str:
    """The chart of gradients."""
    model, data = reading.model, reading.data
    if model.reservoir is not None:
        return ('<p class="note">No gradient goes back in time: the layer of an esn is not '
                "trained.</p>\n")
    if not data["reach"]:
        return ""
    read = "its embedding" if model.config["embedding_size"] else "its one-hot vector"
    lags = data["reach"]["lags"]
    return (
        f"<{heading}>How far back a prediction looks</{heading}>\n"
        '<figure><svg id="look-chart" viewBox="0 0 640 260" width="640" height="260" role="img" '
        'aria-label="norm of the gradient against the number of symbols back" font-size="12" '
        'fill="currentColor"></svg><figcaption>The norm of the gradient of one prediction’s loss, '
        f"in nats, with respect to each symbol read before it ({read}), on a logarithmic scale. "
        "Dashed: the mean over all predictions of the text. Line: that of the symbol held. "
        f"Gradients are followed back for {lags} symbols; beyond they need not be 0."
        "</figcaption></figure>\n")
