/* gru.h - the cell "gru" (Cho et al. 2014), reset after the product, as in PyTorch and cuDNN:
 *
 *     r_t, z_t = sigmoid(x_t Wx + h_{t-1} Wh + b),
 *     n_t = tanh(x_t Wxn + bn + r_t o (h_{t-1} Un + bhn)),    h_t = (1 - z_t) o n_t + z_t o h_{t-1}
 *
 * Wxn, Un and bn are the third gate of Wx, Wh and b. Slots of z: 0 r, 1 z, 2 n, 3 h_{t-1} Un + bhn;
 * then dr, dz, dn, dn o r. In the code r, z and n are reset, keep and new. */
#pragma once

#include "../cell.h"

enum { BHN = 3 };

static void gru_forward(const layer *l, int t, portion some) {
    const int n = l->n, H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (!l->packed) {
        for (int i = 0; i < n; i++) memset(s.z + i * zrow + 3 * row, 0, H * sizeof(real));
        add_plain(l, s.before, row, WH, 0, 2, s.z, zrow);
        add_plain(l, s.before, row, WH, 2, 1, s.z + 3 * row, zrow);
    }
    tiles w = walk_at(l->walks, t, some);
    touch(&w, s.z, zrow, 4, row);
    touch(&w, s.now, row, 1, 0);
    while (next_tile(&w)) {
        product(&w, l->packed, H, s.before, 0, row, sum);
        for (int m = 0; m < w.R * w.U; m += PAIR) {
            ptrdiff_t at[PAIR];
            real *gate[PAIR];
            vec reset[2 * PAIR], *keep = reset + PAIR, own[PAIR], new[PAIR];
            ALL_OF(PAIR) {
                const spot here = next_vector(&w, sum);
                const int i = here.row, j = here.unit;
                at[p] = (ptrdiff_t)i * row + j;
                gate[p] = s.z + (ptrdiff_t)i * zrow + j;
                reset[p] = input_sum(l, t, i, j, 0) + here.sum[0];
                keep[p] = input_sum(l, t, i, j, 1) + here.sum[w.U];
                new[p] = input_sum(l, t, i, j, 2);
                own[p] = (l->packed ? here.sum[2 * w.U] : load(gate[p] + 3 * row))
                         + load(l->tensor[BHN] + j);
            }
            sigmoids(2 * PAIR, reset);
            ALL_OF(PAIR) new[p] += reset[p] * own[p];
            tanhs(PAIR, new);
            ALL_OF(PAIR) {
                store(gate[p], reset[p]);
                store(gate[p] + row, keep[p]);
                store(gate[p] + 2 * row, new[p]);
                store(gate[p] + 3 * row, own[p]);
                store(s.now + at[p], new[p] + keep[p] * (load(s.before + at[p]) - new[p]));
            }
        }
    }
}

/* dn_t = dh_t o (1 - z_t) o (1 - n_t^2),  dz_t = dh_t o (h_{t-1} - n_t) o z_t o (1 - z_t),
 * dr_t = dn_t o (h_{t-1} Un + bhn) o r_t o (1 - r_t); `carry` holds dh_{t+1} o z_{t+1} */
static void gru_backward(const layer *l, int t, portion some) {
    const int H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (s.more && !l->packed) {
        add_plain_transposed(l, s.after, zrow, WH, 0, 2, s.dh, row);
        add_plain_transposed(l, s.after + 3 * row, zrow, WH, 2, 1, s.dh, row);
    }
    tiles w = walk_at(l->walks, t, some);
    touch(&w, s.z, zrow, 4, row);
    touch(&w, s.before, row, 1, 0);
    touch(&w, s.dh, row, 1, 0);
    while (next_tile(&w)) {
        product(&w, s.more && l->packed ? 2 : 0, H, s.after, row, zrow, sum);
        if (s.more && l->packed) add_product(&w, 2, 1, H, s.after + 3 * row, 0, zrow, sum);
        EACH_VECTOR(w) {
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
            real *gate = s.z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
            const vec reset = load(gate), keep = load(gate + row), new = load(gate + 2 * row);
            const vec own = load(gate + 3 * row);
            const vec d = load(s.dh + at) + load(l->carry + at) + sum[w.place][r][u];
            const vec dnew = d * ((real)1 - keep) * ((real)1 - new * new);
            store(l->carry + at, d * keep);
            store(gate, dnew * own * reset * ((real)1 - reset));
            store(gate + row, d * (load(s.before + at) - new) * keep * ((real)1 - keep));
            store(gate + 2 * row, dnew);
            store(gate + 3 * row, dnew * reset);
        }
    }
}

static void gru_gradients(const layer *l, const gradients_of *to, portion some) {
    const int row = l->row;
    const factor both[2] = {{l->H, row, l->h, to->tensor[WH]}, to->x};
    gate_gradients(l, 0, 2, l->z, both, 1 + to->inputs, to->tensor[B], to->picked, some);
    gate_gradients(l, 2, 1, l->z + 2 * row, both + 1, to->inputs, to->tensor[B], to->picked, some);
    gate_gradients(l, 2, 1, l->z + 3 * row, both, 1, to->tensor[BHN] - 2 * l->H, NULL, some);
}

static void gru_start_gradient(const layer *l, real *dstart, portion some) {
    start_from_products(l, 2, 3, 1, dstart, some);
}

static const cell gru_cell = {
    .is = {.name = "gru",
           .gates = 3,
           .states = 1,
           .state_is_output = 1,
           .trained = 1,
           .bounded = 1,
           .tensors = {FIRST_TENSORS, {"bhn", '1', 'H'}}},
    .slots = 4,
    .packs = {{WH, 0, 3}},
    .forward = {gru_forward},
    .backward = {gru_backward},
    .gradients = gru_gradients,
    .start_gradient = gru_start_gradient,
};
