/* workspace.h - the slices of a batch, the arrays of the workspace, the packing of the weights. */
#pragma once

#include "cells.h"
#include "fastrnn.h"
#include "losses.h"
#include "stages.h"

typedef fastrnn_network network;

/* ---- slices: streams that one thread takes through a whole unroll ---- */

/* With fewer streams in a slice more threads can work, and its numbers fit nearer caches; with more
 * the weights, which each step reads anew, serve more rows, which counts where they are large. An
 * even number serves two threads equally; products in bfloat16 are so fast that large weights had
 * better be divided among threads (parts), each of which then keeps its part in its own cache. */
static int slices(int N, int H) {
    const int most = MOST_STREAMS / (H > 256 ? 1 : 2), two = 2 * most;
    if (N < 8) return 1;
    return ROUNDED && H > 256 ? (N + most - 1) / most : 2 * ((N + two - 1) / two);
}
static int first_row(const network *net, int slice) {
    return (int)((int64_t)net->N * slice / slices(net->N, net->H));
}
static const cell *cell_of(const network *net) { return CELLS[net->cell]; }

/* The first slice of a rank, after the last rank their number. */
static int first_slice(const network *net, int rank) {
    const int ranks = net->ranks > 1 ? net->ranks : 1;
    return (int)(((int64_t)slices(net->N, net->H) * rank + ranks - 1) / ranks);
}
static int own_slices(const network *net) {
    return first_slice(net, net->rank + 1) - first_slice(net, net->rank);
}

/* Numbers of an input of the first layer; 0 where it picks a row of Wx. */
static int input_size(const network *net) { return net->D ? net->D : net->E; }
/* Numbers of an input of layer l that are multiplied; 0 where it picks a row of Wx. */
static int factor_size(const network *net, int l) {
    return l || input_size(net) ? net->layers[l].D : 0;
}
/* Numbers of the tensor whose rows the inputs pick, which comes first in a block. */
static int64_t picked_size(const network *net) {
    const cell *cell = cell_of(net);
    return cell->is.trained ? (int64_t)net->V * (net->E ? net->E : cell->is.gates * net->H) : 0;
}
/* Numbers of Wh. */
static int64_t Wh_size(const network *net) {
    return (int64_t)net->H * columns(cell_of(net), WH, net->H);
}
/* Numbers of state of one stream. */
static int state_size(const network *net) { return net->L * net->H * cell_of(net)->is.states; }

/* ---- parts: what several threads share of a slice ---- */

enum { MOST_SHARED = 16 };       /* slices whose stages threads share */
enum { MOST_PORTIONS = 16 };     /* of a stage of a slice */
enum { LEAST_ROWS = 8 };         /* of a portion of the rows of all time steps */
enum { NEAR_WEIGHTS = 1 << 18 }; /* numbers that a second-level cache holds */

static int can_share(const network *net) {
    return cell_of(net)->is.trained && net->packed && slices(net->N, net->H) <= MOST_SHARED;
}

/* Whether a step of the recurrence takes so long that two threads gain more than a meeting costs. */
static int worth_sharing(const network *net) {
    const int n = net->N / slices(net->N, net->H);
    const double weights = (double)cell_of(net)->is.gates * net->H * net->H;
    return weights * (n + 3) >= 500000;
}

/* Most portions of a stage that needs much scratch for each: no more than it has panels. */
static int gradient_portions(const network *net) {
    const int of_gate = (vectors(net->H) + PANEL - 1) / PANEL;
    const int of_layer = cell_of(net)->is.gates * of_gate;
    const int of_head = (vectors(net->K) + PANEL - 1) / PANEL;
    if (!can_share(net)) return 1;
    return least(MOST_PORTIONS / slices(net->N, net->H), of_layer > of_head ? of_layer : of_head);
}

/* Parts that each slice is cut in for so many threads, so that they all get as many. */
static int parts_of(const network *net, int threads) {
    const int count = own_slices(net);
    int parts = threads, other = count;
    if (threads <= count || !can_share(net) || !(net->cut_for || worth_sharing(net))) return 1;
    while (other) { /* the greatest common divisor */
        const int rest = parts % other;
        parts = other;
        other = rest;
    }
    return least(threads / parts, MOST_PORTIONS);
}

