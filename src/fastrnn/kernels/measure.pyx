"""For tests and benchmarks: the vector functions of the kernels, and the processor's peak."""
from libc.stdint cimport int64_t

from fastrnn.kernels.border cimport data, select
from fastrnn.kernels.c cimport fastrnn_kernels

import time

import numpy as np

from .border import FUNCTIONS


def map(function, x):
    """f(x) for a contiguous array with one of FUNCTIONS, as the kernels compute it."""
    x = np.array(x)
    y = np.empty_like(x)
    select(x.dtype).map(FUNCTIONS.index(function), x.size, data(x, x.dtype, x.size, "x"),
                        data(y, x.dtype, x.size, "y"))
    return y


def peak(dtype, double seconds=0.05):
    """Floating point operations per second of one core that multiplies and adds in registers."""
    cdef const fastrnn_kernels *kernels = select(dtype)
    cdef int64_t rounds = 1000
    cdef int operations
    x = np.full(64, 0.5, dtype)
    cdef void *p = data(x, x.dtype, 64, "x")
    while True:
        start = time.perf_counter()
        with nogil:
            operations = kernels.spin(rounds, p)
        spent = time.perf_counter() - start
        if spent > seconds:
            return operations * rounds / spent
        rounds *= 2
