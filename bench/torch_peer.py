"""The same character RNN in PyTorch on the CPU: nn.RNN, nn.Linear, clip_grad_value_, Adagrad.

torch is imported only when a `TorchPeer` is made, so that this module can always be imported.
"""

import importlib.util

import numpy as np
from numpy_step import CharacterPeer

# cell -> class in torch.nn and its own arguments
_CELLS = {
    "rnn": ("RNN", {"nonlinearity": "tanh"}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
}


def available() -> bool:
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


class TorchPeer(CharacterPeer):
    """Recurrent module, linear head and AdaGrad of PyTorch, started from given numbers.

    PyTorch has two biases per layer; the second one is held at zero, since training both would
    double the bias's step. Its Adagrad divides by ``sqrt(m) + eps``; with ``eps=0`` and
    the accumulator started at 1e-8 that is ``sqrt(1e-8 + sum of g²)``, this project's rule.
    What remains is rounding: the 1e-8 is added before the squares instead of after them.

    Parameters
    ----------
    params : dict of str to ndarray
        Named and shaped as in `NumpyStep`. Copied.
    ids, K, seq_length
        See `CharacterPeer`.
    learning_rate, clip_value : float
        AdaGrad's step and the bound on every gradient entry.
    cell : {"rnn", "relu"}
        tanh or ReLU RNN.
    dtype : {"float32", "float64"}
        Precision of everything.
    threads : int
        PyTorch's own threads. This is a setting of the process: it is in force during this
        peer's calls and stays afterwards.

    Attributes
    ----------
    h : Tensor, shape (1, 1, H)
        The carried state, as the module returns it; None for zero.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    ValueError
        If the cell is unknown.
    """

    def __init__(
        self,
        params: dict[str, np.ndarray],
        ids: np.ndarray,
        K: int,
        seq_length: int = 25,
        learning_rate: float = 0.1,
        clip_value: float = 5.0,
        cell: str = "rnn",
        dtype: str = "float32",
        threads: int = 1,
    ) -> None:
        import torch

        if cell not in _CELLS:
            raise ValueError(f"cell must be one of {', '.join(_CELLS)}, not {cell!r}")
        self.torch = torch
        self.threads = threads
        self.clip_value = clip_value
        kind = getattr(torch, dtype)
        H = len(params["head.W"])
        name, arguments = _CELLS[cell]
        self.recurrent = getattr(torch.nn, name)(K, H, dtype=kind, **arguments)
        self.head = torch.nn.Linear(H, K, dtype=kind)
        self.one_hot = torch.eye(K, dtype=kind)  # (K, K), its rows are the inputs
        with torch.no_grad():
            for key, tensor in self._tensors().items():
                tensor.copy_(torch.from_numpy(np.array(params[key]).T))
            self.recurrent.bias_hh_l0.zero_().requires_grad_(False)
        self.trained = list(self._tensors().values())
        self.optimizer = torch.optim.Adagrad(
            self.trained, lr=learning_rate, initial_accumulator_value=1e-8, eps=0.0
        )
        super().__init__(ids, K, seq_length)

    def _tensors(self) -> dict:
        """The trained tensors by this project's names; each is stored transposed."""
        return {
            "layer0.Wx": self.recurrent.weight_ih_l0,  # (H, K)
            "layer0.Wh": self.recurrent.weight_hh_l0,  # (H, H)
            "layer0.b": self.recurrent.bias_ih_l0,  # (H)
            "head.W": self.head.weight,  # (K, H)
            "head.b": self.head.bias,  # (K)
        }

    @property
    def params(self) -> dict[str, np.ndarray]:
        """The parameters in this project's shapes, as views."""
        return {name: tensor.detach().numpy().T for name, tensor in self._tensors().items()}

    def reset_state(self) -> None:
        self.h = None

    def learn(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        torch = self.torch
        self._use_threads()
        x = self.one_hot[torch.from_numpy(inputs)].unsqueeze(1)  # (T, 1, K)
        hs, h = self.recurrent(x, self.h)
        scores = self.head(hs.squeeze(1))  # (T, K)
        loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(targets), reduction="sum")
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(self.trained, self.clip_value)
        self.optimizer.step()
        self.h = h.detach()
        return loss.item()

    def sample(self, h, first_id: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw n ids after `first_id`, one by one, from state h (as `self.h`); h is kept."""
        torch = self.torch
        self._use_threads()
        drawn = []
        symbol = first_id
        with torch.inference_mode():
            for uniform in rng.random(n):
                hs, h = self.recurrent(self.one_hot[symbol].view(1, 1, -1), h)
                p = torch.softmax(self.head(hs.view(-1)), dim=0)
                symbol = min(int(torch.searchsorted(p.cumsum(0), uniform, right=True)), self.K - 1)
                drawn.append(symbol)
        return np.array(drawn, dtype=np.int64)

    def _use_threads(self) -> None:
        if self.torch.get_num_threads() != self.threads:
            self.torch.set_num_threads(self.threads)
