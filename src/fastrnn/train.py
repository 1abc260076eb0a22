"""From a text or sequences to a trained model in one call."""

import os
import sys
from typing import Any, Unpack

from .data.corpus import Corpus
from .data.source import Source
from .model.model import Model
from .settings import ModelSettings, TrainerSettings, TrainSettings, checked, documented, given_to
from .training.checkpoint import read
from .training.trainer import PLAN, Trainer

# settings that may differ when a run is resumed
FREE = (*PLAN, "patience", "threads", "progress", "checkpoint", "checkpoint_every", "callback",
        "sample_every", "sample_length")


@documented(TrainSettings)
def train(source: str | os.PathLike[str] | Source, **settings: Unpack[TrainSettings]) -> Model:
    """Train a model on a text, records or sequences; returns the last model, or with valid_fraction
    the one with the lowest validation loss.

    The defaults are the character model of karpathy's min-char-rnn and KTH's DD2424: a tanh RNN of
    100 units, windows of 25 symbols, AdaGrad with learning rate 0.1, gradient entries clipped to
    [-5, 5], one epoch.

    Ctrl-C ends the training early: the checkpoint is written if there is one, and the model so far
    (with valid_fraction the best so far) is returned, with
    ``model.history.stopped == "interrupted"``.

    Parameters
    ----------
    source : str, path-like, Corpus or Sequences
        A UTF-8 text file; or a corpus of a text or of records; or sequences of symbols or numbers
        with their targets. An epoch reads records and sequences whole, each from the zero state, in
        a new random order.
    **settings
        `TrainSettings`.

    Returns
    -------
    Model
        ``model.history`` holds the loss of every update.

    Raises
    ------
    FileNotFoundError
        No file has this name; for a text itself use ``fastrnn.Corpus.from_text``.
    ValueError, TypeError
        A text too short or of one distinct symbol, fewer sequences than batch_size, or an argument
        outside its range.
    OSError
        The text cannot be read, or the checkpoint cannot be written.
    FloatingPointError
        The loss is no longer finite.
    """
    given: dict[str, Any] = dict(settings)
    config = checked(TrainSettings, given, "train")
    if config["resume"] is not None:
        trainer = _resumed(source, {name: config[name] for name in given})
    else:
        corpus = source if isinstance(source, Source) else Corpus.from_file(source)
        for_model = given_to(ModelSettings, given)
        if for_model.get("labels") is None:
            for_model["labels"] = list(corpus.labels) or None
        model = Model(corpus.vocabulary or corpus.sizes, **for_model)
        trainer = Trainer(model, corpus, **given_to(TrainerSettings, given))
    try:
        trainer.run()
    except KeyboardInterrupt:
        print(f"\ninterrupted after {trainer.update} updates", file=sys.stderr)
    return trainer.best_model() if trainer.config["valid_fraction"] else trainer.model


def _resumed(source: str | os.PathLike[str] | Source, given: dict[str, Any]) -> Trainer:
    """The trainer that wrote a checkpoint, with the given settings where they may differ."""
    path = given.pop("resume")
    model, _, about = read(path)
    corpus = (source if isinstance(source, Source)
              else Corpus.from_file(source, vocabulary=model.text_vocabulary))
    stored = about["model"] | about.get("trainer", {}).get("config", {})
    changes = {}
    for name, default in checked(TrainSettings, {}, "train").items():
        if name not in given or given[name] == default:
            continue
        if name in FREE:
            changes[name] = given[name]
        elif given[name] != stored.get(name):
            raise ValueError(f"{str(path)!r} was made with {name}={stored.get(name)!r} and cannot "
                             f"go on with {given[name]!r}: leave {name} out, or start afresh")
    changes.setdefault("checkpoint", path)
    return Trainer.from_checkpoint(path, corpus, **changes)
