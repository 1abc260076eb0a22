"""The border between Python and the compiled bodies in csrc/.

Everything that comes in is checked here, once, so that the bodies can trust it; the GIL is
released around every call into them. csrc/fastrnn.h says what each body does.
"""
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport int32_t, int64_t, uintptr_t

from fastrnn._blas cimport gemm_double, gemm_float

import os
import threading

import numpy as np

cdef extern from "fastrnn.h" nogil:
    ctypedef void (*fastrnn_gemm)(int, int, int, int, int, const void *, int, const void *, int,
                                  int, void *, int) noexcept nogil

    ctypedef struct fastrnn_network:
        int cell, K, H, T, N, Wx, Wh, b, head_W, head_b, size
        fastrnn_gemm gemm

    ctypedef struct fastrnn_optimizer:
        int kind
        double learning_rate, decay, decay2, epsilon, clip_norm, clip_value

    ctypedef struct fastrnn_training:
        const fastrnn_network *net
        const fastrnn_optimizer *optimizer
        void *params
        void *grads
        void *memory
        void *memory2
        void *work
        int32_t *window
        const void *ids
        int id_bytes
        int64_t length
        void *state
        int64_t position, epoch, update
        double smooth_loss
        void *best
        double best_loss
        int64_t best_update, best_every
        double *losses
        double *loss
        double *smooth

    ctypedef struct fastrnn_kernels:
        const char *isa
        int bytes, lanes
        int64_t (*workspace_size)(const fastrnn_network *) noexcept nogil
        void (*unroll)(const fastrnn_network *, const void *, void *, void *, const int32_t *,
                       const int32_t *, int, void *, double *) noexcept nogil
        int64_t (*run)(fastrnn_training *, int64_t) noexcept nogil
        void (*sample)(const fastrnn_network *, const void *, void *, void *, int, double,
                       const double *, int64_t, int32_t *) noexcept nogil
        void (*step)(const fastrnn_optimizer *, int64_t, double, int64_t, void *, const void *,
                     void *, void *) noexcept nogil
        void (*map)(int, int64_t, const void *, void *) noexcept nogil

    const fastrnn_kernels *fastrnn_select(const char *isa, int bytes)
    const char *fastrnn_compiler()

# Order as in the enums of csrc/fastrnn.h.
CELLS = ("rnn", "relu")
OPTIMIZERS = ("adagrad", "rmsprop", "adam", "sgd")
MEMORIES = (1, 1, 2, 0)         # blocks that each keeps
FUNCTIONS = ("exp", "tanh", "rsqrt")
ISAS = ("baseline", "avx2", "avx512")


def available_isas():
    """Names of the instruction sets that this build has and this processor runs."""
    return [isa for isa in ISAS if fastrnn_select(isa.encode(), 4) != NULL]


cdef const fastrnn_kernels *select(dtype) except NULL:
    """The kernels for a dtype; the environment variable FASTRNN_ISA names another variant."""
    cdef int size = np.dtype(dtype).itemsize
    cdef const fastrnn_kernels *kernels
    isa = os.environ.get("FASTRNN_ISA")
    if not isa:
        return fastrnn_select(NULL, size)
    name = isa.encode()
    kernels = fastrnn_select(name, size)
    if kernels == NULL:
        raise ImportError(
            f"FASTRNN_ISA={isa} does not run here: unset it, or choose one of "
            f"{', '.join(available_isas())}")
    return kernels


def running_isa():
    """The name of the instruction set that is in use."""
    return select(np.float32).isa.decode()


def lanes(dtype):
    """Numbers of this dtype in one vector register of the variant in use."""
    return select(dtype).lanes


def compiler():
    """The compiler that built the kernels."""
    return fastrnn_compiler().decode()


