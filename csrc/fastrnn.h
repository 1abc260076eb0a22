/* fastrnn.h - the contract between the C functions and their callers.
 *
 * They know no Python and allocate nothing. Each is written once, in `real` (real.h), and compiled
 * for float and double and for each instruction set; fastrnn_select() returns the table of one such
 * variant. Arrays are `void *`: they hold float for a float table and double for a double table.
 *
 * Letters: T time steps, N batch, V symbols that are read, D input size, H hidden size, K output
 * size, C labels, E embedding size, L layers, G gates of the cell, P numbers of state (for each
 * layer its h, or m; for lstm h and then c). Arrays are row-major and contiguous, do not overlap
 * unless said, and the caller has checked every size and every id. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* C (M, N) = op(A) op(B), plus C when `accumulate`; op(A) is (M, K), op(B) is (K, N), op(X) is the
 * transpose of X where its flag is 1; lda, ldb, ldc are the row lengths in memory. */
typedef void (*fastrnn_gemm)(int transpose_a, int transpose_b, int M, int N, int K, const void *A,
                             int lda, const void *B, int ldb, int accumulate, void *C, int ldc);

/* A source of random bits, as in NumPy's bit generators. */
typedef struct {
    void *state;
    uint64_t (*next)(void *state);
} fastrnn_bits;

/* Optimizers. */
enum { FASTRNN_ADAGRAD, FASTRNN_RMSPROP, FASTRNN_ADAM, FASTRNN_SGD, FASTRNN_DYNAMIC };
enum { FASTRNN_CROSS_ENTROPY, FASTRNN_SQUARED_ERROR, FASTRNN_BINARY_CROSS_ENTROPY }; /* loss */
enum { FASTRNN_MAP_EXP, FASTRNN_MAP_TANH, FASTRNN_MAP_SIGMOID, FASTRNN_MAP_RSQRT };  /* map */
enum { FASTRNN_MOST_LAYERS = 32, FASTRNN_MOST_TENSORS = 6 }; /* tensors: of a layer */
enum { FASTRNN_RUN = 16, FASTRNN_STRIP = 64 };               /* of a reservoir */
enum { FASTRNN_CHUNK = 16384 }; /* elements of a block that one job of an update takes */

/* A tensor of a layer: rows are 'D', 'H' or '1' (of a vector), columns 'H', 'G' (G H numbers) or a
 * digit from '2' on (so many H). */
typedef struct {
    const char *name;
    char rows, columns;
} fastrnn_tensor;

/* What callers must know of a cell. */
typedef struct {
    const char *name;
    int gates, states;   /* G; arrays (H) of state: 2 of an lstm, h and c; else 1, h or m */
    int state_is_output; /* whether the first of them is the output of the layer */
    int trained;
    int bounded; /* whether states and outputs are, whatever the weights */
    fastrnn_tensor tensors[FASTRNN_MOST_TENSORS]; /* the parameters, then one without a name */
} fastrnn_cell;

/* A recurrent layer that is not trained, of H units; reservoir.h says how W lies in strips. After
 * the end of each array 64 bytes may be read. */
typedef struct {
    int H, D, K;          /* K: numbers that are fed back, or 0 */
    const int64_t *first; /* of each panel of FASTRNN_STRIP units its first strip; and the end */
    const int32_t *at;    /* of each strip the first unit that it reads */
    const float *strips;  /* [..][FASTRNN_STRIP] */
    const void *Win, *Wfb, *b; /* (D, H), (K, H), (H) */
    const void *leak;          /* a of each unit, (H) */
} fastrnn_reservoir;

