/* cells.h - each recurrent cell over a whole unroll, forward and backward.
 *
 * Every cell finds the products of its input, x_t Wx + b, in the slots of z, adds those with its
 * own state there and leaves what the backward pass needs; backward turns the slots into the
 * gradients by what stood in them at first. A slot is a row of `row` numbers (H rounded up; what
 * lies behind H is never read), a row of z is `slots` of them side by side:
 *
 *     cell        slots of z, forward                  backward
 *     rnn, relu   z                                    dz
 *     lstm        i, f, o, g, tanh c                   di, df, do, dg by the sums in the gates
 *     gru         r, z, n, h Un + bhn                  dr, dz, dn, and dn o r by h Un
 *     gru before  r, z, n, r o h                       dr, dz, dn
 *     memory      u                                    u, dz, dm
 *
 * The matrices that meet the state are packed (tile.h), or, where `packed` is 0, plain BLAS adds
 * their products before the same tiles finish the cell: the twin to read and to measure with.
 */
#ifndef FASTRNN_CELLS_H
#define FASTRNN_CELLS_H

#include "fastrnn.h"
#include "tile.h"
#include "vecmath.h"

enum { FASTRNN_GRU_BEFORE = FASTRNN_MEMORY + 1 };   /* a GRU that resets before the product */

/* A layer at work on n streams. */
typedef struct {
    int cell, T, n, H, row, zrow, packed;
    const real *Wh, *WhT;        /* packed (H, G H) and its transpose; for a GRU that resets before */
    const real *Wn, *WnT;        /* the gates r and z, and here n; memory: Wm */
    const real *plain_Wh, *plain_Wm;     /* the parameters themselves */
    const real *bhn, *bm;
    real *h;                     /* [T+1][n][row]: slot 0 is the state before; memory: m */
    real *c;                     /* [T+1][n][row], lstm */
    real *z;                     /* [T][n][zrow] */
    real *dh;                    /* [T][n][row]: gradients by what the layer hands on */
    real *carry;                 /* [n][row]: what passes to the step before without a product */
    real *scratch;
    fastrnn_gemm gemm;
} layer;

INLINE int gates(int cell) {
    return cell == FASTRNN_LSTM ? 4 : cell == FASTRNN_GRU || cell == FASTRNN_GRU_BEFORE ? 3 : 1;
}
INLINE int slots(int cell) {
    return cell == FASTRNN_LSTM ? 5 : cell == FASTRNN_GRU || cell == FASTRNN_GRU_BEFORE ? 4
         : cell == FASTRNN_MEMORY ? 3 : 1;
}

/* Slot `to` and those behind it [n][count][row] += A [n][a_row] times columns `first` and on, H
 * wide each, of W (H, G H). */
static void add_plain(const layer *l, const real *A, int a_row, const real *W, int G, int first,
                      int count, real *C, int c_row) {
    for (int g = 0; g < count; g++) {
        l->gemm(0, 0, l->n, l->H, l->H, A, a_row, W + (first + g) * l->H, G * l->H, 1,
                C + g * l->row, c_row);
    }
}

/* C [n][c_row] += the slots A [n][count][row] times the transpose of such columns. */
static void add_plain_transposed(const layer *l, const real *A, int a_row, const real *W, int G,
                                 int first, int count, real *C, int c_row) {
    for (int g = 0; g < count; g++) {
        l->gemm(0, 1, l->n, l->H, l->H, A + g * l->row, a_row, W + (first + g) * l->H, G * l->H, 1,
                C, c_row);
    }
}

/* Loops over the vectors of a tile. */
#define EACH_VECTOR(w)                                                                            \
    for (int r = 0; r < (w).R; r++)                                                               \
        for (int u = 0; u < (w).U; u++)

/* ---- tanh and ReLU:  h_t = f(x_t Wx + h_{t-1} Wh + b) ---- */

