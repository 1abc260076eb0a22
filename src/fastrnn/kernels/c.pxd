# What Cython must know of csrc/fastrnn.h, which says what each name means.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

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
        FASTRNN_MOST_TENSORS
        FASTRNN_CHUNK
        FASTRNN_RUN
        FASTRNN_STRIP
        FASTRNN_MOST_PARTS

    ctypedef struct fastrnn_tensor:
        const char *name
        char rows, columns

    ctypedef struct fastrnn_cell:
        const char *name
        int gates, states, state_is_output, trained, bounded
        fastrnn_tensor tensors[FASTRNN_MOST_TENSORS]

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
        int D, Wc
        int tensors[FASTRNN_MOST_TENSORS]

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
        void *label_weights
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
        const fastrnn_cell *(*cell)(int) noexcept nogil
        int (*slices)(int, int) noexcept nogil
        int64_t (*workspace_size)(const fastrnn_network *) noexcept nogil
        void (*unroll)(const fastrnn_network *, fastrnn_team *, const void *, void *, void *,
                       const fastrnn_batch *, void *, double *, uint8_t *, void *,
                       const fastrnn_bits *) noexcept nogil
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
