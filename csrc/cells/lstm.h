/* lstm.h - the cell "lstm" (Hochreiter and Schmidhuber 1997, with forget gates):
 *
 *     i_t, f_t, o_t = sigmoid(x_t Wx + h_{t-1} Wh + b),    g_t = tanh(x_t Wx + h_{t-1} Wh + b),
 *     c_t = f_t o c_{t-1} + i_t o g_t,    h_t = o_t o tanh(c_t)
 *
 * Gates have parts of Wx, Wh, b. Slots of z: 0 i, 1 f, 2 o, 3 g, 4 tanh c; then di, df, do, dg. */
#pragma once

#include "../cell.h"

/* A step from the sums of the inputs and the product of m [n][m_row] with Wh; tanh c goes to slot
 * `last`. Where `skip`, h_t gets the sum of the sixth gate too. */
INLINE void lstm_step(const layer *l, int t, portion some, const real *m, int m_row, int last,
                      const int skip) {
    const int H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (!l->packed) add_plain(l, m, m_row, WH, 0, 4, s.z, zrow);
    tiles w = walk_at(l->walks, t, some);
    touch(&w, s.z, zrow, last + 1, row);
    touch(&w, s.c_before, row, 1, 0);
    touch(&w, s.c_now, row, 1, 0);
    touch(&w, s.now, row, 1, 0);
    while (next_tile(&w)) {
        product(&w, l->packed, H, m, 0, m_row, sum);
        for (int m = 0; m < w.R * w.U; m += PAIR) {
            ptrdiff_t at[PAIR];
            real *gate[PAIR];
            vec i[4 * PAIR], *f = i + PAIR, *o = f + PAIR, *g = o + PAIR, c[PAIR], tanh_c[PAIR];
            vec q[PAIR];
            ALL_OF(PAIR) {
                const spot here = next_vector(&w, sum);
                EACH(k, 4) {
                    i[k * PAIR + p] = input_sum(l, t, here.row, here.unit, k) + here.sum[k * w.U];
                }
                q[p] = skip ? input_sum(l, t, here.row, here.unit, 5) : all(0);
                at[p] = (ptrdiff_t)here.row * row + here.unit;
                gate[p] = s.z + (ptrdiff_t)here.row * zrow + here.unit;
            }
            sigmoids(3 * PAIR, i);
            tanhs(PAIR, g);
            ALL_OF(PAIR) tanh_c[p] = c[p] = f[p] * load(s.c_before + at[p]) + i[p] * g[p];
            tanhs(PAIR, tanh_c);
            ALL_OF(PAIR) {
                store(gate[p], i[p]);
                store(gate[p] + row, f[p]);
                store(gate[p] + 2 * row, o[p]);
                store(gate[p] + 3 * row, g[p]);
                store(gate[p] + last * row, tanh_c[p]);
                store(s.c_now + at[p], c[p]);
                store(s.now + at[p], skip ? o[p] * tanh_c[p] + q[p] : o[p] * tanh_c[p]);
            }
        }
    }
}

static void lstm_forward(const layer *l, int t, portion some) {
    lstm_step(l, t, some, step_at(l, t).before, l->row, 4, 0);
}

/* dc_t = dc_{t+1} o f_{t+1} + dh_t o o_t o (1 - tanh^2 c_t); `carry` holds dc_{t+1} o f_{t+1}. dh_t
 * gets the product of the next step's gradients with Wh^T, where `more`. */
INLINE void lstm_step_back(const layer *l, int t, portion some, int more, int last,
                           const int skip) {
    const int H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (more && !l->packed) add_plain_transposed(l, s.after, zrow, WH, 0, 4, s.dh, row);
    tiles w = walk_at(l->walks, t, some);
    touch(&w, s.z, zrow, last + 1, row);
    touch(&w, s.c_before, row, 1, 0);
    touch(&w, s.dh, row, 1, 0);
    while (next_tile(&w)) {
        product(&w, more && l->packed ? 4 : 0, H, s.after, row, zrow, sum);
        EACH_VECTOR(w) {
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
            real *gate = s.z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
            const vec i = load(gate), f = load(gate + row), o = load(gate + 2 * row);
            const vec g = load(gate + 3 * row), tanh_c = load(gate + last * row);
            const vec d = load(s.dh + at) + sum[w.place][r][u];
            const vec dc = load(l->carry + at) + d * o * ((real)1 - tanh_c * tanh_c);
            store(l->carry + at, dc * f);
            store(gate, dc * g * i * ((real)1 - i));
            store(gate + row, dc * load(s.c_before + at) * f * ((real)1 - f));
            store(gate + 2 * row, d * tanh_c * o * ((real)1 - o));
            store(gate + 3 * row, dc * i * ((real)1 - g * g));
            if (skip) store(gate + 5 * row, d);
        }
    }
}

static void lstm_backward(const layer *l, int t, portion some) {
    lstm_step_back(l, t, some, step_at(l, t).more, 4, 0);
}

static const cell lstm_cell = {
    .is = {.name = "lstm",
           .gates = 4,
           .states = 2,
           .state_is_output = 1,
           .trained = 1,
           .bounded = 1,
           .tensors = {FIRST_TENSORS}},
    .slots = 5,
    .packs = {{WH, 0, 4}},
    .forward = {lstm_forward},
    .backward = {lstm_backward},
    .gradients = plain_gradients,
    .start_gradient = plain_start_gradient,
};
