"""The events of a training run for TensorBoard, where tensorboardX is installed."""

import contextlib
import json
import math
import os
import secrets
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .log import plain

# what TensorBoard calls the numbers of events
NAMES = {("progress", "loss"): "loss/training", ("progress", "smoothed_loss"): "loss/smoothed",
         ("progress", "learning_rate"): "learning_rate",
         ("progress", "gradient_norm"): "gradient_norm",
         ("progress", "predictions_per_second"): "predictions_per_second",
         ("progress", "epoch"): "epoch", ("validation", "loss"): "loss/validation",
         ("accuracy", "accuracy"): "accuracy"}

FLUSH = 2.0  # seconds between what is written to the disk
RETRY = 10.0  # seconds after an error until the next attempt to write


class TensorBoard:
    """Writes events into a file in a directory, which is made. A run that starts, or goes back,
    hides what the directory has of updates from there on. ImportError without tensorboardX, OSError
    where the directory cannot be written; what cannot be written later is a warning."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        try:
            from tensorboardX import summary
            from tensorboardX.proto import event_pb2
            from tensorboardX.record_writer import RecordWriter
        except ImportError:
            raise ImportError('tensorboard needs tensorboardX: pip install '
                              '"fastrnn[tensorboard]"') from None
        self._summary, self._writer, self._proto = summary, RecordWriter, event_pb2
        self._directory, self._failed = Path(directory), False
        self._file: Any = None
        self._flush = 0.0  # when to write to the disk
        self._next = 0.0  # when to write again, after an error
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            probe = self._directory / f".{secrets.token_hex(4)}.fastrnn.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise type(error)(
                f"tensorboard: cannot write into {str(self._directory)!r} ({error.strerror}): name "
                "a directory that may be written to") from None

    def __call__(self, event: Any) -> None:
        if time.monotonic() < self._next:
            return
        try:
            if self._file is None:
                # files are read in the order of their names. It is written at once, not in a
                # thread: an error comes out, and a fork does no harm
                self._file = self._writer(os.path.join(
                    self._directory, f"events.out.tfevents.{time.time_ns()}.fastrnn"))
                self._add(event, file_version="brain.Event:2")
            if event.kind in ("started", "resumed", "diverged"):
                self._hide(event)
            for summary in self._summaries(event):
                self._add(event, summary=summary)
            if time.monotonic() >= self._flush:
                self._file.flush()  # to the disk, which may take its time
                self._flush = time.monotonic() + FLUSH
            if event.kind == "ended":
                self._close()
        except OSError as error:
            with contextlib.suppress(OSError):
                self._close()  # what comes later needs a file of its own
            self._next = time.monotonic() + RETRY
            if not self._failed:
                self._failed = True
                warnings.warn(f"cannot write for TensorBoard into {str(self._directory)!r} "
                              f"({error.strerror}); the training goes on, and TensorBoard lacks "
                              "what happens meanwhile", stacklevel=7)

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _summaries(self, event: Any) -> Iterator[Any]:
        """What TensorBoard gets of an event."""
        for name, value in event.values.items():
            if (event.kind, name) in NAMES and math.isfinite(value):
                yield self._summary.scalar(NAMES[event.kind, name], value)
        if event.kind == "sample":
            yield self._summary.text("sample", _verbatim(event.values["text"]))
        elif event.kind in ("started", "resumed"):
            yield self._summary.text("run", _verbatim(json.dumps(plain(event.values), indent=2)))

    def _hide(self, event: Any) -> None:
        """Hide what was written of later updates, and where a run starts of all."""
        started = self._proto.SessionLog(status=self._proto.SessionLog.START)
        step = event.update + (event.kind != "started")
        self._add(event, step=step, session_log=started)

    def _add(self, event: Any, **what: Any) -> None:
        record = self._proto.Event(**({"wall_time": event.time, "step": event.update} | what))
        self._file.write(record.SerializeToString())


def _verbatim(text: str) -> str:
    """Markdown that shows a text as it is."""
    shown = text.encode("utf-8", "replace").decode()
    return "\n".join(f"    {line}" for line in shown.splitlines())
