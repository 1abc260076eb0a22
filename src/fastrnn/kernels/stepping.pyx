"""One time step of N series after the other, from a state that goes on.

A step of a small network takes a few microseconds, so that what Python does around it counts: all is
checked and laid out once, and a step reads its input and writes its result past NumPy."""
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.math cimport exp, isfinite
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from fastrnn.kernels.border cimport data
from fastrnn.kernels.c cimport address, fastrnn_batch, fastrnn_series
from fastrnn.kernels.network cimport Network
from fastrnn.kernels.reservoir cimport Reservoir

import threading

import numpy as np

from .border import aligned_zeros
from .team import no_fork

ctypedef fused real:
    float
    double

ctypedef fused wide:
    float
    double


cdef class Steps:
    """Steps of a network.

    Parameters
    ----------
    network : kernels.Network
        For one time step of N series: its own, since its workspace keeps the packed weights.
    params : flat block
        As it is at the first step.
    state : array [N][P], which goes on
    lock : threading.RLock, held during a step
    inputs, outputs : float64 [2][D] and [2][K], or None
        Means and deviations of numbers.
    probabilities : bool
        Whether outputs are the softmax of the head's.
    """
    cdef Network network
    cdef fastrnn_batch batch
    cdef readonly object state
    cdef readonly int N
    cdef int D, V, K
    cdef bint symbols, narrow, probabilities    # narrow: numbers are float32
    cdef object lock, one, many         # arrays like the result for one series without N, and for N
    cdef list arrays                    # that the addresses point to
    cdef address params, h, x, y
    cdef const double *inputs
    cdef const double *outputs

    def __init__(self, Network network, params, state, lock, inputs=None, outputs=None,
                 bint probabilities=False):
        N, dtype = network.net.N, network.dtype
        self.network, self.lock, self.state, self.N = network, lock, state, N
        self.D, self.V, self.K = network.net.D, network.net.V, network.net.K
        self.narrow, self.probabilities = dtype.itemsize == 4, probabilities
        self.symbols = self.V > 0
        x = np.zeros(N * self.D, dtype) if self.D else np.zeros(N, np.int32)
        y = np.zeros(N * self.K, dtype)
        self.many = np.zeros((N, self.K), dtype if outputs is None else np.float64)
        self.one = np.zeros(self.K, self.many.dtype)
        self.arrays = [params, state, x, y, inputs, outputs]
        self.params = data(params, dtype, network.net.size, "params", written=False)
        self.h = data(state, dtype, <int64_t> N * network.P, "state")
        self.x, self.y = data(x, x.dtype, x.size, "x"), data(y, dtype, y.size, "y")
        self.inputs = self.outputs = NULL
        if inputs is not None:
            self.inputs = <const double *> data(inputs, np.float64, 2 * self.D, "inputs",
                                                written=False)
        if outputs is not None:
            self.outputs = <const double *> data(outputs, np.float64, 2 * self.K, "outputs",
                                                 written=False)
        memset(&self.batch, 0, sizeof(self.batch))
        self.batch.T = 1
        if self.D:
            self.batch.x = self.x
        else:
            self.batch.inputs = self.x

    def copied_state(self):
        """The state as it is between two steps."""
        with no_fork, self.lock:
            return self.state.copy()

    def step(self, given):
        """Read the next inputs and return the outputs: (N, K) for numbers (N, D) or symbols (N,);
        for one series also (K,) for (D,) or a number of no dimension. None, and nothing is done,
        for what is no list or C-contiguous array of float32, float64 or int64 of that shape, or
        holds NaN, infinity or a symbol that does not exist: it needs another look."""
        cdef Py_buffer view
        cdef int fewest = not self.symbols
        cdef bint fits, alone
        with no_fork, self.lock:
            try:
                if isinstance(given, (list, tuple, float, int)):
                    given = np.array(given)
                PyObject_GetBuffer(given, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
            except (TypeError, ValueError, BufferError):
                return None
            alone = view.ndim == fewest
            fits = (alone and self.N == 1) or (view.ndim == fewest + 1 and view.shape[0] == self.N)
            if fits and not self.symbols:
                fits = view.shape[view.ndim - 1] == self.D
            if fits and self.narrow:
                fits = self.read[float](&view, <float *> self.x)
            elif fits:
                fits = self.read[double](&view, <double *> self.x)
            PyBuffer_Release(&view)
            if not fits:
                return None
            with nogil:
                self.advance()
            return self.result(self.one if alone else self.many)

    cdef void advance(self) noexcept nogil:
        """From x and the state to y and the next state."""
        self.network.kernels.unroll(
            &self.network.net, NULL, self.params, NULL, self.network.workspace, &self.batch, self.h,
            NULL, NULL, self.y, NULL)
        self.batch.same_weights = 1

    cdef bint read(self, Py_buffer *view, real *x) noexcept:
        """Copy the inputs into the array that the kernels read; whether they are what they must be.
        """
        cdef char kind = view.format[0]
        cdef int i, k
        cdef int64_t id
        cdef double value
        if self.symbols:
            if view.itemsize != 8 or (kind != b"l" and kind != b"q"):
                return False
            for i in range(self.N):
                id = (<int64_t *> view.buf)[i]
                if id < 0 or id >= self.V:
                    return False
                (<int32_t *> self.x)[i] = <int32_t> id
            return True
        if kind != b"d" and kind != b"f":
            return False
        for i in range(self.N):
            for k in range(self.D):
                value = ((<double *> view.buf)[i * self.D + k] if kind == b"d"
                         else (<float *> view.buf)[i * self.D + k])
                if self.inputs != NULL:
                    value = (value - self.inputs[k]) / self.inputs[self.D + k]
                x[i * self.D + k] = <real> value
                if not isfinite(x[i * self.D + k]):
                    return False
        return True

    cdef object result(self, like):
        """The outputs of the head, as the caller gets them, in a new array like this one."""
        cdef Py_buffer view
        out = like.copy()
        PyObject_GetBuffer(out, &view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        if self.outputs != NULL:
            if self.narrow:
                self.write[float, double](<float *> self.y, <double *> view.buf)
            else:
                self.write[double, double](<double *> self.y, <double *> view.buf)
        elif self.narrow:
            self.write[float, float](<float *> self.y, <float *> view.buf)
        else:
            self.write[double, double](<double *> self.y, <double *> view.buf)
        PyBuffer_Release(&view)
        return out

    cdef void write(self, real *y, wide *out) noexcept:
        cdef int i, k, K = self.K
        cdef double most, total
        for i in range(self.N):
            if self.probabilities:
                most, total = y[0], 0
                for k in range(K):
                    most = max(most, <double> y[k])
                for k in range(K):
                    total += exp(y[k] - most)
                for k in range(K):
                    out[k] = <wide> (exp(y[k] - most) / total)
            elif self.outputs != NULL:
                for k in range(K):
                    out[k] = <wide> (y[k] * self.outputs[K + k] + self.outputs[k])
            else:
                for k in range(K):
                    out[k] = <wide> y[k]
            y += K
            out += K


cdef class ReservoirSteps(Steps):
    """Steps of a reservoir with the readout Wout (K, 1 + D + H), from a state [N][H + K], the states
    and the outputs before."""
    cdef Reservoir reservoir
    cdef fastrnn_series series

    def __init__(self, Reservoir reservoir, Wout, state):
        cdef int H = reservoir.w.H
        dtype = reservoir.dtype
        self.reservoir, self.lock, self.state = reservoir, threading.RLock(), state
        self.N, self.D, self.V, self.K = len(state), reservoir.w.D, 0, len(Wout)
        self.symbols, self.narrow, self.probabilities = False, dtype.itemsize == 4, False
        if reservoir.w.K not in (0, self.K):
            raise ValueError("what is fed back are the outputs")
        x, y = np.zeros(self.N * self.D + 1, dtype), np.zeros(self.N * self.K, dtype)
        work = aligned_zeros(reservoir.kernels.series_work(&reservoir.w), dtype)
        self.one, self.many = np.zeros(self.K, dtype), np.zeros((self.N, self.K), dtype)
        self.arrays = [Wout, state, x, y, work]
        self.x, self.y = data(x, dtype, x.size, "x"), data(y, dtype, y.size, "y")
        self.h = data(state, dtype, <int64_t> self.N * (H + self.K), "state")
        self.inputs = self.outputs = NULL
        memset(&self.series, 0, sizeof(self.series))
        self.series.T, self.series.outputs = 1, self.K
        self.series.Wout = data(Wout, dtype, self.K * (1 + self.D + H), "Wout", written=False)
        self.series.work = data(work, dtype, work.size, "work")

    cdef void advance(self) noexcept nogil:
        cdef int n, H = self.reservoir.w.H, item = 4 if self.narrow else 8
        cdef fastrnn_series *s = &self.series
        for n in range(self.N):
            s.u = <char *> self.x + <int64_t> n * self.D * item
            s.state = <char *> self.h + <int64_t> n * (H + self.K) * item
            s.last = <char *> s.state + <int64_t> H * item
            s.out = <char *> self.y + <int64_t> n * self.K * item
            self.reservoir.kernels.run_series(&self.reservoir.w, NULL, s)
