/* bfloat16.h - the products of tile.h, their operands rounded to bfloat16, which is the upper half of
 * a float: to the nearest, of two equally near ones to the even one. The sums are floats.
 *
 * Instructions for it multiply pairs: two numbers that follow each other in a sum, the first one in
 * the lower half of 32 bits. So operands are arrays of pairs, each as large as a real. The numbers
 * of a sum come in pieces of DEEP, the last of which is filled up with zeros. A panel of V vectors
 * lies as [piece][V][PAIRS][LANES], and rows that are multiplied by it tile by tile, as
 * [tile][piece][rows of a tile][PAIRS]: just as a tile register of AMX holds them. */
#pragma once

#define pieces_of(K) (round_up(K, DEEP) / DEEP)
#define TILE_STEP (MOST_ROWS * PAIRS) /* numbers of a tile of a piece; of an AMX panel too */

typedef uint32_t word;

#if defined(VECTORS)
typedef word words __attribute__((vector_size(VEC_BYTES)));
#else
typedef word words;
#endif

/* The bits of a bfloat16 in the upper half, the lower half being 0. A NaN stays one. */
INLINE words rounded(vec x) {
    const words b = (words)bits(x);
    const words near = b + 0x7fff + ((b >> 16) & 1);
    return (words)bits(choose(x == x, from_bits((ivec)near), from_bits((ivec)(b | 0x400000))))
           & 0xffff0000u;
}

/* The pairs of the numbers of two registers. */
INLINE vec pairs(vec first, vec second) {
#ifdef __AVX512BF16__
    /* clang-format off */
    static const uint16_t turns[32] = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
                                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    /* clang-format on */
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
    return (vec)_mm512_permutexvar_epi16(_mm512_loadu_si512(turns), both);
#else
    return from_bits((ivec)(rounded(first) >> 16 | rounded(second)));
#endif
}

/* pairs [pieces][step] <- K numbers that follow each other, PAIRS of each `step`. */
INLINE void round_row(const real *from, int K, real *to, int step) {
    for (; K > 0; K -= DEEP, from += DEEP, to += step) {
#ifdef __AVX512BF16__
        const vec first = first_lanes(load(from), K);
        const vec second = K > LANES ? first_lanes(load(from + LANES), K - LANES) : all(0);
        store(to, (vec)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first));
#else
        for (int i = 0; i < PAIRS; i += LANES) {
            real even[LANES], odd[LANES];
            for (int j = 0; j < LANES; j++) {
                const int k = 2 * (i + j);
                even[j] = k < K ? from[k] : 0;
                odd[j] = k + 1 < K ? from[k + 1] : 0;
            }
            store(to + i, pairs(load(even), load(odd)));
        }
#endif
    }
}

/* ---- packed matrices ---- */

/* A portion of packed <- B (K, G M), whose rows are ldb apart. Reads, but does not use, up to a
 * register after B's end. */
static void pack(int G, int N, int K, int M, const real *B, int ldb, real *packed, portion some) {
    const int step = panel_units(G, N, M), panels = panels_of(step, M);
    const int start = start_of(some, panels) * step, end = least(end_of(some, panels) * step, M);
    packed += (ptrdiff_t)start * G * packed_rows(1, K);
    for (int first = start; first < end; first += step) {
        const int units = least(step, vectors(M - first) * LANES);
        for (int k = 0; k < round_up(K, DEEP); k += DEEP) {
            for (int j = 0; j < G * units; j += LANES) {
                const int m = first + j % units;
                const real *from = B + (ptrdiff_t)k * ldb + j / units * M + m;
                for (int i = k; i < k + DEEP; i += 2, from += 2 * ldb, packed += LANES) {
                    const vec even = i < K ? load(from) : all(0);
                    const vec odd = i + 1 < K ? load(from + ldb) : all(0);
                    store(packed, first_lanes(pairs(even, odd), M - m));
                }
            }
        }
    }
}

