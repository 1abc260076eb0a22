"""Threads that help one call into the kernels."""
from libc.string cimport memset

from fastrnn.kernels.border cimport select

import threading

import numpy as np


cdef class Team:
    """Threads that help one call into the kernels: as a context, they wait inside it until the
    call dismisses them."""

    def __cinit__(self):
        memset(&self.team, 0, sizeof(self.team))

    def __init__(self, int jobs, int threads):
        self.kernels = select(np.float32)    # in which its functions are the same as in the other
        self.team.helpers = max(1, min(threads, jobs)) - 1
        self.threads = []

    def __enter__(self):
        try:
            while len(self.threads) < self.team.helpers:
                thread = threading.Thread(target=self.help, name="fastrnn", daemon=True)
                thread.start()
                self.threads.append(thread)
        except RuntimeError:
            # the system has no more, or Ctrl-C fell into start(), which cannot be told apart from
            # here: nobody knows who helps, so nobody shall
            self.kernels.dismiss(&self.team)
            self.team.helpers = 0
        except BaseException:     # Ctrl-C: those that wait must not wait for ever
            self.kernels.dismiss(&self.team)
            raise
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.join()

    def help(self):
        with nogil:
            self.kernels.help(&self.team)
