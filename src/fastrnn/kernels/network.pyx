"""The kernels of a network: unroll, gradients, sampling."""
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from fastrnn.kernels.border cimport data, select
from fastrnn.kernels.c cimport (
    FASTRNN_MOST_LAYERS, FASTRNN_STAGES, address, bitgen_t, fastrnn_batch, fastrnn_bits, fastrnn_choice,
    fastrnn_network, fastrnn_stage,
)
from fastrnn.kernels.gemm cimport gemm_double, gemm_float
from fastrnn.kernels.reservoir cimport Reservoir
from fastrnn.kernels.team cimport NoFork, Team

import threading
from contextlib import ExitStack, contextmanager

import numpy as np

from . import precision
from .border import CELL_TABLE, CELLS, LOSSES, aligned_zeros
from .memory import check_memory


cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec, tv_nsec
    int TIME_UTC
    int timespec_get(timespec *, int)


cdef double now() noexcept nogil:
    cdef timespec t
    timespec_get(&t, TIME_UTC)
    return t.tv_sec + 1e-9 * t.tv_nsec


@contextmanager
def held(generators):
    """A context in which no other thread draws from these generators: the kernels read their states
    past the lock that NumPy takes."""
    with ExitStack() as stack:
        for lock in sorted((g.bit_generator.lock for g in generators or ()), key=id):
            stack.enter_context(lock)
        yield


