/* softmax.h - softmax, cross-entropy and its gradient. */
#ifndef FASTRNN_SOFTMAX_H
#define FASTRNN_SOFTMAX_H

#include "vecmath.h"

#define NEVER ((real)-1e30)      /* the score of the columns behind K: their exp is 0 */

/* o [width] (a multiple of LANES) becomes exp((o - max o) * sharpness); returns their sum and the
 * largest score in *top. */
INLINE real exponentials(int width, real sharpness, real *o, real *top) {
    vec highest = load(o);
    for (int k = LANES; k < width; k += LANES) highest = larger(highest, load(o + k));
    real best = get(highest, 0);
    for (int i = 1; i < LANES; i++) best = get(highest, i) > best ? get(highest, i) : best;
    vec total = all(0);
    for (int k = 0; k < width; k += LANES) {
        const vec e = vec_exp((load(o + k) - best) * sharpness);
        store(o + k, e);
        total += e;
    }
    real sum = get(total, 0);
    for (int i = 1; i < LANES; i++) sum += get(total, i);
    *top = best;
    return sum;
}

/* rows [count][width] of scores become the gradient of the loss, (softmax - one-hot target) / N;
 * losses [count] receives the cross-entropy of each row in nats.
 * bias [width], added to each row first, is NEVER behind K. */
static void softmax_loss(int count, int N, int width, const real *bias, const int32_t *targets,
                         real *rows, double *losses) {
    for (int i = 0; i < count; i++) {
        real *o = rows + (ptrdiff_t)i * width;
        for (int k = 0; k < width; k += LANES) store(o + k, load(o + k) + load(bias + k));
        const real score = o[targets[i]];
        real top;
        const real sum = exponentials(width, 1, o, &top);
        losses[i] = log((double)sum) - ((double)score - (double)top);
        const real share = (real)1 / (sum * (real)N);
        for (int k = 0; k < width; k += LANES) store(o + k, load(o + k) * share);
        o[targets[i]] -= (real)1 / (real)N;
    }
}

#endif
