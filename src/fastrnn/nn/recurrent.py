"""Recurrent layers on the kernels: RNN, GRU and LSTM, stacked, in one direction or both."""

from collections.abc import Mapping
from itertools import accumulate
from math import prod
from typing import Any, Self, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import kernels
from ..cells import kernel_cell, tensor_shapes
from ..kernels.blas import one_thread, threads_for
from ..pytorch import MODULES, Layers, library, read_layers, to_theirs
from ..settings import RecurrentSettings, checked, documented
from ..validate import choice, float_array, positive_int, whole_numbers
from .layer import Array, Layer, Pass
from .simple import Dropout

States = tuple[tuple[str, ArrayLike | None], ...]  # names and arrays, zero where they are None
Lengths = NDArray[np.int64] | None


class Scan(Pass):
    """One recurrent layer in one direction: arrays in and out, the parameters in a block.

    The state of a sequence has P numbers: h or, of an LSTM, h and c. Callers open `one_thread`."""

    def __init__(self, cell: str, D: int, H: int, reset_after: bool, precision: str) -> None:
        info = kernel_cell(cell, reset_after)
        self.D, self.H, self.states = D, H, info.states
        self.dtype = kernels.array_dtype(precision)
        self.shapes = tensor_shapes(cell, D, H, reset_after)
        self._config = {"cell": info.name, "hidden_size": H, "num_layers": 1, "dropout": 0.0,
                        "embedding_size": None, "loss": "mean_squared_error", "dtype": precision}
        *starts, self._size = accumulate(map(prod, self.shapes.values()), initial=0)
        self._offsets = {f"layer0.{name}": start
                         for name, start in zip(self.shapes, starts, strict=True)}

    def aligned(self, block: Array) -> Array:
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

    def forward(self, block: Array, x: Array, start: Array, lengths: Lengths,
                threads: int) -> tuple[Array, Array]:
        """h (N, T, H), 0 in padding, and the last state (N, P); the network keeps what `backward`
        needs."""
        N, T, _ = x.shape
        state, self._own.inside = start.copy(), None
        h = self._network(N, T).forward(block, x, state, threads, lengths)
        if lengths is not None:
            h[np.arange(T) >= lengths[:, None]] = 0
        self._own.inside = x
        return h, state

    def backward(self, run: tuple[Array, Array, Array, Lengths], threads: int, dh: Array,
                 dstate: Array) -> tuple[Array, dict[str, Array]]:
        """The gradients with respect to x and the parameters, from those with respect to h and,
        besides, the last c in dstate, which becomes that with respect to the first state. `run` is
        what `forward` was given."""
        block, x, start, lengths = self.aligned(run[0]), *run[1:]
        if self._own.inside is not x:  # a backward or another forward came in between
            self.forward(block, x, start, lengths, threads)
        self._own.inside = None  # the kernels overwrite the values of forward with gradients
        N, T, _ = dh.shape
        grads = np.empty_like(block)
        dx = self._network(N, T).backward(block, dh, dstate, grads, threads, lengths)
        parts = np.split(grads, list(self._offsets.values())[1:])
        return dx, {name: part.reshape(shape)
                    for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}


def turned(x: Array, lengths: Lengths) -> Array:
    """x (N, T, D) with the steps of each row in the other order; padding stays where it is."""
    if lengths is None:
        return x[:, ::-1].copy()
    t, ends = np.arange(x.shape[1]), lengths[:, None]
    places = np.where(t < ends, ends - 1 - t, t)
    found: Array = x[np.arange(len(x))[:, None], places]
    return found