/* A series that drives a reservoir, and the results. */
typedef struct {
    int64_t T;
    int fed;           /* so many inputs, the first ones, are outputs of the step before */
    const void *u;     /* the others, [T][D - fed]; NULL where there are none */
    const void *y;     /* [T][K]: what is fed back one step later; NULL: the outputs */
    const void *noise; /* [T][H], added inside the tanh, or NULL */
    int outputs;
    const void *Wout;   /* (outputs, 1 + D + H), of [1; u; x]; NULL: none are computed */
    void *state, *last; /* [H], and the output before [outputs], in and out */
    void *states;       /* [T][H], rows states_row apart, or NULL */
    int64_t states_row; /* numbers from one of these rows to the next */
    void *out;          /* [T][outputs], where there is a Wout */
    void *work;         /* series_work() elements, 64-byte aligned */
} fastrnn_series;

/* Where the tensors of a layer start in the flat block, in elements. */
typedef struct {
    int D;
    int tensors[FASTRNN_MOST_TENSORS]; /* in the cell's order: Wx (D, G H), of which a one-hot
                                        * input picks a row, Wh (H, G H), b (G H) and others */
    int Wc;                            /* (C, G H), of the first layer where there are labels */
} fastrnn_layer;

/* The stages of an update, in their order; stages.h has their names. */
/* clang-format off */
enum {
    FASTRNN_CLEAR, FASTRNN_PACK, FASTRNN_SLICES, FASTRNN_INPUTS, FASTRNN_FORWARD, FASTRNN_OUTPUTS,
    FASTRNN_HEAD, FASTRNN_HEAD_BACK, FASTRNN_STATES, FASTRNN_BACKWARD, FASTRNN_GRADIENTS,
    FASTRNN_ADD, FASTRNN_STEP, FASTRNN_STAGES
};
/* clang-format on */

/* What a stage has cost: the times that its jobs were shared out, jobs, their time, and that of the
 * longest job of each time. */
typedef struct {
    int64_t rounds, jobs;
    double seconds, longest;
} fastrnn_stage;

/* Counts what calls do, which then do all jobs themselves; for bench/scaling.py. */
typedef struct {
    double (*now)(void); /* seconds */
    fastrnn_stage stages[FASTRNN_STAGES];
} fastrnn_meter;

/* A model's sizes, and where each tensor starts in its flat block of `size` elements. Parameters,
 * gradients and optimizer memories are such blocks; the tensor that inputs pick rows of (embedding,
 * or the first Wx) comes first. 64 bytes after the end of a block of parameters may be read. */
typedef struct {
    int cell; /* its place in the table of cells */
    int loss;
    int K, E, H, L;  /* K is 0 where there is no head, E where inputs are not embedded */
    int V, D;        /* inputs are V symbols, one-hot or embedded, or D numbers: one is 0 */
    int C;           /* labels, of which each row has one or a mixture; 0: none */
    int T, N;        /* the largest unroll and the batch that the workspace must hold */
    int dropout;     /* probability of an output of a layer to be dropped, in 1/65536 */
    int weight_drop; /* that of an entry of Wh, for a whole unroll */
    int packed;      /* whether the recurrence runs on packed matrices, or on plain BLAS */
    int cut_for;     /* threads that work is cut for, however small it is; 0: those of the call,
                      * where it pays */
    int rank, ranks; /* of the processes that share the slices of a batch, and their number; 0
                      * and 0 or 1: this one has them all */
    int embedding;   /* (V, E) */
    fastrnn_layer layers[FASTRNN_MOST_LAYERS];
    const fastrnn_reservoir *reservoir; /* the layer of the cell esn: only the head is trained */
    int head_W, head_b;                 /* (H, K), (K) */
    int size;
    fastrnn_gemm gemm;    /* of the same precision */
    fastrnn_meter *meter; /* or NULL */
} fastrnn_network;

/* What an unroll reads and is to predict: N rows of T steps. Symbols are time-major; numbers are as
 * users have them, D (or K) for each step, row n from step starts[n] on. */
