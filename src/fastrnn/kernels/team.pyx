"""Threads that help one call into the kernels, and forks of the process, which wait for such calls
to end."""
from cpython.pythread cimport (
    WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_get_thread_ident,
    PyThread_release_lock, PyThread_type_lock,
)
from fastrnn.kernels.border cimport select

import os
import threading
import time

import numpy as np


cdef class Team:
    """Threads that help one call into the kernels: a context, in which they wait for jobs until the
    call, which dismisses them, ends."""

    def __init__(self, int jobs, int threads):
        self.kernels = select(np.float32)    # help and dismiss do not depend on the dtype
        self.team.helpers = max(1, min(threads, jobs)) - 1
        self.threads = []

    def __enter__(self):
        try:
            while len(self.threads) < self.team.helpers:
                thread = threading.Thread(target=self.help, name="fastrnn", daemon=True)
                thread.start()
                self.threads.append(thread)
        except RuntimeError:
            # the system has no more threads, or Ctrl-C fell into start(), which looks the same from
            # here: it is unknown which threads run, so none shall help
            self.kernels.dismiss(&self.team)
            self.team.helpers = 0
        except BaseException:     # Ctrl-C: threads that wait must not wait for ever
            self.kernels.dismiss(&self.team)
            raise
        return self

    def __exit__(self, *_):
        self.kernels.dismiss(&self.team)    # again, or for the first time where an error came before
        for thread in self.threads:
            thread.join()

    def help(self):
        with nogil:
            self.kernels.help(&self.team)


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


def _after_fork():
    global forking
    forking = None


def _in_child():
    _after_fork()
    me = PyThread_get_thread_ident()
    for thread in [thread for thread in inside if thread != me]:
        del inside[thread]


PyThread_acquire_lock(left, WAIT_LOCK)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
