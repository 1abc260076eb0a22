/* stages.h - the work of an update in stages, and how long they take.
 *
 * The jobs of a stage are independent. With a meter they are done one after the other and timed: the
 * sum of a stage's times and, round by round, its longest job tell what more threads can gain. */
#pragma once

#include "fastrnn.h"
#include "team.h"

/* clang-format off */
static const char *const STAGE_NAMES[] = {
    [FASTRNN_CLEAR] = "clear", [FASTRNN_PACK] = "pack", [FASTRNN_SLICES] = "slices",
    [FASTRNN_INPUTS] = "inputs", [FASTRNN_FORWARD] = "forward", [FASTRNN_OUTPUTS] = "outputs",
    [FASTRNN_HEAD] = "head", [FASTRNN_HEAD_BACK] = "head back", [FASTRNN_STATES] = "states",
    [FASTRNN_BACKWARD] = "backward", [FASTRNN_GRADIENTS] = "gradients", [FASTRNN_ADD] = "add",
    [FASTRNN_STEP] = "step",
};
/* clang-format on */

static const char *stage_name(int index) {
    return index >= 0 && index < FASTRNN_STAGES ? STAGE_NAMES[index] : NULL;
}

/* share_out(), for a stage of a network that may have a meter. */
static void share(const fastrnn_network *net, int stage, fastrnn_team *team,
                  void (*job)(void *, int), void *context, int count) {
    fastrnn_meter *meter = net->meter;
    if (!meter) {
        share_out(team, job, context, count);
        return;
    }
    fastrnn_stage *s = meter->stages + stage;
    double longest = 0, start = meter->now();
    for (int i = 0; i < count; i++) {
        job(context, i);
        const double end = meter->now(), spent = end - start;
        s->seconds += spent;
        if (spent > longest) longest = spent;
        start = end;
    }
    s->longest += longest;
    s->rounds++;
    s->jobs += count;
}