static void rnn_forward(const layer *l) {
    const int n = l->n, H = l->H, row = l->row;
    group sum;
    const tiles first = walk(1, n, H, H, l->Wh);
    for (int t = 0; t < l->T; t++) {
        const real *before = l->h + (ptrdiff_t)t * n * row;       /* [n][row] */
        real *now = l->h + (ptrdiff_t)(t + 1) * n * row;          /* [n][row] */
        real *z = l->z + (ptrdiff_t)t * n * row;                  /* [n][row] */
        if (!l->packed) add_plain(l, before, row, l->plain_Wh, 1, 0, 1, z, row);
        tiles w = walk_at(&first, t);
        touch(&w, z, row, 1, 0);
        touch(&w, now, row, 1, 0);
        while (next_tile(&w)) {
            product(&w, l->packed, H, before, 0, row, sum);
            EACH_VECTOR(w) {
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                const vec s = load(z + at) + sum[w.place][r][u];
                store(now + at, l->cell == FASTRNN_TANH ? vec_tanh(s) : larger(all(0), s));
            }
        }
    }
}

/* dz_t = (dh_t + dz_{t+1} Wh^T) o f'(h_t) */
static void rnn_backward(const layer *l) {
    const int n = l->n, H = l->H, row = l->row;
    group sum;
    const tiles first = walk(1, n, H, H, l->WhT);
    for (int t = l->T - 1; t >= 0; t--) {
        const real *h = l->h + (ptrdiff_t)(t + 1) * n * row;      /* [n][row] */
        real *dh = l->dh + (ptrdiff_t)t * n * row;                /* [n][row] */
        real *dz = l->z + (ptrdiff_t)t * n * row;                 /* [n][row] */
        const real *after = dz + (ptrdiff_t)n * row;              /* [n][row]: dz_{t+1} */
        const int more = t < l->T - 1;                            /* nothing comes from behind T */
        if (more && !l->packed) add_plain_transposed(l, after, row, l->plain_Wh, 1, 0, 1, dh, row);
        tiles w = walk_at(&first, t);
        touch(&w, h, row, 1, 0);
        touch(&w, dh, row, 1, 0);
        touch(&w, dz, row, 1, 0);
        while (next_tile(&w)) {
            product(&w, more && l->packed, H, after, 0, row, sum);
            EACH_VECTOR(w) {
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                const vec y = load(h + at), d = load(dh + at) + sum[w.place][r][u];
                store(dz + at, l->cell == FASTRNN_TANH ? d * ((real)1 - y * y)
                                                       : choose(y > 0, d, all(0)));
            }
        }
    }
}

/* ---- LSTM:  i, f, o = sigmoid(x_t W + h_{t-1} U + b),  g = tanh(same),
 *             c_t = f o c_{t-1} + i o g,  h_t = o o tanh(c_t) ---- */

static void lstm_forward(const layer *l) {
    const int n = l->n, H = l->H, row = l->row, zrow = l->zrow;
    group sum;
    const tiles first = walk(4, n, H, H, l->Wh);
    for (int t = 0; t < l->T; t++) {
        const real *before = l->h + (ptrdiff_t)t * n * row;       /* [n][row] */
        const real *c_before = l->c + (ptrdiff_t)t * n * row;     /* [n][row] */
        real *now = l->h + (ptrdiff_t)(t + 1) * n * row;          /* [n][row] */
        real *c_now = l->c + (ptrdiff_t)(t + 1) * n * row;        /* [n][row] */
        real *z = l->z + (ptrdiff_t)t * n * zrow;                 /* [n][zrow] */
        if (!l->packed) add_plain(l, before, row, l->plain_Wh, 4, 0, 4, z, zrow);
        tiles w = walk_at(&first, t);
        touch(&w, z, zrow, 5, row);
        touch(&w, c_before, row, 1, 0);
        touch(&w, c_now, row, 1, 0);
        touch(&w, now, row, 1, 0);
        while (next_tile(&w)) {
            product(&w, l->packed, H, before, 0, row, sum);
            EACH_VECTOR(w) {
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                real *gate = z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
                const vec i = vec_sigmoid(load(gate) + sum[w.place][r][u]);
                const vec f = vec_sigmoid(load(gate + row) + sum[w.place][r][w.U + u]);
                const vec o = vec_sigmoid(load(gate + 2 * row) + sum[w.place][r][2 * w.U + u]);
                const vec g = vec_tanh(load(gate + 3 * row) + sum[w.place][r][3 * w.U + u]);
                const vec c = f * load(c_before + at) + i * g, tanh_c = vec_tanh(c);
                store(gate, i);
                store(gate + row, f);
                store(gate + 2 * row, o);
                store(gate + 3 * row, g);
                store(gate + 4 * row, tanh_c);
                store(c_now + at, c);
                store(now + at, o * tanh_c);
            }
        }
    }
}

