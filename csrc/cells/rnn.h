/* rnn.h - the cells "rnn" and "relu":
 *
 *     z_t = x_t Wx + h_{t-1} Wh + b,    h_t = tanh(z_t)  or  max(0, z_t)
 *
 * Slot of z: 0 z, then dz. */
#pragma once

#include "../cell.h"

INLINE void simple_forward(const layer *l, int t, portion some, const int relu) {
    const int H = l->H, row = l->row;
    const step s = step_at(l, t);
    group sum;
    if (!l->packed) add_plain(l, s.before, row, WH, 0, 1, s.z, row);
    tiles w = walk_at(l->walks, t, some);
    touch(&w, s.z, row, 1, 0);
    touch(&w, s.now, row, 1, 0);
    while (next_tile(&w)) {
        product(&w, l->packed, H, s.before, 0, row, sum);
        for (int i = 0; i < w.R * w.U; i += TOGETHER) {
            ptrdiff_t at[TOGETHER];
            vec y[TOGETHER];
            ALL_OF(TOGETHER) {
                const spot here = next_vector(&w, sum);
                y[p] = input_sum(l, t, here.row, here.unit, 0) + here.sum[0];
                at[p] = (ptrdiff_t)here.row * row + here.unit;
            }
            if (!relu) tanhs(TOGETHER, y);
            else ALL_OF(TOGETHER) y[p] = larger(all(0), y[p]);
            ALL_OF(TOGETHER) store(s.now + at[p], y[p]);
        }
    }
}

/* dz_t = (dh_t + dz_{t+1} Wh^T) o f'(z_t), where f' is 1 - h_t^2 or [h_t > 0] */
INLINE void simple_backward(const layer *l, int t, portion some, const int relu) {
    const int H = l->H, row = l->row;
    const step s = step_at(l, t);
    group sum;
    if (s.more && !l->packed) add_plain_transposed(l, s.after, row, WH, 0, 1, s.dh, row);
    tiles w = walk_at(l->walks, t, some);
    touch(&w, s.now, row, 1, 0);
    touch(&w, s.dh, row, 1, 0);
    touch(&w, s.z, row, 1, 0);
    while (next_tile(&w)) {
        product(&w, s.more && l->packed, H, s.after, 0, row, sum);
        EACH_VECTOR(w) {
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
            const vec y = load(s.now + at), d = load(s.dh + at) + sum[w.place][r][u];
            store(s.z + at, relu ? choose(y > 0, d, all(0)) : d * ((real)1 - y * y));
        }
    }
}
#define SIMPLE_CELL(NAME, RELU)                                                                    \
    static void NAME##_forward(const layer *l, int t, portion some) {                              \
        simple_forward(l, t, some, RELU);                                                          \
    }                                                                                              \
    static void NAME##_backward(const layer *l, int t, portion some) {                             \
        simple_backward(l, t, some, RELU);                                                         \
    }                                                                                              \
    static const cell NAME##_cell = {                                                              \
        .is = {.name = #NAME,                                                                      \
               .gates = 1,                                                                         \
               .states = 1,                                                                        \
               .state_is_output = 1,                                                               \
               .trained = 1,                                                                       \
               .bounded = !RELU,                                                                   \
               .tensors = {FIRST_TENSORS}},                                                        \
        .slots = 1,                                                                                \
        .packs = {{WH, 0, 1}},                                                                     \
        .forward = {NAME##_forward},                                                               \
        .backward = {NAME##_backward},                                                             \
        .gradients = plain_gradients,                                                              \
        .start_gradient = plain_start_gradient,                                                    \
    }
SIMPLE_CELL(rnn, 0);
SIMPLE_CELL(relu, 1);
