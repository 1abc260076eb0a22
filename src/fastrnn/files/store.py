"""Tensors and JSON in one ``.safetensors`` file, written atomically and checked when read.

The JSON is under the metadata key ``fastrnn``. `fastrnn.model.storing`,
`fastrnn.training.checkpoint` and `EchoStateNetwork.save` say what tensors and JSON mean.
"""

import codecs
import contextlib
import io
import json
import math
import os
import re
import secrets
import shlex
from collections.abc import Callable, Iterator
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FORMAT_VERSION = 7
READ_VERSIONS = (4, 5, 6, 7)  # 5 added reservoirs, 6 on_divergence, 7 what is in CHANGELOG
TEMPORARY = ".fastrnn.tmp"  # end of the names of files that are being written
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
# exceptions that changed JSON or tensors can lead to
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
# safetensors' names of the dtypes that `write` writes
DTYPES = {"F32": "float32", "F64": "float64", "I32": "int32", "I64": "int64", "U64": "uint64"}
MOST_VALUES, DEEPEST = 10_000, 20  # in JSON beside small tensors; lists and objects in each other

Tensors = dict[str, NDArray[Any]]


def write(path: str | os.PathLike[str], tensors: Tensors, about: dict[str, Any], *,
          overwrite: bool = False) -> None:
    """Write a temporary file in the same directory, sync it, and rename it to `path`, so that a
    crash leaves either the old file or the new one. Tensors go into the file one by one, without a
    copy of all of them in memory.

    Raises OSError, with the old file unchanged, if the system cannot write it, or if fastrnn did
    not write the old one, unless `overwrite`."""
    with replacing(path, overwrite) as file:
        for part in _parts(tensors, about):
            file.write(part)


def packed(tensors: Tensors, about: dict[str, Any]) -> bytes:
    """The bytes that `write` writes, of which `unpacked` makes the same again."""
    return b"".join(_parts(tensors, about))


def _parts(tensors: Tensors, about: dict[str, Any]) -> Iterator[Any]:
    """The bytes of a file, one tensor after the other."""
    # the largest items first, so that all are aligned
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))
    about = {"format_version": FORMAT_VERSION} | about
    yield _header(ordered, {"fastrnn": json.dumps(about)})
    for _, array in ordered:
        yield np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data


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


def begins_with(path: str | os.PathLike[str], *marks: bytes, within: int = 2048) -> bool:
    """Whether there is such a file, with one of the marks in so many of its first bytes."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        start = file.read(within)
    return any(mark in start for mark in marks)


def existing(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """The path or, where only that is a file, the one that the command line completes it to."""
    completed = f"{os.fsdecode(path)}.safetensors"
    return completed if not Path(path).exists() and Path(completed).is_file() else path


def read(path: str | os.PathLike[str]) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the JSON of a file that `write` wrote.

    Nothing in the file is believed: every size is compared with that of the file before memory is
    taken for it. OSError for a file that cannot be read, ValueError for one that is no checkpoint.
    """
    tensors, about = _opened(existing(path), False)
    assert about is not None
    return tensors, about


def _opened(path: str | os.PathLike[str], foreign: bool) -> tuple[Tensors, dict[str, Any] | None]:
    """`read`, or where `foreign` `read_any`."""
    shown = str(Path(path))
    if Path(path).is_dir():
        raise IsADirectoryError(f"{shown!r} is a directory: give the path of a checkpoint file")
    if not Path(path).exists():
        raise FileNotFoundError(f"no file {shown!r}: give the path of a checkpoint file")
    if not Path(path).is_file():  # to open a pipe would wait for its writer
        raise OSError(f"{shown!r} is not a regular file: give the path of a checkpoint file")
    try:
        with open(path, "rb") as file:
            return _read(shown, file, os.fstat(file.fileno()).st_size, foreign)
    except MemoryError:
        raise OSError(f"{shown!r} is larger than the memory that is left: close other programs, or "
                      "use a machine with more") from None


def read_any(path: str | os.PathLike[str]) -> tuple[Tensors, dict[str, Any] | None]:
    """The tensors of any safetensors file of `DTYPES`, and the JSON, or None where fastrnn did not
    write it; as carefully as `read`."""
    return _opened(path, True)