/* dc_t = dc_{t+1} o f_{t+1} + dh_t o o (1 - tanh^2 c_t); `carry` holds dc_{t+1} o f_{t+1} */
static void lstm_backward(const layer *l) {
    const int n = l->n, H = l->H, row = l->row, zrow = l->zrow;
    group sum;
    const tiles first = walk(1, n, H, 4 * H, l->WhT);
    memset(l->carry, 0, (size_t)n * row * sizeof(real));
    for (int t = l->T - 1; t >= 0; t--) {
        const real *c_before = l->c + (ptrdiff_t)t * n * row;     /* [n][row] */
        real *dh = l->dh + (ptrdiff_t)t * n * row;                /* [n][row] */
        real *z = l->z + (ptrdiff_t)t * n * zrow;                 /* [n][zrow] */
        const real *after = z + (ptrdiff_t)n * zrow;              /* [n][zrow]: gradients at t+1 */
        const int more = t < l->T - 1;
        if (more && !l->packed) add_plain_transposed(l, after, zrow, l->plain_Wh, 4, 0, 4, dh, row);
        tiles w = walk_at(&first, t);
        touch(&w, z, zrow, 5, row);
        touch(&w, c_before, row, 1, 0);
        touch(&w, dh, row, 1, 0);
        while (next_tile(&w)) {
            product(&w, more && l->packed ? 4 : 0, H, after, row, zrow, sum);
            EACH_VECTOR(w) {
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                real *gate = z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
                const vec i = load(gate), f = load(gate + row), o = load(gate + 2 * row);
                const vec g = load(gate + 3 * row), tanh_c = load(gate + 4 * row);
                const vec d = load(dh + at) + sum[w.place][r][u];
                const vec dc = load(l->carry + at) + d * o * ((real)1 - tanh_c * tanh_c);
                store(l->carry + at, dc * f);
                store(gate, dc * g * i * ((real)1 - i));
                store(gate + row, dc * load(c_before + at) * f * ((real)1 - f));
                store(gate + 2 * row, d * tanh_c * o * ((real)1 - o));
                store(gate + 3 * row, dc * i * ((real)1 - g * g));
            }
        }
    }
}

/* ---- GRU:  r, z = sigmoid(x_t W + h_{t-1} U + b),  n = tanh(x_t Wn + bn + r o (h_{t-1} Un + bhn)),
 *            h_t = (1 - z) o n + z o h_{t-1} ---- */

static void gru_forward(const layer *l) {
    const int n = l->n, H = l->H, row = l->row, zrow = l->zrow;
    group sum;
    const tiles first = walk(3, n, H, H, l->Wh);
    for (int t = 0; t < l->T; t++) {
        const real *before = l->h + (ptrdiff_t)t * n * row;       /* [n][row] */
        real *now = l->h + (ptrdiff_t)(t + 1) * n * row;          /* [n][row] */
        real *z = l->z + (ptrdiff_t)t * n * zrow;                 /* [n][zrow] */
        if (!l->packed) {
            for (int i = 0; i < n; i++) memset(z + i * zrow + 3 * row, 0, H * sizeof(real));
            add_plain(l, before, row, l->plain_Wh, 3, 0, 2, z, zrow);
            add_plain(l, before, row, l->plain_Wh, 3, 2, 1, z + 3 * row, zrow);
        }
        tiles w = walk_at(&first, t);
        touch(&w, z, zrow, 4, row);
        touch(&w, now, row, 1, 0);
        while (next_tile(&w)) {
            product(&w, l->packed, H, before, 0, row, sum);
            EACH_VECTOR(w) {
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                real *gate = z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
                const vec reset = vec_sigmoid(load(gate) + sum[w.place][r][u]);
                const vec keep = vec_sigmoid(load(gate + row) + sum[w.place][r][w.U + u]);
                const vec own = (l->packed ? sum[w.place][r][2 * w.U + u] : load(gate + 3 * row))
                                + load(l->bhn + w.unit + u * LANES);
                const vec new = vec_tanh(load(gate + 2 * row) + reset * own);
                store(gate, reset);
                store(gate + row, keep);
                store(gate + 2 * row, new);
                store(gate + 3 * row, own);
                store(now + at, new + keep * (load(before + at) - new));
            }
        }
    }
}

