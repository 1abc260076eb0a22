from libc.stdint cimport int64_t

from fastrnn.kernels.c cimport fastrnn_kernels

cdef const fastrnn_kernels *select(dtype) except NULL
cdef void *data(array, dtype, int64_t size, name, bint written=*) except? NULL
cdef padded(array, dtype)
