from libc.stdint cimport int32_t, int64_t

from fastrnn.kernels.c cimport fastrnn_batch, fastrnn_bits, fastrnn_kernels, fastrnn_network
from fastrnn.kernels.reservoir cimport Reservoir

cdef class Network:
    cdef const fastrnn_kernels *kernels
    cdef fastrnn_network net
    cdef readonly object dtype
    cdef readonly int P         # numbers of state of one stream
    cdef object work
    cdef object lock            # one thread at a time may use the workspace
    cdef Reservoir reservoir
    cdef int forwarded          # time steps whose forward() the workspace holds; 0: none
    cdef int place(self, offsets) except -1
    cdef const int32_t *ids(self, array, int T, int count, name) except NULL
    cdef const void *probabilities(self, labels) except? NULL
    cdef int read(self, fastrnn_batch *batch, inputs, targets, mask, lengths, labels) except -1
