"""The same character RNN as a good NumPy programmer writes it, in float32 or float64.

What does not depend on the previous step is one product over all T steps; only the two recurrences
are loops. Every buffer is made once; clip and AdaGrad are passes over one flat block.
"""

import numpy as np

from .peer import CharacterPeer, views


class NumpyHoisted(CharacterPeer):
    """tanh RNN trained with AdaGrad; arguments as `NumpyStep`, and the dtype.

    Parameters
    ----------
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    params, memory, grads : dict of str to ndarray
        Views of one flat block each, named and shaped as in `NumpyStep`.
    h : ndarray, shape (H,)
        The hidden state, kept from one window to the next.
    """

    def __init__(
        self,
        params: dict[str, np.ndarray],
        ids: np.ndarray,
        K: int,
        seq_length: int = 25,
        learning_rate: float = 0.1,
        clip_value: float = 5.0,
        dtype: type = np.float32,
    ) -> None:
        shapes = {name: np.shape(p) for name, p in params.items()}
        size = sum(int(np.prod(shape)) for shape in shapes.values())
        # Parameters, gradients, AdaGrad's memory and its scratch, all of one layout.
        self._p, self._g, self._m, self._s = np.zeros((4, size), dtype)
        self.params = views(self._p, shapes)
        self.grads = views(self._g, shapes)
        self.memory = views(self._m, shapes)
        for name, p in params.items():
            self.params[name][...] = p
        self.learning_rate = learning_rate
        self.clip_value = clip_value

        T, H = seq_length, len(params["layer0.b"])
        self._steps = np.arange(T)
        self._one_hot = np.zeros((T, K), dtype)
        self._v = np.zeros((T, H), dtype)  # before the tanh, later the gradient there
        self._h = np.zeros((T + 1, H), dtype)  # slot 0 is the initial state
        self._slope = np.zeros((T, H), dtype)  # 1 - h²
        self._o = np.zeros((T, K), dtype)  # scores, then probabilities, then their gradient
        self._back = np.zeros(H, dtype)
        # Rows as views made once: indexing in the loops would cost as much as their arithmetic.
        self._h_rows, self._v_rows, self._slope_rows = map(list, (self._h, self._v, self._slope))
        super().__init__(ids, K, seq_length)

    def reset_state(self) -> None:
        self.h = np.zeros_like(self._back)

    def loss_and_gradients(
        self, inputs: np.ndarray, targets: np.ndarray, h: np.ndarray
    ) -> tuple[float, dict[str, np.ndarray], np.ndarray]:
        """Ids (T,) to loss (nats, summed over time), unclipped gradients, and the last state.

        The gradients are `self.grads`, overwritten by the next call.
        """
        p, grads = self.params, self.grads
        Wh, W = p["layer0.Wh"], p["head.W"]
        steps, o, v, slope, back = self._steps, self._o, self._v, self._slope, self._back

        np.take(p["layer0.Wx"], inputs, axis=0, out=v, mode="clip")  # "clip" writes unbuffered
        v += p["layer0.b"]
        self._h[0] = h
        before = self._h_rows[0]
        for after, x in zip(self._h_rows[1:], self._v_rows, strict=True):
            np.dot(before, Wh, out=after)
            after += x
            np.tanh(after, out=after)
            before = after
        hs = self._h[1:]  # (T, H)

        np.dot(hs, W, out=o)
        o += p["head.b"]
        o -= o.max(axis=1, keepdims=True)
        log_p = o[steps, targets]  # (T,), to be lowered by the log of the sums
        np.exp(o, out=o)
        sums = o.sum(axis=1, keepdims=True)
        loss = float(np.log(sums).sum() - log_p.sum())
        o /= sums
        o[steps, targets] -= 1

        np.dot(hs.T, o, out=grads["head.W"])
        o.sum(axis=0, out=grads["head.b"])
        np.dot(o, W.T, out=v)  # v is now dL/dh, and becomes dL/dv from the last step backwards
        np.multiply(hs, hs, out=slope)
        np.subtract(1, slope, out=slope)
        back.fill(0)
        for dv, dh_dv in zip(reversed(self._v_rows), reversed(self._slope_rows), strict=True):
            dv += back
            dv *= dh_dv
            np.dot(Wh, dv, out=back)
        np.dot(self._h[:-1].T, v, out=grads["layer0.Wh"])
        v.sum(axis=0, out=grads["layer0.b"])
        # A product with one-hot rows is four times faster than np.add.at at K 83, H 100, T 25.
        self._one_hot.fill(0)
        self._one_hot[steps, inputs] = 1
        np.dot(self._one_hot.T, v, out=grads["layer0.Wx"])
        return loss, grads, self._h[-1].copy()

    def learn(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        loss, _, self.h = self.loss_and_gradients(inputs[:, 0], targets[:, 0], self.h)
        p, g, m, s = self._p, self._g, self._m, self._s
        np.clip(g, -self.clip_value, self.clip_value, out=g)
        np.multiply(g, g, out=s)
        m += s
        np.add(m, 1e-8, out=s)
        np.sqrt(s, out=s)
        np.divide(g, s, out=s)
        s *= self.learning_rate
        p -= s
        return loss

    def sample(self, h: np.ndarray, first_id: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """Sample n ids after `first_id` from state h (H,), which is not changed.

        The random numbers are those of n calls of ``rng.choice``, but made at once.
        """
        p = self.params
        Wx = p["layer0.Wx"] + p["layer0.b"]
        Wh, W, b = p["layer0.Wh"], p["head.W"], p["head.b"]
        h, o = h.copy(), np.empty_like(b)
        v = np.empty_like(h)
        samples, symbol = [], first_id
        for uniform in rng.random(n):
            np.dot(h, Wh, out=v)
            v += Wx[symbol]
            np.tanh(v, out=h)
            np.dot(h, W, out=o)
            o += b
            o -= o.max()
            np.exp(o, out=o)
            cumulative = o.cumsum(dtype=np.float64)
            # Rounding may leave the last sum at the random number itself: then it is the last id.
            symbol = min(
                int(cumulative.searchsorted(uniform * cumulative[-1], "right")), self.K - 1
            )
            samples.append(symbol)
        return np.array(samples, dtype=np.int64)
