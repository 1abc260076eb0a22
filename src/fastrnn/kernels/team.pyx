"""Threads that help one call into the kernels."""
from fastrnn.kernels.border cimport select

import threading

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
        for thread in self.threads:
            thread.join()

    def help(self):
        with nogil:
            self.kernels.help(&self.team)
