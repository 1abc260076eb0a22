"""The character RNN as students write it in NumPy: one time step after another, in float64.

It is the peer that shows how fast such a script is, so it is not optimised on purpose: each symbol
becomes a one-hot vector, every product takes one vector, and the gradients are summed step
by step. Mathematics and settings are those of Karpathy's min-char-rnn and of the KTH course DD2424.
"""

import numpy as np

from .peer import CharacterPeer


class NumpyStep(CharacterPeer):
    """tanh RNN trained with AdaGrad, one vector at a time.

    Parameters
    ----------
    params : dict of str to ndarray
        ``layer0.Wx`` (K, H), ``layer0.Wh`` (H, H), ``layer0.b`` (H), ``head.W`` (H, K),
        ``head.b`` (K). Copied.
    ids, K, seq_length
        See `CharacterPeer`.
    learning_rate, clip_value : float
        AdaGrad's step and the bound on every gradient entry.

    Attributes
    ----------
    params, memory : dict of str to ndarray
        Parameters and AdaGrad's sums of squared gradients, float64.
    h : ndarray, shape (1, H)
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
    ) -> None:
        self.params = {name: np.array(p, dtype=np.float64) for name, p in params.items()}
        self.memory = {name: np.zeros_like(p) for name, p in self.params.items()}
        self.learning_rate = learning_rate
        self.clip_value = clip_value
        super().__init__(ids, K, seq_length)

    def reset_state(self) -> None:
        self.h = np.zeros((1, len(self.params["layer0.b"])))

    def one_hot(self, symbol: int) -> np.ndarray:
        x = np.zeros((1, self.K))
        x[0, symbol] = 1.0
        return x

    def step(self, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From x (1, K) and h (1, H) to the next h (1, H) and the probabilities (1, K)."""
        p = self.params
        h = np.tanh(np.dot(x, p["layer0.Wx"]) + np.dot(h, p["layer0.Wh"]) + p["layer0.b"])
        scores = np.exp(np.dot(h, p["head.W"]) + p["head.b"])  # the classic subtracts no maximum
        return h, scores / np.sum(scores)

    def loss_and_gradients(
        self, inputs: np.ndarray, targets: np.ndarray, h: np.ndarray
    ) -> tuple[float, dict[str, np.ndarray], np.ndarray]:
        """Ids (T,) to loss (nats, summed over time), unclipped gradients, and the last state."""
        xs, hs, ps = [], [h], []
        loss = 0.0
        for symbol, target in zip(inputs, targets, strict=True):
            x = self.one_hot(symbol)
            h, p = self.step(x, hs[-1])
            loss -= np.log(p[0, target])
            xs.append(x)
            hs.append(h)
            ps.append(p)

        grads = {name: np.zeros_like(p) for name, p in self.params.items()}
        dh_next = np.zeros_like(h)  # (1, H), from step t + 1 to step t
        for t in reversed(range(len(inputs))):
            do = np.copy(ps[t])  # (1, K)
            do[0, targets[t]] -= 1.0
            grads["head.W"] += np.dot(hs[t + 1].T, do)
            grads["head.b"] += do[0]
            dh = np.dot(do, self.params["head.W"].T) + dh_next
            dv = (1.0 - hs[t + 1] * hs[t + 1]) * dh  # (1, H), before the tanh
            grads["layer0.Wx"] += np.dot(xs[t].T, dv)
            grads["layer0.Wh"] += np.dot(hs[t].T, dv)
            grads["layer0.b"] += dv[0]
            dh_next = np.dot(dv, self.params["layer0.Wh"].T)
        return float(loss), grads, hs[-1]

    def learn(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        loss, grads, self.h = self.loss_and_gradients(inputs[:, 0], targets[:, 0], self.h)
        for g in grads.values():
            np.clip(g, -self.clip_value, self.clip_value, out=g)
        for name, g in grads.items():
            p, m = self.params[name], self.memory[name]
            m += g * g
            p -= self.learning_rate * g / np.sqrt(m + 1e-8)
        return loss

    def sample(self, h: np.ndarray, first_id: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """Sample n ids after `first_id`, one by one, from state h (1, H), which is not changed."""
        samples = []
        x = self.one_hot(first_id)
        for _ in range(n):
            h, p = self.step(x, h)
            symbol = rng.choice(self.K, p=p[0])
            x = self.one_hot(symbol)
            samples.append(symbol)
        return np.array(samples, dtype=np.int64)
