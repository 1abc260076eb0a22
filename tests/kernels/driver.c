/* driver.c - the C functions without Python, for processors that have none here.
 *
 *     driver PRECISION map|unroll|backward|run|sample|series <arguments >results
 *
 * calls one function of the table for a precision, 0 to 2. Arguments and results are arrays, each after
 * its number of bytes (int64); an empty one is NULL. test_driver.py knows their order too. */
#include "fastrnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif

static int64_t taken;                                /* bytes of the last argument */

/* Zeros, at a multiple of 64; 64 bytes after them may be read. */
static void *new(int64_t size) {
    char *p = calloc(1, (size_t)size + 128);
    if (!p) exit(2);
    return p + (64 - (uintptr_t)p % 64);
}

static void *take(void) {
    if (fread(&taken, sizeof taken, 1, stdin) != 1) exit(3);
    if (!taken) return NULL;
    void *p = new(taken);
    if (fread(p, 1, (size_t)taken, stdin) != (size_t)taken) exit(3);
    return p;
}

static void give(const void *p, int64_t bytes) {
    fwrite(&bytes, sizeof bytes, 1, stdout);
    fwrite(p, 1, (size_t)bytes, stdout);
}

#define GEMM(name, real)                                                                          \
    static void name(int turn_a, int turn_b, int M, int N, int K, const void *A_, int lda,        \
                     const void *B_, int ldb, int accumulate, void *C_, int ldc) {                \
        const real *A = A_, *B = B_;                                                              \
        real *C = C_;                                                                             \
        for (int m = 0; m < M; m++) {                                                             \
            for (int n = 0; n < N; n++) {                                                         \
                double sum = accumulate ? C[m * ldc + n] : 0;                                     \
                for (int k = 0; k < K; k++) {                                                     \
                    sum += (double)A[turn_a ? k * lda + m : m * lda + k]                          \
                           * (double)B[turn_b ? n * ldb + k : k * ldb + n];                       \
                }                                                                                 \
                C[m * ldc + n] = (real)sum;                                                       \
            }                                                                                     \
        }                                                                                         \
    }
GEMM(gemm_float, float)
GEMM(gemm_double, double)

static const fastrnn_kernels *table;
static int bytes;                                    /* of a real */
static fastrnn_network net;
static void *work;

static void take_reservoir(fastrnn_reservoir *r) {
    const int32_t *sizes = take();                   /* H, D, K */
    if (!sizes) return;
    r->H = sizes[0], r->D = sizes[1], r->K = sizes[2];
    r->leak = take();
    r->Win = take(), r->Wfb = take(), r->b = take();
    r->first = take(), r->at = take(), r->strips = take();
}

/* Sizes in the order of the struct; for each layer D, Wc and where its tensors start. */
static void take_network(void) {
    static fastrnn_reservoir reservoir;
    int *const to[] = {&net.cell, &net.loss, &net.K, &net.E, &net.H, &net.L, &net.V, &net.D, &net.C,
                       &net.T, &net.N, &net.packed, &net.embedding, &net.head_W, &net.head_b,
                       &net.size};
    const int32_t *sizes = take();
    for (size_t i = 0; i < sizeof to / sizeof *to; i++) *to[i] = *sizes++;
    for (int l = 0; l < net.L; l++) {
        net.layers[l].D = *sizes++;
        net.layers[l].Wc = *sizes++;
        for (int i = 0; i < FASTRNN_MOST_TENSORS; i++) net.layers[l].tensors[i] = *sizes++;
    }
    take_reservoir(&reservoir);
    if (reservoir.H) net.reservoir = &reservoir;
    net.gemm = bytes == 4 ? gemm_float : gemm_double;
    work = new(table->workspace_size(&net) * bytes);
}

static void map(void) {
    const int function = *(int32_t *)take();
    const void *x = take();
    const int64_t n = taken / bytes;
    void *y = new(taken);
    table->map(function, n, x, y);
    give(y, n * bytes);
}

static void unroll(void) {
    fastrnn_batch batch = {.T = net.T};
    const void *params = take();
    void *state = take();
    const int64_t states = taken, predictions = (int64_t)net.T * net.N;
    batch.inputs = take(), batch.x = take(), batch.targets = take(), batch.y = take();
    batch.lengths = take(), batch.labels = take(), batch.mask = take(), batch.weights = take();
    double *losses = new(predictions * 8);
    uint8_t *right = new(predictions);
    void *grads = new((int64_t)net.size * bytes);
    table->unroll(&net, NULL, params, grads, work, &batch, state, losses, right, NULL, NULL);
    give(losses, predictions * 8);
    give(right, predictions);
    give(grads, (int64_t)net.size * bytes);
    give(state, states);
}