/* Whether these parts are streams, so that threads need not meet after each step. All read all
 * weights then: that costs less than the meetings where a product takes longer than the reading,
 * which it does in bfloat16 without AMX for many streams, and where the second-level cache holds the
 * weights for fewer. */
static int shared_by_rows(const network *net, int parts) {
    const int n = net->N / slices(net->N, net->H) / parts, H = net->H;
    const int near = packed_size(cell_of(net)->is.gates, 1, H, H) <= NEAR_WEIGHTS;
    return ROUNDED && MOST_ROWS < 16 && n >= (near ? LEAST_ROWS : 12);
}

static int useful_threads(const network *net, int threads) {
    const int cut_for = net->cut_for ? net->cut_for : threads;
    return least(threads, own_slices(net) * parts_of(net, cut_for));
}

/* ---- the layout: where each array starts, in elements ---- */

typedef struct {
    int row, wide, xrow; /* of H (spread_row()), and K and input_size rounded up to multiples
                          * of ROW_STEP */
    const cell *cell;
    int G, zrow;
    int b_row; /* G H rounded up, and a step more, which may be read */
    int slices;
    /* of each layer, packed, and packed transposed: Wx (D, G H), MOST_GATES at a time,
     * and the cell's packs */
    int64_t Wx[FASTRNN_MOST_LAYERS][2], W[FASTRNN_MOST_LAYERS][MOST_PACKS][2];
    int64_t Wh[FASTRNN_MOST_LAYERS];      /* with weight_drop: Wh times its mask */
    int64_t Wh_mask[FASTRNN_MOST_LAYERS]; /* of the same shape: 0 or 1 / (1 - weight_drop) */
    int64_t head_W[2];                    /* packed (H, K) and (K, H) */
    int64_t head_b;                       /* [wide]: NEVER from K on */
    int64_t first; /* where the first slice starts; each has, n being its streams: */
    int64_t x;     /* [T][n][xrow]: inputs, where they are numbers or embedded */
    int64_t h[FASTRNN_MOST_LAYERS], c[FASTRNN_MOST_LAYERS], z[FASTRNN_MOST_LAYERS]; /* cell.h */
    int64_t bias;                      /* [n][b_row]: the first layer's, where there are labels */
    int64_t mask[FASTRNN_MOST_LAYERS]; /* [T][n][row]: 0 or 1 / (1 - dropout) */
    int64_t dropped[FASTRNN_MOST_LAYERS]; /* [T][n][row]: the layer's output times the mask */
    int64_t dh;                           /* [T][n][row or xrow]: gradients of a layer's output */
    int64_t carry, states;                /* cell.h */
    int64_t scores;                       /* [T][n][wide]: output scores, then their gradients */
    int64_t scratch, scratch_each;        /* of gradient(), one for each portion */
    int64_t rounded, rounded_each;        /* of a walk, one for each portion: its rows */
    int64_t grads;                        /* a block; the first slice writes to the caller's */
    int64_t slice_size, size;
} layout;

/* Numbers from one row of H to the next. Rows a multiple of 1,024 bytes apart would share a few
 * places of the nearest cache, and gradient() reads some columns of many rows. */
static int spread_row(int H) {
    const int row = round_up(H, ROW_STEP);
    return row * REAL_BYTES % 1024 ? row : row + ROW_STEP;
}

