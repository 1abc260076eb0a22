"""The mathematics of `fastrnn.checks.reference`, plain NumPy: sequences and single layers."""

from collections.abc import Callable

import numpy as np

from fastrnn.checks import reference


class ReferenceSequences:
    """One layer that learns from `fastrnn.Sequences` with Adam, in the order in which they come.

    Parameters
    ----------
    params : dict of str to ndarray
        Named and shaped as ``fastrnn.Model.params``. Changed by `update`.
    sequences : fastrnn.Sequences
        Without masks or lengths.
    batch_size : int
    cell : {"rnn", "relu", "lstm", "gru"}
    optimizer : {"adam"}
    learning_rate : float
    clip_norm : float
        Bound on the norm of all gradients together.
    """

    def __init__(self, params, sequences, batch_size, cell, optimizer, learning_rate, clip_norm
                 ) -> None:
        if optimizer != "adam":
            raise ValueError(f"optimizer must be adam, not {optimizer!r}")
        self.params, self.cell = dict(params), cell
        self.learning_rate, self.clip_norm = learning_rate, clip_norm
        self.memories = {name: [np.zeros_like(p) for _ in range(2)] for name, p in params.items()}
        self.inputs, self.targets = (a if a.ndim == 2 else a.astype(np.float32)
                                     for a in (sequences.inputs, sequences.targets))
        H = len(params["layer0.Wh"])
        self.state = np.zeros((batch_size, H * (2 if cell == "lstm" else 1)), np.float32)
        self.batch_size, self.updates = batch_size, 0

    def update(self) -> float:
        N = self.batch_size
        start = self.updates % (len(self.inputs) // N) * N
        part = slice(start, start + N)
        loss, grads, _ = reference.loss_and_gradients(
            self.params, self.inputs[part], self.targets[part], self.state, self.cell)
        self.updates += 1
        for name, g in reference.clip(grads, None, self.clip_norm).items():
            reference.adam(self.params[name], g, self.memories[name], self.updates,
                           self.learning_rate)
        return loss


def layer_pass(cell: str, x: np.ndarray, dh: np.ndarray, params: dict[str, np.ndarray]
               ) -> Callable[[], object]:
    """A function that takes x (N, T, D) forward and the gradient dh (N, T, H) backward."""
    state = np.zeros((len(x), dh.shape[2] * (2 if cell == "lstm" else 1)), x.dtype)

    def run() -> None:
        _, _, kept = reference.layer_forward(x, state, params, cell)
        reference.layer_backward(dh, x, state, kept, params, cell)

    return run
