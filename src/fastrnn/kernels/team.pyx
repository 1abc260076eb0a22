"""Threads for calls into the kernels, out of the one pool of this process (csrc/team.c), and forks,
which wait for such calls to end."""
from cpython.pythread cimport (
    WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_get_thread_ident,
    PyThread_release_lock, PyThread_type_lock,
)
from fastrnn.kernels.border cimport select
from fastrnn.kernels.c cimport fastrnn_kernels

import atexit
import os
import time

import numpy as np

# what concerns the pool is the same in all variants
cdef const fastrnn_kernels *kernels = select(np.float32, "baseline")


cdef class Team:
    """The threads of one call into the kernels that has so many jobs at a time: a context."""

    def __init__(self, int jobs, int threads):
        self.threads = min(threads, jobs)

    def __enter__(self):
        self.team = kernels.gather(self.threads)
        return self

    def __exit__(self, *_):
        kernels.part(self.team)


def helpers():
    """How many threads the pool has."""
    return kernels.helpers()


@atexit.register
def end_helpers():
    """End the threads of the pool; the next call that needs some starts them anew."""
    with nogil:
        kernels.end_helpers()


# A child process has only the thread that forked it: a lock that another thread held at that moment,
# ours or one inside BLAS, would stay locked there for ever, and a model would be half updated. So a
# fork waits for these calls. What follows runs with the GIL, and no handler of a signal in between.

cdef dict inside = {}           # of each thread, how many of these contexts it is in
cdef object forking = None      # the thread that forks
cdef PyThread_type_lock left = PyThread_allocate_lock()    # released when a thread leaves


cdef class NoFork:
    """A context that a fork by another thread waits for. It may be entered again inside."""

    def __enter__(self):
        me = PyThread_get_thread_ident()
        while forking is not None and forking != me and me not in inside:
            time.sleep(0.0005)
        inside[me] = inside.get(me, 0) + 1

    def __exit__(self, *_):
        me = PyThread_get_thread_ident()
        inside[me] -= 1
        if not inside[me]:
            del inside[me]
            if forking is not None:
                PyThread_release_lock(left)


no_fork = NoFork()


def _before_fork():
    global forking
    me = PyThread_get_thread_ident()
    while forking is not None and forking != me:
        time.sleep(0.0005)
    forking = me
    # who forks from inside may hold what the others wait for
    while inside and me not in inside:
        with nogil:     # Ctrl-C waits too: an exception in here would be lost
            PyThread_acquire_lock(left, WAIT_LOCK)
    end_helpers()


def _after_fork():
    global forking
    forking = None


def _in_child():
    _after_fork()
    me = PyThread_get_thread_ident()
    for thread in [thread for thread in inside if thread != me]:
        del inside[thread]
    kernels.forget_helpers()


PyThread_acquire_lock(left, WAIT_LOCK)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
