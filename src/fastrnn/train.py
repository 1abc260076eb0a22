"""From a text or sequences to a trained model in one call."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .checkpoint import read
from .corpus import Corpus
from .model import Model
from .sequences import Sequences
from .trainer import Trainer


def train(
    source: str | os.PathLike[str] | Corpus | Sequences,
    *,
    cell: str = "rnn",
    hidden_size: int = 100,
    num_layers: int = 1,
    embedding_size: int | None = None,
    dropout: float = 0.0,
    reset_after: bool = True,
    forget_bias: float = 1.0,
    init: str | None = None,
    init_scale: float | None = None,
    labels: Sequence[str] | None = None,
    loss: str | None = None,
    spectral_radius: float = 0.9,
    leak_rate: float = 1.0,
    input_scale: float = 1.0,
    density: float = 0.1,
    dtype: str = "float32",
    seq_length: int = 25,
    batch_size: int = 1,
    order: str = "stream",
    balance: str | None = None,
    optimizer: str = "adagrad",
    learning_rate: float | None = None,
    learning_rate_decay: float = 1.0,
    learning_rate_decay_after: int = 10,
    learning_rate_decay_every: int = 1,
    schedule: str = "constant",
    warmup: int = 0,
    momentum: float = 0.0,
    decay_rate: float = 0.9,
    clip_value: float | None = 5.0,
    clip_norm: float | None = None,
    epochs: int | None = None,
    updates: int | None = None,
    minutes: float | None = None,
    valid_fraction: float = 0.0,
    valid_every: int | None = None,
    patience: int | None = None,
    accuracy: bool = False,
    threads: int | None = None,
    seed: int | None = 0,
    progress: bool = True,
    sample_every: int | None = None,
    sample_length: int = 200,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    callback: Callable[[Trainer], Any] | None = None,
) -> Model:
    """Train a model on a text or on sequences and return it: the last one, or with valid_fraction
    the best one.

    The defaults are the classic character model of karpathy's min-char-rnn and KTH's DD2424: a
    tanh RNN of 100 units, 25 symbols an unroll, AdaGrad 0.1, entries clipped to 5, one epoch.

    Ctrl-C ends the training early: the checkpoint is written where there is one, and the model as
    it then is (with valid_fraction the best so far) comes back
    (``model.history.stopped == "interrupted"``).

    Parameters
    ----------
    source : str, path-like, Corpus or Sequences
        A UTF-8 text file, or a corpus. Or sequences of symbols or numbers with their targets, which
        an epoch reads whole, each from the zero state, in a new random order.
    cell : {"rnn", "relu", "lstm", "gru", "memory", "esn"}
        The recurrent cell: "rnn" is tanh, "memory" a ReLU layer with an additive memory, "esn" an
        echo state network, a random layer of which only the head is trained.
    hidden_size : int
        Hidden units of each layer.
    num_layers : int
        Recurrent layers, one upon the other.
    embedding_size : int, optional
        Numbers that stand for a symbol, trained too; one-hot inputs where not given.
    dropout : float
        Share in [0, 1) of what each layer hands on that is dropped while training.
    reset_after : bool
        Of the gru: the reset gate is applied after the product with Wh, as in PyTorch and cuDNN.
    forget_bias : float
        Start of the lstm's forget gate biases.
    init : {"normal", "uniform", "xavier", "orthogonal", "identity"}, optional
        Start of the weights; "identity" sets Wh to the identity. Where not given xavier for lstm
        and gru, else normal.
    init_scale : float, optional
        Size of the start; where not given 0.01 for normal and identity, 0.08 for uniform, 1 for
        the others.
    labels : sequence of str, optional
        Those that records may have; where not given those of the corpus.
    loss : {"cross_entropy", "binary_cross_entropy", "mean_squared_error"}, optional
        What is lowered: of symbols the cross-entropy or the binary one, of numbers the squared
        error. Where not given the first that fits.
    spectral_radius : float
        Of an esn: the largest absolute eigenvalue of its recurrent weights.
    leak_rate : float
        Of an esn, above 0 and at most 1: how far a step moves its state.
    input_scale : float
        Of an esn: its input weights lie between minus this and this.
    density : float
        Of an esn: the share of its recurrent weights that are not 0.
    dtype : {"float32", "float64"}
        Precision of all numbers.
    seq_length : int
        Symbols of a text in one unroll.
    batch_size : int
        Streams or sequences side by side.
    order : {"stream", "shuffled"}
        Of a text. "stream": windows from left to right, the state carried from one to the next.
        "shuffled": windows from every offset in random order, each from the zero state.
    balance : {"labels"}, optional
        Of records: draw each label equally often.
    optimizer : {"adagrad", "rmsprop", "adam", "sgd"}
        How the parameters move.
    learning_rate : float, optional
        0.1 for adagrad and sgd, 0.001 for rmsprop and adam where not given.
    learning_rate_decay : float
        Factor in (0, 1] on the learning rate, once for each epoch that the next two name; char-rnn
        has 0.97.
    learning_rate_decay_after : int
        Completed epochs at which the rate falls for the first time.
    learning_rate_decay_every : int
        Epochs from there to the next time, and so on.
    schedule : {"constant", "cosine"}
        "cosine" lets the learning rate fall to 0 over the plan, along half a cosine.
    warmup : int
        Updates over which the learning rate first rises, linearly.
    momentum : float
        In [0, 1), for sgd: the share of the last step that the next one adds.
    decay_rate : float
        In [0, 1), for rmsprop: what the mean of the squared gradients keeps in an update.
    clip_value : float or None
        Each gradient entry is cut to this size.
    clip_norm : float or None
        All gradients together are scaled down to this norm.
    epochs : int, optional
        Passes over the text or sequences; 1 where neither updates nor minutes is given.
    updates : int, optional
        Updates in all, in place of epochs.
    minutes : float, optional
        Time to train for, in place of epochs; the cosine schedule is fitted to it.
    valid_fraction : float
        Share in [0, 1) of the text or sequences, the tail, that is not trained on but scored after
        each epoch; the model with the lowest score is the result.
    valid_every : int, optional
        Updates from one such validation to the next, in place of an epoch.
    patience : int, optional
        Stop when so many validations after the lowest have not been lower.
    accuracy : bool
        Find the share of right predictions of symbols after each epoch, on what is trained on.
    threads : int or None
        How many to run on; where not given as many as this process may use. Any number gives the
        same bits.
    seed : int or None
        Of the initial weights, of dropout and of the samples shown.
    progress : bool
        Show a bar and, of a text, samples.
    sample_every : int, optional
        Updates between the samples shown; 0: none. Where not given: ten over the run.
    sample_length : int
        Symbols in each of them.
    checkpoint : path-like, optional
        A .safetensors file to write while running and at the end.
    checkpoint_every : int, optional
        Updates between checkpoints; where not given one a minute.
    resume : path-like, optional
        A checkpoint to go on from, bit for bit, to the end of its plan or to the epochs, updates
        or minutes given here. What shapes the model and its steps comes from the file; giving
        another value is refused. Checkpoints go to the same file unless `checkpoint` names another.
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
        A text too short or of one distinct symbol, fewer sequences than batch_size, or an argument
        outside its range.
    OSError
        The text cannot be read, or the checkpoint cannot be written.
    FloatingPointError
        The loss is no longer finite.
    """
    given = dict(locals())
    del given["source"], given["resume"]
    given["labels"] = labels if labels is None else list(labels)
    if resume is not None:
        trainer = _resumed(source, resume, given)
    else:
        corpus = source if isinstance(source, Corpus | Sequences) else Corpus.from_file(source)
        for_model = _arguments(Model, given) | {"seed": seed}
        if isinstance(corpus, Sequences):
            model = Model(corpus.sizes, **for_model)
        else:
            if corpus.records is not None and labels is None:
                for_model["labels"] = corpus.records.names or None
            model = Model(corpus.vocabulary, **for_model)
        trainer = Trainer(model, corpus, **_arguments(Trainer, given))
    try:
        trainer.run()
    except KeyboardInterrupt:
        print(f"\ninterrupted after {trainer.update} updates", file=sys.stderr)
    return trainer.best_model() if trainer.config["valid_fraction"] else trainer.model


def _arguments(target: type, given: dict[str, Any]) -> dict[str, Any]:
    """Those of the given arguments that the target takes."""
    return {name: given[name] for name in inspect.signature(target).parameters if name in given}


def _resumed(
    source: str | os.PathLike[str] | Corpus | Sequences, path: str | os.PathLike[str],
    given: dict[str, Any],
) -> Trainer:
    model, _, about = read(path)
    corpus = (source if isinstance(source, Corpus | Sequences)
              else Corpus.from_file(source, vocabulary=model.text_vocabulary))
    stored = about["model"] | about.get("trainer", {}).get("config", {})
    free = {"epochs", "updates", "minutes", "patience", "threads", "progress", "checkpoint",
            "callback", "sample_every", "sample_length", "checkpoint_every"}
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
