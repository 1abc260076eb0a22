"""Models, interrupted runs and echo state networks, each as one ``.safetensors`` file.

Tensors: each parameter by its name, ``state`` (N, P), ``known`` (digests of records), and
``history.loss``, ``history.smooth_loss``, ``history.valid_loss``, ``history.valid_updates``,
``history.accuracy``; of a run also ``best`` and ``best_state`` (the block, and the state (1, P) to
write on from, of the best model, where there is one yet) and ``optimizer.0`` and so on (its
memories). All else is JSON under the metadata key ``fastrnn``. ``reservoir.Win`` and so on are the
layer of a model of the cell "esn" that is not trained; an echo state network has the same without
the prefix, and ``Wout``.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from .history import MEASURES, History
from .model import Model, parameter_shapes, sizes_of
from .reservoir import Reservoir
from .sequences import Sizes
from .validate import positive_float
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from .trainer import Trainer

FORMAT_VERSION = 5
READ_VERSIONS = (4, 5)  # 5 added reservoirs
HISTORY = {"loss": "float64", "smooth_loss": "float64", "valid_loss": "float64",
           "valid_updates": "int64", "accuracy": "float64"}  # its arrays
# what a file can lead to whose JSON or tensors are not what was written
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def save_model(model: Model, path: str | os.PathLike[str], trainer: Trainer | None = None) -> None:
    """Write a model, and with a trainer all that its run needs to go on."""
    tensors = dict(model.params) | {"state": model.state, "known": model.known}
    if model.reservoir is not None:
        tensors |= {f"reservoir.{name}": array for name, array in model.reservoir.tensors.items()}
    tensors |= {f"history.{name}": getattr(model.history, name) for name in HISTORY}
    about: dict[str, Any] = {
        "model": model.config,
        "vocabulary": model.vocabulary and model.vocabulary.to_dict(),
        "sizes": None if model.vocabulary else asdict(model.sizes),
        "history": {"seq_length": model.history.seq_length},
    }
    if trainer is not None:
        stored, about["trainer"] = trainer.snapshot()
        tensors |= stored
    write(path, tensors, about)


def write(
    path: str | os.PathLike[str], tensors: dict[str, NDArray[Any]], about: dict[str, Any]
) -> None:
    """Write tensors and JSON. The bytes go to a temporary file in the same directory, are synced,
    and take the name in one step, so that a crash leaves either the old file or the new one."""
    about = {"format_version": FORMAT_VERSION} | about
    data = to_bytes(tensors, metadata={"fastrnn": json.dumps(about)})
    handle, temporary, path = _temporary_beside(path)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":  # the new name too should survive a power cut, where that can be had
        with contextlib.suppress(OSError):
            directory = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError now if `save_model` could not write to path later."""
    handle, temporary, _ = _temporary_beside(path)
    os.close(handle)
    os.unlink(temporary)


def _temporary_beside(path: str | os.PathLike[str]) -> tuple[int, str, Path]:
    """An open new file with the permissions that path would get, its name, and the name that it
    shall have: path, or what path as a link stands for. Nothing but a file may be replaced."""
    shown, path = str(Path(path)), Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(f"{shown!r} is a directory: name a file in it")
    if path.exists() and not path.is_file():
        raise OSError(f"{shown!r} is not a regular file: name another one")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        if os.name == "posix":
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
    except OSError as error:
        raise type(error)(
            f"cannot write {shown!r} ({error.strerror}): choose a file in a "
            "directory that exists and may be written to") from None
    return handle, name, path


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


