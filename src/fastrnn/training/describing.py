"""A training run in a few lines: what it learns from, the model, how it is trained."""

import math
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from ..cells import CELLS
from ..files.store import short
from .leading import leading
from .trainer import Trainer

OPTIMIZERS = {"adagrad": "AdaGrad", "rmsprop": "RMSProp", "adam": "Adam", "sgd": "SGD"}


def describe(trainer: Trainer, note: str) -> str:
    """The block of lines before a run; `note` says where its settings come from."""
    model, config = trainer.model, trainer.config
    shape, K = model.config, model.sizes.outputs
    layers = f"{shape['num_layers']} layers of " if shape["num_layers"] > 1 else ""
    cell = re.sub("^(the|an?) ", "", CELLS[shape["cell"]].summary)
    held, own = config["valid_fraction"], trainer.validated_on
    part = "a random " * (config["valid_split"] == "random") + f"{100 * held:g} % of it"
    valid = f"; {own or part} for validation" if held or own else "; no validation"
    threads = model.network(1, config["batch_size"]).useful_threads(trainer.threads)
    leader = leading.get()
    on = f" on each of {leader.ranks.size} processes" if leader else ""
    lines = {
        "data": trainer.corpus.describe() + valid,
        **_ambiguous(trainer),
        "model": f"{cell}, {layers}{shape['hidden_size']} hidden units: "
                 f"{model.block.size:,} parameters, {shape['dtype']}",
        "training": _training(config, shape, trainer),
        "plan": f"{_length(trainer)}, {threads} thread{'s' * (threads > 1)}{on}",
        "settings": note}
    unit, what = trainer.history.measure
    if unit == "nats":
        lines["loss"] = (f"cross-entropy in nats per {trainer.corpus.unit}; a uniform guess among "
                         f"{K} has {math.log(K):.2f}")
    else:
        lines["loss"] = f"mean {unit} of a {what}"
    return block(lines)


def _ambiguous(trainer: Trainer) -> dict[str, str]:
    """A line about records that stand with several labels, if there are any."""
    found = trainer.corpus.ambiguous() if trainer.model.config["labels"] else {}
    if not found:
        return {}
    text, labels = next(iter(found.items()))
    return {"labels": f"{len(found):,} text{'s stand' if len(found) > 1 else ' stands'} with "
                      f"several labels, such as {short(text)}: "
                      f"{', '.join(labels[:5])}"}


def block(lines: dict[str, str]) -> str:
    """Texts, each behind its name, broken at 80 columns."""
    return "\n".join(textwrap.fill(text, 80, initial_indent=f"{name:12}",
                                   subsequent_indent=" " * 12, break_long_words=False,
                                   break_on_hyphens=False)
                     for name, text in lines.items())


def _training(config: dict[str, Any], shape: Mapping[str, Any], trainer: Trainer) -> str:
    source, N = trainer.corpus, config["batch_size"]
    rows = (f"{N} x {config['seq_length']} {source.unit}s"
            if config["seq_length"] != source.steps else f"{N} {source.kind}")
    rate = f"learning rate {config['learning_rate']:g}"
    if config["schedule"] == "cosine":
        rate += f" falling to {config['schedule_end'] * config['learning_rate']:g}"
    limits = [f"{what} at most {config[name]:g}" for name, what in
              (("clip_norm", "gradient norm"), ("clip_value", "gradient entries")) if config[name]]
    optimizer = OPTIMIZERS.get(config["optimizer"], config["optimizer"])
    drops = [f"{what} {shape[name]:g}" for name, what in
             (("dropout", "dropout"), ("weight_drop", "weight drop")) if shape[name]]
    return ", ".join([f"batches of {rows}", f"{optimizer}, {rate}", *limits, *drops,
                      *(["averaged parameters"] if config["weight_average"] else [])])


def _length(trainer: Trainer) -> str:
    if trainer.config["minutes"]:
        return f"{60 * trainer.config['minutes']:g} seconds"
    epochs = (trainer.planned or 0) / trainer.updates_per_epoch
    return f"{trainer.planned:,} updates, {epochs:.3g} pass{'es' * (epochs != 1)} over the data"
