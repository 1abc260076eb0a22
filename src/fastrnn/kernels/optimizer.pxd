from libc.stdint cimport int64_t

from fastrnn.kernels.c cimport address, fastrnn_optimizer

cdef class Optimizer:
    cdef fastrnn_optimizer rule
    cdef readonly int memories  # blocks that the rule keeps
    cdef int addresses(self, memories, dtype, int64_t size, address *out) except -1