typedef struct {
    int T;
    const int32_t *inputs;  /* [T][N], where inputs are symbols */
    const void *x;          /* numbers in their place */
    const int32_t *targets; /* [T][N], where they are symbols */
    const void *y;          /* numbers in their place */
    const int64_t *starts;  /* [N]; NULL: n T */
    const int64_t *lengths; /* [N], 0 to T, with a mask: later steps are padding without effect;
                             * NULL: T. The loss is the mean over rows of a length above 0. */
    const void *labels;     /* [N][C]: the probability of each label, where there are any */
    const uint8_t *mask;    /* [T][N]: whether a prediction counts, 0 in padding; NULL: all do */
    const double *weights;  /* [T][N]: factors of the losses, 0 or more; NULL: all 1 */
    const double *units;    /* [K]: factors of squared errors, in the losses that are reported and
                             * not in the gradient; NULL: all 1 */
    const void *teacher;    /* a teacher's probabilities, K for each step, as numbers: the gradient
                             * is that of the cross-entropy with (1 - teacher_weight) target +
                             * teacher_weight teacher, and the losses are those of the targets */
    double teacher_weight;  /* NULL: 0 */
    int same_weights;       /* whether the parameters, and the workspace, are those of the last
                             * unroll, whose packed weights are read again */
} fastrnn_batch;

/* The threads of a call, from gather() below; NULL: the caller's alone. */
typedef struct fastrnn_team fastrnn_team;

typedef struct {
    int kind;
    double decay, decay2; /* RMSProp's gamma, Adam's betas, SGD's momentum; of dynamic
                           * evaluation lambda over the mean of r */
    double epsilon;
    int epsilon_inside;           /* AdaGrad, RMSProp: sqrt(m + epsilon), or sqrt(m) + epsilon */
    double weight_decay;          /* a step first takes away rate weight_decay p */
    double clip_norm, clip_value; /* infinity: no clipping */
} fastrnn_optimizer;

/* Everything one training run reads and writes; `run` leaves it ready for the next call. */
typedef struct {
    const fastrnn_network *net;
    const fastrnn_optimizer *optimizer;
    fastrnn_team *team;
    void *params, *grads;   /* blocks; grads is scratch */
    void *memory, *memory2; /* blocks of the optimizer (Adam: both; SGD: with momentum one;
                             * dynamic evaluation: the first parameters, and r) */
    void *average;          /* block: the running average of params, or NULL. Update t adds
                             * 1 / (1 + averaged (t - 1)) of the difference. */
    double averaged;        /* about which fraction of the updates so far it covers */
    void *work;             /* workspace_size(net) elements, zero at first, 64-byte aligned */
    int32_t *window;        /* 2 T N + 2 V, zero at first: inputs, targets [T][N], rows */
    uint8_t *marks;         /* [T][N], scratch */
    void *label_weights;    /* [N][C], scratch */
    double *factors;        /* [T][N], scratch, where there are weights */
    /* What is learned from, step by step. A text is N streams of `length` symbols, one after the
     * other, and target_ids the same from its second symbol on; of sequences x and y take the place
     * of symbols where they are numbers. */
    const void *ids, *target_ids;
    int id_bytes; /* 1, 2 or 4: ids are unsigned */
    int64_t length;
    const void *x, *y;
    const uint8_t *mask;   /* whether a step counts; NULL: all do */
    const double *weights; /* factor of the loss of each step; NULL: all 1 */
    const double *units;   /* as in a batch */
    const void *teacher;   /* [steps][K], or NULL, and its weight, as in a batch */
    double teacher_weight;
    int64_t *firsts;          /* [N], scratch, where there is a teacher */
    const fastrnn_bits *bits; /* a source for each slice; NULL: nothing is dropped */
    void *state;              /* [N][P] after the last window; the next one starts from it, or
                               * from zero where its position is 0 */
    int64_t position;         /* of the next window in each stream; with starts: updates of this
                               * epoch that are done */
    const int64_t *starts;    /* [updates][N] of the windows or sequences of this call, each from
                               * the zero state; NULL: the streams are read from left to right */
    const int64_t *lengths;   /* [updates][N] of the sequences or records, 0 where there is none;
                               * NULL: windows of T steps */
    const int32_t *labels;    /* of the records, [updates][N], below C, where there are labels */
    const uint8_t *carried;   /* [updates][N]: whether a row goes on from its state after the
                               * update before, not from zero; NULL: none does. Needs lengths */
    int64_t epoch_updates;    /* of an epoch with starts */
    int64_t epoch, update;    /* completed */
    double smooth_loss;       /* nats per unroll; read when update > 0 */
    void *best;               /* block: the parameters at best_loss */
    double best_loss;         /* lowest smoothed loss seen at a multiple of best_every updates */
    int64_t best_update, best_every;
    double most_loss; /* a larger loss, or NaN, ends the run */
    int picked;       /* rows of the input that the last update picked: behind `window` */
    double *losses;   /* [T][N], scratch */
    /* With several ranks, what exchanges the sums of their own slices' gradients and losses (0) or
     * the sums of all (1), with its first argument; NULL: one process. */
    void (*meet)(void *ranks, int sums);
    void *ranks;
    double *norms;         /* size / FASTRNN_CHUNK + 1, scratch */
    const double *rates;   /* the learning rate of each update of this call */
    double *loss, *smooth; /* of each update of this call */
} fastrnn_training;

