"""The networks in plain NumPy: what every compiled kernel is tested against.

Written to be read and to be right, not fast. Shapes are batch-first: N sequences, T time steps,
D inputs, H hidden units, L layers, K symbols. Parameters are a dict with the names of
``Model.params``; the weights of an esn that are not trained are ``reservoir.W`` and so on. The
state of a network is (N, P): the states of its layers side by side, each h (N, H), of an LSTM h
then c, of the memory cell m. So P = L H, or 2 L H for LSTMs.

The same functions compute what dtype="mixed_bfloat16" does where parameters, state and inputs that
are numbers are `Rounded`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels import round_to_bfloat16

Array = NDArray[Any]
Arrays = tuple[Array, ...]
Tensors = dict[str, Array]


class Rounded(np.ndarray[Any, Any]):
    """Numbers that a product with other Rounded ones takes rounded to bfloat16, and a product with
    a plain array, such as one-hot vectors and the weights of labels, as they are.

    ``array.view(Rounded)`` makes them, and what is computed from them is Rounded. It is the float32
    numbers that are rounded; sums have the array's own dtype. Numbers below 1.2e-38, which the
    kernels take as 0, are kept."""

    __array_priority__ = 1  # what is concatenated with them is Rounded too

    def __matmul__(self, other: Any) -> Any:
        if not isinstance(other, Rounded):
            return super().__matmul__(other)
        a, b = (np.asarray(round_to_bfloat16(x), x.dtype) for x in (self, other))
        return (a @ b).view(Rounded)


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), without overflow for any z"""
    return np.exp(-np.logaddexp(0, -z))


def rnn_forward(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array, cell: str = "rnn") -> Array:
    """h_t = f(x_t Wx + h_{t-1} Wh + b), f = tanh ("rnn") or max(0, .) ("relu").

    x (N, T, D), h0 (N, H), Wx (D, H), Wh (H, H), b (H) -> h (N, T, H)
    """
    f = np.tanh if cell == "rnn" else lambda z: np.maximum(z, 0)
    h, out = h0, []
    for t in range(x.shape[1]):
        h = f(x[:, t] @ Wx + h @ Wh + b)  # (N, H)
        out.append(h)
    return np.stack(out, axis=1)


def rnn_backward(dh: Array, x: Array, h0: Array, h: Array, Wx: Array, Wh: Array,
                 cell: str = "rnn") -> Arrays:
    """From dh (N, T, H), the gradient of a loss with respect to h, those with respect to the rest:
    dx (N, T, D), dh0 (N, H), dWx (D, H), dWh (H, H), db (H)."""
    dx, carried = np.empty_like(x), np.zeros_like(h0)  # carried: dh_t from the steps after t
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(x.shape[1])):
        slope = 1 - h[:, t] ** 2 if cell == "rnn" else (h[:, t] > 0)
        dz = (dh[:, t] + carried) * slope  # (N, H)
        before = h[:, t - 1] if t > 0 else h0
        dx[:, t] = dz @ Wx.T
        dWx += x[:, t].T @ dz
        dWh += before.T @ dz
        db += dz.sum(axis=0)
        carried = dz @ Wh.T
    return dx, carried, dWx, dWh, db


def lstm_forward(x: Array, h0: Array, c0: Array, Wx: Array, Wh: Array, b: Array) -> Arrays:
    """[i f o g] = x_t Wx + h_{t-1} Wh + b, sigmoids of i, f, o and tanh of g;
    c_t = f c_{t-1} + i g,  h_t = o tanh(c_t)   (Hochreiter and Schmidhuber 1997; Gers et al. 2000)

    x (N, T, D), h0, c0 (N, H), Wx (D, 4H), Wh (H, 4H), b (4H) -> h, c (N, T, H), gates (N, T, 4H)
    """
    h, c, out = h0, c0, []
    for t in range(x.shape[1]):
        z = x[:, t] @ Wx + h @ Wh + b  # (N, 4H)
        i, f, o, g = np.split(z, 4, axis=1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        c = f * c + i * g  # (N, H)
        h = o * np.tanh(c)  # (N, H)
        out.append((h, c, np.hstack([i, f, o, g])))
    return tuple(np.stack(steps, axis=1) for steps in zip(*out, strict=True))


def lstm_backward(dh: Array, x: Array, h0: Array, c0: Array, h: Array, c: Array, gates: Array,
                  Wx: Array, Wh: Array) -> Arrays:
    """-> dx (N, T, D), dh0, dc0 (N, H), dWx (D, 4H), dWh (H, 4H), db (4H)"""
    dx, carried, dc = np.empty_like(x), np.zeros_like(h0), np.zeros_like(c0)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(x.shape[1])):
        i, f, o, g = np.split(gates[:, t], 4, axis=1)
        before, c_before = (h[:, t - 1], c[:, t - 1]) if t > 0 else (h0, c0)
        dout, squashed = dh[:, t] + carried, np.tanh(c[:, t])
        dc = dc + dout * o * (1 - squashed**2)
        dz = np.hstack([dc * g * i * (1 - i), dc * c_before * f * (1 - f),
                        dout * squashed * o * (1 - o), dc * i * (1 - g**2)])  # (N, 4H)
        dx[:, t] = dz @ Wx.T
        dWx += x[:, t].T @ dz
        dWh += before.T @ dz
        db += dz.sum(axis=0)
        carried, dc = dz @ Wh.T, dc * f
    return dx, carried, dc, dWx, dWh, db


