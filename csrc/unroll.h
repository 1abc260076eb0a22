/* unroll.h - inputs, recurrent layers, a linear head and its loss, T steps forward and back. */
#pragma once

#include "losses.h"
#include "workspace.h"

/* ---- stages ---- */

/* Who goes through the stages of an unroll: a thread with one slice, from stage to stage alone, or a
 * team with all slices, each cut in parts, which meets after each stage. Each phase of a time step
 * is a stage where the parts are units, which need all units of the step before. Where they are
 * streams all time steps are one stage. */
typedef struct crew {
    const unrolled *u;
    int first, slices, parts; /* 1 part: alone */
    int by_rows;              /* parts of a step are streams, or else units */
    int l, t, phase;          /* layer, time step and phase at work */
    layer *layers;            /* [slices]: the layer at work */
    void (*stage)(const struct crew *c, int i, portion some); /* of the i-th of these slices */
    int cut;                                                  /* in so many portions */
} crew;

static crew alone(const unrolled *u, int slice, layer *mine) {
    return (crew){.u = u, .first = slice, .slices = 1, .parts = 1, .by_rows = 1, .layers = mine};
}

/* Layer l is at work, on the way forward or back. */
static void enter(crew *c, int l, int back) {
    c->l = l;
    for (int i = 0; i < c->slices; i++) {
        c->layers[i] = layer_of(c->u, c->first + i, l);
        set_walks(c->layers + i, back, c->by_rows);
    }
}

/* Job: a portion of a slice's stage. */
static void do_portion(void *context, int index) {
    const crew *c = context;
    c->stage(c, index / c->cut, (portion){index % c->cut, c->cut});
}

/* All slices through a stage, each cut in so many portions. */
static void meet(crew *c, int id, void (*stage)(const crew *c, int i, portion some), int cut) {
    if (c->parts == 1) {
        stage(c, 0, WHOLE);
        return;
    }
    c->stage = stage;
    c->cut = cut;
    share(c->u->net, id, c->u->team, do_portion, c, c->slices * cut);
}

/* Portions of a stage that cuts the rows of all time steps: one row alone would be multiplied in
 * another way than several (tile()). And of one that also needs scratch for gradients. */
static int row_parts(const crew *c) {
    const int most = c->layers->T * c->layers->n / LEAST_ROWS;
    return most < 1 ? 1 : least(c->parts, most);
}
static int gradient_parts(const crew *c) {
    return least(row_parts(c), gradient_portions(c->u->net));
}

/* Where the gradients with respect to the layer's states are in the caller's, or NULL. */
static real *dstate_of(const crew *c, int i) {
    const network *net = c->u->net;
    return c->u->dstate ? c->u->dstate + (int64_t)first_row(net, c->first + i) * state_size(net)
                              + c->l * c->u->at->cell->is.states * net->H
                        : NULL;
}

/* ---- forward ---- */

/* C [rows][c_row], G gates c_step apart and M wide each, = `count` slots A [rows][a_row], a_step
 * apart and K wide, times a packed (count K, G M) matrix. */
static void multiply(int G, int rows, int M, int count, int K, const real *A, int a_row, int a_step,
                     const real *packed, real *rounded, real *C, int c_row, int c_step) {
    const int block = ROUNDED ? ROUNDED_ROWS : rows;
    group sum;
    for (int first = 0; first < rows;
         first += block, A += (ptrdiff_t)block * a_row, C += (ptrdiff_t)block * c_row) {
        tiles w = walk(G, least(block, rows - first), M, count, K, packed, rounded);
        touch(&w, C, c_row, G, c_step);
        while (next_tile(&w)) {
            product(&w, count, K, A, a_step, a_row, sum);
            for (int r = 0; r < w.R; r++) {
                real *c = C + (ptrdiff_t)(w.row + r) * c_row + w.unit;
                for (int g = 0; g < G; g++) {
                    for (int u = 0; u < w.U; u++) {
                        store(c + g * c_step + u * LANES, sum[w.place][r][g * w.U + u]);
                    }
                }
            }
        }
    }
}

/* The bits of a mask [rows][row], at the start of each row: a unit takes 16, so that a number of the
 * source serves four, lowest bits first. */
