"""Checkpoints of training runs: the model, and what a run needs to continue bit for bit.

Tensors besides those of the model: ``state`` (N, P) of the streams; ``best``, the parameters, and
``best_state`` (1, P) of the best model, once there is one; ``optimizer.0`` and so on, the memories
of the optimizer; with weight_average ``average``, the averaged parameters. JSON: ``trainer``.
"""

import os
import re
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..data.source import Source
from ..files.store import DAMAGE, Tensors, damaged, expect, short
from ..files.store import read as read_file
from ..model.history import History
from ..model.model import Model
from ..settings import NOT_STORED, TrainerSettings, checked
from ..validate import boolean, positive_float, positive_int
from .plan import NEVER

# settings of a trainer that files of fastrnn 0.1 or of earlier formats do not have
ADDED = frozenset(("on_divergence", "beta1", "beta2", "epsilon", "epsilon_inside",
                   "weight_decay", "samples_at", "callback_every", "valid_split", "scale",
                   "long_rows", "weight_average", "teacher_weight", "schedule_end"))


def read(path: str | os.PathLike[str]) -> tuple[Model, Tensors, dict[str, Any]]:
    """The model, all tensors, and the JSON of a checkpoint, checked against each other."""
    tensors, about = read_file(path)
    if "echo_state_network" in about:
        raise ValueError(f"{str(Path(path))!r} holds an echo state network, not a model: use "
                         "fastrnn.EchoStateNetwork.load")
    if "places" in about:
        raise ValueError(f"{str(Path(path))!r} holds a state of layers or optimizers, not a model: "
                         "use fastrnn.nn.load_state")
    if "torch" in about:
        raise ValueError(f"{str(Path(path))!r} has its tensors under PyTorch's names: use "
                         "fastrnn.import_model, or fastrnn import")
    try:
        model = Model.from_stored(tensors, about)
        streams = 1
        if "trainer" in about:
            run = about["trainer"]
            run["config"] = _checked_config(run["config"])
            if run["config"]["valid_split"] is None:  # before fastrnn 0.2
                records = model.vocabulary is not None and model.vocabulary.stop is not None
                run["config"]["valid_split"] = "random" if records else "end"
            streams = run["config"]["batch_size"]
            expect(tensors, "best", model.block.shape, model.block.dtype)
            expect(tensors, "best_state", model.state.shape, model.block.dtype)
            if run["config"]["weight_average"]:
                expect(tensors, "average", model.block.shape, model.block.dtype)
            _check_run(run, model.history)
        expect(tensors, "state", (streams, model.state.shape[1]), model.block.dtype)
    except DAMAGE as error:
        raise damaged(path, error) from None
    return model, tensors, about


def _checked_config(stored: dict[str, Any]) -> dict[str, Any]:
    """The settings of a trainer, those of `ADDED` with their defaults where they are not there, or
    with what was done before there were such settings."""
    before = {"scale": False, "long_rows": "together"}
    config = checked(TrainerSettings, before | stored, "Trainer")
    expected = config.keys() - NOT_STORED
    if stored.keys() - expected or expected - stored.keys() - ADDED:
        raise ValueError("the settings of the run are not those that a trainer has")
    return {name: value for name, value in config.items() if name in expected}


def _check_run(run: dict[str, Any], history: History) -> None:
    """Raise ValueError, KeyError or TypeError unless the JSON of a run could be a trainer's and
    agrees with the history."""
    if run.setdefault("teacher", None) is not None:  # since fastrnn 0.2
        positive_int("the teacher's checksum", run["teacher"]["checksum"], 0, 2**32)
        short(run["teacher"]["name"])
    counters = run["counters"]
    for name in ("update", "epoch", "position", "best_update"):
        positive_int(name, counters[name], least=0, below=NEVER)
    if type(counters["smooth_loss"]) not in (int, float):  # of any size
        raise TypeError("smooth_loss must be a number")
    if run.setdefault("valid", None) is not None and not all(
            isinstance(run["valid"][name], str) for name in ("name", "fingerprint")):
        raise TypeError("the name and the fingerprint of the validation data must be texts")
    update, best = counters["update"], counters["best_update"]
    if update != len(history) or counters["epoch"] > update or best > update:
        raise ValueError(f"the counters {counters} and a history of {len(history)} updates")
    if len(history.accuracy) > counters["epoch"]:
        raise ValueError(f"{len(history.accuracy)} accuracies of {counters['epoch']} epochs")
    if run["config"]["valid_fraction"] or run["valid"] is not None:
        losses = history.valid_loss[history.valid_updates == best]
    else:
        losses = history.smooth_loss[best - 1 : best]
    if (losses.tolist() if best else [None]) != [counters["best_loss"]]:
        raise ValueError(f"the best loss {counters['best_loss']} after {best} updates is not that "
                         "of the history")
    check_generator(run["generator"])
    for state in run["generators"]:
        check_generator(state)
    positive_int("order_seed", run["order_seed"], 0, 2**63)
    run["seconds"] = positive_float("seconds", run["seconds"], zero=True)
    # fastrnn 0.1 did not store the next four
    run["over"] = boolean("over", run.get("over", False))
    run["rate_factor"] = positive_float("rate_factor", run.get("rate_factor", 1.0))
    if run.setdefault("initial", None) is not None:
        positive_int("initial", run["initial"], 0, 2**32)
    isa = run.setdefault("isa", None)
    if isa is not None and not (isinstance(isa, str) and re.fullmatch(r"\w{1,19}", isa, re.ASCII)):
        raise ValueError(f"{isa!r} is not the name of an instruction set")
    _check_origin(run.setdefault("origin", None))  # since fastrnn 0.2
    if not all(isinstance(run["text"][name], str) for name in ("name", "fingerprint")):
        raise TypeError("the name and the fingerprint of the data must be texts")


