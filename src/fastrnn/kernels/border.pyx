"""The border between Python and the compiled bodies in csrc/: which of them run here, and the
addresses of the arrays that they are given.

Everything that comes in is checked in this package, once, so that the bodies can trust it; the GIL
is released around every call into them. csrc/fastrnn.h says what each body does. This is the only
module that is linked with them: the others take their addresses from `select`.
"""
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport int64_t

from fastrnn.kernels.c cimport (
    FASTRNN_MOST_LAYERS, FASTRNN_MOST_TENSORS, FASTRNN_RUN, FASTRNN_STRIP, fastrnn_cell,
    fastrnn_compiler, fastrnn_kernels, fastrnn_select,
)

import os
from typing import NamedTuple

import numpy as np

# Order as in the enums of csrc/fastrnn.h.
OPTIMIZERS = ("adagrad", "rmsprop", "adam", "sgd")
LOSSES = ("cross_entropy", "mean_squared_error", "binary_cross_entropy")
FUNCTIONS = ("exp", "tanh", "sigmoid", "rsqrt")
ISAS = ("baseline", "avx2", "avx512")
MOST_LAYERS = FASTRNN_MOST_LAYERS
RUN, STRIP = FASTRNN_RUN, FASTRNN_STRIP


class CellInfo(NamedTuple):
    """A row of the compiled table of cells (csrc/cells.h).

    Attributes
    ----------
    name : str
    gates, states : int
        Gates G, and arrays (H) of state that a layer carries.
    state_is_output, trained : bool
        Whether the first of these is the output of the layer; whether there is anything to learn.
    tensors : tuple of (name, rows, columns)
        Trained ones; rows and columns are "D", "H", "G" for G H numbers, or "1" for a vector.
    """

    name: str
    gates: int
    states: int
    state_is_output: bool
    trained: bool
    tensors: tuple


def _cell_table():
    cdef const fastrnn_cell *cell
    cdef int i
    rows = []
    while True:
        cell = fastrnn_select(b"baseline", 4).cell(len(rows))
        if cell == NULL:
            return tuple(rows)
        tensors = [(cell.tensors[i].name.decode(), chr(cell.tensors[i].rows),
                    chr(cell.tensors[i].columns))
                   for i in range(FASTRNN_MOST_TENSORS) if cell.tensors[i].name != NULL]
        rows.append(CellInfo(cell.name.decode(), cell.gates, cell.states,
                             bool(cell.state_is_output), bool(cell.trained), tuple(tensors)))


CELL_TABLE = _cell_table()
CELLS = tuple(cell.name for cell in CELL_TABLE)


def available_isas():
    """Names of the instruction sets that this build has and this processor runs."""
    return [isa for isa in ISAS if fastrnn_select(isa.encode(), 4) != NULL]


cdef const fastrnn_kernels *select(dtype) except NULL:
    """The kernels for a dtype; the environment variable FASTRNN_ISA names another variant."""
    cdef int size = np.dtype(dtype).itemsize
    cdef const fastrnn_kernels *kernels
    isa = os.environ.get("FASTRNN_ISA")
    if not isa:
        return fastrnn_select(NULL, size)
    name = isa.encode()
    kernels = fastrnn_select(name, size)
    if kernels == NULL:
        raise ImportError(
            f"FASTRNN_ISA={isa} does not run here: unset it, or choose one of "
            f"{', '.join(available_isas())}")
    return kernels


def running_isa():
    """The name of the instruction set that is in use."""
    return select(np.float32).isa.decode()


def lanes(dtype):
    """Numbers of this dtype in one vector register of the variant in use."""
    return select(dtype).lanes


def compiler():
    """The compiler that built the kernels."""
    return fastrnn_compiler().decode()


cdef void *data(array, dtype, int64_t size, name, bint written=True) except? NULL:
    """The address of an array that must be of this dtype and size, C-contiguous and, where it is
    written, writable. The caller keeps the array alive."""
    cdef Py_buffer view
    if isinstance(array, np.ndarray) and array.dtype == dtype and array.size == size:
        try:
            PyObject_GetBuffer(
                array, &view, PyBUF_C_CONTIGUOUS | (PyBUF_WRITABLE if written else 0))
        except (ValueError, BufferError):
            pass
        else:
            PyBuffer_Release(&view)
            return view.buf
    raise ValueError(f"{name} must be a writable, C-contiguous {np.dtype(dtype)} array of "
                     f"{size} elements")


cdef padded(array, dtype):
    """A copy like aligned_zeros."""
    copy = aligned_zeros(array.size, dtype)
    copy[:] = array.reshape(-1)
    return copy


def aligned_zeros(int64_t size, dtype):
    """A zero array whose first element lies at a multiple of 64 bytes, as vector loads like, and
    behind which 64 bytes more may be read."""
    item = np.dtype(dtype).itemsize
    raw = np.zeros(size * item + 128, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + size * item].view(dtype)