def unpacked(data: bytes, name: str) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the JSON of what `packed` returned, as carefully as `read`; `name` is for
    messages. ValueError for other bytes."""
    tensors, about = _read(name, io.BytesIO(data), len(data))
    assert about is not None
    return tensors, about


def _read(
    shown: str, file: BufferedReader | io.BytesIO, length: int, foreign: bool = False
) -> tuple[Tensors, dict[str, Any] | None]:
    """`read`, or where `foreign` `read_any`, from an open file of this length."""
    try:
        header, size = _read_header(file, length)
        metadata = header.pop("__metadata__", None)
        ours = isinstance(metadata, dict) and "fastrnn" in metadata
        if foreign and not ours:
            _check_types(shown, header)
        layout = _layout(header, size) if ours or foreign else {}
    except _Unreadable as error:
        raise ValueError(str(error)) from None
    except DAMAGE as error:
        if _is_text(file):
            raise ValueError(f"{shown!r} is a text, not a trained model: train one on it first, "
                             f"fastrnn train {shlex.quote(shown)}") from None
        raise ValueError(f"{shown!r} is not a safetensors file, or is cut short ({short(error)}): "
                         "use another copy of the checkpoint") from None
    if not ours and not foreign:
        raise ValueError(f"{shown!r} is a safetensors file, but fastrnn did not write it: give a "
                         "fastrnn checkpoint, or make one of it with fastrnn import")
    about = _about(shown, metadata["fastrnn"], size) if ours else None
    tensors = {}
    for name, (dtype, shape) in layout.items():
        try:
            tensors[name] = array = np.empty(shape, dtype)
        except ValueError as error:  # an axis beyond all bounds beside one of 0
            raise damaged(shown, error) from None
        if file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
            raise ValueError(f"{shown!r} became shorter while it was read: use another copy")
    return tensors, about


def _about(shown: str, text: Any, size: int) -> dict[str, Any]:
    """The JSON of a file with so many bytes of tensors."""
    try:
        about: dict[str, Any] = parsed(text, size)
        version = about["format_version"]
    except DAMAGE as error:
        raise damaged(shown, error) from None
    if version not in READ_VERSIONS:
        raise ValueError(f"{shown!r} has format version {version}, and this fastrnn reads version "
                         f"{FORMAT_VERSION}: use the fastrnn that wrote it")
    return about


class _Unreadable(Exception):
    """A file is what it should be, and has what fastrnn does not read."""


def _check_types(shown: str, header: dict[str, Any]) -> None:
    """Raise _Unreadable for a tensor of a type of safetensors that is not in `DTYPES`."""
    for name, entry in header.items():
        kind = entry["dtype"]
        if kind not in DTYPES and isinstance(kind, str) and len(kind) < 20:
            raise _Unreadable(f"{shown!r}: tensor {short(name)} is of {short(kind)}, and fastrnn "
                              f"reads {', '.join(DTYPES)}: convert the module with .float() first")


def _read_header(
    file: BufferedReader | io.BytesIO, whole: int
) -> tuple[dict[str, Any], int]:
    """The JSON at the start of a safetensors file of so many bytes, and how many follow it."""
    size = whole - 8
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= size:
        raise ValueError(f"a header of {length} bytes in a file of {size + 8}")
    header = parsed(file.read(length).decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError("the header is no JSON object")
    return header, size - length


def _layout(header: dict[str, Any], size: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The dtype and shape of each tensor by name, in the order of the file; ValueError unless they
    fill its `size` bytes of data without gaps."""
    layout, end = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape = DTYPES.get(entry["dtype"], ""), tuple(entry["shape"])
        start, stop = entry["data_offsets"]
        numbers = (*shape, start, stop)
        if not dtype or not all(type(n) is int and n >= 0 for n in numbers) or len(shape) > 8:
            raise ValueError(f"tensor {short(name)} has no valid dtype, shape and place")
        if start != end or stop - start != prod(shape) * np.dtype(dtype).itemsize:
            raise ValueError(f"tensor {short(name)} is not where and as large as it should be")
        layout[name], end = (dtype, shape), stop
    if end != size:
        raise ValueError(f"tensors of {end} bytes in {size}")
    return layout


def parsed(text: str, size: int = 0) -> Any:
    """JSON with no more values than belong to tensors of `size` bytes, not nested deeply, whose
    numbers are finite and of usual lengths, and whose objects have each key once; ValueError for
    any other. Python's values take more memory than their text: they are counted beforehand."""
    values = lists = depth = 0
    for token in TOKEN.finditer(text):
        match token[1]:
            case ",":
                values += 1
            case "[" | "{":
                lists, depth = lists + 1, depth + 1
            case _:
                depth -= 1
        # each symbol and label has numbers of its own in the tensors, each 16 streams a generator
        if values > MOST_VALUES + size // 4 or lists > MOST_VALUES + size // 32:
            raise ValueError("the JSON has more values than that of a checkpoint")
        if depth > DEEPEST:
            raise ValueError("the JSON is nested more deeply than that of a checkpoint")
    return DECODER.decode(text)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; ValueError for a key that comes twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice in the JSON")
    return found


def _number(kind: type) -> Callable[[str], Any]:
    """A function from the text of a JSON number to a finite int or float."""
    def parse(text: str) -> Any:
        if len(text) > 50 or not math.isfinite(value := kind(text)):  # NaN and Infinity too
            raise ValueError(f"{short(text)} is no number of a checkpoint")
        return value

    return parse


# the next comma or bracket outside the texts, which may have no end; the quantifiers are
# possessive, so that the time grows only with the length
TOKEN = re.compile(r'(?:[^"\[\]{},]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"?)*+([\[\]{},]|\Z)', re.DOTALL)
DECODER = json.JSONDecoder(object_pairs_hook=_distinct, parse_int=_number(int),
                           parse_float=_number(float), parse_constant=_number(float))


def _is_text(file: BufferedReader | io.BytesIO) -> bool:
    """Whether a file begins like a text in UTF-8, and not like a checkpoint, which has zeros in its
    first 8 bytes."""
    file.seek(0)
    start = file.read(4096)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return len(start) >= 8 and not re.search(rb"[\0-\x08\x0e-\x1f]", start)


def damaged(path: str | os.PathLike[str], error: Exception) -> ValueError:
    return ValueError(f"{str(path)!r} is a damaged checkpoint ({short(error)}): use another copy")


def short(value: Any) -> str:
    """The repr of a value from a file, which may be long, cut for a message; of bytes that are no
    text what is wrong with them."""
    shown = str(value) if isinstance(value, UnicodeDecodeError) else repr(value)
    return shown if len(shown) <= 500 else f"{shown[:500]}..."


def expect(tensors: Tensors, name: str, shape: Any, dtype: Any) -> None:
    """Raise ValueError unless the tensor is there with this shape and dtype."""
    found = tensors.get(name)
    if found is None:
        raise ValueError(f"tensor {name} is missing")
    if found.shape != shape or found.dtype != dtype:
        raise ValueError(f"tensor {name} is {found.dtype} {found.shape} and should be {dtype} "
                         f"{shape}")
