"""Layers of RNN, LSTM and GRU on batches of streams, as a good NumPy programmer writes them.

Each time step is one product of the whole batch with Wh; what does not depend on the previous step
(input products, output scores, gradients of the weights) is one product over all T steps.
"""

import numpy as np

from .peer import CharacterPeer, views


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * z) + 0.5  # NumPy's tanh is vectorised, and nothing overflows


# Each cell has two loops over time. Forward: z (T, N, G*H) holds x Wx + b, with h (T + 1, N, H) and
# for the LSTM c (T + 1, N, H), whose slots 0 are the initial state, and which it fills; it returns
# what the backward loop needs. Backward: dh (T, N, H) is the gradient with respect to the layer's
# outputs; it returns the gradients with respect to x Wx + b and to h Wh: dz, du (T, N, G*H). They
# differ for the GRU only.


def rnn_forward(z, h, Wh):
    for t in range(len(z)):
        np.tanh(z[t] + h[t] @ Wh, out=h[t + 1])
    return (1 - h[1:] ** 2,)


def rnn_backward(dh, Wh, slope):
    dz, carried = np.empty_like(dh), 0
    for t in reversed(range(len(dh))):
        np.multiply(dh[t] + carried, slope[t], out=dz[t])
        carried = dz[t] @ Wh.T
    return dz, dz


def lstm_forward(z, h, c, Wh):
    """Gate order i f o g; z becomes the gates."""
    H = len(Wh)
    tanh_c = np.empty_like(h[1:])
    for t, gates in enumerate(z):
        gates += h[t] @ Wh
        gates[:, : 3 * H] = sigmoid(gates[:, : 3 * H])
        np.tanh(gates[:, 3 * H :], out=gates[:, 3 * H :])
        i, f, o, g = np.split(gates, 4, axis=1)
        np.add(f * c[t], i * g, out=c[t + 1])
        np.tanh(c[t + 1], out=tanh_c[t])
        np.multiply(o, tanh_c[t], out=h[t + 1])
    return z, c, tanh_c


def lstm_backward(dh, Wh, gates, c, tanh_c):
    dz, carried, dc = np.empty_like(gates), 0, 0
    for t in reversed(range(len(dh))):
        i, f, o, g = np.split(gates[t], 4, axis=1)
        di, df, do, dg = np.split(dz[t], 4, axis=1)
        dout = dh[t] + carried
        dc = dc + dout * o * (1 - tanh_c[t] ** 2)
        np.multiply(dc * g, i * (1 - i), out=di)
        np.multiply(dc * c[t], f * (1 - f), out=df)
        np.multiply(dout * tanh_c[t], o * (1 - o), out=do)
        np.multiply(dc * i, 1 - g**2, out=dg)
        dc *= f
        carried = dz[t] @ Wh.T
    return dz, dz


def gru_forward(z, h, Wh, bhn):
    """Gate order r z n, the reset gate after the product; z becomes the gates."""
    H = len(Wh)
    hn = np.empty_like(h[1:])  # h Un + bhn
    for t, gates in enumerate(z):
        u = h[t] @ Wh
        np.add(u[:, 2 * H :], bhn, out=hn[t])
        gates[:, : 2 * H] = sigmoid(gates[:, : 2 * H] + u[:, : 2 * H])
        r, update, n = np.split(gates, 3, axis=1)
        np.tanh(n + r * hn[t], out=n)
        np.add(n, update * (h[t] - n), out=h[t + 1])
    return z, h, hn


def gru_backward(dh, Wh, gates, h, hn):
    dz, du, carried = np.empty_like(gates), np.empty_like(gates), 0
    H = len(Wh)
    for t in reversed(range(len(dh))):
        r, update, n = np.split(gates[t], 3, axis=1)
        dr, dupdate, dn = np.split(dz[t], 3, axis=1)
        dout = dh[t] + carried
        np.multiply(dout * (1 - update), 1 - n**2, out=dn)
        np.multiply(dout * (h[t] - n), update * (1 - update), out=dupdate)
        np.multiply(dn * hn[t], r * (1 - r), out=dr)
        du[t, :, : 2 * H] = dz[t, :, : 2 * H]
        np.multiply(dn, r, out=du[t, :, 2 * H :])
        carried = dout * update + du[t] @ Wh.T
    return dz, du


def adagrad(p, g, rate, step, m):
    m += g * g
    p -= rate * g / np.sqrt(m + 1e-8)


def rmsprop(p, g, rate, step, m):
    m *= 0.9
    m += 0.1 * g * g
    p -= rate * g / np.sqrt(m + 1e-8)


def adam(p, g, rate, step, m, v):
    m += 0.1 * (g - m)
    v += 0.001 * (g * g - v)
    p -= rate / (1 - 0.9**step) * m / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)


CELLS = {
    "rnn": (rnn_forward, rnn_backward),
    "lstm": (lstm_forward, lstm_backward),
    "gru": (gru_forward, gru_backward),
}
OPTIMIZERS = {"adagrad": (adagrad, 1), "rmsprop": (rmsprop, 1), "adam": (adam, 2)}  # memories


