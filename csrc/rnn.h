/* rnn.h - the tanh and ReLU cell over a whole unroll.
 *
 *     h_t = f(x_t Wx + h_{t-1} Wh + b),  f = tanh or max(0, .)
 *
 * Row slots of H numbers are `row` apart (ROW_STEP times something; zeros behind the H).
 */
#ifndef FASTRNN_RNN_H
#define FASTRNN_RNN_H

#include "fastrnn.h"
#include "tile.h"
#include "vecmath.h"

/* h [T+1][N][row]: slot 0 is the initial state; slots 1.. hold x_t Wx + b and become h_t.
 * Wh: packed (H, H). */
INLINE void rnn_forward(const int cell, int T, int N, int H, int row, const real *Wh, real *h) {
    for (int t = 0; t < T; t++) {
        const real *before = h + (ptrdiff_t)t * N * row;          /* [N][row] */
        real *now = h + (ptrdiff_t)(t + 1) * N * row;             /* [N][row] */
#define FORWARD(R, V, first_row, first_column, panel)                                             \
    {                                                                                             \
        vec sum[TILE_ROWS][WIDE];                                                                 \
        tile(R, V, H, before + (ptrdiff_t)(first_row) * row, row, panel, sum);                    \
        UNROLL(6)                                                                                 \
        for (int r = 0; r < R; r++) {                                                             \
            real *at = now + (ptrdiff_t)((first_row) + r) * row + (first_column);                 \
            UNROLL(8)                                                                             \
            for (int v = 0; v < V; v++) {                                                         \
                const vec z = load(at + v * LANES) + sum[r][v];                                   \
                store(at + v * LANES, cell == FASTRNN_TANH ? vec_tanh(z) : larger(all(0), z));    \
            }                                                                                     \
        }                                                                                         \
    }
        FOR_EACH_TILE(N, H, H, Wh, t, FORWARD);
#undef FORWARD
    }
}

/* dh [T][N][row]: on entry the gradient of the loss by h_t through the head, on return by the sum
 * inside f: dz_t = (dh_t + dz_{t+1} Wh^T) o f'(h_t).  WhT: packed transpose of Wh. */
INLINE void rnn_backward(const int cell, int T, int N, int H, int row, const real *WhT,
                         const real *h, real *dh) {
    for (int t = T - 1; t >= 0; t--) {
        const real *after = dh + (ptrdiff_t)(t + 1) * N * row;    /* [N][row]: dz_{t+1} */
        const real *out = h + (ptrdiff_t)(t + 1) * N * row;       /* [N][row]: h_t */
        real *now = dh + (ptrdiff_t)t * N * row;                  /* [N][row] */
#define BACKWARD(R, V, first_row, first_column, panel)                                            \
    {                                                                                             \
        vec sum[TILE_ROWS][WIDE];                                                                 \
        /* nothing comes from behind T */                                                         \
        tile(R, V, t == T - 1 ? 0 : H, after + (ptrdiff_t)(first_row) * row, row, panel, sum);    \
        UNROLL(6)                                                                                 \
        for (int r = 0; r < R; r++) {                                                             \
            const ptrdiff_t at = (ptrdiff_t)((first_row) + r) * row + (first_column);             \
            UNROLL(8)                                                                             \
            for (int v = 0; v < V; v++) {                                                         \
                const vec y = load(out + at + v * LANES);                                         \
                const vec d = load(now + at + v * LANES) + sum[r][v];                             \
                store(now + at + v * LANES,                                                       \
                      cell == FASTRNN_TANH ? d * ((real)1 - y * y) : choose(y > 0, d, all(0)));   \
            }                                                                                     \
        }                                                                                         \
    }
        FOR_EACH_TILE(N, H, H, WhT, t, BACKWARD);
#undef BACKWARD
    }
}

#endif
