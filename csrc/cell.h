/* cell.h - what a recurrent cell is, and what the cells in cells/ have in common.
 *
 * A cell takes a layer through one time step. `forward` finds x_t Wx, the products of the inputs,
 * in the first G slots of z, or picks rows of Wx itself where the inputs are symbols. It adds b and
 * the products with the state, and leaves in the slots what `backward` needs; backward replaces
 * that by the gradients with respect to the sums in the gates. Where a second product needs what
 * the first one gave, a step has two phases. Threads may share a phase: each takes a portion of the
 * panels of units, and reads what others wrote in earlier phases only; or a portion of the streams. A slot is a row of `row`
 * numbers (H rounded up; those after H are never read), and a row of z has `slots` of them side by
 * side. Each cell's file says what they hold.
 *
 * The matrices that are multiplied by the state are packed (tile.h); where `packed` is 0, BLAS adds
 * the products before the same loops finish the cell: simpler, to compare with. */
#pragma once

#include "fastrnn.h"
#include "reservoir.h"
#include "tile.h"
#include "vecmath.h"

enum { MOST_STREAMS = ROUNDED ? 64 : 32 }; /* of a slice */
enum { MOST_PACKS = 2, MOST_PHASES = 2 };  /* of a cell */
enum { WX, WH, B };                        /* the first tensors of each cell that is trained */
#define FIRST_TENSORS {"Wx", 'D', 'G'}, {"Wh", 'H', 'G'}, {"b", '1', 'G'}

/* A layer at work on n streams. */
typedef struct {
    const struct cell *cell;
    int T, n, H, G, row, zrow, packed;
    const int32_t *ids; /* [T][N]: rows of Wx that are the products, or NULL */
    int N, x_step;      /* from a gate's product to the next: H of a row of Wx, or row */
    const real *tensor[FASTRNN_MOST_TENSORS]; /* parameters, as the cell lists them; esn: Win */
    const real *b; /* (G H), or one for each stream, b_row apart: then b_row > 0 */
    int b_row;
    const real *W[MOST_PACKS], *WT[MOST_PACKS]; /* the cell's packs, and their transposes */
    tiles walks[MOST_PACKS];    /* through them: W on the way forward, WT on the way back */
    const reservoir *reservoir; /* esn */
    real *states;               /* [2][n][state_row(H)], esn: scratch */
    real *h, *c;                /* [T+1][n][row]: states, from before the first step on */
    real *z;                    /* [T][n][zrow] */
    real *dh;                   /* [T][n][row]: gradients with respect to the output */
    real *carry;                /* [n][row]: gradient that passes to the step before without a
                                 * product; at first with respect to the last state which is not
                                 * the output (lstm: c, memory: m), or 0 */
    real *scratch, *rounded;    /* of gradient(); of a walk: its rows */
    int64_t scratch_each, rounded_each; /* numbers of these for each portion */
    fastrnn_gemm gemm;
} layer;

/* Where the gradients of a layer's parameters belong, and what they are sums over besides z. */
typedef struct {
    real *tensor[FASTRNN_MOST_TENSORS];
    int inputs;          /* 1, or 0 where the inputs pick rows of Wx */
    factor x;            /* the inputs */
    const picks *picked; /* the rows, or NULL */
} gradients_of;

/* Gates first ... first + count - 1 of a tensor (H, ...) that are packed together. */
typedef struct { int tensor, first, count; } pack_of;

typedef struct cell {
    fastrnn_cell is;
    int slots; /* of a row of z */
    int dz;    /* the slot that the gradients of the G gates' sums start at */
    pack_of packs[MOST_PACKS];
    /* a portion of each phase of step t; NULL after the last one */
    void (*forward[MOST_PHASES])(const layer *l, int t, portion some);
    void (*backward[MOST_PHASES])(const layer *l, int t, portion some);
    void (*gradients)(const layer *l, const gradients_of *to, portion some);
    /* dstart [n][row]: with respect to the first h */
    void (*start_gradient)(const layer *l, real *dstart, portion some);
} cell;

INLINE real *scratch_of(const layer *l, portion some) {
    return l->scratch + some.index * l->scratch_each;
}
INLINE real *rounded_of(const layer *l, portion some) {
    return l->rounded + some.index * l->rounded_each;
}

static void set_walks(layer *l, int back, int by_rows) {
    for (int i = 0; i < MOST_PACKS && l->cell->packs[i].count; i++) {
        const int G = l->cell->packs[i].count;
        l->walks[i] = back ? walk(1, l->n, l->H, G, l->H, l->WT[i], l->rounded)
                           : walk(G, l->n, l->H, 1, l->H, l->W[i], l->rounded);
        l->walks[i].rounded_each = l->rounded_each;
        l->walks[i].by_rows = by_rows;
    }
}

/* Columns of a tensor. */
INLINE int columns(const cell *c, int tensor, int H) {
    const char letter = c->is.tensors[tensor].columns;
    return letter == 'H' ? H : letter == 'G' ? c->is.gates * H : (letter - '0') * H;
}

/* C [n][c_row] += A [n][a_row] times `count` gates of a tensor, from gate `first` on: each gate's
 * product to a slot of its own. */
static void add_plain(const layer *l, const real *A, int a_row, int tensor, int first, int count,
                      real *C, int c_row) {
    const int ldw = columns(l->cell, tensor, l->H);
    for (int g = 0; g < count; g++) {
        l->gemm(0, 0, l->n, l->H, l->H, A, a_row, l->tensor[tensor] + (first + g) * l->H, ldw, 1,
                C + g * l->row, c_row);
    }
}