static void draw_bits(int rows, int H, const fastrnn_bits *bits, real *mask, int row) {
    uint64_t numbers = 0;
    int left = 0;
    for (int i = 0; i < rows; i++, mask += row) {
        uint16_t *to = (uint16_t *)mask;
        for (int j = 0; j < H;) {
            if (!left) {
                numbers = bits->next(bits->state);
                left = 4;
            }
            if (left == 4 && H - j >= 4) { /* one store */
                EACH(k, 4) to[j + k] = (uint16_t)(numbers >> 16 * k);
                j += 4;
                left = 0;
            } else {
                to[j++] = (uint16_t)numbers;
                numbers >>= 16;
                left--;
            }
        }
    }
}

/* mask [rows][row]: from these bits, 0 where they are below the limit, else `scale`; dropped
 * [rows][row] = x [..][x_row] o mask. From the right, since the bits are in place. */
static void drop_out(int rows, const real *x, int x_row, int limit, real *mask, real *dropped,
                     int row) {
    const vec scale = all((real)(65536.0 / (65536 - limit)));
    for (int i = 0; i < rows; i++, x += x_row, mask += row, dropped += row) {
        for (int j = row - LANES; j >= 0; j -= LANES) {
            uint16_t half[LANES];
            lane whole[LANES];
            ivec drawn;
            memcpy(half, (const char *)mask + 2 * (ptrdiff_t)j, sizeof half);
            EACH(k, LANES) whole[k] = half[k];
            memcpy(&drawn, whole, sizeof drawn);
            const vec factor = choose(drawn < limit, all(0), scale);
            store(mask + j, factor);
            store(dropped + j, load(x + j) * factor);
        }
    }
}

/* Rows `from` to `to` of rows [T][n][row] = a batch's numbers, `width` a step, of streams `start`
 * on; 0 in padding. */
static void rows_in(const fastrnn_batch *b, int n, int width, const real *all, int start, int from,
                    int to, real *rows, int row) {
    rows += (ptrdiff_t)from * row;
    for (int i = from; i < to; i++, rows += row) {
        const int64_t at = step_of(b, start + i % n, i / n);
        if (at < 0) memset(rows, 0, (size_t)width * sizeof(real));
        else memcpy(rows, all + at * width, (size_t)width * sizeof(real));
    }
}
/* Streams `start` on of all [N][T][width] = rows [T][n][row], of which `from` to `to`. */
static void rows_out(int T, int n, int width, const real *rows, int row, int from, int to,
                     real *all, int start) {
    rows += (ptrdiff_t)from * row;
    for (int i = from; i < to; i++, rows += row) {
        const int64_t at = (int64_t)(start + i % n) * T + i / n;
        memcpy(all + at * width, rows, (size_t)width * sizeof(real));
    }
}
static void copy_rows(int rows, int width, const real *from, int from_row, real *to, int to_row) {
    for (int i = 0; i < rows; i++, from += from_row, to += to_row) {
        memcpy(to, from, (size_t)width * sizeof(real));
    }
}

/* Rows `from` to `to` of the first layer's inputs of a slice: rows of numbers, of the embedding, or,
 * where the cell does not pick them itself, of Wx into z. */
static void read_inputs(const unrolled *u, const layer *a, int slice, int from, int to) {
    const network *net = u->net;
    const int H = net->H, E = net->E, G = a->G, start = first_row(net, slice);
    real *x = slice_of(u, slice) + u->at->x;
    if (net->D) {
        rows_in(&u->in, a->n, net->D, u->in.x, start, from, to, x, u->at->xrow);
        return;
    }
    for (int i = from; !a->ids && i < to; i++) {
        const int64_t id = u->in.inputs[i / a->n * net->N + start + i % a->n];
        if (E) {
            memcpy(x + (ptrdiff_t)i * u->at->xrow, u->params + net->embedding + id * E,
                   (size_t)E * sizeof(real));
        } else {
            copy_rows(G, H, a->tensor[WX] + id * G * H, H, a->z + (ptrdiff_t)i * a->zrow, a->row);
        }
    }
}

/* Unbounded states may overflow in padding, and infinity times a gradient of 0 is not 0: so states
 * and outputs become 0 there. */
