/* gru_before.h - the cell "gru_before", a GRU that resets before the product (Cho et al. 2014):
 *
 *     r_t, z_t = sigmoid(x_t Wx + h_{t-1} Wh + b),
 *     n_t = tanh(x_t Wxn + bn + (r_t o h_{t-1}) Un),    h_t = (1 - z_t) o n_t + z_t o h_{t-1}
 *
 * Wxn, Un and bn are the third gate of Wx, Wh and b. Slots of z: 0 r, 1 z, 2 n, 3 r o h_{t-1}; then
 * dr, dz, dn. In the code r, z and n are reset, keep and new. */
#pragma once

#include "../cell.h"

static void gru_before_gates_forward(const layer *l, int t, portion some) {
    const int H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (!l->packed) add_plain(l, s.before, row, WH, 0, 2, s.z, zrow);
    tiles w = walk_at(l->walks, t, some);
    touch(&w, s.z, zrow, 4, row);
    while (next_tile(&w)) {
        product(&w, l->packed, H, s.before, 0, row, sum);
        for (int m = 0; m < w.R * w.U; m += PAIR) {
            ptrdiff_t at[PAIR];
            real *gate[PAIR];
            vec reset[2 * PAIR], *keep = reset + PAIR, new[PAIR];
            ALL_OF(PAIR) {
                const spot here = next_vector(&w, sum);
                const int i = here.row, j = here.unit;
                at[p] = (ptrdiff_t)i * row + j;
                gate[p] = s.z + (ptrdiff_t)i * zrow + j;
                reset[p] = input_sum(l, t, i, j, 0) + here.sum[0];
                keep[p] = input_sum(l, t, i, j, 1) + here.sum[w.U];
                new[p] = input_sum(l, t, i, j, 2);
            }
            sigmoids(2 * PAIR, reset);
            ALL_OF(PAIR) {
                store(gate[p], reset[p]);
                store(gate[p] + row, keep[p]);
                store(gate[p] + 2 * row, new[p]); /* without (r o h) Un */
                store(gate[p] + 3 * row, reset[p] * load(s.before + at[p]));
            }
        }
    }
}

static void gru_before_new_forward(const layer *l, int t, portion some) {
    const int H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (!l->packed) add_plain(l, s.z + 3 * row, zrow, WH, 2, 1, s.z + 2 * row, zrow);
    for (tiles w = walk_at(l->walks + 1, t, some); next_tile(&w);) {
        product(&w, l->packed, H, s.z + 3 * row, 0, zrow, sum);
        for (int m = 0; m < w.R * w.U; m += TOGETHER) {
            ptrdiff_t at[TOGETHER];
            real *gate[TOGETHER];
            vec new[TOGETHER];
            ALL_OF(TOGETHER) {
                const spot here = next_vector(&w, sum);
                at[p] = (ptrdiff_t)here.row * row + here.unit;
                gate[p] = s.z + (ptrdiff_t)here.row * zrow + here.unit;
                new[p] = load(gate[p] + 2 * row) + here.sum[0];
            }
            tanhs(TOGETHER, new);
            ALL_OF(TOGETHER) {
                store(gate[p] + 2 * row, new[p]);
                const vec keep = load(gate[p] + row);
                store(s.now + at[p], new[p] + keep * (load(s.before + at[p]) - new[p]));
            }
        }
    }
}

/* dn_t, dz_t as in gru.h,  d(r o h)_t = dn_t Un^T,  dr_t = d(r o h)_t o h_{t-1} o r_t o (1 - r_t);
 * `carry` holds dh_{t+1} o z_{t+1} + d(r o h)_{t+1} o r_{t+1} */
static void gru_before_new_backward(const layer *l, int t, portion some) {
    const int H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (s.more && !l->packed) add_plain_transposed(l, s.after, zrow, WH, 0, 2, s.dh, row);
    tiles w = walk_at(l->walks, t, some);
    touch(&w, s.z, zrow, 3, row);
    touch(&w, s.before, row, 1, 0);
    touch(&w, s.dh, row, 1, 0);
    while (next_tile(&w)) {
        product(&w, s.more && l->packed ? 2 : 0, H, s.after, row, zrow, sum);
        EACH_VECTOR(w) {
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
            real *gate = s.z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
            const vec keep = load(gate + row), new = load(gate + 2 * row);
            const vec d = load(s.dh + at) + load(l->carry + at) + sum[w.place][r][u];
            store(l->carry + at, d * keep);
            store(gate + row, d * (load(s.before + at) - new) * keep * ((real)1 - keep));
            store(gate + 2 * row, d * ((real)1 - keep) * ((real)1 - new * new));
            store(s.dh + at, all(0)); /* from here on d(r o h) */
        }
    }
}

static void gru_before_reset_backward(const layer *l, int t, portion some) {
    const int H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (!l->packed) add_plain_transposed(l, s.z + 2 * row, zrow, WH, 2, 1, s.dh, row);
    for (tiles w = walk_at(l->walks + 1, t, some); next_tile(&w);) {
        product(&w, l->packed, H, s.z + 2 * row, 0, zrow, sum);
        EACH_VECTOR(w) {
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
            real *gate = s.z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
            const vec reset = load(gate), d = load(s.dh + at) + sum[w.place][r][u];
            store(l->carry + at, load(l->carry + at) + d * reset);
            store(gate, d * load(s.before + at) * reset * ((real)1 - reset));
        }
    }
}

static void gru_before_gradients(const layer *l, const gradients_of *to, portion some) {
    const int row = l->row;
    const factor both[2] = {{l->H, row, l->h, to->tensor[WH]}, to->x};
    const factor reset[2] = {{l->H, l->zrow, l->z + 3 * row, to->tensor[WH]}, to->x};
    gate_gradients(l, 0, 2, l->z, both, 1 + to->inputs, to->tensor[B], to->picked, some);
    gate_gradients(l, 2, 1, l->z + 2 * row, reset, 1 + to->inputs, to->tensor[B], to->picked, some);
}

static void gru_before_start_gradient(const layer *l, real *dstart, portion some) {
    start_from_products(l, 2, 0, 1, dstart, some);
}

static const cell gru_before_cell = {
    .is = {.name = "gru_before",
           .gates = 3,
           .states = 1,
           .state_is_output = 1,
           .trained = 1,
           .bounded = 1,
           .tensors = {FIRST_TENSORS}},
    .slots = 4,
    .packs = {{WH, 0, 2}, {WH, 2, 1}},
    .forward = {gru_before_gates_forward, gru_before_new_forward},
    .backward = {gru_before_new_backward, gru_before_reset_backward},
    .gradients = gru_before_gradients,
    .start_gradient = gru_before_start_gradient,
};
