/* training.h - the training loop: batch, unroll, clip, step. */
#pragma once

#include "optimizer.h"
#include "unroll.h"

typedef fastrnn_training training;

static int32_t id_at(const training *t, const void *ids, int64_t i) {
    switch (t->id_bytes) {
    case 1: return ((const uint8_t *)ids)[i];
    case 2: return ((const uint16_t *)ids)[i];
    default: return (int32_t)((const uint32_t *)ids)[i];
    }
}

/* The next batch: windows of the text, or the sequences that an update of this call names. */
static fastrnn_batch read_batch(const training *t, int64_t update) {
    const int N = t->net->N, C = t->net->C;
    const int64_t *starts = t->starts ? t->starts + update * N : NULL;
    const int64_t *lengths = t->lengths ? t->lengths + update * N : NULL;
    int32_t *inputs = t->window, *targets = inputs + t->net->T * N;
    fastrnn_batch b = {.T = lengths ? 0 : t->net->T,
                       .inputs = t->ids ? inputs : NULL,
                       .x = t->x,
                       .targets = t->target_ids ? targets : NULL,
                       .y = t->y,
                       .starts = t->teacher ? t->firsts : starts,
                       .teacher = t->teacher,
                       .teacher_weight = t->teacher_weight,
                       .lengths = lengths,
                       .mask = lengths ? t->marks : NULL,
                       .labels = t->label_weights,
                       .weights = t->weights ? t->factors : NULL,
                       .units = t->units};
    for (int n = 0; lengths && n < N; n++) b.T = lengths[n] > b.T ? (int)lengths[n] : b.T;
    for (int n = 0; n < N; n++) {
        const int64_t first = starts ? starts[n] : n * t->length + t->position;
        const int steps = lengths ? (int)lengths[n] : b.T;
        if (t->teacher) t->firsts[n] = first;
        for (int c = 0; c < C; c++) {
            ((real *)t->label_weights)[(int64_t)n * C + c] = c == t->labels[update * N + n];
        }
        for (int s = 0; s < b.T; s++) {
            const int at = s * N + n, inside = s < steps;
            if (t->ids) inputs[at] = inside ? id_at(t, t->ids, first + s) : 0;
            if (t->target_ids) targets[at] = inside ? id_at(t, t->target_ids, first + s) : 0;
            if (t->weights) t->factors[at] = inside ? t->weights[first + s] : 0;
            if (lengths) t->marks[at] = inside && (!t->mask || t->mask[first + s]);
        }
    }
    return b;
}

/* Lists each row that the inputs pick once; `listed` [V] is zero before and after. */
static int distinct_rows(const int32_t *inputs, int count, int32_t *rows, int32_t *listed) {
    int found = 0;
    for (int i = 0; i < count; i++) {
        if (!listed[inputs[i]]) {
            listed[inputs[i]] = 1;
            rows[found++] = inputs[i];
        }
    }
    for (int i = 0; i < found; i++) listed[rows[i]] = 0;
    return found;
}

/* A run of updates. Where a row without a gradient does not change (`skip`), only the `count`
 * picked rows in `rows` are visited, and the other tensors, from `dense` on; else dense is 0. */
typedef struct {
    training *t;
    unrolled *u;
    int skip, count, width;
    int32_t *rows;
    int64_t dense;
    int norm_needed;    /* whether the norm of the gradients is computed */
    double rate, scale; /* of this update */
} updates_of;

static int chunks(const updates_of *s) {
    return (int)((s->u->net->size - s->dense + FASTRNN_CHUNK - 1) / FASTRNN_CHUNK);
}
/* What job i visits: a chunk of the dense part, or after the last one each of the picked rows. */
typedef struct { int64_t start, size; } range;

static int ranges(const updates_of *s, int i) { return i < chunks(s) ? 1 : s->count; }
static range range_at(const updates_of *s, int i, int r) {
    if (i == chunks(s)) return (range){(int64_t)s->rows[r] * s->width, s->width};
    const int64_t start = s->dense + (int64_t)i * FASTRNN_CHUNK, left = s->u->net->size - start;
    return (range){start, left < FASTRNN_CHUNK ? left : FASTRNN_CHUNK};
}

/* Job: a chunk of the sums of the gradients of several ranks' slices. A rank has a range of them. */
static void add_others(void *context, int i) {
    const unrolled *u = context;
    const network *net = u->net;
    const int64_t from = (int64_t)net->size * net->rank / net->ranks;
    const int64_t to = (int64_t)net->size * (net->rank + 1) / net->ranks;
    const int64_t start = from + (int64_t)i * FASTRNN_CHUNK, left = to - start;
    if (left > 0) add_slices(u, start, left < FASTRNN_CHUNK ? left : FASTRNN_CHUNK, SEVERAL);
}

