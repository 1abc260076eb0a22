/* kernels.c - the table of fastrnn.h; compiled once for each precision and instruction set. */
#include "fastrnn.h"
#include "reservoir.h"
#include "sampling.h"
#include "training.h"
#include "unroll.h"

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
    EACH(i, SUMS) sum[i] = all((real)i);
    for (int64_t k = 0; k < n; k++) EACH(i, SUMS) sum[i] = sum[i] * a + a;
    EACH(i, SUMS - 1) sum[0] += sum[i + 1];
    store(out, sum[0]);
    return 2 * SUMS * LANES;
}

const fastrnn_kernels FASTRNN_TABLE = {
    FASTRNN_ISA,
    LANES,
    cell_at,
    slices,
    useful_threads,
    workspace_size,
    gradients_at,
    stage_name,
    unroll,
    backward,
    run,
    next_losses,
    gradient_norm,
    sample,
    series_work,
    run_series,
    optimizer_step,
    fastrnn_gather,
    fastrnn_part,
    fastrnn_helpers,
    fastrnn_end_helpers,
    fastrnn_come_in,
    fastrnn_go_out,
    fastrnn_fork_begins,
    fastrnn_fork_ends,
    fastrnn_start_anew,
    map,
    spin,
};
