/* softmax.h - softmax, cross-entropy and its gradient. */
#ifndef FASTRNN_SOFTMAX_H
#define FASTRNN_SOFTMAX_H

#include "vecmath.h"

#define NEVER ((real)-1e30)      /* the score of the columns behind K: their exp is 0 */
#define FOUR 4                   /* registers that go through exp side by side */

/* Scores o [width] (a multiple of LANES) and their bias [width] become exp((o + bias - top) *
 * sharpness), where *top is the largest o + bias; returns the sum of them all. */
INLINE real exponentials(int width, real sharpness, const real *bias, real *o, real *top) {
    vec highest = load(o) + load(bias);
    store(o, highest);
    for (int k = LANES; k < width; k += LANES) {
        const vec score = load(o + k) + load(bias + k);
        store(o + k, score);
        highest = larger(highest, score);
    }
    *top = largest_lane(highest);
    vec total = all(0);
    for (int k = 0; k < width; k += FOUR * LANES) {
        const int n = least(FOUR, (width - k) / LANES);
        vec e[FOUR];
        for (int v = 0; v < FOUR; v++) {
            e[v] = v < n ? (load(o + k + v * LANES) - *top) * sharpness : all(NEVER);
        }
        exps(FOUR, e);
        for (int v = 0; v < n; v++) {
            store(o + k + v * LANES, e[v]);
            total += e[v];
        }
    }
    return sum_lanes(total);
}

/* rows [T][n][row] of scores become the gradient of the loss, (softmax - one-hot target) / N, of n
 * of N streams; losses receives the cross-entropy of each row in nats, right, where not NULL,
 * whether no score is above the target's. targets, losses and right are the first of [T][N]. bias [width], added to each row first, is NEVER behind K; width is K rounded up
 * to registers. */
static void softmax_loss(int T, int n, int N, int width, int row, const real *bias,
                         const int32_t *targets, real *rows, double *losses, uint8_t *right) {
    for (int i = 0; i < T * n; i++) {
        real *o = rows + (ptrdiff_t)i * row;
        const int at = i / n * N + i % n, target = targets[at];
        const real score = o[target] + bias[target];
        real top;
        const real sum = exponentials(width, 1, bias, o, &top);
        if (right) right[at] = score == top;
        losses[at] = log((double)sum) + ((double)top - (double)score);
        const real share = (real)1 / (sum * (real)N);
        for (int k = 0; k < width; k += LANES) store(o + k, load(o + k) * share);
        o[target] -= (real)1 / (real)N;
    }
}

#endif