/* packed <- the transpose of B (M, count K), whose rows are ldb apart; else as pack. */
static void pack_transposed(int N, int count, int K, int M, const real *B, int ldb, real *packed,
                            portion some) {
    const int step = panel_units(1, N, M), panels = panels_of(step, M), pieces = pieces_of(K);
    const int start = start_of(some, panels) * step, end = least(end_of(some, panels) * step, M);
    packed += (ptrdiff_t)start * packed_rows(count, K);
    for (int first = start; first < end; first += step) {
        const int units = least(step, vectors(M - first) * LANES);
        for (int i = 0; i < count * pieces * PAIRS; i += LANES) {
            const int piece = i / PAIRS, k = piece % pieces * DEEP + 2 * (i % PAIRS);
            for (int m = 0; m < units; m += LANES) {
                const real *from = B + (ptrdiff_t)(first + m) * ldb + piece / pieces * K + k;
                const int rows = least(LANES, M - first - m);
                vec square[2 * LANES];
                EACH(j, LANES) {
                    square[j] = j < rows && k < K ? load(from + (ptrdiff_t)j * ldb) : all(0);
                    square[LANES + j] = j < rows && k + LANES < K
                                            ? load(from + (ptrdiff_t)j * ldb + LANES)
                                            : all(0);
                }
                transpose_square(square);
                transpose_square(square + LANES);
                real *to = packed + ((ptrdiff_t)piece * (units / LANES) + m / LANES) * PAIRS * LANES
                           + i % PAIRS * LANES;
                EACH(j, LANES) {
                    const vec even = k + 2 * j < K ? square[2 * j] : all(0);
                    const vec odd = k + 2 * j + 1 < K ? square[2 * j + 1] : all(0);
                    store(to + j * LANES, pairs(even, odd));
                }
            }
        }
        packed += (ptrdiff_t)count * pieces * PAIRS * units;
    }
}

/* Where column m of a matrix goes in tiles of its transpose, `apart` numbers each. */
INLINE real *turned(const tiles *of, int m, ptrdiff_t apart, real *A) {
    const int more = of->longer * (of->few + 1),
              i = m < more ? m / (of->few + 1) : of->longer + (m - more) / of->few;
    return A + i * apart + (ptrdiff_t)(m - tile_row(of, i)) * PAIRS;
}

/* A <- tiles of the transpose of x [rows][row], as `of` divides its columns. */
static void turn(int rows, const real *x, int row, const tiles *of, real *A) {
    const int pieces = pieces_of(rows), columns = tile_row(of, of->tiles);
    for (int m = 0; m < columns; m += LANES) {
        const int count = least(LANES, columns - m);
        real *to[LANES];
        EACH(p, LANES) to[p] = p < count ? turned(of, m + p, (ptrdiff_t)pieces * TILE_STEP, A) : A;
        for (int j = 0; j < pieces * PAIRS; j += LANES) {
            const ptrdiff_t at = (ptrdiff_t)(j / PAIRS) * TILE_STEP + j % PAIRS;
            vec square[LANES];
            EACH(p, LANES) {
                const int k = 2 * (j + p);
                const real *from = x + (ptrdiff_t)k * row + m;
                const vec even = k < rows ? load(from) : all(0);
                const vec odd = k + 1 < rows ? load(from + row) : all(0);
                square[p] = pairs(even, odd);
            }
            transpose_square(square);
            EACH(p, LANES) if (p < count) store(to[p] + at, square[p]);
        }
    }
}

/* ---- products ---- */

#ifdef AMX
/* Tile registers: 0 to 3 sums, 4 and 5 rows, 6 and 7 columns; all of 16 rows of 64 bytes, as walk()
 * has configured them. Of tiles of fewer rows the rest is multiplied too, whatever it holds, and not
 * used. */
/* What was written lies in memory: some compilers do not know that loads of tiles read it. */
#define IN_MEMORY __asm__ volatile("" : : : "memory")
#define SUMS_STEP (MOST_VECTORS * LANES * (int)sizeof(real))