def _check_origin(origin: Any) -> None:
    """Raise ValueError, KeyError or TypeError unless this says where settings come from."""
    if origin is None:
        return
    names = [*origin["given"], *origin["chosen"], origin["note"]]
    if not isinstance(origin["preset"], str | None) or not all(isinstance(n, str) for n in names):
        raise TypeError("the origin of the settings must be texts")


def check_generator(state: dict[str, Any]) -> None:
    """Raise ValueError, KeyError or TypeError unless this is the state of NumPy's PCG64."""
    inner = state["state"]
    if state["bit_generator"] != "PCG64" or len(state) != 4 or len(inner) != 2:
        raise ValueError("the state of a generator is not that of PCG64")
    for name in ("state", "inc"):
        positive_int(name, inner[name], 0, 2**128)
    positive_int("has_uint32", state["has_uint32"], 0, 2)
    positive_int("uinteger", state["uinteger"], 0, 2**32)


def load(path: str | os.PathLike[str], *, best: bool | None = None) -> Model:
    """Load a model from a file of `Model.save` or a checkpoint of a training run.

    Parameters
    ----------
    path : str or path-like
    best : bool, optional
        For a training run: True for the best model (of the lowest validation loss, or without
        validation of the lowest smoothed loss), False for the last one. Where not given the best
        one if the run had a validation, else the last. Of a run with weight_average either has
        averaged parameters.

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
    if "trainer" in about:
        run = about["trainer"]
        if run["config"]["weight_average"] and run["counters"]["update"]:
            model.block[:] = tensors["average"]
    if best is None:
        best = "trainer" in about and model.history.valid_loss.size > 0
    if best:
        if "trainer" not in about:
            raise ValueError(f"{str(path)!r} holds a model without a training run, so there is no "
                             "best one beside it: load it with best=False")
        if about["trainer"]["counters"]["best_update"]:  # 0 in a very short run
            model.block[:], model.state[:] = tensors["best"], tensors["best_state"]
    if "trainer" in about:
        counters = about["trainer"]["counters"]
        at = (counters["best_update"] if best else 0) or counters["update"]
        model.run = about["trainer"] | {"at": at}
    return model


def read_run(path: str | os.PathLike[str], corpus: Source) -> tuple[Model, Tensors, dict[str, Any]]:
    """The model, all tensors, and the JSON of a training run; ValueError if there is none, or if it
    was trained on something else than this corpus."""
    model, tensors, about = read(path)
    if "trainer" not in about:
        raise ValueError(f"{str(path)!r} holds a model without a training run: it can be "
                         "loaded, but not resumed")
    run: dict[str, Any] = about["trainer"]
    if (corpus.vocabulary != model.vocabulary
            or corpus.fingerprint() != run["text"]["fingerprint"]):
        raise ValueError(f"{str(path)!r} was trained on {short(run['text']['name'])}, and "
                         f"{corpus.name!r} is not the same {corpus.kind}: resume with the same one")
    return model, tensors, run


def same_isa(first: Any, precision: str) -> str | None:
    """The instruction set with which the first part of a run of this precision was made, where it
    runs here; None: the one in use. Warns where it cannot be the same, since sums are then rounded
    otherwise."""
    if first in (None, running := kernels.running_isa(precision)):
        return None
    if first in kernels.available_isas(precision) and not os.environ.get("FASTRNN_ISA"):
        return str(first)
    warnings.warn(f"the first part of this run was made with the instruction set {first}, and it "
                  f"goes on with {running}: the last digits will differ from those "
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
    if checksum(model) != run["initial"]:
        raise ValueError(f"{str(path)!r} did not begin with the initial weights of its seed, but "
                         "with those of init_from or others, so it cannot be repeated")
    return model, run, rates
