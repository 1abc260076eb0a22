"""The border between Python and the compiled bodies in csrc/.

Everything that comes in is checked here, once, so that the bodies can trust it; the GIL is
released around every call into them. csrc/fastrnn.h says what each body does.
"""
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t, uintptr_t
from libc.string cimport memset

from fastrnn._blas cimport gemm_double, gemm_float

import os
import threading
import time

import numpy as np

cdef extern from "numpy/random/bitgen.h":
    ctypedef struct bitgen_t:
        void *state
        uint64_t (*next_raw)(void *) noexcept nogil

cdef extern from "fastrnn.h" nogil:
    ctypedef void (*fastrnn_gemm)(int, int, int, int, int, const void *, int, const void *, int,
                                  int, void *, int) noexcept nogil

    ctypedef struct fastrnn_bits:
        void *state
        uint64_t (*next)(void *) noexcept nogil

    enum:
        FASTRNN_MOST_LAYERS
        FASTRNN_CHUNK
        FASTRNN_RUN
        FASTRNN_STRIP
        FASTRNN_MOST_PARTS

    ctypedef struct fastrnn_reservoir:
        int H, D, K
        double leak_rate
        const int64_t *first
        const int32_t *at
        const float *strips
        const void *Win
        const void *Wfb
        const void *b

    ctypedef struct fastrnn_series:
        int64_t T
        const void *u
        const void *y
        int outputs
        const void *Wout
        void *state
        void *last
        void *states
        int64_t states_row
        void *out
        void *work
        int parts

    ctypedef struct fastrnn_layer:
        int D, Wx, Wh, b, bhn, Wm, bm, Wc

    ctypedef struct fastrnn_network:
        int cell, loss, K, E, H, L, V, D, C, T, N, dropout, packed, embedding, head_W, head_b, size
        fastrnn_layer *layers
        const fastrnn_reservoir *reservoir
        fastrnn_gemm gemm

    ctypedef struct fastrnn_batch:
        int T
        const int32_t *inputs
        const void *x
        const int32_t *targets
        const void *y
        const int64_t *lengths
        const void *labels
        const uint8_t *mask

    ctypedef struct fastrnn_team:
        int helpers

    ctypedef struct fastrnn_optimizer:
        int kind
        double decay, decay2, epsilon, clip_norm, clip_value

    ctypedef struct fastrnn_training:
        const fastrnn_network *net
        const fastrnn_optimizer *optimizer
        fastrnn_team *team
        void *params
        void *grads
        void *memory
        void *memory2
        void *work
        int32_t *window
        uint8_t *marks
        void *shares
        const void *ids
        const void *target_ids
        int id_bytes
        int64_t length
        const void *x
        const void *y
        const uint8_t *mask
        const fastrnn_bits *bits
        void *state
        int64_t position
        const int64_t *starts
        const int64_t *lengths
        const int32_t *labels
        int64_t epoch_updates
        int64_t epoch, update
        double smooth_loss
        void *best
        double best_loss
        int64_t best_update, best_every
        double *losses
        double *norms
        const double *rates
        double *loss
        double *smooth

    ctypedef struct fastrnn_kernels:
        const char *isa
        int bytes, lanes
        int (*slices)(int, int) noexcept nogil
        int64_t (*workspace_size)(const fastrnn_network *) noexcept nogil
        void (*unroll)(const fastrnn_network *, fastrnn_team *, const void *, void *, void *,
                       const fastrnn_batch *, void *, double *, uint8_t *, void *,
                       const fastrnn_bits *) noexcept nogil
        void (*forward)(const fastrnn_network *, fastrnn_team *, const void *, void *,
                        const void *, int, void *, void *) noexcept nogil
        void (*backward)(const fastrnn_network *, fastrnn_team *, const void *, void *, int,
                         const void *, void *, void *, void *) noexcept nogil
        int64_t (*run)(fastrnn_training *, int64_t) noexcept nogil
        void (*sample)(const fastrnn_network *, const void *, void *, void *, const int32_t *,
                       const void *, double, int, double, const double *, int64_t, int32_t *) noexcept nogil
        int64_t (*series_work)(const fastrnn_reservoir *) noexcept nogil
        void (*run_series)(const fastrnn_reservoir *, fastrnn_team *,
                           fastrnn_series *) noexcept nogil
        void (*step)(const fastrnn_optimizer *, int64_t, double, double, int64_t, void *,
                     const void *, void *, void *) noexcept nogil
        void (*help)(fastrnn_team *) noexcept nogil
        void (*dismiss)(fastrnn_team *) noexcept nogil
        void (*map)(int, int64_t, const void *, void *) noexcept nogil
        int (*spin)(int64_t, void *) noexcept nogil

    const fastrnn_kernels *fastrnn_select(const char *isa, int bytes)
    const char *fastrnn_compiler()

