/* tile.h - products with a matrix that is packed once and used at every time step.
 *
 * BLAS lays out its operands anew in each call. In a recurrence the same matrix B (K, M) meets a
 * few rows at a time, T times over, so we lay it out once per update: panels of a few vectors of
 * columns, each panel row after row, zeros behind the last column. A tile of up to TILE_ROWS rows
 * and one panel stays in registers while it runs down K, and its owner finishes it there. One row
 * alone takes wider panels, so that the sums still fill the registers; hence the packed form
 * depends on N, the rows that will meet it.
 */
#ifndef FASTRNN_TILE_H
#define FASTRNN_TILE_H

#include "real.h"

#define TILE_ROWS 6
#define PANEL (REGISTERS == 32 ? 4 : 2)          /* vectors in a panel for many rows */
#define WIDE (REGISTERS == 32 ? 8 : 7)           /* for one row */
#define CHAINS 4                                 /* most sums in flight for one vector */

INLINE int vectors(int n) { return round_up(n, LANES) / LANES; }

/* Elements that the packed form of a (K, M) matrix takes. */
INLINE int64_t packed_size(int K, int M) { return (int64_t)K * round_up(M, ROW_STEP); }

/* Columns of a panel, all panels of a matrix being about as wide. */
INLINE int panel_width(int N, int M) {
    const int most = N == 1 ? WIDE : PANEL, all = vectors(M);
    const int panels = (all + most - 1) / most;
    return (all + panels - 1) / panels * LANES;
}

/* packed <- B (K, M), for N rows. Reads, but does not use, up to a register behind B's end. */
static void pack(int N, int K, int M, const real *B, real *packed) {
    const int step = panel_width(N, M);
    for (int first = 0; first < M; first += step) {
        const int width = least(step, vectors(M - first) * LANES);
        for (int k = 0; k < K; k++, packed += width) {
            const real *from = B + (ptrdiff_t)k * M + first;
            for (int m = 0; m < width; m += LANES) {
                store(packed + m, first_lanes(load(from + m), M - first - m));
            }
        }
    }
}

/* packed <- the transpose of B (M, K). Reads behind B's end as pack does. */
static void pack_transposed(int N, int K, int M, const real *B, real *packed) {
    const int step = panel_width(N, M);
    for (int first = 0; first < M; first += step) {
        const int width = least(step, vectors(M - first) * LANES);
        for (int m = 0; m < width; m += LANES) {
            for (int k = 0; k < K; k += LANES) {
                const real *from = B + (ptrdiff_t)(first + m) * K + k;
                const int rows = least(LANES, M - first - m), columns = least(LANES, K - k);
                vec square[LANES];
                UNROLL(16)
                for (int i = 0; i < LANES; i++) square[i] = i < rows ? load(from + i * K) : all(0);
                transpose_square(square);
                real *to = packed + (ptrdiff_t)k * width + m;
                UNROLL(16)
                for (int i = 0; i < LANES; i++) {
                    if (i < columns) store(to + (ptrdiff_t)i * width, square[i]);
                }
            }
        }
        packed += (ptrdiff_t)K * width;
    }
}

/* sum[r][v] = A (R, K) times one panel of V vectors; the rows of A are `stride` apart. R and V are
 * constants where this is inlined, so that the sums are registers. */
INLINE void tile(const int R, const int V, int K, const real *A, ptrdiff_t stride,
                 const real *panel, vec sum[TILE_ROWS][WIDE]) {
    UNROLL(6)
    for (int r = 0; r < R; r++) {
        UNROLL(8)
        for (int v = 0; v < V; v++) sum[r][v] = all(0);
    }
    int k = 0;
    if (R == 1) {                /* too few sums to hide the latency of one chain each */
        const int chains = V * CHAINS <= REGISTERS * 3 / 4 ? CHAINS : CHAINS / 2;
        vec more[CHAINS][WIDE];
        UNROLL(4)
        for (int c = 1; c < chains; c++) {
            UNROLL(8)
            for (int v = 0; v < V; v++) more[c][v] = all(0);
        }
        for (; k + chains <= K; k += chains, panel += chains * V * LANES) {
            UNROLL(8)
            for (int v = 0; v < V; v++) sum[0][v] += A[k] * load(panel + v * LANES);
            UNROLL(4)
            for (int c = 1; c < chains; c++) {
                UNROLL(8)
                for (int v = 0; v < V; v++) {
                    more[c][v] += A[k + c] * load(panel + (c * V + v) * LANES);
                }
            }
        }
        UNROLL(4)
        for (int c = 1; c < chains; c++) {
            UNROLL(8)
            for (int v = 0; v < V; v++) sum[0][v] += more[c][v];
        }
    }
    for (; k < K; k++, panel += V * LANES) {
        vec b[WIDE];
        UNROLL(8)
        for (int v = 0; v < V; v++) b[v] = load(panel + v * LANES);
        UNROLL(6)
        for (int r = 0; r < R; r++) {
            const real a = A[r * stride + k];
            UNROLL(8)
            for (int v = 0; v < V; v++) sum[r][v] += a * b[v];
        }
    }
}

/* Calls body(R, V, row, column, panel) with constant R and V for each tile of a product of N rows
 * with a packed (K, M) matrix; row and column are the tile's first. The panels come from the left
 * where `turn` is even and from the right where it is odd: time steps that take turns find the
 * panel that the last one left in the cache. */
#define TILE_CASE(R, V, body) case (R) * 16 + (V): body(R, V, row_, column_, panel_); break;
#define TILE_CASES_2(R, body) TILE_CASE(R, 1, body) TILE_CASE(R, 2, body)
#define TILE_CASES_4(R, body) TILE_CASES_2(R, body) TILE_CASE(R, 3, body) TILE_CASE(R, 4, body)
#define TILE_CASES_7(body)                                                                        \
    TILE_CASES_4(1, body) TILE_CASE(1, 5, body) TILE_CASE(1, 6, body) TILE_CASE(1, 7, body)
#if REGISTERS == 32
#define TILE_CASES(R, body) TILE_CASES_4(R, body)
#define TILE_CASES_WIDE(body) TILE_CASES_7(body) TILE_CASE(1, 8, body)
#else
#define TILE_CASES(R, body) TILE_CASES_2(R, body)
#define TILE_CASES_WIDE(body) TILE_CASES_7(body)
#endif
#define FOR_EACH_TILE(N, M, K, packed, turn, body)                                                \
    do {                                                                                          \
        const int step_ = panel_width(N, M), panels_ = ((M) + step_ - 1) / step_;                 \
        for (int p_ = 0; p_ < panels_; p_++) {                                                    \
            const int column_ = ((turn) & 1 ? panels_ - 1 - p_ : p_) * step_;                     \
            const int width_ = least(step_ / LANES, vectors((M) - column_));                      \
            const real *panel_ = (packed) + (ptrdiff_t)column_ * (K);                             \
            for (int row_ = 0; row_ < (N); row_ += TILE_ROWS) {                                   \
                switch (least(TILE_ROWS, (N) - row_) * 16 + width_) {                             \
                    TILE_CASES_WIDE(body) TILE_CASES(2, body) TILE_CASES(3, body)                 \
                    TILE_CASES(4, body) TILE_CASES(5, body) TILE_CASES(6, body)                   \
                }                                                                                 \
            }                                                                                     \
        }                                                                                         \
    } while (0)

#endif
