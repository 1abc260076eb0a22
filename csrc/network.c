/* network.c - inputs that are one-hot, embedded or numbers, recurrent layers, a linear head and its
 * loss: the unroll, the training loop and the sampling loop. setup.py compiles it once for each
 * precision and instruction set. */
#include <float.h>

#include "cells.h"
#include "fastrnn.h"
#include "losses.h"
#include "optimizer.h"
#include "real.h"
#include "reservoir.h"
#include "team.h"
#include "tile.h"
#include "vecmath.h"

typedef fastrnn_network network;
typedef fastrnn_training training;

/* ---- slices: streams that one thread takes through a whole unroll ---- */

/* Fewer streams in a slice: more threads can work, and a slice's numbers stay nearer; more: the
 * weights, which each step reads anew, serve more rows, which counts where they are large. */
#define SLICE_ROWS(H) ((H) > 256 ? MOST_STREAMS : MOST_STREAMS / 2)

static int slices(int N, int H) {
    const int two = 2 * SLICE_ROWS(H);           /* an even number serves two threads equally */
    return N < 8 ? 1 : 2 * ((N + two - 1) / two);
}
/* Numbers of an input of the first layer; 0 where it picks a row of Wx. */
static int input_size(const network *net) { return net->D ? net->D : net->E; }

static int first_row(const network *net, int slice) {
    return (int)((int64_t)net->N * slice / slices(net->N, net->H));
}

/* Numbers of the tensor whose rows the inputs pick, which comes first in a block. */
static int64_t picked_size(const network *net) {
    const int G = gates(net->cell);
    return net->reservoir ? 0 : (int64_t)net->V * (net->E ? net->E : G * net->H);
}

/* Numbers of state of one stream. */
static int state_size(const network *net) {
    return net->L * net->H * (net->cell == FASTRNN_LSTM ? 2 : 1);
}

/* ---- the workspace ---- */

typedef struct {
    int row, wide, xrow;         /* H, K and input_size rounded up to multiples of ROW_STEP */
    int cell;                    /* with FASTRNN_GRU_BEFORE told apart */
    int G, zrow;
    int b_row;                   /* G H rounded up, and a step more for what is read behind it */
    int slices;
    /* of each layer, packed: (D, G H), (H, G H), a GRU's (H, H) or the memory's Wm, transposes */
    int64_t Wx[FASTRNN_MOST_LAYERS], WxT[FASTRNN_MOST_LAYERS], Wh[FASTRNN_MOST_LAYERS];
    int64_t WhT[FASTRNN_MOST_LAYERS], Wn[FASTRNN_MOST_LAYERS], WnT[FASTRNN_MOST_LAYERS];
    int64_t head_W, head_WT;     /* packed (H, K) and (K, H) */
    int64_t head_b;              /* [wide]: NEVER behind K */
    int64_t sorted;              /* [wide] */
    int64_t first;               /* where the first slice starts; each has, n being its streams: */
    int64_t x;                   /* [T][n][xrow]: inputs, where they are numbers or embedded */
    int64_t h[FASTRNN_MOST_LAYERS], c[FASTRNN_MOST_LAYERS], z[FASTRNN_MOST_LAYERS];   /* cells.h */
    int64_t bias;                /* [n][b_row]: the first layer's, where there are labels */
    int64_t mask[FASTRNN_MOST_LAYERS];       /* [T][n][row]: 0 or 1 / keep */
    int64_t dropped[FASTRNN_MOST_LAYERS];    /* [T][n][row]: what the layer hands on */
    int64_t dh;                  /* [T][n][row or xrow]: gradients by what a layer hands on */
    int64_t carry;               /* [n][row] */
    int64_t states;              /* cells.h */
    int64_t scores;              /* [T][n][wide]: output scores, then their gradients */
    int64_t scratch;             /* a panel of gradient() */
    int64_t grads;               /* a block; the first slice writes to the caller's */
    int64_t slice_size, size;
} layout;

