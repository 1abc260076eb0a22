/* real.h - the precision and the vector register of the variant being compiled.
 *
 * FASTRNN_DOUBLE chooses double; the compiler's own macros give the instruction set. `vec` is one
 * register of LANES numbers. Where the compiler has no vector types, and with FASTRNN_SCALAR, it is
 * one number, and the same functions compile to scalar code. */
#pragma once

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef FASTRNN_DOUBLE
typedef double real;
#define REAL_BYTES 8
typedef int64_t lane; /* an integer as wide as real */
#define MANTISSA_BITS 52
#define NORMAL DBL_MIN /* the smallest normal number */
#define EXPONENT_BIAS 1023
#define SQRT sqrt
#else
typedef float real;
#define REAL_BYTES 4
typedef int32_t lane;
#define MANTISSA_BITS 23
#define NORMAL FLT_MIN
#define EXPONENT_BIAS 127
#define SQRT sqrtf
#endif

/* The variant whose products take operands that are rounded to bfloat16. */
#ifdef FASTRNN_BFLOAT16
#define ROUNDED 1
#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#define AMX
#endif
#else
#define ROUNDED 0
#endif

#define ROW_STEP (64 / REAL_BYTES) /* rows in the workspace start at multiples of 64 bytes */

/* gcc and clang, which is clang-cl on Windows: atomic operations and assembly; vector types. */
#if defined(__GNUC__) || defined(__clang__)
#define GNU_C
#ifndef FASTRNN_SCALAR
#define VECTORS
#endif
#define INLINE static inline __attribute__((always_inline))
#define PRAGMA(text) _Pragma(#text)
#define UNROLL PRAGMA(GCC unroll 32)
#define PREFETCH(p) __builtin_prefetch(p, 0, 2) /* into the second-level cache */
#define PREFETCH_TO_WRITE(p) __builtin_prefetch(p, 1, 3)
#else
#define INLINE static inline
#define UNROLL
#define PREFETCH(p) ((void)(p))
#define PREFETCH_TO_WRITE(p) ((void)(p))
#endif

#if defined(VECTORS)
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
#define LANES (VEC_BYTES / REAL_BYTES)
typedef real vec __attribute__((vector_size(VEC_BYTES)));
typedef lane ivec __attribute__((vector_size(VEC_BYTES)));
#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#endif
typedef real vec_in_memory __attribute__((vector_size(VEC_BYTES), aligned(REAL_BYTES), may_alias));