cdef void *data(array, dtype, int64_t size, name) except? NULL:
    """The address of an array that must be of this dtype and size, C-contiguous and writable.
    The caller keeps the array alive."""
    cdef Py_buffer view
    if isinstance(array, np.ndarray) and array.dtype == dtype and array.size == size:
        try:
            PyObject_GetBuffer(array, &view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
        except (ValueError, BufferError):
            pass
        else:
            PyBuffer_Release(&view)
            return view.buf
    raise ValueError(f"{name} must be a writable, C-contiguous {np.dtype(dtype)} array of "
                     f"{size} elements")


def aligned_zeros(int64_t size, dtype):
    """A zero array whose first element lies at a multiple of 64 bytes, as vector loads like, and
    behind which 64 bytes more may be read."""
    item = np.dtype(dtype).itemsize
    raw = np.zeros(size * item + 128, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + size * item].view(dtype)


cdef class Network:
    """The kernels and the workspace for a model's sizes, one unroll length and one batch size.

    Parameters
    ----------
    cell : one of CELLS
    offsets : dict of tensor name -> first element in the flat block
    size, K, H, T, N : int
        Elements of the block; vocabulary, hidden size, longest unroll, batch.
    dtype : float32 or float64
    """
    cdef const fastrnn_kernels *kernels
    cdef fastrnn_network net
    cdef readonly object dtype
    cdef object work
    cdef object lock            # one thread at a time may use the workspace

    def __init__(self, cell, offsets, int size, int K, int H, int T, int N, dtype):
        self.dtype = np.dtype(dtype)
        self.lock = threading.Lock()
        self.kernels = select(self.dtype)
        self.net.cell = CELLS.index(cell)
        self.net.K, self.net.H, self.net.T, self.net.N = K, H, T, N
        self.net.size = size
        self.net.Wx = offsets["layer0.Wx"]
        self.net.Wh = offsets["layer0.Wh"]
        self.net.b = offsets["layer0.b"]
        self.net.head_W = offsets["head.W"]
        self.net.head_b = offsets["head.b"]
        self.net.gemm = gemm_float if self.dtype.itemsize == 4 else gemm_double
        self.work = aligned_zeros(self.kernels.workspace_size(&self.net), self.dtype)

    cdef const int32_t *ids(self, array, int T, name) except NULL:
        """The address of int32 ids [T][N] below K."""
        cdef const int32_t *p = <int32_t *> data(array, np.int32, <int64_t> T * self.net.N, name)
        if array.size and (array.min() < 0 or array.max() >= self.net.K):
            raise ValueError(f"{name} must hold ids from 0 to {self.net.K - 1}")
        return p

    def unroll(self, params, inputs, state, targets=None, grads=None):
        """Read inputs [T][N] from state [N][H], which moves on. With targets [T][N] return the
        cross-entropy of each in nats [T][N], and fill grads, where given, with the gradient of
        their sum over time and mean over the batch."""
        cdef int T = len(inputs)
        if not 1 <= T <= self.net.T:
            raise ValueError(f"inputs must have 1 to {self.net.T} time steps, not {T}")
        cdef void *p = data(params, self.dtype, self.net.size, "params")
        cdef void *g = (NULL if grads is None
                        else data(grads, self.dtype, self.net.size, "grads"))
        cdef void *h = data(state, self.dtype, <int64_t> self.net.N * self.net.H, "state")
        cdef void *work = data(self.work, self.dtype, self.work.size, "work")
        cdef const int32_t *x = self.ids(inputs, T, "inputs")
        cdef const int32_t *y = NULL
        if targets is not None:
            y = self.ids(targets, T, "targets")
        if g != NULL and y == NULL:
            raise ValueError("gradients need targets")
        losses = np.zeros((T, self.net.N))
        cdef double *each = <double *> data(losses, np.float64, losses.size, "losses")
        with self.lock, nogil:
            self.kernels.unroll(&self.net, p, g, work, x, y, T, h, each)
        return losses

    def sample(self, params, state, int id, double temperature, uniforms):
        """Draw len(uniforms) ids after symbol `id` in state [1][H], which moves on; each uniform
        number in [0, 1) decides one draw."""
        cdef int64_t n = len(uniforms)
        out = np.empty(n, np.int32)
        if self.net.N != 1 or not 0 <= id < self.net.K or not 0 <= temperature < float("inf"):
            raise ValueError("sampling takes one stream, a known id and a temperature of 0 or more")
        cdef void *p = data(params, self.dtype, self.net.size, "params")
        cdef void *h = data(state, self.dtype, self.net.H, "state")
        cdef void *work = data(self.work, self.dtype, self.work.size, "work")
        cdef double *u = <double *> data(uniforms, np.float64, n, "uniforms")
        cdef int32_t *ids = <int32_t *> data(out, np.int32, n, "ids")
        with self.lock, nogil:
            self.kernels.sample(&self.net, p, work, h, id, temperature, u, n, ids)
        return out


cdef class Optimizer:
    """An optimizer's rule and numbers; see fastrnn_optimizer in csrc/fastrnn.h."""
    cdef fastrnn_optimizer rule

    def __init__(self, kind, double learning_rate, double decay=0, double decay2=0,
                 double epsilon=1e-8, clip_value=None, clip_norm=None):
        self.rule.kind = OPTIMIZERS.index(kind)
        self.rule.learning_rate = learning_rate
        self.rule.decay, self.rule.decay2, self.rule.epsilon = decay, decay2, epsilon
        self.rule.clip_value = float("inf") if clip_value is None else clip_value
        self.rule.clip_norm = float("inf") if clip_norm is None else clip_norm

    cdef int addresses(self, memories, dtype, int64_t size, void **out) except -1:
        cdef int count = MEMORIES[self.rule.kind]
        if len(memories) != count:
            raise ValueError(f"{OPTIMIZERS[self.rule.kind]} keeps {count} memory blocks, "
                             f"not {len(memories)}")
        out[0] = out[1] = NULL
        for i, memory in enumerate(memories):
            out[i] = data(memory, dtype, size, "memory")
        return 0

    def step(self, int64_t update, params, grads, memories):
        """One step over a block in place; `update` counts from 1. Applies clip_value only: the
        norm belongs to all tensors together."""
        dtype = params.dtype
        cdef const fastrnn_kernels *kernels = select(dtype)
        cdef int64_t n = params.size
        cdef void *p = data(params, dtype, n, "params")
        cdef void *g = data(grads, dtype, n, "grads")
        cdef void *m[2]
        self.addresses(memories, dtype, n, m)
        with nogil:
            kernels.step(&self.rule, update, 1.0, n, p, g, m[0], m[1])


cdef class Training:
    """A training run in progress: its counters, and the arrays that the loop reads and writes.

    Parameters
    ----------
    network : Network
    optimizer : Optimizer
    params, best : flat blocks
        `best` receives the parameters of the lowest smoothed loss.
    memories : list of flat blocks, as many as the optimizer keeps
    state : array [N][H], carried from window to window
    ids : 1-D array of unsigned ids; N equal streams lie in it one after the other
    """
    cdef Network network
    cdef Optimizer optimizer
    cdef fastrnn_training t
    cdef object arrays          # what the addresses in t point to

    def __init__(self, Network network, Optimizer optimizer, params, memories, state, best, ids,
                 int64_t best_every=100):
        cdef fastrnn_network *net = &network.net
        cdef void *m[2]
        self.network, self.optimizer = network, optimizer
        grads = np.zeros_like(params)
        window = np.zeros(2 * net.T * net.N + 2 * net.K, np.int32)
        losses = np.empty((net.T, net.N))
        self.arrays = (params, grads, memories, state, best, ids, window, losses)
        self.t.losses = <double *> data(losses, np.float64, losses.size, "losses")
        self.t.net, self.t.optimizer = net, &optimizer.rule
        self.t.params = data(params, network.dtype, net.size, "params")
        self.t.grads = data(grads, network.dtype, net.size, "grads")
        self.t.best = data(best, network.dtype, net.size, "best")
        self.t.state = data(state, network.dtype, <int64_t> net.N * net.H, "state")
        self.t.work = data(network.work, network.dtype, network.work.size, "work")
        self.t.window = <int32_t *> data(window, np.int32, window.size, "window")
        optimizer.addresses(memories, network.dtype, net.size, m)
        self.t.memory, self.t.memory2 = m[0], m[1]
        if (ids.dtype not in (np.uint8, np.uint16, np.uint32) or ids.ndim != 1
                or not ids.flags.c_contiguous):
            raise ValueError("ids must be a contiguous one-dimensional array of unsigned integers")
        self.t.length = ids.size // net.N
        if self.t.length < net.T + 2 or ids.max() >= net.K:
            raise ValueError("ids must hold T + 2 symbols for each stream, all below K")
        self.t.ids = <const void *> <uintptr_t> ids.ctypes.data
        self.t.id_bytes = ids.itemsize
        self.t.best_loss = float("inf")
        self.t.best_every = best_every

    def run(self, int64_t updates):
        """At most `updates` updates; returns their losses and smoothed losses (nats), shorter
        where the next loss is not finite."""
        cdef int64_t done
        loss, smooth = np.empty(updates), np.empty(updates)
        self.t.loss = <double *> data(loss, np.float64, updates, "loss")
        self.t.smooth = <double *> data(smooth, np.float64, updates, "smooth")
        with self.network.lock, nogil:
            done = self.network.kernels.run(&self.t, updates)
        return loss[:done], smooth[:done]

    # The counters, by name: what a checkpoint stores and brings back.
    @property
    def counters(self):
        return {"update": self.t.update, "epoch": self.t.epoch, "position": self.t.position,
                "smooth_loss": self.t.smooth_loss, "best_loss": self.t.best_loss,
                "best_update": self.t.best_update}

    @counters.setter
    def counters(self, values):
        cdef int64_t position = values["position"]
        if not 0 <= position < self.t.length - self.network.net.T - 1:
            raise ValueError(f"position {position} lies outside this text")
        self.t.update, self.t.epoch = values["update"], values["epoch"]
        self.t.position, self.t.smooth_loss = position, values["smooth_loss"]
        self.t.best_loss, self.t.best_update = values["best_loss"], values["best_update"]

    @property
    def update(self):
        return self.t.update

    @property
    def epoch(self):
        return self.t.epoch

    @property
    def position(self):
        return self.t.position


def map(function, x):
    """f(x) for a contiguous array with one of FUNCTIONS, as the kernels compute it."""
    x = np.array(x)
    y = np.empty_like(x)
    cdef int which = FUNCTIONS.index(function)
    cdef const fastrnn_kernels *kernels = select(x.dtype)
    cdef void *a = data(x, x.dtype, x.size, "x")
    cdef void *b = data(y, x.dtype, x.size, "y")
    cdef int64_t n = x.size
    with nogil:
        kernels.map(which, n, a, b)
    return y