def mlstm_forward(x: Array, h0: Array, c0: Array, Wx: Array, Wh: Array, b: Array) -> Arrays:
    """a_t = x_t Wa + ba, q_t = x_t Wq + bq, m_t = a_t h_{t-1}, the step of `lstm_forward` with m_t
    in place of h_{t-1}, and h_t = o tanh(c_t) + q_t   (after Krause et al. 2016)

    x (N, T, D), h0, c0 (N, H), Wx = [Wi Wf Wo Wg Wa Wq] (D, 6H), Wh (H, 4H), b (6H)
    -> h, c (N, T, H), gates, a and q (N, T, 6H)
    """
    h, c, out = h0, c0, []
    for t in range(x.shape[1]):
        *z, a, q = np.split(x[:, t] @ Wx + b, 6, axis=1)
        i, f, o, g = np.split(np.hstack(z) + (a * h) @ Wh, 4, axis=1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        c = f * c + i * g  # (N, H)
        h = o * np.tanh(c) + q  # (N, H)
        out.append((h, c, np.hstack([i, f, o, g, a, q])))
    return tuple(np.stack(steps, axis=1) for steps in zip(*out, strict=True))


def mlstm_backward(dh: Array, x: Array, h0: Array, c0: Array, h: Array, c: Array, gates: Array,
                   Wx: Array, Wh: Array) -> Arrays:
    """-> dx (N, T, D), dh0, dc0 (N, H), dWx (D, 6H), dWh (H, 4H), db (6H)"""
    dx, carried, dc = np.empty_like(x), np.zeros_like(h0), np.zeros_like(c0)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wx[0])
    for t in reversed(range(x.shape[1])):
        i, f, o, g, a, _ = np.split(gates[:, t], 6, axis=1)
        before, c_before = (h[:, t - 1], c[:, t - 1]) if t > 0 else (h0, c0)
        dout, squashed = dh[:, t] + carried, np.tanh(c[:, t])
        dc = dc + dout * o * (1 - squashed**2)
        dz = np.hstack([dc * g * i * (1 - i), dc * c_before * f * (1 - f),
                        dout * squashed * o * (1 - o), dc * i * (1 - g**2)])  # (N, 4H)
        dm = dz @ Wh.T  # (N, H)
        dsums = np.hstack([dz, dm * before, dout])  # (N, 6H)
        dx[:, t] = dsums @ Wx.T
        dWx += x[:, t].T @ dsums
        dWh += (a * before).T @ dz
        db += dsums.sum(axis=0)
        carried, dc = dm * a, dc * f
    return dx, carried, dc, dWx, dWh, db


def gru_forward(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array,
                bhn: Array | None = None) -> Arrays:
    """r = sigmoid(x_t Wr + h_{t-1} Ur + br), z = sigmoid(x_t Wz + h_{t-1} Uz + bz),
    n = tanh(x_t Wn + bn + r (h_{t-1} Un + bhn)), or without bhn, as Cho et al. 2014,
    n = tanh(x_t Wn + bn + (r h_{t-1}) Un);  h_t = (1 - z) n + z h_{t-1}

    x (N, T, D), h0 (N, H), Wx = [Wr Wz Wn] (D, 3H), Wh = [Ur Uz Un] (H, 3H), b (3H), bhn (H)
    -> h (N, T, H), gates (N, T, 3H)
    """
    H, h, out = len(Wh), h0, []
    Un = Wh[:, 2 * H :]
    for t in range(x.shape[1]):
        a = x[:, t] @ Wx + b  # (N, 3H)
        r, z = np.split(sigmoid(a[:, : 2 * H] + h @ Wh[:, : 2 * H]), 2, axis=1)
        n = np.tanh(a[:, 2 * H :] + ((r * h) @ Un if bhn is None else r * (h @ Un + bhn)))
        h = (1 - z) * n + z * h  # (N, H)
        out.append((h, np.hstack([r, z, n])))
    return tuple(np.stack(steps, axis=1) for steps in zip(*out, strict=True))