static layout lay_out(const network *net) {
    layout at = {0};
    at.row = round_up(net->H, ROW_STEP);
    at.wide = round_up(net->K, ROW_STEP);
    at.xrow = round_up(input_size(net), ROW_STEP);
    at.cell = net->cell == FASTRNN_GRU && net->layers[0].bhn < 0 ? FASTRNN_GRU_BEFORE : net->cell;
    at.G = gates(at.cell);
    at.zrow = slots(at.cell) * at.row;
    at.b_row = net->C ? round_up(at.G * net->H, ROW_STEP) + ROW_STEP : 0;
    at.slices = slices(net->N, net->H);

    int64_t end = 0;
#define PLACE(name, count) (at.name = end, end += round_up64(count, ROW_STEP))
    const int before = at.cell == FASTRNN_GRU_BEFORE, two = before || at.cell == FASTRNN_MEMORY;
    for (int l = 0; l < net->L; l++) {
        const int D = l || input_size(net) ? net->layers[l].D : 0;
        PLACE(Wx[l], packed_size(at.G, D, net->H));
        if (net->reservoir) continue;
        PLACE(WxT[l], packed_size(1, at.G * net->H, D));
        PLACE(Wh[l], packed_size(at.G - before, net->H, net->H));
        PLACE(WhT[l], packed_size(1, (at.G - before) * net->H, net->H));
        PLACE(Wn[l], two ? packed_size(1, net->H, net->H) : 0);
        PLACE(WnT[l], two ? packed_size(1, net->H, net->H) : 0);
    }
    PLACE(head_W, packed_size(1, net->H, net->K));
    PLACE(head_WT, packed_size(1, net->K, net->H));
    PLACE(head_b, at.wide);
    PLACE(sorted, at.wide);
    at.first = end;

    end = 0;
    const int64_t n = (net->N + at.slices - 1) / at.slices, Tn = net->T * n;
    PLACE(x, Tn * at.xrow);
    PLACE(bias, n * at.b_row);
    for (int l = 0; l < net->L; l++) {
        PLACE(h[l], (Tn + n) * at.row);
        PLACE(c[l], at.cell == FASTRNN_LSTM ? (Tn + n) * at.row : 0);
        PLACE(z[l], Tn * at.zrow);
        PLACE(mask[l], net->dropout ? Tn * at.row : 0);
        PLACE(dropped[l], net->dropout ? Tn * at.row : 0);
    }
    PLACE(dh, Tn * (at.row > at.xrow ? at.row : at.xrow));
    PLACE(carry, n * at.row);
    PLACE(states, net->reservoir ? 2 * n * state_row(net->H) : 0);
    PLACE(scores, Tn * at.wide);
    PLACE(scratch, Tn * PANEL * LANES);
    PLACE(grads, at.slices > 1 ? net->size : 0);
#undef PLACE
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
    double *losses;                    /* [T][N] */
    uint8_t *right;                    /* [T][N] or NULL */
    const fastrnn_bits *bits;
    real *out;                         /* [N][T][K], without a head [N][T][H], or NULL */
    const real *dout;                  /* in place of a head: [N][T][H] */
    real *dx, *dstate;                 /* [N][T][D], [N][P] */
} unrolled;

/* ---- packing the weights ---- */

enum { PACKS = 6 };              /* of each layer; the head has two more */

/* Job: lay out one matrix; the transposes serve the backward pass only. */
static void pack_one(void *context, int index) {
    const unrolled *u = context;
    const network *net = u->net;
    const layout *at = u->at;
    const int K = net->K, H = net->H, L = net->L, N = net->N, G = at->G;
    /* a product over all time steps at once meets T n rows, and one for each step n: one row alone
     * only where T or N is 1 */
    const int rows = u->in.T * N;
    if (index >= L * PACKS) {
        const real *W = u->params + net->head_W;
        if (!K) return;
        if (index == L * PACKS) pack(1, rows, H, K, W, K, u->work + at->head_W);
        else if (u->backward) pack_transposed(rows, K, H, W, K, u->work + at->head_WT);
        return;
    }
    const int l = index / PACKS, kind = index % PACKS;
    const fastrnn_layer *layer = net->layers + l;
    const real *Wx = net->reservoir ? net->reservoir->Win : u->params + layer->Wx;
    const real *Wh = u->params + layer->Wh;
    const int before = at->cell == FASTRNN_GRU_BEFORE, memory = at->cell == FASTRNN_MEMORY;
    const real *Wn = memory ? u->params + layer->Wm : Wh + 2 * H;
    const int D = l || input_size(net) ? layer->D : 0, ldn = memory ? H : G * H, now = G - before;
    const int trained = !net->reservoir, recurrent = net->packed && trained;
    const int second = recurrent && (before || memory);
    switch (kind) {
    case 0: if (D) pack(G, rows, D, H, Wx, G * H, u->work + at->Wx[l]); break;
    case 1: if (D && u->backward && trained) {
        pack_transposed(rows, G * H, D, Wx, G * H, u->work + at->WxT[l]);
    } break;
    case 2: if (recurrent) pack(now, N, H, H, Wh, G * H, u->work + at->Wh[l]); break;
    case 3: if (recurrent && u->backward) {
        pack_transposed(N, now * H, H, Wh, G * H, u->work + at->WhT[l]);
    } break;
    case 4: if (second) pack(1, N, H, H, Wn, ldn, u->work + at->Wn[l]); break;
    case 5: if (second && u->backward) {
        pack_transposed(N, H, H, Wn, ldn, u->work + at->WnT[l]);
    } break;
    }
}

static void pack_weights(const unrolled *u) {
    const network *net = u->net;
    share_out(u->team, pack_one, (void *)u, net->L * PACKS + 2);
    for (int k = 0; k < u->at->wide; k++) {
        u->work[u->at->head_b + k] = k < net->K ? u->params[net->head_b + k] : NEVER;
    }
}

/* ---- one slice ---- */

/* Layer l at work on a slice, T steps. */
static layer layer_of(const unrolled *u, int slice, int l) {
    const network *net = u->net;
    const layout *at = u->at;
    const fastrnn_layer *offsets = net->layers + l;
    real *mine = u->work + at->first + slice * at->slice_size;
    layer a;
    a.cell = at->cell;
    a.T = u->in.T;
    a.n = first_row(net, slice + 1) - first_row(net, slice);
    a.H = net->H;
    a.row = at->row;
    a.zrow = at->zrow;
    a.packed = net->packed;
    a.Wh = u->work + at->Wh[l];
    a.WhT = u->work + at->WhT[l];
    a.Wn = u->work + at->Wn[l];
    a.WnT = u->work + at->WnT[l];
    /* plain BLAS adds to z, so that there read_inputs() puts the rows */
    a.ids = l || input_size(net) || !net->packed ? NULL : u->in.inputs + first_row(net, slice);
    a.N = net->N;
    a.G = at->G;
    a.reservoir = net->reservoir;
    a.states = mine + at->states;
    a.Wx = a.reservoir ? a.reservoir->Win : u->params + offsets->Wx;
    a.b = net->C && l == 0 ? mine + at->bias : u->params + offsets->b;
    a.b_row = l == 0 ? at->b_row : 0;
    a.plain_Wh = u->params + offsets->Wh;
    a.plain_Wm = u->params + offsets->Wm;
    a.bhn = u->params + offsets->bhn;
    a.bm = u->params + offsets->bm;
    a.h = mine + at->h[l];
    a.c = mine + at->c[l];
    a.z = mine + at->z[l];
    a.dh = mine + at->dh;
    a.carry = mine + at->carry;
    a.scratch = mine + at->scratch;
    a.gemm = net->gemm;
    return a;
}

