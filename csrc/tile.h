/* tile.h - products with a matrix that is packed once and used at every time step.
 *
 * BLAS lays out its operands anew in each call. In a recurrence the same matrix is multiplied by a
 * few rows at a time, T times over, so we lay it out once per update. A matrix B (K, G M) holds G
 * gates side by side, M units each. A panel is a few vectors of units, those of its G gates next to
 * each other, row after row, so that a tile has all the gates of its units at once. A tile of up to
 * TILE_ROWS(G) rows and one panel stays in registers while it runs down K, and the caller finishes
 * it there. One row alone takes wider panels, so that the sums still fill the registers; hence the
 * packed form depends on N, the rows that it will be multiplied by. */
#pragma once

#include "real.h"

#if REGISTERS == 32
#define PANEL 4 /* vectors in a panel for many rows */
#define WIDE 8  /* for one row */
#else
#define PANEL 2
#define WIDE 7
#endif
#ifdef AMX
#define MOST_ROWS 16 /* of a tile */
#define TILE_ROWS(G) 16
#define GROUP 2 /* tiles that are multiplied together */
#else
#define MOST_ROWS 6
#define TILE_ROWS(G) (REGISTERS == 32 || (G) < 3 ? 6 : 12 / (G))
#define GROUP 6
#endif
#define ROUNDED_ROWS 64                /* rows that are rounded together */
#define AHEAD 16                       /* rows that are fetched before they are needed */
#define CHAINS 4                       /* most sums in flight for one vector */
#define MOST_GATES 4                   /* of a panel */
#define MOST_VECTORS (ROUNDED ? 4 : 8) /* in a panel: WIDE, or one vector for each gate */

typedef vec sums[MOST_ROWS][MOST_VECTORS];
typedef sums group[GROUP];

/* A part of work that threads share: one of `count`. Matrices are cut between panels, or those of
 * bfloat16 of one gate between any vectors, so that each sum is computed by the same instructions
 * whatever the cut. */
typedef struct { int index, count; } portion;
#define WHOLE ((portion){0, 1})

/* Where a portion of n pieces starts; and with the portion after it, ends. */
INLINE int start_of(portion p, int n) { return (int)((int64_t)n * p.index / p.count); }
INLINE int end_of(portion p, int n) { return (int)((int64_t)n * (p.index + 1) / p.count); }

INLINE int vectors(int n) { return round_up(n, LANES) / LANES; }

#ifdef FASTRNN_BFLOAT16
#define DEEP 32 /* numbers of a sum that are multiplied at once */
#define PAIRS (DEEP / 2)
#define packed_rows(count, K) ((count) * round_up(K, DEEP) / 2)
#define part_of_panel(units) ((units) * PAIRS) /* where its vector of a unit starts */
#else
#define packed_rows(count, K) ((count) * (K))
#define part_of_panel(units) 0 /* whole panels */
#endif

/* Numbers of memory that the packed form of a (count K, G M) matrix takes. */
INLINE int64_t packed_size(int G, int count, int K, int M) {
    return (int64_t)G * packed_rows(count, K) * round_up(M, ROW_STEP);
}

/* Units of a panel, all panels of a matrix being about as wide. */
INLINE int panel_units(int G, int N, int M) {
    const int room = (N == 1 && !ROUNDED ? WIDE : PANEL) / G, most = room ? room : 1,
              all = vectors(M);
    const int panels = (all + most - 1) / most;
    return (all + panels - 1) / panels * LANES;
}

/* Panels, of `step` units each, of a matrix of M. */
INLINE int panels_of(int step, int M) { return (M + step - 1) / step; }

#ifndef FASTRNN_BFLOAT16
/* A portion of packed <- B (K, G M), whose rows are ldb apart, for N rows. Reads, but does not use, up
 * to a register after B's end. */