static layout lay_out(const network *net) {
    const cell *cell = cell_of(net);
    layout at = {.cell = cell,
                 .G = cell->is.gates,
                 .slices = slices(net->N, net->H),
                 .row = spread_row(net->H),
                 .wide = round_up(net->K, ROW_STEP),
                 .xrow = round_up(input_size(net), ROW_STEP)};
    at.zrow = cell->slots * at.row;
    at.b_row = net->C ? round_up(at.G * net->H, ROW_STEP) + ROW_STEP : 0;

    int64_t end = 0;
#define PLACE(name, count) (at.name = end, end += round_up64(count, ROW_STEP))
    for (int l = 0; l < net->L; l++) {
        const int D = factor_size(net, l);
        PLACE(Wx[l][0], packed_size(at.G, 1, D, net->H));
        PLACE(Wx[l][1], cell->is.trained ? packed_size(1, at.G, net->H, D) : 0);
        for (int i = 0; i < MOST_PACKS; i++) {
            const int count = cell->packs[i].count;
            PLACE(W[l][i][0], packed_size(count, 1, net->H, net->H));
            PLACE(W[l][i][1], packed_size(1, count, net->H, net->H));
        }
        PLACE(Wh[l], net->weight_drop ? Wh_size(net) : 0);
        PLACE(Wh_mask[l], net->weight_drop ? Wh_size(net) : 0);
    }
    PLACE(head_W[0], packed_size(1, 1, net->H, net->K));
    PLACE(head_W[1], packed_size(1, 1, net->K, net->H));
    PLACE(head_b, at.wide);
    at.first = end;

    end = 0;
    const int64_t n = (net->N + at.slices - 1) / at.slices, Tn = net->T * n;
    PLACE(x, Tn * at.xrow);
    PLACE(bias, n * at.b_row);
    for (int l = 0; l < net->L; l++) {
        PLACE(h[l], (Tn + n) * at.row);
        PLACE(c[l], cell->is.states > 1 ? (Tn + n) * at.row : 0);
        PLACE(z[l], Tn * at.zrow);
        PLACE(mask[l], net->dropout ? Tn * at.row : 0);
        PLACE(dropped[l], net->dropout ? Tn * at.row : 0);
    }
    PLACE(dh, Tn * (at.row > at.xrow ? at.row : at.xrow));
    PLACE(carry, n * at.row);
    PLACE(states, net->reservoir ? 2 * n * state_row(net->H) : 0);
    PLACE(scores, Tn * at.wide);
    const int D = factor_size(net, 0), wider = net->L > 1 && D < net->H ? net->H : D;
    at.scratch_each = round_up64(gradient_size(Tn, net->H + wider), ROW_STEP);
    PLACE(scratch, gradient_portions(net) * at.scratch_each);
    const int64_t recurrent = rounded_size(ROUNDED_ROWS, at.G, net->H);
    const int64_t others = rounded_size(ROUNDED_ROWS, 1, wider > net->K ? wider : net->K);
    at.rounded_each = round_up64(recurrent > others ? recurrent : others, ROW_STEP);
    PLACE(rounded, (can_share(net) ? MOST_PORTIONS : 1) * at.rounded_each);
    PLACE(grads, at.slices > 1 ? net->size : 0);
    at.slice_size = end;
    at.size = at.first + at.slices * end;
    return at;
}

static int64_t workspace_size(const network *net) { return lay_out(net).size; }

/* One unroll: what its jobs read and write. */
typedef struct {
    const network *net;
    const layout *at;
    fastrnn_team *team;
    const real *params;
    real *grads, *work;
    fastrnn_batch in;
    int backward;
    double *losses;           /* [T][N] */
    uint8_t *right;           /* [T][N] or NULL */
    const fastrnn_bits *bits; /* NULL: nothing is dropped */
    real *out;                /* [N][T][K], without a head [N][T][H], or NULL */
    const real *dout;         /* in place of a head: [N][T][H] */
    real *dx, *dstate;        /* [N][T][D], [N][P] */
} unrolled;

/* Where the gradients of a slice but the first are in the workspace, in elements. */
static int64_t gradients_at(const network *net, int slice) {
    const layout at = lay_out(net);
    return at.first + slice * at.slice_size + at.grads;
}

static int drops_outputs(const unrolled *u) { return u->bits && u->net->dropout; }
static int drops_weights(const unrolled *u) { return u->bits && u->net->weight_drop; }

/* Wh of a layer, as the recurrence multiplies by it. */
static const real *recurrent_weights(const unrolled *u, int l) {
    return drops_weights(u) ? u->work + u->at->Wh[l] : u->params + u->net->layers[l].tensors[WH];
}

/* Threads that work is cut for; not what is computed. */
static int threads_of(const unrolled *u) {
    return u->net->cut_for ? u->net->cut_for : workers(u->team);
}

/* Where a slice's arrays start, and its block of gradients. */
static real *slice_of(const unrolled *u, int slice) {
    return u->work + u->at->first + slice * u->at->slice_size;
}
static real *slice_grads(const unrolled *u, int slice) {
    return slice ? slice_of(u, slice) + u->at->grads : u->grads;
}

