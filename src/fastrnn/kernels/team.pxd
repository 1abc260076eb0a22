from fastrnn.kernels.c cimport fastrnn_team

cdef class Team:
    cdef fastrnn_team *team
    cdef int threads

cdef class NoFork:
    pass