class Recurrent(Layer):
    """Recurrent layers of one cell, one upon the other, each a `Scan` in one direction or two."""

    def __init__(self, cell: str, D: int, H: int, settings: Mapping[str, Any],
                 reset_after: bool = True) -> None:
        self.D, self.H = positive_int("D", D), positive_int("H", H)
        how = checked(RecurrentSettings, dict(settings), type(self).__name__)
        self.num_layers, self.bidirectional = how["num_layers"], how["bidirectional"]
        self.bias, self.batch_first, self.dropout = how["bias"], how["batch_first"], how["dropout"]
        self.threads = threads_for(how["threads"])
        directions = 1 + self.bidirectional
        self._cell = cell, reset_after
        self._scans = [Scan(cell, directions * H if layer else D, H, reset_after, how["dtype"])
                       for layer in range(self.num_layers) for _ in range(directions)]
        self._names = [{name: self._name(name, *divmod(k, directions)) for name in scan.shapes
                        if self.bias or not name.startswith("b")}
                       for k, scan in enumerate(self._scans)]
        super().__init__({name: scan.shapes[tensor] for names, scan in zip(
            self._names, self._scans, strict=True) for tensor, name in names.items()}, how["dtype"])
        self._start(how["init"], how["init_scale"], self.H, how["seed"])
        seed = how["seed"]  # others than that of the weights
        self._dropouts = [Dropout(self.dropout, dtype=how["dtype"],
                                  seed=None if seed is None else seed + layer)
                          for layer in range(1, self.num_layers)] if self.dropout else []

    def _name(self, tensor: str, layer: int, reverse: int) -> str:
        stack = f"layer{layer}." if self.num_layers > 1 else ""
        return stack + tensor + "_reverse" * reverse

    def _block(self, k: int) -> Array:
        """The parameters of a scan as the kernels read them; the same array as long as they do not
        change."""
        names, scan = self._names[k], self._scans[k]
        return scan.aligned(np.concatenate([
            self._param(names[tensor]).ravel() if tensor in names else np.zeros(shape, self.dtype)
            for tensor, shape in scan.shapes.items()]))

    def _state(self, N: int, given: States) -> Array:
        """(scans, N, P) from the arrays given, (scans, N, H) or of a single scan (N, H)."""
        K, parts = len(self._scans), []
        for name, part in given:
            if part is None:
                parts.append(np.zeros((K, N, self.H), self.dtype))
                continue
            shape = (K, N, self.H) if K > 1 or np.ndim(part) > 2 else (N, self.H)
            parts.append(float_array(name, part, shape, self.dtype).reshape(K, N, self.H))
        return np.concatenate(parts, axis=2)

    def _parts(self, states: Array, flat: bool) -> tuple[Array, ...]:
        """h and, of an LSTM, c of states (scans, N, P); without the first axis where `flat`."""
        return tuple((part[0] if flat else part).copy()
                     for part in np.split(states, self._scans[0].states, axis=2))

    def _lengths(self, lengths: ArrayLike | None, N: int, T: int) -> Lengths:
        if lengths is None:
            return None
        ends = whole_numbers("lengths", lengths, T + 1, (N,)).astype(np.int64)
        if not ends.all():
            raise ValueError(f"lengths has 0 at [{int(ends.argmin())}]: each sequence has a step")
        return ends

    def _run(self, x: ArrayLike, given: States, lengths: ArrayLike | None = None) -> Array:
        axes = ("N", "T") if self.batch_first else ("T", "N")
        x = float_array("x", x, (*axes, self.D), self.dtype)
        x = (x if self.batch_first else x.swapaxes(0, 1)).copy(order="C")
        ends = self._lengths(lengths, *x.shape[:2])
        starts = self._state(len(x), given)
        flat = len(self._scans) == 1 and all(part is None or np.ndim(part) < 3
                                             for _, part in given)
        with one_thread():
            h, runs, lasts = self._up(x, starts, ends)
        self._own.seen = runs, lasts, flat
        return self._turned_axes(h)

    def _up(self, x: Array, starts: Array, ends: Lengths) -> tuple[Array, list[Any], list[Array]]:
        """Through all layers: the outputs, what each scan was given, and its last state."""
        runs, lasts = [], []
        for layer in range(self.num_layers):
            outputs = []
            if layer and self._dropouts:
                self._dropouts[layer - 1].training = self.training
                x = self._dropouts[layer - 1].forward(x)
            for k, reverse in self._of_layer(layer):
                run = self._block(k), turned(x, ends) if reverse else x, starts[k], ends
                h, last = self._scans[k].forward(*run, self.threads)
                runs.append(run)
                lasts.append(last)
                outputs.append(turned(h, ends) if reverse else h)
            x = np.concatenate(outputs, axis=2) if len(outputs) > 1 else outputs[0]
        return x, runs, lasts

    def _of_layer(self, layer: int) -> list[tuple[int, int]]:
        """The scans of a layer, and for each whether it goes in the reverse direction."""
        directions = 1 + self.bidirectional
        return [(layer * directions + reverse, reverse) for reverse in range(directions)]

    def _turned_axes(self, x: Array) -> Array:
        return x if self.batch_first else np.ascontiguousarray(x.swapaxes(0, 1))

    def _back(self, dh: ArrayLike | None, given: States) -> tuple[Array, ...]:
        runs, _, flat = self._last()
        N, T, _ = runs[0][1].shape
        width = (1 + self.bidirectional) * self.H
        shape = (N, T, width) if self.batch_first else (T, N, width)
        dx = self._turned_axes(np.zeros(shape, self.dtype) if dh is None else float_array(
            "dh", dh, shape, self.dtype))
        dstates = self._state(N, given)
        with one_thread():
            dx, grads = self._down(dx, dstates, given[0][1] is not None)
        self.grads = {name: grads[k][tensor] for k, names in enumerate(self._names)
                      for tensor, name in names.items()}
        return self._turned_axes(dx), *self._parts(dstates, flat)

    def _down(self, dx: Array, dstates: Array,
              last_h: bool) -> tuple[Array, list[dict[str, Array]]]:
        """Back through all layers from the gradients with respect to the outputs, to the last c
        and, where `last_h`, the last h, in dstates (scans, N, P), which become those with respect
        to the first states. The gradients with respect to x, and to the parameters of each scan."""
        runs, _, _ = self._last()
        N, T, _ = dx.shape
        ends = np.full(N, T) if runs[0][3] is None else runs[0][3]
        grads: list[dict[str, Array]] = [{} for _ in runs]
        for layer in reversed(range(self.num_layers)):
            dout, parts = dx, []
            for k, reverse in self._of_layer(layer):
                dh = dout[..., reverse * self.H :][..., : self.H]
                dh = turned(dh, runs[k][3]) if reverse else np.ascontiguousarray(dh)
                if last_h:  # that of h belongs to the output of the last step
                    dh = dh.copy()
                    dh[np.arange(N), ends - 1] += dstates[k, :, : self.H]
                d, grads[k] = self._scans[k].backward(runs[k], self.threads, dh, dstates[k])
                parts.append(turned(d, runs[k][3]) if reverse else d)
            dx = parts[0] + parts[1] if len(parts) > 1 else parts[0]
            if layer and self._dropouts:
                dx = self._dropouts[layer - 1].backward(dx)
        return dx, grads

    def _lasts(self) -> Array:
        """The last states (scans, N, P) of the last `forward`."""
        return np.stack(self._last()[1])

    @property
    def h_n(self) -> Array:
        """The last h of the last `forward`, a copy: (layers times directions, N, H), first layer
        first and in it the direction from left to right, as in PyTorch. The h of the reverse
        direction is that after the first step of the sequence."""
        return self._parts(self._lasts(), False)[0]

    def _one(self, x: ArrayLike, given: States) -> tuple[Any, ...]:
        if len(self._scans) > 1:
            raise ValueError("step is for one layer in one direction: make a layer for each")
        x = float_array("x", x, ("N", self.D), self.dtype)[:, None].copy()
        block, start = self._block(0), self._state(len(x), given)
        with one_thread():
            _, last = self._scans[0].forward(block, x, start[0], None, self.threads)
        return *self._parts(last[None], True), (block, x, start)

    def _one_back(self, gradients: States, cache: Any) -> tuple[Array, ...]:
        if not (isinstance(cache, tuple) and len(cache) == 3):
            raise TypeError("cache must be the one that step returned")
        block, x, start = cache
        dstate = self._state(len(x), gradients)
        dh = dstate[0, :, None, : self.H].copy()
        run = block, x, start[0], None
        with one_thread():
            dx, grads = self._scans[0].backward(run, self.threads, dh, dstate[0])
        return dx[:, 0], *self._parts(dstate, True), *(grads[name] for name in self._names[0])

    @classmethod
    def from_torch(cls, module: Any, layer: int | None = None, reverse: bool | None = None, *,
                   threads: int | None = None) -> Self:
        """The layer with the weights of one of PyTorch, whose gates docs/guides/pytorch.md orders.

        Parameters
        ----------
        module : torch.nn.RNN, GRU or LSTM, or its state_dict
            Of float32 or float64, which the result has too. Of a state_dict the names may begin
            with the name of the module that it is a part of (``rnn.weight_ih_l0``). It does not
            tell batch_first, dropout and nonlinearity, which are True, 0 and "tanh" then.
        layer : int, optional
            Only this one, counted from 0; by default all.
        reverse : bool, optional
            Only this direction of a bidirectional one; by default both.
        threads : int, optional

        Raises
        ------
        ValueError, TypeError
            Another cell, a proj_size, tensors that are missing or have other shapes or types.
        """
        found = read_layers(module, layer, reverse)
        made = cls._made_for(found, threads)
        for names, tensors in zip(made._names, found.ours(), strict=True):
            for tensor, name in names.items():
                made.params[name][...] = tensors[tensor]
        return made

    @classmethod
    def _made_for(cls, found: Layers, threads: int | None) -> Self:
        """A layer of these sizes; ValueError for another cell."""
        raise NotImplementedError

    def to_torch(self) -> Any:
        """The module of PyTorch with the same weights and settings: torch.nn.RNN, GRU or LSTM.

        Raises
        ------
        ValueError
            A GRU without reset_after, which PyTorch has not.
        ImportError
            PyTorch is not installed.
        """
        cell, reset_after = self._cell
        if cell == "gru" and not reset_after:
            raise ValueError("PyTorch's GRU resets after the product: this one has "
                             "reset_after=False")
        torch, relu = library(), {"nonlinearity": "relu"} if cell == "relu" else {}
        module = getattr(torch.nn, MODULES[cell])(
            self.D, self.H, self.num_layers, bias=self.bias, batch_first=self.batch_first,
            dropout=self.dropout if self.num_layers > 1 else 0.0,
            bidirectional=self.bidirectional, dtype=getattr(torch, self.dtype.name), **relu)
        state: dict[str, Any] = {}
        for k, names in enumerate(self._names):
            layer, reverse = divmod(k, 1 + self.bidirectional)
            tensors = to_theirs(cell, {name: self._param(own) for name, own in names.items()})
            state |= {f"{name}_l{layer}{'_reverse' * reverse}": torch.tensor(array)
                      for name, array in tensors.items()}
        module.load_state_dict(state)
        return module


