"""The network: parameters, forward and backward pass, sampling of symbol ids."""

import threading
import weakref
from collections.abc import Collection, Sequence
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import kernels
from ..cells import CELLS, kernel_cell, tensor_shapes
from ..data.scaling import Scaling
from ..data.sequences import Sequences
from ..data.source import READ_STEPS, Sizes, time_major
from ..echo.reservoir import Reservoir, draw
from ..kernels.blas import cores, one_thread
from ..kernels.memory import check_memory
from ..kernels.team import no_fork
from ..settings import (
    INIT_SCALES,
    RESERVOIR_DTYPE,
    Fixed,
    ModelSettings,
    ReservoirSettings,
    checked,
    declared,
    given_to,
)
from ..validate import as_numbers, choice, converted, read_array, weights_of
from .initial import draw_weights
from .labels import probabilities

RESERVOIR = declared(ReservoirSettings)


class Parameters(dict[str, NDArray[Any]]):
    """The parameters of a network by name. What is copied or pickled together with the network,
    such as an optimizer, has those of the copy."""

    def __init__(self, network: "Network") -> None:
        super().__init__(network.views(network.block))
        self._network = weakref.ref(network)

    def __copy__(self) -> dict[str, NDArray[Any]]:
        return dict(self)

    def __reduce__(self) -> Any:
        network = self._network()
        return (dict, (dict(self),)) if network is None else (getattr, (network, "params"))


