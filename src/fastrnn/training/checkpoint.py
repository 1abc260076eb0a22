"""Files of training runs: the model, and what a run needs to go on bit for bit.

Besides a model's tensors they hold the states ``state`` (N, P), the parameters ``best`` and the
state ``best_state`` (1, P) of the best model so far, the sums of the optimizer ``optimizer.0`` and
so on; and JSON under ``trainer``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..files.store import DAMAGE, Tensors, damaged, expect
from ..files.store import read as read_file
from ..model.model import Model


def read(path: str | os.PathLike[str]) -> tuple[Model, Tensors, dict[str, Any]]:
    """The model, all tensors, and the JSON part of a checkpoint, checked against each other."""
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
            streams = about["trainer"]["config"]["batch_size"]
            counters["best_update"]
        expect(tensors, "state", (streams, model.state.shape[1]), model.block.dtype)
    except DAMAGE as error:
        raise damaged(path, error) from None
    return model, tensors, about


def load(path: str | os.PathLike[str], *, best: bool | None = None) -> Model:
    """Read a model that `Model.save` or a training run has written.

    Parameters
    ----------
    path : str or path-like
    best : bool, optional
        Of a training run's checkpoint: True for the best model (of the lowest validation loss, or
        without validation of the lowest smoothed loss), False for the last one. Where not given
        the best one if the run had a validation, else the last.

    Returns
    -------
    Model
        Its `history` holds the losses of its training.

    Raises
    ------
    OSError
        There is no such file, or it may not be read.
    ValueError
        The file is no fastrnn checkpoint, is damaged, or has another format version.
    """
    model, tensors, about = read(path)
    if best is None:
        best = "trainer" in about and model.history.valid_loss.size > 0
    if best:
        if "trainer" not in about:
            raise ValueError(f"{str(path)!r} holds a model without a training run, so there is no "
                             "best one beside it: load it with best=False")
        if about["trainer"]["counters"]["best_update"]:  # none yet in a very short run
            model.block[:], model.state[:] = tensors["best"], tensors["best_state"]
    return model


def run_of(path: str | os.PathLike[str], about: dict[str, Any]) -> dict[str, Any]:
    """The part of a checkpoint's JSON that is about its training run."""
    if "trainer" not in about:
        raise ValueError(f"{str(path)!r} holds a model without a training run: it can be "
                         "loaded, but not resumed")
    run: dict[str, Any] = about["trainer"]
    return run