static void pack(int G, int N, int K, int M, const real *B, int ldb, real *packed, portion some) {
    const int step = panel_units(G, N, M), panels = panels_of(step, M);
    const int start = start_of(some, panels) * step, end = least(end_of(some, panels) * step, M);
    packed += (ptrdiff_t)start * G * K;
    for (int first = start; first < end; first += step) {
        const int units = least(step, vectors(M - first) * LANES);
        for (int k = 0; k < K; k++) {
            for (int g = 0; g < G; g++, packed += units) {
                const real *from = B + (ptrdiff_t)k * ldb + g * M + first;
                for (int m = 0; m < units; m += LANES) {
                    store(packed + m, first_lanes(load(from + m), M - first - m));
                }
            }
        }
    }
}

/* packed <- the transpose of B (M, count K), whose rows are ldb apart; else as pack. */
static void pack_transposed(int N, int count, int K, int M, const real *B, int ldb, real *packed,
                            portion some) {
    const int step = panel_units(1, N, M), panels = panels_of(step, M);
    const int start = start_of(some, panels) * step, end = least(end_of(some, panels) * step, M);
    K *= count;
    packed += (ptrdiff_t)start * K;
    for (int first = start; first < end; first += step) {
        const int width = least(step, vectors(M - first) * LANES);
        for (int m = 0; m < width; m += LANES) {
            for (int k = 0; k < K; k += LANES) {
                const real *from = B + (ptrdiff_t)(first + m) * ldb + k;
                const int rows = least(LANES, M - first - m), columns = least(LANES, K - k);
                vec square[LANES];
                EACH(i, LANES) square[i] = i < rows ? load(from + (ptrdiff_t)i * ldb) : all(0);
                transpose_square(square);
                real *to = packed + (ptrdiff_t)k * width + m;
                EACH(i, LANES) if (i < columns) store(to + (ptrdiff_t)i * width, square[i]);
            }
        }
        packed += (ptrdiff_t)K * width;
    }
}

/* sum[r][v] = or, where `more`, += A (R, K) times one panel of V vectors; A's rows, or where it is
 * `turned` its columns, are `stride` apart. Prefetches K lines from `coming` on. R, V and `turned`
 * are constants where this is inlined, so that the sums are registers. */
INLINE void tile(const int R, const int V, const int turned, int more, int K, const real *A,
                 ptrdiff_t stride, const real *panel, const real *coming, sums sum) {
    sums s;
    int k = 0;
    EACH(r, R) EACH(v, V) s[r][v] = more ? sum[r][v] : all(0);
    if (R == 1 && !turned) { /* too few sums to hide the latency of one chain each */
        const int others = (V * CHAINS <= REGISTERS * 3 / 4 ? CHAINS : CHAINS / 2) - 1;
        vec other[CHAINS - 1][MOST_VECTORS];
        EACH(c, others) EACH(v, V) other[c][v] = all(0);
        for (; k + others < K; k += 1 + others, panel += (1 + others) * V * LANES) {
            EACH(v, V) s[0][v] += A[k] * load(panel + v * LANES);
            EACH(c, others) EACH(v, V) {
                other[c][v] += A[k + 1 + c] * load(panel + ((1 + c) * V + v) * LANES);
            }
        }
        EACH(c, others) EACH(v, V) s[0][v] += other[c][v];
    }
    for (; k < K; k++, panel += V * LANES) {
        vec b[MOST_VECTORS];
        EACH(v, V) b[v] = load(panel + v * LANES);
        if (turned) PREFETCH(A + (k + AHEAD) * stride);
        else PREFETCH(coming + k * ROW_STEP);
        EACH(r, R) {
            const real a = turned ? A[k * stride + r] : A[r * stride + k];
            EACH(v, V) s[r][v] += a * b[v];
        }
    }
    EACH(r, R) EACH(v, V) sum[r][v] = s[r][v];
}

