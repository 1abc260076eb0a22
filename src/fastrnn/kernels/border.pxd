from libc.stdint cimport int64_t

from fastrnn.kernels.c cimport address, fastrnn_kernels

cdef const fastrnn_kernels *select(dtype, isa=*) except NULL
cdef address data(array, dtype, int64_t size, name, bint written=*) except? NULL
cdef padded(array, dtype)
