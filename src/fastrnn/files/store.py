"""Tensors and JSON in one ``.safetensors`` file, written atomically and checked when read.

The JSON is under the metadata key ``fastrnn``. `fastrnn.model.storing`,
`fastrnn.training.checkpoint` and `EchoStateNetwork.save` say what tensors and JSON mean.
"""

import codecs
import contextlib
import json
import os
import re
import secrets
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FORMAT_VERSION = 6
READ_VERSIONS = (4, 5, 6)  # 5 added reservoirs, 6 on_divergence
TEMPORARY = ".fastrnn.tmp"  # end of the names of files that are being written
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
# exceptions that changed JSON or tensors can lead to
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)

Tensors = dict[str, NDArray[Any]]


def write(path: str | os.PathLike[str], tensors: Tensors, about: dict[str, Any], *,
          overwrite: bool = False) -> None:
    """Write a temporary file in the same directory, sync it, and rename it to `path`, so that a
    crash leaves either the old file or the new one. Tensors go into the file one by one, without a
    copy of all of them in memory.

    Raises OSError, with the old file unchanged, if the system cannot write it, or if fastrnn did
    not write the old one, unless `overwrite`."""
    about = {"format_version": FORMAT_VERSION} | about
    with replacing(path, overwrite) as file:
        # the largest items first, so that all are aligned
        ordered = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))
        file.write(_header(ordered, {"fastrnn": json.dumps(about)}))
        for _, array in ordered:
            file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)


def _header(tensors: list[tuple[str, NDArray[Any]]], metadata: dict[str, str]) -> bytes:
    """The start of a safetensors file: its length, and JSON that says where each tensor lies."""
    entries: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, array in tensors:
        begin, end = end, end + array.nbytes
        entries[name] = {"dtype": f"{array.dtype.kind.upper()}{8 * array.itemsize}",
                         "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[BinaryIO]:
    """A context with a new file that becomes `path` at its end, if no error comes before."""
    handle, temporary, target = _temporary_beside(path, overwrite)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OSError(f"cannot write {str(Path(path))!r} ({error.strerror}); an earlier file "
                          "of this name is unchanged: make room, or name a file elsewhere"
                          ) from error
        raise
    if os.name == "posix":  # sync the new name too, where the system can
        with contextlib.suppress(OSError):
            directory = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)


def check_writable(path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Raise OSError now if `write` could not write to path later. Removes what earlier runs that
    were killed while they wrote have left in this directory."""
    handle, temporary, target = _temporary_beside(path, overwrite)
    os.close(handle)
    os.unlink(temporary)
    for name in os.listdir(target.parent):
        if name.startswith(".") and name.endswith(TEMPORARY):
            with contextlib.suppress(OSError):  # another process has removed it, or it is not ours
                _remove_if_left(target.parent / name)


def _remove_if_left(path: Path) -> None:
    """Remove a temporary file unless a process is writing it. OSError if there is one, or where
    this cannot be known."""
    handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    try:
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    finally:
        os.close(handle)
    if not fcntl:
        os.unlink(path)  # Windows refuses that while the file is open


def _temporary_beside(path: str | os.PathLike[str], overwrite: bool) -> tuple[int, str, Path]:
    """A new open file with the permissions of `path`, its name, and `path` with links resolved;
    OSError if `path` is something else than a file, or not to be replaced."""
    shown, path = str(Path(path)), Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(f"{shown!r} is a directory: name a file in it")
    if path.exists() and not path.is_file():
        raise OSError(f"{shown!r} is not a regular file: name another one")
    try:
        if not overwrite and path.exists() and not is_ours(path):
            raise FileExistsError(f"{shown!r} exists, and fastrnn did not write it: name another "
                                  "file, or give overwrite=True to replace it")
        mode = path.stat().st_mode & 0o777 if path.exists() else None
        while True:
            name = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
            # the system applies the umask of the process
            handle = os.open(name, NEW_FILE, 0o666 if mode is None else mode)
            if fcntl:
                with contextlib.suppress(OSError):  # not on every file system
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if mode is not None:
                    os.fchmod(handle, mode)
            if name.exists():  # else a run that starts has just removed it
                return handle, str(name), path
            os.close(handle)
    except FileExistsError:
        raise
    except OSError as error:
        raise type(error)(f"cannot write {shown!r} ({error.strerror}): choose a file in a "
                          "directory that exists and may be written to") from None


def is_ours(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file, and fastrnn wrote it, as far as its beginning shows. An empty
    one counts too: it has nothing to lose."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        start = file.read(min(length, 2**20))
    return not length or (start.startswith(b'{"__metadata__"') and b'"fastrnn"' in start)


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
