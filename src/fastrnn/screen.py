"""What is printed: harmless on a terminal, and no reason to lose a training."""

import contextlib
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from .kernels.team import no_fork

# C0 but for tab and line feed, DEL, C1, the characters that turn the direction of writing, and
# surrogates, which some streams write as single bytes
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)"
                      r"|[\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


_quiet = threading.RLock()


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """A context in which nothing warns, for one thread at a time: the filters of warnings belong to
    the process, and of two threads that change them the last to end would leave those of the
    other."""
    with no_fork, _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def safe(text: str, stream: TextIO) -> str:
    r"""The text as it may be printed to a stream.

    A terminal obeys control characters: a text, a label or a file name could set its title, fill
    the clipboard or hide what it says. There they become visible, such as ``\x1b``; a file or a
    pipe gets the text as it is."""
    return escaped(text) if is_terminal(stream) else text


def escaped(text: str) -> str:
    r"""The text with its control characters made visible, such as ``\x1b``."""
    return CONTROLS.sub(lambda found: _escape(ord(found[0])), text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal."""
    return stream is not None and hasattr(stream, "isatty") and stream.isatty()


def show(text: object, *, end: str = "\n", error: bool = False, needed: bool = True,
         harmless: bool = False) -> None:
    """Print a text, `safe`, at once; everything that fastrnn prints goes through here. One that is
    `harmless` is printed as it is: `escaped`, then with colours.

    It goes to standard output, or to standard error for an `error` or a note; where a program has
    no such stream, nowhere. OSError if standard output cannot be written and the text is `needed`:
    a training goes on without showing it. BrokenPipeError if its reader has left."""
    stream = sys.stderr if error else sys.stdout
    if stream is None or getattr(stream, "closed", False):  # print would take the other one
        return
    try:
        whole = f"{text}{end}"
        print(whole if harmless else safe(whole, stream), end="", file=stream, flush=True)
    except BrokenPipeError:
        if not error:
            raise
    except OSError as failure:
        if needed and not error:
            raise OSError(f"standard output cannot be written ({failure.strerror}): make room "
                          "there, or send it elsewhere") from None


class Unfailing:
    """A stream for a progress bar. What cannot be written is left out, because a full disk must
    not end a training; only that its reader has left is an error."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._call("write", text)

    def flush(self) -> None:
        self._call("flush")

    def _call(self, name: str, *arguments: str) -> None:
        try:
            if self._stream is not None:
                getattr(self._stream, name)(*arguments)
        except BrokenPipeError:
            raise
        except OSError:
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
