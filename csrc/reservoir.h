/* reservoir.h - a recurrent layer that is not trained:
 *
 *     x_t = (1 - a) x_{t-1} + a tanh(what drives it + b + W x_{t-1})
 *
 * W is sparse. To gather a number of x for each weight would take longer than all else, so weights
 * lie in strips, of RUNS pieces of diagonals, RUN long: W[STRIP p + m RUN + i][(at + i) mod H] for
 * m < RUNS and i < RUN, which all are multiplied by the same RUN numbers of x. The strips of a
 * panel p of STRIP units lie one after another. Any matrix can be laid out so; one that was drawn
 * strip by strip has no zeros in them. The weights are always float: fewer bytes to read. */
#pragma once

#include "fastrnn.h"
#include "real.h"
#include "team.h"
#include "tile.h"
#include "vecmath.h"

#define RUN FASTRNN_RUN
#define STRIP FASTRNN_STRIP
#define RUNS (STRIP / RUN)
#define PIECES (RUN / LANES) /* vectors in a run */
/* Of these V are summed at a time, for up to R streams, in SUMMED = RUNS R V registers. */
#define SUMMED (REGISTERS == 32 ? 16 : 8)
#define V_PIECES (PIECES < SUMMED / RUNS ? PIECES : SUMMED / RUNS)
#define R_STREAMS (SUMMED / RUNS / V_PIECES < 4 ? SUMMED / RUNS / V_PIECES : 4)
/* Strips of one stream alone that are summed side by side: its sums would wait for each other. */
#define BESIDE (REGISTERS == 32 ? 2 : 1)

typedef fastrnn_reservoir reservoir;
typedef vec strip_sums[RUNS][8]; /* of each run, by pieces */

/* A row of states repeats its first RUN numbers after its H, for a run that begins near the end. */
INLINE int state_row(int H) { return round_up(H + RUN, ROW_STEP); }

INLINE void repeat_first(int H, real *x) {
    if (H >= RUN) memcpy(x + H, x, RUN * sizeof(real));
    else
        for (int i = 0; i < RUN; i++) x[H + i] = x[i % H];
}

INLINE vec load_floats(const float *p) {
#if !defined(FASTRNN_DOUBLE)
    return load(p);
#elif defined(X86) && VEC_BYTES == 64
    return (vec)_mm512_cvtps_pd(_mm256_loadu_ps(p));
#elif defined(X86) && VEC_BYTES == 32
    return (vec)_mm256_cvtps_pd(_mm_loadu_ps(p));
#elif defined(VECTORS)
    typedef float floats __attribute__((vector_size(VEC_BYTES / 2), aligned(4), may_alias));
    return __builtin_convertvector(*(const floats *)p, vec);
#else
    return *p;
#endif
}

/* sum[r][m][v] = W x_r of piece `first` + v of run m of a panel, for R rows of states x, `row`
 * apart. R and V are constants where this is inlined. */
INLINE void panel_sums(const int R, const int V, const reservoir *w, int panel, int first,
                       const real *x, int row, strip_sums *sum) {
    const int64_t end = w->first[panel + 1];
    const int beside = R == 1 ? BESIDE : 1;
    int64_t j = w->first[panel];
    const float *strip = w->strips + j * STRIP + first * LANES;
    vec s[4][RUNS][8]; /* of streams, or of strips side by side */
    x += first * LANES;
#define EACH_RUN EACH(m, RUNS)
#define EACH_PIECE EACH(v, V)
    EACH(r, 4) EACH_RUN EACH_PIECE s[r][m][v] = all(0);
    for (; beside > 1 && j + beside <= end; j += beside, strip += beside * STRIP) {
        EACH(r, beside) EACH_PIECE {
            const vec y = load(x + w->at[j + r] + v * LANES);
            EACH_RUN s[r][m][v] += load_floats(strip + r * STRIP + m * RUN + v * LANES) * y;
        }
    }
    for (; j < end; j++, strip += STRIP) {
        EACH_PIECE {
            vec weights[RUNS];
            EACH_RUN weights[m] = load_floats(strip + m * RUN + v * LANES);
            EACH(r, R) {
                const vec y = load(x + (ptrdiff_t)r * row + w->at[j] + v * LANES);
                EACH_RUN s[r][m][v] += weights[m] * y;
            }
        }
    }
    if (beside > 1) EACH_RUN EACH_PIECE s[0][m][v] += s[1][m][v];
    EACH(r, R) EACH_RUN EACH_PIECE sum[r][m][v] = s[r][m][v];
}

