"""Reading whole text files, with errors that say what to do."""

import errno
import os
import stat
import sys
import time
from typing import BinaryIO

from .encodings import decoded
from .files import STDIN, base_name, check_is_text, is_url

WAIT = 1.0  # seconds for the program that writes to a named pipe to open it


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """A whole file, or all that comes from a pipe; "-" is standard input."""
    if path == STDIN:
        return _from_stdin()
    file = os.fsdecode(path)
    try:
        with open(file, "rb", opener=_open) as stream:
            kind = os.fstat(stream.fileno()).st_mode
            if stat.S_ISFIFO(kind):
                return _from_pipe(stream, path)
            if not stat.S_ISREG(kind):  # such as /dev/zero, which has no end
                raise OSError(errno.ENXIO, "")
            return stream.read()
    except (OSError, ValueError) as error:  # ValueError: a null character, a lone surrogate
        if os.path.isdir(file):
            raise IsADirectoryError(f"{_shown(path)} is a directory: give the path of one text "
                                    "file in it") from None
        if isinstance(error, PermissionError):
            raise PermissionError(f"{_shown(path)} may not be read: change its permissions, or "
                                  "give a copy that may") from None
        if isinstance(error, OSError) and error.errno == errno.ENXIO:  # opening a socket
            raise OSError(f"{_shown(path)} is a device or a socket: give the path of a text "
                          "file, or of a pipe") from None
        # a text given as a path by mistake leads to the last two, or to ValueError
        nowhere = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL)
        if isinstance(error, ValueError) or error.errno in nowhere:
            hint = ("" if isinstance(path, os.PathLike) else
                    "; a text itself goes to Corpus.from_text")
            if is_url(file):
                hint = ", and download what has an address in the web, such as with curl -O"
            raise FileNotFoundError(f"no file {_shown(path)}: check the path{hint}") from None
        raise


def _from_stdin() -> bytes:
    """All that comes on standard input."""
    stream = sys.stdin
    if stream is None or stream.closed:
        raise OSError('there is no standard input to read for "-": give the path of a file')
    data = stream.buffer.read() if hasattr(stream, "buffer") else stream.read().encode()
    if not data:
        raise ValueError("standard input is empty: send a text, such as with zcat book.gz | "
                         "fastrnn train -")
    return data


def _open(file: str, flags: int) -> int:
    """Open a file; a named pipe that no program writes to is not waited for."""
    return os.open(file, flags | getattr(os, "O_NONBLOCK", 0))


def _from_pipe(stream: BinaryIO, path: str | os.PathLike[str]) -> bytes:
    """All that comes from a pipe; OSError if no program writes to it."""
    file, start = stream.fileno(), b""
    end = time.monotonic() + WAIT
    try:
        while not start and time.monotonic() < end:
            start = os.read(file, 1)  # nothing where no program has the other end open
            time.sleep(0 if start else 0.01)
    except BlockingIOError:  # one has, and has not written yet
        pass
    else:
        if not start:
            raise OSError(f"{_shown(path)} is a pipe that no program writes to: start that "
                          "program first, or give the path of a text file")
    os.set_blocking(file, True)
    return start + stream.read()


def read_text(path: str | os.PathLike[str], encoding: str | None = None) -> str:
    """A file as text, `decoded`."""
    data = read_bytes(path)
    check_is_text(data, base_name(path))
    return decoded(data, _shown(path), encoding)


def _shown(path: str | os.PathLike[str]) -> str:
    """The path in quotes, shortened if it is too long to be one."""
    file = os.fsdecode(path)
    return repr(file if len(file) <= 300 else file[:60] + "...")
