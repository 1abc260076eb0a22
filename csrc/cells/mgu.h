/* mgu.h - the cell "mgu", the minimal gated unit (Zhou et al. 2016):
 *
 *     f_t = sigmoid(x_t Wf + h_{t-1} Uf + bf),    n_t = tanh(x_t Wn + (f_t o h_{t-1}) Un + bn),
 *     h_t = (1 - f_t) o h_{t-1} + f_t o n_t
 *
 * The columns of Wx, Wh and b come in the order f, n. Slots of z: 0 f, 1 n, 2 f o h_{t-1}; then
 * df, dn, and in 3 what of df does not come through n.
 */
#pragma once

#include "../cell.h"

static void mgu_gate_forward(const layer *l, int t, portion some) {
    const int H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (!l->packed) add_plain(l, s.before, row, WH, 0, 1, s.z, zrow);
    tiles w = walk_at(l->walks, t, some);
    touch(&w, s.z, zrow, 3, row);
    while (next_tile(&w)) {
        product(&w, l->packed, H, s.before, 0, row, sum);
        EACH_VECTOR(w) {
            const int i = w.row + r, j = w.unit + u * LANES;
            real *gate = s.z + (ptrdiff_t)i * zrow + j;
            const vec new = input_sum(l, t, i, j, 1);
            vec f = input_sum(l, t, i, j, 0) + sum[w.place][r][u];
            sigmoids(1, &f);
            store(gate, f);
            store(gate + row, new); /* without (f o h) Un */
            store(gate + 2 * row, f * load(s.before + (ptrdiff_t)i * row + j));
        }
    }
}

static void mgu_new_forward(const layer *l, int t, portion some) {
    const int H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (!l->packed) add_plain(l, s.z + 2 * row, zrow, WH, 1, 1, s.z + row, zrow);
    for (tiles w = walk_at(l->walks + 1, t, some); next_tile(&w);) {
        product(&w, l->packed, H, s.z + 2 * row, 0, zrow, sum);
        EACH_VECTOR(w) {
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
            real *gate = s.z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
            vec new = load(gate + row) + sum[w.place][r][u];
            tanhs(1, &new);
            store(gate + row, new);
            const vec keep = (real)1 - load(gate);
            store(s.now + at, new + keep * (load(s.before + at) - new));
        }
    }
}

/* dn_t = dh_t o f_t o (1 - n_t^2),  d(f o h)_t = dn_t Un^T,
 * df_t = (dh_t o (n_t - h_{t-1}) + d(f o h)_t o h_{t-1}) o f_t o (1 - f_t);
 * `carry` holds dh_{t+1} o (1 - f_{t+1}) + d(f o h)_{t+1} o f_{t+1} */
static void mgu_new_backward(const layer *l, int t, portion some) {
    const int H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (s.more && !l->packed) add_plain_transposed(l, s.after, zrow, WH, 0, 1, s.dh, row);
    tiles w = walk_at(l->walks, t, some);
    touch(&w, s.z, zrow, 4, row);
    touch(&w, s.before, row, 1, 0);
    touch(&w, s.dh, row, 1, 0);
    while (next_tile(&w)) {
        product(&w, s.more && l->packed, H, s.after, 0, zrow, sum);
        EACH_VECTOR(w) {
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
            real *gate = s.z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
            const vec f = load(gate), new = load(gate + row);
            const vec d = load(s.dh + at) + load(l->carry + at) + sum[w.place][r][u];
            store(l->carry + at, d * ((real)1 - f));
            store(gate + row, d * f * ((real)1 - new * new));
            store(gate + 3 * row, d * (new - load(s.before + at)));
            store(s.dh + at, all(0)); /* from here on d(f o h) */
        }
    }
}

static void mgu_gate_backward(const layer *l, int t, portion some) {
    const int H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (!l->packed) add_plain_transposed(l, s.z + row, zrow, WH, 1, 1, s.dh, row);
    for (tiles w = walk_at(l->walks + 1, t, some); next_tile(&w);) {
        product(&w, l->packed, H, s.z + row, 0, zrow, sum);
        EACH_VECTOR(w) {
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
            real *gate = s.z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
            const vec f = load(gate), d = load(s.dh + at) + sum[w.place][r][u];
            store(l->carry + at, load(l->carry + at) + d * f);
            store(gate, (load(gate + 3 * row) + d * load(s.before + at)) * f * ((real)1 - f));
        }
    }
}

static void mgu_gradients(const layer *l, const gradients_of *to, portion some) {
    const factor both[2] = {{l->H, l->row, l->h, to->tensor[WH]}, to->x};
    const factor kept[2] = {{l->H, l->zrow, l->z + 2 * l->row, to->tensor[WH]}, to->x};
    gate_gradients(l, 0, 1, l->z, both, 1 + to->inputs, to->tensor[B], to->picked, some);
    gate_gradients(l, 1, 1, l->z + l->row, kept, 1 + to->inputs, to->tensor[B], to->picked, some);
}

static void mgu_start_gradient(const layer *l, real *dstart, portion some) {
    start_from_products(l, 1, 0, 1, dstart, some);
}

static const cell mgu_cell = {
    .is = {.name = "mgu",
           .gates = 2,
           .states = 1,
           .state_is_output = 1,
           .trained = 1,
           .bounded = 1,
           .tensors = {FIRST_TENSORS}},
    .slots = 4,
    .packs = {{WH, 0, 1}, {WH, 1, 1}},
    .forward = {mgu_gate_forward, mgu_new_forward},
    .backward = {mgu_new_backward, mgu_gate_backward},
    .gradients = mgu_gradients,
    .start_gradient = mgu_start_gradient,
};