def gru_backward(dh: Array, x: Array, h0: Array, h: Array, gates: Array, Wx: Array, Wh: Array,
                 bhn: Array | None = None) -> Arrays:
    """-> dx (N, T, D), dh0 (N, H), dWx (D, 3H), dWh (H, 3H), db (3H), and with bhn dbhn (H)"""
    H, Un = len(Wh), Wh[:, 2 * len(Wh) :]
    dx, dWx, dWh = np.empty_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    db, dbhn, carried = np.zeros_like(Wh[0]), np.zeros_like(Wh[0, :H]), np.zeros_like(h0)
    for t in reversed(range(x.shape[1])):
        r, z, n = np.split(gates[:, t], 3, axis=1)
        before, dout = h[:, t - 1] if t > 0 else h0, dh[:, t] + carried
        dn = dout * (1 - z) * (1 - n**2)  # (N, H), before the tanh
        du = dn if bhn is None else dn * r  # with respect to the product with Un
        back = du @ Un.T
        dr = back * before if bhn is None else dn * (before @ Un + bhn)
        da = np.hstack([dr * r * (1 - r), dout * (before - n) * z * (1 - z), dn])  # (N, 3H)
        dx[:, t] = da @ Wx.T
        dWx += x[:, t].T @ da
        dWh[:, : 2 * H] += before.T @ da[:, : 2 * H]
        dWh[:, 2 * H :] += (r * before if bhn is None else before).T @ du
        db, dbhn = db + da.sum(axis=0), dbhn + du.sum(axis=0)
        carried = dout * z + da[:, : 2 * H] @ Wh[:, : 2 * H].T + back * (r if bhn is None else 1)
    return dx, carried, dWx, dWh, db, *(() if bhn is None else (dbhn,))


def mgu_forward(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> Arrays:
    """f = sigmoid(x_t Wf + h_{t-1} Uf + bf), n = tanh(x_t Wn + (f h_{t-1}) Un + bn),
    h_t = (1 - f) h_{t-1} + f n   (Zhou et al. 2016)

    x (N, T, D), h0 (N, H), Wx = [Wf Wn] (D, 2H), Wh = [Uf Un] (H, 2H), b (2H)
    -> h (N, T, H), gates (N, T, 2H)
    """
    H, h, out = len(Wh), h0, []
    for t in range(x.shape[1]):
        a = x[:, t] @ Wx + b  # (N, 2H)
        f = sigmoid(a[:, :H] + h @ Wh[:, :H])
        n = np.tanh(a[:, H:] + (f * h) @ Wh[:, H:])
        h = (1 - f) * h + f * n  # (N, H)
        out.append((h, np.hstack([f, n])))
    return tuple(np.stack(steps, axis=1) for steps in zip(*out, strict=True))


def mgu_backward(dh: Array, x: Array, h0: Array, h: Array, gates: Array, Wx: Array,
                 Wh: Array) -> Arrays:
    """-> dx (N, T, D), dh0 (N, H), dWx (D, 2H), dWh (H, 2H), db (2H)"""
    H, dx, carried = len(Wh), np.empty_like(x), np.zeros_like(h0)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wh[0])
    for t in reversed(range(x.shape[1])):
        f, n = np.split(gates[:, t], 2, axis=1)
        before, dout = h[:, t - 1] if t > 0 else h0, dh[:, t] + carried
        dn = dout * f * (1 - n**2)  # (N, H), before the tanh
        back = dn @ Wh[:, H:].T  # with respect to f h_{t-1}
        df = (dout * (n - before) + back * before) * f * (1 - f)
        da = np.hstack([df, dn])  # (N, 2H)
        dx[:, t] = da @ Wx.T
        dWx += x[:, t].T @ da
        dWh += np.hstack([before.T @ df, (f * before).T @ dn])
        db += da.sum(axis=0)
        carried = dout * (1 - f) + back * f + df @ Wh[:, :H].T
    return dx, carried, dWx, dWh, db


def memory_forward(x: Array, m0: Array, Wx: Array, Wh: Array, b: Array, Wm: Array,
                   bm: Array) -> Arrays:
    """u_t = max(0, x_t Wx + m_{t-1} Wh + b), m_t = m_{t-1} + u_t Wm + bm; the output is u.

    x (N, T, D), m0 (N, H), Wx (D, H), Wh, Wm (H, H), b, bm (H) -> u, m (N, T, H)
    """
    m, out = m0, []
    for t in range(x.shape[1]):
        u = np.maximum(x[:, t] @ Wx + m @ Wh + b, 0)  # (N, H)
        m = m + u @ Wm + bm  # (N, H)
        out.append((u, m))
    return tuple(np.stack(steps, axis=1) for steps in zip(*out, strict=True))


