/* memory.h - the cell "memory", an additive memory m_t whose output is u_t:
 *
 *     u_t = max(0, x_t Wx + m_{t-1} Wh + b),    m_t = m_{t-1} + u_t Wm + bm
 *
 * Slots of z: 0 u; then u, dz, dm. h is m. */
#pragma once

#include "../cell.h"

enum { WM = 3, BM };

/* to [n][row] += the slot A [n][zrow] times the matrix of a walk, unless BLAS has added it. */
static void add_packed(const layer *l, const tiles *all, int t, portion some, const real *A,
                       real *to) {
    group sum;
    for (tiles w = walk_at(all, t, some); next_tile(&w);) {
        product(&w, l->packed, l->H, A, 0, l->zrow, sum);
        EACH_VECTOR(w) {
            real *x = to + (ptrdiff_t)(w.row + r) * l->row + w.unit + u * LANES;
            store(x, load(x) + sum[w.place][r][u]);
        }
    }
}

static void memory_read_forward(const layer *l, int t, portion some) {
    const int H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (!l->packed) add_plain(l, s.before, row, WH, 0, 1, s.z, zrow);
    tiles w = walk_at(l->walks, t, some);
    touch(&w, s.z, zrow, 1, 0);
    touch(&w, s.now, row, 1, 0);
    while (next_tile(&w)) {
        product(&w, l->packed, H, s.before, 0, row, sum);
        EACH_VECTOR(w) {
            const int j = w.unit + u * LANES;
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + j;
            real *gate = s.z + (ptrdiff_t)(w.row + r) * zrow + j;
            const vec y = input_sum(l, t, w.row + r, j, 0) + sum[w.place][r][u];
            store(gate, larger(all(0), y));
            store(s.now + at, load(s.before + at) + load(l->tensor[BM] + j));
        }
    }
}

static void memory_write_forward(const layer *l, int t, portion some) {
    const step s = step_at(l, t);
    if (!l->packed) add_plain(l, s.z, l->zrow, WM, 0, 1, s.now, l->row);
    add_packed(l, l->walks + 1, t, some, s.z, s.now);
}

/* dz_t = (du_t + dm_t Wm^T) o [u_t > 0],  dm_{t-1} = dm_t + dz_t Wh^T; `carry` holds dm_t */
static void memory_read_backward(const layer *l, int t, portion some) {
    const int H = l->H, row = l->row, zrow = l->zrow;
    const step s = step_at(l, t);
    group sum;
    if (!l->packed) add_plain_transposed(l, l->carry, row, WM, 0, 1, s.dh, row);
    tiles w = walk_at(l->walks + 1, t, some);
    touch(&w, s.z, zrow, 3, row);
    touch(&w, s.dh, row, 1, 0);
    while (next_tile(&w)) {
        product(&w, l->packed, H, l->carry, 0, row, sum);
        EACH_VECTOR(w) {
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * row + w.unit + u * LANES;
            real *gate = s.z + (ptrdiff_t)(w.row + r) * zrow + w.unit + u * LANES;
            const vec d = load(s.dh + at) + sum[w.place][r][u];
            store(gate + row, choose(load(gate) > 0, d, all(0)));
            store(gate + 2 * row, load(l->carry + at));
        }
    }
}

static void memory_write_backward(const layer *l, int t, portion some) {
    const int row = l->row;
    const step s = step_at(l, t);
    if (!l->packed) add_plain_transposed(l, s.z + row, l->zrow, WH, 0, 1, l->carry, row);
    add_packed(l, l->walks, t, some, s.z + row, l->carry);
}

static void memory_gradients(const layer *l, const gradients_of *to, portion some) {
    const factor written = {l->H, l->zrow, l->z, to->tensor[WM]};
    gate_gradients(l, 0, 1, l->z + 2 * l->row, &written, 1, to->tensor[BM], NULL, some);
    plain_gradients(l, to, some);
}

static void memory_start_gradient(const layer *l, real *dstart, portion some) {
    for (tiles w = walk_at(l->walks, 0, some); next_tile(&w);) {
        EACH_VECTOR(w) {
            const ptrdiff_t at = (ptrdiff_t)(w.row + r) * l->row + w.unit + u * LANES;
            store(dstart + at, load(l->carry + at));
        }
    }
}

static const cell memory_cell = {
    .is = {.name = "memory",
           .gates = 1,
           .states = 1,
           .trained = 1,
           .tensors = {FIRST_TENSORS, {"Wm", 'H', 'H'}, {"bm", '1', 'H'}}},
    .slots = 3,
    .dz = 1,
    .packs = {{WH, 0, 1}, {WM, 0, 1}},
    .forward = {memory_read_forward, memory_write_forward},
    .backward = {memory_read_backward, memory_write_backward},
    .gradients = memory_gradients,
    .start_gradient = memory_start_gradient,
};
