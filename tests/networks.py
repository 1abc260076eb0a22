"""What the tests of the kernels share: random networks and windows, what reference.py makes of
them, and training runs on the kernels alone."""
from functools import cache

import numpy as np
import pytest

import fastrnn
from fastrnn import kernels
from fastrnn.cells import kernel_cell
from fastrnn.checks import reference
from fastrnn.data.source import time_major
from fastrnn.kernels.blas import one_thread
from fastrnn.model.model import Model

KINDS = ("rnn", "relu", "lstm", "gru", "memory", "gru, reset before", "mgu", "mlstm")
EVERY_KIND = (*KINDS, "esn")
TRAINED_KINDS = pytest.mark.parametrize("kind", KINDS)
ALL_KINDS = pytest.mark.parametrize("kind", EVERY_KIND)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
PACKED = pytest.mark.parametrize("packed", [True, False], ids=["packed", "plain"])


@cache
def vocabulary(K):
    return fastrnn.Vocabulary([chr(0x100 + i) for i in range(K)])


def cell_of(kind):
    """The arguments of a model that one of KINDS stands for."""
    return {"cell": kind.split(", ")[0], "reset_after": kind != "gru, reset before"}


def random_model(kind, dtype, K, H, seed=0, num_layers=1, embedding_size=None, dropout=0.0,
                 weight_drop=0.0):
    """Weights large enough that every tensor matters, recurrences contracting, most ReLUs at
    work."""
    more = {"num_layers": num_layers, "embedding_size": embedding_size}
    if kind == "esn":  # it has one layer, and one-hot inputs
        more = {"leak_rate": 0.7, "density": 0.5 if H > 3 else 1.0}
    model = Model(vocabulary(K), **cell_of(kind), hidden_size=H, dropout=dropout,
                  weight_drop=weight_drop, dtype=dtype, **more)
    rng = np.random.default_rng(seed)
    # biases lift ReLUs: where there are only one or two, not all may be off
    lift = 2.0 if H < 3 and kind in ("relu", "memory") else 0.8
    spread = {"Wh": 0.8 / max(H, 4) ** 0.5, "Wm": 0.1 / H**0.5, "bhn": 0.5, "bm": 0.2}
    for name, p in model.params.items():
        last = name.split(".")[1]
        if name == "head.W":
            scale = 2 / H**0.5
        elif last == "Wx" and (name != "layer0.Wx" or embedding_size):
            scale = 1 / len(p) ** 0.5
        else:
            scale = spread.get(last, 0.5)
        p[:] = rng.normal(lift if last == "b" and name != "head.b" else 0, scale, p.shape)
        if last == "Wm":  # what u adds pulls m back, or it would grow and grow
            p -= model.params[name.replace("Wm", "Wh")].T / 2
    return model


def random_window(model, T, N, seed=1):
    """inputs, targets (N, T), state (N, P)"""
    rng = np.random.default_rng(seed)
    K = len(model.vocabulary)
    state = rng.uniform(-1, 1, model.zero_state(N).shape).astype(model.block.dtype)
    return rng.integers(0, K, (N, T)), rng.integers(0, K, (N, T)), state


def network_of(model, T, N, packed=True):
    sizes = model.sizes
    cell = kernel_cell(model.config["cell"], model.config["reset_after"])
    return kernels.Network(
        model.config | {"cell": cell.name}, sizes.input_symbols, sizes.input_size, sizes.outputs,
        model._offsets, model.block.size, T, N, packed,
        model.reservoir and model.reservoir.compiled)


def generators_of(model, network, seed=7):
    """For dropout and weight_drop, one for each slice; None where the model has neither."""
    if model.config["dropout"] or model.config["weight_drop"]:
        return np.random.default_rng(seed).spawn(len(network.slices))
    return None