INLINE vec load(const real *p) { return *(const vec_in_memory *)p; }
INLINE void store(real *p, vec x) { *(vec_in_memory *)p = x; }
INLINE vec all(real x) { return x - (vec){0}; }
INLINE ivec bits(vec x) { return (ivec)x; }
INLINE vec from_bits(ivec x) { return (vec)x; }
/* A comparison gives all ones or all zeros in each lane. */
INLINE vec choose(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
#else
#define REGISTERS 16
#define LANES 1
typedef real vec;
typedef lane ivec;

INLINE vec load(const real *p) { return *p; }
INLINE void store(real *p, vec x) { *p = x; }
INLINE vec all(real x) { return x; }
INLINE ivec bits(vec x) {
    ivec y;
    memcpy(&y, &x, sizeof y);
    return y;
}
INLINE vec from_bits(ivec x) {
    vec y;
    memcpy(&y, &x, sizeof y);
    return y;
}
INLINE vec choose(ivec mask, vec a, vec b) { return mask ? a : b; }
#endif

/* A loop that is unrolled; `count`, up to 32, is a constant where it is inlined. */
#define EACH(i, count) UNROLL for (int i = 0; i < (count); i++)

/* The first n lanes of x, then zeros. */
INLINE vec first_lanes(vec x, int n) {
    static const lane index[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    ivec i;
    memcpy(&i, index, sizeof i);
    return choose(i < (lane)n, x, all(0));
}

/* Transposes the LANES x LANES square in rows: the perfect shuffle, log2(LANES) times over. */
INLINE void transpose_square(vec rows[LANES]) {
#if LANES > 1
#if LANES == 16
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif LANES == 4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#else
#define LOW 0, 2
#define HIGH 1, 3
#endif
    UNROLL for (int stage = 1; stage < LANES; stage *= 2) {
        vec mixed[LANES];
        EACH(i, LANES / 2) {
            mixed[2 * i] = SHUFFLE(rows[i], rows[i + LANES / 2], LOW);
            mixed[2 * i + 1] = SHUFFLE(rows[i], rows[i + LANES / 2], HIGH);
        }
        EACH(i, LANES) rows[i] = mixed[i];
    }
#else
    (void)rows;
#endif
}

/* The first n numbers at p (n <= LANES), then zeros; and the way back. */
#if LANES > 1
INLINE vec load_part(const real *p, int n) {
    vec x = all(0);
    memcpy(&x, p, (size_t)n * sizeof(real));
    return x;
}
INLINE void store_part(real *p, vec x, int n) { memcpy(p, &x, (size_t)n * sizeof(real)); }
#else
INLINE vec load_part(const real *p, int n) { return n > 0 ? *p : 0; }
INLINE void store_part(real *p, vec x, int n) {
    if (n > 0) *p = x;
}
#endif

/* X86(min)(a, b): the intrinsic for this register and precision. */
#if defined(VECTORS) && defined(__SSE2__)
#include <immintrin.h>
#if VEC_BYTES == 64
#define X86_WIDTH(name) _mm512_##name
#elif VEC_BYTES == 32
#define X86_WIDTH(name) _mm256_##name
#else
#define X86_WIDTH(name) _mm_##name
#endif
#ifdef FASTRNN_DOUBLE
#define X86(name) X86_WIDTH(name##_pd)
#else
#define X86(name) X86_WIDTH(name##_ps)
#endif
#endif

/* Where a or b is a NaN the result is b. */
#if defined(X86)
INLINE vec smaller(vec a, vec b) { return (vec)X86(min)(a, b); }
INLINE vec larger(vec a, vec b) { return (vec)X86(max)(a, b); }
INLINE vec square_root(vec x) { return (vec)X86(sqrt)(x); }
#else
INLINE vec smaller(vec a, vec b) { return choose(a < b, a, b); }
INLINE vec larger(vec a, vec b) { return choose(a > b, a, b); }
INLINE vec square_root(vec x) {
    real y[LANES];
    store(y, x);
    EACH(i, LANES) y[i] = SQRT(y[i]);
    return load(y);
}
#endif

/* The sum of the lanes of x, or the largest: in a tree, which compiles to few instructions. */
#if defined(X86) && VEC_BYTES == 64
INLINE real sum_lanes(vec x) { return X86(reduce_add)(x); }
INLINE real largest_lane(vec x) { return X86(reduce_max)(x); }
#else
INLINE real combine_lanes(vec x, const int add) {
    real y[LANES];
    store(y, x);
    UNROLL for (int width = LANES / 2; width > 0; width /= 2) {
        EACH(i, width) {
            const real a = y[i], b = y[i + width];
            y[i] = add ? a + b : a > b ? a : b;
        }
    }
    return y[0];
}
INLINE real sum_lanes(vec x) { return combine_lanes(x, 1); }
INLINE real largest_lane(vec x) { return combine_lanes(x, 0); }
#endif

/* to += scale x, n numbers. */
INLINE void add_scaled(int64_t n, real scale, const real *x, real *to) {
    if (scale == 0) return;
    for (int64_t i = 0; i < n; i++) to[i] += scale * x[i];
}

INLINE int round_up(int n, int step) { return (n + step - 1) / step * step; }
INLINE int64_t round_up64(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
INLINE int least(int a, int b) { return a < b ? a : b; }

/* ---- tile registers, which a thread must configure ---- */

#ifdef AMX
static __thread int tiles_ready;

INLINE void ready_tiles(void) {
    struct {
        uint8_t palette, start, none[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } all = {0};
    if (tiles_ready) return;
    all.palette = 1;
    for (int i = 0; i < 8; i++) all.bytes[i] = 64, all.rows[i] = 16;
    __asm__ volatile("" : : "r"(&all) : "memory"); /* compilers do not see that it is read */
    _tile_loadconfig(&all);
    tiles_ready = 1;
}
INLINE void release_tiles(void) {
    if (tiles_ready) _tile_release();
    tiles_ready = 0;
}
#else
INLINE void ready_tiles(void) {}
INLINE void release_tiles(void) {}
#endif

/* ---- flush-to-zero: subnormal numbers slow a recurrence many times over ---- */

#if defined(__SSE2__) || defined(_M_X64)
#include <immintrin.h>
typedef unsigned int control;
INLINE control flush_subnormals(void) {
    const control before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* FTZ: results, DAZ: operands */
    return before;
}
INLINE void restore(control before) {
    release_tiles();
    _mm_setcsr((_mm_getcsr() & ~0x8040u) | (before & 0x8040u));
}
#elif defined(__aarch64__) && defined(GNU_C)
typedef uint64_t control;
INLINE control flush_subnormals(void) {
    control before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (1u << 24)));
    return before;
}
INLINE void restore(control before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
typedef int control;
INLINE control flush_subnormals(void) { return 0; }
INLINE void restore(control before) { (void)before; }
#endif
