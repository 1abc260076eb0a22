from fastrnn.kernels.c cimport fastrnn_kernels, fastrnn_reservoir

cdef class Reservoir:
    cdef const fastrnn_kernels *kernels
    cdef fastrnn_reservoir w
    cdef readonly object dtype
    cdef object arrays
