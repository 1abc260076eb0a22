"""A page with a model in it, which writes where it is opened."""

import os
import re
from html import escape
from pathlib import Path

import numpy as np

from .. import html
from ..cells import CELLS
from ..data.vocabulary import Vocabulary
from ..model.history import in_words, training_in_words
from ..model.model import Model
from .weights import Rounding, packed, rounding
from .writing import check_page, script, write_page

LENGTHS = {"char": 500, "byte": 500, "word": 100}  # of a text or a record, before that is changed
UNITS = {"char": "characters", "byte": "bytes", "word": "words"}
SCRIPTS = ("network.js", "text.js", "play.js")


def write(model: Model, path: str | os.PathLike[str], overwrite: bool = False, *,
          dtype: str = "float32", title: str | None = None) -> Rounding | None:
    """Write a page, one HTML file, in which the model writes text, and return what int8 weights
    change, or None. `fastrnn.export` says the rest."""
    if model.vocabulary is None:
        raise ValueError("a page writes text, and this model was made for sequences: it can "
                         "predict, extrapolate and score sequences")
    if model.vocabulary.unit == "bpe":
        raise ValueError('a page writes characters, bytes or words, and this model\'s unit is '
                         '"bpe": train another one for the page')
    if not np.isfinite(model.block).all():
        raise ValueError("the model's parameters are not finite, so it cannot generate: load an "
                         "earlier checkpoint, or train anew with a lower learning_rate")
    check_page(path, overwrite)
    changed = rounding(model) if dtype == "int8" else None
    title = Path(path).stem if title is None else title
    write_page(path, page(model, title, dtype, changed), overwrite)
    return changed


def page(model: Model, title: str, dtype: str = "float32", changed: Rounding | None = None) -> str:
    """The page as text; `changed` is what int8 weights change."""
    vocabulary, config = model.text_vocabulary, model.config
    tensors, weights = packed(model, dtype)
    data = {"cell": config["cell"], "hidden_size": config["hidden_size"],
            "num_layers": config["num_layers"], "tensors": tensors, "weights": weights,
            "vocabulary": vocabulary.to_dict(), "labels": config["labels"],
            "starts": (model.starts if model.starts.size else np.zeros(len(vocabulary))).tolist(),
            "hidden": html.HIDDEN.pattern}
    facts = html.table(_facts(model, dtype, changed))
    body = "\n".join([
        f"<header><h1>{html.visible(title)}</h1>",
        f'<p class="note">{html.visible(_summary(model))}</p></header>',
        _form(vocabulary, config["labels"]), RESULT,
        f"<details><summary>About the model</summary>{facts}</details>",
        "<noscript><p>This page writes with JavaScript: switch it on.</p></noscript>",
        '<footer class="note">Made with fastrnn. This file has the whole model in it: it works '
        "without a network, and nothing that you type leaves it.</footer>",
        html.embed(data, "model")])
    return html.document(title, body, script="".join(map(script, SCRIPTS)),
                         style=script("play.css"))


def _summary(model: Model) -> str:
    """The model in a line."""
    config, vocabulary = model.config, model.text_vocabulary
    cell = re.sub("^(the|an?) ", "", CELLS[config["cell"]].summary)
    layers = f"{config['num_layers']} layers of " if config["num_layers"] > 1 else ""
    what = "records of " if vocabulary.stop is not None else ""
    different = len({*vocabulary.symbols} - {vocabulary.start, vocabulary.stop})
    return (f"{cell}, {layers}{config['hidden_size']:,} hidden units. It writes {what}"
            f"{different:,} different {UNITS[vocabulary.unit]}.")


