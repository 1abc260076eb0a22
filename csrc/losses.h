/* losses.h - which steps of a batch count, and the losses with their gradients. */
#pragma once

#include "fastrnn.h"
#include "tile.h"
#include "vecmath.h"

#define NEVER ((real)-1e30)      /* the score of columns from K on: their exp is 0 */
#define FOUR 4                   /* registers that go through exp side by side */

/* Where step t of row n lies in the numbers of a batch; -1 in padding. */
INLINE int64_t step_of(const fastrnn_batch *b, int n, int t) {
    if (b->lengths && t >= b->lengths[n]) return -1;
    return (b->starts ? b->starts[n] : (int64_t)n * b->T) + t;
}

/* Rows over which the loss is averaged. */
static int rows_that_count(const fastrnn_batch *b, int N) {
    int count = 0;
    for (int n = 0; n < N; n++) count += !b->lengths || b->lengths[n] > 0;
    return count ? count : 1;
}

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

/* Returns what the binary cross-entropy has besides the target's -log p, the sum of -log(1 - p_k)
 * over the other symbols; and e [K], of which p = e / their sum, becomes the gradient of both with
 * respect to the scores, over `rows`: with r_k = p_k / (1 - p_k) and S = (the sum of the other
 * symbols' r_k) - 1 it is r_k - p_k S, and -1 - p_k S at the target. Only the likeliest symbol may
 * have a p near 1, where 1 - p would be rounding: for it 1 - p is the sum of the other p, and
 * r_k - p_k S is p_k (2 - R), R being the sum of r without it. */
static double binary_part(int K, int target, double rows, real *e) {
    int likeliest = 0;
    double rest = 0, R = 0, loss = 0;
    for (int k = 1; k < K; k++) likeliest = e[k] > e[likeliest] ? k : likeliest;
    for (int k = 0; k < K; k++) rest += k == likeliest ? 0 : (double)e[k];
    const double sum = rest + (double)e[likeliest];
    rest = fmax(rest / sum, 1e-37);
    for (int k = 0; k < K; k++) {
        const double p = (double)e[k] / sum;
        if (k == target || k == likeliest) continue;
        loss -= log1p(-p);
        R += p / (1 - p);
    }
    double S = R - 1;
    if (likeliest != target) {
        loss -= log(rest);
        S += (double)e[likeliest] / sum / rest;
    }
    for (int k = 0; k < K; k++) {
        const double p = (double)e[k] / sum;
        const double other = k == likeliest ? p * (2 - R) : p / (1 - p) - p * S;
        e[k] = (real)((k == target ? -1 - p * S : other) / rows);
    }
    return loss;
}

/* The two functions below take the output of the head for n rows, from `first` on, of a batch of N,
 * o [T][n][row] without its bias [row], and replace it by the gradient; losses [T][N] receives the
 * loss of each step. Where the mask is 0 both are 0. */

/* o becomes (softmax(o) - one-hot target) / rows, or the gradient of the binary cross-entropy;
 * right [T][N], where not NULL, receives whether no score is above the target's. */
static void cross_entropy(const fastrnn_batch *b, int first, int n, int N, int K, int row,
                          int binary, const real *bias, real *o, double *losses, uint8_t *right) {
    const real rows = (real)rows_that_count(b, N);
    const int width = vectors(K) * LANES;
    for (int i = 0; i < b->T * n; i++, o += row) {
        const int at = i / n * N + first + i % n, target = b->targets[at];
        if (b->mask && !b->mask[at]) {
            memset(o, 0, (size_t)width * sizeof(real));
            losses[at] = 0;
            if (right) right[at] = 0;
            continue;
        }
        const real score = o[target] + bias[target];
        real top;
        const real sum = exponentials(width, 1, bias, o, &top);
        if (right) right[at] = score == top;
        losses[at] = log((double)sum) + ((double)top - (double)score);
        if (binary) {
            losses[at] += binary_part(K, target, (double)rows, o);
            continue;
        }
        const real scale = (real)1 / (sum * rows);
        for (int k = 0; k < width; k += LANES) store(o + k, load(o + k) * scale);
        o[target] -= (real)1 / rows;
    }
}

/* o becomes 2 (o - y) / (K rows), losses are the mean of (o - y)^2 over the K numbers. */
static void squared_error(const fastrnn_batch *b, int first, int n, int N, int K, int row,
                          const real *bias, real *o, double *losses) {
    const real scale = (real)2 / ((real)K * (real)rows_that_count(b, N));
    for (int i = 0; i < b->T * n; i++, o += row) {
        const int at = i / n * N + first + i % n;
        double sum = 0;
        if (b->mask && !b->mask[at]) {
            memset(o, 0, (size_t)K * sizeof(real));
        } else {
            const real *y = (const real *)b->y + step_of(b, first + i % n, i / n) * K;
            for (int k = 0; k < K; k++) {
                const real error = o[k] + bias[k] - y[k];
                sum += (double)error * (double)error;
                o[k] = scale * error;
            }
        }
        memset(o + K, 0, (size_t)(row - K) * sizeof(real));
        losses[at] = sum / K;
    }
}
