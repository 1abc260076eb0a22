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
    while (--id > 0 && weights[id] == 0) {} /* the last possible one takes what is left over */
    return id;
}

typedef struct {
    const unrolled *u; /* T is 1; its inputs are the ids before the first step */
    const fastrnn_choice *how;
    const double *uniforms; /* [n][N] */
    int64_t n;
    int32_t *out; /* [n][N] */
} sampled;

/* The symbol of a stream, from its scores [K], which become weights. */
static int choose_symbol(const sampled *c, int64_t step, int stream, real *scores) {
    const fastrnn_choice *how = c->how;
    const real *bias = c->u->work + c->u->at->head_b;
    const int K = c->u->net->K;
    uint8_t *seen = how->seen ? how->seen + (int64_t)stream * K : NULL;
    /* beyond these temperatures one symbol has all the probability, or all have the same */
    const real sharpness = (real)(1 / fmin(fmax(how->temperature, 1e-30), 1e9));
    real top;
    /* so that neither the penalty nor a score times it becomes 0 or infinite in float32 */
    if (seen) punish(K, (real)fmin(fmax(how->penalty, 1e-8), 1e8), seen, bias, scores);
    double total = (double)exponentials(vectors(K) * LANES, sharpness, bias, scores, &top);
    if (how->top_k < K || how->top_p < 1 || how->min_p > 0) {
        total = keep_likely(K, how->top_k, how->top_p, how->min_p, scores);
    }
    const double uniform = c->uniforms[step * c->u->net->N + stream];
    const int id = draw(K, how->temperature == 0 ? 0 : uniform * total, scores);
    if (seen) seen[id] = 1;
    return id;
}

/* Job: all steps of the streams of a slice. */
static void sample_slice(void *context, int slice) {
    const sampled *c = context;
    const network *net = c->u->net;
    const int first = first_row(net, slice), end = first_row(net, slice + 1);
    unrolled u = *c->u;
    for (int64_t i = 0; i < c->n; i++) {
        int32_t *out = c->out + i * net->N;
        layer mine;
        crew alone_here = alone(&u, slice, &mine);
        forward(&alone_here);
        real *scores = head(&u, slice, WHOLE);
        for (int stream = first; stream < end; stream++, scores += u.at->wide) {
            out[stream] = choose_symbol(c, i, stream, scores);
        }
        state_on(&u, slice);
        u.in.inputs = out;
    }
}

static void sample(const network *net, fastrnn_team *team, const void *params, void *work,
                   void *state, const int32_t *ids, const void *labels, const fastrnn_choice *how,
                   const double *uniforms, int64_t n, int32_t *out) {
    const control before = flush_subnormals();
    const layout at = lay_out(net);
    const unrolled u = {.net = net,
                        .at = &at,
                        .team = team,
                        .params = params,
                        .work = work,
                        .in = {.T = 1, .inputs = ids, .labels = labels}};
    sampled c = {.u = &u, .how = how, .uniforms = uniforms, .n = n, .out = out};
    pack_weights(&u);
    state_in(&u, state);
    share_out(team, sample_slice, &c, at.slices);
    state_out(&u, 0, state);
    restore(before);
}
