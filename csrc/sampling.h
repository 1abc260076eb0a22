/* sampling.h - samples symbols from the softmax of the scores, each read as the next input. */
#pragma once

#include "unroll.h"

/* Weights are those of exponentials(): the largest is 1, others are 0 or normal numbers, and those
 * after the K-th, up to a whole register, are 0. */

/* Of the weights from `least` on: their number or, where not `counted`, their sum, and the smallest
 * of them; and the largest of the others. */
typedef struct { real amount, smallest, below; } upper;

INLINE upper upper_part(const int counted, int K, real least, const real *weights) {
    vec amount = all(0), smallest = all(2), below = all(0);
    for (int k = 0; k < K; k += LANES) {
        const vec x = load(weights + k);
        const ivec in = (ivec)(x >= least);
        amount += choose(in, counted ? all(1) : x, all(0));
        smallest = smaller(smallest, choose(in, x, all(2)));
        below = larger(below, choose(in, all(0), x));
    }
    return (upper){sum_lanes(amount), -largest_lane(-smallest), largest_lane(below)};
}

/* The number whose bits are halfway between those of a and b, both positive: a step through the
 * order of all numbers, and about the geometric mean. */
static real halfway(real a, real b) {
    lane low, high;
    memcpy(&low, &a, sizeof a);
    memcpy(&high, &b, sizeof b);
    low += (high - low) / 2;
    memcpy(&a, &low, sizeof a);
    return a;
}

/* Of the K weights keeps the fewest of the largest whose number or sum reaches `goal`, and sets the
 * others to 0; of equal ones the first stay. The smallest that is kept is found by bisection: the
 * weights from `low` on reach the goal, unless all do not, and those from `high` on, of which there
 * are `above`, do not. */
INLINE void keep_largest(const int counted, int K, real goal, real *weights) {
    real low = NORMAL, high = 2;
    real above = 0;
    for (real below = 1; below > low;) {
        const real middle = halfway(low, high);
        const upper part = upper_part(counted, K, middle, weights);
        if (part.amount >= goal) {
            low = part.smallest;
        } else {
            high = middle;
            below = part.below;
            above = part.amount;
        }
    }
    for (int k = 0; k < K; k++) {
        if (weights[k] == low && above < goal) above += counted ? 1 : low;
        else if (weights[k] <= low) weights[k] = 0;
    }
}

/* Of the K weights keeps the top_k largest, of these the largest that sum to the fraction top_p of
 * them, and of these those from min_p on; sets the others to 0 and returns the sum. */
static double keep_likely(int K, int top_k, double top_p, double min_p, real *weights) {
    if (top_k < K) keep_largest(1, K, (real)top_k, weights);
    if (top_p < 1) keep_largest(0, K, (real)top_p * upper_part(0, K, 0, weights).amount, weights);
    for (int k = 0; k < K; k++) weights[k] = (double)weights[k] < min_p ? 0 : weights[k];
    return (double)upper_part(0, K, 0, weights).amount;
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

/* The symbol at which the sum of the K weights passes `rest`; 0: the first of a weight above 0. Whole
 * blocks are passed at once, since each difference waits for the one before. */
static int draw(int K, double rest, const real *weights) {
    int id = 0;
    for (; id + ROW_STEP <= K; id += ROW_STEP) {
        vec sum = load(weights + id);
        UNROLL for (int k = LANES; k < ROW_STEP; k += LANES) sum += load(weights + id + k);
        const double block = (double)sum_lanes(sum);
        if (rest < block) break;
        rest -= block;
    }
    for (; id < K; id++) {
        if ((rest -= (double)weights[id]) < 0) return id;
    }
    while (--id > 0 && weights[id] == 0) {}      /* the last possible one takes what is left over */
    return id;
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
    const int limited = how->top_k < K || how->top_p < 1 || how->min_p > 0;
    pack_weights(&u);
    state_in(&u, state);
    for (int64_t i = 0; i < n; i++, uniforms += net->N, out += net->N) {
        for (int s = 0; s < at.slices; s++) {
            layer mine;
            crew c = alone(&u, s, &mine);
            forward(&c);
            real *scores = head(&u, s, WHOLE);
            for (int stream = first_row(net, s); stream < first_row(net, s + 1); stream++) {
                real top;
                if (how->seen) {
                    punish(K, penalty, how->seen + (int64_t)stream * K,
                           u.work + at.head_b, scores);
                }
                double total = (double)exponentials(vectors(K) * LANES, sharpness,
                                                    u.work + at.head_b, scores, &top);
                if (limited) {
                    total = keep_likely(K, how->top_k, how->top_p, how->min_p, scores);
                }
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