def memory_backward(du: Array, x: Array, m0: Array, u: Array, m: Array, Wx: Array, Wh: Array,
                    Wm: Array) -> Arrays:
    """-> dx (N, T, D), dm0 (N, H), dWx (D, H), dWh (H, H), db (H), dWm (H, H), dbm (H)"""
    dx, dm = np.empty_like(x), np.zeros_like(m0)  # dm: dm_t from the steps after t
    dWx, dWh, dWm = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wm)
    db, dbm = np.zeros_like(Wh[0]), np.zeros_like(Wh[0])
    for t in reversed(range(x.shape[1])):
        dz = (du[:, t] + dm @ Wm.T) * (u[:, t] > 0)  # (N, H)
        dWm += u[:, t].T @ dm
        dbm += dm.sum(axis=0)
        dx[:, t] = dz @ Wx.T
        dWx += x[:, t].T @ dz
        dWh += (m[:, t - 1] if t > 0 else m0).T @ dz
        db += dz.sum(axis=0)
        dm = dm + dz @ Wh.T
    return dx, dm, dWx, dWh, db, dWm, dbm


def esn_forward(x: Array, h0: Array, W: Array, Win: Array, b: Array, leak_rate: float = 1.0,
                Wfb: Array | None = None, y: Array | None = None) -> Array:
    """h_t = (1 - a) h_{t-1} + a tanh(Win x_t + W h_{t-1} + b + Wfb y_t)   (Jaeger 2001)

    x (N, T, D), h0 (N, H), W (H, H), Win (H, D), b (H), a = leak_rate, Wfb (H, K), y (N, T, K), the
    outputs fed back at each step -> h (N, T, H)
    """
    h, out = h0, []
    for t in range(x.shape[1]):
        fed_back = 0 if y is None or Wfb is None else y[:, t] @ Wfb.T
        z = x[:, t] @ Win.T + h @ W.T + b + fed_back  # (N, H)
        h = (1 - leak_rate) * h + leak_rate * np.tanh(z)
        out.append(h)
    return np.stack(out, axis=1)


@dataclass(frozen=True)
class Twin:
    """A cell as a layer: forward(x, *states, **weights) returns the layer's output first;
    backward(dout, x, *states, *what forward returned, *the weights in `needs`) returns dx, then the
    gradients with respect to the states, then to all weights."""

    forward: Callable[..., Any]
    backward: Callable[..., Any] | None
    needs: tuple[str, ...] = ("Wx", "Wh")
    first: int = 0  # of the arrays that forward returns, the first that is a state
    states: int = 1  # how many are states
    names: tuple[str, ...] = ("h",)  # of what forward returns: arrays, then the parts of the last


CELLS = {
    "rnn": Twin(rnn_forward, rnn_backward),
    "relu": Twin(partial(rnn_forward, cell="relu"), partial(rnn_backward, cell="relu")),
    "lstm": Twin(lstm_forward, lstm_backward, states=2, names=("h", "c", "i", "f", "o", "g")),
    "mlstm": Twin(mlstm_forward, mlstm_backward, states=2,
                  names=("h", "c", "i", "f", "o", "g", "a", "q")),
    "gru": Twin(gru_forward, gru_backward, ("Wx", "Wh", "bhn"), names=("h", "r", "z", "n")),
    "memory": Twin(memory_forward, memory_backward, ("Wx", "Wh", "Wm"), first=1,
                   names=("h", "m")),
    "mgu": Twin(mgu_forward, mgu_backward, names=("h", "f", "n")),
    "esn": Twin(esn_forward, None),
}


def layer_forward(x: Array, state: Array, weights: Tensors,
                  cell: str) -> tuple[Array, Array, Arrays]:
    """-> output of the layer (N, T, H), its last state, what `layer_backward` needs"""
    twin = CELLS[cell]
    found = twin.forward(x, *np.split(state, twin.states, axis=1), **weights)
    kept = found if isinstance(found, tuple) else (found,)
    ends = [array[:, -1] for array in kept[twin.first : twin.first + twin.states]]
    return kept[0], np.hstack(ends), kept


def named(cell: str, kept: Arrays) -> Tensors:
    """What a cell's forward pass of one sequence returned, by name: each (T, H)."""
    names = CELLS[cell].names
    parts = [*kept[:-1], *np.split(kept[-1], len(names) - len(kept) + 1, axis=2)]
    return {name: part[0] for name, part in zip(names, parts, strict=True)}


def layer_backward(dout: Array, x: Array, state: Array, kept: Arrays, weights: Tensors,
                   cell: str) -> tuple[Array, Sequence[Array]]:
    """-> dx (N, T, D), gradients with respect to the weights, in their order"""
    twin = CELLS[cell]
    assert twin.backward is not None
    dx, *more = twin.backward(dout, x, *np.split(state, twin.states, axis=1), *kept,
                              *(weights[name] for name in twin.needs if name in weights))
    return dx, more[twin.states :]


