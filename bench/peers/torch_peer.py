"""The same models in PyTorch on the CPU: nn.RNN, nn.LSTM or nn.GRU, nn.Linear, torch.optim.

torch is imported only when a `TorchPeer` is made, so that this module can always be imported.
"""

import importlib.util
from collections.abc import Callable
from functools import partial

import numpy as np

from .peer import CharacterPeer

# cell -> class in torch.nn, its own arguments, and the place of each of its gates among ours (a
# swap at most, so that the same list leads back)
_CELLS = {
    "rnn": ("RNN", {"nonlinearity": "tanh"}, [0]),
    "relu": ("RNN", {"nonlinearity": "relu"}, [0]),
    "lstm": ("LSTM", {}, [0, 1, 3, 2]),  # i f g o
    "gru": ("GRU", {}, [0, 1, 2]),  # r z n, reset_after
}
# foreach and fused: the fastest that each has on a CPU
_OPTIMIZERS = {
    "adagrad": ("Adagrad", {"initial_accumulator_value": 1e-8, "eps": 0.0, "fused": True}),
    "rmsprop": ("RMSprop", {"alpha": 0.9, "eps": 1e-4, "foreach": True}),
    "adam": ("Adam", {"betas": (0.9, 0.999), "eps": 1e-8, "fused": True}),
}


def available() -> bool:
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


