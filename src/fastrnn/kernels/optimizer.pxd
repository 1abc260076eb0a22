from libc.stdint cimport int64_t

from fastrnn.kernels.c cimport fastrnn_optimizer

cdef class Optimizer:
    cdef fastrnn_optimizer rule
    cdef readonly int memories  # blocks that it keeps
    cdef int addresses(self, memories, dtype, int64_t size, void **out) except -1