@documented(RecurrentSettings)
class RNN(Recurrent):
    """h_t = f(x_t Wx + h_{t-1} Wh + b), f = tanh or max(0, .).

    Layers may be stacked (each reads the h of the one below), and read in both directions (h is
    then that from left to right, followed by that from right to left): S scans, num_layers times 1
    or 2.

    Parameters
    ----------
    D, H : int
        Features of an input, hidden units of each layer in each direction.
    nonlinearity : {"tanh", "relu"}
    **settings
        `fastrnn.settings.RecurrentSettings`.

    Attributes
    ----------
    params : dict
        ``Wx`` (D, H), ``Wh`` (H, H), ``b`` (H), which starts at 0. In the reverse direction
        ``Wx_reverse`` and so on; of several layers ``layer0.Wx``, ``layer1.Wx`` (H or 2 H, H).
    grads : dict
        The same keys and shapes, from the last `backward`, summed over the batch.
    h_n : ndarray, shape (S, N, H)
        The last h of each sequence, of the last `forward`: layer by layer, left to right first.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not fit (both are named), complex or object arrays; from all methods.
    """

    def __init__(self, D: int, H: int, nonlinearity: str = "tanh",
                 **settings: Unpack[RecurrentSettings]) -> None:
        cell = {"tanh": "rnn"}.get(choice("nonlinearity", nonlinearity, ("tanh", "relu")), "relu")
        super().__init__(cell, D, H, settings)

    def forward(self, x: ArrayLike, h0: ArrayLike | None = None, *,
                lengths: ArrayLike | None = None) -> Array:
        """The h after each step.

        Parameters
        ----------
        x : array_like, shape (N, T, D), or (T, N, D) without batch_first
        h0 : array_like, shape (S, N, H), or of a single scan (N, H), optional
            The states before the first step, as PyTorch orders them; by default zeros.
        lengths : array_like of int, shape (N,), optional
            Steps of each sequence, 1 to T, in any order; by default T. Later steps are padding: x
            may be anything there, h is 0. The reverse direction begins at the last step.

        Returns
        -------
        ndarray, shape (N, T, H), or (N, T, 2 H) if bidirectional; as x without batch_first
        """
        return self._run(x, (("h0", h0),), lengths)

    def backward(self, dh: ArrayLike | None, dh_n: ArrayLike | None = None) -> tuple[Array, ...]:
        """Back through the last `forward` of this thread; fills `grads`.

        Parameters
        ----------
        dh : array_like, or None for zeros
            The gradient with respect to what `forward` returned. In padding it has no effect.
        dh_n : array_like, shape (S, N, H), or of a single scan (N, H), optional
            The gradient with respect to `h_n`, where the loss reads that too.

        Returns
        -------
        dx, dh0 : ndarray
            With respect to x and to h0, which has the shape (N, H) of a single scan unless h0 was
            given as (1, N, H).

        Raises
        ------
        RuntimeError
            Before `forward`.
        """
        return self._back(dh, (("dh_n", dh_n),))

    def step(self, x: ArrayLike, h_prev: ArrayLike) -> tuple[Array, Any]:
        """x (N, D), h_prev (N, H) -> h (N, H) and a cache for `step_backward`; of a single scan."""
        return self._one(x, (("h_prev", h_prev),))

    def step_backward(self, dh: ArrayLike, cache: Any) -> tuple[Array, ...]:
        """The gradient with respect to h (N, H) -> dx (N, D), dh_prev (N, H), dWx, dWh, db."""
        return self._one_back((("dh", dh),), cache)

    @classmethod
    def _made_for(cls, found: Layers, threads: int | None) -> Self:
        nonlinearity = found.checked("rnn", "relu") == "relu"
        return cls(found.D, found.H, ("tanh", "relu")[nonlinearity], threads=threads,
                   **found.settings)


