"""A teacher: a trained model whose probabilities another one learns beside the text.

The gradient is that of the cross-entropy with (1 - w) target + w q instead of the target alone, q
being the teacher's probabilities and w `teacher_weight` (Hinton, Vinyals and Dean 2015,
"Distilling the knowledge in a neural network", with their temperature at 1).
"""

import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ..data.source import Reading, time_major
from ..kernels.blas import one_thread, threads_for
from ..kernels.memory import check_memory
from ..model.ensemble import Average
from ..model.model import Model
from .checkpoint import load

STREAMS, STEPS = 16, 256  # in which a teacher reads
Part = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any] | None]


class Teacher:
    """A trained model, or the average of several, whose vocabulary is that of `model`; ValueError
    or TypeError if it cannot teach it, OSError if its file cannot be read."""

    def __init__(self, given: Any, model: Model) -> None:
        path = given if isinstance(given, str | os.PathLike) else None
        teacher = given if path is None else load(path)
        if not isinstance(teacher, Model | Average):
            raise TypeError("teacher must be the file of a model, a fastrnn.Model or a "
                            f"fastrnn.average of some, not {type(given).__name__}")
        if model.vocabulary is None or model.config["loss"] != "cross_entropy":
            raise ValueError("a teacher is for models of texts or records with the loss "
                             '"cross_entropy": leave teacher out')
        average = teacher if isinstance(teacher, Average) else Average([teacher])
        first = average.models[0]
        if first.vocabulary != model.vocabulary or first.config["labels"] != model.config["labels"]:
            raise ValueError("the teacher has other symbols or labels than the model that it is to "
                             f"teach ({first!r} and {model!r}): train both on the same data")
        self._parts = list(zip(average.models, average.weights, strict=True))
        name = "a model" if path is None else str(Path(path))
        checksum = 0
        for taught in average.models:
            checksum = zlib.crc32(taught.block.tobytes(), checksum)
        self.stored = {"name": name, "checksum": checksum}  # for a checkpoint

    def beside(self, reading: Reading, model: Model) -> Reading:
        """The reading with the teacher's probabilities, ``teacher`` (steps, K), after each step:
        those of a text read with the state carried, of records each from the zero state."""
        ids = reading.arrays["ids"]
        shape, dtype = (len(ids), model.sizes.outputs), model.block.dtype
        check_memory(2 * dtype.itemsize * len(ids) * shape[1], "the teacher's probabilities of "
                     f"{shape[1]:,} symbols after each of {len(ids):,}", "less data, or train "
                     "without a teacher")
        found = np.zeros(shape, dtype)
        for teacher, weight in self._parts:
            for at, out in _outputs(teacher, reading):
                found[at] += weight * softmax(out, axis=-1)
        return replace(reading, arrays=reading.arrays | {"teacher": found})


def taught(reading: Reading, model: Model,
           teacher: Any) -> tuple[Reading, dict[str, Any] | None]:
    """The reading with the probabilities of a teacher, and what a checkpoint stores of it; both as
    they were where `teacher` is None."""
    if teacher is None:
        return reading, None
    by = Teacher(teacher, model)
    return by.beside(reading, model), by.stored


def _outputs(teacher: Model,
             reading: Reading) -> Iterator[tuple[NDArray[np.intp], NDArray[Any]]]:
    """The teacher's scores (n, K) after all steps, and which steps (n,) they are of."""
    ids = reading.arrays["ids"]
    for starts, lengths, labels in _rows(teacher, reading):
        state = teacher.zero_state(len(starts))
        kernel = teacher.network(STEPS, len(starts))
        for first in range(0, int(lengths.max()), STEPS):
            left = np.clip(lengths - first, 0, STEPS)
            T = int(left.max())
            inside = np.arange(T) < left[:, None]  # (N, T)
            at = np.where(inside, starts[:, None] + first + np.arange(T), 0)
            out = np.empty((*at.shape, teacher.sizes.outputs), teacher.block.dtype)
            with one_thread():
                kernel.unroll(teacher.block, time_major(ids[at].astype(np.int32)), state, out=out,
                              mask=np.ascontiguousarray(inside.T, np.uint8), lengths=left,
                              labels=labels, threads=threads_for(None))
            yield at[inside], out[inside]


def _rows(teacher: Model, reading: Reading) -> Iterator[Part]:
    """Starts (N,), lengths (N,) and label probabilities (N, C) of rows that are read together."""
    ids, names = reading.arrays["ids"], teacher.config["labels"]
    starts, lengths, labels = (reading.order(np.random.default_rng(0)) if reading.order
                               else (None, None, None))[:3]
    if starts is None or lengths is None:  # a text
        ends = np.linspace(0, len(ids), max(1, min(STREAMS, len(ids) // STEPS)) + 1, dtype=np.int64)
        yield ends[:-1], np.diff(ends), None
        return
    by_length = np.argsort(lengths, kind="stable")
    by_length = by_length[lengths[by_length] > 0]
    for some in np.array_split(by_length, max(1, len(by_length) // STREAMS)):
        one_hot = None if names is None or labels is None else np.eye(
            len(names), dtype=teacher.block.dtype)[labels[some]]
        yield starts[some], lengths[some], one_hot


def same_teacher(path: str | os.PathLike[str], stored: Mapping[str, Any] | None,
                 given: Any, model: Model) -> None:
    """Raise ValueError unless the teacher of a run that is continued or repeated is the one of the
    file, where `stored` are its name and the checksum of its parameters."""
    if stored is None and given is not None:
        raise ValueError(f"{str(path)!r} was trained without a teacher: leave teacher out, or "
                         "start afresh")
    if stored is not None and (given is None
                               or Teacher(given, model).stored["checksum"] != stored["checksum"]):
        raise ValueError(f"{str(path)!r} was trained with the teacher {stored['name']!r}: teacher "
                         "must be that model again")
