/* sampling.h - samples symbols from the softmax of the scores, each read as the next input. */
#pragma once

#include "unroll.h"

/* Sorts x [n] from the largest down (Shell's sort). */
static void sort_down(int n, real *x) {
    for (int gap = n / 2; gap > 0; gap = gap == 2 ? 1 : (int)(gap / 2.2)) {
        for (int i = gap; i < n; i++) {
            const real moved = x[i];
            int j = i;
            for (; j >= gap && x[j - gap] < moved; j -= gap) x[j] = x[j - gap];
            x[j] = moved;
        }
    }
}

/* Of the K weights keeps the top_k largest, and of these the largest that sum to the fraction top_p
 * of them; sets the others to 0 and returns the sum. Of equal ones the first stay. */
static double keep_likely(int K, int top_k, double top_p, real *weights, real *sorted) {
    double total = 0, sum = 0;
    int kept = 0;
    memcpy(sorted, weights, (size_t)K * sizeof(real));
    sort_down(K, sorted);
    for (int k = 0; k < top_k && k < K; k++) total += (double)sorted[k];
    while (kept < top_k && kept < K && (kept == 0 || sum < top_p * total)) {
        sum += (double)sorted[kept++];
    }
    const real least_kept = sorted[kept - 1];
    int equal = 0;
    while (equal < kept && sorted[kept - 1 - equal] == least_kept) equal++;
    for (int k = 0; k < K; k++) {
        if (weights[k] < least_kept || (weights[k] == least_kept && equal-- <= 0)) weights[k] = 0;
    }
    return sum;
}

/* Of the K weights sets those below the fraction min_p of the largest to 0; returns their sum. */
static double keep_near(int K, double min_p, real *weights) {
    double sum = 0;
    real top = 0;
    for (int k = 0; k < K; k++) top = weights[k] > top ? weights[k] : top;
    for (int k = 0; k < K; k++) {
        if ((double)weights[k] < min_p * (double)top) weights[k] = 0;
        sum += (double)weights[k];
    }
    return sum;
}

/* Makes the symbols that were seen less likely: scores + bias > 0 are divided by the penalty,
 * others multiplied. */
static void punish(int K, real penalty, const uint8_t *seen, const real *bias, real *scores) {
    for (int k = 0; k < K; k++) {
        if (!seen[k]) continue;
        const real score = scores[k] + bias[k];
        scores[k] = (score > 0 ? score / penalty : score * penalty) - bias[k];
    }
}

/* The symbol at which the sum of the K weights passes `rest`; 0: the first of a weight above 0. */
static int draw(int K, double rest, const real *weights) {
    int last = 0;                /* the last possible symbol takes what rounding leaves over */
    for (int id = 0; id < K; id++) {
        if (weights[id] > 0) last = id;
        if ((rest -= (double)weights[id]) < 0) return id;
    }
    return last;
}

static void sample(const network *net, const void *params, void *work, void *state,
                   const int32_t *ids, const void *labels, const fastrnn_choice *how,
                   const double *uniforms, int64_t n, int32_t *out) {
    const control before = flush_subnormals();
    const layout at = lay_out(net);
    unrolled u = {.net = net, .at = &at, .params = params, .work = work,
                  .in = {.T = 1, .inputs = ids, .labels = labels}};
    const int K = net->K;
    /* beyond these temperatures one symbol has all the probability, or all have the same */
    const real sharpness = (real)(1 / fmin(fmax(how->temperature, 1e-30), 1e9));
    /* so that neither it nor a score times it becomes 0 or infinite in float32 */
    const real penalty = (real)fmin(fmax(how->penalty, 1e-8), 1e8);
    const int limited = how->top_k < K || how->top_p < 1;
    pack_weights(&u);
    state_in(&u, state);
    for (int64_t i = 0; i < n; i++, uniforms += net->N, out += net->N) {
        for (int s = 0; s < at.slices; s++) {
            layer mine;
            crew c = alone(&u, s, &mine);
            forward(&c);
            real *scores = head(&u, s);
            for (int stream = first_row(net, s); stream < first_row(net, s + 1); stream++) {
                real top;
                if (how->seen) {
                    punish(K, penalty, how->seen + (int64_t)stream * K,
                           u.work + at.head_b, scores);
                }
                double total = (double)exponentials(vectors(K) * LANES, sharpness,
                                                    u.work + at.head_b, scores, &top);
                if (limited) {
                    total = keep_likely(K, how->top_k, how->top_p, scores, u.work + at.sorted);
                }
                if (how->min_p > 0) total = keep_near(K, how->min_p, scores);
                const double rest = how->temperature == 0 ? 0 : uniforms[stream] * total;
                out[stream] = draw(K, rest, scores);
                if (how->seen) how->seen[(int64_t)stream * K + out[stream]] = 1;
                scores += at.wide;
            }
            state_on(&u, s);
        }
        u.in.inputs = out;
    }
    state_out(&u, 0, state);
    restore(before);
}
