/* runtime.c: how many threads, whether they pay, and per-thread scratch memory. Baseline code, no
 * kernels.
 *
 * Threads come from OpenMP: one region per kernel call with num_threads(n), never nested. After
 * fork() libgomp's pool does not exist in the child, whose first region would wait for it for ever,
 * so a child runs on one thread (fdl_after_fork).
 */
#define _GNU_SOURCE
#include "fastdl.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#include <sched.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

/* ---- how many threads ------------------------------------------------------------------------ */

static int wanted;           /* set_num_threads; 0: fdl_available_threads               */
static int most_threads = 1; /* a thread that cannot be made ends the process: keep off */
static volatile int forked;
#ifdef _OPENMP
static int openmp_at_start; /* OpenMP's own count when this library was loaded */
#endif

static void in_child(void) { forked = 1; }

__attribute__((constructor)) static void at_load(void)
{
    pthread_atfork(NULL, NULL, in_child);
#ifdef _OPENMP
    openmp_at_start = omp_get_max_threads();
    most_threads = 4 * omp_get_num_procs() < 64 ? 64 : 4 * omp_get_num_procs();
#endif
}

int fdl_after_fork(void) { return forked; }

int fdl_has_openmp(void)
{
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

const char *fdl_compiler(void)
{
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

#if defined(_OPENMP) && defined(__linux__)
/* The first numbers in a file; how many were read */
static int read_numbers(const char *path, double *a, double *b)
{
    FILE *f = fopen(path, "r");
    int n = f ? fscanf(f, "%lf %lf", a, b) : 0;
    if (f) fclose(f);
    return n < 0 ? 0 : n;
}

/* CPUs' worth of time that the control group `group` and those above it allow; 0: no limit. Version
 * 2 writes "quota period" or "max period" in cpu.max, version 1 a file each, quota -1: no limit. */
static double group_cpus(int version, char *group)
{
    char path[4352];
    double quota, period, least = 0;
    for (;;) {
        int found;
        if (version == 2) {
            snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
            found = read_numbers(path, &quota, &period) == 2;
        } else {
            snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", group);
            found = read_numbers(path, &quota, &period) >= 1;
            snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", group);
            found = found && read_numbers(path, &period, &period) >= 1;
        }
        if (found && quota > 0 && period > 0 && (least == 0 || quota / period < least))
            least = quota / period;
        char *slash = strrchr(group, '/');
        if (!slash) return least;
        *slash = 0; /* the parent; "" is the root, where a container's own group is mounted */
    }
}

/* The least of the quotas on this process, rounded up to whole CPUs; 0: no limit */
static int quota_cpus(void)
{
    char line[4096];
    double least = 0;
    FILE *f = fopen("/proc/self/cgroup", "r"); /* "0::/group", "4:cpu,cpuacct:/group" */
    while (f && fgets(line, sizeof line, f)) {
        char *controllers = strchr(line, ':'),
             *group = controllers ? strchr(controllers + 1, ':') : 0;
        if (!group) continue;
        *group++ = 0;
        group[strcspn(group, "\n")] = 0;
        int version = 0;
        if (controllers[1] == 0) version = 2;
        for (char *c = strtok(controllers + 1, ","); c; c = strtok(NULL, ","))
            if (!strcmp(c, "cpu")) version = 1;
        double cpus = version ? group_cpus(version, group) : 0;
        if (cpus > 0 && (least == 0 || cpus < least)) least = cpus;
    }
    if (f) fclose(f);
    return least > 0 && least < 1 ? 1 : (int)(least + 0.999);
}
#endif

int fdl_available_threads(void)
{
#ifdef _OPENMP
    const char *wish = getenv("OMP_NUM_THREADS");
    if (wish && atoi(wish) > 0) return atoi(wish); /* "4,2": a count per level; the first is ours */
    int n = openmp_at_start;
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < n) n = CPU_COUNT(&set);
    int quota = quota_cpus();
    if (quota && quota < n) n = quota;
#endif
    return n < 1 ? 1 : n;
#else
    return 1;
#endif
}

void fdl_set_threads(int n) { __atomic_store_n(&wanted, n, __ATOMIC_RELAXED); }

int fdl_threads(void)
{
    int n = __atomic_load_n(&wanted, __ATOMIC_RELAXED);
    if (n == 0) {
        n = fdl_available_threads();
        fdl_set_threads(n);
    }
#ifdef _OPENMP
    /* somebody lowered OpenMP's count in this thread since: omp_set_num_threads, threadpoolctl */
    int limit = omp_get_max_threads();
    if (limit < openmp_at_start && limit < n) n = limit;
#endif
    return n;
}

/* Nanoseconds this thread could have run but had to wait for a CPU; -1: the system does not say */
static int64_t run_delay(void)
{
    double ran, waited;
#if defined(_OPENMP) && defined(__linux__)
    if (read_numbers("/proc/thread-self/schedstat", &ran, &waited) == 2) return (int64_t)waited;
#else
    (void)ran, (void)waited;
#endif
    return -1;
}

/* Does one of four empty parallel regions take a millisecond? They take 0.001 where every thread
 * has a CPU, several where one has been put aside. */
static int regions_are_slow(int threads)
{
    double ms = 0;
    if (threads > most_threads) threads = most_threads;
    for (int i = 0; i < 4 && ms <= 1; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
        __asm__ volatile("" ::: "memory");
#endif
        clock_gettime(CLOCK_MONOTONIC, &b);
        ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) * 1e-6;
    }
    (void)threads;
    return ms > 1;
}