/* Layer l at work on a slice, T steps. */
static layer layer_of(const unrolled *u, int slice, int l) {
    const network *net = u->net;
    const layout *at = u->at;
    const int first = first_row(net, slice);
    real *mine = slice_of(u, slice);
    layer a = {.cell = at->cell,
               .T = u->in.T,
               .n = first_row(net, slice + 1) - first,
               .N = net->N,
               .H = net->H,
               .G = at->G,
               .row = at->row,
               .zrow = at->zrow,
               .packed = net->packed,
               .reservoir = net->reservoir,
               .h = mine + at->h[l],
               .c = mine + at->c[l],
               .z = mine + at->z[l],
               .dh = mine + at->dh,
               .carry = mine + at->carry,
               .states = mine + at->states,
               .scratch = mine + at->scratch,
               .scratch_each = at->scratch_each,
               .rounded = mine + at->rounded,
               .rounded_each = at->rounded_each,
               .gemm = net->gemm};
    /* plain BLAS adds to z, so that there read_inputs() copies the rows into it */
    a.ids = l || input_size(net) || !net->packed ? NULL : u->in.inputs + first;
    a.x_step = a.ids ? a.H : a.row;
    for (int i = 0; i < FASTRNN_MOST_TENSORS; i++) {
        a.tensor[i] = u->params + net->layers[l].tensors[i];
    }
    a.tensor[WH] = recurrent_weights(u, l);
    if (a.reservoir) a.tensor[WX] = a.reservoir->Win;
    a.b = net->C && l == 0 ? mine + at->bias : a.tensor[B];
    a.b_row = l == 0 ? at->b_row : 0;
    for (int i = 0; i < MOST_PACKS; i++) {
        a.W[i] = u->work + at->W[l][i][0];
        a.WT[i] = u->work + at->W[l][i][1];
    }
    return a;
}

/* Rows of numbers, [T][n][row]. */
typedef struct {
    real *x;
    int row;
} rows;

/* The output of layer l before dropout: h, or slot 0 of z. */
static rows output(const unrolled *u, int slice, int l) {
    const layout *at = u->at;
    const int n = first_row(u->net, slice + 1) - first_row(u->net, slice);
    real *mine = slice_of(u, slice);
    if (!at->cell->is.state_is_output) return (rows){mine + at->z[l], at->zrow};
    return (rows){mine + at->h[l] + (ptrdiff_t)n * at->row, at->row};
}

/* The inputs of layer l; of the first one where they are numbers or embedded. */
static rows input(const unrolled *u, int slice, int l) {
    real *mine = slice_of(u, slice);
    if (l == 0) return (rows){mine + u->at->x, u->at->xrow};
    if (drops_outputs(u)) return (rows){mine + u->at->dropped[l - 1], u->at->row};
    return output(u, slice, l - 1);
}

/* ---- what is dropped ---- */

/* mask [n] = 0 with a probability of limit / 65536, else 1 / (1 - that): a number of the source
 * serves four, 16 bits each, lowest first. */
static void draw_mask(const fastrnn_bits *bits, int limit, int n, real *mask) {
    enum { MOST = 256 };
    const real scale = (real)(65536.0 / (65536 - limit));
    for (int count; n > 0; n -= count, mask += count) {
        uint16_t drawn[MOST];
        count = least(MOST, n);
        for (int i = 0; i < count; i += 4) {
            const uint64_t numbers = bits->next(bits->state);
            for (int k = 0; k < 4; k++) drawn[i + k] = (uint16_t)(numbers >> 16 * k);
        }
        for (int i = 0; i < count; i++) mask[i] = drawn[i] < limit ? 0 : scale;
    }
}

/* Job: a slice's source draws the masks of a part of the rows of each Wh. */
static void drop_weights(void *context, int slice) {
    const unrolled *u = context;
    const network *net = u->net;
    const portion some = {slice, u->at->slices};
    const int width = columns(u->at->cell, WH, net->H);
    const int rows = end_of(some, net->H) - start_of(some, net->H);
    const int64_t start = (int64_t)start_of(some, net->H) * width, n = (int64_t)rows * width;
    for (int l = 0; l < net->L; l++) {
        const real *Wh = u->params + net->layers[l].tensors[WH] + start;
        real *mask = u->work + u->at->Wh_mask[l] + start, *dropped = u->work + u->at->Wh[l] + start;
        draw_mask(u->bits + slice, net->weight_drop, (int)n, mask);
        for (int64_t j = 0; j < n; j++) dropped[j] = Wh[j] * mask[j];
    }
}