/* tile() for any R and V that a panel has. */
static void any_tile(int R, int V, int turned, int more, int K, const real *A, ptrdiff_t stride,
                     const real *panel, const real *coming, sums sum) {
#define CASE(R, V, TURNED)                                                                         \
    case (TURNED) * 128 + (R) * 16 + (V):                                                          \
        tile(R, V, TURNED, more, K, A, stride, panel, coming, sum);                                \
        break;
#define CASES(R, TURNED) CASE(R, 1, TURNED) CASE(R, 2, TURNED) CASE(R, 3, TURNED) CASE(R, 4, TURNED)
    switch (turned * 128 + R * 16 + V) {
        /* clang-format off */
        CASES(1, 0) CASE(1, 5, 0) CASE(1, 6, 0) CASE(1, 7, 0) CASE(1, 8, 0)
        CASES(2, 0) CASES(3, 0) CASES(4, 0) CASES(5, 0) CASES(6, 0)
        CASES(1, 1) CASES(2, 1) CASES(3, 1) CASES(4, 1) CASES(5, 1) CASES(6, 1)
        /* clang-format on */
    }
}

#endif

/* A walk over the tiles of a product of N rows with a packed (count K, G M) matrix. */
typedef struct {
    int G, M, depth, count, turn, step, tiles; /* depth: packed_rows */
    int start, end;                            /* from this unit on, to before this one */
    int first, panels;    /* which are in so many panels from panel `first` on */
    int top, few, longer; /* the first row; rows of a tile, the first `longer` have one more */
    int by_rows;          /* whether threads that share the walk divide its rows */
    int next_panel, next; /* panel and tile */
    int begun;            /* panels */
    const real *packed;
    real *rounded;        /* the rows in bfloat16 (bfloat16.h), from the first panel on */
    int64_t rounded_each; /* numbers of this for each portion */
    /* the current tile: R rows from `row` on, U vectors of units from `unit` on, which are G U
     * vectors of the panel; and its place in its group */
    int R, U, row, unit, place;
    int r, u;          /* its next vector */
    const real *panel; /* its first number of the panel */
    int width;         /* vectors of the whole panel */
    /* what the caller will read or write: `count` slots [N][row], `step` apart */
    struct touched {
        const real *at;
        int row, count, step;
    } touched[4];
    int touches;
} tiles;

INLINE int tile_row(const tiles *w, int i) { return w->top + i * w->few + least(i, w->longer); }

/* Divides N rows evenly among tiles. */
INLINE void divide_rows(tiles *w, int N) {
    w->tiles = (N + TILE_ROWS(w->G) - 1) / TILE_ROWS(w->G);
    w->few = N / w->tiles;
    w->longer = N % w->tiles;
}

static tiles walk(int G, int N, int M, int count, int K, const real *packed, real *rounded) {
    tiles w = {.G = G,
               .M = M,
               .depth = packed_rows(count, K),
               .count = count,
               .packed = packed,
               .rounded = rounded};
    ready_tiles();
    w.step = panel_units(G, N, M);
    w.end = M;
    w.panels = panels_of(w.step, M);
    divide_rows(&w, N);
    return w;
}

/* A portion of a walk at time t: through its panels from the left where t is even, from the right
 * where t is odd, so that a step begins with the panel that the one before left in the cache. */
INLINE tiles walk_at(const tiles *all, int t, portion p) {
    tiles w = *all;
    ready_tiles();
    w.turn = t & 1;
    if (p.count == 1) return w;
    w.rounded += p.index * w.rounded_each;
    if (w.by_rows) {
        const int rows = tile_row(all, all->tiles);
        w.top = start_of(p, rows);
        divide_rows(&w, end_of(p, rows) - w.top);
    } else {
        const int step = ROUNDED && w.G == 1 ? LANES : w.step, steps = panels_of(step, w.M);
        w.start = start_of(p, steps) * step;
        w.end = least(end_of(p, steps) * step, w.M);
        w.first = w.start / w.step;
        w.panels = panels_of(w.step, w.end) - w.first;
    }
    return w;
}

/* Announces slots that the caller will read or write: they are prefetched during the product, since
 * the processor does not foresee them. */
static void touch(tiles *w, const real *at, int row, int count, int step) {
    const struct touched slots = {at, row, count, step};
    w->touched[w->touches++] = slots;
}

static void fetch(const tiles *w, int row, int R) {
    for (int i = 0; i < w->touches; i++) {
        const struct touched *t = w->touched + i;
        const real *at = t->at + (ptrdiff_t)row * t->row + w->unit;
        for (int r = 0; r < R; r++, at += t->row) {
            for (int s = 0; s < t->count; s++) {
                for (int j = 0; j < w->U * LANES; j += ROW_STEP) PREFETCH(at + s * t->step + j);
            }
        }
    }
}