class NumpyBatch(CharacterPeer):
    """Recurrent layers on one-hot or embedded symbols, softmax head, clipped gradients.

    Parameters
    ----------
    params : dict of str to ndarray
        Named and shaped as ``fastrnn.Model.params``. Copied.
    ids, K, seq_length, batch_size
        See `CharacterPeer`.
    cell : {"rnn", "lstm", "gru"}
        The GRU is the one with ``reset_after=True``.
    optimizer : {"adagrad", "rmsprop", "adam"}
        As fastrnn's.
    learning_rate, clip_value : float
        The optimizer's step and the bound on every gradient entry.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    params, grads : dict of str to ndarray
        Views of one flat block each.
    state : ndarray, shape (N, P)
        The layers' states side by side, each h (N, H), an LSTM's h then c.
    """

    def __init__(
        self,
        params: dict[str, np.ndarray],
        ids: np.ndarray,
        K: int,
        seq_length: int = 25,
        batch_size: int = 1,
        cell: str = "rnn",
        optimizer: str = "adagrad",
        learning_rate: float = 0.1,
        clip_value: float = 5.0,
        dtype: type = np.float32,
    ) -> None:
        shapes = {name: np.shape(p) for name, p in params.items()}
        size = sum(int(np.prod(shape)) for shape in shapes.values())
        self._forward, self._backward = CELLS[cell]
        self._rule, memories = OPTIMIZERS[optimizer]
        self._p, self._g, *self._memories = np.zeros((2 + memories, size), dtype)
        self.params, self.grads = views(self._p, shapes), views(self._g, shapes)
        for name, p in params.items():
            self.params[name][...] = p
        self.layers = sum(name.endswith(".Wh") for name in params)
        self.learning_rate = learning_rate
        self.clip_value = clip_value
        self.updates = 0
        T, N, H = seq_length, batch_size, len(params["head.W"])
        parts = 2 if cell == "lstm" else 1  # h, and the LSTM's c
        self._kept = np.zeros((self.layers, parts, T + 1, N, H), dtype)  # slot 0: initial state
        self._one_hot = np.zeros((T * N, K), dtype)
        self._rows = np.arange(T * N)
        super().__init__(ids, K, seq_length, batch_size)

    def reset_state(self) -> None:
        layers, parts, _, N, H = self._kept.shape
        self.state = np.zeros((N, layers * parts * H), self._kept.dtype)

    def loss_and_gradients(
        self, inputs: np.ndarray, targets: np.ndarray, state: np.ndarray
    ) -> tuple[float, dict[str, np.ndarray], np.ndarray]:
        """Ids (T, N) and state (N, P) to loss (nats, summed over time and averaged over streams),
        unclipped gradients, and the state after the last step.

        The gradients are `self.grads`, overwritten by the next call.
        """
        p, grads, kept = self.params, self.grads, self._kept
        layers, parts, _, N, H = kept.shape
        inputs, targets = inputs.ravel(), targets.ravel()  # (TN,)
        kept[:, :, 0] = state.reshape(N, layers, parts, H).transpose(1, 2, 0, 3)

        x = np.take(p["embedding.W"], inputs, axis=0) if "embedding.W" in p else None  # (TN, D)
        layer_inputs, for_backward = [], []
        for layer in range(layers):
            Wx, Wh, b = (p[f"layer{layer}.{name}"] for name in ("Wx", "Wh", "b"))
            z = np.take(Wx, inputs, axis=0) if x is None else x @ Wx  # (TN, G*H)
            z += b
            extra = [p[f"layer{layer}.bhn"]] if f"layer{layer}.bhn" in p else []
            for_backward.append(
                self._forward(z.reshape(-1, N, z.shape[1]), *kept[layer], Wh, *extra))
            layer_inputs.append(x)
            x = kept[layer, 0, 1:].reshape(-1, H)  # a view: h of all steps, (TN, H)

        o = x @ p["head.W"] + p["head.b"]  # (TN, K): scores, then probabilities, their gradient
        o -= o.max(axis=1, keepdims=True)
        log_p = o[self._rows, targets]  # (TN,), to be lowered by the log of the sums
        np.exp(o, out=o)
        sums = o.sum(axis=1, keepdims=True)
        loss = float(np.log(sums).sum() - log_p.sum()) / N
        o /= sums
        o[self._rows, targets] -= 1
        o /= N

        np.dot(x.T, o, out=grads["head.W"])
        o.sum(axis=0, out=grads["head.b"])
        dx = o @ p["head.W"].T  # (TN, H)
        for layer in reversed(range(layers)):
            prefix, x = f"layer{layer}.", layer_inputs[layer]
            dz, du = self._backward(
                dx.reshape(-1, N, H), p[prefix + "Wh"], *for_backward[layer])
            dz, du = dz.reshape(-1, dz.shape[2]), du.reshape(-1, du.shape[2])  # (TN, G*H)
            np.dot(kept[layer, 0, :-1].reshape(-1, H).T, du, out=grads[prefix + "Wh"])
            dz.sum(axis=0, out=grads[prefix + "b"])
            if prefix + "bhn" in p:
                du[:, 2 * H :].sum(axis=0, out=grads[prefix + "bhn"])
            if x is None:
                # A product with one-hot rows is four times faster than np.add.at; for the few
                # columns of an embedding it is the other way round.
                self._one_hot[self._rows, inputs] = 1
                np.dot(self._one_hot.T, dz, out=grads[prefix + "Wx"])
                self._one_hot[self._rows, inputs] = 0
            else:
                np.dot(x.T, dz, out=grads[prefix + "Wx"])
                dx = dz @ p[prefix + "Wx"].T
        if "embedding.W" in p:
            grads["embedding.W"].fill(0)
            np.add.at(grads["embedding.W"], inputs, dx)
        last = kept[:, :, -1].transpose(2, 0, 1, 3).reshape(N, -1).copy()
        return loss, grads, last

    def learn(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        loss, _, self.state = self.loss_and_gradients(inputs, targets, self.state)
        np.clip(self._g, -self.clip_value, self.clip_value, out=self._g)
        self.updates += 1
        self._rule(self._p, self._g, self.learning_rate, self.updates, *self._memories)
        return loss
