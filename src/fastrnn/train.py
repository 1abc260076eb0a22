"""From a text to a trained model in one call."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from .checkpoint import read
from .corpus import Corpus
from .model import Model
from .trainer import Trainer


def train(
    source: str | os.PathLike[str] | Corpus,
    *,
    cell: str = "rnn",
    hidden_size: int = 100,
    init: str = "normal",
    init_scale: float = 0.01,
    dtype: str = "float32",
    seq_length: int = 25,
    batch_size: int = 1,
    optimizer: str = "adagrad",
    learning_rate: float | None = None,
    clip_value: float | None = 5.0,
    clip_norm: float | None = None,
    epochs: int | None = None,
    updates: int | None = None,
    seed: int | None = 0,
    progress: bool = True,
    sample_every: int | None = None,
    sample_length: int = 200,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    callback: Callable[[Trainer], Any] | None = None,
) -> Model:
    """Train a model on a text and return it.

    The defaults are the classic character model of karpathy's min-char-rnn and KTH's DD2424: a
    tanh RNN of 100 units, 25 symbols an unroll, AdaGrad 0.1, entries clipped to 5, one epoch.

    Ctrl-C ends the training early: the checkpoint is written where there is one, and the model as
    it then is comes back (``model.history.stopped == "interrupted"``).

    Parameters
    ----------
    source : str, path-like or Corpus
        A UTF-8 text file, or a corpus.
    cell : {"rnn", "relu"}
        The recurrent cell: "rnn" is tanh.
    hidden_size : int
        Hidden units.
    init : {"normal", "identity"}
        Start of the weights; "identity" sets Wh to the identity.
    init_scale : float
        Standard deviation of the normal start.
    dtype : {"float32", "float64"}
        Precision of all numbers.
    seq_length : int
        Symbols in one unroll.
    batch_size : int
        Streams side by side.
    optimizer : {"adagrad", "rmsprop", "adam", "sgd"}
        How the parameters move.
    learning_rate : float, optional
        0.1 for adagrad and sgd, 0.001 for rmsprop and adam where not given.
    clip_value : float or None
        Each gradient entry is cut to this size.
    clip_norm : float or None
        All gradients together are scaled down to this norm.
    epochs : int, optional
        Passes over the text; 1 where updates is not given either.
    updates : int, optional
        Updates in all, in place of epochs.
    seed : int or None
        Of the initial weights and of the samples shown.
    progress : bool
        Show a bar and samples.
    sample_every : int, optional
        Updates between the samples shown; 0: none. Where not given: ten over the run.
    sample_length : int
        Symbols in each of them.
    checkpoint : path-like, optional
        A .safetensors file to write while running and at the end.
    checkpoint_every : int, optional
        Updates between checkpoints; where not given one a minute.
    resume : path-like, optional
        A checkpoint to go on from, bit for bit, to the end of its plan or to the epochs or updates
        given here. What shapes the model and its steps comes from the file; giving another value
        is refused. Checkpoints go to the same file unless `checkpoint` names another.
    callback : callable, optional
        Called as callback(trainer) where a sample is due and at the end; true ends the training.

    Returns
    -------
    Model
        With the losses of every update in ``model.history``.

    Raises
    ------
    FileNotFoundError
        A str that names no file. A text itself goes to ``fastrnn.Corpus.from_text``.
    ValueError, TypeError
        A text too short or of one distinct symbol, or an argument outside its range.
    OSError
        The text cannot be read, or the checkpoint cannot be written.
    FloatingPointError
        The loss is no longer finite.
    """
    given = dict(locals())
    del given["source"], given["resume"]
    if resume is not None:
        trainer = _resumed(source, resume, given)
    else:
        corpus = source if isinstance(source, Corpus) else Corpus.from_file(source)
        for_model = _arguments(Model, given) | {"seed": seed}
        model = Model(corpus.vocabulary, **for_model)
        trainer = Trainer(model, corpus, **_arguments(Trainer, given))
    try:
        trainer.run()
    except KeyboardInterrupt:
        print(f"\ninterrupted after {trainer.update} updates", file=sys.stderr)
    return trainer.model


def _arguments(target: type, given: dict[str, Any]) -> dict[str, Any]:
    """Those of the given arguments that the target takes."""
    return {name: given[name] for name in inspect.signature(target).parameters if name in given}


def _resumed(
    source: str | os.PathLike[str] | Corpus, path: str | os.PathLike[str], given: dict[str, Any]
) -> Trainer:
    model, _, about = read(path)
    corpus = (source if isinstance(source, Corpus)
              else Corpus.from_file(source, vocabulary=model.vocabulary))
    stored = about["model"] | about.get("trainer", {}).get("config", {})
    free = {"epochs", "updates", "progress", "checkpoint", "callback", "sample_every",
            "sample_length", "checkpoint_every"}
    changes = {}
    for name, parameter in inspect.signature(train).parameters.items():
        if name not in given or given[name] == parameter.default:
            continue
        if name in free:
            changes[name] = given[name]
        elif given[name] != stored.get(name):
            raise ValueError(f"{str(path)!r} was made with {name}={stored.get(name)!r} and cannot "
                             f"go on with {given[name]!r}: leave {name} out, or start afresh")
    changes.setdefault("checkpoint", path)
    return Trainer.from_checkpoint(path, corpus, **changes)
