/* network.c - a one-hot input, one recurrent layer and a softmax head: the unroll, the training
 * loop and the sampling loop. setup.py compiles it once for each precision and instruction set. */
#include <float.h>

#include "fastrnn.h"
#include "optimizer.h"
#include "real.h"
#include "rnn.h"
#include "softmax.h"
#include "tile.h"
#include "vecmath.h"

typedef fastrnn_network network;
typedef fastrnn_training training;

/* ---- flush-to-zero: subnormal numbers slow a recurrence many times over ---- */

#if defined(__SSE2__) || defined(_M_X64)
#include <immintrin.h>
typedef unsigned int control;
static control flush_subnormals(void) {
    const control before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);               /* FTZ: results, DAZ: operands */
    return before;
}
static void restore(control before) {
    _mm_setcsr((_mm_getcsr() & ~0x8040u) | (before & 0x8040u));
}
#elif defined(__aarch64__) && defined(__GNUC__)
typedef uint64_t control;
static control flush_subnormals(void) {
    control before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (1u << 24)));
    return before;
}
static void restore(control before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
typedef int control;
static control flush_subnormals(void) { return 0; }
static void restore(control before) { (void)before; }
#endif

/* ---- the workspace ---- */

typedef struct {
    int row, wide;               /* H and K rounded up to multiples of ROW_STEP */
    int64_t h;                   /* [T+1][N][row]: states; before the recurrence x_t Wx + b */
    int64_t dh;                  /* [T][N][row]: gradients by h_t, then by the sum inside f */
    int64_t scores;              /* [T][N][wide]: output scores, then their gradients */
    int64_t Wh, WhT;             /* packed (H, H), and its transpose */
    int64_t head_W, head_WT;     /* packed (H, K) and (K, H) */
    int64_t head_b;              /* [wide]: NEVER behind K */
    int64_t size;
} layout;

static layout lay_out(const network *net) {
    const int64_t T = net->T, N = net->N;
    layout at;
    at.row = round_up(net->H, ROW_STEP);
    at.wide = round_up(net->K, ROW_STEP);
    at.h = 0;
    at.dh = at.h + (T + 1) * N * at.row;
    at.scores = at.dh + T * N * at.row;
    at.Wh = at.scores + T * N * at.wide;
    at.WhT = at.Wh + packed_size(net->H, net->H);
    at.head_W = at.WhT + packed_size(net->H, net->H);
    at.head_WT = at.head_W + packed_size(net->H, net->K);
    at.head_b = at.head_WT + packed_size(net->K, net->H);
    at.size = at.head_b + at.wide;
    return at;
}

static int64_t workspace_size(const network *net) { return lay_out(net).size; }

/* Lay out the weights for an unroll of T steps; the transposes serve the backward pass only. */
static void pack_weights(const network *net, const layout *at, const real *params, int T,
                         int backward, real *work) {
    const int K = net->K, H = net->H, N = net->N;
    pack(N, H, H, params + net->Wh, work + at->Wh);
    pack(T * N, H, K, params + net->head_W, work + at->head_W);
    if (backward) {
        pack_transposed(N, H, H, params + net->Wh, work + at->WhT);
        pack_transposed(T * N, K, H, params + net->head_W, work + at->head_WT);
    }
    for (int k = 0; k < at->wide; k++) {
        work[at->head_b + k] = k < K ? params[net->head_b + k] : NEVER;
    }
}

/* state [N][H] into slot 0 of h, zeros behind each row. */
static void state_in(const network *net, const layout *at, const real *state, real *work) {
    memset(work + at->h, 0, (size_t)net->N * at->row * sizeof(real));
    for (int n = 0; n < net->N; n++) {
        memcpy(work + at->h + (int64_t)n * at->row, state + (int64_t)n * net->H,
               (size_t)net->H * sizeof(real));
    }
}

/* Slot t of h into state [N][H]. */
static void state_out(const network *net, const layout *at, int t, const real *work, real *state) {
    const real *h = work + at->h + (int64_t)t * net->N * at->row;
    for (int n = 0; n < net->N; n++) {
        memcpy(state + (int64_t)n * net->H, h + (int64_t)n * at->row,
               (size_t)net->H * sizeof(real));
    }
}

/* ---- one unroll ---- */

/* C [rows][c_row] = A [rows][a_row] times a packed (K, M) matrix. */
static void multiply(int rows, int M, int K, const real *A, int a_row, const real *packed, real *C,
                     int c_row) {
#define PRODUCT(R, V, first_row, first_column, panel)                                             \
    {                                                                                             \
        vec sum[TILE_ROWS][WIDE];                                                                 \
        tile(R, V, K, A + (ptrdiff_t)(first_row) * a_row, a_row, panel, sum);                     \
        UNROLL(6)                                                                                 \
        for (int r = 0; r < R; r++) {                                                             \
            UNROLL(8)                                                                             \
            for (int v = 0; v < V; v++) {                                                         \
                store(C + (ptrdiff_t)((first_row) + r) * c_row + (first_column) + v * LANES,      \
                      sum[r][v]);                                                                 \
            }                                                                                     \
        }                                                                                         \
    }
    FOR_EACH_TILE(rows, M, K, packed, 0, PRODUCT);
#undef PRODUCT
}

/* States of all T steps from the initial state in slot 0. inputs [T][N] */
static void forward(const network *net, const layout *at, const real *params, const int32_t *inputs,
                    int T, real *work) {
    const int H = net->H, row = at->row;
    const real *b = params + net->b;
    real *h = work + at->h;
    for (int i = 0; i < T * net->N; i++) {
        const real *Wx = params + net->Wx + (int64_t)inputs[i] * H;
        real *z = h + (int64_t)(net->N + i) * row;
        for (int j = 0; j < H; j++) z[j] = Wx[j] + b[j];
        for (int j = H; j < row; j++) z[j] = 0;    /* an unroll of NaNs may have left some here */
    }
    if (net->cell == FASTRNN_TANH) rnn_forward(FASTRNN_TANH, T, net->N, H, row, work + at->Wh, h);
    else rnn_forward(FASTRNN_RELU, T, net->N, H, row, work + at->Wh, h);
}

/* Cross-entropy of each of the targets [T][N]; leaves its gradient where the scores were. */
static void head_loss(const network *net, const layout *at, const int32_t *targets, int T,
                      real *work, double *losses) {
    const int rows = T * net->N;
    multiply(rows, net->K, net->H, work + at->h + (int64_t)net->N * at->row, at->row,
             work + at->head_W, work + at->scores, at->wide);
    softmax_loss(rows, net->N, vectors(net->K) * LANES, at->wide, work + at->head_b, targets,
                 work + at->scores, losses);
}

/* out [width] = the sum of rows [count][row]. */
static void sum_rows(int count, int width, const real *rows, int row, real *out) {
    memcpy(out, rows, (size_t)width * sizeof(real));
    for (int i = 1; i < count; i++) {
        const real *x = rows + (int64_t)i * row;
        for (int j = 0; j < width; j++) out[j] += x[j];
    }
}

/* Gradients of every tensor; rows of grads Wx that an input picks must be zero at entry. */
static void backward(const network *net, const layout *at, const int32_t *inputs, int T,
                     real *grads, real *work) {
    const int K = net->K, H = net->H, N = net->N, row = at->row, rows = T * net->N;
    const real *h = work + at->h;
    const real *out = h + (int64_t)N * row;
    const real *scores = work + at->scores;
    real *dh = work + at->dh;

    net->gemm(1, 0, H, K, rows, out, row, scores, at->wide, 0, grads + net->head_W, K);
    sum_rows(rows, K, scores, at->wide, grads + net->head_b);
    multiply(rows, H, K, scores, at->wide, work + at->head_WT, dh, row);

    if (net->cell == FASTRNN_TANH) rnn_backward(FASTRNN_TANH, T, N, H, row, work + at->WhT, h, dh);
    else rnn_backward(FASTRNN_RELU, T, N, H, row, work + at->WhT, h, dh);

    net->gemm(1, 0, H, H, rows, h, row, dh, row, 0, grads + net->Wh, H);
    sum_rows(rows, H, dh, row, grads + net->b);
    for (int i = 0; i < rows; i++) {
        real *dWx = grads + net->Wx + (int64_t)inputs[i] * H;
        const real *dz = dh + (int64_t)i * row;
        for (int j = 0; j < H; j++) dWx[j] += dz[j];
    }
}

static void unroll(const network *net, const void *params, void *grads, void *work_,
                   const int32_t *inputs, const int32_t *targets, int T, void *state,
                   double *losses) {
    const control before = flush_subnormals();
    const layout at = lay_out(net);
    real *work = work_;
    pack_weights(net, &at, params, T, grads != NULL, work);
    state_in(net, &at, state, work);
    forward(net, &at, params, inputs, T, work);
    if (targets) head_loss(net, &at, targets, T, work, losses);
    if (grads) {
        memset((real *)grads + net->Wx, 0, (size_t)net->K * net->H * sizeof(real));
        backward(net, &at, inputs, T, grads, work);
    }
    state_out(net, &at, T, work, state);
    restore(before);
}

/* ---- training ---- */

static int32_t id_at(const training *t, int64_t i) {
    switch (t->id_bytes) {
    case 1: return ((const uint8_t *)t->ids)[i];
    case 2: return ((const uint16_t *)t->ids)[i];
    default: return (int32_t)((const uint32_t *)t->ids)[i];
    }
}

/* The window at t->position into inputs and targets [T][N]. */
static void read_window(const training *t, int32_t *inputs, int32_t *targets) {
    const int T = t->net->T, N = t->net->N;
    for (int n = 0; n < N; n++) {
        int64_t i = n * t->length + t->position;
        int32_t id = id_at(t, i);
        for (int s = 0; s < T; s++) {
            inputs[s * N + n] = id;
            id = id_at(t, ++i);
            targets[s * N + n] = id;
        }
    }
}

/* Lists each row of Wx that the inputs pick once; `listed` [K] is zero before and after. */
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

static int64_t run(training *t, int64_t updates) {
    const control before = flush_subnormals();
    const network *net = t->net;
    const fastrnn_optimizer *o = t->optimizer;
    const layout at = lay_out(net);
    const int T = net->T, N = net->N, K = net->K, H = net->H;
    int32_t *inputs = t->window, *targets = inputs + T * N, *rows = targets + T * N;
    real *params = t->params, *grads = t->grads, *memory = t->memory, *memory2 = t->memory2;
    real *work = t->work;
    /* A row of Wx without a gradient stays as it is under these two, so it need not be visited. */
    const int skip = o->kind == FASTRNN_ADAGRAD || o->kind == FASTRNN_SGD;
    const int64_t dense = net->Wh;             /* Wx is the first tensor, Wh the second */
    int64_t done = 0;

    state_in(net, &at, t->state, work);
    for (; done < updates; done++) {
        if (t->position == 0) memset(work + at.h, 0, (size_t)N * at.row * sizeof(real));
        read_window(t, inputs, targets);
        pack_weights(net, &at, params, T, 1, work);
        forward(net, &at, params, inputs, T, work);
        head_loss(net, &at, targets, T, work, t->losses);
        double loss = 0;
        for (int i = 0; i < T * N; i++) loss += t->losses[i];
        loss /= N;
        if (!(fabs(loss) <= DBL_MAX)) break;

        int touched = 0;
        if (skip) touched = distinct_rows(inputs, T * N, rows, rows + K);
        else memset(grads, 0, (size_t)dense * sizeof(real));
        for (int i = 0; i < touched; i++) {
            memset(grads + (int64_t)rows[i] * H, 0, (size_t)H * sizeof(real));
        }
        backward(net, &at, inputs, T, grads, work);

        const int64_t from = skip ? dense : 0; /* the part that is visited whole */
        double scale = 1;
        if (!all_finite(H, grads + net->b) || !all_finite(K, grads + net->head_b)) break;
        /* The other gradients are sums of these times states. They are looked at apart where states
         * are not bounded, and where nothing would keep a large one out of the weights. */
        if (net->cell == FASTRNN_RELU || o->clip_value > DBL_MAX || o->clip_norm <= DBL_MAX) {
            double norm = sum_of_squares(net->size - from, grads + from);
            for (int i = 0; i < touched; i++) norm += sum_of_squares(H, grads + (int64_t)rows[i] * H);
            norm = sqrt(norm);
            if (!(norm <= DBL_MAX)) break;
            if (norm > o->clip_norm) scale = o->clip_norm / norm;
            if (fmin(norm * scale, o->clip_value) > EXPLODED) break;
        }
        t->update++;
        for (int i = 0; i < touched; i++) {
            const int64_t r = (int64_t)rows[i] * H;
            optimizer_step(o, t->update, scale, H, params + r, grads + r,
                           memory ? memory + r : NULL, NULL);
        }
        optimizer_step(o, t->update, scale, net->size - from, params + from, grads + from,
                       memory ? memory + from : NULL, memory2 ? memory2 + from : NULL);

        t->smooth_loss = t->update == 1 ? loss : 0.999 * t->smooth_loss + 0.001 * loss;
        t->loss[done] = loss;
        t->smooth[done] = t->smooth_loss;
        if (t->update % t->best_every == 0 && t->smooth_loss < t->best_loss) {
            t->best_loss = t->smooth_loss;
            t->best_update = t->update;
            memcpy(t->best, params, (size_t)net->size * sizeof(real));
        }
        memcpy(work + at.h, work + at.h + (int64_t)T * N * at.row,
               (size_t)N * at.row * sizeof(real));
        t->position += T;
        if (t->position + T + 1 >= t->length) {
            t->position = 0;
            t->epoch++;
        }
    }
    state_out(net, &at, 0, work, t->state);
    restore(before);
    return done;
}

/* ---- sampling ---- */

static void sample(const network *net, const void *params_, void *work_, void *state, int id,
                   double temperature, const double *uniforms, int64_t n, int32_t *ids) {
    const control before = flush_subnormals();
    const layout at = lay_out(net);
    const real *params = params_;
    real *work = work_;
    real *scores = work + at.scores;
    /* Colder, the likeliest symbol has all the probability already; warmer, all have the same. */
    const real sharpness = (real)(1 / fmin(fmax(temperature, 1e-30), 1e9));
    pack_weights(net, &at, params, 1, 0, work);
    state_in(net, &at, state, work);
    for (int64_t i = 0; i < n; i++) {
        const int32_t input = id;
        real top;
        forward(net, &at, params, &input, 1, work);
        memcpy(work + at.h, work + at.h + at.row, (size_t)at.row * sizeof(real));
        multiply(1, net->K, net->H, work + at.h, at.row, work + at.head_W, scores, at.wide);
        double rest = uniforms[i] * (double)exponentials(vectors(net->K) * LANES, sharpness,
                                                         work + at.head_b, scores, &top);
        if (temperature == 0) rest = 0;        /* the first whose exp is not 0: the likeliest */
        /* the last symbol takes what rounding leaves over */
        for (id = 0; id < net->K - 1 && (rest -= (double)scores[id]) >= 0; id++) {}
        ids[i] = id;
    }
    state_out(net, &at, 0, work, state);
    restore(before);
}

static void map(int function, int64_t n, const void *x_, void *y_) {
    const real *x = x_;
    real *y = y_;
    for (int64_t i = 0; i < n; i += LANES) {
        const int part = n - i < LANES ? (int)(n - i) : LANES;
        const vec a = load_part(x + i, part);
        store_part(y + i,
                   function == FASTRNN_MAP_EXP ? vec_exp(a)
                   : function == FASTRNN_MAP_TANH ? vec_tanh(a) : vec_rsqrt(a),
                   part);
    }
}

const fastrnn_kernels FASTRNN_TABLE = {
    FASTRNN_ISA, (int)sizeof(real), LANES, workspace_size, unroll, run, sample, optimizer_step, map,
};