def _facts(model: Model, dtype: str, changed: Rounding | None) -> list[tuple[str, str]]:
    vocabulary, config, history = model.text_vocabulary, model.config, model.history
    cell = CELLS[config["cell"]]
    facts = [("cell", cell.summary), ("layers", str(config["num_layers"])),
             ("hidden units in each", f"{config['hidden_size']:,}"),
             ("trained parameters", f"{model.block.size:,}")]
    if config["embedding_size"]:
        facts.append(("embedding", f"{config['embedding_size']:,} numbers for each symbol"))
    facts.append(("symbols", f"{len(vocabulary):,} {vocabulary.unit}s"))
    if history.valid_loss.size:
        facts.append(("lowest validation loss", in_words(
            history.lowest_validation()[0], history.measure, vocabulary.unit)))
    if len(history):
        facts.append(("training loss at the end", training_in_words(
            history, config["loss"], vocabulary.unit)))
    if changed is None:
        return [*facts, ("weights", dtype)]
    return [*facts, ("weights", "int8, with one float32 scale for each column of a matrix"),
            ("what that changes", changed.in_words(vocabulary.unit))]


def _form(vocabulary: Vocabulary, labels: list[str] | None) -> str:
    """The settings of a text, and the buttons."""
    unit, records = vocabulary.unit, vocabulary.stop is not None
    K = len(vocabulary)
    count = ('<label>Records <input id="count" type="number" min="1" max="1000" value="10" '
             "required></label>" if records else "")
    length = (f'<label>{"At most" if records else "Length"}, in {UNITS[unit]} <input id="length" '
              f'type="number" min="1" max="100000" value="{LENGTHS[unit]}" required></label>')
    return f"""\
<form id="form" class="controls">
<label for="prime">Text to begin with</label>
<textarea id="prime" rows="2" spellcheck="false" autocapitalize="off"
aria-describedby="keys"></textarea>
<span id="keys" class="note">Ctrl+Enter writes, Escape stops.</span>
<div class="fields">
{_labels(labels or [])}
<label>Temperature <span class="slider">
<input id="temperature" type="range" min="0" max="2" step="0.05" value="1">
<output id="degrees" for="temperature">1.00</output></span></label>
<label>Of the likeliest (top-k) <input id="topk" type="number" min="1" max="{K}"
placeholder="all {K:,}"></label>
{count}{length}
<label>Seed <input id="seed" type="number" min="0" max="4294967295" placeholder="any"></label>
<label>Speed <select id="speed"><option value="8">slow: 8 a second</option>
<option value="40" selected>40 a second</option><option value="0">as fast as it can</option>
</select></label>
</div>
{_mixture(labels or [])}
<div class="buttons"><button id="write" type="submit">Write</button>
<button id="more" type="button">More</button>
<button id="stop" type="button" disabled>Stop</button>
<span id="status" role="status"></span></div>
</form>"""


def _labels(labels: list[str]) -> str:
    if not labels:
        return ""
    options = "".join(f'<option value="{i}">{escape(html.plain(label))}</option>'
                      for i, label in enumerate(labels))
    mixture = '<option value="mixture">a mixture of them</option>' if len(labels) > 1 else ""
    return f'<label>Label <select id="label">{options}{mixture}</select></label>'


def _mixture(labels: list[str]) -> str:
    """The weight of each label in a mixture."""
    if len(labels) < 2:
        return ""
    weights = "".join(
        f'<label>{html.visible(label)} <input class="weight" type="number" min="0" step="any" '
        f'value="{int(i < 2)}" required></label>' for i, label in enumerate(labels))
    return ('<fieldset id="mixture" hidden disabled><legend>Weights of the labels, divided by their'
            f' sum</legend><div class="fields">{weights}</div></fieldset>')


RESULT = """\
<div class="columns">
<section aria-labelledby="written"><h2 id="written">Text</h2>
<div id="text" class="text" tabindex="0" role="region" aria-labelledby="written"></div>
</section>
<section aria-labelledby="units"><h2 id="units">Hidden units</h2>
<div id="layers"></div>
<p class="legend"><span id="least"></span><span class="ramp" aria-hidden="true"></span>
<span id="most"></span></p>
<h2 id="likeliest">The last symbol</h2>
<p class="note">The probabilities that the model gave to it and to the likeliest, before temperature
and top-k.</p>
<ol id="next" aria-labelledby="likeliest"></ol>
</section>
</div>"""