class Network:
    """Inputs (one-hot, embedded or numbers), recurrent layers, and a linear head; `fastrnn.Model`
    documents the attributes. `settings` are `ModelSettings`. An esn without `reservoir` gets a
    random one. Where not `drawn`, the parameters are 0 and there is no random reservoir."""

    def __init__(self, sizes: Sizes, settings: dict[str, Any],
                 reservoir: Reservoir | None = None, drawn: bool = True) -> None:
        self.sizes, self.reservoir = sizes, reservoir
        self.config = config = Fixed(configuration(sizes, settings))
        self.isa: str | None = None  # instruction set of the kernels; None: the one in use
        self._shapes = parameter_shapes(sizes, config)
        ends = list(accumulate(map(prod, self._shapes.values()), initial=0))
        if ends[-1] >= 2**31:
            raise ValueError(f"hidden_size {config['hidden_size']} makes {ends[-1]} parameters: "
                             "too many")
        check_memory(ends[-1] * kernels.array_dtype(config["dtype"]).itemsize,
                     f"a model of {ends[-1]:,} parameters", "a smaller hidden_size")
        self.block = kernels.aligned_zeros(
            ends[-1], kernels.array_dtype(config["dtype"]))
        self._offsets = dict(zip(self._shapes, ends, strict=False))
        self.params = Parameters(self)
        self.state = self.zero_state()
        self.scaling: Scaling | None = None  # of numbers; training decides about it
        self._networks: dict[tuple[int, int, str], kernels.Network] = {}
        self.lock = threading.RLock()  # held by who reads or changes parameters, with no_fork
        if drawn:
            self._draw_all()

    def _draw_all(self) -> None:
        """Draw the initial weights, and the reservoir of an esn that has none."""
        sizes, config = self.sizes, self.config
        rng, H = np.random.default_rng(config["seed"]), config["hidden_size"]
        if config["cell"] == "esn" and self.reservoir is None:
            self.reservoir = draw(H, sizes.inputs, 0, rng, config["dtype"], bias_scale=0.0,
                                  **given_to(ReservoirSettings, config))
        for name, p in self.params.items():
            if p.ndim == 2:
                columns = H if name.startswith("layer") else p.shape[1]
                one_hot = name == "layer0.Wc" or (
                    sizes.input_symbols > 0 and self._offsets[name] == 0 and name != "head.W")
                draw_weights(config["init"], config["init_scale"], name, p, columns, rng, one_hot)
                if config["cell"] == "mlstm" and name.endswith(".Wx"):
                    p[:, 5 * H :] = 0  # what skips the cell
            elif config["cell"] in ("lstm", "mlstm") and name.endswith(".b") and name != "head.b":
                p[H : 2 * H] = config["forget_bias"]
                p[4 * H : 5 * H] = 1  # of an mlstm the factors of h

    def views(self, block: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Views of an array laid out like `block`: a dict of parameter name -> array."""
        return {name: block[start : start + prod(self._shapes[name])].reshape(self._shapes[name])
                for name, start in self._offsets.items()}

    def network(self, seq_length: int, batch_size: int, loss: str | None = None) -> kernels.Network:
        """For fastrnn itself: the compiled network, with workspace for up to seq_length time steps
        of batch_size sequences; it computes `loss`, by default the model's."""
        key = seq_length, batch_size, loss or self.config["loss"]
        network = self._networks.get(key)  # another thread may clear them at any time
        if network is None:
            if len(self._networks) > 3:  # a program that tries many sizes keeps only a few
                self._networks.clear()
            network = self._networks[key] = self.compiled(*key)
        return network

    def compiled(self, seq_length: int, batch_size: int, loss: str | None = None,
                 packed: bool | None = None) -> kernels.Network:
        """For fastrnn itself: a new compiled network, as `network` and `kernels.Network` say."""
        cell = kernel_cell(self.config["cell"], self.config["reset_after"])
        return kernels.Network(
            self.config | {"loss": loss or self.config["loss"], "cell": cell.name},
            self.sizes.input_symbols, self.sizes.input_size, self.sizes.outputs, self._offsets,
            self.block.size, seq_length, batch_size, packed,
            reservoir=None if self.reservoir is None else self.reservoir.compiled,
            isa=self.isa, lock=self.lock)

    def zero_state(self, batch_size: int = 1) -> NDArray[Any]:
        """Zero states for N = batch_size sequences: an ndarray of the model's dtype, shape (N, P).
        The P numbers of a sequence are, layer by layer, the hidden state h (H), in an LSTM followed
        by the cell state c (H)."""
        layer = kernel_cell(self.config["cell"]).states * self.config["hidden_size"]
        return np.zeros((batch_size, self.config["num_layers"] * layer),
                        kernels.array_dtype(self.config["dtype"]))

    def repeated_state(self, N: int) -> NDArray[Any]:
        """For fastrnn itself: `state` N times, a copy (N, P)."""
        with no_fork, self.lock:
            return np.repeat(self.state, N, axis=0)

    def loss_and_gradients(
        self, inputs: ArrayLike, targets: ArrayLike, state: ArrayLike | None = None, *,
        mask: ArrayLike | None = None, lengths: ArrayLike | None = None,
        labels: Any = None, generators: Sequence[np.random.Generator] | None = None,
        weights: ArrayLike | None = None,
    ) -> tuple[float, dict[str, NDArray[Any]], NDArray[Any]]:
        """The loss of a batch of sequences and its gradient with respect to all parameters, by
        back-propagation through time. Nothing is clipped, and no parameter changes.

        Parameters
        ----------
        inputs : array_like of int, shape (N, T), or of float, shape (N, T, D)
        targets : array_like of int, shape (N, T), or of float, shape (N, T, K)
            Numbers that are NaN are not known and do not count, as in `Sequences`.
        state : array_like, shape (N, P), optional
            The state before the first step, by default zeros.
        mask : array_like of bool, shape (N, T), optional
            True for the steps whose predictions are part of the loss, by default all.
        lengths : array_like of int, shape (N,), optional
            Number of steps of each sequence, by default T; later steps are padding.
        labels : label, or sequence of N labels, optional
            For a model with labels: one for all sequences or one for each, a str or a dict of
            label -> weight.
        generators : sequence of numpy.random.Generator, optional
            One for each slice of the batch in ``model.network(T, N).slices``, for dropout and
            weight_drop; without them nothing is dropped.
        weights : array_like, shape (N, T), optional
            Factors of the losses, 0 or more. They are not normalized, as those of `Sequences` are.

        Returns
        -------
        loss : float
            The model's loss (nats, or squared error), summed over time and averaged over the batch.
            Inputs and targets are scaled as `Model.scaling` says, and the squared error is that of
            the scaled numbers, since `grads` is its gradient.
        grads : dict of str -> ndarray
            Names and shapes as in `params`.
        state : ndarray, shape (N, P)
            The state after the last step of each sequence.

        Raises
        ------
        ValueError, TypeError
            Shapes that do not fit, ids outside the vocabulary, numbers that are not finite, or an
            unknown label.
        """
        block = np.empty_like(self.block)
        losses, state = self._unroll(
            inputs, targets, state, block, mask, lengths, labels, generators, weights)
        return float(losses.sum() / losses.shape[0]), self.views(block), state

    def losses(
        self, inputs: ArrayLike, targets: ArrayLike, state: ArrayLike | None = None, *,
        mask: ArrayLike | None = None, lengths: ArrayLike | None = None,
        labels: Any = None, generators: Sequence[np.random.Generator] | None = None,
        weights: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """The loss of each prediction, with the parameters and errors of
        `Model.loss_and_gradients`, whose loss is their sum over time and mean over the batch.

        Returns
        -------
        ndarray of float64, shape (N, T)
            Nats, or squared errors; 0 in padding and where `mask` is False.
        """
        return self._unroll(inputs, targets, state, None, mask, lengths, labels, generators,
                            weights)[0]

    def _unroll(
        self, inputs: ArrayLike, targets: ArrayLike, state: ArrayLike | None,
        grads: NDArray[Any] | None, mask: ArrayLike | None, lengths: ArrayLike | None,
        labels: Any, generators: Sequence[np.random.Generator] | None, weights: ArrayLike | None,
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        sizes = self.sizes
        batch = Sequences(
            as_numbers("inputs", inputs) if sizes.input_size else self._checked_ids(inputs),
            as_numbers("targets", targets) if sizes.output_size else self._checked_ids(targets),
            mask, lengths, symbols=sizes.input_symbols or sizes.output_symbols or None)
        batch.check_fits(None, self.sizes, None)
        batch = batch.scaled(self.scaling)
        N, T = batch.mask.shape
        zero = self.zero_state(N)
        last = zero if state is None else converted(
            "state", read_array("state", state), zero.dtype).copy()
        if last.shape != zero.shape:
            raise ValueError(f"state is {last.shape} and must be {zero.shape}: (N, P)")
        if not np.isfinite(last).all():
            raise ValueError("state has NaN or infinity: start from a finite one")
        factors = None if weights is None else np.ascontiguousarray(
            weights_of("weights", weights, (N, T)).T)
        with one_thread():
            losses = self.network(T, N).unroll(
                self.block, **batch.batch(np.arange(N), self.block.dtype) | {"units": None},
                weights=factors, state=last, grads=grads, generators=generators,
                labels=probabilities(self.config["labels"], labels, N, self.block.dtype))
        return losses.T, last

    def read_ids(self, ids: NDArray[Any], state: NDArray[Any],
                 labels: NDArray[Any] | None = None) -> None:
        """For fastrnn itself: read ids (T,), updating state (1, P) in place; label probabilities
        are (1, C)."""
        kernel = self.network(READ_STEPS, 1, self.sizes.loss)
        with one_thread():
            for start in range(0, len(ids), READ_STEPS):
                kernel.unroll(self.block, time_major(ids[None, start : start + READ_STEPS]), state,
                              labels=labels)

    def draw(
        self, length: int, state: NDArray[Any], symbols: ArrayLike, temperature: float,
        rng: np.random.Generator, top_k: int = 0, top_p: float = 1.0,
        labels: NDArray[Any] | None = None, never: Collection[int] = (), *, min_p: float = 0.0,
        penalty: float = 1.0, seen: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.int32]:
        """For fastrnn itself: sample symbol ids, each fed back as the next input.

        Parameters
        ----------
        length : int
        state : ndarray, shape (N, P)
            The state before `symbols` are read; updated in place.
        symbols : array_like of int, shape (N,)
            The first inputs.
        temperature : float
            Ids are sampled from softmax(scores / temperature); 0 takes the most probable.
        rng : numpy.random.Generator
        top_k, top_p : int, float
            Sample only from the most probable symbols; 0 and 1 mean from all.
        labels : ndarray, shape (N, C), optional
            Probabilities of the labels of each row.
        never : collection of int
            Ids that are never sampled.
        min_p, penalty, seen : float, float, ndarray of uint8, shape (N, K), optional
            Sample only from symbols with min_p of the largest probability; the repetition penalty,
            and 1 for each symbol that has occurred, which is updated.

        Returns
        -------
        ndarray of int32, shape (length, N)
        """
        block = self.block
        if never:
            block = kernels.aligned_zeros(block.size, block.dtype)
            with no_fork, self.lock:
                block[:] = self.block
            self.views(block)["head.b"][list(never)] = -1e30
        with one_thread():
            return self.network(1, len(state)).sample(
                block, state, np.array(symbols, np.int32), temperature,
                rng.random((length, len(state))), top_k, top_p, labels, min_p, penalty, seen,
                threads=cores())

    def _checked_ids(self, ids: ArrayLike) -> ArrayLike:
        """A model with a vocabulary checks the ids here."""
        return ids


def configuration(sizes: Sizes, settings: dict[str, Any]) -> dict[str, Any]:
    """All settings of a network, checked each and together, defaults filled in."""
    config = checked(ModelSettings, settings, "Model")
    cell = config["cell"]
    config["init"] = choice("init", config["init"] or CELLS[cell].init, INIT_SCALES)
    if config["init_scale"] is None:
        config["init_scale"] = INIT_SCALES[config["init"]]
    given, config["loss"] = config["loss"], config["loss"] or sizes.loss
    if cell != "esn":
        for name, one in RESERVOIR.items():
            if config.pop(name) != one.setting.default:
                raise ValueError(f"{name} is for cell='esn', not {cell!r}: leave it out")
    elif config["num_layers"] != 1 or config["embedding_size"] or config["labels"]:
        wrong = next(name for name, usual in (("num_layers", 1), ("embedding_size", None),
                                              ("labels", None)) if config[name] != usual)
        raise ValueError(f"an esn trains only its head, after one layer: leave {wrong} out")
    elif config["dtype"] == kernels.MIXED:
        raise ValueError(RESERVOIR_DTYPE)
    elif config["weight_drop"]:
        raise ValueError("weight_drop is for recurrent weights that are trained, which an esn has "
                         "not: leave it out")
    if config["num_layers"] > kernels.MOST_LAYERS:
        raise ValueError(f"num_layers must be at most {kernels.MOST_LAYERS}, not "
                         f"{config['num_layers']}")
    if (config["loss"] == "mean_squared_error") != (sizes.output_size > 0):
        raise ValueError(f"loss {given!r} does not fit {sizes}: it is {sizes.loss!r}")
    return config


def parameter_shapes(sizes: Sizes, config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter by name, in the order of the block; `Model` documents them."""
    cell, H, E = config["cell"], config["hidden_size"], config["embedding_size"]
    V, K = sizes.input_symbols, sizes.outputs
    if E and not V:
        raise ValueError("embedding_size is for inputs that are symbols: leave it out")
    shapes: dict[str, tuple[int, ...]] = {"embedding.W": (V, E)} if E else {}
    D = E or sizes.inputs
    for layer in range(config["num_layers"]):
        of_cell = tensor_shapes(cell, D, H, config["reset_after"])
        shapes |= {f"layer{layer}.{name}": shape for name, shape in of_cell.items()}
        if layer == 0 and config.get("labels"):
            shapes["layer0.Wc"] = (len(config["labels"]), *of_cell["b"])
        D = H
    return shapes | {"head.W": (H, K), "head.b": (K,)}
