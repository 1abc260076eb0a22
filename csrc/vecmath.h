/* vecmath.h - exp, tanh, sigmoid and 1/sqrt over vectors.
 *
 * Largest errors found in sweeps of tens of millions of points, in units in the last place
 * (tests/test_vecmath.py holds every variant to a little above):
 *                float   double
 *     exp         1.06    0.90
 *     tanh        2.61    1.93
 *     sigmoid     2.38    2.31
 *     rsqrt       3.34    1.50    (AVX-512: 1.05, 1.25)
 * exp takes x <= 0, and is 0 below EXP_LOW; there sigmoid stays at its value at EXP_LOW, about the
 * smallest normal number. A NaN stays a NaN. */
#pragma once

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

/* The functions below take n registers side by side, n being a constant where they are inlined:
 * each operation waits for the one before it, and the other registers fill that time. */
#define SIDE_BY_SIDE 8           /* at most */
#define ABREAST EACH(v, n)

/* `times` x = k ln 2 + r with |r| <= ln 2 / 2: exp(r) - 1 - r in tail, r in rest and 2^k in scale.
 * In float (exp(r) - 1 - r) / r^2 is the polynomial that errs least at worst, by 2e-8 of exp(r) -
 * 1; in double, where 2 ulp are promised, Taylor's, and what rounding takes from r is put back. */
INLINE void reduced_exps(const int n, const real times, const vec *x, vec *tail, vec *rest,
                         vec *scale) {
#ifdef FASTRNN_DOUBLE
    static const real terms[] = {
        1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
        1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5,
    };
#else
    static const real terms[] = {
        0x1.6bebfep-10f, 0x1.1227b0p-7f, 0x1.555674p-5f, 0x1.5554b0p-3f, 0x1.fffffep-2f,
    };
#endif
    vec k[SIDE_BY_SIDE], near[SIDE_BY_SIDE];
    ABREAST scale[v] = x[v] * (real)(times * 1.4426950408889634) + (real)ROUNDER;
    ABREAST k[v] = scale[v] - (real)ROUNDER;
    ABREAST near[v] = times * x[v] - k[v] * (real)LN2_HIGH;
    ABREAST rest[v] = near[v] - k[v] * (real)LN2_LOW;
    ABREAST scale[v] = from_bits((bits(scale[v]) + EXPONENT_BIAS) << MANTISSA_BITS);
    ABREAST tail[v] = rest[v] * terms[0] + terms[1];
    UNROLL for (int i = 2; i < (int)(sizeof terms / sizeof *terms); i++) {
        ABREAST tail[v] = tail[v] * rest[v] + terms[i];
    }
#ifdef FASTRNN_DOUBLE
    ABREAST tail[v] = rest[v] * rest[v] * tail[v] + ((near[v] - rest[v]) - k[v] * (real)LN2_LOW);
#else
    ABREAST tail[v] = rest[v] * rest[v] * tail[v];
#endif
}

/* x <- exp x for x <= 0. */
INLINE void exps(const int n, vec *x) {
    vec r[SIDE_BY_SIDE], scale[SIDE_BY_SIDE], tail[SIDE_BY_SIDE];
    reduced_exps(n, 1, x, tail, r, scale);
    ABREAST tail[v] = (tail[v] + r[v]) * scale[v] + scale[v];
    ABREAST x[v] = choose((ivec)(x[v] < (real)EXP_LOW), all(0), tail[v]);
}

/* a <- a / b for b in [1, 2^126]: a division takes as long as a dozen other operations, so where
 * the processor estimates 1/b well enough the quotient is mended by what is left of a, which a
 * product that is rounded before the difference would not show. */
INLINE void quotients(const int n, vec *a, const vec *b) {
#if defined(X86) && VEC_BYTES == 64 && !defined(FASTRNN_DOUBLE)
    vec r[SIDE_BY_SIDE], q[SIDE_BY_SIDE];
    ABREAST r[v] = (vec)X86(rcp14)(b[v]);
    ABREAST q[v] = a[v] * r[v];
    ABREAST a[v] = (vec)X86(fnmadd)(b[v], q[v], a[v]);
    ABREAST a[v] = q[v] + r[v] * a[v];
#else
    ABREAST a[v] /= b[v];
#endif
}

/* x <- 1 / (1 + exp(-x)), x being taken for EXP_LOW below it, where the result is next to 0. */
INLINE void sigmoids(const int n, vec *x) {
    vec r[SIDE_BY_SIDE], scale[SIDE_BY_SIDE], tail[SIDE_BY_SIDE];
    ABREAST x[v] = smaller(all(-(real)EXP_LOW), larger(all((real)EXP_LOW), x[v]));
    reduced_exps(n, -1, x, tail, r, scale);
    ABREAST tail[v] = (tail[v] + r[v]) * scale[v] + scale[v];
    ABREAST tail[v] += (real)1;
    ABREAST x[v] = all(1);
    quotients(n, x, tail);
}

/* x <- tanh x: tanh |x| = m / (m + 2) with m = exp(2 |x|) - 1, which keeps its digits near 0. */
INLINE void tanhs(const int n, vec *x) {
    const vec minus_zero = all((real)-0.0);
    vec a[SIDE_BY_SIDE], r[SIDE_BY_SIDE], scale[SIDE_BY_SIDE], tail[SIDE_BY_SIDE];
    ABREAST a[v] = smaller(all((real)TANH_HIGH), from_bits(bits(x[v]) & ~bits(minus_zero)));
    reduced_exps(n, 2, a, tail, r, scale);
#ifdef FASTRNN_DOUBLE
    /* what rounding takes from `near` and from d goes back; near 1 the latter does not show */
    for (int v = 0; v < n; v++) {
        const vec one_less = scale[v] - (real)1, near = r[v] * scale[v] + one_less;
        const vec m = near + (tail[v] * scale[v] + (r[v] * scale[v] - (near - one_less)));
        const vec d = m + (real)2, y = m / d;
        const vec lost = (real)0.5 * y * ((real)1 - y) * (m - (d - (real)2));
        a[v] = y - choose(m < (real)8, lost, all(0));
    }
#else
    ABREAST a[v] = r[v] * scale[v] + (scale[v] - (real)1);
    ABREAST a[v] += tail[v] * scale[v];
    ABREAST r[v] = a[v] + (real)2;
    quotients(n, a, r);
#endif
    ABREAST x[v] = from_bits(bits(a[v]) | (bits(x[v]) & bits(minus_zero)));
}

/* 1 / sqrt(x) for normal x > 0: the processor's estimate where it has one, made exact by Newton's
 * y <- y + y (1 - x y y) / 2, each of which doubles the number of good bits. */
INLINE vec vec_rsqrt(vec x) {
#if defined(X86) && (VEC_BYTES == 64 || !defined(FASTRNN_DOUBLE))
#if VEC_BYTES == 64
    vec y = (vec)X86(rsqrt14)(x);
#else
    vec y = (vec)X86(rsqrt)(x);
#endif
    EACH(i, REAL_BYTES / 4) y = y + y * ((real)0.5 - (real)0.5 * x * y * y);
    return y;
#else
    return (real)1 / square_root(x);
#endif
}