# Order as in the enums of csrc/fastrnn.h.
CELLS = ("rnn", "relu", "lstm", "gru", "memory", "esn")
OPTIMIZERS = ("adagrad", "rmsprop", "adam", "sgd")
LOSSES = ("cross_entropy", "mean_squared_error", "binary_cross_entropy")
FUNCTIONS = ("exp", "tanh", "sigmoid", "rsqrt")
ISAS = ("baseline", "avx2", "avx512")
MOST_LAYERS = FASTRNN_MOST_LAYERS
RUN, STRIP = FASTRNN_RUN, FASTRNN_STRIP


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


cdef void *data(array, dtype, int64_t size, name, bint written=True) except? NULL:
    """The address of an array that must be of this dtype and size, C-contiguous and, where it is
    written, writable. The caller keeps the array alive."""
    cdef Py_buffer view
    if isinstance(array, np.ndarray) and array.dtype == dtype and array.size == size:
        try:
            PyObject_GetBuffer(
                array, &view, PyBUF_C_CONTIGUOUS | (PyBUF_WRITABLE if written else 0))
        except (ValueError, BufferError):
            pass
        else:
            PyBuffer_Release(&view)
            return view.buf
    raise ValueError(f"{name} must be a writable, C-contiguous {np.dtype(dtype)} array of "
                     f"{size} elements")


cdef padded(array, dtype):
    """A copy like aligned_zeros."""
    copy = aligned_zeros(array.size, dtype)
    copy[:] = array.reshape(-1)
    return copy


def aligned_zeros(int64_t size, dtype):
    """A zero array whose first element lies at a multiple of 64 bytes, as vector loads like, and
    behind which 64 bytes more may be read."""
    item = np.dtype(dtype).itemsize
    raw = np.zeros(size * item + 128, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + size * item].view(dtype)