/* What a layer hands on before dropout: its states, or the memory cell's u. */
static real *output(const layer *a) {
    return a->cell == FASTRNN_MEMORY ? a->z : a->h + (ptrdiff_t)a->n * a->row;
}
static int output_row(const layer *a) { return a->cell == FASTRNN_MEMORY ? a->zrow : a->row; }

/* The inputs of layer l (from 1 on, or where they are numbers) [T][n][*row]. */
static real *input(const unrolled *u, int slice, int l, int *row) {
    real *mine = u->work + u->at->first + slice * u->at->slice_size;
    if (l == 0) {
        *row = u->at->xrow;
        return mine + u->at->x;
    }
    if (u->bits) {
        *row = u->at->row;
        return mine + u->at->dropped[l - 1];
    }
    const layer a = layer_of(u, slice, l - 1);
    *row = output_row(&a);
    return output(&a);
}

/* C [rows][c_row], G gates c_step apart and M wide each, = the slots A [rows][a_row] (`count` of
 * them, a_step apart, K wide) times a packed (count K, G M) matrix. */
static void multiply(int G, int rows, int M, int count, int K, const real *A, int a_row, int a_step,
                     const real *packed, real *C, int c_row, int c_step) {
    group sum;
    tiles w = walk(G, rows, M, count * K, packed);
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

/* dropped [T][n][row] = x [T][n][x_row] o mask; the masks take 16 bits for each unit, four from a
 * number of the source, lowest first. */
static void drop_out(const layer *a, const fastrnn_bits *bits, int limit, real *mask,
                     real *dropped) {
    const real *x = output(a);
    const int x_row = output_row(a);
    const real scale = (real)(65536.0 / (65536 - limit));
    uint64_t numbers = 0;
    int left = 0;
    for (int i = 0; i < a->T * a->n; i++, x += x_row, mask += a->row, dropped += a->row) {
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

/* Rows [T][n][row] of streams `start` on from the numbers of a batch, `width` a step; 0 in
 * padding. */
static void rows_in(const fastrnn_batch *b, int n, int width, const real *all, int start,
                    real *rows, int row) {
    for (int i = 0; i < b->T * n; i++, rows += row) {
        const int64_t at = step_of(b, start + i % n, i / n);
        if (at < 0) memset(rows, 0, (size_t)width * sizeof(real));
        else memcpy(rows, all + at * width, (size_t)width * sizeof(real));
    }
}
/* Rows [T][n][row] to those of streams `start` on of an array [N][T][width]. */
static void rows_out(int T, int n, int width, const real *rows, int row, real *all, int start) {
    for (int i = 0; i < T * n; i++) {
        memcpy(all + ((int64_t)(start + i % n) * T + i / n) * width, rows + (ptrdiff_t)i * row,
               (size_t)width * sizeof(real));
    }
}

/* The first layer's inputs of a slice: rows of numbers, of the embedding, or, where the cell does
 * not pick them itself, of Wx into z. */
static void read_inputs(const unrolled *u, const layer *a, int slice) {
    const network *net = u->net;
    const int H = net->H, E = net->E, G = a->G, start = first_row(net, slice);
    real *x = u->work + u->at->first + slice * u->at->slice_size + u->at->x;
    if (net->D) {
        rows_in(&u->in, a->n, net->D, u->in.x, start, x, u->at->xrow);
        return;
    }
    for (int i = 0; !a->ids && i < a->T * a->n; i++) {
        const int id = u->in.inputs[i / a->n * net->N + start + i % a->n];
        if (E) {
            memcpy(x + (ptrdiff_t)i * u->at->xrow, u->params + net->embedding + (int64_t)id * E,
                   (size_t)E * sizeof(real));
            continue;
        }
        for (int g = 0; g < G; g++) {
            memcpy(a->z + (ptrdiff_t)i * a->zrow + g * a->row, a->Wx + ((int64_t)id * G + g) * H,
                   (size_t)H * sizeof(real));
        }
    }
}

/* States without bounds may overflow in padding, and infinity times a gradient of 0 is not 0: so
 * they and what the layer hands on become 0 there. */
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
    real *row = u->work + u->at->first + slice * u->at->slice_size + u->at->bias;
    for (int n = first; n < first_row(net, slice + 1); n++, row += u->at->b_row) {
        const real *shares = (const real *)u->in.labels + (int64_t)n * net->C;
        memcpy(row, u->params + net->layers[0].b, (size_t)size * sizeof(real));
        for (int c = 0; c < net->C; c++) {
            const real *Wc = u->params + net->layers[0].Wc + (int64_t)c * size;
            if (shares[c] == 0) continue;
            for (int j = 0; j < size; j++) row[j] += shares[c] * Wc[j];
        }
    }
}

/* The gradient of Wc from the first layer's dz [T][n][zrow]; takes the biases' place. */
static void label_gradients(const unrolled *u, const layer *a, int slice, const real *dz,
                            real *grads) {
    const network *net = u->net;
    const int H = net->H, size = a->G * H, first = first_row(net, slice);
    real *sum = u->work + u->at->first + slice * u->at->slice_size + u->at->bias;
    memset(grads + net->layers[0].Wc, 0, (size_t)net->C * size * sizeof(real));
    memset(sum, 0, (size_t)a->n * u->at->b_row * sizeof(real));
    for (int i = 0; i < a->T * a->n; i++) {
        real *to = sum + (ptrdiff_t)(i % a->n) * u->at->b_row;
        const real *from = dz + (ptrdiff_t)i * a->zrow;
        for (int g = 0; g < a->G; g++) {
            for (int j = 0; j < H; j++) to[g * H + j] += from[g * a->row + j];
        }
    }
    for (int n = 0; n < a->n; n++, sum += u->at->b_row) {
        const real *shares = (const real *)u->in.labels + (int64_t)(first + n) * net->C;
        for (int c = 0; c < net->C; c++) {
            real *dWc = grads + net->layers[0].Wc + (int64_t)c * size;
            if (shares[c] == 0) continue;
            for (int j = 0; j < size; j++) dWc[j] += shares[c] * sum[j];
        }
    }
}

/* States of all T steps of a slice from those in slots 0. */
static void forward(const unrolled *u, int slice) {
    const network *net = u->net;
    const layout *at = u->at;
    real *mine = u->work + at->first + slice * at->slice_size;
    for (int l = 0; l < net->L; l++) {
        const layer a = layer_of(u, slice, l);
        if (l == 0) read_inputs(u, &a, slice);
        if (l == 0 && net->C) label_biases(u, slice);
        if (l || input_size(net)) {
            int x_row;
            const real *x = input(u, slice, l, &x_row);
            multiply(at->G, a.T * a.n, net->H, 1, net->layers[l].D, x, x_row, 0,
                     u->work + at->Wx[l], a.z, a.zrow, a.row);
        }
        cell_forward(&a);
        if (u->in.lengths && (a.cell == FASTRNN_RELU || a.cell == FASTRNN_MEMORY)) {
            blank_padding(u, &a, slice);
        }
        if (u->bits) {
            drop_out(&a, u->bits + slice, net->dropout, mine + at->mask[l], mine + at->dropped[l]);
        }
    }
}

/* Output scores of all T steps of a slice, without the bias. */
static real *head(const unrolled *u, int slice) {
    const layer a = layer_of(u, slice, u->net->L - 1);
    real *scores = u->work + u->at->first + slice * u->at->slice_size + u->at->scores;
    int row;
    const real *x = input(u, slice, u->net->L, &row);
    multiply(1, a.T * a.n, u->net->K, 1, a.H, x, row, 0, u->work + u->at->head_W, scores,
             u->at->wide, 0);
    return scores;
}

static void copy_rows(int rows, int width, const real *from, int from_row, real *to, int to_row) {
    for (int i = 0; i < rows; i++) {
        memcpy(to + (ptrdiff_t)i * to_row, from + (ptrdiff_t)i * from_row,
               (size_t)width * sizeof(real));
    }
}

/* Over fewer rows BLAS is faster than gradient(). */
#define ROWS_THAT_PAY 64

/* gradient() of `count` slots dz of a layer, for gates `gate` and on of its G, or the same by plain
 * BLAS. */
static void gradients(const layer *a, int G, int gate, int count, const real *dz,
                      const factor *factors, int n, real *db, const picks *picked) {
    const int H = a->H, rows = a->T * a->n, tiled = a->packed && rows >= ROWS_THAT_PAY;
    gradient(rows, H, count, dz, a->zrow, a->row, gate * H, factors, tiled ? n : 0, G * H, db,
             picked, a->scratch);
    for (int f = 0; f < n && !tiled; f++) {
        for (int g = 0; g < count; g++) {
            a->gemm(1, 0, factors[f].M, H, rows, factors[f].x, factors[f].row, dz + g * a->row,
                    a->zrow, 0, factors[f].C + (gate + g) * H, G * H);
        }
    }
}

/* The head's gradients by what a slice adds to the loss, from those of its scores, and dh. */
static void head_backward(const unrolled *u, int slice, real *grads) {
    const network *net = u->net;
    const layout *at = u->at;
    const int K = net->K, H = net->H;
    const real *scores = u->work + at->first + slice * at->slice_size + at->scores;
    const layer top = layer_of(u, slice, net->L - 1);
    const int rows = top.T * top.n, tiled = net->packed && rows >= ROWS_THAT_PAY;
    int x_row = 0;
    const real *x = input(u, slice, net->L, &x_row);
    const factor factors = {H, x_row, x, grads + net->head_W};
    gradient(rows, K, 1, scores, at->wide, 0, 0, &factors, tiled, K, grads + net->head_b, NULL,
             top.scratch);
    if (!tiled) {
        net->gemm(1, 0, H, K, rows, x, x_row, scores, at->wide, 0, grads + net->head_W, K);
    }
    if (!net->reservoir) {
        multiply(1, rows, H, 1, K, scores, at->wide, 0, u->work + at->head_WT, top.dh, top.row, 0);
    }
}

/* Gradients of all other tensors, and where they are asked for dx and dstate, from dh. */
static void layers_backward(const unrolled *u, int slice, real *grads) {
    const network *net = u->net;
    const layout *at = u->at;
    const int H = net->H, N = net->N, E = net->E, G = at->G, P = state_size(net);
    const int start = first_row(net, slice);
    real *mine = u->work + at->first + slice * at->slice_size;
    const int kinds = P / (net->L * H), c_at = kinds == 2 ? H : 0;   /* of a state: where c is */

    for (int l = net->L - 1; l >= 0; l--) {
        const layer a = layer_of(u, slice, l);
        const fastrnn_layer *offsets = net->layers + l;
        real *db = grads + offsets->b;
        const int rows = a.T * a.n;
        int x_row = 0;
        const real *x = NULL;
        real *dstate = u->dstate ? u->dstate + (int64_t)start * P + l * kinds * H : NULL;
        if (u->bits) {
            const real *mask = mine + at->mask[l];
            for (int64_t i = 0; i < (int64_t)rows * a.row; i += LANES) {
                store(a.dh + i, load(a.dh + i) * load(mask + i));
            }
        }
        const real *dz = a.cell == FASTRNN_MEMORY ? a.z + a.row : a.z;
        const int inputs = l || input_size(net);     /* whether they are more than picked rows */
        memset(a.carry, 0, (size_t)a.n * a.row * sizeof(real));
        if (dstate && (kinds == 2 || a.cell == FASTRNN_MEMORY)) {
            copy_rows(a.n, H, dstate + c_at, P, a.carry, a.row);
        }
        cell_backward(&a);
        if (dstate) {
            if (kinds == 2) copy_rows(a.n, H, a.carry, a.row, dstate + H, P);
            start_gradient(&a, a.dh);            /* which has done its service */
            copy_rows(a.n, H, a.dh, a.row, dstate, P);
        }
        if (l == 0 && net->C) label_gradients(u, &a, slice, dz, grads);
        if (inputs) x = input(u, slice, l, &x_row);
        /* those of Wh and, where there is one, Wx */
        const factor both[2] = {{H, a.row, a.h, grads + offsets->Wh},
                                {offsets->D, x_row, x, grads + offsets->Wx}};
        const picks rows_of_Wx = {u->in.inputs + start, a.n, N, (int64_t)net->V * G * H,
                                  grads + offsets->Wx};
        const picks *picked = inputs ? NULL : &rows_of_Wx;
        switch (a.cell) {
        case FASTRNN_GRU:
            gradients(&a, G, 0, 2, dz, both, 1 + inputs, db, picked);
            gradients(&a, G, 2, 1, dz + 2 * a.row, both + 1, inputs, db, picked);
            gradients(&a, G, 2, 1, dz + 3 * a.row, both, 1, grads + offsets->bhn - 2 * H, NULL);
            break;
        case FASTRNN_GRU_BEFORE: {
            const factor reset[2] = {{H, a.zrow, a.z + 3 * a.row, both[0].C}, both[1]};
            gradients(&a, G, 0, 2, dz, both, 1 + inputs, db, picked);
            gradients(&a, G, 2, 1, dz + 2 * a.row, reset, 1 + inputs, db, picked);
        } break;
        case FASTRNN_MEMORY: {
            const factor read = {H, a.zrow, a.z, grads + offsets->Wm};
            gradients(&a, 1, 0, 1, dz + a.row, &read, 1, grads + offsets->bm, NULL);
        } /* fall through */
        default:
            gradients(&a, G, 0, G, dz, both, 1 + inputs, db, picked);
        }
        if (inputs) {
            multiply(1, rows, offsets->D, G, H, dz, a.zrow, a.row, u->work + at->WxT[l], a.dh,
                     l ? a.row : at->xrow, 0);
        }
        if (l == 0 && u->dx) rows_out(a.T, a.n, net->D, a.dh, at->xrow, u->dx, start);
        for (int i = 0; l == 0 && E && i < rows; i++) {
            const int id = u->in.inputs[i / a.n * N + start + i % a.n];
            real *dW = grads + net->embedding + (int64_t)id * E;
            for (int j = 0; j < E; j++) dW[j] += a.dh[(int64_t)i * at->xrow + j];
        }
    }
}

/* Job: one slice through the unroll. */
static void unroll_slice(void *context, int slice) {
    const control before = flush_subnormals();
    const unrolled *u = context;
    forward(u, slice);
    if (u->losses || u->out) {
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
        } else {
            cross_entropy(&u->in, first, n, net->N, net->K, u->at->wide,
                          net->loss == FASTRNN_BINARY_CROSS_ENTROPY, bias, scores, u->losses,
                          u->right);
        }
        if (u->backward) {
            real *mine = u->work + u->at->first + slice * u->at->slice_size + u->at->grads;
            real *grads = slice ? mine : u->grads;
            head_backward(u, slice, grads);
            if (!net->reservoir) layers_backward(u, slice, grads);
        }
    }
    restore(before);
}

/* ---- the state ---- */

/* Does `each(at, numbers)` for what a stream carries: at is its place in a row of states, numbers
 * the array [T+1][n][row] of slice and layer that holds it. */
#define FOR_EACH_STATE(u, slice, each)                                                            \
    for (int l_ = 0, at_ = 0; l_ < (u)->net->L; l_++) {                                           \
        const layer a_ = layer_of(u, slice, l_);                                                  \
        each(at_, a_.h);                                                                          \
        at_ += a_.H;                                                                              \
        if (a_.cell == FASTRNN_LSTM) {                                                            \
            each(at_, a_.c);                                                                      \
            at_ += a_.H;                                                                          \
        }                                                                                         \
    }

/* state [N][P] into slots 0; zeros where it is NULL. */
static void state_in(const unrolled *u, const real *state) {
    const int P = state_size(u->net);
    for (int s = 0; s < u->at->slices; s++) {
        const int first = first_row(u->net, s), n = first_row(u->net, s + 1) - first;
#define IN(at, to)                                                                                \
    for (int i = 0; i < n; i++) {                                                                 \
        if (state) {                                                                              \
            memcpy(to + i * a_.row, state + (int64_t)(first + i) * P + at, a_.H * sizeof(real));  \
        } else {                                                                                  \
            memset(to + i * a_.row, 0, a_.H * sizeof(real));                                      \
        }                                                                                         \
    }
        FOR_EACH_STATE(u, s, IN)
#undef IN
    }
}

/* Slots t, or in a padded row that behind its last step, into state [N][P]. */
static void state_out(const unrolled *u, int t, real *state) {
    const int P = state_size(u->net);
    for (int s = 0; s < u->at->slices; s++) {
        const int first = first_row(u->net, s), n = first_row(u->net, s + 1) - first;
#define OUT(at, from)                                                                             \
    for (int i = 0; i < n; i++) {                                                                 \
        const ptrdiff_t slot = u->in.lengths ? (ptrdiff_t)u->in.lengths[first + i] : t;           \
        memcpy(state + (int64_t)(first + i) * P + at, from + (slot * n + i) * a_.row,             \
               a_.H * sizeof(real));                                                              \
    }
        FOR_EACH_STATE(u, s, OUT)
#undef OUT
    }
}

/* Slots T into slots 0. */
static void state_on(const unrolled *u) {
    for (int s = 0; s < u->at->slices; s++) {
#define ON(at, x)                                                                                 \
    memcpy(x, x + (ptrdiff_t)u->in.T * a_.n * a_.row, (size_t)a_.n * a_.row * sizeof(real)); (void)at;
        FOR_EACH_STATE(u, s, ON)
#undef ON
    }
}

/* The gradients of all slices into those of the first, in their order. */
static void add_slices(const unrolled *u) {
    for (int s = 1; s < u->at->slices; s++) {
        const real *more = u->work + u->at->first + s * u->at->slice_size + u->at->grads;
        for (int64_t i = 0; i < u->net->size; i++) u->grads[i] += more[i];
    }
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
    if (grads) {
        const size_t bytes = (size_t)picked_size(net) * sizeof(real);
        memset(grads, 0, bytes);
        for (int s = 1; s < at.slices; s++) {
            memset(u.work + at.first + s * at.slice_size + at.grads, 0, bytes);
        }
    }
    share_out(team, unroll_slice, (void *)&u, at.slices);
    if (grads) add_slices(&u);
    state_out(&u, batch->T, state);
    restore(before);
}

/* Job: a slice through the layers alone. */
static void forward_slice(void *context, int slice) {
    const control before = flush_subnormals();
    const unrolled *u = context;
    forward(u, slice);
    const layer a = layer_of(u, slice, u->net->L - 1);
    rows_out(a.T, a.n, a.H, output(&a), output_row(&a), u->out, first_row(u->net, slice));
    restore(before);
}

static void backward_slice(void *context, int slice) {
    const control before = flush_subnormals();
    const unrolled *u = context;
    const layer a = layer_of(u, slice, u->net->L - 1);
    real *mine = u->work + u->at->first + slice * u->at->slice_size + u->at->grads;
    rows_in(&u->in, a.n, a.H, u->dout, first_row(u->net, slice), a.dh, a.row);
    layers_backward(u, slice, slice ? mine : u->grads);
    restore(before);
}

static void forward_layers(const network *net, fastrnn_team *team, const void *params, void *work,
                           const void *x, int T, void *state, void *out) {
    const control before = flush_subnormals();
    const layout at = lay_out(net);
    const unrolled u = {.net = net, .at = &at, .team = team, .params = params, .work = work,
                        .in = {.T = T, .x = x}, .out = out};
    pack_weights(&u);
    state_in(&u, state);
    share_out(team, forward_slice, (void *)&u, at.slices);
    state_out(&u, T, state);
    restore(before);
}

static void backward_layers(const network *net, fastrnn_team *team, const void *params, void *work,
                            int T, const void *dout, void *dx, void *dstate, void *grads) {
    const control before = flush_subnormals();
    const layout at = lay_out(net);
    const unrolled u = {.net = net, .at = &at, .team = team, .params = params, .grads = grads,
                        .work = work, .in = {.T = T}, .backward = 1, .dout = dout, .dx = dx,
                        .dstate = dstate};
    pack_weights(&u);
    share_out(team, backward_slice, (void *)&u, at.slices);
    add_slices(&u);
    restore(before);
}

/* ---- training ---- */

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
    fastrnn_batch b = {.T = t->net->T, .inputs = t->ids ? inputs : NULL, .x = t->x,
                       .targets = t->target_ids ? targets : NULL, .y = t->y, .starts = starts,
                       .lengths = lengths, .mask = lengths ? t->marks : NULL,
                       .labels = t->shares};
    if (lengths) {
        b.T = 0;
        for (int n = 0; n < N; n++) b.T = lengths[n] > b.T ? (int)lengths[n] : b.T;
    }
    for (int n = 0; n < N; n++) {
        const int64_t first = starts ? starts[n] : n * t->length + t->position;
        const int steps = lengths ? (int)lengths[n] : b.T;
        for (int c = 0; c < C; c++) {
            ((real *)t->shares)[(int64_t)n * C + c] = c == t->labels[update * N + n];
        }
        for (int s = 0; s < b.T; s++) {
            const int at = s * N + n, inside = s < steps;
            if (t->ids) inputs[at] = inside ? id_at(t, t->ids, first + s) : 0;
            if (t->target_ids) targets[at] = inside ? id_at(t, t->target_ids, first + s) : 0;
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

/* An update once its gradients are known. The tensor of picked rows comes first in a block; where
 * `picked` lists rows of it the rest of it stays as it is, and `dense` is where the others start;
 * else dense is 0. */
typedef struct {
    const training *t;
    const unrolled *u;
    const int32_t *picked;
    int count, width;
    int64_t dense;
    double rate, scale;
} step;

static int chunks(const step *s) {
    return (int)((s->u->net->size - s->dense + FASTRNN_CHUNK - 1) / FASTRNN_CHUNK);
}
/* Chunk i of the dense part; behind the last one come the picked rows. */
static int64_t chunk_start(const step *s, int i) { return s->dense + (int64_t)i * FASTRNN_CHUNK; }
static int64_t chunk_size(const step *s, int i) {
    const int64_t left = s->u->net->size - chunk_start(s, i);
    return left < FASTRNN_CHUNK ? left : FASTRNN_CHUNK;
}

/* grads[i...] += those of the other slices, in their order; returns the sum of squares. */
static double reduce(const step *s, int64_t start, int64_t n) {
    const unrolled *u = s->u;
    real *sum = u->grads + start;
    for (int slice = 1; slice < u->at->slices; slice++) {
        const real *more = u->work + u->at->first + slice * u->at->slice_size + u->at->grads + start;
        for (int64_t i = 0; i < n; i++) sum[i] += more[i];
    }
    return sum_of_squares(n, sum);
}

/* Job: add the slices' gradients of a chunk. */
static void reduce_chunk(void *context, int i) {
    const control before = flush_subnormals();
    const step *s = context;
    double norm = 0;
    if (i < chunks(s)) {
        norm = reduce(s, chunk_start(s, i), chunk_size(s, i));
    } else {
        for (int r = 0; r < s->count; r++) {
            norm += reduce(s, (int64_t)s->picked[r] * s->width, s->width);
        }
    }
    s->t->norms[i] = norm;
    restore(before);
}

/* Job: the optimizer's step over a chunk. */
static void step_chunk(void *context, int i) {
    const control before = flush_subnormals();
    const step *s = context;
    const training *t = s->t;
    real *params = t->params, *memory = t->memory, *memory2 = t->memory2;
#define STEP(start, n)                                                                            \
    optimizer_step(t->optimizer, t->update, s->rate, s->scale, n, params + (start),               \
                   s->u->grads + (start), memory ? memory + (start) : NULL,                       \
                   memory2 ? memory2 + (start) : NULL)
    if (i < chunks(s)) {
        STEP(chunk_start(s, i), chunk_size(s, i));
    } else {
        for (int r = 0; r < s->count; r++) STEP((int64_t)s->picked[r] * s->width, s->width);
    }
#undef STEP
    restore(before);
}

/* Whether the gradients of all biases are finite. */
static int biases_finite(const network *net, int G, const real *grads) {
    int finite = all_finite(net->K, grads + net->head_b);
    for (int l = 0; l < net->L && !net->reservoir; l++) {
        finite = finite && all_finite(G * net->H, grads + net->layers[l].b);
    }
    return finite;
}

static int64_t run(training *t, int64_t updates) {
    const control before = flush_subnormals();
    const network *net = t->net;
    const fastrnn_optimizer *o = t->optimizer;
    const layout at = lay_out(net);
    const int N = net->N, V = net->V;
    int32_t *rows = t->window + 2 * net->T * N;
    unrolled u = {.net = net, .at = &at, .team = t->team, .params = t->params, .grads = t->grads,
                  .work = t->work, .backward = 1, .losses = t->losses,
                  .bits = net->dropout ? t->bits : NULL};
    /* A picked row without a gradient stays as it is under these two, so it need not be visited. */
    const int skip = V && !net->reservoir && (o->kind == FASTRNN_ADAGRAD || (o->kind == FASTRNN_SGD && !t->memory));
    const int width = net->E ? net->E : at.G * net->H;
    /* With one slice there is nothing to add. Then the norm need not be known either, where states
     * and inputs are bounded (the gradients that are not biases are sums of the biases' times those)
     * and clipping keeps a large one out of the weights. */
    const int look = at.slices > 1 || net->cell == FASTRNN_RELU || net->cell == FASTRNN_MEMORY
                     || net->E || net->D || o->clip_value > DBL_MAX || o->clip_norm <= DBL_MAX;
    int64_t done = 0;

    state_in(&u, t->state);
    for (; done < updates; done++) {
        if (t->starts || t->position == 0) state_in(&u, NULL);
        u.in = read_batch(t, done);
        step s = {t, &u, rows, 0, width, skip ? (int64_t)V * width : 0, t->rates[done], 1};
        if (skip) s.count = distinct_rows(u.in.inputs, u.in.T * N, rows, rows + V);
        for (int i = 0; i < at.slices; i++) {
            real *grads = i ? u.work + at.first + i * at.slice_size + at.grads : u.grads;
            if (!skip) memset(grads, 0, (size_t)picked_size(net) * sizeof(real));
            for (int r = 0; r < s.count; r++) {
                memset(grads + (int64_t)rows[r] * width, 0, (size_t)width * sizeof(real));
            }
        }
        pack_weights(&u);
        share_out(t->team, unroll_slice, (void *)&u, at.slices);
        double loss = 0;
        for (int i = 0; i < u.in.T * N; i++) loss += t->losses[i];
        loss /= rows_that_count(&u.in, N);
        if (!(fabs(loss) <= DBL_MAX)) break;

        const int jobs = chunks(&s) + (s.count > 0);
        if (look) {
            double norm = 0;
            share_out(t->team, reduce_chunk, &s, jobs);
            for (int i = 0; i < jobs; i++) norm += t->norms[i];
            norm = sqrt(norm);
            if (!(norm <= DBL_MAX)) break;
            if (norm > o->clip_norm) s.scale = o->clip_norm / norm;
            if (fmin(norm * s.scale, o->clip_value) > EXPLODED) break;
        } else if (!biases_finite(net, at.G, u.grads)) {
            break;
        }
        t->update++;
        share_out(t->team, step_chunk, &s, jobs);

        t->smooth_loss = t->update == 1 ? loss : 0.999 * t->smooth_loss + 0.001 * loss;
        t->loss[done] = loss;
        t->smooth[done] = t->smooth_loss;
        if (t->update % t->best_every == 0 && t->smooth_loss < t->best_loss) {
            t->best_loss = t->smooth_loss;
            t->best_update = t->update;
            memcpy(t->best, t->params, (size_t)net->size * sizeof(real));
        }
        if (!t->starts) state_on(&u);
        t->position += t->starts ? 1 : u.in.T;
        if (t->starts ? t->position == t->epoch_updates : t->position + u.in.T + 1 >= t->length) {
            t->position = 0;
            t->epoch++;
        }
    }
    if (!t->starts) state_out(&u, 0, t->state);
    else memset(t->state, 0, (size_t)N * state_size(net) * sizeof(real));     /* it is not carried */
    restore(before);
    return done;
}

/* ---- sampling ---- */

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

/* Sets to 0 all of the K weights but the top_k largest, and of these all but the largest that have
 * a share of top_p; returns the sum of what is left. Of equal ones the first stay. */
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

static void sample(const network *net, const void *params, void *work, void *state,
                   const int32_t *ids, const void *labels, double temperature, int top_k, double top_p,
                   const double *uniforms, int64_t n, int32_t *out) {
    const control before = flush_subnormals();
    const layout at = lay_out(net);
    unrolled u = {.net = net, .at = &at, .params = params, .work = work,
                  .in = {.T = 1, .inputs = ids, .labels = labels}};
    const int K = net->K;
    /* Colder, the likeliest symbol has all the probability already; warmer, all have the same. */
    const real sharpness = (real)(1 / fmin(fmax(temperature, 1e-30), 1e9));
    pack_weights(&u);
    state_in(&u, state);
    for (int64_t i = 0; i < n; i++, uniforms += net->N, out += net->N) {
        for (int s = 0; s < at.slices; s++) {
            const int first = first_row(net, s), end = first_row(net, s + 1);
            forward(&u, s);
            real *scores = head(&u, s);
            for (int stream = first; stream < end; stream++, scores += at.wide) {
                real top;
                double total = (double)exponentials(vectors(K) * LANES, sharpness,
                                                    u.work + at.head_b, scores, &top);
                if (top_k < K || top_p < 1) {
                    total = keep_likely(K, top_k, top_p, scores, u.work + at.sorted);
                }
                double rest = uniforms[stream] * total;
                if (temperature == 0) rest = 0;    /* the first whose exp is not 0: the likeliest */
                int id = 0, last = 0;
                /* the last symbol that may come takes what rounding leaves over */
                for (; id < K; id++) {
                    if (scores[id] > 0) last = id;
                    if ((rest -= (double)scores[id]) < 0) break;
                }
                out[stream] = id < K ? id : last;
            }
        }
        state_on(&u);
        u.in.inputs = out;
    }
    state_out(&u, 0, state);
    restore(before);
}

static void map(int function, int64_t n, const void *x_, void *y_) {
    const real *x = x_;
    real *y = y_;
    for (int64_t i = 0; i < n; i += LANES) {
        const int part = n - i < LANES ? (int)(n - i) : LANES;
        vec a = load_part(x + i, part);
        switch (function) {
        case FASTRNN_MAP_EXP: exps(1, &a); break;
        case FASTRNN_MAP_TANH: tanhs(1, &a); break;
        case FASTRNN_MAP_SIGMOID: sigmoids(1, &a); break;
        default: a = vec_rsqrt(a);
        }
        store_part(y + i, a, part);
    }
}

static int spin(int64_t n, void *out) {
    enum { SUMS = REGISTERS == 32 ? 24 : 12 };
    vec sum[SUMS];
    const vec a = load(out);
    UNROLL(24)
    for (int i = 0; i < SUMS; i++) sum[i] = all((real)i);
    for (int64_t k = 0; k < n; k++) {
        UNROLL(24)
        for (int i = 0; i < SUMS; i++) sum[i] = sum[i] * a + a;
    }
    UNROLL(24)
    for (int i = 1; i < SUMS; i++) sum[0] += sum[i];
    store(out, sum[0]);
    return 2 * SUMS * LANES;
}

const fastrnn_kernels FASTRNN_TABLE = {
    FASTRNN_ISA, (int)sizeof(real), LANES, slices, workspace_size, unroll,
    forward_layers, backward_layers, run, sample, series_work, run_series,
    optimizer_step, help, dismiss, map, spin,
};
