"""A training run in progress."""
from libc.stdint cimport int64_t, uintptr_t

from fastrnn.kernels.border cimport data
from fastrnn.kernels.c cimport FASTRNN_CHUNK, address, fastrnn_network, fastrnn_training
from fastrnn.kernels.network cimport Network
from fastrnn.kernels.optimizer cimport Optimizer
from fastrnn.kernels.team cimport NoFork, Team

import numpy as np

from .border import LOSSES, aligned_zeros
from .network import held


cdef void meet(void *meeting, int sums) noexcept with gil:
    (<object> meeting)(sums)


cdef class Training:
    """A training run in progress: its counters, and the arrays that the loop reads and writes. While
    a thread is in `run` others wait before they change anything.

    Parameters
    ----------
    network : Network
    optimizer : Optimizer
    params, best : flat blocks
        `best` receives the parameters at the lowest smoothed loss, of those at multiples of
        `best_every` updates.
    memories, state : a list of the optimizer's blocks; array [N][P], carried between windows
    ids : 1-D array of unsigned ids, or None
        A text: N equal streams, one after the other, or, where an epoch has `epoch_updates`
        updates, windows or records that start anywhere. With `targets` the inputs of sequences.
    targets : ids of the type of `ids`, or where the loss asks for them numbers [steps][K]
    x : array [steps][D], the inputs of sequences in place of ids
    mask : bool [steps], whether a step of sequences counts; None: all
    average, averaged : a block, or None; float
        The running average of the parameters: update t adds 1 / (1 + averaged (t - 1))
        of the difference. `best` then receives it in place of the parameters.
    weights : float64 [steps], the factor of each step's loss, 0 or more; None: 1
    units : float64 [K], factors of squared errors in the losses, not in the gradient; None: 1
    teacher : array [steps][K], probabilities that are learned beside the targets; None: none
    teacher_weight : their part, from 0 to 1
    generators : list of numpy.random.Generator, one for each slice, where there is dropout
    threads : int, at most; the numbers do not depend on it
    """
    cdef Network network
    cdef Optimizer optimizer
    cdef fastrnn_training t
    cdef int threads
    cdef bint text              # whether a symbol's target is the next symbol
    cdef list arrays            # that the addresses in t point to
    cdef readonly object grads, losses  # of the last update that was tried: a block, and [T][N]
    cdef object generators
    cdef object ranks, meeting  # of several processes, None: this one alone
    cdef object now             # a dict: the counters after the last call, for other threads

    def __init__(self, Network network, Optimizer optimizer, params, memories, state, best,
                 ids=None, generators=None, int threads=1, int64_t best_every=100,
                 int64_t epoch_updates=0, targets=None, x=None, mask=None,
                 weights=None, units=None, average=None, double averaged=0, teacher=None,
                 double teacher_weight=0):
        cdef fastrnn_network *net = &network.net
        cdef address m[2]
        dtype = network.dtype
        self.network, self.optimizer, self.threads = network, optimizer, threads
        self.generators, self.now = generators, {}
        self.t.net, self.t.optimizer, self.t.work = net, &optimizer.rule, network.workspace
        self.t.epoch_updates, self.t.best_every = epoch_updates, best_every
        self.t.best_loss, self.t.most_loss = float("inf"), np.finfo(float).max
        self.note()
        self.arrays = [params, memories, state, best, ids, targets, x, mask, weights, units,
                       average]
        self.t.params = data(params, dtype, net.size, "params")
        self.t.best = data(best, dtype, net.size, "best")
        if average is not None:
            self.t.average = data(average, dtype, net.size, "average")
            self.t.averaged = averaged
        self.t.state = data(state, dtype, <int64_t> net.N * network.P, "state")
        optimizer.addresses(memories, dtype, net.size, m)
        self.t.memory, self.t.memory2 = m[0], m[1]
        self.grads, self.losses = aligned_zeros(net.size, dtype), np.zeros((net.T, net.N))
        self.t.grads, self.t.losses = self.keep(self.grads), self.keep(self.losses)
        self.t.window = self.keep(np.zeros(2 * net.T * net.N + 2 * net.V, np.int32))
        self.t.marks = self.keep(np.zeros(net.T * net.N, np.uint8))
        self.t.label_weights = self.keep(np.zeros(net.N * net.C, dtype))
        self.t.norms = self.keep(np.empty(net.size // FASTRNN_CHUNK + 2))
        if generators is not None:
            self.t.bits = self.keep(network.sources(generators))
        self.text = targets is None
        self.read(ids, targets, x, mask)
        if units is not None:
            self.t.units = data(units, np.float64, net.K, "units", written=False)
        if teacher is not None:     # a symbol's loss is the cross-entropy
            self.t.teacher = data(teacher, dtype, <int64_t> ids.size * net.K, "teacher",
                                  written=False)
            self.t.teacher_weight = teacher_weight
            self.t.firsts = self.keep(np.zeros(net.N, np.int64))
            self.arrays.append(teacher)
        if weights is not None:
            steps = x.size // net.D if net.D else ids.size
            self.t.weights = data(weights, np.float64, steps, "weights", written=False)
            self.t.factors = self.keep(np.zeros(net.T * net.N))

    cdef address keep(self, array) except NULL:
        """The address of an array that lives as long as the run."""
        self.arrays.append(array)
        return data(array, array.dtype, array.size, "array")

    cdef int read(self, ids, targets, x, mask) except -1:
        """Set, checked, what is learned from: a text, or steps that have targets of their own."""
        cdef fastrnn_network *net = &self.network.net
        cdef int64_t steps = x.size // net.D if net.D else ids.size
        self.t.length = steps if self.t.epoch_updates else steps // net.N
        if net.D:
            self.t.x = data(x, self.network.dtype, steps * net.D, "x", written=False)
        else:
            self.t.ids = self.symbols(ids, net.V, steps)
            self.t.id_bytes = ids.itemsize
        if self.text:
            self.t.target_ids = <char *> self.t.ids + self.t.id_bytes
            if ((not self.t.epoch_updates and self.t.length < net.T + 2) or net.D
                    or net.V != net.K):
                raise ValueError("ids must hold T + 2 symbols for each stream")
            return 0
        if net.loss == LOSSES.index("mean_squared_error"):
            self.t.y = data(targets, self.network.dtype, steps * net.K, "targets",
                            written=False)
        else:
            self.t.target_ids = self.symbols(targets, net.K, steps)
            if not net.D and targets.dtype != ids.dtype:
                raise ValueError("targets must be ids of the type of the inputs")
            self.t.id_bytes = targets.itemsize
        if mask is not None:
            self.t.mask = data(mask, np.bool_, steps, "mask", written=False)
        if not self.t.epoch_updates:
            raise ValueError("sequences need epoch_updates")
        return 0

    cdef address symbols(self, ids, int count, int64_t steps) except NULL:
        """The address of as many ids as there are steps, below count."""
        if (ids.dtype not in (np.uint8, np.uint16, np.uint32) or ids.ndim != 1
                or not ids.flags.c_contiguous or ids.size != steps or ids.max() >= count):
            raise ValueError("ids must be a contiguous one-dimensional array of unsigned integers "
                             f"below {count}")
        return <address> <uintptr_t> ids.ctypes.data

    cdef int rows(self, int64_t updates, starts, lengths, labels, carried,
                  address *out) except -1:
        """The addresses of starts, lengths, labels and carried, checked; NULL where they are None.
        """
        cdef fastrnn_network *net = &self.network.net
        cdef int64_t rows = updates * net.N
        out[0] = out[1] = out[2] = out[3] = NULL
        if ((starts is None) != (self.t.epoch_updates == 0) or (labels is None) != (net.C == 0)
                or (lengths is None and (labels is not None or carried is not None
                                         or not self.text))):
            raise ValueError("starts belong to a training with epoch_updates, lengths to records "
                             "and sequences, labels to a network that has some")
        if starts is not None and updates:
            out[0] = data(starts, np.int64, rows, "starts", written=False)
            steps = net.T
            if lengths is not None:
                out[1] = data(lengths, np.int64, rows, "lengths", written=False)
                steps = lengths.reshape(updates, net.N)
                if steps.min() < 0 or steps.max() > net.T or not steps.any(axis=1).all():
                    raise ValueError(f"sequences must have up to {net.T} steps, and not all of an "
                                     "update 0")
            # the last target of a text is the symbol after the window
            ends = starts.reshape(updates, net.N) + steps + self.text
            if starts.min() < 0 or ends.max() > self.t.length:
                raise ValueError("windows and sequences must lie inside what is learned from")
        if labels is not None:
            out[2] = data(labels, np.int32, rows, "labels", written=False)
            if updates and (labels.min() < 0 or labels.max() >= net.C):
                raise ValueError(f"labels go from 0 to {net.C - 1}")
        if carried is not None:
            out[3] = data(carried, np.bool_, rows, "carried", written=False)
        return 0

    def run(self, rates, starts=None, lengths=None, labels=None, carried=None):
        """Make an update with each of the learning rates; returns their losses and smoothed losses,
        which are shorter where the next loss is above `most_loss` or its gradient not finite.

        With epoch_updates starts [updates][N] are the positions of windows of T steps, or of
        records or sequences, whose lengths [updates][N] may be 0; labels [updates][N] belong to the
        records. Where carried, bool [updates][N], is True a row goes on from its state after the
        update before."""
        cdef int64_t updates = len(rates), done = 0
        cdef address rows[4]
        self.rows(updates, starts, lengths, labels, carried, rows)
        loss, smooth = np.empty(updates), np.empty(updates)
        cdef fastrnn_network *net = &self.network.net
        cdef Team team
        cdef address r = data(rates, np.float64, updates, "rates", written=False)
        cdef address each = data(loss, np.float64, updates, "loss")
        cdef address smoothed = data(smooth, np.float64, updates, "smooth")
        with NoFork(), self.network.lock, held(self.generators):
            if self.ranks is not None:
                net.rank, net.ranks = self.ranks.rank, self.ranks.size
            try:
                with Team(max(1, self.network.useful_threads(self.threads)), self.threads) as team:
                    # from here to the end of the call nothing of Python runs but `meeting`, no
                    # handler of a signal either
                    self.t.rates, self.t.loss, self.t.smooth = r, each, smoothed
                    self.t.starts, self.t.lengths, self.t.labels = rows[0], rows[1], rows[2]
                    self.t.carried, self.t.team = rows[3], team.team
                    with nogil:
                        done = self.network.kernels.run(&self.t, updates)
            finally:  # others compute all slices with this network
                net.rank = net.ranks = 0
            self.note()
        return loss[:done], smooth[:done]

    def share(self, ranks):
        """Share the slices of each batch with other processes from now on, which all call `run` with
        the same arguments. `ranks` has `rank`, `size` and meeting(slices, gradients, losses), where
        slices are those of the network, gradients the block of each and losses [T][N]: a function
        called twice in an update, first with 0, to exchange the losses and the sums of the
        gradients, then with 1, to exchange the sums of all ranks."""
        cdef fastrnn_network *net = &self.network.net
        slices, work = self.network.slices, self.network.work
        starts = [self.network.kernels.gradients_at(net, s) for s in range(len(slices))]
        gradients = [self.grads, *(work[start : start + net.size] for start in starts[1:])]
        self.ranks, self.meeting = ranks, ranks.meeting(slices, gradients, self.losses)
        self.t.meet, self.t.ranks = meet, <void *> self.meeting

    def next_loss(self, starts=None, lengths=None, labels=None, carried=None):
        """The mean loss of a prediction in the next update, with the arguments that `run` would get
        for it alone. There is no dropout, and nothing changes."""
        cdef address rows[4]
        cdef Team team
        self.rows(1, starts, lengths, labels, carried, rows)
        with (NoFork(), self.network.lock,
              Team(self.network.useful_threads(self.threads), self.threads) as team):
            self.t.starts, self.t.lengths, self.t.labels = rows[0], rows[1], rows[2]
            self.t.carried, self.t.team = rows[3], team.team
            self.losses[:] = 0      # and it stays 0 where nothing is predicted
            with nogil:
                self.network.kernels.next_losses(&self.t)
            count = self.losses.size if lengths is None else np.count_nonzero(self.losses)
            return float(self.losses.sum() / max(1, count))

    def gradient_norm(self):
        """The Euclidean norm of the gradient of the last update that was tried, of all parameters
        together and before clipping; 0 before the first. Afterwards `grads` is that gradient, where
        it may still have had rows of earlier updates."""
        with self.network.lock:
            return self.network.kernels.gradient_norm(&self.t)

    @property
    def most_loss(self):
        """A larger loss of an update, or NaN, ends `run`."""
        with self.network.lock:
            return self.t.most_loss

    @most_loss.setter
    def most_loss(self, double value):
        with self.network.lock:
            self.t.most_loss = min(value, np.finfo(float).max)

    cdef int note(self) except -1:
        # one dict for good, that other threads may read: they would follow a pointer to another one
        # while this thread frees the last
        self.now.update({
            "update": self.t.update, "epoch": self.t.epoch, "position": self.t.position,
            "smooth_loss": self.t.smooth_loss, "best_loss": self.t.best_loss,
            "best_update": self.t.best_update})
        return 0

    # by name: what a checkpoint stores
    @property
    def counters(self):
        return self.now.copy()

    @counters.setter
    def counters(self, values):
        cdef int64_t position = values["position"]
        if not 0 <= position < (self.t.epoch_updates
                                or self.t.length - self.network.net.T - 1):
            raise ValueError(f"position {position} lies outside this text")
        with self.network.lock:
            self.t.update, self.t.epoch = values["update"], values["epoch"]
            self.t.position, self.t.smooth_loss = position, values["smooth_loss"]
            self.t.best_loss, self.t.best_update = values["best_loss"], values["best_update"]
            self.note()

    @property
    def update(self):
        return self.now["update"]

    @property
    def epoch(self):
        return self.now["epoch"]

    @property
    def position(self):
        return self.now["position"]