/* The first numbers of x, up to LANES of them, to `to`. */
INLINE void store_some(real *to, vec x, int left) {
    if (left >= LANES) store(to, x);
    else if (left > 0) store_part(to, x, left);
}

/* n vectors of y from unit j on, which are sums, become the next state. */
INLINE void activate(const int n, int j, const real *leak, const real *drive, const real *b,
                     const real *x, real *y) {
    vec s[SIDE_BY_SIDE];
    ABREAST s[v] = load(y + j + v * LANES) + load(drive + j + v * LANES) + load(b + j + v * LANES);
    tanhs(n, s);
    ABREAST {
        const vec a = load(leak + j + v * LANES);
        store(y + j + v * LANES, ((real)1 - a) * load(x + j + v * LANES) + a * s[v]);
    }
}

/* Panels `from` to `to` of the next states, `now`, of n rows; drive[r] [H] and b [H] are added.
 * Steps go through the panels in turn from the left and from the right, as walk_at() does. */
static void reservoir_step(const reservoir *w, int t, int n, const real *const *drive,
                           const real *before, real *now, int row, int from, int to) {
    enum { V = V_PIECES, R = R_STREAMS, ABREAST_AT_MOST = REGISTERS == 32 ? 4 : 2 };
    const int start = from * STRIP, end = least(to * STRIP, w->H);
    for (int i = 0; i < (to - from) * PIECES; i += V) {
        const int p = i / PIECES, first = i % PIECES, panel = t & 1 ? to - 1 - p : from + p;
        for (int r0 = 0; r0 < n; r0 += R) {
            const int some = least(R, n - r0);
            const real *x = before + (ptrdiff_t)r0 * row;
            strip_sums sum[R];
            switch (some) {
            case 1: panel_sums(1, V, w, panel, first, x, row, sum); break;
            case 2:
                if (R >= 2) panel_sums(2, V, w, panel, first, x, row, sum);
                break;
            case 3:
                if (R >= 3) panel_sums(3, V, w, panel, first, x, row, sum);
                break;
            default:
                if (R >= 4) panel_sums(4, V, w, panel, first, x, row, sum);
                break;
            }
            for (int r = 0; r < some; r++) {
                for (int m = 0; m < RUNS; m++) {
                    for (int v = 0; v < V; v++) {
                        const int j = panel * STRIP + m * RUN + (first + v) * LANES;
                        store_some(now + (ptrdiff_t)(r0 + r) * row + j, sum[r][m][v], end - j);
                    }
                }
            }
        }
    }
    const real *b = w->b, *a = w->leak;
    for (int r = 0; r < n; r++) {
        const real *x = before + (ptrdiff_t)r * row;
        real *y = now + (ptrdiff_t)r * row;
        int j = start;
        for (; j + ABREAST_AT_MOST * LANES <= end; j += ABREAST_AT_MOST * LANES) {
            activate(ABREAST_AT_MOST, j, a, drive[r], b, x, y);
        }
        for (; j + LANES <= end; j += LANES) activate(1, j, a, drive[r], b, x, y);
        if (j < end) { /* what lies after the last numbers is not ours */
            real last[LANES] = {0};
            memcpy(last, y + j, (size_t)(end - j) * sizeof(real));
            activate(1, 0, a + j, drive[r] + j, b + j, x + j, last);
            memcpy(y + j, last, (size_t)(end - j) * sizeof(real));
        }
        if (from == 0) repeat_first(w->H, y); /* it has all of them */
    }
}

/* ---- one series, from a state on ---- */

typedef struct {
    const reservoir *w;
    fastrnn_series *s;
    real *x[2];       /* states [state_row(H)], in turn the one before and the next */
    real *drive;      /* [H] */
    real *input;      /* [D], where only some of the inputs are outputs */
    const real *last; /* output of the step before */
    int parts;        /* of the units; they depend on nothing but the step before */
    int64_t t;
} driven;

