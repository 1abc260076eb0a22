"""The log of a training run: a file of JSON, a line for each event."""

import contextlib
import json
import math
import os
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from ..files.store import DAMAGE
from ..validate import positive_int
from .plan import NEVER

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FIRST = b'{"event": "'  # with which every line begins
LONGEST = 2**24  # bytes of a line
MEASURED = ("progress", "validation", "accuracy", "sample")  # of which an update has one


class Log:
    """Writes events to a file: a run that starts anew begins it anew, one that is resumed goes on
    in it. OSError if that is not possible; what cannot be written later is a warning."""

    def __init__(self, path: str | os.PathLike[str], overwrite: bool) -> None:
        self._path, self._shown = Path(path), str(Path(path))
        self._ours(overwrite)
        self._overwrite = overwrite
        self._file: BinaryIO | None = None
        self._size = 0  # of the whole lines
        self._failed = False

    def _ours(self, overwrite: bool) -> bool:
        """Whether there is a log that fastrnn wrote; OSError where it cannot be written, or is
        another file and not to be replaced."""
        path = self._path
        if path.is_dir():
            raise IsADirectoryError(f"log {self._shown!r} is a directory: name a file in it")
        if path.exists() and not path.is_file():
            raise OSError(f"log {self._shown!r} is not a regular file: name another one")
        new = not path.exists()
        try:
            with open(path, "r+b" if not new else "xb") as file:
                ours = new or file.read(len(FIRST)) in (b"", FIRST)
            if new:  # it begins with the run
                path.unlink()
        except OSError as error:
            raise type(error)(
                f"cannot write the log {self._shown!r} ({error.strerror}): choose a file in a "
                "directory that exists and may be written to") from None
        if not ours and not overwrite:
            raise FileExistsError(f"{self._shown!r} exists, and is not a log of fastrnn: name "
                                  "another file as log, or give overwrite=True to replace it")
        return ours

    def __call__(self, event: Any) -> None:
        if event.kind in ("started", "resumed"):
            self._open(event.kind == "resumed")
        if self._file is not None:
            self._write(line(event))
            if event.kind == "ended":
                self._file.close()
                self._file = None

    def _open(self, goes_on: bool) -> None:
        goes_on = self._ours(self._overwrite) and goes_on
        file = None
        try:
            file = open(self._path, "a+b", buffering=0)
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._size = whole_lines(file) if goes_on else 0
            file.truncate(self._size)  # a killed run may have left half a line
        except OSError as error:
            if file is not None:
                file.close()
            why = ("another run is writing it" if isinstance(error, BlockingIOError) else
                   error.strerror)
            raise type(error)(f"cannot write the log {self._shown!r} ({why}): name another "
                              "file") from None
        self._file = file
        self._failed = False

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        try:
            if self._file.write(data) != len(data):
                raise OSError("no room for a whole line")
            self._size += len(data)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
            if not self._failed:
                self._failed = True
                warnings.warn(f"cannot write the log {self._shown!r} "
                              f"({error.strerror or error}); the training goes on, and the log "
                              "lacks what happens meanwhile", stacklevel=8)


def line(event: Any) -> bytes:
    """An event as a line of JSON, in ASCII."""
    moment = datetime.fromtimestamp(event.time, UTC).isoformat(timespec="milliseconds")
    record = {"event": event.kind, "update": event.update, "time": moment,
              "seconds": round(event.seconds, 4)}
    return json.dumps(plain(record | event.values), allow_nan=False).encode() + b"\n"


def plain(value: Any) -> Any:
    """A value as JSON has it: what is not finite is None, what JSON does not know its text."""
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if hasattr(value, "item") and not getattr(value, "ndim", 1):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def whole_lines(file: BinaryIO) -> int:
    """The size of a file without the half of a line at its end."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - LONGEST)
    file.seek(start)
    return start + file.read(size - start).rfind(b"\n") + 1


def read_log(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The events in a log that count, as dicts. A run that was killed and resumed, or that went
    back after a divergence, has made some updates twice: of these the later ones count. Half a line
    at the end, which is being written, is left out.

    Parameters
    ----------
    path : str or path-like
        What training with ``log=path`` wrote.

    Returns
    -------
    list of dict
        Each has "event", its kind; "update", the number of updates made; "time", as a text in ISO
        8601; "seconds" since this call of `Trainer.run` began; and the values of the event
        (docs/guides/watching.md). ``pandas.DataFrame`` takes them.

    Raises
    ------
    OSError
        There is no such file, or it cannot be read.
    ValueError
        It is not a log of fastrnn.
    """
    reader = Reader(path)
    reader.more()
    return reader.events


class Reader:
    """Reads a log that may still grow: `more` reads what is new, `events` are those that count."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path, self._at, self._lines = Path(path), 0, 0  # bytes and lines that were read
        self.events: list[dict[str, Any]] = []

    def more(self) -> bool:
        """Read the new lines, and return whether there were any; a file that has become shorter is
        read anew."""
        path = self._path
        if not path.exists():
            raise FileNotFoundError(f"no file {str(path)!r}: give the path of a log, such as "
                                    "training with log='run.jsonl' writes")
        if not path.is_file():
            raise OSError(f"{str(path)!r} is not a regular file: give the path of a log")
        with open(path, "rb") as file:
            if not FIRST.startswith(file.read(len(FIRST))):
                raise ValueError(f"{str(path)!r} is not a log of fastrnn: give a file that "
                                 "training with log='run.jsonl' wrote")
            if file.seek(0, os.SEEK_END) < self._at:
                self._at, self._lines, self.events = 0, 0, []
            file.seek(self._at)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]
        self._at += len(new)
        for text in new.splitlines():
            self._lines += 1
            self._add(self._parsed(text))
        return bool(new)

    def _parsed(self, text: bytes) -> dict[str, Any]:
        try:
            event = json.loads(text)
            if not isinstance(event["event"], str):
                raise TypeError("the kind of an event is a text")
            positive_int("update", event["update"], 0, NEVER)
            return dict(event)
        except DAMAGE:
            raise ValueError(f"line {self._lines} of {str(self._path)!r} is no event of a training "
                             "run: the file is damaged, or not a log of fastrnn") from None

    def _add(self, event: dict[str, Any]) -> None:
        """Add an event, and forget those that it takes the place of."""
        kind, update = event["event"], event["update"]
        if self.events and update < self.events[-1]["update"]:
            self.events = [each for each in self.events if each["update"] <= update]
        same = len(self.events)
        while same and self.events[same - 1]["update"] == update:
            same -= 1
            if kind in MEASURED and self.events[same]["event"] == kind:
                del self.events[same]
        if kind == "started":
            self.events = []
        self.events.append(event)