/* `carry` holds dh_{t+1} o z_{t+1} */
static void gru_backward(const layer *l) {
    const int n = l->n, H = l->H, row = l->row, zrow = l->zrow;
    group sum;
    const tiles first = walk(1, n, H, 3 * H, l->WhT);
    memset(l->carry, 0, (size_t)n * row * sizeof(real));
    for (int t = l->T - 1; t >= 0; t--) {
        const real *before = l->h + (ptrdiff_t)t * n * row;       /* [n][row] */
        real *dh = l->dh + (ptrdiff_t)t * n * row;                /* [n][row] */
        real *z = l->z + (ptrdiff_t)t * n * zrow;                 /* [n][zrow] */
        const real *after = z + (ptrdiff_t)n * zrow;              /* [n][zrow]: gradients at t+1 */
        const int more = t < l->T - 1;
        if (more && !l->packed) {
            add_plain_transposed(l, after, zrow, l->plain_Wh, 3, 0, 2, dh, row);
            add_plain_transposed(l, after + 3 * row, zrow, l->plain_Wh, 3, 2, 1, dh, row);
        }
        tiles w = walk_at(&first, t);
        touch(&w, z, zrow, 4, row);
        touch(&w, before, row, 1, 0);
        touch(&w, dh, row, 1, 0);
        while (next_tile(&w)) {
            product(&w, more && l->packed ? 2 : 0, H, after, row, zrow, sum);
            if (more && l->packed) add_product(&w, 2, 1, H, after + 3 * row, 0, zrow, sum);
            EACH_VECTOR(w) {
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                real *gate = z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
                const vec reset = load(gate), keep = load(gate + row), new = load(gate + 2 * row);
                const vec own = load(gate + 3 * row);
                const vec d = load(dh + at) + load(l->carry + at) + sum[w.place][r][u];
                const vec dnew = d * ((real)1 - keep) * ((real)1 - new * new);
                store(l->carry + at, d * keep);
                store(gate, dnew * own * reset * ((real)1 - reset));
                store(gate + row, d * (load(before + at) - new) * keep * ((real)1 - keep));
                store(gate + 2 * row, dnew);
                store(gate + 3 * row, dnew * reset);
            }
        }
    }
}

/* ---- GRU that resets before:  n = tanh(x_t Wn + bn + (r o h_{t-1}) Un) ---- */

