"""The network: its parameters, and what can be asked of it once they are known."""

from __future__ import annotations

import os
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .blas import one_thread
from .corpus import Corpus
from .history import History
from .validate import choice, generator, positive_float, positive_int
from .vocabulary import Vocabulary

READ_STEPS = 256  # symbols that scoring and priming read in one unroll


class Model:
    """A character model: one-hot input, one recurrent layer, softmax over the next symbol.

    h_t = f(x_t Wx + h_{t-1} Wh + b), o_t = h_t head.W + head.b, p = softmax(o_t).

    Parameters
    ----------
    vocabulary : Vocabulary
        The K symbols that are read and predicted.
    cell : {"rnn", "relu"}
        f = tanh, or max(0, .).
    hidden_size : int
        H.
    init : {"normal", "identity"}
        "normal": all weights N(0, init_scale), as in min-char-rnn. "identity": the same, but Wh is
        the identity (Le, Jaitly and Hinton 2015). Biases are 0.
    init_scale : float
        Standard deviation.
    dtype : {"float32", "float64"}
    seed : int or None
        Of ``numpy.random.default_rng``, which draws float64 normal numbers tensor by tensor in the
        order of `params` (no draws for biases, nor for an identity Wh). None: another start in
        each run.

    Attributes
    ----------
    params : dict of str -> ndarray
        Writable views of `block`: ``layer0.Wx`` (K, H), ``layer0.Wh`` (H, H), ``layer0.b`` (H),
        ``head.W`` (H, K), ``head.b`` (K).
    block : ndarray, shape (size,)
        All parameters, one after the other.
    state : ndarray, shape (1, H)
        Where `sample` starts: zero in a new model, then the state that training carried at its
        end. A text model hardly ever meets the zero state while it learns, and may not find back
        to the text from there.
    config : dict
        The arguments but for the vocabulary.
    history : History
        The losses of the training that this model has had.

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong kind or size; the message says what it must be.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        cell: str = "rnn",
        hidden_size: int = 100,
        init: str = "normal",
        init_scale: float = 0.01,
        dtype: str = "float32",
        seed: int | None = 0,
    ) -> None:
        if not isinstance(vocabulary, Vocabulary):
            raise TypeError("vocabulary must be a fastrnn.Vocabulary, such as corpus.vocabulary")
        self.vocabulary = vocabulary
        self.config = {
            "cell": choice("cell", cell, _core.CELLS),
            "hidden_size": positive_int("hidden_size", hidden_size),
            "init": choice("init", init, ("normal", "identity")),
            "init_scale": positive_float("init_scale", init_scale, zero=True),
            "dtype": choice("dtype", _dtype_name(dtype), ("float32", "float64")),
            "seed": None if seed is None else positive_int("seed", seed, least=0),
        }
        self.history = History()
        shapes = parameter_shapes(len(vocabulary), self.config["hidden_size"])
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
        self._networks: dict[tuple[int, int], _core.Network] = {}
        rng = np.random.default_rng(seed)
        for name, p in self.params.items():
            if name == "layer0.Wh" and init == "identity":
                np.fill_diagonal(p, 1)
            elif p.ndim == 2:
                p[:] = rng.normal(0, init_scale, p.shape)

    def network(self, seq_length: int, batch_size: int) -> _core.Network:
        """The kernels, with workspace for unrolls of up to seq_length steps."""
        key = (seq_length, batch_size)
        network = self._networks.get(key)
        if network is None:
            if len(self._networks) > 3:  # a program that tries many sizes keeps only a few
                self._networks.clear()
            network = self._networks[key] = _core.Network(
                self.config["cell"], self._offsets, self.block.size, len(self.vocabulary),
                self.config["hidden_size"], seq_length, batch_size, self.config["dtype"])
        return network

    def zero_state(self, batch_size: int = 1) -> NDArray[Any]:
        """The state before anything is read: zeros of the model's dtype, shape (N, H)."""
        return np.zeros((batch_size, self.config["hidden_size"]), self.config["dtype"])

    def loss_and_gradients(
        self, inputs: ArrayLike, targets: ArrayLike, state: ArrayLike | None = None
    ) -> tuple[float, dict[str, NDArray[Any]], NDArray[Any]]:
        """Forward and backward through one unroll; nothing is clipped, no parameter changes.

        Parameters
        ----------
        inputs, targets : array_like of int ids, shape (N, T)
        state : array_like, shape (N, H), optional
            The state before the first step; zeros where not given.

        Returns
        -------
        loss : float
            Cross-entropy in nats, summed over time and averaged over the batch.
        grads : dict of str -> ndarray
            Keyed and shaped as `params`.
        state : ndarray, shape (N, H)
            After the last step.

        Raises
        ------
        ValueError, TypeError
            Shapes that do not fit (both are named), or ids outside the vocabulary.
        """
        block = np.empty_like(self.block)
        losses, state = self._unroll(inputs, targets, state, block)
        return float(losses.sum() / losses.shape[0]), self.views(block), state

    def losses(
        self, inputs: ArrayLike, targets: ArrayLike, state: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """The cross-entropy of each prediction in nats, shape (N, T); arguments and errors as
        `loss_and_gradients`, whose loss is their sum over time and mean over the batch."""
        return self._unroll(inputs, targets, state, None)[0]

    def _unroll(
        self, inputs: ArrayLike, targets: ArrayLike, state: ArrayLike | None,
        grads: NDArray[Any] | None,
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        inputs = self._checked_ids("inputs", inputs)
        targets = self._checked_ids("targets", targets)
        if inputs.shape != targets.shape:
            raise ValueError(f"inputs are {inputs.shape} and targets {targets.shape}: "
                             "both must be (N, T)")
        N, T = inputs.shape
        state = self._checked_state(state, N)
        with one_thread():
            losses = self.network(T, N).unroll(
                self.block, time_major(inputs), state, time_major(targets), grads)
        return losses.T, state

    def score(self, text: str | bytes | Corpus) -> float:
        """Mean cross-entropy of a text in nats per symbol, read from the zero state.

        The first symbol is given, not predicted: n symbols make n - 1 predictions. exp(score) is
        the perplexity.

        Parameters
        ----------
        text : str, bytes (for unit "byte"), or Corpus with this model's vocabulary

        Raises
        ------
        ValueError
            Fewer than two symbols, a symbol that the vocabulary does not have, or a corpus with
            another vocabulary.
        """
        if isinstance(text, Corpus):
            if text.vocabulary != self.vocabulary:
                raise ValueError("the corpus has another vocabulary than this model: make it with "
                                 "Corpus.from_text(text, vocabulary=model.vocabulary)")
            ids = text.ids
        else:
            ids = self.vocabulary.encode(text)
        if len(ids) < 2:
            raise ValueError(f"a text to score must have at least 2 symbols, not {len(ids)}")
        return self._read(ids[:-1], self.zero_state(), ids[1:]) / (len(ids) - 1)

    def sample(
        self,
        length: int = 200,
        *,
        prime: str | bytes = "",
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> str:
        """Write a text from `state` on, each symbol drawn from softmax(scores / temperature).

        Parameters
        ----------
        length : int
            Symbols to write.
        prime : str
            What the model reads first; it is not part of the result. Without it the first symbol
            is drawn uniformly from the vocabulary, and is part of the result.
        temperature : float
            Below 1 the likely symbols come more often (0.5: the squared and renormalised
            distribution), above 1 less; 0 always takes the likeliest.
        seed : int or None
            Of ``numpy.random.default_rng``; None: another text each time.

        Returns
        -------
        str
            Exactly `length` symbols (for unit "byte": bytes, read as UTF-8).

        Raises
        ------
        ValueError
            An unknown symbol in the prime (named, with its position), a negative temperature, or
            parameters that are infinite or NaN.
        """
        if not np.isfinite(self.block).all():
            raise ValueError("the model's parameters are not finite, so it cannot write: load an "
                             "earlier checkpoint, or train anew with a lower learning_rate")
        length = positive_int("length", length, least=0)
        temperature = positive_float("temperature", temperature, zero=True)
        rng = generator(seed)
        read = self.vocabulary.encode(prime)
        state = self.state.copy()
        if len(read):
            self._read(read[:-1], state)
            ids = self.draw(length, state, int(read[-1]), temperature, rng)
        else:
            first = rng.integers(len(self.vocabulary), size=min(length, 1), dtype=np.int32)
            rest = (self.draw(length - 1, state, int(first[0]), temperature, rng)
                    if length > 1 else first[:0])
            ids = np.concatenate([first, rest])
        return self.vocabulary.decode(ids)

    def draw(
        self, length: int, state: NDArray[Any], symbol: int, temperature: float,
        rng: np.random.Generator,
    ) -> NDArray[np.int32]:
        """Ids of `length` symbols after `symbol` is read in state (1, H), which moves on."""
        with one_thread():
            return self.network(1, 1).sample(
                self.block, state, symbol, temperature, rng.random(length))

    def copy(self) -> Model:
        """Another model with the same parameters, state and history."""
        other = Model(self.vocabulary, **self.config)
        other.block[:], other.state[:] = self.block, self.state
        other.history = History(self.history.loss.copy(), self.history.smooth_loss.copy())
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
        self, inputs: NDArray[Any], state: NDArray[Any], targets: NDArray[Any] | None = None
    ) -> float:
        """Read ids (n,) in state (1, H), which moves on; the summed loss of the targets (nats)."""
        loss = 0.0
        with one_thread():
            for start in range(0, len(inputs), READ_STEPS):
                part = slice(start, start + READ_STEPS)
                losses = self.network(READ_STEPS, 1).unroll(
                    self.block, time_major(inputs[None, part]), state,
                    None if targets is None else time_major(targets[None, part]))
                loss += float(losses.sum())
        return loss

    def _checked_ids(self, name: str, ids: ArrayLike) -> NDArray[Any]:
        ids = self.vocabulary.check_ids(ids)
        if ids.ndim != 2 or ids.size == 0:
            raise ValueError(f"{name} must be ids of shape (N, T), not of shape {ids.shape}")
        return ids

    def _checked_state(self, state: ArrayLike | None, N: int) -> NDArray[Any]:
        zero = self.zero_state(N)
        if state is None:
            return zero
        state = np.array(state, dtype=zero.dtype, order="C")
        if state.shape != zero.shape:
            raise ValueError(f"state is {state.shape} and must be {zero.shape}: (N, H)")
        return state

    def __repr__(self) -> str:
        return (f"<Model {self.config['cell']}, {self.config['hidden_size']} units, "
                f"{len(self.vocabulary)} symbols, {self.block.size} parameters, "
                f"{self.config['dtype']}>")


def parameter_shapes(K: int, H: int) -> dict[str, tuple[int, ...]]:
    """The one table of the parameters: name -> shape, in the order of the block."""
    return {"layer0.Wx": (K, H), "layer0.Wh": (H, H), "layer0.b": (H,),
            "head.W": (H, K), "head.b": (K,)}


def time_major(ids: NDArray[Any]) -> NDArray[np.int32]:
    """(N, T) -> (T, N) as the kernels read it."""
    return np.ascontiguousarray(ids.T, np.int32)


def _dtype_name(dtype: Any) -> str:
    try:
        return np.dtype(dtype).name
    except TypeError:
        return str(dtype)