static int next_tile(tiles *w) {
    if (w->next == w->tiles) w->next = 0;
    if (w->next == 0) {
        const int p = w->next_panel++;
        if (p == w->panels) return 0;
        const int left = (w->first + (w->turn ? w->panels - 1 - p : p)) * w->step;
        const int right = least(left + w->step, w->M);
        w->unit = left < w->start ? w->start : left;
        w->U = vectors(least(right, w->end) - w->unit);
        w->width = w->G * vectors(right - left);
        w->panel = w->packed + (ptrdiff_t)left * w->G * w->depth + part_of_panel(w->unit - left);
        w->begun++;
    }
    w->place = w->next % GROUP;
    w->row = tile_row(w, w->next++);
    w->R = tile_row(w, w->next) - w->row;
    w->r = w->u = 0;
    return 1;
}

/* The vectors of the current tile, one after another; then the last one again. `sum` are the sums
 * of its gates, U apart. */
typedef struct {
    int row, unit;
    const vec *sum;
} spot;

INLINE spot next_vector(tiles *w, group sum) {
    const spot here = {w->row + w->r, w->unit + w->u * LANES, &sum[w->place][w->r][w->u]};
    if (w->u + 1 < w->U) w->u++;
    else if (w->r + 1 < w->R) w->u = 0, w->r++;
    return here;
}

/* ---- sums over all rows: the gradients of matrices and of a bias ---- */

/* The input of a product x W, x [..][row], M wide; and C (M, ...), the gradient of W. */
typedef struct {
    int M, row;
    const real *x;
    real *C;
} factor;

/* Inputs that picked a row of W, and the gradient of W, of whose first `size` numbers also those
 * beside the ones that change may be written, as they are: row t * n + stream of the unroll picked
 * row ids[t * N + stream]. */
typedef struct {
    const int32_t *ids;
    int n, N;
    real *C;
    int64_t size;
} picks;

/* Adds the first `width` numbers of row k of d to the row that was picked, from `column` on. */
INLINE void add_picked(const picks *p, int k, const real *d, int width, int column, int ldc) {
    int64_t at = (int64_t)p->ids[k / p->n * p->N + k % p->n] * ldc + column;
    for (; width > 0; width -= LANES, d += LANES, at += LANES) {
        real *c = p->C + at;
        const vec x = first_lanes(load(d), width);
        if (width >= LANES || at + LANES <= p->size) store(c, load(c) + x); /* 0 to what follows */
        else store_part(c, load_part(c, width) + x, width);
    }
}

/* The first `width` numbers of sum to c. */
INLINE void store_row(real *c, const vec *sum, int width) {
    for (; width >= LANES; width -= LANES, c += LANES) store(c, *sum++);
    if (width) store_part(c, *sum, width);
}

#ifdef FASTRNN_BFLOAT16
#include "bfloat16.h"
#else
/* A panel's part that serves a group of tiles from the nearest cache. */
#define NEAR_BYTES (LANES * REAL_BYTES == 64 ? 32768 : 16384)

/* Numbers of memory that a walk needs for its rows, in bfloat16; and gradient() for M rows of Cs. */
INLINE int64_t rounded_size(int N, int count, int K) { return (void)N, (void)count, (void)K, 0; }
INLINE int64_t gradient_size(int64_t rows, int M) { return (void)M, rows * PANEL * LANES; }

/* sum[place][r][g U + u] += the product with rows `first` and on of the matrix, or = where `first`
 * is 0: A is `count` blocks (N, K), `step` apart, whose rows are `stride` apart. Done for a whole
 * group at its first tile. */