static void blank_padding(const unrolled *u, const layer *a, int slice, int from, int to) {
    const int64_t *lengths = u->in.lengths + first_row(u->net, slice);
    for (int i = from; i < to; i++) {
        if (i / a->n < lengths[i % a->n]) continue;
        memset(a->h + (ptrdiff_t)(a->n + i) * a->row, 0, (size_t)a->row * sizeof(real));
        memset(a->z + (ptrdiff_t)i * a->zrow, 0, (size_t)a->zrow * sizeof(real));
    }
}

/* The first layer's bias of each row: b and what its labels add. */
static void label_biases(const unrolled *u, int slice) {
    const network *net = u->net;
    const int size = u->at->G * net->H, first = first_row(net, slice);
    real *row = slice_of(u, slice) + u->at->bias;
    for (int n = first; n < first_row(net, slice + 1); n++, row += u->at->b_row) {
        const real *weights = (const real *)u->in.labels + (int64_t)n * net->C;
        memcpy(row, u->params + net->layers[0].tensors[B], (size_t)size * sizeof(real));
        for (int c = 0; c < net->C; c++) {
            add_scaled(size, weights[c], u->params + net->layers[0].Wc + (int64_t)c * size, row);
        }
    }
}

/* The gradient of Wc from the first layer's dz [T][n][zrow]; overwrites the biases. */
static void label_gradients(const unrolled *u, const layer *a, int slice, const real *dz,
                            real *grads) {
    const network *net = u->net;
    const int H = net->H, size = a->G * H, first = first_row(net, slice);
    real *sum = slice_of(u, slice) + u->at->bias;
    memset(grads + net->layers[0].Wc, 0, (size_t)net->C * size * sizeof(real));
    memset(sum, 0, (size_t)a->n * u->at->b_row * sizeof(real));
    for (int i = 0; i < a->T * a->n; i++) {
        real *to = sum + (ptrdiff_t)(i % a->n) * u->at->b_row;
        const real *from = dz + (ptrdiff_t)i * a->zrow;
        for (int g = 0; g < a->G; g++) add_scaled(H, 1, from + g * a->row, to + g * H);
    }
    for (int n = 0; n < a->n; n++, sum += u->at->b_row) {
        const real *weights = (const real *)u->in.labels + (int64_t)(first + n) * net->C;
        for (int c = 0; c < net->C; c++) {
            add_scaled(size, weights[c], sum, grads + net->layers[0].Wc + (int64_t)c * size);
        }
    }
}

/* Stage: the inputs of a layer, and their products. */
static void multiply_inputs(const crew *c, int i, portion some) {
    const unrolled *u = c->u;
    const network *net = u->net;
    const layer *a = c->layers + i;
    const int slice = c->first + i, D = factor_size(net, c->l);
    const int from = start_of(some, a->T * a->n), to = end_of(some, a->T * a->n);
    if (c->l == 0) read_inputs(u, a, slice, from, to);
    if (c->l == 0 && net->C && !some.index) label_biases(u, slice);
    for (int g = 0; D && g < a->G; g += MOST_GATES) {
        const rows x = input(u, slice, c->l);
        multiply(least(MOST_GATES, a->G - g), to - from, net->H, 1, D,
                 x.x + (ptrdiff_t)from * x.row, x.row, 0,
                 u->work + u->at->Wx[c->l][0] + packed_size(g, 1, D, net->H), rounded_of(a, some),
                 a->z + (ptrdiff_t)from * a->zrow + g * a->row, a->zrow, a->row);
    }
}

/* Stage: a phase of a step. */
static void step_forward(const crew *c, int i, portion some) {
    c->layers[i].cell->forward[c->phase](c->layers + i, c->t, some);
}
/* Stage: all steps, of some streams. */
static void steps_forward(const crew *c, int i, portion some) {
    const layer *a = c->layers + i;
    for (int t = 0; t < a->T; t++) {
        for (int p = 0; p < MOST_PHASES && a->cell->forward[p]; p++)
            a->cell->forward[p](a, t, some);
    }
}

/* Stage, of whole slices: what dropout draws, in the order of its source. */
static void draw_masks(const crew *c, int i, portion some) {
    const unrolled *u = c->u;
    const layer *a = c->layers + i;
    const int slice = c->first + i;
    (void)some;
    draw_bits(a->T * a->n, a->H, u->bits + slice, slice_of(u, slice) + u->at->mask[c->l], a->row);
}