def softmax_cross_entropy(scores: Array, targets: Array,
                          mask: Array | None = None) -> tuple[Any, Array]:
    """Cross-entropy in nats, summed over time and averaged over the batch.

    scores (N, T, K), targets int (N, T), mask (N, T): 0 where a step does not count, else the
    weight of its loss
    -> loss, dscores (N, T, K)
    """
    N, T, _ = scores.shape
    n, t = np.ogrid[:N, :T]
    weights = np.ones((N, T)) if mask is None else mask
    shifted = scores - scores.max(axis=2, keepdims=True)
    total = np.exp(shifted).sum(axis=2, keepdims=True)
    loss = (weights * (np.log(total[:, :, 0]) - shifted[n, t, targets])).sum() / N
    dscores = np.exp(shifted) / total / N
    dscores[n, t, targets] -= 1 / N
    return loss, dscores * weights[:, :, None]


def binary_cross_entropy(scores: Array, targets: Array,
                         mask: Array | None = None) -> tuple[Any, Array]:
    """-log p of the target and -log(1 - p) of every other symbol, p = softmax(scores), in nats,
    with the arguments, sum and mean of `softmax_cross_entropy`."""
    N, T, K = scores.shape
    weights = np.ones((N, T)) if mask is None else mask
    hot, likeliest = np.eye(K, dtype=bool)[[targets, scores.argmax(axis=2)]]  # (N, T, K)
    log_p = scores - np.logaddexp.reduce(scores, axis=2, keepdims=True)
    p = np.exp(log_p)
    # only the likeliest symbol's p may be next to 1: its 1 - p is the sum of the other p
    others = np.where(likeliest, -np.inf, log_p)
    rest = np.logaddexp.reduce(others, axis=2, keepdims=True)  # its log(1 - p)
    odds = np.where(likeliest, 0, p) / (1 - np.where(likeliest, 0, p))  # p / (1 - p)
    losses = np.where(hot, -log_p, np.where(likeliest, -rest, np.log1p(odds))).sum(axis=2)
    # by the score of j the derivative of -log(1 - p_k) is p_j, or, where j is not k, p_j minus
    # the softmax of the symbols other than k, which is -p_j p_k / (1 - p_k)
    odds = np.where(hot, 0, odds)
    dscores = p * (2 - hot - (odds.sum(axis=2, keepdims=True) - odds)) - hot
    wrong = ~(hot & likeliest).any(axis=2, keepdims=True)
    dscores += np.where(wrong & ~likeliest, p - np.exp(others - rest), 0)
    return (weights * losses).sum() / N, dscores * weights[:, :, None] / N


def mean_squared_error(outputs: Array, targets: Array,
                       mask: Array | None = None) -> tuple[Any, Array]:
    """The mean of (output - target)^2 over the numbers of a step that are not NaN, summed over time
    and averaged over the batch: outputs, targets (N, T, K), mask (N, T) -> loss, doutputs
    (N, T, K)"""
    N, T, _ = outputs.shape
    known = ~np.isnan(targets)
    weights = np.ones((N, T, 1)) if mask is None else mask[:, :, None]
    weights = weights / np.maximum(1, known.sum(axis=2, keepdims=True)) / N
    errors = outputs - targets  # Rounded where outputs are; np.where would forget it
    errors[~known] = 0
    return (weights * errors**2).sum(), 2 * weights * errors


def number_of_layers(params: Tensors) -> int:
    return sum(name.endswith((".Wh", "reservoir.W")) for name in params)


def layer_weights(params: Tensors, layer: int) -> Tensors:
    """The parameters of one layer as Wx, Wh, b, ..., without Wc."""
    prefix = "reservoir." if "reservoir.W" in params else f"layer{layer}."
    return {name.removeprefix(prefix): p for name, p in params.items()
            if name.startswith(prefix) and name != "layer0.Wc"}


def forward(params: Tensors, inputs: Array, state: Array, cell: str = "rnn",
            masks: Sequence[Array] | None = None, labels: Array | None = None
            ) -> tuple[Array, Array, Array, list[Any]]:
    """One-hot, embedded or real inputs, recurrent layers, linear head.

    inputs int (N, T) or float (N, T, D), state (N, P), masks: for each layer (N, T, H), the dropout
    factors of its output, labels (N, C): the weight of each, input of the first layer at every step
    -> scores (N, T, K), last state (N, P), the head's input (N, T, H), and for each layer its
    input, first state and what `layer_backward` needs
    """
    Wx = params["reservoir.Win"].T if cell == "esn" else params["layer0.Wx"]
    table = params.get("embedding.W", np.eye(len(Wx), dtype=Wx.dtype))  # (V, D)
    x, last, layers = (inputs if inputs.ndim == 3 else table[inputs]), [], []
    for layer, start in enumerate(np.split(state, number_of_layers(params), axis=1)):
        weights = layer_weights(params, layer)
        if layer == 0 and labels is not None:  # the same at every step, as b
            weights["b"] = weights["b"] + labels @ params["layer0.Wc"]  # (N, G H)
        out, end, kept = layer_forward(x, start, weights, cell)
        layers.append((x, start, kept))
        last.append(end)
        x = out if masks is None else out * masks[layer]
    return x @ params["head.W"] + params["head.b"], np.hstack(last), x, layers


