from fastrnn.kernels.c cimport address, fastrnn_batch, fastrnn_kernels, fastrnn_meter, fastrnn_network
from fastrnn.kernels.reservoir cimport Reservoir

cdef class Network:
    cdef const fastrnn_kernels *kernels
    cdef fastrnn_network net
    cdef readonly object dtype
    cdef readonly int P         # numbers of state of one stream
    cdef object work
    cdef address workspace      # of work
    cdef object lock            # one thread at a time may use the workspace
    cdef Reservoir reservoir
    cdef fastrnn_meter meter
    cdef int forwarded          # time steps whose forward() the workspace holds; 0: none
    cdef address ids(self, array, int T, int count, name) except NULL
    cdef address probabilities(self, labels) except? NULL
    cdef int read(self, fastrnn_batch *batch, inputs, targets, mask, lengths, labels,
                  weights, units) except -1
