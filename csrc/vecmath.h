/* vecmath.h - exp, tanh and 1/sqrt over vectors.
 *
 * Largest errors found by tests/test_vecmath.py, in units in the last place:
 *                float   double
 *     exp          2        2
 *     tanh         2.5      2
 *     rsqrt        3        2
 * exp(x) is 0 below the smallest normal number; a NaN stays a NaN.
 */
#ifndef FASTRNN_VECMATH_H
#define FASTRNN_VECMATH_H

#include "real.h"
#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* ln 2 in two parts, the first with zeros at its end, so that k * LN2_HIGH is exact */
#ifdef FASTRNN_DOUBLE
#define LN2_HIGH 0x1.62e42fee00000p-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define EXP_LOW -708.0
#define EXP_HIGH 709.0
#define TANH_HIGH 20.0           /* tanh is 1 to the last bit above */
#define ROUNDER 0x1.8p52         /* adding it leaves the nearest integer in the low bits */
#else
#define LN2_HIGH 0x1.62e000p-1f
#define LN2_LOW 0x1.0bfbe8p-15f
#define EXP_LOW -87.0f
#define EXP_HIGH 88.0f
#define TANH_HIGH 9.5f
#define ROUNDER 0x1.8p23f
#endif

/* x = k ln 2 + r with |r| <= ln 2 / 2: returns exp(r) - 1 by its Taylor series and 2^k in *scale. */
INLINE vec expm1_reduced(vec x, vec *scale) {
    const vec shifted = x * (real)1.4426950408889634 + (real)ROUNDER;
    const vec k = shifted - (real)ROUNDER;
    const vec r = (x - k * (real)LN2_HIGH) - k * (real)LN2_LOW;
    *scale = from_bits((bits(shifted) + EXPONENT_BIAS) << MANTISSA_BITS);
#ifdef FASTRNN_DOUBLE
    vec q = all(1.0 / 6227020800);                       /* 1/13! */
    q = q * r + 1.0 / 479001600;
    q = q * r + 1.0 / 39916800;
    q = q * r + 1.0 / 3628800;
    q = q * r + 1.0 / 362880;
    q = q * r + 1.0 / 40320;
    q = q * r + 1.0 / 5040;
#else
    vec q = all((real)(1.0 / 5040));                     /* 1/7! */
#endif
    q = q * r + (real)(1.0 / 720);
    q = q * r + (real)(1.0 / 120);
    q = q * r + (real)(1.0 / 24);
    q = q * r + (real)(1.0 / 6);
    q = q * r + (real)0.5;
    return r * r * q + r;
}

INLINE vec vec_exp(vec x) {
    vec scale;
    const vec inside = smaller(larger(x, all((real)EXP_LOW)), all((real)EXP_HIGH));
    const vec m = expm1_reduced(inside, &scale);
    vec y = m * scale + scale;
    y = choose(x < (real)EXP_LOW, all(0), y);
    y = choose(x > (real)EXP_HIGH, all((real)INFINITY), y);
    return choose(x != x, x, y);
}

/* tanh |x| = m / (m + 2) with m = exp(2 |x|) - 1, which keeps its digits near 0. */
INLINE vec vec_tanh(vec x) {
    const vec minus_zero = all((real)-0.0);
    const ivec sign = bits(x) & bits(minus_zero);
    vec a = from_bits(bits(x) & ~bits(minus_zero));
    a = choose(a > (real)TANH_HIGH, all((real)TANH_HIGH), a);
    vec scale;
    const vec r = expm1_reduced(a + a, &scale);
    const vec m = r * scale + (scale - (real)1);
    return from_bits(bits(m / (m + (real)2)) | sign);
}

INLINE vec vec_sqrt(vec x) {
    real y[LANES];
    store(y, x);
    for (int i = 0; i < LANES; i++) y[i] = SQRT(y[i]);
    return load(y);
}

/* 1 / sqrt(x) for normal x > 0: the processor's estimate where it has one, made exact by Newton's
 * y <- y + y (1 - x y y) / 2, each of which doubles the number of good bits. */
INLINE vec vec_rsqrt(vec x) {
#if defined(FASTRNN_DOUBLE) && defined(__AVX512F__)
    vec y = (vec)_mm512_rsqrt14_pd((__m512d)x);
    y = y + y * ((real)0.5 - (real)0.5 * x * y * y);
    return y + y * ((real)0.5 - (real)0.5 * x * y * y);
#elif !defined(FASTRNN_DOUBLE) && defined(__AVX512F__)
    const vec y = (vec)_mm512_rsqrt14_ps((__m512)x);
    return y + y * ((real)0.5 - (real)0.5 * x * y * y);
#elif !defined(FASTRNN_DOUBLE) && defined(__AVX__)
    const vec y = (vec)_mm256_rsqrt_ps((__m256)x);
    return y + y * ((real)0.5 - (real)0.5 * x * y * y);
#elif !defined(FASTRNN_DOUBLE) && defined(__SSE2__)
    const vec y = (vec)_mm_rsqrt_ps((__m128)x);
    return y + y * ((real)0.5 - (real)0.5 * x * y * y);
#else
    return (real)1 / vec_sqrt(x);
#endif
}

#endif
