/* cells.h - each recurrent cell over a whole unroll, forward and backward.
 *
 * Every cell finds the products of its input, x_t Wx, in the slots of z, or picks rows of Wx itself
 * where symbols are its input; it adds b and the products with its own state and leaves in the
 * slots what the backward pass needs; backward turns them into the gradients by those sums. A slot
 * is a row of `row` numbers (H rounded up; what lies behind H is never read), a row of z is `slots`
 * of them side by side:
 *
 *     cell        slots of z, forward                  backward
 *     rnn, relu   z                                    dz
 *     lstm        i, f, o, g, tanh c                   di, df, do, dg by the sums in the gates
 *     gru         r, z, n, h Un + bhn                  dr, dz, dn, and dn o r by h Un
 *     gru before  r, z, n, r o h                       dr, dz, dn
 *     memory      u                                    u, dz, dm
 *     esn         z                                    (it is not trained)
 *
 * The matrices that meet the state are packed (tile.h), or, where `packed` is 0, plain BLAS adds
 * their products before the same tiles finish the cell: the twin to read and to measure with.
 */
#ifndef FASTRNN_CELLS_H
#define FASTRNN_CELLS_H

#include "fastrnn.h"
#include "reservoir.h"
#include "tile.h"
#include "vecmath.h"

enum { FASTRNN_GRU_BEFORE = FASTRNN_ESN + 1 };      /* a GRU that resets before the product */
enum { MOST_STREAMS = 32 };                         /* of a slice */

/* A layer at work on n streams. */
typedef struct {
    int cell, T, n, H, row, zrow, packed;
    const int32_t *ids;          /* [T][N]: rows of Wx (K, G H) that are the products, or NULL */
    int N, G;
    const real *Wx;
    const real *b;               /* (G H), or for each stream its own, b_row apart: then that is > 0 */
    int b_row;
    const real *Wh, *WhT;        /* packed (H, G H) and its transpose; for a GRU that resets before */
    const real *Wn, *WnT;        /* the gates r and z, and here n; memory: Wm */
    const real *plain_Wh, *plain_Wm;     /* the parameters themselves */
    const real *bhn, *bm;
    const reservoir *reservoir;  /* esn */
    real *states;                /* [2][n][state_row(H)], esn: scratch */
    real *h;                     /* [T+1][n][row]: slot 0 is the state before; memory: m */
    real *c;                     /* [T+1][n][row], lstm */
    real *z;                     /* [T][n][zrow] */
    real *dh;                    /* [T][n][row]: gradients by what the layer hands on */
    real *carry;                 /* [n][row]: what passes to the step before without a product, at
                                  * first what comes from behind the last step */
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

/* x_t Wx of stream r, [G][H]; the gates are products_step(l) apart. */
INLINE const real *products(const layer *l, int t, int r) {
    return l->ids ? l->Wx + (ptrdiff_t)l->ids[t * l->N + r] * l->G * l->H
                  : l->z + ((ptrdiff_t)t * l->n + r) * l->zrow;
}
INLINE const real *bias(const layer *l, int r) { return l->b + (ptrdiff_t)r * l->b_row; }
INLINE int products_step(const layer *l) { return l->ids ? l->H : l->row; }

/* Vectors of a tile that go through tanh, or through the gates, side by side (vecmath.h). */
#if REGISTERS == 32
#define TOGETHER 4
#define PAIR 2
#else
#define TOGETHER 2
#define PAIR 1
#endif
#define ALL_OF(count) UNROLL(4) for (int p = 0; p < count; p++)

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
            for (int i = 0; i < w.R * w.U; i += TOGETHER) {
                ptrdiff_t at[TOGETHER];
                vec s[TOGETHER];
                ALL_OF(TOGETHER) {
                    const spot here = next_vector(&w, sum);
                    const int j = here.unit;
                    s[p] = load(products(l, t, here.row) + j) + load(bias(l, here.row) + j)
                           + here.sum[0];
                    at[p] = (ptrdiff_t)here.row * row + j;
                }
                if (l->cell == FASTRNN_TANH) tanhs(TOGETHER, s);
                else ALL_OF(TOGETHER) s[p] = larger(all(0), s[p]);
                ALL_OF(TOGETHER) store(now + at[p], s[p]);
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
    const int x_step = products_step(l);
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
            for (int m = 0; m < w.R * w.U; m += PAIR) {
                ptrdiff_t at[PAIR];
                real *gate[PAIR];
                vec i[4 * PAIR], *f = i + PAIR, *o = f + PAIR, *g = o + PAIR, c[PAIR], tanh_c[PAIR];
                ALL_OF(PAIR) {
                    const spot here = next_vector(&w, sum);
                    const int j = here.unit;
                    const real *x = products(l, t, here.row) + j, *b = bias(l, here.row) + j;
                    UNROLL(4)
                    for (int k = 0; k < 4; k++) {
                        i[k * PAIR + p] = load(x + k * x_step) + load(b + k * H)
                                          + here.sum[k * w.U];
                    }
                    at[p] = (ptrdiff_t)here.row * row + j;
                    gate[p] = z + (ptrdiff_t)here.row * zrow + j;
                }
                sigmoids(3 * PAIR, i);
                tanhs(PAIR, g);
                ALL_OF(PAIR) tanh_c[p] = c[p] = f[p] * load(c_before + at[p]) + i[p] * g[p];
                tanhs(PAIR, tanh_c);
                ALL_OF(PAIR) {
                    store(gate[p], i[p]);
                    store(gate[p] + row, f[p]);
                    store(gate[p] + 2 * row, o[p]);
                    store(gate[p] + 3 * row, g[p]);
                    store(gate[p] + 4 * row, tanh_c[p]);
                    store(c_now + at[p], c[p]);
                    store(now + at[p], o[p] * tanh_c[p]);
                }
            }
        }
    }
}