/* How the next symbol is chosen from the scores. */
typedef struct {
    double temperature; /* 0: the likeliest symbol */
    int top_k;          /* only so many of the likeliest symbols; K: all */
    double top_p;       /* of these the likeliest whose probabilities sum to it; 1: all */
    double min_p;       /* of these those with so much of the largest probability; 0: all */
    double penalty; /* of symbols that were seen: a score > 0 is divided by it, else multiplied */
    uint8_t *seen;  /* [N][K] 1: the symbol has occurred; without it there is no penalty */
} fastrnn_choice;

typedef struct {
    const char *isa;                        /* "baseline", "avx2" or "avx512" */
    int lanes;                              /* elements in one vector register */
    const fastrnn_cell *(*cell)(int index); /* from 0 on; NULL after the last one */
    /* Slices that the batch is cut into: they depend on these sizes alone, so that results do not
     * depend on the number of threads. Slice s takes streams from N s / slices on. */
    int (*slices)(int N, int H);
    /* How many of so many threads an unroll uses: more than slices where they share each slice. */
    int (*useful_threads)(const fastrnn_network *net, int threads);
    int64_t (*workspace_size)(const fastrnn_network *net); /* elements */
    /* The element of the workspace where the gradients of a slice but the first begin. */
    int64_t (*gradients_at)(const fastrnn_network *net, int slice);
    const char *(*stage_name)(int index); /* from 0 on; NULL after the last one */
    /* Read a batch (T <= net->T) from `state` [N][P], in and out. Each of these may be NULL: losses
     * [T][N] receives that of each prediction (the cross-entropy in nats; the binary cross-entropy,
     * in nats, of the K probabilities of the softmax; or the squared error, the mean of its K
     * numbers); right [T][N] whether the target was the likeliest symbol; grads the gradient of the
     * sum of the losses over time, their mean over the batch; out, in place of losses, the outputs
     * of the head [N][T][K], or where there is none of the last layer [N][T][H]. With `bits`, a
     * source for each slice, outputs of layers and entries of Wh are dropped. */
    void (*unroll)(const fastrnn_network *net, fastrnn_team *team, const void *params, void *grads,
                   void *work, const fastrnn_batch *batch, void *state, double *losses,
                   uint8_t *right, void *out, const fastrnn_bits *bits);
    /* Back through the last unroll, of this workspace and T, of a network without a head whose
     * inputs were numbers: from the gradients with respect to its outputs (dout [N][T][H]) and to
     * the last state's c or m (dstate [N][P]; that of h belongs into dout) to dx [N][T][D], dstate
     * with respect to the first state, and the whole block grads, summed over the batch. lengths
     * [N], 1 to T, are those of the unroll, or NULL: dout has no effect after them. */
    void (*backward)(const fastrnn_network *net, fastrnn_team *team, const void *params, void *work,
                     int T, const int64_t *lengths, const void *dout, void *dx, void *dstate,
                     void *grads);
    /* At most `updates` updates: batch, unroll, clip, step. Returns how many were done: fewer only
     * where the loss of the next one is above most_loss, or its gradient is not finite; it is not
     * applied, and `losses` and `grads` are its own. */
    int64_t (*run)(fastrnn_training *training, int64_t updates);
    /* The `losses` of the next update, where nothing is dropped; nothing else changes. */
    void (*next_losses)(fastrnn_training *training);
    /* The norm of the gradient of the last update, before clipping; `grads` is that gradient then. */
    double (*gradient_norm)(fastrnn_training *training);
    /* Sample n ids for each of the N streams from softmax(scores / temperature), each with its
     * uniform number in [0, 1) ([n][N]), after reading ids [N] in `state` [N][P], in and out; the
     * streams have the probabilities `labels` [N][C] of labels, where there are any. Temperature 0
     * takes the likeliest symbol. out [n][N] */
    void (*sample)(const fastrnn_network *net, fastrnn_team *team, const void *params, void *work,
                   void *state, const int32_t *ids, const void *labels,
                   const fastrnn_choice *choice, const double *uniforms, int64_t n, int32_t *out);
    /* Drive a reservoir with a series, from `state` and `last` on. */
    int64_t (*series_work)(const fastrnn_reservoir *reservoir);
    void (*run_series)(const fastrnn_reservoir *reservoir, fastrnn_team *team, fastrnn_series *s);
    /* One optimizer step over n elements; `update` counts from 1. The gradient is multiplied by
     * `scale`, then clipped to clip_value; it is not written. */
    void (*step)(const fastrnn_optimizer *optimizer, int64_t update, double rate, double scale,
                 int64_t n, void *params, const void *grads, void *memory, void *memory2);
    /* Up to this many threads for a call, the caller among them, and the end of that call. The
     * others are the helpers of this process's one pool, which starts those that it lacks. */
    fastrnn_team *(*gather)(int threads);
    void (*part)(fastrnn_team *team);
    int (*helpers)(void); /* how many the pool has */
    /* They finish the jobs that they have begun and end. Calls in progress go on alone. */
    void (*end_helpers)(void);
    /* A fork by another thread waits for this one from come_in() to go_out(), which may be nested.
     * come_in() is 0, and nothing has happened, where another thread is forking. */
    int (*come_in)(void);
    void (*go_out)(void);
    /* Before a fork: waits until no other thread is inside, unless this one is: those may wait for
     * what it holds. 0 where another thread is forking. Then in the parent fork_ends(), in the child
     * start_anew(), which knows no helpers and no other threads. */
    int (*fork_begins)(void);
    void (*fork_ends)(void);
    void (*start_anew)(void);
    /* y = f(x) with one of the vector functions (exp: x <= 0), for the tests of their error. */
    void (*map)(int function, int64_t n, const void *x, void *y);
    /* n rounds of multiply-adds in registers, to measure the processor's peak; returns how many
     * floating point operations one round has. */
    int (*spin)(int64_t n, void *out);
} fastrnn_kernels;

/* Of mixed_bfloat16 all arrays hold floats; matrix products round their operands to bfloat16. */
enum { FASTRNN_FLOAT32, FASTRNN_FLOAT64, FASTRNN_MIXED_BFLOAT16 };

/* The table for a precision and isa, or NULL where this build or this processor lacks it; isa NULL:
 * the best that runs here. */
const fastrnn_kernels *fastrnn_select(const char *isa, int precision);

const char *fastrnn_compiler(void); /* its name and version */