/* Units from `from` to `to` of drive = Win u_t + Wfb y_{t-1} + noise_t. */
static void add_up(const reservoir *w, const real *u, const real *y, const real *noise, int from,
                   int to, real *drive) {
    const real *Win = (const real *)w->Win + from, *Wfb = (const real *)w->Wfb + from;
    drive += from;
    if (noise) memcpy(drive, noise + from, (size_t)(to - from) * sizeof(real));
    else memset(drive, 0, (size_t)(to - from) * sizeof(real));
    for (int d = 0; d < w->D; d++, Win += w->H) add_scaled(to - from, u[d], Win, drive);
    for (int k = 0; k < w->K; k++, Wfb += w->H) add_scaled(to - from, y[k], Wfb, drive);
}

/* y = Wout [1; u; x] */
static void read_out(const fastrnn_series *s, int D, int H, const real *u, const real *x, real *y) {
    const int features = 1 + D + H;
    for (int k = 0; k < s->outputs; k++) {
        const real *row = (const real *)s->Wout + (ptrdiff_t)k * features, *of_x = row + 1 + D;
        vec sum[4] = {all(0), all(0), all(0), all(0)};
        real total = row[0];
        int j = 0;
        for (int d = 0; d < D; d++) total += row[1 + d] * u[d];
        for (; j + 4 * LANES <= H; j += 4 * LANES) {
            EACH(c, 4) sum[c] += load(of_x + j + c * LANES) * load(x + j + c * LANES);
        }
        for (; j < H; j++) total += of_x[j] * x[j];
        y[k] = total + sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
}

/* What step t reads: [D]. */
static const real *step_input(const driven *r) {
    const int fed = r->s->fed, given = r->w->D - fed;
    if (!given) return r->last;
    return fed ? r->input : (const real *)r->s->u + r->t * given;
}

/* The input of step t where some of it is the output before and some is given. */
static void join_input(const driven *r) {
    const int fed = r->s->fed, given = r->w->D - fed;
    memcpy(r->input, r->last, (size_t)fed * sizeof(real));
    memcpy(r->input + fed, (const real *)r->s->u + r->t * given, (size_t)given * sizeof(real));
}

/* Job: step t of a part of the units. */
static void drive_part(void *context, int part) {
    const driven *r = context;
    const reservoir *w = r->w;
    const fastrnn_series *s = r->s;
    const int panels = (w->H + STRIP - 1) / STRIP, t = (int)(r->t & 1);
    const int from = panels * part / r->parts, to = panels * (part + 1) / r->parts;
    const int first = from * STRIP, units = least(to * STRIP, w->H) - first;
    const real *drive = r->drive;
    real *kept = s->states ? (real *)s->states + r->t * s->states_row + first : NULL;
    for (int j = 0; kept && j < units; j += ROW_STEP) PREFETCH_TO_WRITE(kept + j);
    const real *noise = s->noise ? (const real *)s->noise + r->t * w->H : NULL;
    add_up(w, step_input(r), r->last, noise, first, first + units, r->drive);
    reservoir_step(w, t, 1, &drive, r->x[t], r->x[!t], 0, from, to);
    if (kept) memcpy(kept, r->x[!t] + first, (size_t)units * sizeof(real));
}

static int64_t series_work(const reservoir *w) { return 3 * (int64_t)state_row(w->H) + w->D; }

static void run_series(const reservoir *w, fastrnn_team *team, fastrnn_series *s) {
    const control before = flush_subnormals();
    const int row = state_row(w->H);
    real *work = s->work;
    const int panels = (w->H + STRIP - 1) / STRIP;
    driven r = {.w = w,
                .s = s,
                .x = {work, work + row},
                .drive = work + 2 * row,
                .input = work + 3 * row,
                .last = s->last,
                .parts = least(panels, workers(team))};
    memcpy(r.x[0], s->state, (size_t)w->H * sizeof(real));
    repeat_first(w->H, r.x[0]);
    for (; r.t < s->T; r.t++) {
        if (s->fed && s->fed < w->D) join_input(&r);
        share_out(team, drive_part, &r, r.parts);
        if (s->Wout) {
            real *y = (real *)s->out + r.t * s->outputs;
            read_out(s, w->D, w->H, step_input(&r), r.x[(r.t + 1) & 1], y);
            r.last = y;
        }
        if (w->K && s->y) r.last = (const real *)s->y + r.t * w->K;
    }
    if (r.last != s->last) memcpy(s->last, r.last, (size_t)s->outputs * sizeof(real));
    memcpy(s->state, r.x[s->T & 1], (size_t)w->H * sizeof(real));
    restore(before);
}
