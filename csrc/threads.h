/* threads.h - what team.c needs of the system: threads, a lock, a clock, and sleep until a word has
 * changed. Of Linux, of other systems with POSIX threads, or of Windows. */
#pragma once

#include <stdint.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

typedef HANDLE thread;
typedef DWORD end_of_thread; /* what its function returns */
typedef SRWLOCK mutex;
typedef CONDITION_VARIABLE condition;
#define UNLOCKED SRWLOCK_INIT
#define NOBODY_WAITS CONDITION_VARIABLE_INIT

static void acquire(mutex *m) { AcquireSRWLockExclusive(m); }
static void release(mutex *m) { ReleaseSRWLockExclusive(m); }
static void wait_on(condition *c, mutex *m) { SleepConditionVariableSRW(c, m, INFINITE, 0); }
static void wake_all(condition *c) { WakeAllConditionVariable(c); }

static int64_t nanoseconds(void) {
    LARGE_INTEGER ticks, a_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&a_second);
    return (int64_t)((double)ticks.QuadPart / (double)a_second.QuadPart * 1e9);
}

/* Whether a thread began. */
static int start(thread *t, end_of_thread (*function)(void *), void *argument) {
    *t = CreateThread(NULL, 0, function, argument, 0, NULL);
    return *t != NULL;
}
static void join(thread t) {
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}

#else
#include <pthread.h>
#include <signal.h>
#include <time.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

typedef pthread_t thread;
typedef void *end_of_thread;
typedef pthread_mutex_t mutex;
typedef pthread_cond_t condition;
#define UNLOCKED PTHREAD_MUTEX_INITIALIZER
#define NOBODY_WAITS PTHREAD_COND_INITIALIZER

static void acquire(mutex *m) { pthread_mutex_lock(m); }
static void release(mutex *m) { pthread_mutex_unlock(m); }
static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}
static int start(thread *t, end_of_thread (*function)(void *), void *argument) {
    sigset_t ours, all;
    sigfillset(&all); /* signals are for the threads of Python, but for its faulthandler */
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &ours);
    const int failed = pthread_create(t, NULL, function, argument);
    pthread_sigmask(SIG_SETMASK, &ours, NULL);
    return !failed;
}
static void join(thread t) { pthread_join(t, NULL); }
#ifndef SYS_futex
static void wait_on(condition *c, mutex *m) { pthread_cond_wait(c, m); }
static void wake_all(condition *c) { pthread_cond_broadcast(c); }
#endif
#endif

/* ---- sleep while *word == value; wake the threads that do ---- */

#if defined(SYS_futex)
/* Linux's FUTEX_WAIT_PRIVATE and FUTEX_WAKE_PRIVATE, whose header not every C library comes with. */
enum { WAIT = 128, WAKE = 129 };
static void sleep_while(uint32_t *word, uint32_t value) {
    syscall(SYS_futex, word, WAIT, value, NULL, NULL, 0);
}
static void wake(uint32_t *word, int count) {
    syscall(SYS_futex, word, WAKE, count, NULL, NULL, 0);
}
#else
static mutex asleep = UNLOCKED;
static condition woken = NOBODY_WAITS;
static void sleep_while(uint32_t *word, uint32_t value) {
    acquire(&asleep);
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value) wait_on(&woken, &asleep);
    release(&asleep);
}
static void wake(uint32_t *word, int count) {
    (void)word, (void)count;
    acquire(&asleep);
    wake_all(&woken);
    release(&asleep);
}
#endif
