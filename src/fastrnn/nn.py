"""Layers for your own training loop: arrays in, arrays out, with separate forward and backward
passes, the recurrent ones on the compiled kernels.

Arrays are batch-first: N sequences, T time steps, then the features. Every layer has two dicts:
``params``, whose arrays may be written into or replaced by others of the same shape, and ``grads``
with the same keys, which `backward` fills. A layer stores what its last `forward` read, so
`backward` belongs to that call. Threads may share layers and losses: each has ``grads`` and a
`forward` to go back through of its own, and all read the same ``params``.

>>> rnn, head, loss = nn.LSTM(15, 100), nn.Linear(100, 778), nn.SoftmaxCrossEntropy()
>>> nats = loss.forward(head.forward(rnn.forward(x)), labels)
>>> dx, dh0, dc0 = rnn.backward(head.backward(loss.backward()))
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from . import kernels
from .cells import kernel_cell, tensor_shapes
from .files.state import load_state, save_state
from .kernels.blas import one_thread, one_thread_for, threads_for
from .kernels.team import no_fork
from .model.initial import draw_weights
from .settings import INIT_SCALES, checked_dtype
from .validate import (
    boolean,
    changeable,
    checked_arrays,
    choice,
    float_array,
    fraction,
    generator,
    positive_float,
    positive_int,
    weights_of,
    whole_numbers,
)

__all__ = [
    "RNN", "GRU", "LSTM", "Dropout", "Embedding", "Layer", "Linear", "MeanSquaredError",
    "Sequential", "SoftmaxCrossEntropy", "load_state", "save_state",
]

Array = NDArray[Any]
States = tuple[tuple[str, ArrayLike | None], ...]  # names and arrays, zero where they are None


class _Own(threading.local):
    """What the passes of one thread leave in a layer or loss."""

    def __init__(self) -> None:
        self.seen: tuple[Array, ...] | None = None
        self.grads: dict[str, Array] = {}
        self.block: Array | None = None  # parameters as the kernels read them
        self.networks: dict[tuple[int, int], kernels.Network] = {}
        self.inside: Array | None = None  # the x whose forward these hold


class _Pass:
    """A forward pass that stores, for its thread, what the backward pass needs."""

    _own: _Own

    def __new__(cls, *_: Any, **__: Any) -> Self:
        self = super().__new__(cls)
        self._own = _Own()
        return self

    def __getstate__(self) -> dict[str, Any]:  # for copy and pickle
        return vars(self) | {"_own": (self._own.seen, self._own.grads)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._own.seen, self._own.grads = state["_own"]
        vars(self).update({name: value for name, value in state.items() if name != "_own"})

    def _last(self) -> tuple[Array, ...]:
        if self._own.seen is None:
            raise RuntimeError(f"{type(self).__name__}.backward has nothing to go back through in "
                               "this thread: call forward first")
        return self._own.seen


class Layer(_Pass):
    """Base of all layers; those without parameters have empty dicts.

    Attributes
    ----------
    precision : str
        As given by `dtype`.
    dtype : numpy.dtype
        Of the arrays: float32 for mixed_bfloat16.
    params : dict of str -> ndarray
    grads : dict of str -> ndarray
        From the last `backward` of the thread that asks.
    training : bool
        False switches dropout off.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]] | None = None,
                 dtype: str = "float64") -> None:
        self.precision = checked_dtype("dtype", dtype)
        self.dtype = kernels.array_dtype(self.precision)
        self._shapes = dict(shapes or {})
        self.params: dict[str, Array] = {name: np.zeros(shape, self.dtype)
                                         for name, shape in self._shapes.items()}
        self.training = True

    @property
    def grads(self) -> dict[str, Array]:
        return self._own.grads

    @grads.setter
    def grads(self, value: dict[str, Array]) -> None:
        self._own.grads = value

    def forward(self, x: Any) -> Any:
        raise NotImplementedError

    def backward(self, dout: Any) -> Any:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters by name, of a Sequential ``"0.Wx"`` and so on. `save_state`
        writes them into a file."""
        return {name: p.copy() for name, p in self.params.items()}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Copy parameters into `params`, whose arrays stay the same ones.

        Parameters
        ----------
        state : mapping of str -> array_like
            What `state_dict` of a layer with the same shapes returned.

        Raises
        ------
        ValueError, TypeError
            A name is missing or unknown, or an array has another shape or type; then nothing has
            changed.
        """
        own = {name: changeable(f'params["{name}"]', p) for name, p in self.params.items()}
        arrays = checked_arrays("state", state, {
            name: (p.shape, p.dtype) for name, p in own.items()})
        for p, array in zip(own.values(), arrays, strict=True):
            p[...] = array

    def _start(self, init: str, init_scale: float | None, columns: int | None,
               seed: int | None, picked: bool = False) -> None:
        """Draw the weights in the order of `params`; biases stay 0."""
        scale = INIT_SCALES[choice("init", init, INIT_SCALES)]
        if init_scale is not None:
            scale = positive_float("init_scale", init_scale, zero=True)
        rng = generator(seed)
        for name, p in self.params.items():
            if p.ndim == 2:
                draw_weights(init, scale, name, p, columns or p.shape[1], rng, picked)

    def _param(self, name: str) -> Array:
        """A parameter, checked because users may replace the array."""
        return float_array(f'params["{name}"]', self.params[name], self._shapes[name], self.dtype)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {shape}" for name, shape in self._shapes.items())
        return f"<nn.{type(self).__name__}{': ' * bool(shapes)}{shapes}>"


