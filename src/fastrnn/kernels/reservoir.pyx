"""Reservoirs: recurrent layers that are not trained."""
from libc.stdint cimport int64_t, uintptr_t
from libc.string cimport memset

from fastrnn.kernels.border cimport data, padded, select
from fastrnn.kernels.c cimport (
    FASTRNN_STRIP, address, fastrnn_reservoir, fastrnn_series,
)
from fastrnn.kernels.team cimport NoFork, Team

import numpy as np

from .border import aligned_zeros


cdef class Reservoir:
    """A recurrent layer that is not trained, as the kernels read it: Win (D, H), Wfb (K, H), where
    K is 0 if nothing is fed back, b (H), leak (H) or one number, and W as first [panels + 1], at
    [strips] and strips [strips][STRIP] (csrc/reservoir.h)."""

    def __init__(self, dtype, leak, Win, Wfb, b, first, at, strips):
        cdef int panels = (b.size + FASTRNN_STRIP - 1) // FASTRNN_STRIP
        self.dtype = np.dtype(dtype)
        self.kernels = select(self.dtype)
        self.w.H, self.w.D, self.w.K = b.size, len(Win), len(Wfb)
        if (first.size != panels + 1 or first[0] != 0 or (np.diff(first) < 0).any()
                or first[panels] != at.size or at.size and (at.min() < 0 or at.max() >= b.size)):
            raise ValueError("the strips of a panel come one after another, and begin below H")
        self.arrays = [padded(Win, self.dtype), padded(Wfb, self.dtype), padded(b, self.dtype),
                       padded(first, np.int64), padded(at, np.int32), padded(strips, np.float32),
                       padded(np.broadcast_to(leak, b.shape), self.dtype)]
        self.w.Win = data(self.arrays[0], self.dtype, self.w.D * self.w.H, "Win")
        self.w.Wfb = data(self.arrays[1], self.dtype, self.w.K * self.w.H, "Wfb")
        self.w.b = data(self.arrays[2], self.dtype, self.w.H, "b")
        self.w.leak = data(self.arrays[6], self.dtype, self.w.H, "leak")
        self.w.first = data(self.arrays[3], np.int64, panels + 1, "first")
        self.w.at = data(self.arrays[4], np.int32, at.size, "at")
        self.w.strips = data(self.arrays[5], np.float32, at.size * FASTRNN_STRIP, "strips")

    def run(self, int64_t T, state, last, u=None, y=None, Wout=None, states=None, noise=None,
            int fed=0, int threads=1):
        """Drive the reservoir for T steps from state [H] with inputs u [T][D - fed] behind the
        first `fed` outputs of the step before; where u is None all inputs are outputs. noise
        [T][H] is added inside the tanh. With Wout (K, 1 + D + H) return the outputs [T][K].
        Fed back is y [T][K], or where y is None the outputs, one step later. `last` [K] is the
        output before the first step; it and the state become those of the last step. states (T, H),
        whose rows may be apart, receives the states."""
        cdef fastrnn_series s
        cdef fastrnn_reservoir *w = &self.w
        memset(&s, 0, sizeof(s))
        s.T, s.outputs = T, last.size
        s.state = data(state, self.dtype, w.H, "state")
        s.last = data(last, self.dtype, s.outputs, "last")
        s.fed = w.D if u is None else fed
        if u is not None and 0 <= fed <= w.D:
            s.u = data(u, self.dtype, T * (w.D - fed), "u", written=False)
        if noise is not None:
            s.noise = data(noise, self.dtype, T * w.H, "noise", written=False)
        if y is not None:
            s.y = data(y, self.dtype, T * s.outputs, "y", written=False)
        if ((w.K and w.K != s.outputs)
                or (s.fed and (Wout is None or not 0 < s.fed <= min(w.D, s.outputs)))
                or (w.K and y is None and Wout is None) or T < 0):
            raise ValueError("what is fed back must be given, or computed")
        out = None
        if Wout is not None:
            out = np.empty((T, s.outputs), self.dtype)
            s.Wout = data(Wout, self.dtype, s.outputs * (1 + w.D + w.H), "Wout", written=False)
            s.out = data(out, self.dtype, out.size, "out")
        if states is not None:
            if (states.dtype != self.dtype or states.shape != (T, w.H) or not states.flags.writeable
                    or T and (states.strides[1] != states.itemsize
                              or states.strides[0] % states.itemsize)):
                raise ValueError(f"states must be ({T}, {w.H})")
            s.states = <address> <uintptr_t> states.ctypes.data
            s.states_row = states.strides[0] // states.itemsize
        work = aligned_zeros(self.kernels.series_work(w), self.dtype)
        s.work = data(work, self.dtype, work.size, "work")
        cdef int panels = (w.H + FASTRNN_STRIP - 1) // FASTRNN_STRIP
        cdef Team team = Team(panels, threads)
        with NoFork(), team, nogil:
            self.kernels.run_series(w, team.team, &s)
        return out
