/* vecmath.h - exp, tanh, sigmoid and 1/sqrt over vectors.
 *
 * Each function says how far it is from the true value at most, in units in the last place (ulp):
 * just above the largest error found in sweeps of tens of millions of points with each instruction
 * set of x86. tests/kernels/test_vecmath.py reads these figures and holds every variant to them. A
 * NaN stays a NaN. */
#pragma once

#include "real.h"

/* ln 2 in two parts, the first with zeros at its end, so that k * LN2_HIGH is exact */
#ifdef FASTRNN_DOUBLE
#define LN2_HIGH 0x1.62e42fee00000p-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define EXP_LOW -708.0
#define TANH_HIGH 20.0   /* tanh is 1 to the last bit above */
#define ROUNDER 0x1.8p52 /* adding it leaves the nearest integer in the low bits */
#else
#define LN2_HIGH 0x1.62e000p-1f
#define LN2_LOW 0x1.0bfbe8p-15f
#define EXP_LOW -87.0f
#define TANH_HIGH 9.5f
#define ROUNDER 0x1.8p23f
#endif

/* The functions below take n registers side by side, n being a constant where they are inlined:
 * each operation waits for the one before it, and the other registers fill that time. */
#define SIDE_BY_SIDE 8 /* at most */
#define ABREAST EACH(v, n)

/* `times` x = k ln 2 + r with |r| <= ln 2 / 2: exp(r) - 1 - r in tail, r in rest and 2^k in scale.
 * (exp(r) - 1 - r) / r^2 is the polynomial that errs least at worst (Remez's exchange): by 2e-8 of
 * exp(r) - 1 in float, and by 9e-19 in double, where it is taken in two halves, which do not wait
 * for each other, and what rounding takes from r is put back. */