def loss_and_gradients(params: Tensors, inputs: Array, targets: Array, state: Array,
                       cell: str = "rnn", masks: Sequence[Array] | None = None,
                       mask: Array | None = None, labels: Array | None = None,
                       loss: Callable[..., tuple[Any, Array]] | None = None,
                       weight_masks: Sequence[Array] | None = None
                       ) -> tuple[Any, Tensors, Array]:
    """The loss of the outputs of `forward`, back-propagated; where no loss is given
    `softmax_cross_entropy` of targets int (N, T), `mean_squared_error` of float (N, T, K).

    inputs, state (N, P), masks and labels as in `forward`, mask (N, T) of the steps that count,
    weight_masks as in `weight_drop`
    -> loss, gradients (dict in the order of params; none of a reservoir), last state (N, P)
    """
    if weight_masks is not None:
        of_dropped = loss_and_gradients(weight_drop(params, weight_masks), inputs, targets, state,
                                        cell, masks, mask, labels, loss)
        return of_dropped[0], weight_drop(of_dropped[1], weight_masks), of_dropped[2]
    scores, last, h, layers = forward(params, inputs, state, cell, masks, labels)
    loss_of = loss or (softmax_cross_entropy if targets.ndim == 2 else mean_squared_error)
    total, dscores = loss_of(scores, targets, mask)
    trained = (name for name in params if not name.startswith("reservoir."))
    grads: dict[str, Any] = dict.fromkeys(trained)
    grads["head.W"] = h.reshape(-1, h.shape[2]).T @ dscores.reshape(-1, dscores.shape[2])
    grads["head.b"] = dscores.sum(axis=(0, 1))
    dout = dscores @ params["head.W"].T
    if cell == "esn":
        return total, grads, last
    for layer, (x, start, kept) in reversed([*enumerate(layers)]):
        weights = layer_weights(params, layer)
        dout = dout if masks is None else dout * masks[layer]
        if layer == 0 and labels is not None:  # which are inputs of the first layer at every step
            steps = np.repeat(labels[:, None], x.shape[1], axis=1)  # (N, T, C)
            of_labels = weights | {"Wx": params["layer0.Wc"]}
            grads["layer0.Wc"] = layer_backward(dout, steps, start, kept, of_labels, cell)[1][0]
        dout, dweights = layer_backward(dout, x, start, kept, weights, cell)
        grads.update(zip((f"layer{layer}.{name}" for name in weights), dweights, strict=True))
    if "embedding.W" in params:
        grads["embedding.W"] = np.zeros_like(params["embedding.W"])
        np.add.at(grads["embedding.W"], inputs, dout)
    return total, grads, last


