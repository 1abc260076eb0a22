/* vecmath.h - exp, tanh, sigmoid and 1/sqrt over vectors.
 *
 * Largest errors found in sweeps of tens of millions of points, in units in the last place
 * (tests/test_vecmath.py holds every variant to a little above):
 *                float   double
 *     exp         1.06    0.90
 *     tanh        2.42    1.93
 *     sigmoid     2.42    2.39
 *     rsqrt       3.34    1.50    (AVX-512: 1.05, 1.25)
 * exp takes x <= 0, and is 0 below EXP_LOW; a NaN stays a NaN.
 */
#ifndef FASTRNN_VECMATH_H
#define FASTRNN_VECMATH_H

#include "real.h"

/* ln 2 in two parts, the first with zeros at its end, so that k * LN2_HIGH is exact */
#ifdef FASTRNN_DOUBLE
#define LN2_HIGH 0x1.62e42fee00000p-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define EXP_LOW -708.0
#define TANH_HIGH 20.0           /* tanh is 1 to the last bit above */
#define ROUNDER 0x1.8p52         /* adding it leaves the nearest integer in the low bits */
#else
#define LN2_HIGH 0x1.62e000p-1f
#define LN2_LOW 0x1.0bfbe8p-15f
#define EXP_LOW -87.0f
#define TANH_HIGH 9.5f
#define ROUNDER 0x1.8p23f
#endif

/* x = k ln 2 + r with |r| <= ln 2 / 2: returns exp(r) - 1 - r by its Taylor series, r in *rest and
 * 2^k in *scale. In double, where 2 ulp are promised, what rounding takes from r is put back. */
INLINE vec reduced_exp(vec x, vec *rest, vec *scale) {
    const vec shifted = x * (real)1.4426950408889634 + (real)ROUNDER;
    const vec k = shifted - (real)ROUNDER;
    const vec near = x - k * (real)LN2_HIGH, r = near - k * (real)LN2_LOW;
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
    *rest = r;
#ifdef FASTRNN_DOUBLE
    return r * r * q + ((near - r) - k * (real)LN2_LOW);
#else
    return r * r * q;
#endif
}

/* For x <= 0. */
INLINE vec vec_exp(vec x) {
    vec r, scale;
    const vec tail = reduced_exp(x, &r, &scale);
    return choose(x < (real)EXP_LOW, all(0), (tail + r) * scale + scale);
}

/* a / b for b in [1, 2^60]: a division takes as long as a dozen other operations, so where the
 * processor estimates 1/b well enough the quotient is mended by what is left of a. */
INLINE vec quotient(vec a, vec b) {
#if defined(X86) && VEC_BYTES == 64 && !defined(FASTRNN_DOUBLE)
    const vec r = (vec)X86(rcp14)(b), q = a * r;
    return q + r * (a - b * q);
#else
    return a / b;
#endif
}

/* 1 / (1 + exp(-x)), with e = exp(-|x|) so that nothing overflows and small values keep their
 * digits: 1 / (1 + e) for x >= 0, e / (1 + e) below. */
INLINE vec vec_sigmoid(vec x) {
    const vec e = vec_exp(from_bits(bits(x) | bits(all((real)-0.0))));
    return quotient(choose(x < 0, e, all(1)), e + (real)1);
}

/* tanh |x| = m / (m + 2) with m = exp(2 |x|) - 1, which keeps its digits near 0. */
INLINE vec vec_tanh(vec x) {
    const vec minus_zero = all((real)-0.0);
    const ivec sign = bits(x) & bits(minus_zero);
    vec a = from_bits(bits(x) & ~bits(minus_zero));
    a = choose(a > (real)TANH_HIGH, all((real)TANH_HIGH), a);
    vec r, scale;
    const vec tail = reduced_exp(a + a, &r, &scale);
    const vec one_less = scale - (real)1, near = r * scale + one_less;
#ifdef FASTRNN_DOUBLE
    /* what rounding takes from `near` and from d goes back; near 1 the latter does not show */
    const vec m = near + (tail * scale + (r * scale - (near - one_less)));
    const vec d = m + (real)2, y = m / d;
    const vec lost = (real)0.5 * y * ((real)1 - y) * (m - (d - (real)2));
    const vec result = y - choose(m < (real)8, lost, all(0));
#else
    const vec m = near + tail * scale;
    const vec result = quotient(m, m + (real)2);
#endif
    return from_bits(bits(result) | sign);
}

/* 1 / sqrt(x) for normal x > 0: the processor's estimate where it has one, made exact by Newton's
 * y <- y + y (1 - x y y) / 2, each of which doubles the number of good bits. */
INLINE vec vec_rsqrt(vec x) {
#if defined(X86) && VEC_BYTES == 64
    vec y = (vec)X86(rsqrt14)(x);
#elif defined(X86) && !defined(FASTRNN_DOUBLE)
    vec y = (vec)X86(rsqrt)(x);
#else
    return (real)1 / square_root(x);
#endif
#if defined(X86) && (VEC_BYTES == 64 || !defined(FASTRNN_DOUBLE))
#ifdef FASTRNN_DOUBLE
    y = y + y * ((real)0.5 - (real)0.5 * x * y * y);
#endif
    return y + y * ((real)0.5 - (real)0.5 * x * y * y);
#endif
}

#endif
