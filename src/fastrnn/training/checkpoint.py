"""Checkpoints of training runs: the model, and what a run needs to continue bit for bit.

Tensors besides those of the model: ``state`` (N, P) of the streams; ``best``, the parameters, and
``best_state`` (1, P) of the best model, once there is one; ``optimizer.0`` and so on, the memories
of the optimizer. JSON: ``trainer``.
"""

import os
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..data.source import Source
from ..files.store import DAMAGE, Tensors, damaged, expect
from ..files.store import read as read_file
from ..model.model import Model


def read(path: str | os.PathLike[str]) -> tuple[Model, Tensors, dict[str, Any]]:
    """The model, all tensors, and the JSON of a checkpoint, checked against each other."""
    tensors, about = read_file(path)
    if "echo_state_network" in about:
        raise ValueError(f"{str(Path(path))!r} holds an echo state network, not a model: use "
                         "fastrnn.EchoStateNetwork.load")
    try:
        model = Model.from_stored(tensors, about)
        streams = 1
        if "trainer" in about:
            counters = about["trainer"]["counters"]
            expect(tensors, "best", model.block.shape, model.block.dtype)
            expect(tensors, "best_state", model.state.shape, model.block.dtype)
            expect(tensors, "history.loss", (counters["update"],), "float64")
            about["trainer"]["config"].setdefault("on_divergence", "raise")  # new in format 6
            streams = about["trainer"]["config"]["batch_size"]
            counters["best_update"]
        expect(tensors, "state", (streams, model.state.shape[1]), model.block.dtype)
    except DAMAGE as error:
        raise damaged(path, error) from None
    return model, tensors, about


def load(path: str | os.PathLike[str], *, best: bool | None = None) -> Model:
    """Load a model from a file of `Model.save` or a checkpoint of a training run.

    Parameters
    ----------
    path : str or path-like
    best : bool, optional
        For a training run: True for the best model (of the lowest validation loss, or without
        validation of the lowest smoothed loss), False for the last one. Where not given the best
        one if the run had a validation, else the last.

    Returns
    -------
    Model
        Its `history` holds the losses of its training.

    Raises
    ------
    OSError
        There is no such file, or it cannot be read.
    ValueError
        The file is no fastrnn checkpoint, is damaged, or has another format version; or best=True
        for a model without a training run.
    """
    model, tensors, about = read(path)
    if best is None:
        best = "trainer" in about and model.history.valid_loss.size > 0
    if best:
        if "trainer" not in about:
            raise ValueError(f"{str(path)!r} holds a model without a training run, so there is no "
                             "best one beside it: load it with best=False")
        if about["trainer"]["counters"]["best_update"]:  # 0 in a very short run
            model.block[:], model.state[:] = tensors["best"], tensors["best_state"]
    return model


def read_run(path: str | os.PathLike[str], corpus: Source) -> tuple[Model, Tensors, dict[str, Any]]:
    """The model, all tensors, and the JSON of a training run; ValueError if there is none, or if it
    was trained on something else than this corpus."""
    model, tensors, about = read(path)
    if "trainer" not in about:
        raise ValueError(f"{str(path)!r} holds a model without a training run: it can be "
                         "loaded, but not resumed")
    run: dict[str, Any] = about["trainer"]
    try:
        name = run["text"]["name"]
        same = (corpus.vocabulary == model.vocabulary
                and corpus.fingerprint() == run["text"]["fingerprint"])
    except DAMAGE as error:
        raise damaged(path, error) from None
    if not same:
        raise ValueError(f"{str(path)!r} was trained on {name!r}, and {corpus.name!r} is "
                         f"not the same {corpus.kind}: resume with the same one")
    return model, tensors, run


def same_isa(first: Any) -> str | None:
    """The instruction set with which the first part of a run was made, where it runs here; None:
    the one in use. Warns where it cannot be the same, since sums are then rounded otherwise."""
    if first in (None, kernels.running_isa()):
        return None
    if first in kernels.available_isas() and not os.environ.get("FASTRNN_ISA"):
        return str(first)
    warnings.warn(f"the first part of this run was made with the instruction set {first}, and it "
                  f"goes on with {kernels.running_isa()}: the last digits will differ from those "
                  "of a run in one piece", stacklevel=4)
    return None


def checksum(model: Model) -> int:
    """CRC-32 of the parameters, which tells from which ones a run began."""
    return zlib.crc32(model.block.tobytes())


def read_repeatable(
    path: str | os.PathLike[str], corpus: Source
) -> tuple[Model, dict[str, Any], NDArray[np.float64]]:
    """A new model as it was before the run of a checkpoint, the JSON of the run, and the learning
    rates (updates,) of its updates; ValueError if the run cannot be made again."""
    earlier, _, run = read_run(path, corpus)
    if earlier.config["seed"] is None or run["config"]["seed"] is None:
        raise ValueError(f"{str(path)!r} was trained with seed=None, so its random numbers cannot "
                         "be drawn again: train with a seed")
    rates = earlier.history.learning_rate
    if not np.isfinite(rates).all() or not len(rates):
        raise ValueError(f"{str(path)!r} does not hold the learning rates of its updates, so it "
                         "cannot be repeated: it has none, or was made by fastrnn 0.1")
    model = Model(earlier.vocabulary or earlier.sizes, reservoir=earlier.reservoir,
                  **earlier.config)
    if checksum(model) != run.get("initial"):
        raise ValueError(f"{str(path)!r} did not begin with the initial weights of its seed, but "
                         "with those of init_from or others, so it cannot be repeated")
    return model, run, rates
