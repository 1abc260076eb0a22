/* rnn.h - the cells "rnn" and "relu":
 *
 *     z_t = x_t Wx + h_{t-1} Wh + b,    h_t = tanh(z_t)  or  max(0, z_t)
 *
 * Slot of z: 0 z, then dz.
 */
#ifndef FASTRNN_RNN_H
#define FASTRNN_RNN_H

#include "../cell.h"

INLINE void simple_forward(const layer *l, const int relu) {
    const int n = l->n, H = l->H, row = l->row;
    group sum;
    const tiles first = walk(1, n, H, H, l->W[0]);
    for (int t = 0; t < l->T; t++) {
        const real *before = l->h + (ptrdiff_t)t * n * row;       /* [n][row] */
        real *now = l->h + (ptrdiff_t)(t + 1) * n * row;          /* [n][row] */
        real *z = l->z + (ptrdiff_t)t * n * row;                  /* [n][row] */
        if (!l->packed) add_plain(l, before, row, WH, 0, 1, z, row);
        tiles w = walk_at(&first, t);
        touch(&w, z, row, 1, 0);
        touch(&w, now, row, 1, 0);
        while (next_tile(&w)) {
            product(&w, l->packed, H, before, 0, row, sum);
            for (int i = 0; i < w.R * w.U; i += TOGETHER) {
                ptrdiff_t at[TOGETHER];
                vec s[TOGETHER];
                ALL_OF(TOGETHER) {
                    const spot here = next_vector(&w, sum);
                    s[p] = input_sum(l, t, here.row, here.unit, 0) + here.sum[0];
                    at[p] = (ptrdiff_t)here.row * row + here.unit;
                }
                if (!relu) tanhs(TOGETHER, s);
                else ALL_OF(TOGETHER) s[p] = larger(all(0), s[p]);
                ALL_OF(TOGETHER) store(now + at[p], s[p]);
            }
        }
    }
}
static void rnn_forward(const layer *l) { simple_forward(l, 0); }
static void relu_forward(const layer *l) { simple_forward(l, 1); }

/* dz_t = (dh_t + dz_{t+1} Wh^T) o f'(z_t), where f' is 1 - h_t^2 or [h_t > 0] */
INLINE void simple_backward(const layer *l, const int relu) {
    const int n = l->n, H = l->H, row = l->row;
    group sum;
    const tiles first = walk(1, n, H, H, l->WT[0]);
    for (int t = l->T - 1; t >= 0; t--) {
        const real *h = l->h + (ptrdiff_t)(t + 1) * n * row;      /* [n][row] */
        real *dh = l->dh + (ptrdiff_t)t * n * row;                /* [n][row] */
        real *dz = l->z + (ptrdiff_t)t * n * row;                 /* [n][row] */
        const real *after = dz + (ptrdiff_t)n * row;              /* [n][row]: dz_{t+1} */
        const int more = t < l->T - 1;                            /* nothing comes from behind T */
        if (more && !l->packed) add_plain_transposed(l, after, row, WH, 0, 1, dh, row);
        tiles w = walk_at(&first, t);
        touch(&w, h, row, 1, 0);
        touch(&w, dh, row, 1, 0);
        touch(&w, dz, row, 1, 0);
        while (next_tile(&w)) {
            product(&w, more && l->packed, H, after, 0, row, sum);
            EACH_VECTOR(w) {
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                const vec y = load(h + at), d = load(dh + at) + sum[w.place][r][u];
                store(dz + at, relu ? choose(y > 0, d, all(0)) : d * ((real)1 - y * y));
            }
        }
    }
}
static void rnn_backward(const layer *l) { simple_backward(l, 0); }
static void relu_backward(const layer *l) { simple_backward(l, 1); }

static const cell rnn_cell = {
    .is = {.name = "rnn", .gates = 1, .states = 1, .state_is_output = 1, .trained = 1, .bounded = 1,
           .tensors = {FIRST_TENSORS}},
    .slots = 1, .packs = {{WH, 0, 1}},
    .forward = rnn_forward, .backward = rnn_backward, .gradients = plain_gradients,
    .start_gradient = plain_start_gradient,
};

static const cell relu_cell = {
    .is = {.name = "relu", .gates = 1, .states = 1, .state_is_output = 1, .trained = 1,
           .tensors = {FIRST_TENSORS}},
    .slots = 1, .packs = {{WH, 0, 1}},
    .forward = relu_forward, .backward = relu_backward, .gradients = plain_gradients,
    .start_gradient = plain_start_gradient,
};

#endif