static void gru_before_forward(const layer *l) {
    const int n = l->n, H = l->H, row = l->row, zrow = l->zrow;
    group sum;
    const tiles first = walk(2, n, H, H, l->Wh);
    const tiles second = walk(1, n, H, H, l->Wn);
    for (int t = 0; t < l->T; t++) {
        const real *before = l->h + (ptrdiff_t)t * n * row;       /* [n][row] */
        real *now = l->h + (ptrdiff_t)(t + 1) * n * row;          /* [n][row] */
        real *z = l->z + (ptrdiff_t)t * n * zrow;                 /* [n][zrow] */
        if (!l->packed) add_plain(l, before, row, l->plain_Wh, 3, 0, 2, z, zrow);
        tiles w = walk_at(&first, t);
        touch(&w, z, zrow, 4, row);
        while (next_tile(&w)) {
            product(&w, l->packed, H, before, 0, row, sum);
            EACH_VECTOR(w) {
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                real *gate = z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
                const vec reset = vec_sigmoid(load(gate) + sum[w.place][r][u]);
                store(gate, reset);
                store(gate + row, vec_sigmoid(load(gate + row) + sum[w.place][r][w.U + u]));
                store(gate + 3 * row, reset * load(before + at));
            }
        }
        if (!l->packed) add_plain(l, z + 3 * row, zrow, l->plain_Wh, 3, 2, 1, z + 2 * row, zrow);
        for (tiles w = walk_at(&second, t); next_tile(&w);) {
            product(&w, l->packed, H, z + 3 * row, 0, zrow, sum);
            EACH_VECTOR(w) {
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                real *gate = z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
                const vec new = vec_tanh(load(gate + 2 * row) + sum[w.place][r][u]);
                store(gate + 2 * row, new);
                store(now + at, new + load(gate + row) * (load(before + at) - new));
            }
        }
    }
}

/* `carry` holds dh_{t+1} o z_{t+1} + r_{t+1} o d(r o h), which is dn Un^T */
static void gru_before_backward(const layer *l) {
    const int n = l->n, H = l->H, row = l->row, zrow = l->zrow;
    group sum;
    const tiles first = walk(1, n, H, 2 * H, l->WhT);
    const tiles second = walk(1, n, H, H, l->WnT);
    memset(l->carry, 0, (size_t)n * row * sizeof(real));
    for (int t = l->T - 1; t >= 0; t--) {
        const real *before = l->h + (ptrdiff_t)t * n * row;       /* [n][row] */
        real *dh = l->dh + (ptrdiff_t)t * n * row;                /* [n][row] */
        real *z = l->z + (ptrdiff_t)t * n * zrow;                 /* [n][zrow] */
        const real *after = z + (ptrdiff_t)n * zrow;              /* [n][zrow]: gradients at t+1 */
        const int more = t < l->T - 1;
        if (more && !l->packed) add_plain_transposed(l, after, zrow, l->plain_Wh, 3, 0, 2, dh, row);
        tiles w = walk_at(&first, t);
        touch(&w, z, zrow, 3, row);
        touch(&w, before, row, 1, 0);
        touch(&w, dh, row, 1, 0);
        while (next_tile(&w)) {
            product(&w, more && l->packed ? 2 : 0, H, after, row, zrow, sum);
            EACH_VECTOR(w) {
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                real *gate = z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
                const vec keep = load(gate + row), new = load(gate + 2 * row);
                const vec d = load(dh + at) + load(l->carry + at) + sum[w.place][r][u];
                store(l->carry + at, d * keep);
                store(gate + row, d * (load(before + at) - new) * keep * ((real)1 - keep));
                store(gate + 2 * row, d * ((real)1 - keep) * ((real)1 - new * new));
                store(dh + at, all(0));      /* from here on d(r o h) */
            }
        }
        if (!l->packed) {
            add_plain_transposed(l, z + 2 * row, zrow, l->plain_Wh, 3, 2, 1, dh, row);
        }
        for (tiles w = walk_at(&second, t); next_tile(&w);) {
            product(&w, l->packed, H, z + 2 * row, 0, zrow, sum);
            EACH_VECTOR(w) {
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                real *gate = z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
                const vec reset = load(gate), d = load(dh + at) + sum[w.place][r][u];
                store(l->carry + at, load(l->carry + at) + d * reset);
                store(gate, d * load(before + at) * reset * ((real)1 - reset));
            }
        }
    }
}

/* ---- additive memory:  u_t = max(0, x_t Wx + m_{t-1} Wh + b),  m_t = m_{t-1} + u_t Wm + bm;
 *                        it hands on u ---- */