/* Stage: padding and dropout of a layer's states and outputs. */
static void finish_outputs(const crew *c, int i, portion some) {
    const unrolled *u = c->u;
    const layer *a = c->layers + i;
    const int slice = c->first + i;
    const int from = start_of(some, a->T * a->n), to = end_of(some, a->T * a->n);
    const rows out = output(u, slice, c->l);
    real *mine = slice_of(u, slice) + (ptrdiff_t)from * a->row;
    if (u->in.lengths && !a->cell->is.bounded) blank_padding(u, a, slice, from, to);
    if (drops_outputs(u)) {
        drop_out(to - from, out.x + (ptrdiff_t)from * out.row, out.row, u->net->dropout,
                 mine + u->at->mask[c->l], mine + u->at->dropped[c->l], a->row);
    }
}

/* States of all T steps from those in slots 0. */
static void forward(crew *c) {
    const unrolled *u = c->u;
    const cell *cell = u->at->cell;
    for (int l = 0; l < u->net->L; l++) {
        enter(c, l, 0);
        meet(c, FASTRNN_INPUTS, multiply_inputs, row_parts(c));
        if (c->by_rows) meet(c, FASTRNN_FORWARD, steps_forward, c->parts);
        for (c->t = 0; !c->by_rows && c->t < u->in.T; c->t++) {
            for (c->phase = 0; c->phase < MOST_PHASES && cell->forward[c->phase]; c->phase++) {
                meet(c, FASTRNN_FORWARD, step_forward, c->parts);
            }
        }
        if (drops_outputs(u)) meet(c, FASTRNN_OUTPUTS, draw_masks, 1);
        if (drops_outputs(u) || (u->in.lengths && !cell->is.bounded)) {
            meet(c, FASTRNN_OUTPUTS, finish_outputs, row_parts(c));
        }
    }
}

/* A portion of the rows of the output scores [T][n][wide] of a slice, without the bias. */
static real *head(const unrolled *u, int slice, portion some) {
    const network *net = u->net;
    const layout *at = u->at;
    const int count = u->in.T * (first_row(net, slice + 1) - first_row(net, slice));
    const int from = start_of(some, count), to = end_of(some, count);
    real *scores = slice_of(u, slice) + at->scores;
    const rows x = input(u, slice, net->L);
    multiply(1, to - from, net->K, 1, net->H, x.x + (ptrdiff_t)from * x.row, x.row, 0,
             u->work + at->head_W[0],
             slice_of(u, slice) + at->rounded + some.index * at->rounded_each,
             scores + (ptrdiff_t)from * at->wide, at->wide, 0);
    return scores;
}

/* ---- backward ---- */

/* Stage: the head's gradients, from those with respect to its scores, and dh. */
static void head_backward(const crew *c, int i, portion some) {
    const unrolled *u = c->u;
    const network *net = u->net;
    const layout *at = u->at;
    const int K = net->K, H = net->H, slice = c->first + i;
    const layer *top = c->layers + i;
    const int count = top->T * top->n, tiled = gradient_pays(net->packed, count, H);
    const int from = start_of(some, count), to = end_of(some, count);
    const real *scores = slice_of(u, slice) + at->scores;
    real *grads = slice_grads(u, slice);
    const rows x = input(u, slice, net->L);
    const factor in = {H, x.row, x.x, grads + net->head_W};
    gradient(count, K, 1, scores, at->wide, 0, 0, &in, tiled, K, grads + net->head_b, NULL,
             scratch_of(top, some), some);
    if (!tiled && !some.index) {
        net->gemm(1, 0, H, K, count, in.x, in.row, scores, at->wide, 0, in.C, K);
    }
    if (at->cell->is.trained) {
        multiply(1, to - from, H, 1, K, scores + (ptrdiff_t)from * at->wide, at->wide, 0,
                 u->work + at->head_W[1], rounded_of(top, some),
                 top->dh + (ptrdiff_t)from * top->row, top->row, 0);
    }
}

/* Where a row ends after t steps: what is carried from there, the caller's gradients with respect to
 * the first state that is not the output. */
