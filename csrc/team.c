/* team.c - the pool of threads of this process, which help all calls into the kernels, and forks,
 * which wait for these calls. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for syscall() and signals, in strict C99 */
#endif
#include "real.h"
#include "team.h"

#ifdef GNU_C
#include "threads.h"

#define READ(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define WRITE(p, x) __atomic_store_n(p, x, __ATOMIC_SEQ_CST)
#define PUBLISH(p, x) __atomic_store_n(p, x, __ATOMIC_RELEASE)
#define ADD(p, x) __atomic_add_fetch(p, x, __ATOMIC_SEQ_CST)
#define SWAP(p, old, new)                                                                          \
    __atomic_compare_exchange_n(p, old, new, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

/* Nanoseconds that a thread polls before it sleeps, about as long as it takes to wake one where that
 * takes long, in a virtual machine; and polls for each look at the clock, since a pause takes 10 to
 * 140 cycles. */
enum { PATIENCE = 50000, POLLS = 32, MOST_CALLS = 32 };

static struct {
    fastrnn_team calls[MOST_CALLS];
    uint32_t bell;     /* rises with each round and each end of a call */
    uint32_t sleepers; /* helpers that wait for the bell, or are about to */
    int ending;
    int helpers; /* that have been started; with `threads` under the lock */
    thread threads[MOST_THREADS];
} pool __attribute__((aligned(128)));
static mutex lock = UNLOCKED;

static void pause_a_moment(void) {
#if defined(__SSE2__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

typedef struct {
    int polls;
    int64_t start;
} patience;

/* Pauses before the next poll; 0 where it is time to sleep instead. */
static int wait_a_moment(patience *p) {
    pause_a_moment();
    if (++p->polls % POLLS) return 1;
    const int64_t time = nanoseconds();
    if (p->polls == POLLS) p->start = time;
    return time - p->start < PATIENCE;
}

/* A helper reads the bell, looks for jobs, counts itself a sleeper and sleeps while the bell is what
 * it read. Who has jobs lays them out, rings, and reads the number of sleepers. Either the helper
 * has read the bell after that ring: then it found the jobs. Or before: then it does not fall
 * asleep after the ring, and if it did before it, it had been counted before, so it is woken. */
static void ring(void) { ADD(&pool.bell, 1); }
static void wake_helpers(int count) {
    if (count > 0 && READ(&pool.sleepers)) wake(&pool.bell, count);
}

/* ---- jobs ---- */

#define THREADS_BIT 48 /* of `taken`: from here on, the threads of the call */
static uint64_t places(uint64_t taken) { return taken & ((1ull << THREADS_BIT) - 1); }

/* A job for the thread in a place: the first of its own, or else the last of another's; or -1. */
static int take(fastrnn_team *team, int place) {
    for (int i = 0; i < team->threads; i++) {
        uint64_t *jobs = &team->places[(place + i) % team->threads].jobs, some = READ(jobs);
        for (;;) {
            const uint32_t first = (uint32_t)some, end = some >> 32;
            if (first >= end) break;
            if (SWAP(jobs, &some, i ? some - (1ull << 32) : some + 1)) {
                return (int)(i ? end - 1 : first);
            }
        }
    }
    return -1;
}

/* Whether there was a job for this thread, which then has done all that it got. */
static int do_jobs(fastrnn_team *team, int place) {
    int index, any = 0;
    for (; (index = take(team, place)) >= 0; any = 1) {
        team->job(team->context, index);
        if (ADD(&team->left, -1) == 0 && READ(&team->caller_sleeps)) wake(&team->left, 1);
    }
    return any;
}

void fastrnn_share_out(fastrnn_team *team, void (*job)(void *, int), void *context, int count) {
    const int threads = team->threads, each = count / threads, longer = count % threads;
    team->job = job;
    team->context = context;
    WRITE(&team->left, (uint32_t)count);
    for (int i = 0, first = 0, end; i < threads; i++, first = end) {
        end = first + each + (i < longer);
        PUBLISH(&team->places[i].jobs, (uint64_t)end << 32 | (uint32_t)first);
    }
    ring();
    wake_helpers(least(count, threads) - __builtin_popcountll(places(READ(&team->taken))));
    do_jobs(team, 0);
    patience p = {0, 0};
    for (uint32_t left; (left = READ(&team->left));) {
        if (wait_a_moment(&p)) continue;
        /* who finishes the last job changes `left` and then reads this, so as for the bell */
        WRITE(&team->caller_sleeps, 1);
        sleep_while(&team->left, left);
        WRITE(&team->caller_sleeps, 0);
    }
}

/* ---- helpers ---- */

/* Takes a free place in a call, `wish` if possible; returns it, or 0 where there is none. */
static int enter(fastrnn_team *team, int wish) {
    uint64_t taken = READ(&team->taken);
    for (;;) {
        const int threads = (int)(taken >> THREADS_BIT);
        int place = wish < threads && !(taken >> wish & 1) ? wish : 1;
        while (place < threads && taken >> place & 1) place++;
        if (place >= threads) return 0;
        if (SWAP(&team->taken, &taken, taken | 1ull << place)) return place;
    }
}

static void leave(fastrnn_team *team, int place) {
    __atomic_fetch_and(&team->taken, ~(1ull << place), __ATOMIC_SEQ_CST);
}

/* Whether there were jobs for this helper: in the call where it is, else in another, to which it
 * then moves. */
static int help_somebody(fastrnn_team **at, int *place) {
    if (*at && do_jobs(*at, *place)) return 1;
    if (*at && !(READ(&(*at)->taken) >> THREADS_BIT)) { /* the call has ended */
        leave(*at, *place);
        *at = NULL;
    }
    for (fastrnn_team *team = pool.calls; team < pool.calls + MOST_CALLS; team++) {
        if (team == *at || !READ(&team->left)) continue;
        const int there = enter(team, *place);
        if (!there) continue;
        if (*at) leave(*at, *place);
        *at = team;
        *place = there;
        if (do_jobs(team, there)) return 1;
    }
    return 0;
}

static end_of_thread help(void *first_place) {
    fastrnn_team *at = NULL;
    int place = (int)(intptr_t)first_place;
    patience p = {0, 0};
    flush_subnormals(); /* a helper does nothing else */
    for (;;) {
        const uint32_t bell = READ(&pool.bell);
        if (READ(&pool.ending)) break;
        if (help_somebody(&at, &place)) p.polls = 0;
        int patient = 1;
        while (READ(&pool.bell) == bell && patient) patient = wait_a_moment(&p);
        if (patient) continue;
        if (at) leave(at, place);
        at = NULL;
        ADD(&pool.sleepers, 1);
        sleep_while(&pool.bell, bell);
        ADD(&pool.sleepers, -1);
        p.polls = 0;
    }
    if (at) leave(at, place);
    return 0;
}

/* Starts helpers until there are `count`, or the system has no more threads. */
static int start_helpers(int count) {
    acquire(&lock);
    while (pool.helpers < count
           && start(&pool.threads[pool.helpers], help, (void *)(intptr_t)(pool.helpers + 1))) {
        PUBLISH(&pool.helpers, pool.helpers + 1);
    }
    count = least(count, pool.helpers);
    release(&lock);
    return count;
}

fastrnn_team *fastrnn_gather(int threads) {
    threads = least(threads, MOST_THREADS);
    if (READ(&pool.helpers) < threads - 1) threads = 1 + start_helpers(threads - 1);
    for (int i = 0; threads > 1 && i < MOST_CALLS; i++) {
        fastrnn_team *team = &pool.calls[i];
        uint64_t none = 0;
        if (!SWAP(&team->taken, &none, 1)) continue;
        team->threads = threads;
        WRITE(&team->taken, (uint64_t)threads << THREADS_BIT | 1);
        return team;
    }
    return NULL;
}

void fastrnn_part(fastrnn_team *team) {
    if (!team) return;
    __atomic_fetch_and(&team->taken, places(~1ull), __ATOMIC_SEQ_CST);
    ring(); /* helpers that are still there leave */
}

int fastrnn_helpers(void) { return READ(&pool.helpers); }

void fastrnn_end_helpers(void) {
    acquire(&lock);
    WRITE(&pool.ending, 1);
    ring();
    wake_helpers(MOST_THREADS);
    for (int i = 0; i < pool.helpers; i++) join(pool.threads[i]);
    PUBLISH(&pool.helpers, 0);
    WRITE(&pool.ending, 0);
    release(&lock);
}

/* ---- forks ---- */

/* Who comes in counts itself and then looks whether somebody forks; who forks says so and then looks
 * at the count. So one of the two sees the other. */
static uint32_t inside;    /* threads that a fork waits for */
static int forking;        /* whether a thread is */
static __thread int depth; /* how often this thread has come in */
static __thread int forks; /* whether it is the one that forks */

static void leave_inside(void) {
    if (ADD(&inside, -1) == 0 && READ(&forking)) wake(&inside, 1);
}

int fastrnn_come_in(void) {
    if (!depth) {
        ADD(&inside, 1);
        if (!forks && READ(&forking)) {
            leave_inside();
            return 0;
        }
    }
    depth++;
    return 1;
}

void fastrnn_go_out(void) {
    if (!--depth) leave_inside();
}

int fastrnn_fork_begins(void) {
    int nobody = 0;
    if (!forks && !SWAP(&forking, &nobody, 1)) return 0;
    forks = 1;
    for (uint32_t some; !depth && (some = READ(&inside));) sleep_while(&inside, some);
    return 1;
}

void fastrnn_fork_ends(void) {
    forks = 0;
    WRITE(&forking, 0);
}

void fastrnn_start_anew(void) {
    static const mutex unlocked = UNLOCKED;
    lock = unlocked;
    memset(&pool, 0, sizeof(pool));
    inside = depth > 0;
    fastrnn_fork_ends();
}

#else /* no helpers */

void fastrnn_share_out(fastrnn_team *team, void (*job)(void *, int), void *context, int count) {
    (void)team;
    for (int i = 0; i < count; i++) job(context, i);
}
fastrnn_team *fastrnn_gather(int threads) {
    (void)threads;
    return NULL;
}
void fastrnn_part(fastrnn_team *team) { (void)team; }
int fastrnn_helpers(void) { return 0; }
void fastrnn_end_helpers(void) {}
int fastrnn_come_in(void) { return 1; }
void fastrnn_go_out(void) {}
int fastrnn_fork_begins(void) { return 1; }
void fastrnn_fork_ends(void) {}
void fastrnn_start_anew(void) {}

#endif