/* sum[i][r][v] = or, where `more`, += A times the panel, for a tile, or two `apart`, and V vectors. */
INLINE void two_vectors(const int both, const int V, int v, int more, int pieces, const real *A,
                        ptrdiff_t apart, const real *panel, int stride, sums *sum) {
    real *s = (real *)&sum[0][0][v], *s2 = (real *)&sum[both][0][v];
    IN_MEMORY;
    if (more) {
        _tile_loadd(0, s, SUMS_STEP);
        if (V > 1) _tile_loadd(1, s + LANES, SUMS_STEP);
        if (both) _tile_loadd(2, s2, SUMS_STEP);
        if (both && V > 1) _tile_loadd(3, s2 + LANES, SUMS_STEP);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    panel += v * TILE_STEP;
    for (int k = 0; k < pieces; k++, A += TILE_STEP, panel += stride) {
        _tile_loadd(4, A, 64);
        _tile_loadd(6, panel, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (V > 1) _tile_loadd(7, panel + TILE_STEP, 64);
        if (V > 1) _tile_dpbf16ps(1, 4, 7);
        if (both) _tile_loadd(5, A + apart, 64);
        if (both) _tile_dpbf16ps(2, 5, 6);
        if (both && V > 1) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, s, SUMS_STEP);
    if (V > 1) _tile_stored(1, s + LANES, SUMS_STEP);
    if (both) _tile_stored(2, s2, SUMS_STEP);
    if (both && V > 1) _tile_stored(3, s2 + LANES, SUMS_STEP);
}

/* The same for one tile and four vectors. */
static void four_vectors(int more, int pieces, const real *A, const real *panel, sums *sum) {
    real *s = (real *)&sum[0][0][0];
    IN_MEMORY;
    if (more) {
        _tile_loadd(0, s, SUMS_STEP);
        _tile_loadd(1, s + LANES, SUMS_STEP);
        _tile_loadd(2, s + 2 * LANES, SUMS_STEP);
        _tile_loadd(3, s + 3 * LANES, SUMS_STEP);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int k = 0; k < pieces; k++, A += TILE_STEP, panel += 4 * TILE_STEP) {
        _tile_loadd(4, A, 64);
        _tile_loadd(5, panel, 64);
        _tile_dpbf16ps(0, 4, 5);
        _tile_loadd(6, panel + TILE_STEP, 64);
        _tile_dpbf16ps(1, 4, 6);
        _tile_loadd(7, panel + 2 * TILE_STEP, 64);
        _tile_dpbf16ps(2, 4, 7);
        _tile_loadd(5, panel + 3 * TILE_STEP, 64);
        _tile_dpbf16ps(3, 4, 5);
    }
    _tile_stored(0, s, SUMS_STEP);
    _tile_stored(1, s + LANES, SUMS_STEP);
    _tile_stored(2, s + 2 * LANES, SUMS_STEP);
    _tile_stored(3, s + 3 * LANES, SUMS_STEP);
}

/* sum[i] = or, where `more`, += tiles `start` + i of A, up to `end`, times V vectors of a panel of
 * `width`. */
static void multiply_tiles(const tiles *w, int start, int end, int V, int width, int more,
                           int pieces, const real *A, ptrdiff_t apart, const real *panel,
                           group sum) {
    const int both = end - start > 1, stride = width * TILE_STEP;
    (void)w;
    if (!both && V == 4) four_vectors(more, pieces, A, panel, sum);
    for (int v = both || V != 4 ? 0 : V; v < V; v += 2) {
#define TWO(both, V) two_vectors(both, V, v, more, pieces, A, apart, panel, stride, sum)
        if (both && v + 1 < V) TWO(1, 2);
        else if (both) TWO(1, 1);
        else if (v + 1 < V) TWO(0, 2);
        else TWO(0, 1);
#undef TWO
    }
}

#else

/* sum[r][v] = or, where `more`, += R rows of A times V vectors of a panel of `width`. */
INLINE void tile(const int R, const int V, int width, int more, int pieces, const real *A,
                 const real *panel, sums sum) {
    sums s;
    EACH(r, R) EACH(v, V) s[r][v] = more ? sum[r][v] : all(0);
    for (int piece = 0; piece < pieces; piece++, A += TILE_STEP) {
        for (int p = 0; p < PAIRS; p++, panel += LANES) {
            words b[MOST_VECTORS];
            EACH(v, V) b[v] = (words)bits(load(panel + v * PAIRS * LANES));
            EACH(r, R) {
                word a;
                memcpy(&a, A + r * PAIRS + p, sizeof a);
                const words pair = a - (words){0};
                EACH(v, V) {
#ifdef __AVX512BF16__
                    s[r][v] =
                        (vec)_mm512_dpbf16_ps((__m512)s[r][v], (__m512bh)pair, (__m512bh)b[v]);
#else
                    s[r][v] += from_bits((ivec)(pair << 16)) * from_bits((ivec)(b[v] << 16));
                    s[r][v] += from_bits((ivec)(pair & 0xffff0000u))
                               * from_bits((ivec)(b[v] & 0xffff0000u));
#endif
                }
            }
        }
        panel += (width - 1) * PAIRS * LANES;
    }
    EACH(r, R) EACH(v, V) sum[r][v] = s[r][v];
}

/* sum[i] = or, where `more`, += tiles `start` + i of A, up to `end`, times V vectors of a panel of
 * `width`. */
static void multiply_tiles(const tiles *w, int start, int end, int V, int width, int more,
                           int pieces, const real *A, ptrdiff_t apart, const real *panel,
                           group sum) {
#define CASE(R, V)                                                                                 \
    case (R) * 16 + (V): tile(R, V, width, more, pieces, A, panel, sum[i - start]); break;
#define CASES(R) CASE(R, 1) CASE(R, 2) CASE(R, 3) CASE(R, 4)
    for (int i = start; i < end; i++, A += apart) {
        switch ((tile_row(w, i + 1) - tile_row(w, i)) * 16 + V) {
            /* clang-format off */
            CASES(1) CASES(2) CASES(3) CASES(4) CASES(5) CASES(6)
            /* clang-format on */
        }
    }
#undef CASE
#undef CASES
}

#endif

/* Numbers of memory that a walk over N rows of `count` blocks of K numbers needs for them. */
INLINE int64_t rounded_size(int N, int count, int K) {
    return (int64_t)(2 * N + MOST_ROWS) * count * pieces_of(K) * PAIRS;
}

/* sum[place][r][g U + u] += the product with the matrix's blocks `first` and on, or = where `first`
 * is 0: A is `count` blocks (N, K), `step` apart, whose rows are `stride` apart. Done for a whole
 * group at its first tile; the rows are rounded at the first panel. */
static void add_product(const tiles *w, int first, int count, int K, const real *A, ptrdiff_t step,
                        ptrdiff_t stride, group sum) {
    if (w->place) return;
    const int V = w->G * w->U, start = w->next - 1, end = least(start + GROUP, w->tiles);
    const int pieces = pieces_of(K);
    const ptrdiff_t apart = (ptrdiff_t)w->count * pieces * TILE_STEP;
    real *rows = w->rounded + start * apart + (ptrdiff_t)first * pieces * TILE_STEP;
    for (int i = start; i < end && w->begun == 1; i++) {
        for (int row = tile_row(w, i), r = 0; row + r < tile_row(w, i + 1); r++) {
            for (int s = 0; s < count; s++) {
                round_row(A + (row + r) * stride + s * step, K,
                          rows + (i - start) * apart + (s * pieces * MOST_ROWS + r) * PAIRS,
                          TILE_STEP);
            }
        }
    }
    for (int i = start; i < end && first == 0; i++) {
        fetch(w, tile_row(w, i), tile_row(w, i + 1) - tile_row(w, i));
    }
    multiply_tiles(w, start, end, V, w->width, first > 0, count * pieces, rows, apart,
                   w->panel + (ptrdiff_t)first * pieces * PAIRS * w->width * LANES, sum);
}

/* sum = the product with all rows of the matrix, or zeros where count is 0. */
static void product(const tiles *w, int count, int K, const real *A, ptrdiff_t step,
                    ptrdiff_t stride, group sum) {
    if (count) add_product(w, 0, count, K, A, step, stride, sum);
    else memset(sum[w->place], 0, sizeof(sums));
}

/* ---- sums over all rows ---- */

/* gradient() goes through so many rows at a time, whose transposes the second-level cache holds. */
#define BLOCK_ROWS 1024

/* Numbers of memory that gradient() needs for so many rows and factors that are M wide in all. */
INLINE int64_t gradient_size(int64_t rows, int M) {
    const int64_t most = rows < BLOCK_ROWS ? rows : BLOCK_ROWS;
    return round_up64(most, DEEP) / 2 * (PANEL * LANES + M + 2 * MOST_ROWS);
}

/* The first `width` numbers of sum to c, or where `more` added to it. */
INLINE void put_row(int more, real *c, vec *sum, int width) {
    for (int j = 0; more && j < width; j += LANES) {
        sum[j / LANES] += width - j < LANES ? load_part(c + j, width - j) : load(c + j);
    }
    store_row(c, sum, width);
}

/* panel [pieces][U][PAIRS][LANES] <- a panel of rows `first` to `end` of d [rows][d_row]; total[u] =
 * the sum of its rows, and each picked row, where there are some, += its row of d. */
static void lay_panel(int first, int end, int width, const real *d, int d_row, int column, int ldc,
                      const picks *picked, real *panel, vec *total) {
    const int U = vectors(width), rows = end - first;
    d += (ptrdiff_t)first * d_row;
    for (int u = 0; u < U; u++) total[u] = all(0);
    for (int k = 0; k < round_up(rows, DEEP); k += 2, d += 2 * d_row) {
        real *to = panel + ((ptrdiff_t)k / DEEP * U * PAIRS + k % DEEP / 2) * LANES;
        for (int u = 0; u < U; u++) {
            const vec even = k < rows ? load(d + u * LANES) : all(0);
            const vec odd = k + 1 < rows ? load(d + d_row + u * LANES) : all(0);
            PREFETCH(d + (ptrdiff_t)AHEAD * d_row + u * LANES);
            PREFETCH(d + (ptrdiff_t)(AHEAD + 1) * d_row + u * LANES);
            total[u] += even;
            total[u] += odd;
            store(to + (ptrdiff_t)u * PAIRS * LANES, pairs(even, odd));
        }
        for (int i = 0; i < 2 && picked && k + i < rows; i++) {
            add_picked(picked, first + k + i, d + i * d_row, width, column, ldc);
        }
    }
}

/* C, from `column` on, = or, where `more`, += the transpose A, as `of` divides it, times a panel. */
static void multiply_panel(const tiles *of, int more, int pieces, const real *A, const real *panel,
                           int width, int column, real *C, int ldc) {
    const ptrdiff_t apart = (ptrdiff_t)pieces * TILE_STEP;
    for (int first = 0; first < of->tiles; first += GROUP) {
        const int end = least(first + GROUP, of->tiles);
        group sum;
        multiply_tiles(of, first, end, vectors(width), vectors(width), 0, pieces, A + first * apart,
                       apart, panel, sum);
        for (int i = first; i < end; i++) {
            real *c = C + (ptrdiff_t)tile_row(of, i) * ldc + column;
            for (int r = 0; r < tile_row(of, i + 1) - tile_row(of, i); r++, c += ldc) {
                put_row(more, c, sum[i - first][r], width);
            }
        }
    }
}

/* A portion, of the vectors, of: from column `start` on C (M, count K) = x^T d for n factors, db
 * (count K), where given, = the sum of d's rows, and each picked row, where there are some, += its
 * row of d, for `count` slots d [rows][d_row], K wide and d_step apart. The rows of the Cs are ldc
 * apart. panel is scratch, gradient_size() numbers. */
static void gradient(int rows, int K, int count, const real *d, int d_row, int d_step, int start,
                     const factor *factors, int n, int ldc, real *db, const picks *picked,
                     real *panel, portion some) {
    const int step = panel_units(1, 2, K), each = vectors(K);
    const int from = start_of(some, count * each), to = end_of(some, count * each);
    tiles of[2]; /* how the tiles of each factor's transpose divide its M rows */
    for (int f = 0; f < n; f++) of[f] = walk(1, factors[f].M, 1, 1, 1, NULL, NULL);
    for (int k = 0; k < rows; k += BLOCK_ROWS) {
        const int end = least(k + BLOCK_ROWS, rows), pieces = pieces_of(end - k);
        real *A[3] = {panel + (ptrdiff_t)pieces * PANEL * LANES * PAIRS};
        for (int f = 0; f < n; f++) {
            turn(end - k, factors[f].x + (ptrdiff_t)k * factors[f].row, factors[f].row, of + f,
                 A[f]);
            A[f + 1] = A[f] + (ptrdiff_t)of[f].tiles * pieces * TILE_STEP;
        }
        for (int v = from, width; v < to; v += vectors(width)) {
            const int slot = v / each, unit = v % each * LANES, column = start + slot * K + unit;
            width = least(least(step - unit % step, K - unit), (to - v) * LANES);
            vec total[PANEL];
            lay_panel(k, end, width, d + slot * d_step + unit, d_row, column, ldc, picked, panel,
                      total);
            if (db) put_row(k > 0, db + column, total, width);
            for (int f = 0; f < n; f++) {
                multiply_panel(of + f, k > 0, pieces, A[f], panel, width, column, factors[f].C,
                               ldc);
            }
        }
    }
}