/* Are other programs on our CPUs? Then the end of every parallel region waits for a thread that has
 * been put aside for milliseconds, while OpenMP's spinning threads use up their own share of time:
 * on two busy cores two threads were 20 to 60 times slower than one (measured). The sign is the
 * time this thread had to wait for a CPU: under 1 % of the time on idle cores, half of it on busy
 * ones. It is looked for every 50 ms. NumPy's BLAS threads spin for 30 ms after each product and
 * give that sign, too; so it takes three in a row, each with a slow region. Then all keeps to one
 * thread for 0.1 s, after which one more sign is enough for twice as long, up to 0.4 s, and none
 * ends it: a slow region costs some milliseconds, a longer pause all that a free CPU could have
 * done. Results do not depend on the number of threads, so this shows in the time only. */
#ifndef CLOCK_MONOTONIC_COARSE /* steps of 1-10 ms, and read in a fifth of the time */
#define CLOCK_MONOTONIC_COARSE CLOCK_MONOTONIC
#endif
static int cpus_are_shared(int threads)
{
    enum { LOOK = 50, SIGNS = 3, LEAST = 100, MOST = 400, MS = 1000000 };
    static __thread int64_t last_look, last_delay, shared_until, pause;
    static __thread int signs;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    int64_t now = (int64_t)t.tv_sec * 1000 * MS + t.tv_nsec;
    if (now - last_look >= LOOK * MS && now >= shared_until) {
        int64_t delay = run_delay(), waited = last_look ? delay - last_delay : 0;
        int sign = waited * 10 > now - last_look && regions_are_slow(threads);
        signs = sign ? signs + 1 : 0;
        if (!sign) {
            pause = 0;
        } else if (signs == SIGNS || pause) {
            signs = 0;
            pause = pause ? pause * 2 : LEAST;
            if (pause > MOST) pause = MOST;
            shared_until = now + pause * MS;
        }
        last_look = now;
        last_delay = delay;
    }
    return now < shared_until;
}

int fdl_free_threads(void)
{
    int n = fdl_threads();
    return n > 1 && !forked && cpus_are_shared(n) ? 1 : n;
}

static __thread int planned = 1; /* the most threads that fdl_plan granted to this thread */

/* A region costs 0.6 us while OpenMP's threads still spin after the last one, as they do between
 * the operations of a step, and 5-50 us if they have gone to sleep (measured, 2 cores): 8 us of
 * work each pay in the first case and lose little in the second. `work` is what one thread takes
 * where all lies in its caches, the quickest case: bench/threads.py --switch shows how near to
 * 16 us each kernel's estimate takes the second thread. */
int fdl_plan(int threads, double work)
{
    if (forked || threads <= 1) return 1;
#ifdef _OPENMP
    if (omp_in_parallel()) return 1;
#endif
    double useful = work / 8e3;
    if (threads > most_threads) threads = most_threads;
    if (useful < threads) threads = useful < 2 ? 1 : (int)useful;
    if (threads > planned) planned = threads;
    return threads;
}

