"""The network: its parameters, and what can be asked of it once they are known."""

from __future__ import annotations

import difflib
import inspect
import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from . import _core, sampling
from .blas import one_thread
from .corpus import Corpus
from .history import History
from .records import digest
from .reservoir import Reservoir, draw
from .ridge import Ridge
from .sequences import Sequences, Sizes
from .validate import (
    choice,
    dtype_name,
    finite_float,
    float_array,
    positive_float,
    positive_int,
    share,
    whole_numbers,
)
from .vocabulary import Vocabulary

READ_STEPS = 256  # symbols that scoring and priming read in one unroll
GAIN_SYMBOLS = 2**14  # on which the size of a head that was solved for is chosen
ROWS = 2**14  # time steps of all sequences together that are read in one unroll
# ways to draw the first weights -> the scale where none is given
INIT_SCALES = {"normal": 0.01, "uniform": 0.08, "xavier": 1.0, "orthogonal": 1.0, "identity": 0.01}


class Model:
    """A network that reads symbols, one-hot or embedded, or numbers through recurrent layers and
    predicts symbols, or numbers: of a text, the next symbol.

    o_t = h_t head.W + head.b, where h_t is what the last layer hands on, are the predicted numbers,
    and p = softmax(o_t) the shares of predicted symbols. With x_t the input of a layer, s the
    logistic function and o the product entry by entry:

    * "rnn" and "relu": h_t = f(x_t Wx + h_{t-1} Wh + b), f = tanh or max(0, .)
    * "lstm" (Hochreiter and Schmidhuber 1997, with forget gates), columns of the weights in the
      order i, f, o, g: i, f, o = s(.), g = tanh(.) of x_t Wx + h_{t-1} Wh + b;
      c_t = f o c_{t-1} + i o g, h_t = o o tanh(c_t)
    * "gru" (Cho et al. 2014), columns in the order r, z, n: r, z = s(.);
      n = tanh(x_t Wx + b + r o (h_{t-1} Wh + bhn)), or without reset_after
      n = tanh(x_t Wx + b + (r o h_{t-1}) Wh); h_t = (1 - z) o n + z o h_{t-1}
    * "esn", an echo state network (Jaeger 2001), whose layer stays as it is drawn:
      h_t = (1 - a) h_{t-1} + a tanh(Win x_t + W h_{t-1}); only the head is trained
    * "memory", which adds: u_t = max(0, x_t Wx + m_{t-1} Wh + b), m_t = m_{t-1} + u_t Wm + bm;
      the layer hands on u_t

    Parameters
    ----------
    vocabulary : Vocabulary or Sizes
        The K symbols of a text, which are read and predicted; or of sequences what is read, V
        symbols or D numbers, and what is predicted, K of either: ``Model(sequences.sizes)``.
    cell : {"rnn", "relu", "lstm", "gru", "memory", "esn"}
    hidden_size : int
        H, units in each layer.
    num_layers : int
        L, layers on top of each other.
    embedding_size : int, optional
        E: each symbol that is read stands for a trained vector of so many numbers; one-hot where
        not given.
    dropout : float
        The chance that a unit of what a layer hands on, to the next layer or to the output, is set
        to 0 in training (Srivastava et al. 2014; what a layer hands to its own next time step is
        never touched: Zaremba et al. 2014). The others are divided by 1 - dropout, so that scoring
        and sampling need no change. It is rounded to a multiple of 1/65536.
    reset_after : bool
        Where a GRU resets, see above; True as in PyTorch and cuDNN.
    forget_bias : float
        Start of the bias of an LSTM's forget gates (Jozefowicz et al. 2015); the others are 0.
    init : {"normal", "uniform", "xavier", "orthogonal", "identity"}, optional
        "normal": all weights N(0, init_scale), as in min-char-rnn. "uniform": between -init_scale
        and init_scale, as in char-rnn. "xavier": uniform of the variance 2 init_scale^2 / (rows +
        columns), columns of one gate (Glorot and Bengio 2010); of rows that a symbol picks, the
        embedding's or without one those of the first Wx, init_scale^2, since of their V inputs
        only one is not 0 (bench/NOTES.md has what that gives). "orthogonal": random
        orthogonal rows or columns times init_scale, each gate of its own (Saxe et al. 2014).
        "identity": as "normal", but Wh is the identity in each gate (Le, Jaitly and Hinton 2015).
        Where not given
        "xavier" for lstm and gru, which hardly begin to learn from weights as small as the classic
        ones, else "normal".
    init_scale : float, optional
        0.01 for "normal" and "identity", 0.08 for "uniform", 1 for the others where not given.
    labels : sequence of str, optional
        The C labels that records may have, such as ``corpus.records.names``: what `layer0.Wc` adds
        for a record's label, or its share of each, is an input of the first layer at every step.
    loss : {"cross_entropy", "binary_cross_entropy", "mean_squared_error"}, optional
        What training lowers. Of symbols the cross-entropy -log p, or the binary cross-entropy of
        all K shares, -log p - sum over the other symbols of log(1 - p_k), both in nats; scores are
        the cross-entropy in either case. Of numbers the squared error, the mean over those of a
        prediction. Where not given the cross-entropy of symbols.
    spectral_radius, leak_rate, input_scale, density : float
        Of an esn, as of `EchoStateNetwork`; a is the leak_rate.
    dtype : {"float32", "float64"}
    seed : int or None
        Of ``numpy.random.default_rng``, which draws float64 numbers tensor by tensor in the order
        of `params` (no draws for biases, nor for an identity Wh); before them a reservoir. None:
        another start in each run.
    reservoir : Reservoir, optional
        Of an esn, one that is there already; it is not in `config`.

    Attributes
    ----------
    params : dict of str -> ndarray
        Writable views of `block`, G gates side by side: ``embedding.W`` (V, E) where there is one;
        for each layer ``layer0.Wx`` (D, G H), ``layer0.Wh`` (H, G H), ``layer0.b`` (G H), for a
        GRU that resets after ``layer0.bhn`` (H), for the memory cell ``layer0.Wm`` (H, H) and
        ``layer0.bm`` (H); ``layer0.Wc`` (C, G H) where there are labels; ``head.W`` (H, K),
        ``head.b`` (K). D is V or E in the first layer, or that of the inputs, then H; of a text V
        is K. An esn has the head's only.
    reservoir : Reservoir or None
        Of an esn: what is not trained.
    block : ndarray, shape (size,)
        All parameters, one after the other.
    state : ndarray, shape (1, P)
        Where `sample` and `score` start: zero in a new model, then the state that training carried
        at its end. A text model hardly ever meets the zero state while it learns, and may not find
        back to the text from there. P numbers: for each layer its h, for an LSTM followed by its c.
    config : dict
        The arguments but for the vocabulary.
    sizes : Sizes
        What is read and predicted.
    vocabulary : Vocabulary or None
        None in a model of sequences.
    history : History
        The losses of the training that this model has had.
    known : uint64 ndarray
        Digests of the records that it was trained on, sorted: what `novelty` compares with.

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong kind or size; the message says what it must be.
    """

    def __init__(
        self,
        vocabulary: Vocabulary | Sizes,
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
        seed: int | None = 0,
        reservoir: Reservoir | None = None,
    ) -> None:
        self.vocabulary = vocabulary if isinstance(vocabulary, Vocabulary) else None
        self.sizes = sizes_of(vocabulary)
        if init is None:
            init = "xavier" if cell in ("lstm", "gru") else "normal"
        scale = INIT_SCALES[choice("init", init, INIT_SCALES)]
        if init_scale is not None:
            scale = positive_float("init_scale", init_scale, zero=True)
        self.config: dict[str, Any] = {
            "cell": choice("cell", cell, _core.CELLS),
            "hidden_size": positive_int("hidden_size", hidden_size),
            "num_layers": positive_int("num_layers", num_layers),
            "embedding_size": (None if embedding_size is None
                               else positive_int("embedding_size", embedding_size)),
            "dropout": share("dropout", dropout),
            "reset_after": bool(reset_after),
            "forget_bias": finite_float("forget_bias", forget_bias),
            "init": init,
            "init_scale": scale,
            "labels": None if labels is None else _checked_labels(labels),
            "loss": choice("loss", self.sizes.loss if loss is None else loss, _core.LOSSES),
            "dtype": choice("dtype", dtype_name(dtype), ("float32", "float64")),
            "seed": None if seed is None else positive_int("seed", seed, least=0),
        }
        drawn = {"spectral_radius": spectral_radius, "leak_rate": leak_rate,
                 "input_scale": input_scale, "density": density}
        self._check_cell(drawn)
        if cell == "esn":
            self.config |= {name: finite_float(name, value) for name, value in drawn.items()}
        if num_layers > _core.MOST_LAYERS:
            raise ValueError(f"num_layers must be at most {_core.MOST_LAYERS}, not {num_layers}")
        if (self.config["loss"] == "mean_squared_error") != (self.sizes.output_size > 0):
            raise ValueError(f"loss {loss!r} does not fit {self.sizes}: it is {self.sizes.loss!r}")
        self.history = History()
        self.known = np.empty(0, np.uint64)
        shapes = parameter_shapes(self.sizes, self.config)
        size = sum(map(prod, shapes.values()))
        if size >= 2**31:
            raise ValueError(f"hidden_size {hidden_size} makes {size} parameters: too many")
        self.block = _core.aligned_zeros(size, self.config["dtype"])
        self.params, self._offsets = {}, {}
        start = 0
        for name, shape in shapes.items():
            self._offsets[name] = start
            self.params[name] = self.block[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        self.state = self.zero_state()
        self._networks: dict[tuple[int, int, str], _core.Network] = {}
        rng = np.random.default_rng(seed)
        self.reservoir = reservoir
        if cell == "esn" and reservoir is None:
            inputs = self.sizes.input_symbols or self.sizes.input_size
            self.reservoir = draw(hidden_size, inputs, 0, rng, self.config["dtype"], **drawn,
                                  bias_scale=0.0)
        for name, p in self.params.items():
            if p.ndim == 2:
                columns = hidden_size if name.startswith("layer") else p.shape[1]
                picked = (self.sizes.input_symbols > 0 and self._offsets[name] == 0
                          and name != "head.W")
                fill(init, scale, name, p, columns, rng, picked or name == "layer0.Wc")
            elif cell == "lstm" and name.endswith(".b") and name != "head.b":
                p[hidden_size : 2 * hidden_size] = forget_bias

    def _check_cell(self, drawn: dict[str, float]) -> None:
        """Raise ValueError where arguments are for another cell."""
        defaults = {name: parameter.default
                    for name, parameter in inspect.signature(Model).parameters.items()}
        if self.config["cell"] != "esn":
            for name, value in drawn.items():
                if value != defaults[name]:
                    raise ValueError(f"{name} is for cell='esn', not {self.config['cell']!r}: "
                                     "leave it out")
            return
        for name in ("num_layers", "embedding_size", "labels"):
            if self.config[name] != defaults[name]:
                raise ValueError(f"an esn trains its head alone, behind one layer: leave {name} "
                                 "out")

    def network(self, seq_length: int, batch_size: int, loss: str | None = None) -> _core.Network:
        """The kernels, with workspace for unrolls of up to seq_length steps; losses are the model's
        where not given."""
        loss = loss or self.config["loss"]
        key = (seq_length, batch_size, loss)
        network = self._networks.get(key)
        if network is None:
            if len(self._networks) > 3:  # a program that tries many sizes keeps only a few
                self._networks.clear()
            network = self._networks[key] = _core.Network(
                self.config | {"loss": loss}, self.sizes.input_symbols, self.sizes.input_size,
                self.sizes.outputs, self._offsets, self.block.size, seq_length, batch_size,
                reservoir=self.reservoir and self.reservoir.kernels)
        return network

    def zero_state(self, batch_size: int = 1) -> NDArray[Any]:
        """The state before anything is read: zeros of the model's dtype, shape (N, P)."""
        kinds = 2 if self.config["cell"] == "lstm" else 1  # h and c
        P = kinds * self.config["num_layers"] * self.config["hidden_size"]
        return np.zeros((batch_size, P), self.config["dtype"])

    def loss_and_gradients(
        self, inputs: ArrayLike, targets: ArrayLike, state: ArrayLike | None = None, *,
        mask: ArrayLike | None = None, lengths: ArrayLike | None = None,
        labels: Any = None, generators: Sequence[np.random.Generator] | None = None,
    ) -> tuple[float, dict[str, NDArray[Any]], NDArray[Any]]:
        """Forward and backward through one unroll; nothing is clipped, no parameter changes.

        Parameters
        ----------
        inputs : array_like of int, shape (N, T), or of float, shape (N, T, D)
        targets : array_like of int, shape (N, T), or of float, shape (N, T, K)
        state : array_like, shape (N, P), optional
            The state before the first step; zeros where not given.
        mask : array_like of bool, shape (N, T), optional
        lengths : array_like of int, shape (N,), optional
            Steps that count, and steps of each sequence, as in `Sequences`.
        labels : sequence of N labels, each a str or a dict of shares, or one for all
            Of a model that has labels.
        generators : sequence of numpy.random.Generator, optional
            Dropout is applied only where they are given: one for each slice of the batch, which
            ``model.network(T, N).slices`` tells.

        Returns
        -------
        loss : float
            The model's loss (nats, or squared error), summed over time and averaged over the batch.
        grads : dict of str -> ndarray
            Keyed and shaped as `params`.
        state : ndarray, shape (N, P)
            After the last step of each sequence.

        Raises
        ------
        ValueError, TypeError
            Shapes that do not fit (both are named), ids outside the vocabulary, and what
            `Sequences` refuses.
        """
        block = np.empty_like(self.block)
        losses, state = self._unroll(
            inputs, targets, state, block, mask, lengths, labels, generators)
        return float(losses.sum() / losses.shape[0]), self.views(block), state

    def losses(
        self, inputs: ArrayLike, targets: ArrayLike, state: ArrayLike | None = None, *,
        mask: ArrayLike | None = None, lengths: ArrayLike | None = None,
        labels: Any = None, generators: Sequence[np.random.Generator] | None = None,
    ) -> NDArray[np.float64]:
        """The loss of each prediction, shape (N, T), 0 where it does not count; arguments and
        errors as `loss_and_gradients`, whose loss is their sum over time and mean over the
        batch."""
        return self._unroll(inputs, targets, state, None, mask, lengths, labels, generators)[0]

    def _unroll(
        self, inputs: ArrayLike, targets: ArrayLike, state: ArrayLike | None,
        grads: NDArray[Any] | None, mask: ArrayLike | None, lengths: ArrayLike | None,
        labels: Any, generators: Sequence[np.random.Generator] | None,
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        if self.vocabulary:
            inputs = self._checked_ids("inputs", inputs)
            targets = self._checked_ids("targets", targets)
        symbols = self.sizes.input_symbols or self.sizes.output_symbols or None
        batch = Sequences(inputs, targets, mask, lengths, symbols=symbols)
        self.check(batch)
        N, T = batch.mask.shape
        state = self._checked_state(state, N)
        with one_thread():
            losses = self.network(T, N).unroll(
                self.block, **batch.batch(np.arange(N), self.block.dtype), state=state,
                grads=grads, generators=generators, labels=self.label_shares(labels, N))
        return losses.T, state

    def label_shares(self, labels: Any, N: int) -> NDArray[Any] | None:
        """(N, C) from one label for all or one for each of N rows: a str, or a dict of label ->
        share, whose shares are divided by their sum; None in a model without labels.

        Raises
        ------
        ValueError
            An unknown label (the message names the known ones), none where the model has labels,
            one where it has not, or shares that are negative or all 0.
        """
        names = self.config["labels"]
        if names is None:
            if labels is not None:
                raise ValueError("this model was trained without labels: leave label out")
            return None
        if labels is None:
            raise ValueError(f"this model needs a label: {', '.join(map(repr, names))}, or a "
                             "mixture of them")
        one = isinstance(labels, str | Mapping) or not isinstance(labels, Iterable)
        each = [labels] * N if one else list(labels)
        if len(each) != N:
            raise ValueError(f"{len(each)} labels for {N} rows: give one for each, or one for all")
        shares = np.zeros((N, len(names)))
        for row, label in zip(shares, each, strict=True):
            if not isinstance(label, str | Mapping):
                raise TypeError("a label must be a str, or a dict of label -> share, not "
                                f"{label!r}")
            mixture = label if isinstance(label, Mapping) else {label: 1.0}
            for name, part in mixture.items():
                if name not in names:
                    near = difflib.get_close_matches(str(name), names, n=1)
                    raise ValueError(f"label {name!r} never came in training: the known ones are "
                                     f"{', '.join(map(repr, names))}"
                                     + (f"; did you mean {near[0]!r}?" if near else ""))
                row[names.index(name)] = positive_float("a label's share", part, zero=True)
            if not row.any():
                raise ValueError("a mixture of labels needs a share above 0")
            row /= row.max()  # whose sum is finite
            row /= row.sum()
        return shares.astype(self.block.dtype)

    def check(self, source: Corpus | Sequences) -> None:
        """Raise ValueError unless this model can read and predict what is in `source`."""
        if isinstance(source, Corpus):
            if self.vocabulary is None:
                raise ValueError("this model was made for sequences, not for a text")
            if source.vocabulary != self.vocabulary:
                raise ValueError("the corpus has another vocabulary than this model: make it with "
                                 "Corpus.from_file or from_text and vocabulary=model.vocabulary")
            if (source.records is None) != (self.vocabulary.stop is None):
                raise ValueError(f"{source.name} is a text, and this model learned records: use "
                                 "Corpus.from_records, from_lines or from_table"
                                 if source.records is None else
                                 f"{source.name} has records, and this model learned a text")
            names = source.records.names if source.records else ()
            strange = sorted(set(names) - set(self.config["labels"] or names))
            if strange:
                raise ValueError(f"label {strange[0]!r} of {source.name} never came in training: "
                                 "the known ones are "
                                 f"{', '.join(map(repr, self.config['labels']))}")
            if self.config["labels"] and not names:
                raise ValueError(f"this model needs labels, and {source.name} has none")
            return
        own, other = asdict(self.sizes), asdict(source.sizes)
        if not all(other[name] == size or ("symbols" in name and 0 < other[name] < size)
                   for name, size in own.items()):
            raise ValueError(f"{source.name} have {source.sizes}, and this model has {self.sizes}: "
                             "they must be the same, but for symbols that do not come")

    def score(self, source: str | bytes | Corpus | Sequences, label: Any = None) -> float:
        """Mean loss of a prediction: of a text the cross-entropy in nats per symbol.

        A text is read from `state` on, its first symbol given, not predicted: n symbols make n - 1
        predictions. exp(score) is the perplexity. Sequences and records are read from the zero
        state; of sequences the steps that count are scored, of records each symbol and the stop
        symbol.

        Parameters
        ----------
        source : str, bytes (for unit "byte"), Corpus with this model's vocabulary, or Sequences
            A str is one record where the model learned records.
        label : str, or dict of str -> share, optional
            Of such a record, where the model has labels; a corpus has its own.

        Raises
        ------
        ValueError
            Fewer than two symbols, a symbol that the vocabulary does not have, a corpus with
            another vocabulary, sequences of other sizes, or an unknown label.
        """
        from .validation import read_records, read_sequences

        if isinstance(source, Sequences):
            self.check(source)
            parts = read_sequences(self, source)
            return sum(float(losses.sum()) for losses, _ in parts) / int(source.mask.sum())
        records, labels = self._records(source, label)
        if records is not None:
            losses, _ = read_records(self, records, labels)
            return float(losses.sum()) / sum(len(ids) - 1 for ids in records)
        ids = self._checked_text(source)
        return self._read(ids[:-1], self.state.copy(), ids[1:]) / (len(ids) - 1)

    def accuracy(
        self, source: str | bytes | Corpus | Sequences, last: int | None = None, label: Any = None
    ) -> float:
        """The share of the symbols that the model, given those before, thinks likeliest; read as
        `score` does. Arguments and errors as there.

        Parameters
        ----------
        last : int, optional
            Of sequences: only so many of each one's steps that count, the last ones.
        """
        from .validation import accuracy, read_records, sequence_accuracy

        if isinstance(source, Sequences):
            self.check(source)
            return sequence_accuracy(self, source, last)
        if last is not None:
            raise ValueError("last is for sequences: leave it out for a text")
        records, labels = self._records(source, label)
        if records is not None:
            _, right = read_records(self, records, labels)
            return int(right.sum()) / sum(len(ids) - 1 for ids in records)
        return accuracy(self, self._checked_text(source), self.state)

    def rank_labels(self, text: str | bytes) -> list[RankedLabel]:
        """The labels that a record may have, the likeliest first.

        The generator as a classifier: by Bayes, and all labels equally likely before, the share of
        a label is exp(-loss of the whole record), divided by the sum of those of all labels.

        Parameters
        ----------
        text : str, or for unit "byte" bytes

        Returns
        -------
        list of RankedLabel
            Each with ``label``, ``loss`` (nats per symbol) and ``share``.

        Raises
        ------
        ValueError
            A model without labels, or a symbol that the vocabulary does not have.
        """
        from .validation import read_records

        names = self.config["labels"]
        if names is None:
            raise ValueError("this model was trained without labels, so it has none to rank")
        ids = self.text_vocabulary.encode_record(text)
        losses, _ = read_records(self, [ids] * len(names), np.eye(len(names)))
        shares = softmax(-losses)
        return [RankedLabel(names[c], float(losses[c]) / (len(ids) - 1), float(shares[c]))
                for c in np.argsort(losses, kind="stable")]

    def novelty(self, samples: Sequence[str]) -> NDArray[np.bool_]:
        """Which samples are new: not among the records that the model was trained on, both as its
        vocabulary reads them (of a record that was cut, what was left; all unknown words alike).

        Parameters
        ----------
        samples : sequence of str

        Raises
        ------
        ValueError
            A model that was not trained on records.
        TypeError
            One str: give a list of them.
        """
        if isinstance(samples, str | bytes):
            raise TypeError("samples must be a list of texts, not one: put it into a list")
        if not self.known.size:
            raise ValueError("this model was not trained on records, so nothing tells what is new")
        new = []
        for sample in samples:
            try:
                number = digest(self.text_vocabulary.encode_record(sample))
            except ValueError:  # a symbol that no record has
                new.append(True)
                continue
            at = np.searchsorted(self.known, np.uint64(number))
            new.append(at == len(self.known) or int(self.known[at]) != number)
        return np.array(new, bool)

    def _records(
        self, source: str | bytes | Corpus, label: Any
    ) -> tuple[list[NDArray[Any]] | None, NDArray[Any] | None]:
        """The ids of each record of a source, and its labels' shares; None where it is a text."""
        if not isinstance(source, Corpus):
            shares = self.label_shares(label, 1)  # a model of a text refuses a label
            record = self.text_vocabulary.stop is not None
            return [self.text_vocabulary.encode_record(source)] if record else None, shares
        self.check(source)
        if label is not None:
            raise ValueError("a corpus has its own labels: leave label out")
        if source.records is None:
            return None, None
        return source.pieces(), self.record_shares(source)

    def record_shares(self, corpus: Corpus) -> NDArray[Any] | None:
        """The labels' shares (n, C) of a corpus of records; None where the model has no labels."""
        if self.config["labels"] is None or corpus.records is None:
            return None
        names, labels = corpus.records.names, corpus.records.labels
        return self.label_shares([names[c] for c in labels], len(corpus.records))

    def fit_head(
        self, text: str | bytes | Corpus, ridge: float = 1e-2, warmup: int = 100
    ) -> float:
        """Solve for an esn's head in one pass over a text, in place of training it.

        Ridge regression of the next symbol, one-hot, on [1; h]; the head is that solution times the
        number that makes the cross-entropy least, for what fits shares is no softmax's scores.

        Parameters
        ----------
        text : str, bytes (for unit "byte") or Corpus with this model's vocabulary
        ridge : float
            Penalty on the squares of the weights, over all symbols.
        warmup : int
            Symbols at the start that are read, but not fitted.

        Returns
        -------
        float
            Mean cross-entropy (nats per symbol) of the first 16,384 symbols that were fitted.

        Raises
        ------
        ValueError
            Another cell, a text not longer than the warm-up, or a ridge that is too small.
        """
        if self.reservoir is None:
            raise ValueError(f"fit_head is for cell='esn', not {self.config['cell']!r}: use "
                             "fastrnn.train")
        if isinstance(text, Corpus) and text.records is not None:
            raise ValueError("fit_head takes a text, not records: use fastrnn.train")
        ids = self._checked_text(text)
        positive_float("ridge", ridge, zero=True)
        if len(ids) - 1 <= positive_int("warmup", warmup, least=0):
            raise ValueError(f"a text of {len(ids)} symbols is too short for a warm-up of "
                             f"{warmup}: give a longer one, or a smaller warmup")
        H, K = self.config["hidden_size"], self.sizes.outputs
        symbols, sums, first = np.eye(K), Ridge(1 + H, K), []
        with one_thread():
            for start, features in self.reservoir.features(ids[:-1], warmup=warmup):
                sums.add(features, symbols[ids[start + 1 : start + 1 + len(features)]])
                if start < warmup + GAIN_SYMBOLS:
                    first.append(features.copy())
        W = sums.solve(ridge).T  # (1 + H, K)
        scores = (np.concatenate(first) @ W)[:GAIN_SYMBOLS]
        targets = ids[1 + warmup :][: len(scores)]

        def loss(gain: float) -> float:
            shares = log_softmax(gain * scores, axis=1)
            return -float(shares[np.arange(len(targets)), targets].mean())

        best = minimize_scalar(loss, bounds=(0, 100), method="bounded")
        self.params["head.W"][:], self.params["head.b"][:] = best.x * W[1:], best.x * W[0]
        self.state[:] = features[-1, 1:]
        return float(best.fun)

    def predict(self, inputs: ArrayLike | Sequences) -> NDArray[Any]:
        """What the model makes of each step, read from the zero state.

        Parameters
        ----------
        inputs : array_like of int, shape (N, T), or of float, shape (N, T, D), or Sequences

        Returns
        -------
        ndarray, shape (N, T, K)
            The probabilities of K symbols, or K numbers; NaN behind the length of a sequence.

        Raises
        ------
        ValueError, TypeError
            Inputs that are not what this model reads.
        """
        outputs, _, lengths = self._outputs(inputs)
        outputs[np.arange(outputs.shape[1]) >= lengths[:, None]] = np.nan
        return outputs if self.sizes.output_size else softmax(outputs, axis=2)

    def extrapolate(self, inputs: ArrayLike | Sequences, steps: int) -> NDArray[Any]:
        """Go on from where the inputs end, those of `Sequences` by their lengths: each prediction
        is the next input.

        Parameters
        ----------
        inputs : array_like of int, shape (N, T), or of float, shape (N, T, D), or Sequences
        steps : int

        Returns
        -------
        ndarray, shape (N, steps, K) of numbers, or (N, steps) of symbols
            Of symbols each is the likeliest one. The first is what the last input leads to.

        Raises
        ------
        ValueError, TypeError
            Inputs that are not what this model reads, or predictions that it cannot read.
        """
        positive_int("steps", steps)
        sizes, numbers = self.sizes, self.sizes.output_size > 0
        if (sizes.input_symbols, sizes.input_size) != (sizes.output_symbols, sizes.output_size):
            raise ValueError("extrapolate feeds predictions back as inputs, so they must be of the "
                             "same kind and size")
        outputs, state, lengths = self._outputs(inputs)
        outputs = outputs[np.arange(len(lengths)), lengths - 1][:, None]  # (N, 1, K)
        predicted: list[NDArray[Any]] = []
        for _ in range(steps):
            predicted.append(outputs if numbers else outputs.argmax(axis=2))
            if len(predicted) < steps:
                outputs, state, _ = self._outputs(predicted[-1], state)
        return np.concatenate(predicted, axis=1)

    def _outputs(
        self, inputs: ArrayLike | Sequences, state: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
        """What the head hands on for each step, from a state or zero; the last state; lengths."""
        lengths = None
        if isinstance(inputs, Sequences):
            self.check(inputs)
            inputs, lengths = inputs.inputs, inputs.lengths
        D, dtype = self.sizes.input_size, self.block.dtype
        x = (float_array("inputs", inputs, ("N", "T", D), dtype) if D
             else whole_numbers("inputs", inputs, self.sizes.input_symbols))
        if D and not np.isfinite(x).all():
            raise ValueError("inputs hold NaN or infinity: mend or leave out what is not finite")
        if not D and (x.ndim != 2 or x.size == 0):
            raise ValueError(f"inputs have the shape {x.shape} and must have (N, T)")
        N, T = x.shape[:2]
        if lengths is None:
            lengths = np.full(N, T)
        outputs = np.empty((N, T, self.sizes.outputs), dtype)
        state = self.zero_state(N) if state is None else state
        rows = min(N, max(1, ROWS // T))
        with one_thread():
            for start in range(0, N, rows):
                part = slice(min(start, N - rows), min(start, N - rows) + rows)
                now, out = state[part].copy(), np.empty((rows, *outputs.shape[1:]), dtype)
                inside = np.arange(T)[:, None] < lengths[part]  # (T, rows)
                self.network(T, rows).unroll(
                    self.block, np.ascontiguousarray(x[part]) if D else time_major(x[part]), now,
                    out=out, mask=inside.astype(np.uint8),
                    lengths=np.ascontiguousarray(lengths[part]))
                fresh = slice(start - part.start, None)  # the last part may have some once more
                outputs[start : part.stop] = out[fresh]
                state[start : part.stop] = now[fresh]
        return outputs, state, lengths

    sample, stream = sampling.sample, sampling.stream

    def draw(
        self, length: int, state: NDArray[Any], symbols: ArrayLike, temperature: float,
        rng: np.random.Generator, top_k: int = 0, top_p: float = 1.0,
        labels: NDArray[Any] | None = None, never: Collection[Any] = (),
    ) -> NDArray[np.int32]:
        """Ids (length, N) drawn after `symbols` (N,) are read in state (N, P), which moves on;
        top_k 0 and top_p 1 leave out nothing, labels (N, C) are shares. Those of the vocabulary's
        symbols that are in `never` are not drawn."""
        block = self.block
        if never:
            block = _core.aligned_zeros(block.size, block.dtype)
            block[:] = self.block
            for symbol in never:
                self.views(block)["head.b"][self.text_vocabulary.symbols.index(symbol)] = -1e30
        with one_thread():
            return self.network(1, len(state)).sample(
                block, state, np.array(symbols, np.int32), temperature,
                rng.random((length, len(state))), top_k, top_p, labels)

    def copy(self) -> Model:
        """Another model with the same parameters, state and history."""
        other = Model(self.vocabulary or self.sizes, **self.config, reservoir=self.reservoir)
        other.block[:], other.state[:] = self.block, self.state
        other.history, other.known = self.history.copy(), self.known
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        return self.copy()

    def __reduce__(self) -> Any:
        raise TypeError("a Model is not pickled: use model.save(path) and fastrnn.load(path)")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a ``.safetensors`` file; `fastrnn.load` reads it.

        Raises
        ------
        OSError
            The file cannot be written; one that was there is still whole.
        """
        from .checkpoint import save_model

        save_model(self, path)

    def views(self, block: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """A block laid out as the parameters, as a dict of name -> view."""
        return {name: block[start : start + self.params[name].size].reshape(self.params[name].shape)
                for name, start in self._offsets.items()}

    def _read(
        self, inputs: NDArray[Any], state: NDArray[Any], targets: NDArray[Any] | None = None,
        labels: NDArray[Any] | None = None,
    ) -> float:
        """Read ids (n,) in state (1, P), which moves on; the summed cross-entropy of the targets
        (nats)."""
        loss = 0.0
        with one_thread():
            for start in range(0, len(inputs), READ_STEPS):
                part = slice(start, start + READ_STEPS)
                losses = self.network(READ_STEPS, 1, "cross_entropy").unroll(
                    self.block, time_major(inputs[None, part]), state,
                    None if targets is None else time_major(targets[None, part]), labels=labels)
                loss += float(losses.sum())
        return loss

    def _checked_text(self, text: str | bytes | Corpus) -> NDArray[np.unsignedinteger]:
        """The ids of a text of at least 2 symbols."""
        if isinstance(text, Corpus):
            self.check(text)
            ids = text.ids
        else:
            ids = self.text_vocabulary.encode(text)
        if len(ids) < 2:
            raise ValueError(f"a text to score must have at least 2 symbols, not {len(ids)}")
        return ids

    @property
    def text_vocabulary(self) -> Vocabulary:
        """The vocabulary, of a model that has one: others raise ValueError."""
        if self.vocabulary is None:
            raise ValueError("this model was made for sequences, not for a text: it can predict, "
                             "extrapolate and score sequences")
        return self.vocabulary

    def _checked_ids(self, name: str, ids: ArrayLike) -> NDArray[Any]:
        ids = self.text_vocabulary.check_ids(ids)
        if ids.ndim != 2 or ids.size == 0:
            raise ValueError(f"{name} must be ids of shape (N, T), not of shape {ids.shape}")
        return ids

    def _checked_state(self, state: ArrayLike | None, N: int) -> NDArray[Any]:
        zero = self.zero_state(N)
        if state is None:
            return zero
        state = np.array(state, dtype=zero.dtype, order="C")
        if state.shape != zero.shape:
            raise ValueError(f"state is {state.shape} and must be {zero.shape}: (N, P)")
        return state

    def __repr__(self) -> str:
        layers = f"{self.config['num_layers']} layers of " * (self.config["num_layers"] > 1)
        what = f"{len(self.vocabulary)} symbols" if self.vocabulary else str(self.sizes)
        return (f"<Model {self.config['cell']}, {layers}{self.config['hidden_size']} units, "
                f"{what}, {self.block.size} parameters, {self.config['dtype']}>")


class RankedLabel(NamedTuple):
    """What `Model.rank_labels` finds of a label."""

    label: str
    loss: float  # nats per symbol
    share: float  # of all labels


def _checked_labels(labels: Sequence[str]) -> list[str]:
    names = [labels] if isinstance(labels, str) else list(labels)
    if not names or len(set(names)) < len(names) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"labels must be distinct names, and at least one, not {labels!r}")
    return names


def sizes_of(vocabulary: Vocabulary | Sizes) -> Sizes:
    """What a model reads and predicts."""
    if isinstance(vocabulary, Sizes):
        return vocabulary
    if not isinstance(vocabulary, Vocabulary):
        raise TypeError("vocabulary must be a fastrnn.Vocabulary, such as corpus.vocabulary, or "
                        "fastrnn.Sizes, such as sequences.sizes")
    return Sizes(input_symbols=len(vocabulary), output_symbols=len(vocabulary))


def parameter_shapes(
    sizes: Sizes, config: dict[str, Any]
) -> dict[str, tuple[int, ...]]:
    """The one table of the parameters: name -> shape, in the order of the block."""
    cell, H, E = config["cell"], config["hidden_size"], config["embedding_size"]
    V, K = sizes.input_symbols, sizes.outputs
    if E and not V:
        raise ValueError("embedding_size is for inputs that are symbols: leave it out")
    shapes: dict[str, tuple[int, ...]] = {"embedding.W": (V, E)} if E else {}
    D = E or V or sizes.input_size
    for layer in range(config["num_layers"] if cell != "esn" else 0):
        of_cell = cell_shapes(cell, D, H, config["reset_after"])
        shapes |= {f"layer{layer}.{name}": shape for name, shape in of_cell.items()}
        if layer == 0 and config.get("labels"):
            shapes["layer0.Wc"] = (len(config["labels"]), *of_cell["b"])
        D = H
    return shapes | {"head.W": (H, K), "head.b": (K,)}


def parameter_count(model: Model) -> int:
    """How many numbers a model learns."""
    return model.block.size


def hidden_size_for(
    cell: str,
    parameters: int,
    vocabulary: Vocabulary | Sizes,
    *,
    num_layers: int = 1,
    embedding_size: int | None = None,
    reset_after: bool = True,
    labels: Sequence[str] | None = None,
) -> int:
    """The hidden_size with which a model has nearest to so many parameters, so that cells can be
    compared at equal size.

    Parameters
    ----------
    parameters : int
        As `parameter_count` tells of the other model.
    cell, vocabulary, num_layers, embedding_size, reset_after, labels
        As of the `Model`.

    Raises
    ------
    ValueError
        Fewer parameters than the smallest model has.
    """
    sizes = sizes_of(vocabulary)
    config = {
        "cell": choice("cell", cell, _core.CELLS), "labels": labels,
        "embedding_size": (None if embedding_size is None
                           else positive_int("embedding_size", embedding_size)),
        "num_layers": positive_int("num_layers", num_layers), "reset_after": reset_after,
    }
    positive_int("parameters", parameters)

    def count(hidden_size: int) -> int:
        shapes = parameter_shapes(sizes, config | {"hidden_size": hidden_size})
        return sum(map(prod, shapes.values()))

    if parameters < count(1):
        raise ValueError(f"a {cell} of one unit has {count(1)} parameters already, more than "
                         f"{parameters}")
    least, most = 1, 2
    while count(most) < parameters:
        least, most = most, 2 * most
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if count(middle) <= parameters else (least, middle)
    return min(least, most, key=lambda size: abs(count(size) - parameters))


def cell_shapes(cell: str, D: int, H: int, reset_after: bool) -> dict[str, tuple[int, ...]]:
    """Those of one recurrent layer with D inputs and H units."""
    G = {"lstm": 4, "gru": 3}.get(cell, 1)
    shapes: dict[str, tuple[int, ...]] = {"Wx": (D, G * H), "Wh": (H, G * H), "b": (G * H,)}
    if cell == "gru" and reset_after:
        shapes["bhn"] = (H,)
    if cell == "memory":
        shapes |= {"Wm": (H, H), "bm": (H,)}
    return shapes


def fill(
    init: str, scale: float, name: str, p: NDArray[Any], columns: int, rng: np.random.Generator,
    picked: bool = False,
) -> None:
    """Draw a weight matrix p, each of whose gates has so many columns; of a picked one, an input
    is one row."""
    gates = [p[:, c : c + columns] for c in range(0, p.shape[1], columns)]
    rows = len(p)
    if init == "identity" and name.endswith("Wh"):
        for gate in gates:
            np.fill_diagonal(gate, 1)
    elif init == "orthogonal":
        for gate in gates:
            tall = rng.normal(size=(max(rows, columns), min(rows, columns)))
            q, r = np.linalg.qr(tall)
            q *= np.sign(np.diag(r))  # else not every rotation is as likely
            gate[:] = scale * (q if rows >= columns else q.T)
    elif init in ("uniform", "xavier"):
        # of the variance v a uniform number goes up to sqrt(3 v)
        half = scale if init == "uniform" else scale * math.sqrt(
            3 if picked else 6 / (rows + columns))
        p[:] = rng.uniform(-half, half, p.shape)
    else:
        p[:] = rng.normal(0, scale, p.shape)


def time_major(ids: NDArray[Any]) -> NDArray[np.int32]:
    """(N, T) -> (T, N) as the kernels read it."""
    return np.ascontiguousarray(ids.T, np.int32)
