# What Cython must know of csrc/fastrnn.h, which says what each name means. An array is an `address`
# here, whatever it holds: its dtype and size were checked by `data` in border.pyx.
from libc.stdint cimport int64_t, uint8_t, uint64_t

ctypedef void *address

cdef extern from "numpy/random/bitgen.h":
    ctypedef struct bitgen_t:
        void *state
        uint64_t (*next_raw)(void *) noexcept nogil

cdef extern from "fastrnn.h" nogil:
    enum:
        FASTRNN_MOST_LAYERS, FASTRNN_MOST_TENSORS
        FASTRNN_CHUNK, FASTRNN_STAGES, FASTRNN_RUN, FASTRNN_STRIP

    ctypedef void (*fastrnn_gemm)(int, int, int, int, int, const void *, int, const void *, int,
                                  int, void *, int) noexcept nogil

    ctypedef struct fastrnn_bits:
        void *state
        uint64_t (*next)(void *) noexcept nogil

    ctypedef struct fastrnn_tensor:
        const char *name
        char rows, columns
    ctypedef struct fastrnn_cell:
        const char *name
        int gates, states, state_is_output, trained
        fastrnn_tensor *tensors

    ctypedef struct fastrnn_reservoir:
        int H, D, K
        address first, at, strips, Win, Wfb, b, leak
    ctypedef struct fastrnn_series:
        int64_t T, states_row
        int outputs, fed
        address u, y, noise, Wout, state, last, states, out, work

    ctypedef struct fastrnn_layer:
        int D, Wc
        int *tensors
    ctypedef struct fastrnn_stage:
        int64_t rounds, jobs
        double seconds, longest
    ctypedef struct fastrnn_meter:
        double (*now)() noexcept nogil
        fastrnn_stage *stages
    ctypedef struct fastrnn_network:
        int cell, loss, K, E, H, L, V, D, C, T, N, dropout, packed, embedding, head_W, head_b, size
        int cut_for, rank, ranks, weight_drop
        fastrnn_meter *meter
        fastrnn_layer *layers
        const fastrnn_reservoir *reservoir
        fastrnn_gemm gemm
    ctypedef struct fastrnn_batch:
        int T, same_weights
        address inputs, x, targets, y, lengths, labels, mask, weights, units

    ctypedef struct fastrnn_team:
        pass
    ctypedef struct fastrnn_optimizer:
        int kind, epsilon_inside
        double decay, decay2, epsilon, weight_decay, clip_norm, clip_value
    ctypedef struct fastrnn_training:
        const fastrnn_network *net
        const fastrnn_optimizer *optimizer
        fastrnn_team *team
        int id_bytes
        int64_t length, position, epoch_updates, epoch, update, best_update, best_every
        double smooth_loss, best_loss, most_loss, averaged, teacher_weight
        address params, grads, memory, memory2, average, work, window, marks, label_weights, factors
        address state, best, ids, target_ids, x, y, mask, weights, units, teacher, bits
        address starts, lengths, labels, carried
        address losses, norms, rates, loss, smooth, firsts
        void (*meet)(address, int) noexcept nogil
        address ranks

    ctypedef struct fastrnn_choice:
        double temperature
        int top_k
        double top_p
        double min_p
        double penalty
        uint8_t *seen

    ctypedef struct fastrnn_kernels:
        const char *isa
        int lanes
        const fastrnn_cell *(*cell)(int) noexcept nogil
        int (*slices)(int, int) noexcept nogil
        int (*useful_threads)(fastrnn_network *, int) noexcept nogil
        int64_t (*workspace_size)(fastrnn_network *) noexcept nogil
        int64_t (*gradients_at)(fastrnn_network *, int) noexcept nogil
        const char *(*stage_name)(int) noexcept nogil
        void (*unroll)(fastrnn_network *, fastrnn_team *, address, address, address,
                       fastrnn_batch *, address, address, address, address,
                       address) noexcept nogil
        void (*backward)(fastrnn_network *, fastrnn_team *, address, address, int, int64_t *,
                         address, address, address, address) noexcept nogil
        int64_t (*run)(fastrnn_training *, int64_t) noexcept nogil
        void (*next_losses)(fastrnn_training *) noexcept nogil
        double (*gradient_norm)(fastrnn_training *) noexcept nogil
        void (*sample)(fastrnn_network *, fastrnn_team *, address, address, address, address,
                       address, fastrnn_choice *, address, int64_t, address) noexcept nogil
        int64_t (*series_work)(fastrnn_reservoir *) noexcept nogil
        void (*run_series)(fastrnn_reservoir *, fastrnn_team *, fastrnn_series *) noexcept nogil
        void (*step)(fastrnn_optimizer *, int64_t, double, double, int64_t, address, address,
                     address, address) noexcept nogil
        fastrnn_team *(*gather)(int) noexcept nogil
        void (*part)(fastrnn_team *) noexcept nogil
        int (*helpers)() noexcept nogil
        void (*end_helpers)() noexcept nogil
        int (*come_in)() noexcept nogil
        void (*go_out)() noexcept nogil
        int (*fork_begins)() noexcept nogil
        void (*fork_ends)() noexcept nogil
        void (*start_anew)() noexcept nogil
        void (*map)(int, int64_t, address, address) noexcept nogil
        int (*spin)(int64_t, address) noexcept nogil

    const fastrnn_kernels *fastrnn_select(const char *isa, int precision)
    const char *fastrnn_compiler()