/* dc_t = dc_{t+1} o f_{t+1} + dh_t o o (1 - tanh^2 c_t); `carry` holds dc_{t+1} o f_{t+1} */
static void lstm_backward(const layer *l) {
    const int n = l->n, H = l->H, row = l->row, zrow = l->zrow;
    group sum;
    const tiles first = walk(1, n, H, 4 * H, l->WhT);
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
    const int x_step = products_step(l);
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
            for (int m = 0; m < w.R * w.U; m += PAIR) {
                ptrdiff_t at[PAIR];
                real *gate[PAIR];
                vec reset[2 * PAIR], *keep = reset + PAIR, own[PAIR], new[PAIR];
                ALL_OF(PAIR) {
                    const spot here = next_vector(&w, sum);
                    const int j = here.unit;
                    const real *x = products(l, t, here.row) + j, *b = bias(l, here.row) + j;
                    at[p] = (ptrdiff_t)here.row * row + j;
                    gate[p] = z + (ptrdiff_t)here.row * zrow + j;
                    reset[p] = load(x) + load(b) + here.sum[0];
                    keep[p] = load(x + x_step) + load(b + H) + here.sum[w.U];
                    new[p] = load(x + 2 * x_step) + load(b + 2 * H);
                    own[p] = (l->packed ? here.sum[2 * w.U] : load(gate[p] + 3 * row))
                             + load(l->bhn + j);
                }
                sigmoids(2 * PAIR, reset);
                ALL_OF(PAIR) new[p] += reset[p] * own[p];
                tanhs(PAIR, new);
                ALL_OF(PAIR) {
                    store(gate[p], reset[p]);
                    store(gate[p] + row, keep[p]);
                    store(gate[p] + 2 * row, new[p]);
                    store(gate[p] + 3 * row, own[p]);
                    store(now + at[p], new[p] + keep[p] * (load(before + at[p]) - new[p]));
                }
            }
        }
    }
}

