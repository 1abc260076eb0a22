"""Between Python and the compiled C of csrc/: which variant of it runs here, and the addresses of
the arrays that it is given.

Everything that comes in is checked in this package, once, so that the C functions can trust it; the
GIL is released around every call that takes long. csrc/fastrnn.h says what each does. Only this
module is linked with them: the others take their addresses from `select`.
"""
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport int64_t

from fastrnn.kernels.c cimport (
    FASTRNN_MOST_LAYERS, FASTRNN_MOST_TENSORS, FASTRNN_RUN, FASTRNN_STRIP, address, fastrnn_cell,
    fastrnn_compiler, fastrnn_kernels, fastrnn_select,
)

import os
from typing import NamedTuple

import numpy as np

# Order as in the enums of csrc/fastrnn.h.
OPTIMIZERS = ("adagrad", "rmsprop", "adam", "sgd", "dynamic")
LOSSES = ("cross_entropy", "mean_squared_error", "binary_cross_entropy")
FUNCTIONS = ("exp", "tanh", "sigmoid", "rsqrt")
PRECISIONS = ("float32", "float64", "mixed_bfloat16")
# the last two are for mixed_bfloat16 alone: with them the other precisions run on avx512
ISAS = ("baseline", "avx2", "avx512", "avx512_bf16", "amx")
MOST_LAYERS = FASTRNN_MOST_LAYERS
RUN, STRIP = FASTRNN_RUN, FASTRNN_STRIP


class CellInfo(NamedTuple):
    """A row of the compiled table of cells (csrc/cells.h)."""

    name: str
    gates: int  # G
    states: int  # arrays (H) of state that a layer carries
    state_is_output: bool  # whether the first of them is the layer's output
    trained: bool  # whether the cell has parameters
    tensors: tuple  # name, rows, columns of each: csrc/fastrnn.h has the letters


def _cell_table():
    cdef const fastrnn_cell *cell
    cdef int i
    rows = []
    while True:
        cell = fastrnn_select(b"baseline", 0).cell(len(rows))
        if cell == NULL:
            return tuple(rows)
        tensors = [(cell.tensors[i].name.decode(), chr(cell.tensors[i].rows),
                    chr(cell.tensors[i].columns))
                   for i in range(FASTRNN_MOST_TENSORS) if cell.tensors[i].name != NULL]
        rows.append(CellInfo(cell.name.decode(), cell.gates, cell.states,
                             bool(cell.state_is_output), bool(cell.trained), tuple(tensors)))


CELL_TABLE = _cell_table()
CELLS = tuple(cell.name for cell in CELL_TABLE)


def available_isas(precision="float32"):
    """Names of the instruction sets that this build has and this processor runs, from the plainest
    on, for one of PRECISIONS: each computes it in a way of its own."""
    cdef int which = PRECISIONS.index(precision)
    names = [isa for isa in ISAS if fastrnn_select(isa.encode(), which) != NULL]
    return [isa for isa in names if fastrnn_select(isa.encode(), which).isa.decode() == isa]


cdef const fastrnn_kernels *select(precision, isa=None) except NULL:
    """The kernels for one of PRECISIONS or a NumPy dtype, of the instruction set `isa` or, where
    that is None, of the one that the environment variable FASTRNN_ISA names, or of the best."""
    cdef int which = PRECISIONS.index(precision if precision in PRECISIONS
                                      else np.dtype(precision).name)
    isa = isa or os.environ.get("FASTRNN_ISA")
    if not isa:
        return fastrnn_select(NULL, which)
    name = isa.encode()
    cdef const fastrnn_kernels *kernels = fastrnn_select(name, which)
    if kernels == NULL:
        raise ImportError(
            f"FASTRNN_ISA={isa} does not run here: unset it, or choose one of "
            + ", ".join(available_isas("mixed_bfloat16")))
    return kernels


def running_isa(precision="float32"):
    """The name of the instruction set that is in use for one of PRECISIONS."""
    return select(precision).isa.decode()


def lanes(dtype):
    """Numbers of this dtype in one vector register of the variant in use."""
    return select(dtype).lanes


def compiler():
    """The compiler that built the kernels."""
    return fastrnn_compiler().decode()


cdef address data(array, dtype, int64_t size, name, bint written=True) except? NULL:
    """The address of an array that must be of this dtype and size, C-contiguous and, where it is
    written, writable. The caller keeps the array alive."""
    cdef Py_buffer view
    if isinstance(array, np.ndarray) and array.dtype == dtype and array.size == size:
        try:
            PyObject_GetBuffer(
                array, &view, PyBUF_C_CONTIGUOUS | (PyBUF_WRITABLE if written else 0))
            PyBuffer_Release(&view)
            return view.buf
        except (ValueError, BufferError):
            pass
    raise ValueError(f"{name} must be a {'writable, ' if written else ''}C-contiguous "
                     f"{np.dtype(dtype)} array of {size} elements")


cdef padded(array, dtype):
    """A copy like aligned_zeros."""
    copy = aligned_zeros(array.size, dtype)
    copy[:] = array.reshape(-1)
    return copy


def aligned_zeros(int64_t size, dtype):
    """A zero array that begins at a multiple of 64 bytes, for fast vector loads, and after whose end
    64 bytes more may be read."""
    item = np.dtype(dtype).itemsize
    raw = np.zeros(size * item + 128, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + size * item].view(dtype)
