"""The optimizers' rules."""
from libc.stdint cimport int64_t

from fastrnn.kernels.border cimport data, select
from fastrnn.kernels.c cimport address, fastrnn_kernels

from .border import OPTIMIZERS


cdef class Optimizer:
    """An optimizer's rule and numbers; see fastrnn_optimizer in csrc/fastrnn.h."""

    def __init__(self, kind, double decay=0, double decay2=0, double epsilon=1e-8,
                 clip_value=None, clip_norm=None, bint epsilon_inside=True,
                 double weight_decay=0):
        self.rule.kind = OPTIMIZERS.index(kind)
        self.memories = {"adam": 2, "dynamic": 2, "sgd": int(decay > 0)}.get(kind, 1)
        self.rule.decay, self.rule.decay2, self.rule.epsilon = decay, decay2, epsilon
        self.rule.epsilon_inside, self.rule.weight_decay = epsilon_inside, weight_decay
        self.rule.clip_value = float("inf") if clip_value is None else clip_value
        self.rule.clip_norm = float("inf") if clip_norm is None else clip_norm

    cdef int addresses(self, memories, dtype, int64_t size, address *out) except -1:
        """Those of the memory blocks, checked; NULL for those that this optimizer does not keep."""
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
        cdef address p = data(params, dtype, n, "params")
        cdef address g = data(grads, dtype, n, "grads", written=False)
        cdef address m[2]
        self.addresses(memories, dtype, n, m)
        with nogil:
            kernels.step(&self.rule, update, rate, 1.0, n, p, g, m[0], m[1])