def dropout_masks(generators: Any, slices: Any, T: int, N: int, H: int, L: int,
                  dropout: float) -> list[Array]:
    """Inverted dropout for one window: L arrays (N, T, H) of 0 and 1 / keep.

    A unit is dropped where its 16 random bits are below round(65536 dropout), so that keep is
    1 - round(65536 dropout) / 65536. Each slice (first row, rows n) of the batch has its own NumPy
    generator; for one layer after another it gives whole 64-bit words, read as T n H times 16 bits,
    lowest first, in the order (T, n, H).   (Srivastava et al. 2014; Zaremba et al. 2014)
    """
    limit = round(dropout * 65536)
    masks = [np.empty((N, T, H)) for _ in range(L)]
    for generator, (first, n) in zip(generators, slices, strict=True):
        for mask in masks:
            words = generator.bit_generator.random_raw(-(-T * n * H // 4)).astype("<u8")
            bits = words.view("<u2")[: T * n * H].reshape(T, n, H)
            mask[first : first + n] = np.swapaxes(bits >= limit, 0, 1) / (1 - limit / 65536)
    return masks


def weight_drop_masks(generators: Any, slices: Any, H: int, width: int, L: int,
                      probability: float) -> list[Array]:
    """Weight drop for one window: L arrays (H, width) of 0 and 1 / keep, for the Wh of each layer.

    Bits are compared as in `dropout_masks`, and drawn before those. Of S slices the generator of
    slice s gives the rows from H s / S to H (s + 1) / S, rounded down, of one layer after another,
    in the order (row, column).   (Merity, Keskar and Socher 2018)
    """
    limit = round(probability * 65536)
    masks = [np.empty((H, width)) for _ in range(L)]
    ends = [H * s // len(slices) for s in range(len(slices) + 1)]
    for generator, start, end in zip(generators, ends, ends[1:], strict=False):
        for mask in masks:
            count = (end - start) * width
            words = generator.bit_generator.random_raw(-(-count // 4)).astype("<u8")
            bits = words.view("<u2")[:count].reshape(end - start, width)
            mask[start:end] = (bits >= limit) / (1 - limit / 65536)
    return masks


def weight_drop(tensors: Tensors, masks: Sequence[Array]) -> Tensors:
    """Parameters, or their gradients, with the Wh of each layer times its mask."""
    return tensors | {f"layer{layer}.Wh": tensors[f"layer{layer}.Wh"] * mask
                      for layer, mask in enumerate(masks)}


def clip(grads: Tensors, clip_value: float | None = None,
         clip_norm: float | None = None) -> Tensors:
    """A new dict: all gradients scaled to the norm clip_norm where they exceed it together; then
    each entry cut to [-clip_value, clip_value]."""
    scale = 1.0
    if clip_norm is not None:
        norm = np.sqrt(sum(np.sum(g.astype(np.float64) ** 2) for g in grads.values()))
        scale = min(1.0, clip_norm / norm) if norm > 0 else 1.0
    c = np.inf if clip_value is None else clip_value
    return {name: np.clip(g * scale, -c, c) for name, g in grads.items()}


def root(m: Array, epsilon: float, epsilon_inside: bool) -> Array:
    """sqrt(m + epsilon), or sqrt(m) + epsilon"""
    return np.sqrt(m + epsilon) if epsilon_inside else np.sqrt(m) + epsilon


def adagrad(p: Array, g: Array, memories: Sequence[Array], update: int, learning_rate: float,
            epsilon: float = 1e-8, epsilon_inside: bool = True) -> None:
    """m += g^2;  p -= learning_rate g / root(m)   (Duchi et al. 2011)"""
    (m,) = memories
    m += g * g
    p -= learning_rate * g / root(m, epsilon, epsilon_inside)


def rmsprop(p: Array, g: Array, memories: Sequence[Array], update: int, learning_rate: float,
            decay: float = 0.9, epsilon: float = 1e-8, epsilon_inside: bool = True) -> None:
    """m = decay m + (1 - decay) g^2, then the step of AdaGrad   (Tieleman and Hinton 2012)"""
    (m,) = memories
    m *= decay
    m += (1 - decay) * g * g
    p -= learning_rate * g / root(m, epsilon, epsilon_inside)


def adam(p: Array, g: Array, memories: Sequence[Array], update: int, learning_rate: float,
         beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> None:
    """Unbiased running means of g and g^2; update counts from 1   (Kingma and Ba 2015)"""
    m, v = memories
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    mean, square = m / (1 - beta1**update), v / (1 - beta2**update)
    p -= learning_rate * mean / (np.sqrt(square) + epsilon)


def sgd(p: Array, g: Array, memories: Sequence[Array], update: int, learning_rate: float,
        momentum: float = 0.0) -> None:
    """v = momentum v + g;  p -= learning_rate v; no memory v without momentum   (Polyak 1964)"""
    if momentum:
        (v,) = memories
        v *= momentum
        v += g
        g = v
    p -= learning_rate * g


def dynamic(p: Array, g: Array, memories: Sequence[Array], update: int, learning_rate: float,
            decay: float = 0.0, epsilon: float = 0.0) -> None:
    """p += min(1, decay r) (first - p) - learning_rate g / (r + epsilon), with the parameters first
    before any step, r the root mean square of each one's gradients, and decay the lambda of the
    paper over the mean of r   (Krause, Kahembwe, Murray and Renals 2018)"""
    first, r = memories
    p += np.minimum(1, decay * r) * (first - p) - learning_rate * g / (r + epsilon)


def average(mean: Array, p: Array, update: int, fraction: float) -> None:
    """mean += (p - mean) / (1 + fraction (update - 1)); update counts from 1. A running average of
    p over about this fraction of the updates so far   (Shamir and Zhang 2013: their
    polynomial-decay averaging, with eta = 1 / fraction - 1)"""
    mean += (p - mean) / (1 + fraction * (update - 1))


# each with the number of its memories, sgd without momentum
OPTIMIZERS: dict[str, tuple[Callable[..., None], int]] = {
    "adagrad": (adagrad, 1), "rmsprop": (rmsprop, 1), "adam": (adam, 2), "sgd": (sgd, 0),
    "dynamic": (dynamic, 2)}


def train(params: Tensors, ids: Any, seq_length: int, batch_size: int = 1, cell: str = "rnn",
          optimizer: str = "adagrad", learning_rate: Any = 0.1, clip_value: float | None = 5.0,
          clip_norm: float | None = None, *, weight_decay: float = 0.0, dropout: float = 0.0,
          weight_drop: float = 0.0, generators: Any | None = None, slices: Any | None = None,
          averages: Tensors | None = None, weight_average: float = 0.0, **numbers: Any
          ) -> Iterator[tuple[Any, Any]]:
    """Read ids (1-D) in windows and change params in place; yield loss, smoothed loss without end,
    or until learning_rate ends where it is an iterable of one rate for each update.

    The text is cut into batch_size equal streams; the state goes from window to window and starts
    at zero in each epoch, which ends when position + seq_length + 1 >= the stream's length.
    Before its step a parameter p loses learning_rate weight_decay p (Loshchilov and Hutter 2019).
    averages, as many tensors, become the running averages of the parameters over the fraction
    weight_average of the updates. generators and slices are for `weight_drop_masks` and
    `dropout_masks`, numbers for the optimizer.
    """
    T, N = seq_length, batch_size
    length = len(ids) // N
    streams = np.asarray(ids[: length * N], dtype=np.int64).reshape(N, length)
    step, count = OPTIMIZERS[optimizer]
    count += bool(numbers.get("momentum"))
    memories = {name: [np.zeros_like(p) for _ in range(count)] for name, p in params.items()}
    L, H = number_of_layers(params), len(params["head.W"])
    zero = np.zeros((N, L * H * CELLS[cell].states), params["head.W"].dtype)
    position, state, update, smooth, masks, weight_masks = 0, zero, 0, 0.0, None, None
    rates: Iterable[Any] = repeat(learning_rate) if np.isscalar(learning_rate) else learning_rate
    for rate in rates:
        window = streams[:, position : position + T + 1]
        if weight_drop:
            width = params["layer0.Wh"].shape[1]
            weight_masks = weight_drop_masks(generators, slices, H, width, L, weight_drop)
        if dropout:
            masks = dropout_masks(generators, slices, T, N, H, L, dropout)
        loss, grads, state = loss_and_gradients(
            params, window[:, :-1], window[:, 1:], state, cell, masks, weight_masks=weight_masks)
        update += 1
        for name, g in clip(grads, clip_value, clip_norm).items():
            params[name] *= 1 - rate * weight_decay
            step(params[name], g, memories[name], update, rate, **numbers)
            if averages is not None:
                average(averages[name], params[name], update, weight_average)
        smooth = loss if update == 1 else 0.999 * smooth + 0.001 * loss
        yield loss, smooth
        position += T
        if position + T + 1 >= length:
            position, state = 0, zero


def sample(params: Tensors, state: Array, symbol: int, uniforms: Iterable[float],
           temperature: float = 1.0, cell: str = "rnn", top_k: int | None = None,
           top_p: float | None = None, min_p: float = 0.0, penalty: float = 1.0,
           seen: Iterable[int] = ()) -> list[int]:
    """Ids drawn from softmax(scores / temperature), one for each uniform number in [0, 1).

    state (P) is the state before `symbol` is read. Temperature 0 takes the likeliest symbol.
    top_k keeps the top_k likeliest symbols (of equals the lowest ids); top_p keeps the fewest of
    these whose probabilities, scaled to sum to 1, reach top_p (Holtzman et al. 2020); min_p keeps
    those of at least min_p times the largest (Nguyen et al. 2024). The scores of symbols that were
    seen or drawn are divided by the penalty if positive, else multiplied (Keskar et al. 2019).
    """
    known = set(seen)
    state, ids = state[None], []
    for u in uniforms:
        scores, state, _, _ = forward(params, np.array([[symbol]]), state, cell)
        scores = scores[0, 0].copy()  # (K,)
        for k in known if penalty != 1 else ():
            scores[k] = scores[k] / penalty if scores[k] > 0 else scores[k] * penalty
        if temperature == 0:
            symbol = int(np.argmax(scores))
        else:
            p = np.exp((scores - scores.max()) / temperature)
            order = np.argsort(-scores, kind="stable")
            if top_k is not None:
                p[order[top_k:]] = 0
            if top_p is not None:
                reached = np.cumsum(p[order]) / p.sum()
                p[order[np.searchsorted(reached, top_p) + 1 :]] = 0
            p[p < min_p * p.max()] = 0
            # rounding may leave the sum below u: then take the last possible symbol
            symbol = int(min(np.searchsorted(np.cumsum(p) / p.sum(), u, side="right"),
                             np.flatnonzero(p)[-1]))
        ids.append(symbol)
        known.add(symbol)
    return ids
