"""A training run in progress."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uintptr_t

from fastrnn.kernels.border cimport data
from fastrnn.kernels.c cimport FASTRNN_CHUNK, fastrnn_bits, fastrnn_network, fastrnn_training
from fastrnn.kernels.network cimport Network
from fastrnn.kernels.optimizer cimport Optimizer
from fastrnn.kernels.team cimport Team

import numpy as np

from .border import LOSSES, aligned_zeros


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
    cdef object arrays, learned          # what the addresses in t point to

    def __init__(self, Network network, Optimizer optimizer, params, memories, state, best,
                 ids=None, generators=None, int threads=1, int64_t best_every=100,
                 int64_t epoch_updates=0, targets=None, x=None, mask=None):
        self.network, self.optimizer, self.threads = network, optimizer, threads
        self.t.net, self.t.optimizer = &network.net, &optimizer.rule
        self.t.epoch_updates = epoch_updates
        self.t.best_loss = float("inf")
        self.t.best_every = best_every
        self.blocks(params, memories, state, best, generators)
        self.text = targets is None
        self.learned = ids, targets, x, mask
        if self.text:
            self.read_text(ids)
        else:
            self.read_sequences(ids, targets, x, mask)

    cdef int blocks(self, params, memories, state, best, generators) except -1:
        """Give the loop its blocks and its scratch."""
        cdef Network network = self.network
        cdef fastrnn_network *net = &network.net
        cdef void *m[2]
        grads = aligned_zeros(params.size, params.dtype)
        window = np.zeros(2 * net.T * net.N + 2 * net.V, np.int32)
        marks = np.zeros(net.T * net.N, np.uint8)
        weights = np.zeros(net.N * net.C, network.dtype)
        losses, norms = np.empty((net.T, net.N)), np.empty(net.size // FASTRNN_CHUNK + 2)
        sources = None if generators is None else network.sources(generators)
        self.arrays = (params, grads, memories, state, best, window, marks, weights, losses, norms,
                       generators, sources)
        self.t.losses = <double *> data(losses, np.float64, losses.size, "losses")
        self.t.norms = <double *> data(norms, np.float64, norms.size, "norms")
        self.t.params = data(params, network.dtype, net.size, "params")
        self.t.grads = data(grads, network.dtype, net.size, "grads")
        self.t.best = data(best, network.dtype, net.size, "best")
        self.t.state = data(state, network.dtype, <int64_t> net.N * network.P, "state")
        self.t.work = data(network.work, network.dtype, network.work.size, "work")
        self.t.window = <int32_t *> data(window, np.int32, window.size, "window")
        self.t.marks = <uint8_t *> data(marks, np.uint8, marks.size, "marks")
        if net.C:
            self.t.label_weights = data(weights, network.dtype, weights.size, "label weights")
        if sources is not None:
            self.t.bits = <fastrnn_bits *> data(sources, np.uintp, sources.size, "sources")
        self.optimizer.addresses(memories, network.dtype, net.size, m)
        self.t.memory, self.t.memory2 = m[0], m[1]
        return 0

    cdef int read_text(self, ids) except -1:
        """Learn from ids whose targets are the ids behind them."""
        cdef fastrnn_network *net = &self.network.net
        self.t.ids = self.symbols(ids, net.V, ids.size)
        self.t.id_bytes = ids.itemsize
        self.t.length = ids.size if self.t.epoch_updates else ids.size // net.N
        self.t.target_ids = <const char *> self.t.ids + self.t.id_bytes
        if (not self.t.epoch_updates and self.t.length < net.T + 2) or net.V != net.K:
            raise ValueError("ids must hold T + 2 symbols for each stream")
        return 0

    cdef int read_sequences(self, ids, targets, x, mask) except -1:
        """Learn from steps that have targets of their own."""
        cdef fastrnn_network *net = &self.network.net
        dtype = self.network.dtype
        cdef int64_t steps = x.size // net.D if net.D else ids.size
        if net.D:
            self.t.x = data(x, dtype, steps * net.D, "x")
        else:
            self.t.ids = self.symbols(ids, net.V, steps)
            self.t.id_bytes = ids.itemsize
        self.t.length = steps
        if net.loss != LOSSES.index("mean_squared_error"):
            self.t.target_ids = self.symbols(targets, net.K, steps)
            if not net.D and targets.dtype != ids.dtype:
                raise ValueError("targets must be ids of the type of the inputs")
            self.t.id_bytes = targets.itemsize
        else:
            self.t.y = data(targets, dtype, steps * net.K, "targets")
        if mask is not None:
            self.t.mask = <uint8_t *> data(mask, np.bool_, steps, "mask")
        if not self.t.epoch_updates:
            raise ValueError("sequences need epoch_updates")
        return 0

    cdef const char *symbols(self, ids, int count, int64_t steps) except NULL:
        """The address of so many ids below count."""
        if (ids.dtype not in (np.uint8, np.uint16, np.uint32) or ids.ndim != 1
                or not ids.flags.c_contiguous or ids.size != steps or ids.max() >= count):
            raise ValueError("ids must be a contiguous one-dimensional array of unsigned integers "
                             f"below {count}")
        return <const char *> <uintptr_t> ids.ctypes.data

    cdef int rows(self, int64_t updates, starts, lengths, labels) except -1:
        """Tell the loop where the rows of each update begin, checked."""
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
        return 0

    def run(self, rates, starts=None, lengths=None, labels=None):
        """An update for each of the learning rates; returns their losses and smoothed losses, which
        are shorter where the next loss is not finite.

        With epoch_updates starts [updates][N] are the positions of windows of T steps, or of records
        or sequences of these lengths [updates][N], some of which may be 0; labels [updates][N] are
        theirs."""
        cdef int64_t updates = len(rates), done = 0
        self.rows(updates, starts, lengths, labels)
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
