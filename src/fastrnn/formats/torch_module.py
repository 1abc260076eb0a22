"""The module of PyTorch that `Model.to_torch` makes. Imported only where torch is installed."""

from typing import Any

import torch
from torch import nn

from ..pytorch import MODULES

Tensor = Any  # torch.Tensor, for type checkers that have no torch


class Cells(nn.Module):
    """Layers of a cell that torch.nn has not, with the interface of its GRU, batch first: one step
    after the other in Python. Rows of the weights are in the order of the gates in
    `fastrnn.Model`; an esn has buffers in place of parameters.

    Parameters
    ----------
    cell : {"gru_before", "mgu", "memory", "esn"}
    D, H, num_layers : int
    gates : int
    dropout : float
        Of the outputs between layers.
    dtype : torch.dtype
    leak_rate : float
        Of an esn.
    """

    def __init__(self, cell: str, D: int, H: int, num_layers: int, gates: int, dropout: float,
                 dtype: Any, leak_rate: float = 1.0) -> None:
        super().__init__()
        self.cell, self.hidden_size, self.num_layers, self.dropout = cell, H, num_layers, dropout
        self.leak_rate = leak_rate
        for k in range(num_layers):
            shapes = {"weight_ih": (gates * H, H if k else D), "weight_hh": (gates * H, H),
                      "bias_ih": (gates * H,)}
            if cell == "memory":
                shapes |= {"weight_m": (H, H), "bias_m": (H,)}
            for name, shape in shapes.items():
                tensor = torch.zeros(shape, dtype=dtype)
                if cell == "esn":
                    self.register_buffer(f"{name}_l{k}", tensor)
                else:
                    self.register_parameter(f"{name}_l{k}", nn.Parameter(tensor))

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (N, T, D), state (num_layers, N, H) or zero -> outputs (N, T, H), the last state."""
        if state is None:
            state = x.new_zeros(self.num_layers, x.shape[0], self.hidden_size)
        lasts = []
        for k in range(self.num_layers):
            if k:
                x = nn.functional.dropout(x, self.dropout, self.training)
            a = x @ self._get("weight_ih", k).T + self._get("bias_ih", k)
            s, outputs = state[k], []
            for t in range(a.shape[1]):
                out, s = self._step(k, a[:, t], s)
                outputs.append(out)
            x = torch.stack(outputs, 1)
            lasts.append(s)
        return x, torch.stack(lasts)

    def _get(self, name: str, k: int) -> Tensor:
        tensor: Tensor = getattr(self, f"{name}_l{k}")
        return tensor

    def _step(self, k: int, a: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """The output and the next state, of the inputs times their weights a (N, G H)."""
        U, H = self._get("weight_hh", k), self.hidden_size
        if self.cell == "memory":
            u = torch.relu(a + s @ U.T)
            return u, s + u @ self._get("weight_m", k).T + self._get("bias_m", k)
        if self.cell == "esn":
            h = s + self.leak_rate * (torch.tanh(a + s @ U.T) - s)
        elif self.cell == "mgu":
            f = torch.sigmoid(a[:, :H] + s @ U[:H].T)
            h = (1 - f) * s + f * torch.tanh(a[:, H:] + (f * s) @ U[H:].T)
        else:
            r, z = torch.sigmoid(a[:, : 2 * H] + s @ U[: 2 * H].T).chunk(2, 1)
            h = (1 - z) * torch.tanh(a[:, 2 * H :] + (r * s) @ U[2 * H :].T) + z * s
        return h, h


class Network(nn.Module):
    """A `fastrnn.Model` as a module of PyTorch.

    Attributes
    ----------
    embedding : torch.nn.Embedding, where the model has one
    rnn : torch.nn.RNN, LSTM, GRU, or `Cells`
    dropout : torch.nn.Dropout
        Of the outputs of the last layer, as in training by fastrnn.
    head : torch.nn.Linear
    input_scaling, target_scaling : tensor (2, D) and (2, K), where the model scales numbers
        Means above deviations.
    fastrnn : dict
        What `fastrnn.from_torch` makes a model of besides the weights: settings, vocabulary, state.
    """

    def __init__(self, about: dict[str, Any], sizes: Any, gates: int, dtype: Any) -> None:
        super().__init__()
        config, self.fastrnn = about["model"], about
        cell, H, L = config["cell"], config["hidden_size"], config["num_layers"]
        E, between = config["embedding_size"], config["dropout"] if L > 1 else 0.0
        self.symbols, self.labels = sizes.input_symbols, len(config["labels"] or ())
        self.embedding = nn.Embedding(self.symbols, E, dtype=dtype) if E else None
        D = (E or sizes.input_symbols or sizes.input_size) + self.labels
        if cell in MODULES and (cell != "gru" or config["reset_after"]):
            more = {"nonlinearity": "relu"} if cell == "relu" else {}
            self.rnn = getattr(nn, MODULES[cell])(D, H, L, batch_first=True, dropout=between,
                                                  dtype=dtype, **more)
        else:
            name = "gru_before" if cell == "gru" else cell
            self.rnn = Cells(name, D, H, L, gates, between, dtype, config.get("leak_rate", 1.0))
        self.dropout = nn.Dropout(config["dropout"])
        self.head = nn.Linear(H, sizes.output_symbols or sizes.output_size, dtype=dtype)
        for name, size in about["scaled"].items():
            self.register_buffer(f"{name}_scaling", torch.zeros(2, size, dtype=torch.float64))

    def forward(self, x: Tensor, state: Any = None,
                labels: Tensor | None = None) -> tuple[Tensor, Any]:
        """The outputs at each step.

        Parameters
        ----------
        x : tensor of int, shape (N, T), or of float, shape (N, T, D)
        state : tensor, shape (num_layers, N, H), or of an LSTM a tuple of two, optional
            The state before the first step, by default zero; `start` has that of the model.
        labels : tensor of float, shape (N, C)
            For a model of C labels: the probability of each.

        Returns
        -------
        tensor, shape (N, T, K), and the last state
            The scores of K symbols, of which a softmax makes probabilities; or K numbers, in the
            units of the data.
        """
        dtype = self.head.weight.dtype
        if self.embedding is not None:
            x = self.embedding(x)
        elif self.symbols:
            x = nn.functional.one_hot(x, self.symbols).to(dtype)
        elif hasattr(self, "input_scaling"):
            x = ((x - self.input_scaling[0]) / self.input_scaling[1]).to(dtype)
        if self.labels:
            if labels is None:
                raise ValueError(f"this model has {self.labels} labels: give the probability of "
                                 "each")
            each = labels.to(dtype)[:, None].expand(-1, x.shape[1], -1)
            x = torch.cat([x, each], 2)
        out, state = self.rnn(x, state)
        scores = self.head(self.dropout(out))
        if hasattr(self, "target_scaling"):
            scores = scores * self.target_scaling[1] + self.target_scaling[0]
        return scores, state

    def start(self, batch_size: int = 1) -> Any:
        """The model's `state`, from which a text is continued, for so many sequences: a tensor
        (num_layers, N, H), or of an LSTM a tuple of two."""
        weight = self.head.weight
        parts = torch.tensor(self.fastrnn["state"], dtype=weight.dtype, device=weight.device)
        parts = parts.reshape(self.rnn.num_layers, -1, 1, self.rnn.hidden_size).expand(
            -1, -1, batch_size, -1)
        states = tuple(part.contiguous() for part in parts.unbind(1))
        return states if len(states) > 1 else states[0]