static int carries(const crew *c, int i) {
    const fastrnn_cell *cell = &c->layers[i].cell->is;
    return c->u->dstate && cell->state_is_output < cell->states;
}
static int ends_at(const crew *c, int n, int t) {
    return (c->u->in.lengths ? c->u->in.lengths[n] : c->u->in.T) == t;
}
static void carry_from(const crew *c, int i, int t, portion some) {
    const layer *a = c->layers + i;
    const int first = first_row(c->u->net, c->first + i), P = state_size(c->u->net);
    const real *dstate = dstate_of(c, i) + a->cell->is.state_is_output * a->H;
    for (int n = start_of(some, a->n); n < end_of(some, a->n); n++) {
        if (ends_at(c, first + n, t)) {
            copy_rows(1, a->H, dstate + (ptrdiff_t)n * P, P, a->carry + (ptrdiff_t)n * a->row,
                      a->row);
        }
    }
}

/* Stage: dh back through the dropout of a layer, and what is carried from after the last step. */
static void start_backward(const crew *c, int i, portion some) {
    const unrolled *u = c->u;
    const layer *a = c->layers + i;
    const int slice = c->first + i, count = a->T * a->n;
    const real *mask = slice_of(u, slice) + u->at->mask[c->l];
    const int64_t end = (int64_t)end_of(some, count) * a->row;
    for (int64_t j = (int64_t)start_of(some, count) * a->row; drops_outputs(u) && j < end;
         j += LANES) {
        store(a->dh + j, load(a->dh + j) * load(mask + j));
    }
    if (some.index) return;
    memset(a->carry, 0, (size_t)a->n * a->row * sizeof(real));
    if (carries(c, i)) carry_from(c, i, a->T, WHOLE);
}

/* Stage, of whole slices: what is carried in rows that end here, before the last step. */
static void end_rows(const crew *c, int i, portion some) { carry_from(c, i, c->t + 1, some); }
static int rows_end_here(const crew *c) {
    if (!c->u->in.lengths || !carries(c, 0) || c->t + 1 == c->u->in.T) return 0;
    const int end = first_row(c->u->net, c->first + c->slices);
    for (int n = first_row(c->u->net, c->first); n < end; n++) {
        if (ends_at(c, n, c->t + 1)) return 1;
    }
    return 0;
}

/* Stage: a phase of a step back; z becomes dz. */
static void step_backward(const crew *c, int i, portion some) {
    c->layers[i].cell->backward[c->phase](c->layers + i, c->t, some);
}
/* Stage: all steps back, of some streams. */
static void steps_backward(const crew *c, int i, portion some) {
    const layer *a = c->layers + i;
    const int ends = c->u->in.lengths && carries(c, i);
    for (int t = a->T - 1; t >= 0; t--) {
        if (ends && t + 1 < a->T) carry_from(c, i, t + 1, some);
        for (int p = 0; p < MOST_PHASES && a->cell->backward[p]; p++)
            a->cell->backward[p](a, t, some);
    }
}

/* Stage: the gradients with respect to the last state become those of the first. */
static void state_gradients(const crew *c, int i, portion some) {
    const layer *a = c->layers + i;
    const tiles w = walk_at(a->walks, 0, some);
    const int P = state_size(c->u->net), first = w.top, n = tile_row(&w, w.tiles) - first;
    const ptrdiff_t from = (ptrdiff_t)first * a->row + w.start;
    real *dstate = dstate_of(c, i) + (ptrdiff_t)first * P + w.start;
    if (a->cell->is.states > 1) {
        copy_rows(n, w.end - w.start, a->carry + from, a->row, dstate + a->H, P);
    }
    a->cell->start_gradient(a, a->dh, some); /* whose contents were used */
    copy_rows(n, w.end - w.start, a->dh + from, a->row, dstate, P);
}

/* The gradients of a layer's parameters from dz. */
static void parameter_gradients(const unrolled *u, const layer *a, int slice, int l, real *grads,
                                portion some) {
    const network *net = u->net;
    const fastrnn_layer *offsets = net->layers + l;
    gradients_of to = {.inputs = factor_size(net, l) > 0};
    for (int i = 0; i < FASTRNN_MOST_TENSORS; i++) to.tensor[i] = grads + offsets->tensors[i];
    const picks rows_of_Wx = {u->in.inputs + first_row(net, slice), a->n, net->N, to.tensor[WX],
                              some.count > 1 ? 0 : (int64_t)net->V * a->G * a->H};
    const rows x = input(u, slice, l);
    to.x = (factor){offsets->D, x.row, x.x, to.tensor[WX]};
    if (!to.inputs) to.picked = &rows_of_Wx;
    a->cell->gradients(a, &to, some);
}

