/* team.h - threads that share out the jobs of an update.
 *
 * The caller's own threads: each enters help() and stays until the leader dismisses it. Between
 * jobs a helper waits for microseconds, so it looks rather than sleeps; where others want its
 * core it stands back.
 */
#ifndef FASTRNN_TEAM_H
#define FASTRNN_TEAM_H

#include "fastrnn.h"

#if defined(__GNUC__)
#define READ(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define WRITE(p, x) __atomic_store_n(p, x, __ATOMIC_RELEASE)
#define ADD(p, x) __atomic_fetch_add(p, x, __ATOMIC_ACQ_REL)
#else                            /* no helpers: fastrnn_team.helpers stays 0 */
#define READ(p) (*(p))
#define WRITE(p, x) (*(p) = (x))
#define ADD(p, x) ((*(p) += (x)) - (x))
#endif

#if defined(_WIN32)
static void stand_back(void) {}
#else
#include <sched.h>
static void stand_back(void) { sched_yield(); }
#endif

/* One look in a row of them. */
static void look_again(int *looks) {
#if defined(__GNUC__) && defined(__SSE2__)
    __builtin_ia32_pause();
#endif
    if (++*looks > 1000) stand_back();
}

static void do_jobs(fastrnn_team *team) {
    int index;
    while ((index = ADD(&team->next, 1)) < team->count) team->job(team->context, index);
}

/* job(context, 0), ..., job(context, count - 1), in any order and at the same time. */
static void share_out(fastrnn_team *team, void (*job)(void *, int), void *context, int count) {
    if (!team || team->helpers < 1 || count < 2) {
        for (int i = 0; i < count; i++) job(context, i);
        return;
    }
    int looks = 0;
    team->job = job;
    team->context = context;
    team->count = count;
    WRITE(&team->next, 0);
    WRITE(&team->busy, team->helpers);
    ADD(&team->round, 1);        /* lets the helpers go */
    do_jobs(team);
    while (READ(&team->busy)) look_again(&looks);
}

static void help(fastrnn_team *team) {
    for (int round = 1;; round++) {
        int looks = 0;
        while (READ(&team->round) < round) look_again(&looks);
        if (!team->job) return;
        do_jobs(team);
        ADD(&team->busy, -1);
    }
}

static void dismiss(fastrnn_team *team) {
    team->job = NULL;
    ADD(&team->round, 1);
}

#endif