/* Gradients with respect to Wh from those with respect to Wh times its mask, of the n elements of
 * a block from `start` on. */
static void mask_gradients(const unrolled *u, int64_t start, int64_t n) {
    for (int l = 0; l < u->net->L; l++) {
        const int64_t first = u->net->layers[l].tensors[WH], end = first + Wh_size(u->net);
        const real *mask = u->work + u->at->Wh_mask[l];
        for (int64_t j = start > first ? start : first; j < start + n && j < end; j++) {
            u->grads[j] *= mask[j - first];
        }
    }
}

/* ---- packing the weights ---- */

enum { PACKED_AT_ONCE = 1 << 16 };      /* numbers that are not worth more jobs */
enum { PACKED = 2 * (1 + MOST_PACKS) }; /* matrices of each layer; the head has two more */

/* A portion of W (K, G M), whose rows are ldw apart, to the workspace for `rows` rows, or where `back` its
 * transpose, which only the backward pass needs. */
static void pack_matrix(const unrolled *u, int back, int rows, int G, int K, int M, const real *W,
                        int ldw, int64_t to, portion some) {
    if (!back) pack(G, rows, K, M, W, ldw, u->work + to, some);
    else if (u->backward) pack_transposed(rows, G, M, K, W, ldw, u->work + to, some);
}

typedef struct {
    const unrolled *u;
    int parts;
} packing;

/* Job: pack one of the parts of a matrix. */
static void pack_one(void *context, int job) {
    const packing *all = context;
    const unrolled *u = all->u;
    const int index = job / all->parts;
    const portion some = {job % all->parts, all->parts};
    const network *net = u->net;
    const layout *at = u->at;
    const int K = net->K, H = net->H, G = at->G, back = index % 2;
    /* a product over all time steps at once has T n rows, and one for each step n: one row alone
     * only where T or N is 1 */
    const int rows = u->in.T * net->N;
    if (index >= net->L * PACKED) {
        if (K)
            pack_matrix(u, back, rows, 1, H, K, u->params + net->head_W, K, at->head_W[back], some);
        return;
    }
    const int l = index / PACKED, which = index % PACKED / 2 - 1, D = factor_size(net, l);
    const int *tensors = net->layers[l].tensors;
    if (which < 0) {
        const real *Wx = net->reservoir ? net->reservoir->Win : u->params + tensors[WX];
        if (D && back && at->cell->is.trained) {
            pack_matrix(u, 1, rows, G, D, H, Wx, G * H, at->Wx[l][1], some);
        }
        for (int g = 0; D && !back && g < G; g += MOST_GATES) {
            const int64_t to = at->Wx[l][0] + packed_size(g, 1, D, H);
            pack_matrix(u, 0, rows, least(MOST_GATES, G - g), D, H, Wx + g * H, G * H, to, some);
        }
        return;
    }
    const pack_of p = at->cell->packs[which];
    if (p.count && net->packed) {
        const real *W = p.tensor == WH ? recurrent_weights(u, l) : u->params + tensors[p.tensor];
        pack_matrix(u, back, net->N, p.count, H, H, W + p.first * H, columns(at->cell, p.tensor, H),
                    at->W[l][which][back], some);
    }
}

static void pack_weights(const unrolled *u) {
    const network *net = u->net;
    packing p = {u, net->size < PACKED_AT_ONCE ? 1 : threads_of(u)};
    if (drops_weights(u)) share(net, FASTRNN_PACK, u->team, drop_weights, (void *)u, u->at->slices);
    share(net, FASTRNN_PACK, u->team, pack_one, &p, (net->L * PACKED + 2) * p.parts);
    for (int k = 0; k < u->at->wide; k++) {
        u->work[u->at->head_b + k] = k < net->K ? u->params[net->head_b + k] : NEVER;
    }
}