/* Stage: the gradients of a layer's parameters, and of its inputs, from dz. */
static void layer_gradients(const crew *c, int i, portion some) {
    const unrolled *u = c->u;
    const network *net = u->net;
    const layout *at = u->at;
    const layer *a = c->layers + i;
    const int slice = c->first + i, l = c->l, D = factor_size(net, l), row = l ? a->row : at->xrow;
    const int from = start_of(some, a->T * a->n), to = end_of(some, a->T * a->n);
    const real *dz = a->z + a->cell->dz * a->row;
    real *grads = slice_grads(u, slice);
    if (l == 0 && net->C && !some.index) label_gradients(u, a, slice, dz, grads);
    parameter_gradients(u, a, slice, l, grads, some);
    if (D) {
        multiply(1, to - from, D, at->G, a->H, dz + (ptrdiff_t)from * a->zrow, a->zrow, a->row,
                 u->work + at->Wx[l][1], rounded_of(a, some), a->dh + (ptrdiff_t)from * row, row,
                 0);
    }
    if (l == 0 && u->dx) {
        rows_out(a->T, a->n, net->D, a->dh, row, from, to, u->dx, first_row(net, slice));
    }
}

/* Stage, of whole slices: the gradients of the embedding from those with respect to its rows. */
static void embedding_gradients(const crew *c, int i, portion some) {
    const unrolled *u = c->u;
    const layer *a = c->layers + i;
    const int E = u->net->E, slice = c->first + i, start = first_row(u->net, slice);
    real *dW = slice_grads(u, slice) + u->net->embedding;
    (void)some;
    for (int r = 0; r < a->T * a->n; r++) {
        const int64_t id = u->in.inputs[r / a->n * u->net->N + start + r % a->n];
        add_scaled(E, 1, a->dh + (int64_t)r * u->at->xrow, dW + id * E);
    }
}

/* Gradients of all tensors but the head's, and of dx and dstate, where given, from dh. */
static void backward_layers(crew *c) {
    const unrolled *u = c->u;
    const cell *cell = u->at->cell;
    for (int l = u->net->L - 1; l >= 0; l--) {
        enter(c, l, 1);
        meet(c, FASTRNN_STATES, start_backward, row_parts(c));
        if (c->by_rows) meet(c, FASTRNN_BACKWARD, steps_backward, c->parts);
        for (c->t = u->in.T - 1; !c->by_rows && c->t >= 0; c->t--) {
            if (rows_end_here(c)) meet(c, FASTRNN_STATES, end_rows, 1);
            for (c->phase = 0; c->phase < MOST_PHASES && cell->backward[c->phase]; c->phase++) {
                meet(c, FASTRNN_BACKWARD, step_backward, c->parts);
            }
        }
        if (u->dstate) meet(c, FASTRNN_STATES, state_gradients, c->parts);
        meet(c, FASTRNN_GRADIENTS, layer_gradients, gradient_parts(c));
        if (l == 0 && u->net->E) meet(c, FASTRNN_GRADIENTS, embedding_gradients, 1);
    }
}

/* Stage: outputs, or losses with the gradients with respect to the scores. */
static void read_head(const crew *c, int i, portion some) {
    const unrolled *u = c->u;
    const network *net = u->net;
    const int slice = c->first + i, N = net->N, K = net->K, wide = u->at->wide;
    const int first = first_row(net, slice), n = first_row(net, slice + 1) - first;
    const int from = start_of(some, u->in.T * n), to = end_of(some, u->in.T * n);
    const real *bias = u->work + u->at->head_b;
    real *scores = head(u, slice, some);
    if (u->out) {
        for (int64_t r = from; r < to; r++) {
            for (int k = 0; k < K; k++) scores[r * wide + k] += bias[k];
        }
        rows_out(u->in.T, n, K, scores, wide, from, to, u->out, first);
    } else if (net->loss == FASTRNN_SQUARED_ERROR) {
        squared_error(&u->in, first, n, from, to, N, K, wide, bias, scores, u->losses);
    } else if (net->loss == FASTRNN_BINARY_CROSS_ENTROPY) {
        cross_entropy(1, &u->in, first, n, from, to, N, K, wide, bias, scores, u->losses, u->right);
    } else {
        cross_entropy(0, &u->in, first, n, from, to, N, K, wide, bias, scores, u->losses, u->right);
    }
}

