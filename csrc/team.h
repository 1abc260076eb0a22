/* team.h - the threads of a call into the kernels, which share its jobs.
 *
 * Beside the caller they are helpers out of the process's one pool (team.c), which come when there
 * are jobs and may help another call in between. The caller does all jobs that nobody else has
 * begun, so no call needs a helper, and no job may wait for another. */
#pragma once

#include "fastrnn.h"
#include "real.h"

enum { MOST_THREADS = 48 }; /* of a call */

/* A place of a thread in a call: the jobs of the round that are its own to begin with, from the
 * first to the end << 32. One word, so that a job that is taken belongs to the round in which it
 * was found. In each round a place has the same jobs, whose data may still be in its cache. */
typedef struct {
    uint64_t jobs;
    char apart[120]; /* nothing that other threads write is near */
} team_place;

struct fastrnn_team {
    uint64_t taken; /* bits of the places where a thread is, then `threads` while the
                     * call lasts; 0: free for another call */
    int threads;
    int caller_sleeps;
    void (*job)(void *context, int index);
    void *context;
    char apart[96];
    uint32_t left; /* jobs of this round that are not finished */
    char apart2[124];
    team_place places[MOST_THREADS];
};

/* How many threads a call has, to cut its work into as many parts; not for what is computed. */
INLINE int workers(const fastrnn_team *team) { return team ? team->threads : 1; }

fastrnn_team *fastrnn_gather(int threads); /* these are explained in fastrnn.h */
void fastrnn_part(fastrnn_team *team);
int fastrnn_helpers(void);
void fastrnn_end_helpers(void);
int fastrnn_come_in(void);
void fastrnn_go_out(void);
int fastrnn_fork_begins(void);
void fastrnn_fork_ends(void);
void fastrnn_start_anew(void);

void fastrnn_share_out(fastrnn_team *team, void (*job)(void *, int), void *context, int count);

/* job(context, 0), ..., job(context, count - 1), in any order and some at the same time. Helpers
 * flush subnormals; the caller does so before. */
INLINE void share_out(fastrnn_team *team, void (*job)(void *, int), void *context, int count) {
    if (team && count > 1) fastrnn_share_out(team, job, context, count);
    else
        for (int i = 0; i < count; i++) job(context, i);
}
