"""The tensors and the JSON in a file that stores a model.

Tensors: each parameter by its name, ``state`` (N, P), ``known`` (digests of records),
``starts`` (how often each symbol begins a line), ``label_counts`` (how often each label came in
training), ``step_state`` (N, P) where it was asked for, ``scaling.inputs`` (2, D) and
``scaling.targets`` (2, K) of a model that scales its numbers, the arrays of the history
(``history.loss`` etc.) and of an esn's reservoir (``reservoir.Win`` etc.). JSON:
``model`` (the settings), ``vocabulary`` or ``sizes``, ``history``. A training run adds to both
(`fastrnn.training.checkpoint`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..data.scaling import Scaling, check
from ..data.source import Sizes
from ..echo.reservoir import Reservoir
from ..files.store import Tensors, expect
from ..validate import positive_float, positive_int
from .history import MEASURES, MOST_SAMPLES, History
from .network import Network, configuration, parameter_shapes

HISTORY = {"loss": "float64", "smooth_loss": "float64", "valid_loss": "float64",
           "valid_updates": "int64", "accuracy": "float64",
           "learning_rate": "float64"}  # arrays and their dtypes
# settings that every file has, because the parameters cannot be read by a default
DECIDING = ("cell", "hidden_size", "num_layers", "embedding_size", "reset_after", "dtype")


def stored(
    network: Network, history: History, known: NDArray[np.uint64], starts: NDArray[np.float64],
    label_counts: NDArray[np.float64],
) -> tuple[Tensors, dict[str, Any]]:
    """Tensors and JSON of a network, its history, the digests and the counts of the labels of its
    training records, and the starts of its training text."""
    tensors = dict(network.params) | {"state": network.state, "known": known,
                                      "starts": starts, "label_counts": label_counts}
    arrays = network.reservoir.tensors if network.reservoir else {}
    tensors |= {f"reservoir.{name}": array for name, array in arrays.items()}
    if network.scaling is not None:
        tensors |= {f"scaling.{name}": array for name, array in network.scaling.tensors.items()}
    tensors |= {f"history.{name}": getattr(history, name) for name in HISTORY}
    return tensors, {"model": network.config, "history": {
        "seq_length": history.seq_length, "one_stream": history.one_stream,
        "updates_per_epoch": history.updates_per_epoch,
        "samples": history.samples}}


def check_parameters(tensors: Tensors, sizes: Sizes, settings: dict[str, Any]) -> Reservoir | None:
    """Raise ValueError or TypeError unless the settings are a model's and every parameter is there;
    return the reservoir of an esn."""
    config = configuration(sizes, settings)
    for name in DECIDING:
        settings[name]
    for name, shape in parameter_shapes(sizes, config).items():
        expect(tensors, name, shape, kernels.array_dtype(config["dtype"]))
    if config["cell"] != "esn":
        return None
    return Reservoir.from_tensors(
        {name.removeprefix("reservoir."): tensor for name, tensor in tensors.items()},
        config["leak_rate"], config["hidden_size"], sizes.inputs, 0, config["dtype"])


def restore(
    network: Network, tensors: Tensors, about: dict[str, Any]
) -> tuple[History, NDArray[np.uint64], NDArray[np.float64], NDArray[np.float64]]:
    """Fill in parameters and state; return history, digests of records, starts of lines, and counts
    of labels.
    ValueError, KeyError or TypeError for what `stored` cannot have returned."""
    P = network.state.shape[1]
    expect(tensors, "state", (*tensors["state"].shape[:1], P), network.block.dtype)
    known = tensors["known"]
    expect(tensors, "known", (known.size,), "uint64")
    if not (known[1:] > known[:-1]).all():
        raise ValueError("the digests of the records are not in order")
    # files of fastrnn 0.1 have no starts and no learning rates, those before format 7 no counts
    starts = _counts(tensors, "starts", network.sizes.outputs)
    label_counts = _counts(tensors, "label_counts", len(network.config["labels"] or ()))
    tensors.setdefault("history.learning_rate", np.full(tensors["history.loss"].size, np.nan))
    lengths = {name: tensors[f"history.{name}"].size for name in HISTORY}
    lengths["smooth_loss"] = lengths["learning_rate"] = lengths["loss"]
    lengths["valid_updates"] = lengths["valid_loss"]
    for name, kind in HISTORY.items():
        expect(tensors, f"history.{name}", (lengths[name],), kind)
    at = np.array([0, *tensors["history.valid_updates"], lengths["loss"]])
    if not (at[1:-1] > at[:-2]).all() or at[-2] > at[-1]:
        raise ValueError("the validations do not lie one after another within the updates")
    seq_length = about["history"]["seq_length"]
    if seq_length is not None:
        seq_length = positive_float("seq_length", seq_length, most=1e30)
    per_epoch = about["history"].get("updates_per_epoch")  # since format 7
    if per_epoch is not None:
        positive_int("updates_per_epoch", per_epoch)
    samples = _checked_samples(about["history"].get("samples", []), lengths["loss"])
    for name, p in network.params.items():
        p[:] = tensors[name]
    network.state[:] = tensors["state"][:1]
    network.scaling = _checked_scaling(network.sizes, tensors, trained=lengths["loss"] > 0)
    history = History(
        *(tensors[f"history.{name}"] for name in HISTORY), seq_length=seq_length,
        measure=MEASURES[network.config["loss"]],
        one_stream=about["history"].get("one_stream") is True, samples=samples,
        updates_per_epoch=per_epoch)
    return history, known, starts, label_counts


def _counts(tensors: Tensors, name: str, size: int) -> NDArray[np.float64]:
    """The counts of that many things, or none; ValueError for what are no counts."""
    counts = tensors.setdefault(name, np.zeros(0))
    expect(tensors, name, (size if counts.size else 0,), "float64")
    if not ((counts >= 0) & (counts < 2**53) & (counts == np.floor(counts))).all():
        raise ValueError(f"{name} are no counts")
    return counts


def _checked_scaling(sizes: Sizes, tensors: Tensors, trained: bool) -> Scaling | None:
    """The scaling of a file, whose network was `trained` with another one never."""
    found = {}
    for name, size in ("inputs", sizes.input_size), ("targets", sizes.output_size):
        if f"scaling.{name}" in tensors:
            expect(tensors, f"scaling.{name}", (2, size), "float64")
            found[name] = tensors[f"scaling.{name}"]
            check(f"scaling.{name}", found[name])
    return Scaling(**found) if found or trained else None


def _checked_samples(stored: Any, updates: int) -> list[tuple[int, str]]:
    """The samples of a history of so many updates; files before format 7 have none."""
    if not isinstance(stored, list) or len(stored) > MOST_SAMPLES:
        raise ValueError(f"the samples are no list of at most {MOST_SAMPLES:,}")
    samples, last = [], 0
    for at, text in stored:
        last = positive_int("the update of a sample", at, last, updates + 1)
        if not isinstance(text, str):
            raise TypeError("a sample is no text")
        samples.append((last, text))
    return samples