@documented(RecurrentSettings)
class GRU(RNN):
    """r, z = s(x_t W + h_{t-1} U + b); with reset_after n = tanh(x_t Wn + bn + r * (h_{t-1} Un +
    bhn)), otherwise n = tanh(x_t Wn + bn + (r * h_{t-1}) Un); h_t = (1 - z) * n + z * h_{t-1}.

    s is the logistic sigmoid, * the elementwise product; Wx = [Wr Wz Wn] (D, 3 H), Wh = [Ur Uz Un]
    (H, 3 H), b (3 H) and, with reset_after, ``bhn`` (H) (Cho et al. 2014; reset_after as in PyTorch
    and cuDNN). Methods, attributes and errors as `RNN`; with reset_after `step_backward` returns
    the gradient of bhn after that of b.

    Parameters
    ----------
    D, H : int
        Features of an input, hidden units of each layer in each direction.
    reset_after : bool
    **settings
        `fastrnn.settings.RecurrentSettings`.
    """

    def __init__(self, D: int, H: int, *, reset_after: bool = True,
                 **settings: Unpack[RecurrentSettings]) -> None:
        Recurrent.__init__(self, "gru", D, H, settings, bool(reset_after))

    @classmethod
    def _made_for(cls, found: Layers, threads: int | None) -> Self:
        found.checked("gru")
        return cls(found.D, found.H, threads=threads, **found.settings)