/* The sum of all ranks' gradients, the same on each, and the losses of all rows. */
static void add_ranks(const updates_of *s) {
    const unrolled *u = s->u;
    const int count = u->net->size / u->net->ranks / FASTRNN_CHUNK + 2;
    add_chunks(u);
    s->t->meet(s->t->ranks, 0);
    share(u->net, FASTRNN_ADD, u->team, add_others, (void *)u, count);
    s->t->meet(s->t->ranks, 1);
}

/* Job: add the slices' gradients of a chunk, unless that is done, and their squares. */
static void reduce_chunk(void *context, int i) {
    const updates_of *s = context;
    double norm = 0;
    for (int r = 0; r < ranges(s, i); r++) {
        const range part = range_at(s, i, r);
        if (!s->t->meet) add_slices(s->u, part.start, part.size, 0);
        norm += sum_of_squares(part.size, s->u->grads + part.start);
    }
    s->t->norms[i] = norm;
}

/* Job: the optimizer's step over a chunk, and the average of its parameters. */
static void step_chunk(void *context, int i) {
    const updates_of *s = context;
    const training *t = s->t;
    real *params = t->params, *memory = t->memory, *memory2 = t->memory2, *mean = t->average;
    const double take = 1 / (1 + t->averaged * (double)(t->update - 1));
    for (int r = 0; r < ranges(s, i); r++) {
        const range part = range_at(s, i, r);
        optimizer_step(t->optimizer, t->update, s->rate, s->scale, part.size, params + part.start,
                       s->u->grads + part.start, memory ? memory + part.start : NULL,
                       memory2 ? memory2 + part.start : NULL);
        if (mean) average_step(part.size, mean + part.start, params + part.start, (real)take);
    }
}

/* Whether the gradients of all biases are finite. */
static int biases_finite(const network *net, int G, const real *grads) {
    int finite = all_finite(net->K, grads + net->head_b);
    for (int l = 0; l < net->L && cell_of(net)->is.trained; l++) {
        finite = finite && all_finite(G * net->H, grads + net->layers[l].tensors[B]);
    }
    return finite;
}

static updates_of plan(training *t, unrolled *u) {
    const network *net = t->net;
    const fastrnn_optimizer *o = t->optimizer;
    updates_of s = {.t = t, .u = u, .rows = t->window + 2 * net->T * net->N};
    s.width = net->E ? net->E : u->at->G * net->H;
    /* with these two a row without a gradient does not change, unless weights decay, but its
     * average does */
    s.skip = picked_size(net) && !o->weight_decay && !t->average
             && (o->kind == FASTRNN_ADAGRAD || (o->kind == FASTRNN_SGD && !t->memory));
    s.dense = s.skip ? picked_size(net) : 0;
    /* Of whole gradients there is nothing to add, and no norm to know where clipping keeps large values
     * out of the weights and states and inputs are bounded: the gradients of weights are sums of
     * these times the biases' gradients, whose being finite is enough. */
    s.norm_needed = !is_whole(u) || !u->at->cell->is.bounded || net->E || net->D
                    || o->clip_value > DBL_MAX || o->clip_norm <= DBL_MAX;
    return s;
}

/* Job: sets to 0 a slice's gradients of the rows that the batch picks: the unroll adds to them. */
static void clear_picked(void *context, int slice) {
    const updates_of *s = context;
    real *grads = slice_grads(s->u, slice);
    if (!s->skip) memset(grads, 0, (size_t)picked_size(s->u->net) * sizeof(real));
    for (int r = 0; r < s->count; r++) {
        memset(grads + (int64_t)s->rows[r] * s->width, 0, (size_t)s->width * sizeof(real));
    }
}

/* Adds the slices' gradients, finds the scale to clip their norm; returns whether it is finite. */
static int clip(updates_of *s, int jobs) {
    const fastrnn_optimizer *o = s->t->optimizer;
    double norm = 0;
    s->scale = 1;
    if (!s->norm_needed) return biases_finite(s->u->net, s->u->at->G, s->u->grads);
    share(s->u->net, FASTRNN_ADD, s->t->team, reduce_chunk, s, jobs);
    for (int i = 0; i < jobs; i++) norm += s->t->norms[i];
    norm = sqrt(norm);
    if (norm > o->clip_norm) s->scale = o->clip_norm / norm;
    return norm <= DBL_MAX && fmin(norm * s->scale, o->clip_value) <= EXPLODED;
}