def open_file(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """All tensors of a file of ours, and its JSON part."""
    shown = str(Path(path))
    if Path(path).is_dir():
        raise IsADirectoryError(f"{shown!r} is a directory: give the path of a checkpoint file")
    if not Path(path).exists():
        raise FileNotFoundError(f"no file {shown!r}: give the path of a checkpoint file")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if "fastrnn" not in metadata:
                raise ValueError(f"{shown!r} is a safetensors file, but fastrnn did not write it: "
                                 "give a fastrnn checkpoint")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{shown!r} is not a safetensors file, or is cut short ({error}): "
                         "use another copy of the checkpoint") from None
    except (TypeError, AttributeError) as error:  # a dtype that NumPy does not have
        raise ValueError(f"{shown!r} is a damaged checkpoint ({error}): use another copy") from None
    try:
        about = json.loads(metadata["fastrnn"])
        version = about["format_version"]
    except DAMAGE as error:
        raise damaged(path, error) from None
    if version not in READ_VERSIONS:
        raise ValueError(f"{shown!r} has format version {version}, and this fastrnn reads version "
                         f"{FORMAT_VERSION}: use the fastrnn that wrote it")
    return tensors, about


def read(path: str | os.PathLike[str]) -> tuple[Model, dict[str, NDArray[Any]], dict[str, Any]]:
    """The model, all tensors, and the JSON part of a checkpoint, checked against each other."""
    tensors, about = open_file(path)
    if "echo_state_network" in about:
        raise ValueError(f"{str(Path(path))!r} holds an echo state network, not a model: use "
                         "fastrnn.EchoStateNetwork.load")
    try:
        vocabulary = (Sizes(**about["sizes"]) if about["vocabulary"] is None
                      else Vocabulary.from_dict(about["vocabulary"]))
        config, dtype = about["model"], about["model"]["dtype"]
        if config["num_layers"] > len(tensors):  # nor may a number fill the memory
            raise ValueError(f"{config['num_layers']} layers in {len(tensors)} tensors")
        for name, shape in parameter_shapes(sizes_of(vocabulary), config).items():
            expect(tensors, name, shape, dtype)
        reservoir = None
        if config["cell"] == "esn":
            sizes = sizes_of(vocabulary)
            reservoir = Reservoir.from_tensors(
                {name.removeprefix("reservoir."): tensor for name, tensor in tensors.items()},
                config["leak_rate"], config["hidden_size"],
                sizes.input_symbols or sizes.input_size, 0, dtype)
        model = Model(vocabulary, **config, reservoir=reservoir)
        P = model.state.shape[1]
        streams, updates = 1, tensors["history.loss"].size
        if "trainer" in about:
            updates = about["trainer"]["counters"]["update"]
            expect(tensors, "best", model.block.shape, dtype)
            expect(tensors, "best_state", (1, P), dtype)
            streams = about["trainer"]["config"]["batch_size"]
            about["trainer"]["counters"]["best_update"]
        expect(tensors, "state", (streams, P), dtype)
        expect(tensors, "known", (tensors["known"].size,), "uint64")
        model.known = tensors["known"]
        validations, epochs = (tensors[f"history.{name}"].size
                               for name in ("valid_loss", "accuracy"))
        for name, kind in HISTORY.items():
            length = (validations if name.startswith("valid")
                      else epochs if name == "accuracy" else updates)
            expect(tensors, f"history.{name}", (length,), kind)
        seq_length = about["history"]["seq_length"]
        if seq_length is not None:
            positive_float("seq_length", seq_length)
        model.history = History(*(tensors[f"history.{name}"] for name in HISTORY),
                                seq_length=seq_length, measure=MEASURES[config["loss"]])
    except DAMAGE as error:
        raise damaged(path, error) from None
    for name, p in model.params.items():
        p[:] = tensors[name]
    model.state[:] = tensors["state"][:1]
    return model, tensors, about


def damaged(path: str | os.PathLike[str], error: Exception) -> ValueError:
    return ValueError(f"{str(path)!r} is a damaged checkpoint ({error!r}): use another copy")


def expect(tensors: dict[str, NDArray[Any]], name: str, shape: Any, dtype: str) -> None:
    """Raise ValueError unless the tensor is there with this shape and dtype."""
    found = tensors.get(name)
    if found is None:
        raise ValueError(f"tensor {name} is missing")
    if found.shape != shape or found.dtype != dtype:
        raise ValueError(f"tensor {name} is {found.dtype} {found.shape} and should be "
                         f"{dtype} {shape}")
