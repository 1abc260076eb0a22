"""Tensors and JSON in one ``.safetensors`` file, written atomically and checked when read.

The JSON is under the metadata key ``fastrnn``. `fastrnn.model.storing`,
`fastrnn.training.checkpoint` and `EchoStateNetwork.save` say what tensors and JSON mean.
"""

import codecs
import contextlib
import json
import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

FORMAT_VERSION = 5
READ_VERSIONS = (4, 5)  # 5 added reservoirs
# exceptions that changed JSON or tensors can lead to
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)

Tensors = dict[str, NDArray[Any]]


def write(path: str | os.PathLike[str], tensors: Tensors, about: dict[str, Any]) -> None:
    """Write a temporary file in the same directory, sync it, and rename it to `path`, so that a
    crash leaves either the old file or the new one."""
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
    if os.name == "posix":  # sync the new name too, where the system can
        with contextlib.suppress(OSError):
            directory = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError now if `write` could not write to path later."""
    handle, temporary, _ = _temporary_beside(path)
    os.close(handle)
    os.unlink(temporary)


def _temporary_beside(path: str | os.PathLike[str]) -> tuple[int, str, Path]:
    """A new open file with the permissions of `path`, its name, and `path` with links resolved;
    OSError if `path` is something else than a file."""
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
        raise type(error)(f"cannot write {shown!r} ({error.strerror}): choose a file in a "
                          "directory that exists and may be written to") from None
    return handle, name, path


def read(path: str | os.PathLike[str]) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the JSON of a file that `write` wrote."""
    shown = str(Path(path))
    if Path(path).is_dir():
        raise IsADirectoryError(f"{shown!r} is a directory: give the path of a checkpoint file")
    if not Path(path).exists():
        raise FileNotFoundError(f"no file {shown!r}: give the path of a checkpoint file")
    if not Path(path).is_file():  # a pipe could be waited for without end
        raise OSError(f"{shown!r} is not a regular file: give the path of a checkpoint file")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if "fastrnn" not in metadata:
                raise ValueError(f"{shown!r} is a safetensors file, but fastrnn did not write it: "
                                 "give a fastrnn checkpoint")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        if _is_text(path):
            raise ValueError(f"{shown!r} is a text, not a trained model: train one on it first, "
                             f"fastrnn train {shlex.quote(shown)}") from None
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


def _is_text(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins like a text in UTF-8, and not like a checkpoint, which has zeros in its
    first 8 bytes."""
    with open(path, "rb") as file:
        start = file.read(4096)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return len(start) >= 8 and not re.search(rb"[\0-\x08\x0e-\x1f]", start)


def damaged(path: str | os.PathLike[str], error: Exception) -> ValueError:
    return ValueError(f"{str(path)!r} is a damaged checkpoint ({error!r}): use another copy")


def expect(tensors: Tensors, name: str, shape: Any, dtype: Any) -> None:
    """Raise ValueError unless the tensor is there with this shape and dtype."""
    found = tensors.get(name)
    if found is None:
        raise ValueError(f"tensor {name} is missing")
    if found.shape != shape or found.dtype != dtype:
        raise ValueError(f"tensor {name} is {found.dtype} {found.shape} and should be {dtype} "
                         f"{shape}")