@documented(RecurrentSettings)
class LSTM(Recurrent):
    """i, f, o = s(x_t W + h_{t-1} U + b), g = tanh(x_t Wg + h_{t-1} Ug + bg);
    c_t = f * c_{t-1} + i * g, h_t = o * tanh(c_t).

    s is the logistic sigmoid, * the elementwise product; the columns of Wx (D, 4 H), Wh (H, 4 H)
    and b (4 H) come in the order i, f, o, g (Hochreiter and Schmidhuber 1997, with forget gates).
    Layers, directions, other attributes and errors as `RNN`. There is no proj_size.

    Parameters
    ----------
    D, H : int
        Features of an input, hidden units of each layer in each direction.
    forget_bias : float
        What the forget gates' b starts at.
    **settings
        `fastrnn.settings.RecurrentSettings`.

    Attributes
    ----------
    c_n : ndarray, shape (S, N, H)
        The last memory cells of each sequence, in the order of `h_n`.
    c : ndarray, shape (N, H), of several scans as c_n
        The memory cells after the last step of the last `forward`, to continue from.
    """

    def __init__(self, D: int, H: int, *, forget_bias: float = 0.0,
                 **settings: Unpack[RecurrentSettings]) -> None:
        super().__init__("lstm", D, H, settings)
        for names in self._names:
            if "b" in names:
                self.params[names["b"]][self.H : 2 * self.H] = forget_bias

    @property
    def c_n(self) -> Array:
        return self._parts(self._lasts(), False)[1]

    @property
    def c(self) -> Array:
        return self._parts(self._lasts(), len(self._scans) == 1)[1]

    def forward(self, x: ArrayLike, h0: ArrayLike | None = None, c0: ArrayLike | None = None, *,
                lengths: ArrayLike | None = None) -> Array:
        """The h after each step, as `RNN.forward` says; c0 has the shape of h0."""
        return self._run(x, (("h0", h0), ("c0", c0)), lengths)

    def backward(self, dh: ArrayLike | None, dh_n: ArrayLike | None = None,
                 dc_n: ArrayLike | None = None) -> tuple[Array, ...]:
        """The gradients with respect to h, and where the loss reads them to `h_n` and `c_n` -> with
        respect to x, h0 and c0, as `RNN.backward` says; fills `grads`."""
        return self._back(dh, (("dh_n", dh_n), ("dc_n", dc_n)))

    def step(self, x: ArrayLike, h_prev: ArrayLike, c_prev: ArrayLike) -> tuple[Array, Array, Any]:
        """x (N, D), h_prev and c_prev (N, H) -> h, c (N, H) and a cache for `step_backward`; of a
        single scan."""
        return self._one(x, (("h_prev", h_prev), ("c_prev", c_prev)))

    def step_backward(self, dh: ArrayLike, dc: ArrayLike, cache: Any) -> tuple[Array, ...]:
        """The gradients with respect to h and c (N, H) -> dx (N, D), dh_prev, dc_prev (N, H), dWx,
        dWh, db."""
        return self._one_back((("dh", dh), ("dc", dc)), cache)

    @classmethod
    def _made_for(cls, found: Layers, threads: int | None) -> Self:
        found.checked("lstm")
        return cls(found.D, found.H, threads=threads, **found.settings)
