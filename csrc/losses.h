/* losses.h - which steps of a batch count, and the losses with their gradients. */
#pragma once

#include "fastrnn.h"
#include "tile.h"
#include "vecmath.h"

#define NEVER (-(real)1e30) /* the score of columns from K on: their exp is 0 */
#define FOUR 4              /* registers that go through exp side by side */

/* Where step t of row n lies in the numbers of a batch; -1 in padding. */
INLINE int64_t step_of(const fastrnn_batch *b, int n, int t) {
    if (b->lengths && t >= b->lengths[n]) return -1;
    return (b->starts ? b->starts[n] : (int64_t)n * b->T) + t;
}

/* The factor of a loss, 0 where it does not count. */
INLINE double weight_of(const uint8_t *mask, const double *weights, int at) {
    if (mask && !mask[at]) return 0;
    return weights ? weights[at] : 1;
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

static int likeliest(int K, const real *bias, const real *o) {
    int l = 0;
    for (int k = 1; k < K; k++) l = o[k] + bias[k] > o[l] + bias[l] ? k : l;
    return l;
}

/* The binary cross-entropy of one step, -log p of the target and -log(1 - p_k) of the others of the
 * K >= 2 symbols: returns the loss, and puts `weight` times the gradient with respect to the scores
 * o [width], over `rows`, in their place. With the likeliest symbol l, q_k = softmax over the other
 * symbols, and d = (the sum of their exp(o - second)) exp(second - top), top and second being the
 * largest scores,
 *     p_l = 1 / (1 + d),  1 - p_l = d p_l,  p_k = q_k (1 - p_l) <= 1/2,
 * so that nothing is lost where p_l is next to 1 and 1 - p_l next to 0. With r_k = p_k / (1 - p_k)
 * and S = (the sum of r_k over the symbols but l and the target) - 1 the gradient is
 *     of l        p_l (1 - S), or, where it is the target, -(1 - p_l) - p_l (S + 1),
 *     of others   r_k (of the target -1) - p_k S - p_l q_k, the last only where l is no target. */
static double binary_step(int K, int width, int l, int target, double weight, double rows,
                          const real *bias, real *o) {
    const real top = o[l] + bias[l];
    const double below = (double)top - (double)(o[target] + bias[target]);
    real second;
    o[l] = 2 * NEVER - bias[l];
    const double total = (double)exponentials(width, 1, bias, o, &second);
    const double gap = (double)top - (double)second, d = total * exp(-gap);
    const double p_l = 1 / (1 + d), rest = d / (1 + d), hidden = l == target ? 0 : p_l;
    const double each = 1 / total, scale = weight / rows;
    double loss = below + log1p(d), S = -1;
    if (l != target) loss += gap - log(total) + log1p(d);
    for (int k = 0; k < K; k++) {
        const double p = (double)o[k] * each * rest;
        if (k == target || k == l) continue;
        loss -= log1p(-p);
        S += p / (1 - p);
    }
    for (int k = 0; k < K; k++) {
        const double q = (double)o[k] * each, p = q * rest;
        o[k] = (real)(((k == target ? -1 : p / (1 - p)) - p * S - hidden * q) * scale);
    }
    o[l] = (real)((l == target ? -rest - p_l * (S + 1) : p_l * (1 - S)) * scale);
    return loss;
}

/* The two functions below take rows `from` to `to` of the output of the head, o [T][n][row], without
 * its bias [row], for n streams, from `first` on, of a batch of N, and replace it by the gradient;
 * losses [T][N] receives the loss of each step. Both are multiplied by the weight, and 0 where that
 * or the mask is 0. */

/* Scores o [K], softmax(o) * scale by now, less what is to be predicted times `scale`: the target,
 * or (1 - w) target + w q, q [K] being the probabilities of a teacher of weight w. */
INLINE void less_target(int K, int target, real scale, real w, const real *q, real *o) {
    const real each = scale * w;
    for (int k = 0; q && k < K; k++) o[k] -= each * q[k];
    o[target] -= q ? scale - each : scale;
}

/* o becomes (softmax(o) - one-hot target) / rows, or the gradient of the binary cross-entropy;
 * right [T][N], where not NULL, receives whether no score is above the target's. */
INLINE void cross_entropy(const int binary, const fastrnn_batch *b, int first, int n, int from,
                          int to, int N, int K, int row, const real *bias, real *o, double *losses,
                          uint8_t *right) {
    const real rows = (real)rows_that_count(b, N);
    const int width = vectors(K) * LANES;
    const uint8_t *mask = b->mask;
    const double *weights = b->weights;
    o += (ptrdiff_t)from * row;
    for (int i = from; i < to; i++, o += row) {
        const int at = i / n * N + first + i % n, target = b->targets[at];
        const double weight = weight_of(mask, weights, at);
        if (weight == 0) {
            memset(o, 0, (size_t)width * sizeof(real));
            losses[at] = 0;
            if (right) right[at] = 0;
            continue;
        }
        const real score = o[target] + bias[target];
        if (binary) {
            const int l = likeliest(K, bias, o);
            if (right) right[at] = score == o[l] + bias[l];
            losses[at] = weight * binary_step(K, width, l, target, weight, (double)rows, bias, o);
            continue;
        }
        real top;
        const real sum = exponentials(width, 1, bias, o, &top);
        if (right) right[at] = score == top;
        losses[at] = weight * (log((double)sum) + ((double)top - (double)score));
        const real scale = (real)weight / (sum * rows);
        for (int k = 0; k < width; k += LANES) store(o + k, load(o + k) * scale);
        const real *q =
            b->teacher ? (const real *)b->teacher + step_of(b, first + i % n, i / n) * K : NULL;
        less_target(K, target, (real)weight / rows, (real)b->teacher_weight, q, o);
    }
}

/* o becomes 2 (o - y) / (known rows), or 0 where y is NaN, losses are the mean of units (o - y)^2
 * over the `known` of the K numbers that are not NaN. */
static void squared_error(const fastrnn_batch *b, int first, int n, int from, int to, int N, int K,
                          int row, const real *bias, real *o, double *losses) {
    const real rows = (real)rows_that_count(b, N);
    o += (ptrdiff_t)from * row;
    for (int i = from; i < to; i++, o += row) {
        const int at = i / n * N + first + i % n;
        const double weight = weight_of(b->mask, b->weights, at);
        double sum = 0;
        int known = 0;
        if (weight == 0) {
            memset(o, 0, (size_t)K * sizeof(real));
        } else {
            const real *y = (const real *)b->y + step_of(b, first + i % n, i / n) * K;
            for (int k = 0; k < K; k++) known += y[k] == y[k];
            const real scale = (real)2 / ((real)(known ? known : 1) * rows);
            for (int k = 0; k < K; k++) {
                const real error = y[k] == y[k] ? o[k] + bias[k] - y[k] : 0;
                sum += (b->units ? b->units[k] : 1) * ((double)error * (double)error);
                o[k] = (real)weight * scale * error;
            }
        }
        memset(o + K, 0, (size_t)(row - K) * sizeof(real));
        losses[at] = known ? weight * sum / known : 0;
    }
}