cdef class Network:
    """The kernels and the workspace for a model's sizes, one unroll length and one batch size.

    Parameters
    ----------
    config : dict
        hidden_size, num_layers, embedding_size, dropout, weight_drop, labels, loss, dtype as of a
        model, and the name of the cell in CELLS.
    V, D, K : int
        Inputs are V symbols (D is 0) or D numbers (V is 0); outputs (0: no head).
    offsets : dict of tensor name -> first element in the flat block
    size, T, N : int
        Elements of the block, longest unroll, batch.
    packed : bool, optional
        Packed weights in the recurrence, or plain BLAS; by default the faster (bench/NOTES.md).
    reservoir : Reservoir, of the cell "esn"
    lock : threading.RLock, optional
        Which networks of the same parameters share: one thread at a time is in a call to them.
    isa : str, optional
        One of `available_isas`; by default the one in use.
    """
    def __init__(self, config, int V, int D, int K, offsets, int size, int T, int N,
                 packed=None, Reservoir reservoir=None, lock=None, isa=None):
        cdef fastrnn_network *net = &self.net
        cdef int l, i
        self.dtype = precision.array_dtype(config["dtype"])
        # a handler of a signal may use the network that it interrupts: Python runs it only where no
        # call is inside the kernels
        self.lock = threading.RLock() if lock is None else lock
        self.kernels = select(config["dtype"], isa)
        net.cell = CELLS.index(config["cell"])
        net.loss = LOSSES.index(config["loss"])
        net.V, net.D, net.K, net.T, net.N, net.size = V, D, K, T, N, size
        net.H, net.L = config["hidden_size"], config["num_layers"]
        net.E, net.C = config["embedding_size"] or 0, len(config.get("labels") or ())
        net.dropout = round(config["dropout"] * 65536)
        net.weight_drop = round(config.get("weight_drop", 0) * 65536)
        if (not 1 <= net.L <= FASTRNN_MOST_LAYERS or not 0 <= net.dropout < 65536
                or not 0 <= net.weight_drop < 65536):
            raise ValueError(f"1 to {FASTRNN_MOST_LAYERS} layers, dropout and weight_drop from 0 to "
                             "below 1")
        if <int64_t> T * N >= 2**30 or T < 1 or N < 1:
            raise ValueError(f"{T} time steps of {N} sequences are too many for one unroll: give a "
                             "smaller batch_size, or shorter sequences")
        if packed is None:  # one stream uses some matrices too seldom to pay for packing
            packed = (N > 1 or not 200 <= net.H < 400 or config["cell"] not in ("rnn", "relu")
                      or config["dtype"] == precision.MIXED)
        if config["dtype"] == precision.MIXED:  # BLAS does not round
            if not packed or reservoir is not None:
                raise ValueError("mixed_bfloat16 is for trained networks on packed matrices")
        self.reservoir = reservoir
        if reservoir is not None:
            if (reservoir.w.H, reservoir.w.D, reservoir.w.K) != (net.H, D or V, 0):
                raise ValueError("the reservoir has other sizes than the network")
            net.reservoir, packed = &reservoir.w, True
        elif config["cell"] == "esn":
            raise ValueError("the cell 'esn' needs a reservoir")
        net.packed = packed
        net.gemm = gemm_float if self.dtype.itemsize == 4 else gemm_double
        cell = CELL_TABLE[net.cell]
        net.embedding = offsets.get("embedding.W", 0)  # 0: the network has no such tensor
        net.head_W, net.head_b = offsets.get("head.W", 0), offsets.get("head.b", 0)
        for l in range(net.L):
            net.layers[l].D = net.H if l else net.D or net.E or net.V
            net.layers[l].Wc = offsets.get(f"layer{l}.Wc", 0)
            for i, (name, _, _) in enumerate(cell.tensors):
                net.layers[l].tensors[i] = offsets[f"layer{l}.{name}"]
        self.P = net.L * net.H * cell.states
        cdef int64_t elements = self.kernels.workspace_size(net)
        check_memory(float(elements) * self.dtype.itemsize,
                     f"a batch of {N} sequences of {T} steps in a network of {net.H} units",
                     "a smaller batch_size, seq_length or hidden_size")
        self.work = aligned_zeros(elements, self.dtype)
        self.workspace = data(self.work, self.dtype, self.work.size, "work")

    @property
    def nbytes(self):
        """Bytes of the workspace."""
        return self.work.nbytes

    @property
    def isa(self):
        """The instruction set of its kernels."""
        return self.kernels.isa.decode()

    @property
    def slices(self):
        """(first stream, streams) of each slice that a thread takes through an unroll."""
        cdef int count = self.kernels.slices(self.net.N, self.net.H)
        starts = [self.net.N * s // count for s in range(count + 1)]
        return [(start, end - start) for start, end in zip(starts, starts[1:])]

    def useful_threads(self, int threads):
        """How many of so many threads an unroll uses: more than there are slices only where they
        share the work of each slice."""
        return self.kernels.useful_threads(&self.net, threads)

    @property
    def cut_for(self):
        """The number of threads that work is cut for, however small it is; 0: those of each call,
        where it pays. Results do not depend on it."""
        return self.net.cut_for

    @cut_for.setter
    def cut_for(self, int threads):
        self.net.cut_for = threads

    def measure(self):
        """Count, from now on, what `stages` says; calls then do all their work in one thread."""
        memset(&self.meter, 0, sizeof(self.meter))
        self.meter.now, self.net.meter = now, &self.meter

    @property
    def stages(self):
        """What has been measured: name of a stage -> times that its jobs were shared out, jobs, their
        seconds, and the sum of the longest job of each time."""
        cdef fastrnn_stage *s = self.meter.stages
        return {self.kernels.stage_name(i).decode(): (s[i].rounds, s[i].jobs, s[i].seconds,
                                                      s[i].longest)
                for i in range(FASTRNN_STAGES)}

    cdef address ids(self, array, int T, int count, name) except NULL:
        """The address of int32 ids [T][N] below count."""
        cdef address p = data(array, np.int32, <int64_t> T * self.net.N, name, written=False)
        if array.size and (array.min() < 0 or array.max() >= count):
            raise ValueError(f"{name} must hold ids from 0 to {count - 1}")
        return p

    cdef address probabilities(self, labels) except? NULL:
        """The address of the labels' probabilities [N][C]; NULL where there are none."""
        if (labels is None) != (self.net.C == 0):
            raise ValueError(f"this network has {self.net.C} labels: give the probability of each, "
                             "or none")
        return NULL if labels is None else data(
            labels, self.dtype, <int64_t> self.net.N * self.net.C, "labels", written=False)

    def sources(self, generators):
        """The bits of NumPy generators, one for each slice, as the kernels read them. The caller
        keeps the generators alive."""
        cdef int i
        cdef bitgen_t *source
        if len(generators) != len(self.slices):
            raise ValueError(f"dropout needs {len(self.slices)} generators, not {len(generators)}")
        if len({id(generator.bit_generator) for generator in generators}) < len(generators):
            raise ValueError("dropout needs a generator of its own for each slice: slices draw at "
                             "the same time")
        out = np.empty(2 * len(generators), np.uintp)
        cdef fastrnn_bits *bits = <fastrnn_bits *> data(out, np.uintp, out.size, "sources")
        for i, generator in enumerate(generators):
            source = <bitgen_t *> PyCapsule_GetPointer(generator.bit_generator.capsule,
                                                       "BitGenerator")
            bits[i].state, bits[i].next = source.state, source.next_raw
        return out

    cdef int read(self, fastrnn_batch *batch, inputs, targets, mask, lengths, labels,
                  weights, units) except -1:
        """Fill in what an unroll reads and is to predict, checked."""
        cdef fastrnn_network *net = &self.net
        memset(batch, 0, sizeof(batch[0]))
        batch.T = inputs.shape[1] if net.D else len(inputs)
        cdef int64_t rows = <int64_t> batch.T * net.N
        if not 1 <= batch.T <= net.T:
            raise ValueError(f"inputs must have 1 to {net.T} time steps, not {batch.T}")
        if net.D:
            batch.x = data(inputs, self.dtype, rows * net.D, "inputs", written=False)
        else:
            batch.inputs = self.ids(inputs, batch.T, net.V, "inputs")
        batch.labels = self.probabilities(labels)
        if targets is not None and net.loss != LOSSES.index("mean_squared_error"):
            batch.targets = self.ids(targets, batch.T, net.K, "targets")
        elif targets is not None:
            batch.y = data(targets, self.dtype, rows * net.K, "targets", written=False)
        if mask is not None:
            batch.mask = data(mask, np.uint8, rows, "mask", written=False)
        if weights is not None:
            batch.weights = data(weights, np.float64, rows, "weights", written=False)
        if units is not None:
            batch.units = data(units, np.float64, net.K, "units", written=False)
        if lengths is not None:
            batch.lengths = data(lengths, np.int64, net.N, "lengths", written=False)
            if (mask is None or lengths.min() < 0 or lengths.max() > batch.T
                    or (mask.reshape(batch.T, net.N)
                        & (np.arange(batch.T)[:, None] >= lengths)).any()):
                raise ValueError(f"lengths must be 0 to {batch.T}, and the mask 0 after them")
        return 0

    def unroll(self, params, inputs, state, targets=None, grads=None, generators=None,
               int threads=1, right=None, mask=None, lengths=None, out=None, labels=None,
               weights=None, units=None, ranks=None):
        """Read inputs, ids [T][N] or numbers [N][T][D], from state [N][P], which becomes the last.

        With targets, ids [T][N] or numbers [N][T][K], return the loss of each prediction [T][N] and
        fill grads, where given, with the gradient of their sum over time and mean over the batch,
        and right, uint8 [T][N], with whether the target was the likeliest symbol. Without targets
        fill out, where given, with the outputs of the head [N][T][K], or where there is none of the
        last layer [N][T][H]. Where mask, uint8 [T][N], is 0 a prediction does not count; weights,
        float64 [T][N], of 0 or more, are factors of the losses, and units, float64 [K], of the
        squared errors in the losses that are returned and not in the gradient; lengths,
        int64 [N], end rows before T, and need a mask. A network with labels needs the probability
        of each in each row, labels [N][C]. Dropout and weight_drop take a generator for each slice.
        With `ranks`, whose `rank` and `size` tell which slices are this process's, the results of
        other rows have no meaning, and there can be no grads."""
        cdef fastrnn_network *net = &self.net
        cdef fastrnn_batch batch
        if not net.K and (targets is not None or out is None):
            raise ValueError("the network needs a head")
        if grads is not None and (targets is None or ranks is not None):
            raise ValueError("gradients need targets, and all slices")
        self.read(&batch, inputs, targets, mask, lengths, labels, weights, units)
        cdef int64_t rows = <int64_t> batch.T * net.N
        cdef address p = data(params, self.dtype, net.size, "params")
        cdef address g = NULL if grads is None else data(grads, self.dtype, net.size, "grads")
        cdef address h = data(state, self.dtype, <int64_t> net.N * self.P, "state")
        cdef address bits = NULL, each = NULL, hits = NULL, y = NULL
        if generators is not None:
            sources = self.sources(generators)
            bits = data(sources, np.uintp, sources.size, "sources")
        losses = np.zeros((batch.T, net.N))
        if targets is not None:
            each = data(losses, np.float64, rows, "losses")
            if right is not None and batch.targets != NULL:
                hits = data(right, np.uint8, rows, "right")
        elif out is not None:
            y = data(out, self.dtype, rows * (net.K or net.H), "out")
        cdef int rank = 0, size = 0
        if ranks is not None:
            rank, size = ranks.rank, ranks.size
        cdef Team team
        with (NoFork(), self.lock, held(generators),
              Team(self.useful_threads(threads), threads) as team, nogil):
            net.rank, net.ranks = rank, size
            self.kernels.unroll(net, team.team, p, g, self.workspace, &batch, h, each, hits, y,
                                bits)
            net.rank = net.ranks = 0
            self.forwarded = 0 if net.K else batch.T
        return losses

    def forward(self, params, x, state, int threads=1, lengths=None):
        """The outputs of the last layer [N][T][H] of a network without a head, for inputs x
        [N][T][D] read from state [N][P], which becomes the last. lengths, int64 [N], end rows
        before T: what is behind is padding, whose outputs have no meaning."""
        if self.net.K or not self.net.D:
            raise ValueError("forward is for a network without a head that reads numbers")
        out = np.empty((self.net.N, x.shape[1], self.net.H), self.dtype)
        mask = None if lengths is None else (
            np.arange(x.shape[1])[:, None] < lengths).view(np.uint8)
        self.unroll(params, x, state, out=out, threads=threads, mask=mask, lengths=lengths)
        return out

    def backward(self, params, dout, dstate, grads, int threads=1, lengths=None):
        """Back through the last forward(), once after each: from the gradients with respect to its
        result, dout [N][T][H], and to the last state's c or m, in dstate [N][P], which becomes the
        gradient with respect to the first state. Fills grads, a block; returns the gradient with
        respect to x [N][T][D]. Takes the lengths of forward(): dout has no effect behind them.
        Threads that do this at the same time need a network each."""
        cdef int T = dout.shape[1]
        dx = np.empty((self.net.N, T, self.net.D), self.dtype)
        cdef address p = data(params, self.dtype, self.net.size, "params")
        cdef address g = data(grads, self.dtype, self.net.size, "grads")
        cdef int64_t outputs = <int64_t> self.net.N * T * self.net.H
        cdef address dy = data(dout, self.dtype, outputs, "dout", written=False)
        cdef address dh = data(dstate, self.dtype, <int64_t> self.net.N * self.P, "dstate")
        cdef address d = data(dx, self.dtype, dx.size, "dx")
        cdef int64_t *ends = NULL
        if lengths is not None:
            ends = <int64_t *> data(lengths, np.int64, self.net.N, "lengths", written=False)
        cdef Team team
        with NoFork(), self.lock, Team(self.useful_threads(threads), threads) as team:
            if T < 1 or T != self.forwarded:
                raise ValueError(f"there is no forward of {T} time steps to go back through")
            with nogil:
                self.forwarded = 0
                self.kernels.backward(&self.net, team.team, p, self.workspace, T, ends, dy, d,
                                      dh, g)
        return dx

    def sample(self, params, state, ids, double temperature, uniforms, int top_k=0,
               double top_p=1, labels=None, double min_p=0, double penalty=1, seen=None,
               int threads=1):
        """Sample n ids for each of N streams after reading ids [N] in state [N][P], which becomes
        the last; each of the uniform numbers [n][N] in [0, 1) decides one. Only the top_k likeliest
        symbols can come (0: all), of those the likeliest whose probabilities sum to top_p, and of
        those the ones with min_p of the largest probability. Symbols that are marked in seen [N][K]
        have their score divided by the penalty if it is positive, else multiplied by it; those that
        are sampled are marked. Labels as for `unroll`. Returns [n][N]."""
        cdef int64_t n = len(uniforms)
        out = np.empty((n, self.net.N), np.int32)
        if not 0 <= temperature < float("inf") or top_k < 0 or not 0 < top_p <= 1 \
                or not 0 <= min_p <= 1 or not 0 < penalty < float("inf"):
            raise ValueError("sampling takes a temperature of 0 or more, top_k of 0 or more, "
                             "top_p above 0 up to 1, min_p from 0 to 1 and a penalty above 0")
        if self.net.V != self.net.K:
            raise ValueError("sampling needs outputs that are the symbols which are read")
        cdef address x = self.ids(ids, 1, self.net.V, "ids")
        cdef address p = data(params, self.dtype, self.net.size, "params")
        cdef address h = data(state, self.dtype, <int64_t> self.net.N * self.P, "state")
        cdef address u = data(uniforms, np.float64, out.size, "uniforms")
        cdef address y = data(out, np.int32, out.size, "ids")
        cdef address weights = self.probabilities(labels)
        cdef fastrnn_choice choice = [temperature, top_k or self.net.K, top_p, min_p, penalty, NULL]
        if seen is not None:
            choice.seen = <uint8_t *> data(seen, np.uint8, <int64_t> self.net.N * self.net.K, "seen")
        cdef Team team = Team(len(self.slices), threads)
        with NoFork(), self.lock, team, nogil:
            self.kernels.sample(&self.net, team.team, p, self.workspace, h, x, weights, &choice, u,
                                n, y)
        return out