cdef class Reservoir:
    """A recurrent layer that is not trained, laid out for the kernels.

    Parameters
    ----------
    dtype
    leak_rate : float
    Win, Wfb : arrays (D, H) and (K, H); K is 0 where nothing is fed back
    b : array (H)
    first, at, strips : arrays [panels + 1], [strips] and [strips][STRIP]
        W, see csrc/reservoir.h.
    """
    cdef const fastrnn_kernels *kernels
    cdef fastrnn_reservoir w
    cdef readonly object dtype
    cdef object arrays

    def __init__(self, dtype, double leak_rate, Win, Wfb, b, first, at, strips):
        cdef int panels = (b.size + FASTRNN_STRIP - 1) // FASTRNN_STRIP
        self.dtype = np.dtype(dtype)
        self.kernels = select(self.dtype)
        self.w.H, self.w.D, self.w.K = b.size, len(Win), len(Wfb)
        self.w.leak_rate = leak_rate
        if (first.size != panels + 1 or first[0] != 0 or (np.diff(first) < 0).any()
                or first[panels] != at.size or at.size and (at.min() < 0 or at.max() >= b.size)):
            raise ValueError("the strips of a panel come one after another, and begin below H")
        self.arrays = [padded(Win, self.dtype), padded(Wfb, self.dtype), padded(b, self.dtype),
                       padded(first, np.int64), padded(at, np.int32), padded(strips, np.float32)]
        self.w.Win = data(self.arrays[0], self.dtype, self.w.D * self.w.H, "Win")
        self.w.Wfb = data(self.arrays[1], self.dtype, self.w.K * self.w.H, "Wfb")
        self.w.b = data(self.arrays[2], self.dtype, self.w.H, "b")
        self.w.first = <int64_t *> data(self.arrays[3], np.int64, panels + 1, "first")
        self.w.at = <int32_t *> data(self.arrays[4], np.int32, at.size, "at")
        self.w.strips = <float *> data(
            self.arrays[5], np.float32, <int64_t> at.size * FASTRNN_STRIP, "strips")

    def run(self, int64_t T, state, last, u=None, y=None, Wout=None, states=None, int threads=1):
        """Drive the reservoir for T steps from state [H], which moves on, with u [T][D], or where
        that is None with its own outputs, the first time `last`. With Wout (K, 1 + D + H) return
        the outputs [T][K]. Fed back is y [T][K], or where that is None the outputs, one step later,
        the first time `last` [K], which moves on too. states (T, H), whose rows may be apart,
        receives the states."""
        cdef fastrnn_series s
        cdef fastrnn_reservoir *w = &self.w
        memset(&s, 0, sizeof(s))
        s.T, s.outputs, s.parts = T, last.size, 1
        s.state = data(state, self.dtype, w.H, "state")
        s.last = data(last, self.dtype, s.outputs, "last")
        if u is not None:
            s.u = data(u, self.dtype, T * w.D, "u", written=False)
        if y is not None:
            s.y = data(y, self.dtype, T * s.outputs, "y", written=False)
        if ((w.K and w.K != s.outputs) or (u is None and (Wout is None or w.D != s.outputs))
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
            s.states = <void *> <uintptr_t> states.ctypes.data
            s.states_row = states.strides[0] // states.itemsize
        work = aligned_zeros(self.kernels.series_work(w), self.dtype)
        s.work = data(work, self.dtype, work.size, "work")
        cdef int panels = (w.H + FASTRNN_STRIP - 1) // FASTRNN_STRIP
        cdef Team team = Team(min(panels, FASTRNN_MOST_PARTS) if Wout is None else 1, threads)
        with team:
            s.parts = 1 + team.team.helpers
            with nogil:
                self.kernels.run_series(w, &team.team, &s)
                self.kernels.dismiss(&team.team)
        return out


cdef class Network:
    """The kernels and the workspace for a model's sizes, one unroll length and one batch size.

    Parameters
    ----------
    config : dict
        cell, hidden_size, num_layers, embedding_size, dropout, labels, loss, dtype as of a model.
    V, D, K : int
        Inputs are V symbols (D is 0) or D numbers (V is 0); outputs (0: no head).
    offsets : dict of tensor name -> first element in the flat block
    size, T, N : int
        Elements of the block, longest unroll, batch.
    packed : bool, optional
        Whether the recurrence runs on packed weights, or on plain BLAS; where not given what is
        faster (bench/NOTES.md).
    reservoir : Reservoir, optional
        Of the cell "esn".
    """
    cdef const fastrnn_kernels *kernels
    cdef fastrnn_network net
    cdef readonly object dtype
    cdef readonly int P         # numbers of state of one stream
    cdef object work
    cdef object lock            # one thread at a time may use the workspace
    cdef Reservoir reservoir
    cdef int forwarded          # time steps whose forward() the workspace holds; 0: none

    def __init__(self, config, int V, int D, int K, offsets, int size, int T, int N,
                 packed=None, Reservoir reservoir=None):
        cdef fastrnn_network *net = &self.net
        cdef int l
        self.dtype = np.dtype(config["dtype"])
        self.lock = threading.Lock()
        self.kernels = select(self.dtype)
        net.cell = CELLS.index(config["cell"])
        net.loss = LOSSES.index(config["loss"])
        net.V, net.D, net.K = V, D, K
        net.E = config["embedding_size"] or 0
        net.H, net.L = config["hidden_size"], config["num_layers"]
        net.T, net.N, net.C = T, N, len(config.get("labels") or ())
        net.dropout = round(config["dropout"] * 65536)
        if not 1 <= net.L <= FASTRNN_MOST_LAYERS or not 0 <= net.dropout < 65536:
            raise ValueError(f"1 to {FASTRNN_MOST_LAYERS} layers, dropout from 0 to below 1")
        if <int64_t> T * N >= 2**30 or T < 1 or N < 1:
            raise ValueError(f"{T} time steps of {N} sequences are too many for one unroll: give a "
                             "smaller batch_size, or shorter sequences")
        if packed is None:  # one stream meets a large matrix too seldom to lay it out for it
            packed = N > 1 or net.H < 200 or config["cell"] not in ("rnn", "relu")
        self.reservoir = reservoir
        if reservoir is not None:
            if (reservoir.w.H, reservoir.w.D, reservoir.w.K) != (net.H, D or V, 0):
                raise ValueError("the reservoir has other sizes than the network")
            net.reservoir, packed = &reservoir.w, True
        elif config["cell"] == "esn":
            raise ValueError("the cell 'esn' needs a reservoir")
        net.packed = packed
        net.size = size
        net.embedding = offsets.get("embedding.W", 0)
        for l in range(net.L):
            layer = {name: offsets.get(f"layer{l}.{name}", -1)
                     for name in ("Wx", "Wh", "b", "bhn", "Wm", "bm", "Wc")}
            net.layers[l].D = net.H if l else net.D or net.E or net.V
            net.layers[l].Wx, net.layers[l].Wh = layer["Wx"], layer["Wh"]
            net.layers[l].b, net.layers[l].bhn = layer["b"], layer["bhn"]
            net.layers[l].Wm, net.layers[l].bm = layer["Wm"], layer["bm"]
            net.layers[l].Wc = layer["Wc"]
        net.head_W, net.head_b = offsets.get("head.W", -1), offsets.get("head.b", -1)
        net.gemm = gemm_float if self.dtype.itemsize == 4 else gemm_double
        self.P = net.L * net.H * (2 if config["cell"] == "lstm" else 1)
        self.work = aligned_zeros(self.kernels.workspace_size(net), self.dtype)

    @property
    def slices(self):
        """(first stream, streams) of each slice that a thread takes through an unroll."""
        cdef int count = self.kernels.slices(self.net.N, self.net.H)
        starts = [self.net.N * s // count for s in range(count + 1)]
        return [(start, end - start) for start, end in zip(starts, starts[1:])]

    cdef const int32_t *ids(self, array, int T, int count, name) except NULL:
        """The address of int32 ids [T][N] below count."""
        cdef const int32_t *p = <int32_t *> data(array, np.int32, <int64_t> T * self.net.N, name)
        if array.size and (array.min() < 0 or array.max() >= count):
            raise ValueError(f"{name} must hold ids from 0 to {count - 1}")
        return p

    cdef const void *shares(self, labels) except? NULL:
        """The address of the labels' shares [N][C]; NULL where there are none."""
        if (labels is None) != (self.net.C == 0):
            raise ValueError(f"this network has {self.net.C} labels: give their shares, or none")
        return NULL if labels is None else data(
            labels, self.dtype, <int64_t> self.net.N * self.net.C, "labels")

    def sources(self, generators):
        """The bits of NumPy generators, one for each slice, as the kernels read them. The caller
        keeps the generators alive."""
        cdef int i
        cdef bitgen_t *source
        cdef fastrnn_bits *bits
        if len(generators) != len(self.slices):
            raise ValueError(f"dropout needs {len(self.slices)} generators, not {len(generators)}")
        out = np.empty(2 * len(generators), np.uintp)
        bits = <fastrnn_bits *> data(out, np.uintp, out.size, "sources")
        for i, generator in enumerate(generators):
            source = <bitgen_t *> PyCapsule_GetPointer(generator.bit_generator.capsule,
                                                       "BitGenerator")
            bits[i].state, bits[i].next = source.state, source.next_raw
        return out

    def unroll(self, params, inputs, state, targets=None, grads=None, generators=None,
               int threads=1, right=None, mask=None, lengths=None, out=None, labels=None):
        """Read inputs, ids [T][N] or numbers [N][T][D], from state [N][P], which moves on. With
        targets, ids [T][N] or numbers [N][T][K], return the loss of each prediction [T][N] and fill
        grads, where given, with the gradient of their sum over time and mean over the batch, and
        right, uint8 [T][N], with whether the target was the likeliest symbol. Without them fill out
        [N][T][K], where given, with what the head hands on. Where mask, uint8 [T][N], is 0 a
        prediction does not count; lengths, int64 [N], end rows before T, and need a mask. A network
        with labels needs the share of each in each row, labels [N][C]. Dropout takes a generator
        for each slice."""
        cdef fastrnn_network *net = &self.net
        cdef fastrnn_batch batch
        memset(&batch, 0, sizeof(batch))
        batch.T = inputs.shape[1] if net.D else len(inputs)
        cdef int64_t rows = <int64_t> batch.T * net.N
        if not 1 <= batch.T <= net.T or not net.K:
            raise ValueError(f"inputs must have 1 to {net.T} time steps, not {batch.T}, and the "
                             "network a head")
        cdef void *p = data(params, self.dtype, net.size, "params")
        cdef void *g = NULL if grads is None else data(grads, self.dtype, net.size, "grads")
        cdef void *h = data(state, self.dtype, <int64_t> net.N * self.P, "state")
        cdef void *work = data(self.work, self.dtype, self.work.size, "work")
        if net.D:
            batch.x = data(inputs, self.dtype, rows * net.D, "inputs")
        else:
            batch.inputs = self.ids(inputs, batch.T, net.V, "inputs")
        batch.labels = self.shares(labels)
        cdef int symbols = net.loss != LOSSES.index("mean_squared_error")
        if targets is not None and symbols:
            batch.targets = self.ids(targets, batch.T, net.K, "targets")
        elif targets is not None:
            batch.y = data(targets, self.dtype, rows * net.K, "targets")
        elif grads is not None:
            raise ValueError("gradients need targets")
        if mask is not None:
            batch.mask = <uint8_t *> data(mask, np.uint8, rows, "mask")
        if lengths is not None:
            batch.lengths = <int64_t *> data(lengths, np.int64, net.N, "lengths")
            if (mask is None or lengths.min() < 0 or lengths.max() > batch.T
                    or (mask.reshape(batch.T, net.N)
                        & (np.arange(batch.T)[:, None] >= lengths)).any()):
                raise ValueError(f"lengths must be 0 to {batch.T}, and the mask 0 behind them")
        cdef fastrnn_bits *bits = NULL
        if generators is not None:
            sources = self.sources(generators)
            bits = <fastrnn_bits *> data(sources, np.uintp, sources.size, "sources")
        cdef double *each = NULL
        cdef uint8_t *hits = NULL
        cdef void *y = NULL
        losses = np.zeros((batch.T, net.N))
        if targets is not None:
            each = <double *> data(losses, np.float64, rows, "losses")
            if right is not None and symbols:
                hits = <uint8_t *> data(right, np.uint8, rows, "right")
        elif out is not None:
            y = data(out, self.dtype, rows * net.K, "out")
        cdef Team team = Team(len(self.slices), threads)
        with self.lock, team:
            with nogil:
                self.kernels.unroll(net, &team.team, p, g, work, &batch, h, each, hits, y, bits)
                self.kernels.dismiss(&team.team)
        return losses

    def forward(self, params, x, state, int threads=1):
        """What the last layer of a network without a head hands on, [N][T][H], for inputs x
        [N][T][D] read from state [N][P], which moves on."""
        cdef int T = x.shape[1]
        if not 1 <= T <= self.net.T or self.net.K or not self.net.D:
            raise ValueError(f"1 to {self.net.T} time steps of numbers, and no head")
        out = np.empty((self.net.N, T, self.net.H), self.dtype)
        cdef void *p = data(params, self.dtype, self.net.size, "params")
        cdef void *work = data(self.work, self.dtype, self.work.size, "work")
        cdef void *inputs = data(x, self.dtype, <int64_t> self.net.N * T * self.net.D, "x")
        cdef void *h = data(state, self.dtype, <int64_t> self.net.N * self.P, "state")
        cdef void *y = data(out, self.dtype, out.size, "out")
        cdef Team team = Team(len(self.slices), threads)
        with self.lock, team:
            with nogil:
                self.kernels.forward(&self.net, &team.team, p, work, inputs, T, h, y)
                self.kernels.dismiss(&team.team)
            self.forwarded = T
        return out

    def backward(self, params, dout, dstate, grads, int threads=1):
        """Back through the last forward() from the gradients by its result [N][T][H] and by the last
        state's c or m, in dstate [N][P], which becomes the gradient by the first state. Fills grads,
        a block; returns the gradient by x [N][T][D]. Once after each forward()."""
        cdef int T = dout.shape[1]
        if T < 1 or T != self.forwarded:
            raise ValueError(f"there is no forward of {T} time steps to go back through")
        dx = np.empty((self.net.N, T, self.net.D), self.dtype)
        cdef void *p = data(params, self.dtype, self.net.size, "params")
        cdef void *g = data(grads, self.dtype, self.net.size, "grads")
        cdef void *work = data(self.work, self.dtype, self.work.size, "work")
        cdef void *dy = data(dout, self.dtype, <int64_t> self.net.N * T * self.net.H, "dout")
        cdef void *dh = data(dstate, self.dtype, <int64_t> self.net.N * self.P, "dstate")
        cdef void *d = data(dx, self.dtype, dx.size, "dx")
        cdef Team team = Team(len(self.slices), threads)
        with self.lock, team:
            self.forwarded = 0
            with nogil:
                self.kernels.backward(&self.net, &team.team, p, work, T, dy, d, dh, g)
                self.kernels.dismiss(&team.team)
        return dx

    def sample(self, params, state, ids, double temperature, uniforms, int top_k=0,
               double top_p=1, labels=None):
        """Draw n ids for each of N streams after reading ids [N] in state [N][P], which moves on;
        each of the uniform numbers [n][N] in [0, 1) decides one draw. Of the symbols only the top_k
        likeliest come (0: all), and of those the likeliest with a share of top_p. Labels as for
        `unroll`. Returns [n][N]."""
        cdef int64_t n = len(uniforms)
        out = np.empty((n, self.net.N), np.int32)
        if not 0 <= temperature < float("inf") or top_k < 0 or not 0 < top_p <= 1:
            raise ValueError("sampling takes a temperature of 0 or more, top_k of 0 or more and "
                             "top_p above 0 up to 1")
        if self.net.V != self.net.K:
            raise ValueError("sampling needs outputs that are the symbols which are read")
        cdef const int32_t *x = self.ids(ids, 1, self.net.V, "ids")
        cdef void *p = data(params, self.dtype, self.net.size, "params")
        cdef void *h = data(state, self.dtype, <int64_t> self.net.N * self.P, "state")
        cdef void *work = data(self.work, self.dtype, self.work.size, "work")
        cdef double *u = <double *> data(uniforms, np.float64, out.size, "uniforms")
        cdef int32_t *y = <int32_t *> data(out, np.int32, out.size, "ids")
        cdef int k = top_k or self.net.K
        cdef const void *shares = self.shares(labels)
        with self.lock, nogil:
            self.kernels.sample(&self.net, p, work, h, x, shares, temperature, k, top_p, u, n, y)
        return out


cdef class Team:
    """Threads that help one call into the kernels: as a context, they wait inside it until the
    call dismisses them."""
    cdef fastrnn_team team
    cdef const fastrnn_kernels *kernels
    cdef list threads

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


cdef class Optimizer:
    """An optimizer's rule and numbers; see fastrnn_optimizer in csrc/fastrnn.h."""
    cdef fastrnn_optimizer rule
    cdef readonly int memories  # blocks that it keeps

    def __init__(self, kind, double decay=0, double decay2=0, double epsilon=1e-8,
                 clip_value=None, clip_norm=None):
        self.rule.kind = OPTIMIZERS.index(kind)
        self.memories = {"adam": 2, "sgd": int(decay > 0)}.get(kind, 1)
        self.rule.decay, self.rule.decay2, self.rule.epsilon = decay, decay2, epsilon
        self.rule.clip_value = float("inf") if clip_value is None else clip_value
        self.rule.clip_norm = float("inf") if clip_norm is None else clip_norm

    cdef int addresses(self, memories, dtype, int64_t size, void **out) except -1:
        if len(memories) != self.memories:
            raise ValueError(f"{OPTIMIZERS[self.rule.kind]} keeps {self.memories} memory blocks, "
                             f"not {len(memories)}")
        out[0] = out[1] = NULL
        for i, memory in enumerate(memories):
            out[i] = data(memory, dtype, size, "memory")
        return 0

    def step(self, int64_t update, double rate, params, grads, memories):
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
            kernels.step(&self.rule, update, rate, 1.0, n, p, g, m[0], m[1])


cdef class Training:
    """A training run in progress: its counters, and the arrays that the loop reads and writes.

    Parameters
    ----------
    network : Network
    optimizer : Optimizer
    params, best : flat blocks
        `best` receives the parameters of the lowest smoothed loss, looked for every `best_every`
        updates.
    memories : list of flat blocks, as many as the optimizer keeps
    state : array [N][P], carried from window to window
    ids : 1-D array of unsigned ids, or None
        A text: N equal streams lie in it one after the other, or, where `epoch_updates` tells how
        many updates an epoch has, windows or records start anywhere. With `targets` the inputs of
        sequences.
    targets : ids of the type of `ids`, or where the loss asks for them numbers [steps][K]
    x : array [steps][D], the inputs of sequences in place of ids
    mask : bool [steps], whether a step of sequences counts; None: all
    generators : list of numpy.random.Generator, one for each slice, where there is dropout
    threads : int
        At most; the numbers do not depend on it.
    """
    cdef Network network
    cdef Optimizer optimizer
    cdef fastrnn_training t
    cdef int threads
    cdef bint text              # whether a symbol's target is the one behind it
    cdef object arrays          # what the addresses in t point to

    def __init__(self, Network network, Optimizer optimizer, params, memories, state, best,
                 ids=None, generators=None, int threads=1, int64_t best_every=100,
                 int64_t epoch_updates=0, targets=None, x=None, mask=None):
        cdef fastrnn_network *net = &network.net
        cdef void *m[2]
        cdef int64_t steps
        self.network, self.optimizer, self.threads = network, optimizer, threads
        grads = aligned_zeros(params.size, params.dtype)
        window = np.zeros(2 * net.T * net.N + 2 * net.V, np.int32)
        marks = np.zeros(net.T * net.N, np.uint8)
        shares = np.zeros(net.N * net.C, network.dtype)
        losses, norms = np.empty((net.T, net.N)), np.empty(net.size // FASTRNN_CHUNK + 2)
        sources = None if generators is None else network.sources(generators)
        self.arrays = (params, grads, memories, state, best, ids, targets, x, mask, window, marks,
                       shares, losses, norms, generators, sources)
        self.t.losses = <double *> data(losses, np.float64, losses.size, "losses")
        self.t.norms = <double *> data(norms, np.float64, norms.size, "norms")
        self.t.net, self.t.optimizer = net, &optimizer.rule
        self.t.params = data(params, network.dtype, net.size, "params")
        self.t.grads = data(grads, network.dtype, net.size, "grads")
        self.t.best = data(best, network.dtype, net.size, "best")
        self.t.state = data(state, network.dtype, <int64_t> net.N * network.P, "state")
        self.t.work = data(network.work, network.dtype, network.work.size, "work")
        self.t.window = <int32_t *> data(window, np.int32, window.size, "window")
        self.t.marks = <uint8_t *> data(marks, np.uint8, marks.size, "marks")
        if net.C:
            self.t.shares = data(shares, network.dtype, shares.size, "shares")
        if sources is not None:
            self.t.bits = <fastrnn_bits *> data(sources, np.uintp, sources.size, "sources")
        optimizer.addresses(memories, network.dtype, net.size, m)
        self.t.memory, self.t.memory2 = m[0], m[1]
        self.text = targets is None
        if net.D:
            steps = x.size // net.D
            self.t.x = data(x, network.dtype, steps * net.D, "x")
        else:
            steps = ids.size
            self.t.ids = self.symbols(ids, net.V, steps)
            self.t.id_bytes = ids.itemsize
        if self.text:
            self.t.length = steps if epoch_updates else steps // net.N
            self.t.target_ids = <const char *> self.t.ids + self.t.id_bytes
            if (not epoch_updates and self.t.length < net.T + 2) or net.V != net.K:
                raise ValueError("ids must hold T + 2 symbols for each stream")
        else:
            self.t.length = steps
            if net.loss != LOSSES.index("mean_squared_error"):
                self.t.target_ids = self.symbols(targets, net.K, steps)
                if not net.D and targets.dtype != ids.dtype:
                    raise ValueError("targets must be ids of the type of the inputs")
                self.t.id_bytes = targets.itemsize
            else:
                self.t.y = data(targets, network.dtype, steps * net.K, "targets")
            if mask is not None:
                self.t.mask = <uint8_t *> data(mask, np.bool_, steps, "mask")
            if not epoch_updates:
                raise ValueError("sequences need epoch_updates")
        self.t.epoch_updates = epoch_updates
        self.t.best_loss = float("inf")
        self.t.best_every = best_every

    cdef const char *symbols(self, ids, int count, int64_t steps) except NULL:
        """The address of so many ids below count."""
        if (ids.dtype not in (np.uint8, np.uint16, np.uint32) or ids.ndim != 1
                or not ids.flags.c_contiguous or ids.size != steps or ids.max() >= count):
            raise ValueError("ids must be a contiguous one-dimensional array of unsigned integers "
                             f"below {count}")
        return <const char *> <uintptr_t> ids.ctypes.data

    def run(self, rates, starts=None, lengths=None, labels=None):
        """An update for each of the learning rates; returns their losses and smoothed losses, which
        are shorter where the next loss is not finite. With epoch_updates starts [updates][N] are
        the positions of windows of T steps, or of records or sequences of these lengths
        [updates][N], some of which may be 0; labels [updates][N] are theirs."""
        cdef int64_t updates = len(rates), done = 0
        cdef fastrnn_network *net = &self.network.net
        cdef int64_t N = net.N
        self.t.starts = self.t.lengths = NULL
        self.t.labels = NULL
        if ((starts is None) != (self.t.epoch_updates == 0) or (labels is None) != (net.C == 0)
                or (lengths is None and (labels is not None or not self.text))):
            raise ValueError("starts belong to a training with epoch_updates, lengths to records "
                             "and sequences, labels to a network that has some")
        if starts is not None and updates:
            self.t.starts = <int64_t *> data(starts, np.int64, updates * N, "starts")
            ends = starts.reshape(updates, N) + (net.T if lengths is None else 0)
            if lengths is not None:
                self.t.lengths = <int64_t *> data(lengths, np.int64, updates * N, "lengths")
                steps = lengths.reshape(updates, N)
                ends += steps
                if steps.min() < 0 or steps.max() > net.T or not steps.any(axis=1).all():
                    raise ValueError(f"sequences must have up to {net.T} steps, and not all of an "
                                     "update 0")
            # of a text the last target is the symbol behind
            if starts.min() < 0 or ends.max() + self.text > self.t.length:
                raise ValueError("windows and sequences must lie inside what is learned from")
        if labels is not None:
            self.t.labels = <int32_t *> data(labels, np.int32, updates * N, "labels")
            if updates and (labels.min() < 0 or labels.max() >= net.C):
                raise ValueError(f"labels go from 0 to {net.C - 1}")
        loss, smooth = np.empty(updates), np.empty(updates)
        self.t.rates = <double *> data(rates, np.float64, updates, "rates")
        self.t.loss = <double *> data(loss, np.float64, updates, "loss")
        self.t.smooth = <double *> data(smooth, np.float64, updates, "smooth")
        cdef Team team = Team(len(self.network.slices), self.threads)
        self.t.team = &team.team
        with self.network.lock, team:
            with nogil:
                done = self.network.kernels.run(&self.t, updates)
                self.network.kernels.dismiss(&team.team)
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
        if not 0 <= position < (self.t.epoch_updates
                                or self.t.length - self.network.net.T - 1):
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


def peak(dtype, double seconds=0.05):
    """Floating point operations per second of one core, multiplying and adding in registers."""
    cdef const fastrnn_kernels *kernels = select(dtype)
    cdef int64_t rounds = 1000
    cdef int operations
    x = np.full(64, 0.5, dtype)
    cdef void *p = data(x, x.dtype, 64, "x")
    while True:
        start = time.perf_counter()
        with nogil:
            operations = kernels.spin(rounds, p)
        spent = time.perf_counter() - start
        if spent > seconds:
            return operations * rounds / spent
        rounds *= 2