/* C [n][c_row] += the slots A [n][count][row] times the transposes of these gates, summed. */
static void add_plain_transposed(const layer *l, const real *A, int a_row, int tensor, int first,
                                 int count, real *C, int c_row) {
    const int ldw = columns(l->cell, tensor, l->H);
    for (int g = 0; g < count; g++) {
        l->gemm(0, 1, l->n, l->H, l->H, A + g * l->row, a_row,
                l->tensor[tensor] + (first + g) * l->H, ldw, 1, C, c_row);
    }
}

/* The arrays at step t. */
typedef struct {
    const real *before, *c_before; /* [n][row]: states of the step before */
    real *now, *c_now;             /* [n][row]: states */
    real *z;                       /* [n][zrow]: slots */
    const real *after;             /* [n][zrow]: slots of the next step, where there is `more` */
    int more;
    real *dh; /* [n][row] */
} step;

INLINE step step_at(const layer *l, int t) {
    const ptrdiff_t size = (ptrdiff_t)l->n * l->row, slots = (ptrdiff_t)l->n * l->zrow;
    real *h = l->h + t * size, *c = l->c + t * size, *z = l->z + t * slots;
    return (step){h, c, h + size, c + size, z, z + slots, t < l->T - 1, l->dh + t * size};
}

/* x_t Wx of stream r: G gates, x_step apart. */
INLINE const real *products(const layer *l, int t, int r) {
    return l->ids ? l->tensor[WX] + (ptrdiff_t)l->ids[t * l->N + r] * l->G * l->H
                  : l->z + ((ptrdiff_t)t * l->n + r) * l->zrow;
}

/* x_t Wx + b of a gate, at a vector of the tile. */
INLINE vec input_sum(const layer *l, int t, int r, int unit, int gate) {
    return load(products(l, t, r) + gate * l->x_step + unit)
           + load(l->b + (ptrdiff_t)r * l->b_row + gate * l->H + unit);
}

/* Vectors of a tile that go through tanh, or through the gates, side by side (vecmath.h). */
#if REGISTERS == 32
#define TOGETHER 4
#define PAIR 2
#else
#define TOGETHER 2
#define PAIR 1
#endif
#define ALL_OF(count) EACH(p, count)

/* Loops over the vectors of a tile. */
#define EACH_VECTOR(w)                                                                             \
    for (int r = 0; r < (w).R; r++)                                                                \
        for (int u = 0; u < (w).U; u++)

/* Whether gradient() is faster than BLAS, which knows no bfloat16. */
INLINE int gradient_pays(int packed, int rows, int H) {
    return packed && (ROUNDED || rows >= 64 || H > 256);
}

/* A portion of gradient() of `count` slots dz, for gates `gate` and on of G, by tiles or by plain
 * BLAS. */
static void gate_gradients(const layer *l, int gate, int count, const real *dz,
                           const factor *factors, int n, real *db, const picks *picked,
                           portion some) {
    const int H = l->H, ldc = l->G * H, rows = l->T * l->n;
    const int tiled = gradient_pays(l->packed, rows, H);
    gradient(rows, H, count, dz, l->zrow, l->row, gate * H, factors, tiled ? n : 0, ldc, db, picked,
             scratch_of(l, some), some);
    for (int f = 0; f < n && !tiled && !some.index; f++) {
        for (int g = 0; g < count; g++) {
            l->gemm(1, 0, factors[f].M, H, rows, factors[f].x, factors[f].row, dz + g * l->row,
                    l->zrow, 0, factors[f].C + (gate + g) * H, ldc);
        }
    }
}

/* dWh = sum over t of h_{t-1}^T dz_t,  dWx = sum of x_t^T dz_t,  db = sum of dz_t: of cells all of
 * whose gates are multiplied by h_{t-1} itself. */
static void plain_gradients(const layer *l, const gradients_of *to, portion some) {
    const factor both[2] = {{l->H, l->row, l->h, to->tensor[WH]}, to->x};
    gate_gradients(l, 0, l->G, l->z + l->cell->dz * l->row, both, 1 + to->inputs, to->tensor[B],
                   to->picked, some);
}

/* A portion of dstart [n][row] = dz_1 times the transpose of pack 0, whose first `count` gates belong
 * to the first slots of z, and a gate after them, where there is one, to slot `last`; plus carry
 * where `carried`. */
static void start_from_products(const layer *l, int count, int last, int carried, real *dstart,
                                portion some) {
    const int n = l->n, H = l->H, row = l->row, all_gates = l->cell->packs[0].count;
    group sum;
    if (!l->packed) {
        memset(dstart, 0, (size_t)n * row * sizeof(real));
        add_plain_transposed(l, l->z, l->zrow, WH, 0, count, dstart, row);
        add_plain_transposed(l, l->z + last * row, l->zrow, WH, count, all_gates - count, dstart,
                             row);
    }
    for (tiles w = walk_at(l->walks, 0, some); next_tile(&w);) {
        product(&w, l->packed ? count : 0, H, l->z, row, l->zrow, sum);
        if (l->packed) {
            add_product(&w, count, all_gates - count, H, l->z + last * row, 0, l->zrow, sum);
        }
        EACH_VECTOR(w) {
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
            const vec d = (l->packed ? all(0) : load(dstart + at)) + sum[w.place][r][u];
            store(dstart + at, carried ? d + load(l->carry + at) : d);
        }
    }
}
/* Of cells all of whose gates are multiplied by h_{t-1} itself, and whose h is not carried. */
static void plain_start_gradient(const layer *l, real *dstart, portion some) {
    start_from_products(l, l->G, 0, 0, dstart, some);
}