/* Stores the loss of update `index` of this call, and the parameters where they are the best. */
static void note(training *t, int64_t index, double loss) {
    t->smooth_loss = t->update == 1 ? loss : 0.999 * t->smooth_loss + 0.001 * loss;
    t->loss[index] = loss;
    t->smooth[index] = t->smooth_loss;
    if (t->update % t->best_every == 0 && t->smooth_loss < t->best_loss) {
        t->best_loss = t->smooth_loss;
        t->best_update = t->update;
        memcpy(t->best, t->average ? t->average : t->params, (size_t)t->net->size * sizeof(real));
    }
}

/* On to the next window, and after the last one to the next epoch. */
static void move_on(training *t, int T) {
    t->position += t->starts ? 1 : T;
    if (t->starts ? t->position == t->epoch_updates : t->position + T + 1 >= t->length) {
        t->position = 0;
        t->epoch++;
    }
}

/* The states before an update: those after the update before it in rows that go on, and zero in the
 * others. Streams of a text go on by themselves, but for the first window. */
static void states_before(unrolled *u, const training *t, int64_t update) {
    const int row = u->at->row;
    if (!t->carried) {
        if (t->starts || t->position == 0) state_in(u, NULL);
        return;
    }
    state_in(u, t->state);
    for (int i = 0; i < carried_arrays(u); i++) {
        const carried a = carried_array(u, i);
        for (int r = 0; r < a.n; r++) {
            if (t->carried[update * t->net->N + a.first + r]) continue;
            memset(a.x + (ptrdiff_t)r * row, 0, (size_t)row * sizeof(real));
        }
    }
}

static void next_losses(training *t) {
    const control before = flush_subnormals();
    const layout at = lay_out(t->net);
    unrolled u = {.net = t->net,
                  .at = &at,
                  .team = t->team,
                  .params = t->params,
                  .work = t->work,
                  .losses = t->losses};
    if (!t->starts) state_in(&u, t->state);
    states_before(&u, t, 0);
    u.in = read_batch(t, 0);
    pack_weights(&u);
    unroll_slices(&u);
    restore(before);
}

/* The norm of the gradient of the last update. In `grads` the rows that it did not pick, which may
 * hold the gradients of earlier updates, become 0. */
static double gradient_norm(training *t) {
    const network *net = t->net;
    const layout at = lay_out(net);
    unrolled u = {.net = net, .at = &at, .grads = t->grads};
    const updates_of s = plan(t, &u);
    int32_t *listed = s.rows + net->V;
    for (int i = 0; s.skip && i < t->picked; i++) listed[s.rows[i]] = 1;
    for (int v = 0; s.skip && v < net->V; v++) {
        if (!listed[v]) memset(u.grads + (int64_t)v * s.width, 0, (size_t)s.width * sizeof(real));
        listed[v] = 0;
    }
    return sqrt(sum_of_squares(net->size, u.grads));
}

static int64_t run(training *t, int64_t updates) {
    const control before = flush_subnormals();
    const network *net = t->net;
    const layout at = lay_out(net);
    unrolled u = {.net = net,
                  .at = &at,
                  .team = t->team,
                  .params = t->params,
                  .grads = t->grads,
                  .work = t->work,
                  .backward = 1,
                  .losses = t->losses,
                  .bits = t->bits};
    updates_of s = plan(t, &u);
    int64_t done = 0;
    state_in(&u, t->state);
    for (; done < updates; done++) {
        states_before(&u, t, done);
        u.in = read_batch(t, done);
        s.rate = t->rates[done];
        if (s.skip) s.count = distinct_rows(u.in.inputs, u.in.T * net->N, s.rows, s.rows + net->V);
        t->picked = s.count;
        share(net, FASTRNN_CLEAR, t->team, clear_picked, &s, at.slices);
        pack_weights(&u);
        unroll_slices(&u);
        if (t->meet) add_ranks(&s);
        double loss = 0;
        for (int i = 0; i < u.in.T * net->N; i++) loss += t->losses[i];
        loss /= rows_that_count(&u.in, net->N);
        const int jobs = chunks(&s) + (s.count > 0);
        if (!(fabs(loss) <= t->most_loss)) {
            share_out(t->team, reduce_chunk, &s, jobs); /* for whoever looks for the reason */
            break;
        }
        if (!clip(&s, jobs)) break;
        t->update++;
        share(net, FASTRNN_STEP, t->team, step_chunk, &s, jobs);
        note(t, done, loss);
        for (int s = 0; !t->starts && s < at.slices; s++) state_on(&u, s);
        if (t->carried) state_out(&u, 0, t->state);
        move_on(t, u.in.T);
    }
    if (!t->starts) state_out(&u, 0, t->state);
    else if (!t->carried) memset(t->state, 0, (size_t)net->N * state_size(net) * sizeof(real));
    restore(before);
    return done;
}
