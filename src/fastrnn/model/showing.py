"""How a notebook shows a model."""

import re
from typing import Any

from .. import html
from ..cells import CELLS
from .history import in_words, training_in_words


def model_html(model: Any) -> str:
    """A table of what a model is, and of the losses of its training."""
    config, history, vocabulary = model.config, model.history, model.vocabulary
    layers = f"{config['num_layers']} layers of " if config["num_layers"] > 1 else ""
    rows = [("cell", f"{re.sub('^(the|an?) ', '', CELLS[config['cell']].summary)} "
                     f"({config['cell']})"),
            ("size", f"{layers}{config['hidden_size']} hidden units")]
    if config["embedding_size"]:
        rows.append(("embedding", f"{config['embedding_size']} numbers for each symbol"))
    if vocabulary is None:
        rows.append(("data", f"sequences: {model.sizes}"))
    else:
        records = vocabulary.stop is not None
        rows.append(("data", f"{'records' if records else 'a text'} of {len(vocabulary):,} "
                             f"symbols, by {vocabulary.symbol_name}s"))
    if config["labels"]:
        names = config["labels"]
        rows.append(("labels", ", ".join(names[:8]) + (f" and {len(names) - 8:,} others"
                                                       if len(names) > 8 else "")))
    rows += [("parameters", f"{model.block.size:,}, {config['dtype']}"),
             ("loss", config["loss"].replace("_", " "))]
    unit = vocabulary.symbol_name if vocabulary else history.measure[1]
    if len(history):
        rows += [("trained", f"{len(history):,} updates"),
                 ("training loss", training_in_words(history, config["loss"], unit))]
    if history.valid_loss.size:
        rows.append(("lowest validation loss",
                     in_words(history.lowest_validation()[0], history.measure, unit)))
    return html.fragment(html.table(rows, name="fastrnn.Model"))
