from fastrnn.kernels.c cimport fastrnn_kernels, fastrnn_team

cdef class Team:
    cdef fastrnn_team team
    cdef const fastrnn_kernels *kernels
    cdef list threads

cdef class NoFork:
    pass
