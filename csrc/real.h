/* real.h - the precision and the vector register of the variant being compiled.
 *
 * FASTRNN_DOUBLE chooses double; the compiler's own macros tell the instruction set. `vec` is one
 * register of LANES numbers. Where the compiler has no vector types it is one number, and the same
 * bodies compile to scalar code.
 */
#ifndef FASTRNN_REAL_H
#define FASTRNN_REAL_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef FASTRNN_DOUBLE
typedef double real;
typedef int64_t lane;            /* an integer as wide as real */
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define SQRT sqrt
#else
typedef float real;
typedef int32_t lane;
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define SQRT sqrtf
#endif

#define ALIGNMENT 64             /* bytes: rows in the workspace start at multiples of this */
#define ROW_STEP (ALIGNMENT / (int)sizeof(real))

#if defined(__GNUC__)
#if defined(__AVX512F__)
#define VEC_BYTES 64
#define REGISTERS 32
#elif defined(__AVX__)
#define VEC_BYTES 32
#define REGISTERS 16
#elif defined(__aarch64__)
#define VEC_BYTES 16
#define REGISTERS 32
#else
#define VEC_BYTES 16
#define REGISTERS 16
#endif
#define LANES (VEC_BYTES / (int)sizeof(real))
#define INLINE static inline __attribute__((always_inline))
#define PRAGMA(text) _Pragma(#text)
#define UNROLL(n) PRAGMA(GCC unroll n)
typedef real vec __attribute__((vector_size(VEC_BYTES)));
typedef lane ivec __attribute__((vector_size(VEC_BYTES)));
typedef real vec_in_memory __attribute__((vector_size(VEC_BYTES), aligned(sizeof(real)), may_alias));

INLINE vec load(const real *p) { return *(const vec_in_memory *)p; }
INLINE void store(real *p, vec x) { *(vec_in_memory *)p = x; }
INLINE vec all(real x) { return x - (vec){0}; }
INLINE real get(vec x, int i) { return x[i]; }
INLINE ivec bits(vec x) { return (ivec)x; }
INLINE vec from_bits(ivec x) { return (vec)x; }
/* A comparison gives all ones or all zeros in each lane. */
INLINE vec choose(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
#else
#define REGISTERS 16
#define LANES 1
#define INLINE static inline
#define UNROLL(n)
typedef real vec;
typedef lane ivec;

INLINE vec load(const real *p) { return *p; }
INLINE void store(real *p, vec x) { *p = x; }
INLINE vec all(real x) { return x; }
INLINE real get(vec x, int i) { (void)i; return x; }
INLINE ivec bits(vec x) { ivec y; memcpy(&y, &x, sizeof y); return y; }
INLINE vec from_bits(ivec x) { vec y; memcpy(&y, &x, sizeof y); return y; }
INLINE vec choose(ivec mask, vec a, vec b) { return mask ? a : b; }
#endif

/* to[j][i] = from[i][j] for a square of SQUARE rows, which are 16 bytes wide. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SQUARE (16 / (int)sizeof(real))
typedef real quad __attribute__((vector_size(16)));
typedef real quad_in_memory __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));
INLINE void transpose_square(const real *from, ptrdiff_t from_row, real *to, ptrdiff_t to_row) {
#define ROW(p, i) (*(quad_in_memory *)((p) + (i) * p##_row))
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    const quad a = *(const quad_in_memory *)from, b = *(const quad_in_memory *)(from + from_row);
#ifdef FASTRNN_DOUBLE
    ROW(to, 0) = MIX(a, b, 0, 2);
    ROW(to, 1) = MIX(a, b, 1, 3);
#else
    const quad c = *(const quad_in_memory *)(from + 2 * from_row);
    const quad d = *(const quad_in_memory *)(from + 3 * from_row);
    const quad ab_low = MIX(a, b, 0, 4, 1, 5), ab_high = MIX(a, b, 2, 6, 3, 7);
    const quad cd_low = MIX(c, d, 0, 4, 1, 5), cd_high = MIX(c, d, 2, 6, 3, 7);
    ROW(to, 0) = MIX(ab_low, cd_low, 0, 1, 4, 5);
    ROW(to, 1) = MIX(ab_low, cd_low, 2, 3, 6, 7);
    ROW(to, 2) = MIX(ab_high, cd_high, 0, 1, 4, 5);
    ROW(to, 3) = MIX(ab_high, cd_high, 2, 3, 6, 7);
#endif
#undef ROW
#undef MIX
}
#endif
#endif
#ifndef SQUARE
#define SQUARE 1
INLINE void transpose_square(const real *from, ptrdiff_t from_row, real *to, ptrdiff_t to_row) {
    (void)from_row;
    (void)to_row;
    *to = *from;
}
#endif

/* The first n numbers at p (n < LANES), zeros behind them; and the way back. */
INLINE vec load_part(const real *p, int n) {
    vec x = all(0);
    memcpy(&x, p, (size_t)n * sizeof(real));
    return x;
}
INLINE void store_part(real *p, vec x, int n) { memcpy(p, &x, (size_t)n * sizeof(real)); }

INLINE vec smaller(vec a, vec b) { return choose(a < b, a, b); }
INLINE vec larger(vec a, vec b) { return choose(a > b, a, b); }

INLINE int round_up(int n, int step) { return (n + step - 1) / step * step; }
INLINE int least(int a, int b) { return a < b ? a : b; }

#endif
