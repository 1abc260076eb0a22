/* optimizer.h - clipping and the optimizers, one pass over a block. */
#pragma once

#include "fastrnn.h"
#include "vecmath.h"

/* Does `each` for the n numbers at p, a register at a time; of the first, up to where p is aligned,
 * and the last only a part is used. */
#define FOR_EACH_VEC(n, p, each)                                                                   \
    do {                                                                                           \
        int64_t i = 0;                                                                             \
        int part = before_aligned(n, p);                                                           \
        if (part) each(LOAD_PART, STORE_PART);                                                     \
        for (i = part; i + LANES <= (n); i += LANES) each(load, store);                            \
        part = (int)((n) - i);                                                                     \
        if (part) each(LOAD_PART, STORE_PART);                                                     \
    } while (0)
#define LOAD_PART(p) load_part(p, part)
#define STORE_PART(p, x) store_part(p, x, part)

/* Gradients of this norm count as infinite: the memories could not hold their squares. */
#define EXPLODED (sizeof(real) == 4 ? 1e15 : 1e150)

/* How many of the n numbers at p lie before the first aligned register. */
static int before_aligned(int64_t n, const real *p) {
    const int after = (int)((uintptr_t)p / sizeof(real) % LANES);
    return after ? least((int)(n < LANES ? n : LANES), LANES - after) : 0;
}

/* The sum of squares of n numbers, in double so that a large block loses nothing. */
static double sum_of_squares(int64_t n, const real *x) {
    double sum[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int j = 0; j < 8; j++) sum[j] += (double)x[i + j] * (double)x[i + j];
    }
    for (; i < n; i++) sum[0] += (double)x[i] * (double)x[i];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

/* The optimizers over one register, g being the clipped gradient. */
#define CLIPPED(load) larger(all(-c), smaller(all(c), load(dp + i) * scale))

/* x over the root of the memory, with epsilon inside the root or outside. */
#define OVER_INSIDE(x, m) (x) * vec_rsqrt((m) + epsilon)
#define OVER_OUTSIDE(x, m) (x) / (square_root(m) + epsilon)

/* m += g^2;  p -= rate g / sqrt(m + epsilon) */
#define ADAGRAD_WITH(load, store, OVER)                                                            \
    {                                                                                              \
        const vec g = CLIPPED(load);                                                               \
        const vec sum = load(m + i) + g * g;                                                       \
        store(m + i, sum);                                                                         \
        store(p + i, load(p + i) - OVER(rate * g, sum));                                           \
    }
#define ADAGRAD(load, store) ADAGRAD_WITH(load, store, OVER_INSIDE)
#define ADAGRAD_OUTSIDE(load, store) ADAGRAD_WITH(load, store, OVER_OUTSIDE)

/* m = keep m + (1 - keep) g^2;  p as AdaGrad */
#define RMSPROP_WITH(load, store, OVER)                                                            \
    {                                                                                              \
        const vec g = CLIPPED(load);                                                               \
        const vec mean = load(m + i) * keep + g * g * take;                                        \
        store(m + i, mean);                                                                        \
        store(p + i, load(p + i) - OVER(rate * g, mean));                                          \
    }
#define RMSPROP(load, store) RMSPROP_WITH(load, store, OVER_INSIDE)
#define RMSPROP_OUTSIDE(load, store) RMSPROP_WITH(load, store, OVER_OUTSIDE)

/* p -= rate m' / (sqrt(v') + epsilon), m' and v' unbiased */
#define ADAM(load, store)                                                                          \
    {                                                                                              \
        const vec g = CLIPPED(load);                                                               \
        const vec mean = load(m + i) * keep + g * take;                                            \
        const vec square = load(v + i) * keep2 + g * g * take2;                                    \
        store(m + i, mean);                                                                        \
        store(v + i, square);                                                                      \
        store(p + i, load(p + i) - unbias * mean / (square_root(square * unbias2) + epsilon));     \
    }

/* p -= rate g, or with momentum m = keep m + g;  p -= rate m */
#define SGD(load, store)                                                                           \
    {                                                                                              \
        vec step = CLIPPED(load);                                                                  \
        if (m) {                                                                                   \
            step += load(m + i) * keep;                                                            \
            store(m + i, step);                                                                    \
        }                                                                                          \
        store(p + i, load(p + i) - rate * step);                                                   \
    }

/* The step of dynamic evaluation (Krause, Kahembwe, Murray and Renals 2018), m being the parameters
 * before the first step, v = r the root mean square of each one's gradients, and decay = lambda /
 * (mean of r over all parameters):  p += min(1, decay r) (m - p) - rate g / (r + epsilon) */
#define DYNAMIC(load, store)                                                                       \
    {                                                                                              \
        const vec g = CLIPPED(load), r = load(v + i), x = load(p + i);                             \
        const vec back = smaller(all(1), r * keep) * (load(m + i) - x);                            \
        store(p + i, x + back - rate * g / (r + epsilon));                                         \
    }

/* Whether all n numbers are finite: x - x is a NaN where x is not. */
static int all_finite(int n, const real *x) {
    int finite = 1;
    for (int i = 0; i < n; i++) finite &= x[i] - x[i] == 0;
    return finite;
}

/* The running average of parameters x, of which the last update counts as `take`:
 * p += take (x - p) */
#define AVERAGE(load, store)                                                                       \
    {                                                                                              \
        const vec mean = load(p + i);                                                              \
        store(p + i, mean + (load(x + i) - mean) * take);                                          \
    }

static void average_step(int64_t n, real *p, const real *x, real take) {
    FOR_EACH_VEC(n, p, AVERAGE);
}

static void optimizer_step(const fastrnn_optimizer *o, int64_t update, double rate_, double scale_,
                           int64_t n, void *params, const void *grads, void *memory,
                           void *memory2) {
    real *p = params, *m = memory, *v = memory2;
    const real *dp = grads, scale = (real)scale_, c = (real)o->clip_value;
    const real rate = (real)rate_, epsilon = (real)o->epsilon;
    const real keep = (real)o->decay, take = (real)(1 - o->decay);
    const real keep2 = (real)o->decay2, take2 = (real)(1 - o->decay2);
    real unbias = 0, unbias2 = 0;
    if (o->kind == FASTRNN_ADAM) {
        unbias = (real)(rate_ / (1 - pow(o->decay, (double)update)));
        unbias2 = (real)(1 / (1 - pow(o->decay2, (double)update)));
    }
    if (o->weight_decay > 0) {
        const real shrink = (real)(1 - rate_ * o->weight_decay);
        for (int64_t i = 0; i < n; i++) p[i] *= shrink;
    }
    switch (o->kind) {
    case FASTRNN_ADAGRAD:
        if (o->epsilon_inside) FOR_EACH_VEC(n, p, ADAGRAD);
        else FOR_EACH_VEC(n, p, ADAGRAD_OUTSIDE);
        break;
    case FASTRNN_RMSPROP:
        if (o->epsilon_inside) FOR_EACH_VEC(n, p, RMSPROP);
        else FOR_EACH_VEC(n, p, RMSPROP_OUTSIDE);
        break;
    case FASTRNN_ADAM: FOR_EACH_VEC(n, p, ADAM); break;
    case FASTRNN_SGD: FOR_EACH_VEC(n, p, SGD); break;
    case FASTRNN_DYNAMIC: FOR_EACH_VEC(n, p, DYNAMIC); break;
    }
}
