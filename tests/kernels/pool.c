/* Calls from several threads at once into csrc/team.c, which is part of this program: each job of a
 * round is done once, by no more threads at a time than the call has. Prints the helpers there were.
 * Arguments: calls at once, rounds of each, and the most threads of a call. */
#include "../../csrc/team.c"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_JOBS = 200 };

typedef struct {
    int number, rounds, threads, inside, too_many, done[MOST_JOBS];
    unsigned chance;
    int length, sum;
} caller;

static int at_random(caller *c, int below) {
    c->chance = c->chance * 1664525u + 1013904223u;
    return (int)((c->chance >> 8) % (unsigned)below);
}

static void job(void *context, int index) {
    caller *c = context;
    if (ADD(&c->inside, 1) > c->threads) WRITE(&c->too_many, 1);
    c->done[index]++;            /* a race where two threads do a job */
    for (volatile int i = 0; i < c->length; i++) {}
    ADD(&c->inside, -1);
}

static void *call(void *context) {
    caller *c = context;
    for (int round = 0; round < c->rounds;) {
        fastrnn_team *team = fastrnn_gather(c->threads = 1 + at_random(c, c->number));
        for (int i = 1 + at_random(c, 20); i > 0; i--, round++) {
            const int count = 1 + at_random(c, MOST_JOBS);
            c->length = at_random(c, 200);
            memset(c->done, 0, sizeof(c->done));
            share_out(team, job, c, count);
            for (int k = 0; k < MOST_JOBS; k++) {
                if (c->done[k] != (k < count)) return "a job was not done once";
            }
            for (volatile int k = at_random(c, 100) ? 0 : 200000; k > 0; k--) {}     /* they sleep */
        }
        fastrnn_part(team);
    }
    return c->too_many ? "more threads in a call than it has" : NULL;
}

int main(int count, char **given) {
    static caller callers[64];
    pthread_t threads[64];
    const int calls = atoi(given[1]);
    for (int i = 0; i < calls; i++) {
        callers[i] = (caller){.number = atoi(given[3]), .rounds = atoi(given[2]),
                              .chance = (unsigned)(i + count)};
        pthread_create(&threads[i], NULL, call, &callers[i]);
    }
    for (int i = 0; i < calls; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        if (wrong) return fprintf(stderr, "%s\n", (char *)wrong), 1;
    }
    printf("%d\n", fastrnn_helpers());
    fastrnn_end_helpers();
    if (fastrnn_helpers()) return 1;
    return call(&callers[0]) != NULL;        /* they start anew; the process ends with them */
}
