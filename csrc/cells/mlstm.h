/* mlstm.h - the cell "mlstm", an LSTM that each input gives its own recurrent weights: the
 * multiplicative LSTM (Krause et al. 2016) with the identity as the matrix between h and m, and a
 * skip connection from the input to the output (He et al. 2016),
 *
 *     m_t = a_t o h_{t-1},    a_t = x_t Wa + ba,    q_t = x_t Wq + bq,
 *     i_t, f_t, o_t = sigmoid(x_t Wx + m_t Wh + b),    g_t = tanh(x_t Wx + m_t Wh + b),
 *     c_t = f_t o c_{t-1} + i_t o g_t,    h_t = o_t o tanh(c_t) + q_t
 *
 * The parts of Wx and b come in the order i, f, o, g, a, q. Slots of z: 0 i, 1 f, 2 o, 3 g, 4 a,
 * 5 x_t Wq where it is a product, 6 tanh c, 7 m; then di, df, do, dg, da, dq. */
#pragma once

#include "lstm.h"

static void mlstm_factor_forward(const layer *l, int t, portion some) {
    const int row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    for (tiles w = walk_at(l->walks, t, some); next_tile(&w);) {
        EACH_VECTOR(w) {
            const int i = w.row + r, j = w.unit + u * LANES;
            real *gate = s.z + (ptrdiff_t)i * zrow + j;
            const vec a = input_sum(l, t, i, j, 4);
            store(gate + 4 * row, a);
            store(gate + 7 * row, a * load(s.before + (ptrdiff_t)i * row + j));
        }
    }
}

static void mlstm_forward(const layer *l, int t, portion some) {
    lstm_step(l, t, some, step_at(l, t).z + 7 * l->row, l->zrow, 6, 1);
}

static void mlstm_backward(const layer *l, int t, portion some) {
    lstm_step_back(l, t, some, 0, 6, 1);
}

/* dm_t = dz_t Wh^T,  da_t = dm_t o h_{t-1}; dm_t o a_t is added to dh_{t-1}, and that of the first
 * step, with respect to the first h, stays in dh_1, which was used. */
static void mlstm_factor_backward(const layer *l, int t, portion some) {
    const int row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    real *to = t ? s.dh - (ptrdiff_t)l->n * row : s.dh;
    group sum;
    if (!l->packed) {
        memset(s.dh, 0, (size_t)l->n * row * sizeof(real));
        add_plain_transposed(l, s.z, zrow, WH, 0, 4, s.dh, row);
    }
    for (tiles w = walk_at(l->walks, t, some); next_tile(&w);) {
        product(&w, l->packed ? 4 : 0, l->H, s.z, row, zrow, sum);
        EACH_VECTOR(w) {
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
            real *a = s.z + (ptrdiff_t)(w.row + r) * zrow + 4 * row + w.unit + u * LANES;
            const vec dm = (l->packed ? all(0) : load(s.dh + at)) + sum[w.place][r][u];
            const vec d = dm * load(a);
            store(a, dm * load(s.before + at));
            store(to + at, t ? load(to + at) + d : d);
        }
    }
}

static void mlstm_gradients(const layer *l, const gradients_of *to, portion some) {
    const factor kept = {l->H, l->zrow, l->z + 7 * l->row, to->tensor[WH]};
    layer four = *l; /* Wh has so many gates, Wx two more */
    four.G = 4;
    gate_gradients(l, 0, 6, l->z, &to->x, to->inputs, to->tensor[B], to->picked, some);
    gate_gradients(&four, 0, 4, l->z, &kept, 1, NULL, NULL, some);
}

static void mlstm_start_gradient(const layer *l, real *dstart, portion some) {
    (void)l, (void)dstart, (void)some; /* is in dh_1 */
}

static const cell mlstm_cell = {
    .is = {.name = "mlstm",
           .gates = 6,
           .states = 2,
           .state_is_output = 1,
           .trained = 1,
           .tensors = {{"Wx", 'D', 'G'}, {"Wh", 'H', '4'}, {"b", '1', 'G'}}},
    .slots = 8,
    .packs = {{WH, 0, 4}},
    .forward = {mlstm_factor_forward, mlstm_forward},
    .backward = {mlstm_backward, mlstm_factor_backward},
    .gradients = mlstm_gradients,
    .start_gradient = mlstm_start_gradient,
};