def unroll(model, network, inputs, targets, state, generators=None, threads=1):
    """Losses of each prediction (N, T), gradients by name, last state (N, P)."""
    moved, block = state.copy(), np.full_like(model.block, np.nan)
    with one_thread():
        losses = network.unroll(model.block, time_major(inputs), moved, time_major(targets), block,
                                generators, threads)
    return losses.T, model.views(block), moved


def wide(params):
    """A copy in float64."""
    return {name: p.astype(np.float64) for name, p in params.items()}


def all_weights(model):
    """In float64, those of a reservoir too."""
    fixed = {}
    if model.reservoir is not None:
        r = model.reservoir
        fixed = {"W": r.W.toarray(), "Win": r.Win, "b": r.b, "leak_rate": np.array(r.leak_rate)}
    return wide(model.params | {f"reservoir.{name}": array for name, array in fixed.items()})


def masks_of(model, slices, T, N, generators):
    """What generators drop, as `reference.loss_and_gradients` takes it; they move on."""
    config, masks = model.config, {}
    if generators is not None and config["weight_drop"]:
        masks["weight_masks"] = reference.weight_drop_masks(
            generators, slices, *model.params["layer0.Wh"].shape, config["num_layers"],
            config["weight_drop"])
    if generators is not None and config["dropout"]:
        masks["masks"] = reference.dropout_masks(
            generators, slices, T, N, config["hidden_size"], config["num_layers"],
            config["dropout"])
    return masks


def expected_unroll(model, slices, inputs, targets, state, generators=None):
    """The same by reference.py in float64; the generators move as the kernels' should."""
    params, cell = all_weights(model), model.config["cell"]
    N, T = inputs.shape
    masks = masks_of(model, slices, T, N, generators)
    state = state.astype(np.float64)
    _, grads, last = reference.loss_and_gradients(params, inputs, targets, state, cell, **masks)
    params = reference.weight_drop(params, masks.get("weight_masks", ()))
    scores = reference.forward(params, inputs, state, cell, masks.get("masks"))[0]
    n, t = np.ogrid[:N, :T]
    return np.log(np.exp(scores).sum(axis=2)) - scores[n, t, targets], grads, last


class Run:
    """What a Trainer sets up for the kernels, and nothing else."""

    def __init__(self, model, ids, T=4, N=1, optimizer="adagrad", rate=0.1, threads=1,
                 packed=True, best_every=100, seed=7, averaged=0, **numbers):
        usual = {"rmsprop": {"decay": 0.9}, "adam": {"decay": 0.9, "decay2": 0.999}}
        usual = {"clip_value": 5.0} | usual.get(optimizer, {})
        self.model, self.rate = model, rate
        self.network = network_of(model, T, N, packed)
        self.generators = generators_of(model, self.network, seed)
        self.rule = kernels.Optimizer(optimizer, **usual | numbers)
        self.memories = [np.zeros_like(model.block) for _ in range(self.rule.memories)]
        self.state, self.best = model.zero_state(N), np.zeros_like(model.block)
        self.average = None
        if averaged:  # whatever is there before the first update is of no account
            self.average = np.random.default_rng(1).normal(0, 1, model.block.size).astype(
                model.block.dtype)
        ids = np.asarray(ids)
        self.training = kernels.Training(
            self.network, self.rule, model.block, self.memories, self.state, self.best,
            ids if ids.dtype.kind == "u" else ids.astype(np.uint16), self.generators, threads,
            best_every, average=self.average, averaged=averaged)

    def run(self, updates):
        """So many updates, or one for each of an array of learning rates."""
        rates = np.full(updates, self.rate) if isinstance(updates, int) else updates
        with one_thread():
            return self.training.run(rates)

    def everything(self):
        """Bytes of all that an update may change, and the counters."""
        arrays = [self.model.block, *self.memories, self.state, self.best]
        if self.average is not None:
            arrays.append(self.average)
        return ([a.tobytes() for a in arrays],
                self.training.counters,
                [g.bit_generator.state for g in self.generators or ()])
