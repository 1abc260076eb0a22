/* esn.h - the cell "esn", an echo state network's reservoir (reservoir.h), which is not trained:
 *
 *     h_t = (1 - a) h_{t-1} + a tanh(x_t Win + b + W h_{t-1})
 *
 * Slot of z: 0 x_t Win. */
#pragma once

#include "../cell.h"

/* Always the whole step. */
static void esn_forward(const layer *l, int t, portion some) {
    const int n = l->n, H = l->H, row = state_row(H);
    const ptrdiff_t size = (ptrdiff_t)n * row;
    const real *drive[MOST_STREAMS] = {0};
    real *before = l->states + (t & 1) * size, *now = l->states + (~t & 1) * size; /* [n][row] */
    real *h = l->h + (ptrdiff_t)t * n * l->row;                                    /* [n][l->row] */
    (void)some;
    for (int r = 0; r < n && t == 0; r++) {
        memcpy(before + (ptrdiff_t)r * row, h + (ptrdiff_t)r * l->row, H * sizeof(real));
        repeat_first(H, before + (ptrdiff_t)r * row);
    }
    for (int r = 0; r < n; r++) drive[r] = products(l, t, r);
    reservoir_step(l->reservoir, t, n, drive, before, now, row, 0, (H + STRIP - 1) / STRIP);
    for (int r = 0; r < n; r++) {
        memcpy(h + (ptrdiff_t)(n + r) * l->row, now + (ptrdiff_t)r * row, H * sizeof(real));
    }
}

static const cell esn_cell = {
    .is = {.name = "esn", .gates = 1, .states = 1, .state_is_output = 1, .bounded = 1},
    .slots = 1,
    .forward = {esn_forward},
};
