"""Threads for calls into the kernels, out of the one pool of this process (csrc/team.c), and forks,
which wait for such calls to end."""
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
# fork waits for these calls. No handler of a signal comes in between, but in the sleep.

cdef class NoFork:
    """A context that a fork by another thread waits for. It may be entered again inside."""

    def __enter__(self):
        while not kernels.come_in():
            time.sleep(0.0005)

    def __exit__(self, *_):
        kernels.go_out()


no_fork = NoFork()


def _before_fork():
    cdef bint begun = False
    while not begun:
        with nogil:     # Ctrl-C waits too: an exception in here would be lost
            begun = kernels.fork_begins()
        if not begun:
            time.sleep(0.0005)
    end_helpers()


def _after_fork():
    kernels.fork_ends()


def _in_child():
    kernels.start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