INLINE void reduced_exps(const int n, const real times, const vec *x, vec *tail, vec *rest,
                         vec *scale) {
#ifdef FASTRNN_DOUBLE
    static const real terms[] = {
        0x1.1f8b4c6b3c913p-29, 0x1.af4deb0af45a9p-26, 0x1.27e4cccdeb2f7p-22, 0x1.71de0230beb99p-19,
        0x1.a01a01acfacc0p-16, 0x1.a01a01abe84bap-13, 0x1.6c16c16c151fcp-10, 0x1.11111111100dbp-7,
        0x1.5555555555558p-5,  0x1.5555555555557p-3,  0x1.0000000000000p-1,
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
#ifdef FASTRNN_DOUBLE
    vec square[SIDE_BY_SIDE], odd[SIDE_BY_SIDE];
    ABREAST square[v] = rest[v] * rest[v];
    ABREAST tail[v] = square[v] * terms[0] + terms[2];
    ABREAST odd[v] = square[v] * terms[1] + terms[3];
    UNROLL for (int i = 4; i < 10; i += 2) {
        ABREAST tail[v] = tail[v] * square[v] + terms[i];
        ABREAST odd[v] = odd[v] * square[v] + terms[i + 1];
    }
    ABREAST tail[v] = tail[v] * square[v] + terms[10];
    ABREAST tail[v] += rest[v] * odd[v];
    ABREAST tail[v] = square[v] * tail[v] + ((near[v] - rest[v]) - k[v] * (real)LN2_LOW);
#else
    ABREAST tail[v] = rest[v] * terms[0] + terms[1];
    UNROLL for (int i = 2; i < (int)(sizeof terms / sizeof *terms); i++) {
        ABREAST tail[v] = tail[v] * rest[v] + terms[i];
    }
    ABREAST tail[v] = rest[v] * rest[v] * tail[v];
#endif
}

/* x <- exp x for x <= 0, and 0 below EXP_LOW.
 * Error for EXP_LOW <= x <= 0: 1.1 ulp in float, 1.1 in double. */
INLINE void exps(const int n, vec *x) {
    vec r[SIDE_BY_SIDE], scale[SIDE_BY_SIDE], tail[SIDE_BY_SIDE];
    reduced_exps(n, 1, x, tail, r, scale);
    ABREAST tail[v] = (tail[v] + r[v]) * scale[v] + scale[v];
    ABREAST x[v] = choose((ivec)(x[v] < (real)EXP_LOW), all(0), tail[v]);
}

/* A division takes as long as a dozen other operations. So where the processor estimates 1/b well
 * enough, to 14 bits (28 after one of Newton's steps, in double), a quotient is mended by what is
 * left of a, which a product that is rounded before the difference would not show. */
#if defined(X86) && VEC_BYTES == 64
#define ESTIMATES
INLINE void estimates(const int n, const vec *b, vec *r) {
    ABREAST r[v] = (vec)X86(rcp14)(b[v]);
#ifdef FASTRNN_DOUBLE
    ABREAST r[v] += r[v] * (vec)X86(fnmadd)(b[v], r[v], all(1));
#endif
}
#endif

/* a <- a / b for b in [1, 2^126], in double [1, 2^1022]. */
INLINE void quotients(const int n, vec *a, const vec *b) {
#ifdef ESTIMATES
    vec r[SIDE_BY_SIDE], q[SIDE_BY_SIDE];
    estimates(n, b, r);
    ABREAST q[v] = a[v] * r[v];
    ABREAST a[v] = (vec)X86(fnmadd)(b[v], q[v], a[v]);
    ABREAST a[v] = q[v] + r[v] * a[v];
#else
    ABREAST a[v] /= b[v];
#endif
}

/* a <- a / (a + 2); in double what rounding takes from the sum is put back. */
INLINE void over_two_more(const int n, vec *a) {
    vec b[SIDE_BY_SIDE];
    ABREAST b[v] = a[v] + (real)2;
#ifndef FASTRNN_DOUBLE
    quotients(n, a, b);
#else
    vec lost[SIDE_BY_SIDE], q[SIDE_BY_SIDE];
    ABREAST lost[v] = a[v] - (b[v] - (real)2);
#ifdef ESTIMATES
    vec r[SIDE_BY_SIDE];
    estimates(n, b, r);
    ABREAST q[v] = a[v] * r[v];
    ABREAST a[v] = (vec)X86(fnmadd)(b[v], q[v], a[v]) - q[v] * lost[v];
    ABREAST a[v] = q[v] + r[v] * a[v];
#else
    /* 1 / b = (1 - q) / 2; near 1, where this has no digits, what is lost does not show */
    ABREAST q[v] = a[v] / b[v];
    ABREAST lost[v] = choose((ivec)(a[v] < (real)8), lost[v], all(0));
    ABREAST a[v] = q[v] - (real)0.5 * q[v] * ((real)1 - q[v]) * lost[v];
#endif
#endif
}

/* x <- 1 / (1 + exp(-x)), x being taken for EXP_LOW below it, where the result is about the smallest
 * normal number.
 * Error for x >= EXP_LOW: 2.5 ulp in float, 2.6 in double. */
INLINE void sigmoids(const int n, vec *x) {
    vec r[SIDE_BY_SIDE], scale[SIDE_BY_SIDE], tail[SIDE_BY_SIDE];
    ABREAST x[v] = smaller(all(-(real)EXP_LOW), larger(all((real)EXP_LOW), x[v]));
    reduced_exps(n, -1, x, tail, r, scale);
    ABREAST tail[v] = (tail[v] + r[v]) * scale[v] + scale[v];
    ABREAST tail[v] += (real)1;
    ABREAST x[v] = all(1);
    quotients(n, x, tail);
}

/* x <- tanh x: tanh |x| = m / (m + 2) with m = exp(2 |x|) - 1, which keeps its digits near 0.
 * Error for all x: 2.7 ulp in float, 2.1 in double; with AVX-512 2.7 and 1.7. */
INLINE void tanhs(const int n, vec *x) {
    const vec minus_zero = all((real)-0.0);
    vec a[SIDE_BY_SIDE], r[SIDE_BY_SIDE], scale[SIDE_BY_SIDE], tail[SIDE_BY_SIDE];
    ABREAST a[v] = smaller(all((real)TANH_HIGH), from_bits(bits(x[v]) & ~bits(minus_zero)));
    reduced_exps(n, 2, a, tail, r, scale);
#ifdef FASTRNN_DOUBLE
    /* what rounding takes from the sum of the first two is put back */
    vec near[SIDE_BY_SIDE], lost[SIDE_BY_SIDE];
    ABREAST lost[v] = scale[v] - (real)1;
    ABREAST near[v] = r[v] * scale[v] + lost[v];
    ABREAST lost[v] = r[v] * scale[v] - (near[v] - lost[v]);
    ABREAST a[v] = near[v] + (tail[v] * scale[v] + lost[v]);
#else
    ABREAST a[v] = r[v] * scale[v] + (scale[v] - (real)1);
    ABREAST a[v] += tail[v] * scale[v];
#endif
    over_two_more(n, a);
    ABREAST x[v] = from_bits(bits(a[v]) | (bits(x[v]) & bits(minus_zero)));
}

/* 1 / sqrt(x) for normal x > 0: the processor's estimate where it has one, made exact by Newton's
 * y <- y + y (1 - x y y) / 2, each of which doubles the number of good bits.
 * Error for x >= four times the smallest normal number: 4.7 ulp in float, where makers of processors
 * promise of the estimate no more, 1.6 in double; with AVX-512 1.1 and 1.3. */
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