/* Stage: the last layer's outputs, or the gradients with respect to them, as users have them. */
static void write_outputs(const crew *c, int i, portion some) {
    const unrolled *u = c->u;
    const layer *a = c->layers + i;
    const int slice = c->first + i, count = a->T * a->n;
    const rows out = output(u, slice, c->l);
    rows_out(a->T, a->n, a->H, out.x, out.row, start_of(some, count), end_of(some, count), u->out,
             first_row(u->net, slice));
}
static void read_gradients(const crew *c, int i, portion some) {
    const unrolled *u = c->u;
    const layer *a = c->layers + i;
    const int count = a->T * a->n;
    rows_in(&u->in, a->n, a->H, u->dout, first_row(u->net, c->first + i), start_of(some, count),
            end_of(some, count), a->dh, a->row);
}

/* All stages: through the unroll, or back through the last one from dout. */
static void go_through(crew *c) {
    const unrolled *u = c->u;
    if (u->dout) {
        enter(c, u->net->L - 1, 1);
        meet(c, FASTRNN_OUTPUTS, read_gradients, row_parts(c));
    } else {
        forward(c);
    }
    if (u->losses || (u->out && u->net->K)) meet(c, FASTRNN_HEAD, read_head, row_parts(c));
    else if (u->out) meet(c, FASTRNN_OUTPUTS, write_outputs, row_parts(c));
    if (!u->backward) return;
    if (!u->dout) meet(c, FASTRNN_HEAD_BACK, head_backward, gradient_parts(c));
    if (u->at->cell->is.trained) backward_layers(c);
}

/* Job: one of this rank's slices through all stages. */
static void unroll_slice(void *context, int i) {
    const network *net = ((const unrolled *)context)->net;
    layer mine;
    crew c = alone(context, first_slice(net, net->rank) + i, &mine);
    go_through(&c);
}

/* Each thread takes slices through all stages, or where there are more threads than slices, and
 * the work of a step is worth a meeting, they share each stage. */
static void unroll_slices(const unrolled *u) {
    layer layers[MOST_SHARED];
    crew c = {.u = u,
              .first = first_slice(u->net, u->net->rank),
              .slices = own_slices(u->net),
              .layers = layers,
              .parts = parts_of(u->net, threads_of(u))};
    c.by_rows = shared_by_rows(u->net, c.parts);
    if (c.parts > 1) go_through(&c);
    else share(u->net, FASTRNN_SLICES, u->team, unroll_slice, (void *)u, c.slices);
}

/* ---- the state ---- */

/* An array of states: x [T+1][n][row], of streams `first` on, `at` its place in their P numbers. */
typedef struct {
    real *x;
    int first, n, at;
} carried;

/* They are numbered: of each slice for each layer h, and c where there is one. */
static int carried_arrays(const unrolled *u) {
    return u->at->slices * u->net->L * u->at->cell->is.states;
}
static carried carried_array(const unrolled *u, int i) {
    const int states = u->at->cell->is.states, each = u->net->L * states, slice = i / each;
    const layer a = layer_of(u, slice, i % each / states);
    return (carried){i % states ? a.c : a.h, first_row(u->net, slice), a.n, i % each * a.H};
}

/* state [N][P] into the states before the first step; zeros where it is NULL. */
static void state_in(const unrolled *u, const real *state) {
    const int P = state_size(u->net), H = u->net->H, row = u->at->row;
    for (int i = 0; i < carried_arrays(u); i++) {
        const carried a = carried_array(u, i);
        if (state) copy_rows(a.n, H, state + (int64_t)a.first * P + a.at, P, a.x, row);
        else memset(a.x, 0, (size_t)a.n * row * sizeof(real));
    }
}

/* The states after t steps, or in a padded row after its last step, into state [N][P]. */
static void state_out(const unrolled *u, int t, real *state) {
    const int P = state_size(u->net);
    for (int i = 0; i < carried_arrays(u); i++) {
        const carried a = carried_array(u, i);
        for (int r = 0; r < a.n; r++) {
            const ptrdiff_t step = u->in.lengths ? (ptrdiff_t)u->in.lengths[a.first + r] : t;
            memcpy(state + (int64_t)(a.first + r) * P + a.at, a.x + (step * a.n + r) * u->at->row,
                   u->net->H * sizeof(real));
        }
    }
}