class _Recurrent(Layer):
    """One recurrent layer on the kernels. The state of a sequence is h or, of an LSTM, h and c."""

    def __init__(self, cell: str, D: int, H: int, init: str, init_scale: float | None, dtype: str,
                 seed: int | None, threads: int | None, reset_after: bool = True) -> None:
        self.D, self.H = positive_int("D", D), positive_int("H", H)
        self.threads = threads_for(None if threads is None else positive_int("threads", threads))
        super().__init__(tensor_shapes(cell, self.D, self.H, reset_after), dtype)
        self._start(init, init_scale, self.H, seed)
        info = kernel_cell(cell, reset_after)
        self._states = info.states
        self._config = {"cell": info.name, "hidden_size": self.H, "num_layers": 1, "dropout": 0.0,
                        "embedding_size": None, "loss": "mean_squared_error",
                        "dtype": self.precision}
        *starts, self._size = accumulate(map(prod, self._shapes.values()), initial=0)
        self._offsets = {f"layer0.{name}": start
                         for name, start in zip(self._shapes, starts, strict=True)}

    def _parameters(self) -> Array:
        """All parameters as the kernels read them; the same array as long as they do not change."""
        return self._aligned(np.concatenate([self._param(name).ravel() for name in self._shapes]))

    def _aligned(self, block: Array) -> Array:
        """A block as the kernels read it: the last one again where it has the same numbers. A block
        may come from a layer or cache that was copied."""
        last = self._own.block
        if last is not None and (block is last or np.array_equal(
                block.view(np.uint8), last.view(np.uint8))):  # NaNs too
            return last
        new = kernels.aligned_zeros(block.size, self.dtype)
        new[:] = block
        self._own.block = new
        return new

    def _network(self, N: int, T: int) -> kernels.Network:
        networks = self._own.networks
        if (N, T) not in networks:
            if len(networks) > 3:
                networks.clear()
            networks[N, T] = kernels.Network(
                self._config, 0, self.D, 0, self._offsets, self._size, T, N)
        return networks[N, T]

    def _state(self, N: int, given: States) -> Array:
        """(N, P) from the arrays given, zero where they are None."""
        return np.concatenate([np.zeros((N, self.H), self.dtype) if part is None else
                               float_array(name, part, (N, self.H), self.dtype)
                               for name, part in given], axis=1)

    def _parts(self, state: Array) -> tuple[Array, ...]:
        return tuple(part.copy() for part in np.split(state, self._states, axis=1))

    def _forward(self, block: Array, x: Array, start: Array) -> tuple[Array, Array]:
        """h (N, T, H) and the last state; the network keeps what `_backward` needs."""
        N, T, _ = x.shape
        state, self._own.inside = start.copy(), None
        with one_thread():
            h = self._network(N, T).forward(block, x, state, self.threads)
        self._own.inside = x
        return h, state

    def _backward(self, block: Array, x: Array, start: Array, dh: Array, dstate: Array
                  ) -> tuple[Array, tuple[Array, ...], dict[str, Array]]:
        """The gradients with respect to x, the first state and the parameters, from those with
        respect to h and, besides, the last c, which is overwritten."""
        block = self._aligned(block)
        if self._own.inside is not x:  # a backward or another forward came in between
            self._forward(block, x, start)
        self._own.inside = None  # the kernels overwrite the values of forward with gradients
        N, T, _ = dh.shape
        grads = np.empty_like(block)
        with one_thread():
            dx = self._network(N, T).backward(block, dh, dstate, grads, self.threads)
        parts = np.split(grads, list(self._offsets.values())[1:])
        return dx, self._parts(dstate), {
            name: part.reshape(shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}

    def _run(self, x: ArrayLike, given: States) -> Array:
        x = float_array("x", x, ("N", "T", self.D), self.dtype).copy()
        block, start = self._parameters(), self._state(len(x), given)
        h, last = self._forward(block, x, start)
        self._own.seen = block, x, start, last
        return h

    def backward(self, dh: ArrayLike) -> tuple[Array, ...]:
        """The gradient with respect to h (N, T, H) -> with respect to x (N, T, D), h0 and, for an
        LSTM, c0 (N, H); fills `grads`.

        Raises
        ------
        RuntimeError
            Before `forward`.
        """
        block, x, start, _ = self._last()
        dh = float_array("dh", dh, (*x.shape[:2], self.H), self.dtype)
        dx, dstates, self.grads = self._backward(block, x, start, dh, np.zeros_like(start))
        return dx, *dstates

    def _one(self, x: ArrayLike, given: States) -> tuple[Any, ...]:
        x = float_array("x", x, ("N", self.D), self.dtype)[:, None].copy()
        block, start = self._parameters(), self._state(len(x), given)
        _, last = self._forward(block, x, start)
        return *self._parts(last), (block, x, start)

    def _one_back(self, gradients: States, cache: Any) -> tuple[Array, ...]:
        if not (isinstance(cache, tuple) and len(cache) == 3):
            raise TypeError("cache must be the one that step returned")
        dstate = self._state(len(cache[1]), gradients)
        dh = dstate[:, None, : self.H].copy()
        dx, dstates, grads = self._backward(*cache, dh, dstate)
        return dx[:, 0], *dstates, *grads.values()


class RNN(_Recurrent):
    """h_t = f(x_t Wx + h_{t-1} Wh + b), f = tanh or max(0, .).

    Parameters
    ----------
    D, H : int
        Features of an input, hidden units.
    nonlinearity : {"tanh", "relu"}
    init, init_scale
        How the weights are drawn, as in `fastrnn.Model`; b starts at 0.
    dtype : {"float32", "float64", "mixed_bfloat16"}
        Of parameters and results; inputs are converted. mixed_bfloat16: they are float32, and the
        operands of matrix products are rounded to bfloat16.
    seed : int or None
    threads : int or None
        At most so many, and no more than the cores that this process may use, as for None. Any
        number gives the same bits.

    Attributes
    ----------
    params : dict
        ``Wx`` (D, H), ``Wh`` (H, H), ``b`` (H).
    grads : dict
        The same keys and shapes, from the last `backward`, summed over the batch.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not fit (both are named), complex or object arrays; from all methods.
    """

    def __init__(self, D: int, H: int, nonlinearity: str = "tanh", *, init: str = "xavier",
                 init_scale: float | None = None, dtype: str = "float64", seed: int | None = 0,
                 threads: int | None = None) -> None:
        cell = {"tanh": "rnn"}.get(choice("nonlinearity", nonlinearity, ("tanh", "relu")), "relu")
        super().__init__(cell, D, H, init, init_scale, dtype, seed, threads)

    def forward(self, x: ArrayLike, h0: ArrayLike | None = None) -> Array:
        """x (N, T, D), h0 (N, H) or zero -> h (N, T, H), the states after each step."""
        return self._run(x, (("h0", h0),))

    def step(self, x: ArrayLike, h_prev: ArrayLike) -> tuple[Array, Any]:
        """x (N, D), h_prev (N, H) -> h (N, H) and a cache for `step_backward`."""
        return self._one(x, (("h_prev", h_prev),))

    def step_backward(self, dh: ArrayLike, cache: Any) -> tuple[Array, ...]:
        """The gradient with respect to h (N, H) -> dx (N, D), dh_prev (N, H), dWx, dWh, db."""
        return self._one_back((("dh", dh),), cache)


class GRU(RNN):
    """r, z = s(x_t W + h_{t-1} U + b); with reset_after n = tanh(x_t Wn + bn + r * (h_{t-1} Un +
    bhn)), otherwise n = tanh(x_t Wn + bn + (r * h_{t-1}) Un); h_t = (1 - z) * n + z * h_{t-1}.

    s is the logistic sigmoid, * the elementwise product; Wx = [Wr Wz Wn] (D, 3 H), Wh = [Ur Uz Un]
    (H, 3 H), b (3 H) and, with reset_after, ``bhn`` (H) (Cho et al. 2014; reset_after as in PyTorch
    and cuDNN). Methods, other parameters and errors as `RNN`; with reset_after `step_backward`
    returns the gradient of bhn after that of b.
    """

    def __init__(self, D: int, H: int, *, reset_after: bool = True, init: str = "xavier",
                 init_scale: float | None = None, dtype: str = "float64", seed: int | None = 0,
                 threads: int | None = None) -> None:
        _Recurrent.__init__(self, "gru", D, H, init, init_scale, dtype, seed, threads,
                            bool(reset_after))


class LSTM(_Recurrent):
    """i, f, o = s(x_t W + h_{t-1} U + b), g = tanh(x_t Wg + h_{t-1} Ug + bg);
    c_t = f * c_{t-1} + i * g, h_t = o * tanh(c_t).

    s is the logistic sigmoid, * the elementwise product; the columns of Wx (D, 4 H), Wh (H, 4 H)
    and b (4 H) come in the order i, f, o, g (Hochreiter and Schmidhuber 1997, with forget gates).
    The forget gates' b starts at forget_bias. Other parameters and errors as `RNN`.

    Attributes
    ----------
    c : ndarray, shape (N, H)
        The memory cells after the last step of the last `forward`, to continue from.
    """

    def __init__(self, D: int, H: int, *, init: str = "xavier", init_scale: float | None = None,
                 forget_bias: float = 0.0, dtype: str = "float64", seed: int | None = 0,
                 threads: int | None = None) -> None:
        super().__init__("lstm", D, H, init, init_scale, dtype, seed, threads)
        self.params["b"][self.H : 2 * self.H] = forget_bias

    @property
    def c(self) -> Array:
        return self._parts(self._last()[3])[1]

    def forward(self, x: ArrayLike, h0: ArrayLike | None = None,
                c0: ArrayLike | None = None) -> Array:
        """x (N, T, D), h0 and c0 (N, H) or zero -> h (N, T, H)."""
        return self._run(x, (("h0", h0), ("c0", c0)))

    def step(self, x: ArrayLike, h_prev: ArrayLike, c_prev: ArrayLike) -> tuple[Array, Array, Any]:
        """x (N, D), h_prev and c_prev (N, H) -> h, c (N, H) and a cache for `step_backward`."""
        return self._one(x, (("h_prev", h_prev), ("c_prev", c_prev)))

    def step_backward(self, dh: ArrayLike, dc: ArrayLike, cache: Any) -> tuple[Array, ...]:
        """The gradients with respect to h and c (N, H) -> dx (N, D), dh_prev, dc_prev (N, H), dWx,
        dWh, db."""
        return self._one_back((("dh", dh), ("dc", dc)), cache)


class Embedding(Layer):
    """y = W[id]: each of K ids selects a row of W (K, D).

    Parameters
    ----------
    K, D : int
    init, init_scale, dtype, seed
        As `RNN`.
    """

    def __init__(self, K: int, D: int, *, init: str = "xavier", init_scale: float | None = None,
                 dtype: str = "float64", seed: int | None = 0) -> None:
        super().__init__({"W": (positive_int("K", K), positive_int("D", D))}, dtype)
        self._start(init, init_scale, None, seed, picked=True)

    def forward(self, x: ArrayLike) -> Array:
        """Ids (N, T), or of any shape -> rows (N, T, D).

        Raises
        ------
        ValueError
            An id outside 0..K-1; the message names it and its place.
        """
        W = self._param("W")
        ids = whole_numbers("ids", x, len(W)).copy()
        self._own.seen = (ids,)
        rows: Array = W[ids]
        return rows

    def backward(self, dout: ArrayLike) -> None:
        """The gradient with respect to the rows (N, T, D) fills `grads`; ids have none."""
        (ids,), shape = self._last(), self._shapes["W"]
        dout = float_array("dout", dout, (*ids.shape, shape[1]), self.dtype)
        self.grads = {"W": np.zeros(shape, self.dtype)}
        np.add.at(self.grads["W"], ids, dout)


class Linear(Layer):
    """y = x W + b with W (D, M) and b (M).

    Parameters
    ----------
    D, M : int
    bias : bool
        False: y = x W, and there is no b.
    init, init_scale, dtype, seed
        As `RNN`.
    """

    def __init__(self, D: int, M: int, bias: bool = True, *, init: str = "xavier",
                 init_scale: float | None = None, dtype: str = "float64",
                 seed: int | None = 0) -> None:
        D, M = positive_int("D", D), positive_int("M", M)
        b: dict[str, tuple[int, ...]] = {"b": (M,)} if boolean("bias", bias) else {}
        super().__init__({"W": (D, M)} | b, dtype)
        self._start(init, init_scale, None, seed)

    def forward(self, x: ArrayLike) -> Array:
        """x (N, T, D), or any array whose last axis has D -> (N, T, M)."""
        x = self._operand(float_array("x", x, (..., self._shapes["W"][0]), self.dtype))
        W = self._operand(self._param("W").copy())
        self._own.seen = x, W
        with no_fork, one_thread_for(x.size // len(W), *W.shape):
            y = x @ W
        if "b" in self._shapes:
            y += self._param("b")
        return y

    def backward(self, dout: ArrayLike) -> Array:
        """The gradient with respect to y -> with respect to x; fills `grads`."""
        x, W = self._last()
        D, M = W.shape
        dout = float_array("dout", dout, (*x.shape[:-1], M), self.dtype)
        dy, rows = self._operand(dout), dout.reshape(-1, M)
        with no_fork, one_thread_for(len(rows), D, M):
            dW, dx = x.reshape(-1, D).T @ dy.reshape(-1, M), dy @ W.T
        self.grads = {"W": dW} | ({"b": rows.sum(0)} if "b" in self._shapes else {})
        return dx

    def _operand(self, array: Array) -> Array:
        """An array as products take it."""
        return kernels.round_to_bfloat16(array) if self.precision == kernels.MIXED else array


class Dropout(Layer):
    """In training each number becomes 0 with probability p, and the others are divided by 1 - p
    (Srivastava et al. 2014); with `training` False nothing changes.

    Parameters
    ----------
    p : float
        In [0, 1).
    dtype : {"float32", "float64", "mixed_bfloat16"}
    seed : int or None

    Raises
    ------
    ValueError, TypeError
        p outside its range; complex or object arrays.
    """

    def __init__(self, p: float, *, dtype: str = "float64", seed: int | None = 0) -> None:
        super().__init__(None, dtype)
        self.p = fraction("p", p)
        self._rng = generator(seed)

    def forward(self, x: ArrayLike) -> Array:
        """x of any shape -> the same shape; another mask in each call."""
        x = float_array("x", x, (...,), self.dtype)
        mask = np.ones_like(x)
        if self.training and self.p:
            mask = (self._rng.random(x.shape) >= self.p) / self.dtype.type(1 - self.p)
        self._own.seen = (mask,)
        y: Array = x * mask
        return y

    def backward(self, dout: ArrayLike) -> Array:
        """The gradient with respect to y -> with respect to x, through the mask of `forward`."""
        (mask,) = self._last()
        return float_array("dout", dout, mask.shape, self.dtype) * mask


def _checked(name: str, value: ArrayLike, mask: ArrayLike | None) -> tuple[Array, Array]:
    """An array (N, T, M) and the weight of each step in the loss (N, T)."""
    array = float_array(name, value, (...,))
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"{name} must be (N, T, M), not {array.shape}")
    shape = array.shape[:-1]
    return array, (np.ones(shape, array.dtype) if mask is None
                   else float_array("mask", mask, shape, array.dtype))


class SoftmaxCrossEntropy(_Pass):
    """-log softmax(scores)[label], summed over time and averaged over the batch, in nats.

    Parameters
    ----------
    class_weights : array_like, shape (M,), optional
        The weight, 0 or more, of each label: losses are multiplied by it, and divided by its mean
        over the steps that count. So the loss of one step is that of PyTorch's
        ``CrossEntropyLoss(weight=class_weights)``, sum(weight loss) / sum(weight).
    """

    def __init__(self, class_weights: ArrayLike | None = None) -> None:
        self.class_weights = None if class_weights is None else weights_of(
            "class_weights", class_weights, (np.size(class_weights),))

    def forward(self, scores: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None) -> float:
        """The loss.

        Parameters
        ----------
        scores : array_like, shape (N, T, M)
            float32 or float64. (N, M) is taken for one step.
        labels : array_like of int, shape (N, T)
            Below M.
        mask : array_like, shape (N, T), optional
            0 or False where a step does not count; other numbers are its weight.

        Raises
        ------
        ValueError, TypeError
            Shapes that do not fit (both are named), or a label that is not a whole number from 0
            to M - 1 (with its place).
        """
        scores, weights = _checked("scores", scores, mask)
        at = whole_numbers("labels", labels, scores.shape[-1], scores.shape[:-1])[..., None]
        if self.class_weights is not None:
            weights = self._weighted(weights, at[..., 0], scores.shape[-1])
        log_p = log_softmax(scores, axis=-1)
        self._own.seen = log_p, at, weights / len(scores)
        picked = np.take_along_axis(log_p, at, -1)[..., 0]
        return float(-(picked * weights).sum(dtype=np.float64) / len(scores))

    def _weighted(self, weights: Array, labels: Array, M: int) -> Array:
        """The weight of each step, times that of its label over their mean."""
        assert self.class_weights is not None
        if len(self.class_weights) != M:
            raise ValueError(f"class_weights has {len(self.class_weights)} weights, and the scores "
                             f"{M} columns: give one for each")
        each = weights * self.class_weights[labels]
        total = each.sum(dtype=np.float64)
        factor = weights.sum(dtype=np.float64) / total if total > 0 else 0.0
        return (each * factor).astype(weights.dtype)

    def backward(self) -> Array:
        """The gradient with respect to the scores: (softmax - one-hot label) mask / N."""
        log_p, at, weights = self._last()
        d: Array = np.exp(log_p)
        np.put_along_axis(d, at, np.take_along_axis(d, at, -1) - 1, -1)
        d *= weights[..., None]
        return d


class MeanSquaredError(_Pass):
    """(y - target)^2, averaged over all entries that count."""

    def forward(self, y: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None) -> float:
        """The loss.

        Parameters
        ----------
        y, targets : array_like, shape (N, T, M)
            float32 or float64.
        mask : array_like, shape (N, T), optional
            0 or False where a step does not count; other numbers are its weight.

        Raises
        ------
        ValueError, TypeError
            Shapes that do not fit (both are named), or a mask that hides every step.
        """
        y, weights = _checked("y", y, mask)
        difference = y - float_array("targets", targets, y.shape, y.dtype)
        count = weights.sum(dtype=np.float64) * y.shape[-1]
        if count == 0:
            raise ValueError("mask hides every step: leave at least one")
        self._own.seen = difference, weights / count
        return float((difference**2 * weights[..., None]).sum(dtype=np.float64) / count)

    def backward(self) -> Array:
        """The gradient with respect to y: 2 (y - target) / entries that count."""
        difference, weights = self._last()
        d: Array = 2 * difference * weights.astype(difference.dtype)[..., None]
        return d


class _Joined(Mapping[str, Array]):
    """The current params or grads of several layers, under the names "0.Wx" and so on."""

    def __init__(self, layers: tuple[Layer, ...], kind: str) -> None:
        self._layers, self._kind = layers, kind

    def _now(self) -> dict[str, Array]:
        return {f"{i}.{name}": array for i, layer in enumerate(self._layers)
                for name, array in getattr(layer, self._kind).items()}

    def __getitem__(self, name: str) -> Array:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())


