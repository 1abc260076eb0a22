/* unroll.h - inputs, recurrent layers, a linear head and its loss, T steps forward and back. */
#pragma once

#include "losses.h"
#include "workspace.h"

/* ---- forward ---- */

/* C [rows][c_row], G gates c_step apart and M wide each, = `count` slots A [rows][a_row], a_step
 * apart and K wide, times a packed (count K, G M) matrix. */
static void multiply(int G, int rows, int M, int count, int K, const real *A, int a_row, int a_step,
                     const real *packed, real *rounded, real *C, int c_row, int c_step) {
    const int block = ROUNDED ? ROUNDED_ROWS : rows;
    group sum;
    for (int first = 0; first < rows; first += block, A += (ptrdiff_t)block * a_row,
                                      C += (ptrdiff_t)block * c_row) {
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

/* dropped [T][n][row] = the layer's output o mask; a unit's mask takes 16 bits, so that a number of
 * the source serves four, lowest bits first. */
static void drop_out(const layer *a, rows out, const fastrnn_bits *bits, int limit, real *mask,
                     real *dropped) {
    const real *x = out.x, scale = (real)(65536.0 / (65536 - limit));
    uint64_t numbers = 0;
    int left = 0;
    for (int i = 0; i < a->T * a->n; i++, x += out.row, mask += a->row, dropped += a->row) {
        for (int j = 0; j < a->H; j++, left--, numbers >>= 16) {
            if (!left) {
                numbers = bits->next(bits->state);
                left = 4;
            }
            mask[j] = (int)(numbers & 0xffff) < limit ? 0 : scale;
        }
        for (int j = 0; j < a->row; j += LANES) store(dropped + j, load(x + j) * load(mask + j));
    }
}

/* rows [T][n][row] = a batch's numbers, `width` a step, of streams `start` on; 0 in padding. */
static void rows_in(const fastrnn_batch *b, int n, int width, const real *all, int start,
                    real *rows, int row) {
    for (int i = 0; i < b->T * n; i++, rows += row) {
        const int64_t at = step_of(b, start + i % n, i / n);
        if (at < 0) memset(rows, 0, (size_t)width * sizeof(real));
        else memcpy(rows, all + at * width, (size_t)width * sizeof(real));
    }
}
/* Streams `start` on of all [N][T][width] = rows [T][n][row]. */
static void rows_out(int T, int n, int width, const real *rows, int row, real *all, int start) {
    for (int i = 0; i < T * n; i++, rows += row) {
        const int64_t at = (int64_t)(start + i % n) * T + i / n;
        memcpy(all + at * width, rows, (size_t)width * sizeof(real));
    }
}
static void copy_rows(int rows, int width, const real *from, int from_row, real *to, int to_row) {
    for (int i = 0; i < rows; i++, from += from_row, to += to_row) {
        memcpy(to, from, (size_t)width * sizeof(real));
    }
}

/* The first layer's inputs of a slice: rows of numbers, of the embedding, or, where the cell does
 * not pick them itself, of Wx into z. */
static void read_inputs(const unrolled *u, const layer *a, int slice) {
    const network *net = u->net;
    const int H = net->H, E = net->E, G = a->G, start = first_row(net, slice);
    real *x = slice_of(u, slice) + u->at->x;
    if (net->D) {
        rows_in(&u->in, a->n, net->D, u->in.x, start, x, u->at->xrow);
        return;
    }
    for (int i = 0; !a->ids && i < a->T * a->n; i++) {
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
static void blank_padding(const unrolled *u, const layer *a, int slice) {
    const int64_t *lengths = u->in.lengths + first_row(u->net, slice);
    for (int i = 0; i < a->T * a->n; i++) {
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

/* States of all T steps of a slice from those in slots 0. */
static void forward(const unrolled *u, int slice) {
    const network *net = u->net;
    const layout *at = u->at;
    real *mine = slice_of(u, slice);
    for (int l = 0; l < net->L; l++) {
        const layer a = layer_of(u, slice, l);
        if (l == 0) read_inputs(u, &a, slice);
        if (l == 0 && net->C) label_biases(u, slice);
        if (factor_size(net, l)) {
            const rows x = input(u, slice, l);
            multiply(at->G, a.T * a.n, net->H, 1, net->layers[l].D, x.x, x.row, 0,
                     u->work + at->Wx[l][0], a.rounded, a.z, a.zrow, a.row);
        }
        a.cell->forward(&a);
        if (u->in.lengths && !a.cell->is.bounded) blank_padding(u, &a, slice);
        if (u->bits) {
            drop_out(&a, output(u, slice, l), u->bits + slice, net->dropout, mine + at->mask[l],
                     mine + at->dropped[l]);
        }
    }
}

/* Output scores [T][n][wide] of a slice, without the bias. */
static real *head(const unrolled *u, int slice) {
    const network *net = u->net;
    const int n = first_row(net, slice + 1) - first_row(net, slice);
    real *scores = slice_of(u, slice) + u->at->scores;
    const rows x = input(u, slice, net->L);
    multiply(1, u->in.T * n, net->K, 1, net->H, x.x, x.row, 0, u->work + u->at->head_W[0],
             slice_of(u, slice) + u->at->rounded, scores, u->at->wide, 0);
    return scores;
}

/* ---- backward ---- */

/* The head's gradients, from those with respect to its scores, and dh. */
static void head_backward(const unrolled *u, int slice, real *grads) {
    const network *net = u->net;
    const layout *at = u->at;
    const int K = net->K, H = net->H;
    const real *scores = slice_of(u, slice) + at->scores;
    const layer top = layer_of(u, slice, net->L - 1);
    const int count = top.T * top.n, tiled = net->packed && count >= ROWS_THAT_PAY;
    const rows x = input(u, slice, net->L);
    const factor in = {H, x.row, x.x, grads + net->head_W};
    gradient(count, K, 1, scores, at->wide, 0, 0, &in, tiled, K, grads + net->head_b, NULL,
             top.scratch);
    if (!tiled) net->gemm(1, 0, H, K, count, in.x, in.row, scores, at->wide, 0, in.C, K);
    if (at->cell->is.trained) {
        multiply(1, count, H, 1, K, scores, at->wide, 0, u->work + at->head_W[1], top.rounded,
                 top.dh, top.row, 0);
    }
}

/* Back through the steps of a layer: z becomes dz, and in dstate [.][P], where given, the gradients
 * with respect to the last state (the layer's begin at `at`) become those of the first. */
static void steps_backward(const unrolled *u, const layer *a, int at, real *dstate) {
    const int n = a->n, H = a->H, P = state_size(u->net), states = a->cell->is.states;
    const int own = a->cell->is.state_is_output;     /* the first state that is not the output */
    memset(a->carry, 0, (size_t)n * a->row * sizeof(real));
    if (dstate && own < states) copy_rows(n, H, dstate + at + own * H, P, a->carry, a->row);
    a->cell->backward(a);
    if (!dstate) return;
    if (states > 1) copy_rows(n, H, a->carry, a->row, dstate + at + H, P);
    a->cell->start_gradient(a, a->dh);               /* whose contents were used */
    copy_rows(n, H, a->dh, a->row, dstate + at, P);
}

/* The gradients of a layer's parameters from dz. */
static void parameter_gradients(const unrolled *u, const layer *a, int slice, int l, real *grads) {
    const network *net = u->net;
    const fastrnn_layer *offsets = net->layers + l;
    gradients_of to = {.inputs = factor_size(net, l) > 0};
    for (int i = 0; i < FASTRNN_MOST_TENSORS; i++) to.tensor[i] = grads + offsets->tensors[i];
    const picks rows_of_Wx = {u->in.inputs + first_row(net, slice), a->n, net->N,
                              (int64_t)net->V * a->G * a->H, to.tensor[WX]};
    const rows x = input(u, slice, l);
    to.x = (factor){offsets->D, x.row, x.x, to.tensor[WX]};
    if (!to.inputs) to.picked = &rows_of_Wx;
    a->cell->gradients(a, &to);
}

/* The gradients of the embedding from those with respect to its rows, x [T][n][xrow]. */
static void embedding_gradients(const unrolled *u, const layer *a, int slice, const real *x,
                                real *grads) {
    const int E = u->net->E, start = first_row(u->net, slice);
    for (int i = 0; i < a->T * a->n; i++) {
        const int64_t id = u->in.inputs[i / a->n * u->net->N + start + i % a->n];
        add_scaled(E, 1, x + (int64_t)i * u->at->xrow, grads + u->net->embedding + id * E);
    }
}

/* Gradients of all tensors but the head's, and of dx and dstate, where given, from dh. */
static void layers_backward(const unrolled *u, int slice, real *grads) {
    const network *net = u->net;
    const layout *at = u->at;
    const int H = net->H, states = at->cell->is.states, start = first_row(net, slice);
    real *dstate = u->dstate ? u->dstate + (int64_t)start * state_size(net) : NULL;
    for (int l = net->L - 1; l >= 0; l--) {
        const layer a = layer_of(u, slice, l);
        const real *dz = a.z + a.cell->dz * a.row, *mask = slice_of(u, slice) + at->mask[l];
        const int rows = a.T * a.n, D = factor_size(net, l);
        for (int64_t i = 0; u->bits && i < (int64_t)rows * a.row; i += LANES) {
            store(a.dh + i, load(a.dh + i) * load(mask + i));
        }
        steps_backward(u, &a, l * states * H, dstate);
        if (l == 0 && net->C) label_gradients(u, &a, slice, dz, grads);
        parameter_gradients(u, &a, slice, l, grads);
        if (D) {
            multiply(1, rows, D, at->G, H, dz, a.zrow, a.row, u->work + at->Wx[l][1], a.rounded,
                     a.dh, l ? a.row : at->xrow, 0);
        }
        if (l == 0 && u->dx) rows_out(a.T, a.n, net->D, a.dh, at->xrow, u->dx, start);
        if (l == 0 && net->E) embedding_gradients(u, &a, slice, a.dh, grads);
    }
}

/* Outputs, or losses with the gradients with respect to the scores, of a slice. */
static void read_head(const unrolled *u, int slice) {
    const network *net = u->net;
    const int first = first_row(net, slice), n = first_row(net, slice + 1) - first;
    const real *bias = u->work + u->at->head_b;
    real *scores = head(u, slice);
    if (u->out) {
        for (int64_t i = 0; i < (int64_t)u->in.T * n; i++) {
            for (int k = 0; k < net->K; k++) scores[i * u->at->wide + k] += bias[k];
        }
        rows_out(u->in.T, n, net->K, scores, u->at->wide, u->out, first);
    } else if (net->loss == FASTRNN_SQUARED_ERROR) {
        squared_error(&u->in, first, n, net->N, net->K, u->at->wide, bias, scores, u->losses);
    } else if (net->loss == FASTRNN_BINARY_CROSS_ENTROPY) {
        cross_entropy(1, &u->in, first, n, net->N, net->K, u->at->wide, bias, scores, u->losses,
                      u->right);
    } else {
        cross_entropy(0, &u->in, first, n, net->N, net->K, u->at->wide, bias, scores, u->losses,
                      u->right);
    }
}

/* Job: one slice through the unroll, or back through the last one from dout. */
static void unroll_slice(void *context, int slice) {
    const unrolled *u = context;
    const layer top = layer_of(u, slice, u->net->L - 1);
    const rows out = output(u, slice, u->net->L - 1);
    const int first = first_row(u->net, slice);
    real *grads = slice_grads(u, slice);
    if (u->dout) rows_in(&u->in, top.n, top.H, u->dout, first, top.dh, top.row);
    else forward(u, slice);
    if (u->losses || (u->out && u->net->K)) read_head(u, slice);
    else if (u->out) rows_out(top.T, top.n, top.H, out.x, out.row, u->out, first);
    if (u->backward) {
        if (!u->dout) head_backward(u, slice, grads);
        if (top.cell->is.trained) layers_backward(u, slice, grads);
    }
}

/* ---- the state ---- */

/* An array of states: x [T+1][n][row], of streams `first` on, `at` its place in their P numbers. */
typedef struct { real *x; int first, n, at; } carried;

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

/* Adds n elements, from `start` on, of the other slices' gradients to the first's, in a binary tree:
 * (0 + 1) + (2 + 3) and so on, so that whoever has a subtree's slices adds them by himself. */
static void add_slices(const unrolled *u, int64_t start, int64_t n) {
    for (int step = 1; step < u->at->slices; step *= 2) {
        for (int s = 0; s + step < u->at->slices; s += 2 * step) {
            add_scaled(n, 1, slice_grads(u, s + step) + start, slice_grads(u, s) + start);
        }
    }
}

/* Job: add the slices' gradients of a chunk. */
static void add_chunk(void *context, int i) {
    const unrolled *u = context;
    const int64_t start = (int64_t)i * FASTRNN_CHUNK, left = u->net->size - start;
    add_slices(u, start, left < FASTRNN_CHUNK ? left : FASTRNN_CHUNK);
}

static void add_chunks(const unrolled *u) {
    const int count = (int)((u->net->size + FASTRNN_CHUNK - 1) / FASTRNN_CHUNK);
    if (u->at->slices > 1) share_out(u->team, add_chunk, (void *)u, count);
}

static void unroll(const network *net, fastrnn_team *team, const void *params, void *grads,
                   void *work, const fastrnn_batch *batch, void *state, double *losses,
                   uint8_t *right, void *out, const fastrnn_bits *bits) {
    const control before = flush_subnormals();
    const layout at = lay_out(net);
    const unrolled u = {.net = net, .at = &at, .team = team, .params = params, .grads = grads,
                        .work = work, .in = *batch, .backward = grads != NULL, .losses = losses,
                        .right = right, .out = out, .bits = net->dropout ? bits : NULL};
    pack_weights(&u);
    state_in(&u, state);
    for (int s = 0; grads && s < at.slices; s++) {
        memset(slice_grads(&u, s), 0, (size_t)picked_size(net) * sizeof(real));
    }
    share_out(team, unroll_slice, (void *)&u, at.slices);
    if (grads) add_chunks(&u);
    state_out(&u, batch->T, state);
    dismiss(team);
    restore(before);
}

static void backward(const network *net, fastrnn_team *team, const void *params, void *work, int T,
                     const void *dout, void *dx, void *dstate, void *grads) {
    const control before = flush_subnormals();
    const layout at = lay_out(net);
    const unrolled u = {.net = net, .at = &at, .team = team, .params = params, .grads = grads,
                        .work = work, .in = {.T = T}, .backward = 1, .dout = dout, .dx = dx,
                        .dstate = dstate};
    pack_weights(&u);
    share_out(team, unroll_slice, (void *)&u, at.slices);
    add_chunks(&u);
    dismiss(team);
    restore(before);
}