/* The states of a slice after the last step become those before the first. */
static void state_on(const unrolled *u, int slice) {
    const layout *at = u->at;
    const int n = first_row(u->net, slice + 1) - first_row(u->net, slice);
    const ptrdiff_t size = (ptrdiff_t)n * at->row, last = u->in.T * size;
    for (int l = 0; l < u->net->L; l++) {
        real *h = slice_of(u, slice) + at->h[l], *c = slice_of(u, slice) + at->c[l];
        memcpy(h, h + last, (size_t)size * sizeof(real));
        if (at->cell->is.states > 1) memcpy(c, c + last, (size_t)size * sizeof(real));
    }
}

/* ---- the calls of fastrnn.h ---- */

enum { SEVERAL = -1 };

/* The rank that has all slices from `from` to before `to`, or SEVERAL. */
static int rank_of(const network *net, int from, int to) {
    int rank = 0;
    while (first_slice(net, rank + 1) <= from) rank++;
    return to <= first_slice(net, rank + 1) ? rank : SEVERAL;
}

/* Adds n elements, from `start` on, of the other slices' gradients to the first's, in a binary tree:
 * (0 + 1) + (2 + 3) and so on, so that whoever has a subtree's slices adds them by himself. Only the
 * sums of a rank's own slices, or of those of several ranks. Of what is dropped the gradient is 0. */
static void add_slices(const unrolled *u, int64_t start, int64_t n, int rank) {
    for (int step = 1; step < u->at->slices; step *= 2) {
        for (int s = 0; s + step < u->at->slices; s += 2 * step) {
            if (rank_of(u->net, s, least(s + 2 * step, u->at->slices)) != rank) continue;
            add_scaled(n, 1, slice_grads(u, s + step) + start, slice_grads(u, s) + start);
        }
    }
    if (drops_weights(u)) mask_gradients(u, start, n);
}

/* Whether the first slice's gradients are those of the parameters. */
static int is_whole(const unrolled *u) { return u->at->slices == 1 && !drops_weights(u); }

/* Job: add the gradients of this rank's slices of a chunk. */
static void add_chunk(void *context, int i) {
    const unrolled *u = context;
    const int64_t start = (int64_t)i * FASTRNN_CHUNK, left = u->net->size - start;
    add_slices(u, start, left < FASTRNN_CHUNK ? left : FASTRNN_CHUNK, u->net->rank);
}

static void add_chunks(const unrolled *u) {
    const int count = (int)((u->net->size + FASTRNN_CHUNK - 1) / FASTRNN_CHUNK);
    if (!is_whole(u)) share(u->net, FASTRNN_ADD, u->team, add_chunk, (void *)u, count);
}

static void unroll(const network *net, fastrnn_team *team, const void *params, void *grads,
                   void *work, const fastrnn_batch *batch, void *state, double *losses,
                   uint8_t *right, void *out, const fastrnn_bits *bits) {
    const control before = flush_subnormals();
    const layout at = lay_out(net);
    const unrolled u = {.net = net,
                        .at = &at,
                        .team = team,
                        .params = params,
                        .grads = grads,
                        .work = work,
                        .in = *batch,
                        .backward = grads != NULL,
                        .losses = losses,
                        .right = right,
                        .out = out,
                        .bits = bits};
    if (!batch->same_weights) pack_weights(&u);
    state_in(&u, state);
    for (int s = 0; grads && s < at.slices; s++) {
        memset(slice_grads(&u, s), 0, (size_t)picked_size(net) * sizeof(real));
    }
    unroll_slices(&u);
    if (grads) add_chunks(&u);
    state_out(&u, batch->T, state);
    restore(before);
}

static void backward(const network *net, fastrnn_team *team, const void *params, void *work, int T,
                     const int64_t *lengths, const void *dout, void *dx, void *dstate,
                     void *grads) {
    const control before = flush_subnormals();
    const layout at = lay_out(net);
    const unrolled u = {.net = net,
                        .at = &at,
                        .team = team,
                        .params = params,
                        .grads = grads,
                        .work = work,
                        .in = {.T = T, .lengths = lengths},
                        .backward = 1,
                        .dout = dout,
                        .dx = dx,
                        .dstate = dstate};
    pack_weights(&u);
    unroll_slices(&u);
    add_chunks(&u);
    restore(before);
}