int fdl_planned(void)
{
    int most = planned;
    planned = 1;
    return most;
}

/* Zeros, made by several threads where there are enough: 0.01 ns a byte on one */
void fdl_zero(void *p, size_t bytes)
{
    int parts = fdl_plan(fdl_free_threads(), 0.01 * (double)bytes);
    if (parts <= 1) {
        memset(p, 0, bytes);
        return;
    }
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts)
    for (int t = 0; t < parts; t++) {
        size_t begin = bytes / 64 * (size_t)t / (size_t)parts * 64;
        size_t end = t + 1 < parts ? bytes / 64 * (size_t)(t + 1) / (size_t)parts * 64 : bytes;
        memset((char *)p + begin, 0, end - begin);
    }
#endif
}

/* Signs of differences instead of comparisons, which SSE2 has none of for 64 bits */
int fdl_outside(const int64_t *index, int64_t n, int64_t low, int64_t high)
{
    uint64_t signs = 0;
    if (low >= high) return n > 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t above = (uint64_t)index[i] - (uint64_t)low; /* negative numbers become large */
        signs |= above | ((uint64_t)(high - low - 1) - above);
    }
    return signs >> 63;
}

/* ---- scratch --------------------------------------------------------------------------------- */

/* Buffers of LARGE bytes and more are cut, one after the other, from chunks of one huge page. Pages
 * of 4 KiB lie anywhere in memory, and where many of them happen to share their sets of L2, what a
 * kernel wrote a moment ago is gone: on two threads, convolutions of few channels took 1.2 times as
 * long (measured). */
enum { PAGE = 4096, CHUNK = (2 << 20) - 64 }; /* 64: fdl_alloc's header */
#ifdef __SANITIZE_ADDRESS__
enum { LARGE = CHUNK };             /* let it see what is read or written past a buffer */
#else
enum { LARGE = 32 * PAGE };
#endif

typedef struct {
    size_t used;                    /* bytes, with this header */
    int live;                       /* buffers */
} chunk;

typedef struct {
    void *p;
    size_t n;
    chunk *in;                      /* NULL: a block of its own */
} buffer;

static __thread buffer scratch[FDL_SCRATCH_SLOTS];
static __thread chunk *newest;      /* the one that is cut next */
static pthread_key_t at_exit_key;
static pthread_once_t at_exit_once = PTHREAD_ONCE_INIT;

static void release(buffer *b)
{
    if (!b->in) fdl_free(b->p);
    else if (--b->in->live == 0) {
        if (b->in == newest) newest = NULL;
        fdl_free(b->in);
    }
    *b = (buffer){NULL, 0, NULL};
}

/* `size` bytes and a page to spare: vector loads may run past the end */
static buffer obtain(size_t size)
{
    const size_t head = 64, all = size + PAGE;
    if (size < LARGE || all > CHUNK - head) return (buffer){fdl_alloc(all), size, NULL};
    if (!newest || newest->used + all > CHUNK) {
        chunk *c = fdl_alloc(CHUNK);
        if (!c) return (buffer){NULL, 0, NULL};
        *c = (chunk){head, 0};
        newest = c;
    }
    char *p = (char *)newest + newest->used;
    newest->used += all;
    newest->live++;
    return (buffer){p, size, newest};
}

static void free_scratch(void *buffers)
{
    for (int i = 0; i < FDL_SCRATCH_SLOTS; i++) release((buffer *)buffers + i);
}
static void make_key(void) { pthread_key_create(&at_exit_key, free_scratch); }

void *fdl_scratch(int slot, size_t bytes)
{
    buffer *b = &scratch[slot];
    if (b->n < bytes || !b->p) {
        if (bytes > SIZE_MAX / 2) return NULL;
        release(b);
        *b = obtain((bytes + PAGE - 1) / PAGE * PAGE);
        if (!b->p) return NULL;
        pthread_once(&at_exit_once, make_key);
        pthread_setspecific(at_exit_key, scratch); /* free_scratch(scratch) when the thread ends */
    }
    return b->p;
}