class Sequential(Layer):
    """Layers one after the other; recurrent ones start each `forward` from the zero state.

    Parameters
    ----------
    layers : Layer
        Each reads the output of the one before.

    Attributes
    ----------
    layers : tuple of Layer
    params, grads : mapping of str -> ndarray
        Of all layers, ``"0.Wx"`` being ``layers[0].params["Wx"]``; arrays are replaced there, not
        here.
    """

    def __init__(self, *layers: Layer) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layer {i} must be one of fastrnn.nn, not {layer!r}")
        if not layers:
            raise ValueError("Sequential needs at least one layer")
        self.layers = layers

    @property
    def params(self) -> Mapping[str, Array]:  # type: ignore[override]
        return _Joined(self.layers, "params")

    @property  # type: ignore[misc]
    def grads(self) -> Mapping[str, Array]:  # type: ignore[override]
        return _Joined(self.layers, "grads")

    @property
    def training(self) -> bool:
        return all(layer.training for layer in self.layers)

    @training.setter
    def training(self, value: bool) -> None:
        for layer in self.layers:
            layer.training = value

    def forward(self, x: Any) -> Any:
        """x through all layers."""
        with self._threads():
            for layer in self.layers:
                x = layer.forward(x)
        return x

    def _threads(self) -> AbstractContextManager[None]:
        """One context for all layers in place of one for each recurrent layer."""
        recurrent = any(isinstance(layer, _Recurrent) for layer in self.layers)
        return one_thread() if recurrent else nullcontext()

    def backward(self, dout: Any) -> Any:
        """The gradient with respect to the output -> with respect to x (None where the first layer
        is an Embedding); fills `grads`."""
        with self._threads():
            for layer in reversed(self.layers):
                dout = layer.backward(dout)
                if isinstance(layer, _Recurrent):
                    dout = dout[0]  # without the gradients of the zero states
        return dout

    def __repr__(self) -> str:
        return f"<nn.Sequential of {', '.join(map(repr, self.layers))}>"