/* `carry` holds dh_{t+1} o z_{t+1} */
static void gru_backward(const layer *l) {
    const int n = l->n, H = l->H, row = l->row, zrow = l->zrow;
    group sum;
    const tiles first = walk(1, n, H, 3 * H, l->WhT);
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
    const int x_step = products_step(l);
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
            for (int m = 0; m < w.R * w.U; m += PAIR) {
                ptrdiff_t at[PAIR];
                real *gate[PAIR];
                vec reset[2 * PAIR], *keep = reset + PAIR, new[PAIR];
                ALL_OF(PAIR) {
                    const spot here = next_vector(&w, sum);
                    const int j = here.unit;
                    const real *x = products(l, t, here.row) + j, *b = bias(l, here.row) + j;
                    at[p] = (ptrdiff_t)here.row * row + j;
                    gate[p] = z + (ptrdiff_t)here.row * zrow + j;
                    reset[p] = load(x) + load(b) + here.sum[0];
                    keep[p] = load(x + x_step) + load(b + H) + here.sum[w.U];
                    new[p] = load(x + 2 * x_step) + load(b + 2 * H);
                }
                sigmoids(2 * PAIR, reset);
                ALL_OF(PAIR) {
                    store(gate[p], reset[p]);
                    store(gate[p] + row, keep[p]);
                    store(gate[p] + 2 * row, new[p]);      /* but for what comes from the state */
                    store(gate[p] + 3 * row, reset[p] * load(before + at[p]));
                }
            }
        }
        if (!l->packed) add_plain(l, z + 3 * row, zrow, l->plain_Wh, 3, 2, 1, z + 2 * row, zrow);
        for (tiles w = walk_at(&second, t); next_tile(&w);) {
            product(&w, l->packed, H, z + 3 * row, 0, zrow, sum);
            for (int m = 0; m < w.R * w.U; m += TOGETHER) {
                ptrdiff_t at[TOGETHER];
                real *gate[TOGETHER];
                vec new[TOGETHER];
                ALL_OF(TOGETHER) {
                    const spot here = next_vector(&w, sum);
                    at[p] = (ptrdiff_t)here.row * row + here.unit;
                    gate[p] = z + (ptrdiff_t)here.row * zrow + here.unit;
                    new[p] = load(gate[p] + 2 * row) + here.sum[0];
                }
                tanhs(TOGETHER, new);
                ALL_OF(TOGETHER) {
                    store(gate[p] + 2 * row, new[p]);
                    const vec keep = load(gate[p] + row);
                    store(now + at[p], new[p] + keep * (load(before + at[p]) - new[p]));
                }
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
                const int j = w.unit + u * LANES;
                const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + j;
                real *gate = z + (ptrdiff_t)(w.row + r) * zrow + j;
                const vec s = load(products(l, t, w.row + r) + j) + load(bias(l, w.row + r) + j)
                              + sum[w.place][r][u];
                store(gate, larger(all(0), s));
                store(now + at, load(before + at) + load(l->bm + j));
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

/* ---- echo state: a reservoir (reservoir.h) ---- */

static void esn_forward(const layer *l) {
    const int n = l->n, H = l->H, row = state_row(H);
    const real *drive[MOST_STREAMS];
    real *before = l->states, *now = before + (ptrdiff_t)n * row;      /* [n][row] */
    for (int r = 0; r < n; r++) {
        memcpy(before + (ptrdiff_t)r * row, l->h + (ptrdiff_t)r * l->row, H * sizeof(real));
        repeat_first(H, before + (ptrdiff_t)r * row);
    }
    for (int t = 0; t < l->T; t++) {
        real *h = l->h + (ptrdiff_t)(t + 1) * n * l->row, *other = before;     /* [n][row] */
        for (int r = 0; r < n; r++) drive[r] = products(l, t, r);
        reservoir_step(l->reservoir, t, n, drive, before, now, row, 0, (H + STRIP - 1) / STRIP);
        for (int r = 0; r < n; r++) {
            memcpy(h + (ptrdiff_t)r * l->row, now + (ptrdiff_t)r * row, H * sizeof(real));
        }
        before = now;
        now = other;
    }
}

/* Behind the loop back: dstart [n][row] = the gradient by the h (memory: m) that the unroll began
 * with. That of an LSTM's c is in carry. */
static void start_gradient(const layer *l, real *dstart) {
    const int n = l->n, H = l->H, row = l->row, G = l->G;
    const int before = l->cell == FASTRNN_GRU_BEFORE, gru = l->cell == FASTRNN_GRU;
    const int summed = gru || before ? 2 : G, carried = gru || before;
    group sum;
    if (l->cell == FASTRNN_MEMORY) {
        memcpy(dstart, l->carry, (size_t)n * row * sizeof(real));
        return;
    }
    memset(dstart, 0, (size_t)n * row * sizeof(real));
    if (!l->packed) {
        add_plain_transposed(l, l->z, l->zrow, l->plain_Wh, G, 0, summed, dstart, row);
        if (gru) add_plain_transposed(l, l->z + 3 * row, l->zrow, l->plain_Wh, G, 2, 1, dstart, row);
    }
    tiles w = walk(1, n, H, (before ? 2 : G) * H, l->WhT);
    while (next_tile(&w)) {
        product(&w, l->packed ? summed : 0, H, l->z, row, l->zrow, sum);
        if (gru && l->packed) add_product(&w, 2, 1, H, l->z + 3 * row, 0, l->zrow, sum);
        EACH_VECTOR(w) {
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
            const vec d = load(dstart + at) + sum[w.place][r][u];
            store(dstart + at, carried ? d + load(l->carry + at) : d);
        }
    }
}

static void cell_forward(const layer *l) {
    switch (l->cell) {
    case FASTRNN_LSTM: lstm_forward(l); break;
    case FASTRNN_GRU: gru_forward(l); break;
    case FASTRNN_GRU_BEFORE: gru_before_forward(l); break;
    case FASTRNN_MEMORY: memory_forward(l); break;
    case FASTRNN_ESN: esn_forward(l); break;
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