static void backward(void) {
    fastrnn_batch batch = {.T = net.T};
    const void *params = take();
    void *state = take();
    batch.x = take();
    void *dx = new(taken);
    const int64_t inputs = taken;
    const void *dout = take();
    void *out = new(taken), *grads = new((int64_t)net.size * bytes);
    const int64_t outputs = taken;
    void *dstate = take();
    const int64_t states = taken;
    batch.lengths = take();
    table->unroll(&net, NULL, params, NULL, work, &batch, state, NULL, NULL, out, NULL);
    table->backward(&net, NULL, params, work, net.T, batch.lengths, dout, dx, dstate, grads);
    give(out, outputs);
    give(state, states);
    give(dx, inputs);
    give(dstate, states);
    give(grads, (int64_t)net.size * bytes);
}

static void run(void) {
    const int64_t block = (int64_t)net.size * bytes, rows = (int64_t)net.T * net.N;
    const int32_t *kind = take();                    /* and epsilon_inside */
    const double *numbers = take();
    fastrnn_optimizer rule = {kind[0], numbers[0], numbers[1], numbers[2], kind[1], numbers[3],
                              numbers[4], numbers[5]};
    fastrnn_training t = {
        .net = &net, .optimizer = &rule, .team = NULL, .work = work, .id_bytes = 2,
        .grads = new(block), .memory = new(block), .memory2 = new(block), .best = new(block),
        .window = new((2 * rows + 2 * net.V) * 4), .marks = new(rows), .losses = new(rows * 8),
        .norms = new((net.size / FASTRNN_CHUNK + 2) * 8), .best_every = 100, .most_loss = 1e300,
        .best_loss = 1e300,
    };
    t.params = take(), t.state = take();
    const uint16_t *ids = take();
    t.ids = ids, t.target_ids = ids + 1, t.length = taken / 2 / net.N;
    t.rates = take();
    const int64_t updates = taken / 8;
    t.loss = new(taken), t.smooth = new(taken);
    if (table->run(&t, updates) != updates) exit(4);
    give(t.loss, updates * 8);
    give(t.smooth, updates * 8);
    give(t.params, block);
}

static void sample(void) {
    fastrnn_choice choice = {.top_k = *(int32_t *)take()};
    const double *numbers = take();
    choice.temperature = numbers[0], choice.top_p = numbers[1];
    choice.min_p = numbers[2], choice.penalty = numbers[3];
    const void *params = take();
    void *state = take();
    const int64_t states = taken;
    const int32_t *ids = take();
    choice.seen = take();
    const double *uniforms = take();
    const int64_t n = taken / 8 / net.N;
    int32_t *out = new(taken / 2);
    table->sample(&net, NULL, params, work, state, ids, NULL, &choice, uniforms, n, out);
    give(out, n * net.N * 4);
    give(state, states);
}

static void series(void) {
    fastrnn_reservoir r = {0};
    take_reservoir(&r);
    fastrnn_series s = {.states_row = r.H};
    s.u = take();
    s.T = taken / bytes / r.D;
    s.state = take(), s.last = take();
    s.outputs = (int)(taken / bytes);
    s.Wout = take();
    s.states = new(s.T * r.H * bytes), s.out = new(s.T * s.outputs * bytes);
    s.work = new(table->series_work(&r) * bytes);
    table->run_series(&r, NULL, &s);
    give(s.states, s.T * r.H * bytes);
    give(s.out, s.T * s.outputs * bytes);
}

int main(int count, char **words) {
    static const struct { const char *name; int network; void (*call)(void); } calls[] = {
        {"map", 0, map}, {"series", 0, series}, {"unroll", 1, unroll}, {"backward", 1, backward},
        {"run", 1, run}, {"sample", 1, sample},
    };
    if (count != 3) return 1;
#ifdef _WIN32
    _setmode(0, _O_BINARY), _setmode(1, _O_BINARY);
#endif
    const int precision = atoi(words[1]);
    bytes = precision == FASTRNN_FLOAT64 ? 8 : 4;
    table = fastrnn_select(NULL, precision);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (strcmp(words[2], calls[i].name)) continue;
        if (calls[i].network) take_network();
        calls[i].call();
        return 0;
    }
    return 1;
}