static void memory_forward(const layer *l) {
    const int n = l->n, H = l->H, row = l->row, zrow = l->zrow;
    group sum;
    const tiles first = walk(1, n, H, H, l->Wh);
    const tiles second = walk(1, n, H, H, l->Wn);
    for (int t = 0; t < l->T; t++) {
        const real *before = l->h + (ptrdiff_t)t * n * row;       /* [n][row]: m_{t-1} */
        real *now = l->h + (ptrdiff_t)(t + 1) * n * row;          /* [n][row]: m_t */
        real *z = l->z + (ptrdiff_t)t * n * zrow;                 /* [n][zrow] */
        if (!l->packed) add_plain(l, before, row, l->plain_Wh, 1, 0, 1, z, zrow);
        tiles w = walk_at(&first, t);
        touch(&w, z, zrow, 1, 0);
        touch(&w, now, row, 1, 0);
        while (next_tile(&w)) {
            product(&w, l->packed, H, before, 0, row, sum);
            EACH_VECTOR(w) {
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                real *gate = z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
                store(gate, larger(all(0), load(gate) + sum[w.place][r][u]));
                store(now + at, load(before + at) + load(l->bm + w.unit + u * LANES));
            }
        }
        if (!l->packed) add_plain(l, z, zrow, l->plain_Wm, 1, 0, 1, now, row);
        for (tiles w = walk_at(&second, t); next_tile(&w);) {
            product(&w, l->packed, H, z, 0, zrow, sum);
            EACH_VECTOR(w) {
                real *m = now + (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                store(m, load(m) + sum[w.place][r][u]);
            }
        }
    }
}

/* dz_t = (dh_t + dm_t Wm^T) o [u_t > 0],  dm_{t-1} = dm_t + dz_t Wh^T,  dm_T = 0 */
static void memory_backward(const layer *l) {
    const int n = l->n, H = l->H, row = l->row, zrow = l->zrow;
    group sum;
    const tiles first = walk(1, n, H, H, l->WnT);
    const tiles second = walk(1, n, H, H, l->WhT);
    memset(l->carry, 0, (size_t)n * row * sizeof(real));
    for (int t = l->T - 1; t >= 0; t--) {
        real *dh = l->dh + (ptrdiff_t)t * n * row;                /* [n][row] */
        real *z = l->z + (ptrdiff_t)t * n * zrow;                 /* [n][zrow] */
        if (!l->packed) add_plain_transposed(l, l->carry, row, l->plain_Wm, 1, 0, 1, dh, row);
        tiles w = walk_at(&first, t);
        touch(&w, z, zrow, 3, row);
        touch(&w, dh, row, 1, 0);
        while (next_tile(&w)) {
            product(&w, l->packed, H, l->carry, 0, row, sum);
            EACH_VECTOR(w) {
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                real *gate = z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
                const vec d = load(dh + at) + sum[w.place][r][u];
                store(gate + row, choose(load(gate) > 0, d, all(0)));
                store(gate + 2 * row, load(l->carry + at));
            }
        }
        if (!l->packed) {
            add_plain_transposed(l, z + row, zrow, l->plain_Wh, 1, 0, 1, l->carry, row);
        }
        for (tiles w = walk_at(&second, t); next_tile(&w);) {
            product(&w, l->packed, H, z + row, 0, zrow, sum);
            EACH_VECTOR(w) {
                real *dm = l->carry + (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
                store(dm, load(dm) + sum[w.place][r][u]);
            }
        }
    }
}

static void cell_forward(const layer *l) {
    switch (l->cell) {
    case FASTRNN_LSTM: lstm_forward(l); break;
    case FASTRNN_GRU: gru_forward(l); break;
    case FASTRNN_GRU_BEFORE: gru_before_forward(l); break;
    case FASTRNN_MEMORY: memory_forward(l); break;
    default: rnn_forward(l);
    }
}

static void cell_backward(const layer *l) {
    switch (l->cell) {
    case FASTRNN_LSTM: lstm_backward(l); break;
    case FASTRNN_GRU: gru_backward(l); break;
    case FASTRNN_GRU_BEFORE: gru_before_backward(l); break;
    case FASTRNN_MEMORY: memory_backward(l); break;
    default: rnn_backward(l);
    }
}

#endif