class TorchPeer(CharacterPeer):
    """Recurrent module, linear head and optimizer of PyTorch, started from given numbers.

    One-hot inputs are rows of an identity matrix, gathered anew for each window with
    ``index_select``, at lstm-50 four times faster than ``eye[ids]`` and six times than
    ``nn.functional.one_hot``. Slices of a one-hot matrix of the whole text would save less than
    0.3 % of an update and cost gigabytes with a long text, so they are not used. Clipping is a
    ``clamp_`` of each tensor: one pass, where ``clip_grad_value_`` makes two.

    PyTorch has two biases per layer. Training both would double the bias's step, so the second one
    is held at zero, except for the GRU's ``b_hn``, which is this project's ``bhn``.

    The optimizers follow this project's rules as far as PyTorch's can be set to. Adagrad divides by
    ``sqrt(m) + eps``; with ``eps=0`` and the accumulator started at 1e-8 that is ``sqrt(1e-8 + sum
    of g²)``, this project's rule. What remains is rounding: the 1e-8 is added before the squares
    instead of after them. Adam is the same. RMSprop has no such way: it divides by ``sqrt(m) +
    eps`` where this project takes ``sqrt(m + 1e-8)``; with ``eps=1e-4`` both are the same for small
    and for large m and never more than a factor of 1.42 apart. That costs no time.

    Parameters
    ----------
    params : dict of str to ndarray
        Named and shaped as ``fastrnn.Model.params``. Copied.
    ids, K, seq_length, batch_size
        See `CharacterPeer`.
    learning_rate, clip_value : float
        The optimizer's step and the bound on every gradient entry.
    cell : {"rnn", "relu", "lstm", "gru"}
        tanh or ReLU RNN, LSTM, GRU with ``reset_after=True``.
    optimizer : {"adagrad", "rmsprop", "adam"}
        As fastrnn's, but for the above.
    dtype : {"float32", "float64"}
        Precision of everything.
    bfloat16 : bool
        Forward and loss under ``torch.autocast("cpu", torch.bfloat16)``, the backward pass outside
        as PyTorch's documentation says. The parameters stay as they are, their copies in bfloat16
        are made once an update. One-hot inputs in bfloat16 save 2 % of an update; whether autocast
        has its cache makes no difference here.
    threads : int
        PyTorch's own threads. This is a setting of the process: it is in force during this
        peer's calls and stays afterwards.

    Attributes
    ----------
    h : Tensor, shape (layers, N, H), or for the LSTM a pair of them
        The hidden state that the next window starts from, as the module returns it; None for zero.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    ValueError
        If the cell or the optimizer is unknown.
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
        dtype: str = "float32",
        threads: int = 1,
        bfloat16: bool = False,
    ) -> None:
        self.clip_value = clip_value
        self.build(params, cell, optimizer, learning_rate, dtype, threads, bfloat16)
        super().__init__(ids, K, seq_length, batch_size)

    def build(self, params, cell, optimizer, learning_rate, dtype, threads, bfloat16) -> None:
        """The modules and their optimizer."""
        import torch

        for name, value, known in (("cell", cell, _CELLS), ("optimizer", optimizer, _OPTIMIZERS)):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
        self.torch = torch
        self.threads = threads
        self.autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=bfloat16)
        kind = getattr(torch, dtype)
        H, K = params["head.W"].shape
        layers = sum(name.endswith(".Wh") for name in params)
        name, arguments, self.gates = _CELLS[cell]
        D = len(params["layer0.Wx"])
        if "embedding.W" in params:
            self.embedding = torch.nn.Embedding(K, D, dtype=kind)
        else:
            self.embedding = None
            # (D, D), its rows are the inputs; exact in bfloat16, where they need no conversion
            self.one_hot = torch.eye(D, dtype=torch.bfloat16 if bfloat16 else kind)
        self.recurrent = getattr(torch.nn, name)(D, H, layers, dtype=kind, **arguments)
        self.head = torch.nn.Linear(H, K, dtype=kind)
        self._held = []  # second biases whose entries before 2H are held at zero
        with torch.no_grad():
            for layer in range(layers):
                bias = getattr(self.recurrent, f"bias_hh_l{layer}").zero_()
                if cell == "gru":
                    self._held.append(bias)
                else:
                    bias.requires_grad_(False)
            for key, tensor in self._tensors(params).items():
                array = np.array(params[key], dtype=dtype).T
                tensor.copy_(torch.from_numpy(self._reordered(key, array)))
        modules = [self.recurrent, self.head] + [self.embedding] * (self.embedding is not None)
        self.trained = [p for module in modules for p in module.parameters() if p.requires_grad]
        name, arguments = _OPTIMIZERS[optimizer]
        self.optimizer = getattr(torch.optim, name)(self.trained, lr=learning_rate, **arguments)
        self._names = list(params)

    def _tensors(self, names) -> dict:
        """The trained tensors by this project's names; each is stored transposed."""
        H = self.recurrent.hidden_size
        tensors = {"head.W": self.head.weight, "head.b": self.head.bias}  # (K, H), (K)
        if self.embedding is not None:
            tensors["embedding.W"] = self.embedding.weight.T  # (E, K)
        for layer in range(self.recurrent.num_layers):
            tensors |= {
                f"layer{layer}.{ours}": getattr(self.recurrent, f"{theirs}_l{layer}")
                for ours, theirs in (
                    ("Wx", "weight_ih"),  # (G*H, D)
                    ("Wh", "weight_hh"),  # (G*H, H)
                    ("b", "bias_ih"),  # (G*H)
                )
            }
            if self._held:
                tensors[f"layer{layer}.bhn"] = self._held[layer][2 * H :]  # (H)
        return {name: tensors[name] for name in names}

    def _reordered(self, name: str, array: np.ndarray) -> np.ndarray:
        """A copy of an array (G*H, ...) with our gates in PyTorch's order, or the reverse."""
        if not name.startswith("layer") or name.endswith("bhn"):
            return array
        parts = np.split(array, len(self.gates))
        return np.concatenate([parts[gate] for gate in self.gates])

    @property
    def params(self) -> dict[str, np.ndarray]:
        """The parameters with this project's names, shapes and order of gates."""
        return {
            name: self._reordered(name, tensor.detach().numpy()).T
            for name, tensor in self._tensors(self._names).items()
        }

    def reset_state(self) -> None:
        self.h = None

    def learn(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        torch = self.torch
        self._use_threads()
        targets = torch.from_numpy(targets).flatten()
        with self.autocast():
            hs, h = self.recurrent(self._read(torch.from_numpy(inputs)), self.h)  # hs (T, N, H)
            scores = self.head(hs.flatten(0, 1))  # (TN, K)
            loss = torch.nn.functional.cross_entropy(scores, targets, reduction="sum")
        loss = loss / hs.shape[1]
        self.optimizer.zero_grad()
        loss.backward()
        for bias in self._held:
            bias.grad[: 2 * self.recurrent.hidden_size] = 0
        for p in self.trained:
            p.grad.clamp_(-self.clip_value, self.clip_value)
        self.optimizer.step()
        self.h = tuple(part.detach() for part in h) if isinstance(h, tuple) else h.detach()
        return loss.item()

    def _read(self, ids):
        """The module's inputs for ids (T, N): shape (T, N, D)."""
        if self.embedding is not None:
            return self.embedding(ids)
        return self.one_hot.index_select(0, ids.flatten()).view(*ids.shape, len(self.one_hot))

    def sample(self, h, first_id: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """Sample n ids after `first_id`, one by one, from state h (as `self.h`), which is kept."""
        torch = self.torch
        self._use_threads()
        samples = []
        symbol = first_id
        with torch.inference_mode():
            for uniform in rng.random(n):
                hs, h = self.recurrent(self.one_hot[symbol].view(1, 1, -1), h)
                p = torch.softmax(self.head(hs.view(-1)), dim=0)
                symbol = min(int(torch.searchsorted(p.cumsum(0), uniform, right=True)), self.K - 1)
                samples.append(symbol)
        return np.array(samples, dtype=np.int64)

    def _learn(self, loss) -> None:
        """One update from this loss, the norm of the gradients being at most `clip_norm`."""
        self.optimizer.zero_grad()
        loss.backward()
        for bias in self._held:
            bias.grad[: 2 * self.recurrent.hidden_size] = 0
        self.torch.nn.utils.clip_grad_norm_(self.trained, self.clip_norm)
        self.optimizer.step()

    def _use_threads(self) -> None:
        if self.torch.get_num_threads() != self.threads:
            self.torch.set_num_threads(self.threads)


class TorchSequences(TorchPeer):
    """The same modules learning from `fastrnn.Sequences` whose steps all count, in the order in
    which they come, batch_size at a time: cross-entropy of symbols or squared error of numbers (the
    mean of a step), summed over time and averaged over the batch.

    Parameters
    ----------
    params, cell, optimizer, learning_rate, dtype, threads, bfloat16
        See `TorchPeer`.
    sequences : fastrnn.Sequences
    batch_size : int
    clip_norm : float
        Bound on the norm of all gradients together.
    """

    def __init__(self, params, sequences, batch_size, cell, optimizer, learning_rate, clip_norm,
                 dtype="float32", threads=1, bfloat16=False) -> None:
        self.build(params, cell, optimizer, learning_rate, dtype, threads, bfloat16)
        torch = self.torch
        self.clip_norm, self.batch_size, self.position = clip_norm, batch_size, 0
        # time-major, so that nothing needs to be turned
        self.inputs, self.targets = (
            torch.from_numpy(np.swapaxes(a.astype(np.int64 if a.ndim == 2 else dtype), 0, 1).copy())
            for a in (sequences.inputs, sequences.targets))

    def update(self) -> float:
        torch, N = self.torch, self.batch_size
        self._use_threads()
        part = slice(self.position, self.position + N)
        x, y = self.inputs[:, part].contiguous(), self.targets[:, part].contiguous()
        self.position = self.position + N if self.position + 2 * N <= self.inputs.shape[1] else 0
        functional, y = torch.nn.functional, y.flatten(0, 1)
        with self.autocast():
            hs, _ = self.recurrent(self._read(x) if x.dim() == 2 else x)  # (T, N, H)
            outputs = self.head(hs.flatten(0, 1))  # (TN, K)
            loss = (functional.cross_entropy(outputs, y, reduction="sum") if y.dim() == 1
                    else functional.mse_loss(outputs, y, reduction="sum") / y.shape[1]) / N
        self._learn(loss)
        return loss.item()


class TorchSeries(TorchPeer):
    """The same modules learning from one long series of numbers by truncated back-propagation: the
    series cut into batch_size streams of equal length side by side, windows of seq_length steps
    from left to right, the state carried from one window to the next and zero at the start of each
    pass. The squared error is the mean of a step, summed over time and averaged over the streams.

    Parameters
    ----------
    params, cell, optimizer, learning_rate, dtype, threads, bfloat16
        See `TorchPeer`.
    inputs, targets : ndarray, shape (T, D), (T, K)
    seq_length, batch_size : int
    clip_norm : float
        Bound on the norm of all gradients together.
    """

    def __init__(self, params, inputs, targets, seq_length, batch_size, cell, optimizer,
                 learning_rate, clip_norm, dtype="float32", threads=1, bfloat16=False) -> None:
        self.build(params, cell, optimizer, learning_rate, dtype, threads, bfloat16)
        self.clip_norm, self.seq_length, self.position = clip_norm, seq_length, 0
        length = len(inputs) // batch_size
        self.inputs, self.targets = (  # (length, N, D), (length, N, K)
            self.torch.from_numpy(np.swapaxes(
                a[: length * batch_size].reshape(batch_size, length, -1).astype(dtype), 0, 1
            ).copy()) for a in (inputs, targets))
        self.reset_state()

    def update(self) -> float:
        torch, T = self.torch, self.seq_length
        self._use_threads()
        if self.position + T > len(self.inputs):
            self.position = 0
            self.reset_state()
        part = slice(self.position, self.position + T)
        self.position += T
        y = self.targets[part]
        with self.autocast():
            hs, h = self.recurrent(self.inputs[part], self.h)  # hs (T, N, H)
            loss = torch.nn.functional.mse_loss(self.head(hs), y, reduction="sum")
        loss = loss / (y.shape[1] * y.shape[2])
        self._learn(loss)
        self.h = tuple(part.detach() for part in h) if isinstance(h, tuple) else h.detach()
        return loss.item()


class TorchRecords(TorchPeer):
    """The same modules learning from records of different lengths as packed sequences, batch_size
    at a time in random order; the cross-entropy summed over time and averaged over the batch.

    Parameters
    ----------
    params, cell, optimizer, learning_rate, dtype, threads, bfloat16
        See `TorchPeer`.
    records : list of ndarray of int
        The ids of each, with its start and stop symbol.
    batch_size, clip_norm
        See `TorchSequences`.
    """

    def __init__(self, params, records, batch_size, cell, optimizer, learning_rate, clip_norm,
                 dtype="float32", threads=1, bfloat16=False) -> None:
        self.build(params, cell, optimizer, learning_rate, dtype, threads, bfloat16)
        self.clip_norm, self.batch_size = clip_norm, batch_size
        self.records = [self.torch.from_numpy(ids.astype(np.int64)) for ids in records]
        self.rng = np.random.default_rng(0)

    def epoch(self) -> None:
        order = self.rng.permutation(len(self.records))
        for start in range(0, len(order), self.batch_size):
            self.learn_batch(order[start : start + self.batch_size])

    def learn_batch(self, rows) -> float:
        torch = self.torch
        self._use_threads()
        pack = torch.nn.utils.rnn.pack_sequence
        x = pack([self.records[i][:-1] for i in rows], enforce_sorted=False)
        y = pack([self.records[i][1:] for i in rows], enforce_sorted=False)
        with self.autocast():
            hs, _ = self.recurrent(x._replace(data=self.one_hot.index_select(0, x.data)))
            loss = torch.nn.functional.cross_entropy(
                self.head(hs.data), y.data, reduction="sum") / len(rows)
        self._learn(loss)
        return loss.item()


def layer_pass(cell: str, x: np.ndarray, dh: np.ndarray, threads: int,
               bfloat16: bool = False) -> Callable[[], object]:
    """A function that takes x (N, T, D) forward and the gradient dh (N, T, H) backward."""
    import torch

    kind, arguments, _ = _CELLS[cell]
    x, dh = torch.from_numpy(x), torch.from_numpy(dh)
    layer = getattr(torch.nn, kind)(x.shape[2], dh.shape[2], batch_first=True, dtype=x.dtype,
                                    **arguments)
    x.requires_grad_()

    def run() -> None:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        x.grad = None
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            h = layer(x)[0]
        h.backward(dh.to(h.dtype))

    return run


def lstm_step(params: dict[str, np.ndarray], dtype: str, cell: bool) -> Callable[
        [np.ndarray], np.ndarray]:
    """A function that reads one sample (D,), returns the outputs (K,) and keeps the state: by
    nn.LSTMCell, or by nn.LSTM on a series of one step."""
    import torch

    peer = TorchPeer.__new__(TorchPeer)
    peer.build(params, "lstm", "adam", 1e-3, dtype, 1, False)
    module, head, state = peer.recurrent, peer.head, None
    if cell:
        module = torch.nn.LSTMCell(module.input_size, module.hidden_size, dtype=head.weight.dtype)
        module.load_state_dict({name.removesuffix("_l0"): tensor for name, tensor
                                in peer.recurrent.state_dict().items()})

    def step(x: np.ndarray) -> np.ndarray:
        nonlocal state
        with torch.inference_mode():
            if cell:
                state = module(torch.from_numpy(x), state)  # h (H,), c (H,)
                return head(state[0]).numpy()
            h, state = module(torch.from_numpy(x)[None], state)  # (1, H)
            return head(h)[0].numpy()

    torch.set_num_threads(1)
    return step