static void add_product(const tiles *w, int first, int count, int K, const real *A, ptrdiff_t step,
                        ptrdiff_t stride, group sum) {
    if (w->place) return;
    const int V = w->G * w->U, start = w->next - 1;
    const int end = least(start + GROUP, w->tiles);
    const int near = w->tiles > 1 ? NEAR_BYTES / (V * LANES * REAL_BYTES) : K;
    const real *panel = w->panel + (ptrdiff_t)first * K * V * LANES;
    for (int s = 0; s < count; s++) {
        for (int k = 0; k < K; k += near) {
            const int part = least(near, K - k);
            for (int i = start; i < end; i++) { /* each fetches a part of what follows */
                const int row = tile_row(w, i), R = tile_row(w, i + 1) - row;
                const real *coming = panel + (ptrdiff_t)part * (V * LANES + (i - start) * ROW_STEP);
                if (first + s + k == 0 && w->tiles > 1) fetch(w, row, R);
                any_tile(R, V, 0, first + s + k > 0, part, A + row * stride + s * step + k, stride,
                         panel, coming, sum[i - start]);
            }
            panel += (ptrdiff_t)part * V * LANES;
        }
    }
}

/* sum = the product with all rows of the matrix, or zeros where count is 0. */
static void product(const tiles *w, int count, int K, const real *A, ptrdiff_t step,
                    ptrdiff_t stride, group sum) {
    if (count) add_product(w, 0, count, K, A, step, stride, sum);
    else any_tile(w->R, w->G * w->U, 0, 0, 0, A, 0, w->panel, w->panel, sum[w->place]);
}

/* A portion, of the panels, of: from column `start` on C (M, count K) = x^T d for n factors, db
 * (count K), where given, = the sum of d's rows, and each picked row, where there are some, += its
 * row of d, for `count` slots d [rows][d_row], K wide and d_step apart. The rows of the Cs are ldc
 * apart. panel is scratch, gradient_size() numbers. */
static void gradient(int rows, int K, int count, const real *d, int d_row, int d_step, int start,
                     const factor *factors, int n, int ldc, real *db, const picks *picked,
                     real *panel, portion some) {
    const int step = panel_units(1, 2, K), panels = panels_of(step, K);
    for (int p = start_of(some, count * panels); p < end_of(some, count * panels); p++) {
        const int unit = p % panels * step, width = least(step, K - unit), U = vectors(width);
        const int column = start + p / panels * K + unit;
        const int near = NEAR_BYTES * 3 / 4 / (U * LANES * REAL_BYTES); /* rows, beside x */
        const real *from = d + p / panels * d_step + unit;
        vec total[PANEL];
        for (int u = 0; u < U; u++) total[u] = all(0);
        for (int k = 0; k < rows; k++, from += d_row) {
            for (int u = 0; u < U; u++) {
                const vec x = load(from + u * LANES);
                PREFETCH(from + (ptrdiff_t)AHEAD * d_row + u * LANES);
                total[u] += x;
                store(panel + ((ptrdiff_t)k * U + u) * LANES, x);
            }
            if (picked) add_picked(picked, k, from, width, column, ldc);
        }
        if (db) store_row(db + column, total, width);
        for (int f = 0; f < n; f++) {
            const factor *left = factors + f;
            const int parts = (left->M + MOST_ROWS - 1) / MOST_ROWS;
            const tiles w = {.tiles = parts, .few = left->M / parts, .longer = left->M % parts};
            for (int first = 0; first < w.tiles; first += GROUP) {
                const int end = least(first + GROUP, w.tiles);
                group sum;
                for (int k = 0; k < rows; k += near) {
                    for (int i = first; i < end; i++) {
                        const int m = tile_row(&w, i);
                        any_tile(tile_row(&w, i + 1) - m, U, 1, k > 0, least(near, rows - k),
                                 left->x + (ptrdiff_t)k * left->row + m, left->row,
                                 panel + (ptrdiff_t)k * U * LANES, NULL, sum[i - first]);
                    }
                }
                for (int i = first; i < end; i++) {
                    const int m = tile_row(&w, i), R = tile_row(&w, i + 1) - m;
                    real *c = left->C + (ptrdiff_t)m * ldc + column;
                    for (int r = 0; r < R; r++, c += ldc) store_row(c, sum[i - first][r], width);
                }
            }
        }
    }
}
#endif
