/* team.h - threads that share the jobs of an update.
 *
 * They are the caller's: each enters help() and stays until the leader dismisses the team. Between
 * jobs a helper waits for microseconds, so it polls rather than sleeps; where other threads want
 * its core it yields. The leader waits for jobs, not for helpers: one that has lost its core to
 * another program while it waited for work delays nobody. */
#pragma once

#include "fastrnn.h"
#include "real.h"

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
static void yield(void) {}
#else
#include <sched.h>
static void yield(void) { sched_yield(); }
#endif

/* Waits a moment, before the next of a row of polls. */
static void wait_a_moment(int *polls) {
#if defined(__GNUC__) && defined(__SSE2__)
    __builtin_ia32_pause();
#endif
    if (++*polls > 1000) yield();
}

/* The next job to do, or -1. The ticket is the jobs of the round << 32, plus those given away: one
 * word, so that a job that is taken belongs to the round whose number of jobs was read. */
static int take(fastrnn_team *team) {
    uint64_t ticket = READ(&team->ticket);
    if ((uint32_t)ticket < ticket >> 32) ticket = ADD(&team->ticket, 1);
    return (uint32_t)ticket < ticket >> 32 ? (int)(uint32_t)ticket : -1;
}

static void do_jobs(fastrnn_team *team) {
    int index;
    while ((index = take(team)) >= 0) {
        team->job(team->context, index);
        ADD(&team->done, 1);
    }
}

/* job(context, 0), ..., job(context, count - 1), in any order and some at the same time. Helpers
 * flush subnormals; the caller does so before. */
static void share_out(fastrnn_team *team, void (*job)(void *, int), void *context, int count) {
    if (!team || team->helpers < 1 || count < 2) {
        for (int i = 0; i < count; i++) job(context, i);
        return;
    }
    int polls = 0;
    team->job = job;
    team->context = context;
    team->done = 0;
    WRITE(&team->ticket, (uint64_t)count << 32);
    do_jobs(team);
    while (READ(&team->done) < count) wait_a_moment(&polls);
}

static void help(fastrnn_team *team) {
    const control before = flush_subnormals();
    int polls = 0;
    while (!READ(&team->dismissed)) {
        const uint64_t ticket = READ(&team->ticket);
        if ((uint32_t)ticket < ticket >> 32) {
            do_jobs(team);
            polls = 0;
        } else {
            wait_a_moment(&polls);
        }
    }
    restore(before);
}

static void dismiss(fastrnn_team *team) { WRITE(&team->dismissed, 1); }
