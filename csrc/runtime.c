/* runtime.c: how many threads, whether they pay, and per-thread scratch memory. Baseline code, no kernels.
 *
 * Threads come from OpenMP, one region per kernel call with num_threads(n), never nested. After fork() libgomp's pool
 * does not exist in the child and its first region would hang, so a child runs serially (fdl_after_fork).
 */
#define _GNU_SOURCE
#include "fastdl.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sched.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

static volatile int forked;
static void in_child(void) { forked = 1; }
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, in_child); }
int fdl_after_fork(void) { return forked; }

int fdl_has_openmp(void)
{
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

#if defined(__linux__) && defined(_OPENMP)
/* CPUs' worth of time the control group allows, rounded up; 0: no limit found. cgroup v2 writes "quota period" or
 * "max period" in cpu.max, v1 two files. Inside a container the own group is mounted at the root. */
static int cgroup_cpus(void)
{
    double quota = -1, period = -1;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (f) {
        if (fscanf(f, "%lf %lf", &quota, &period) != 2) quota = -1;   /* "max ..." does not scan */
        fclose(f);
    } else if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r"))) {
        if (fscanf(f, "%lf", &quota) != 1) quota = -1;
        fclose(f);
        if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r"))) {
            if (fscanf(f, "%lf", &period) != 1) period = -1;
            fclose(f);
        }
    }
    if (quota <= 0 || period <= 0) return 0;
    int cpus = (int)(quota / period + 0.999);
    return cpus < 1 ? 1 : cpus;
}
#endif

int fdl_available_threads(void)
{
#ifdef _OPENMP
    const char *wish = getenv("OMP_NUM_THREADS");
    if (wish && atoi(wish) > 0) return atoi(wish);      /* "4,2": levels; the first counts */
    int n = omp_get_max_threads();
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < n) n = CPU_COUNT(&set);
    int quota = cgroup_cpus();
    if (quota && quota < n) n = quota;
#endif
    return n < 1 ? 1 : n;
#else
    return 1;
#endif
}

/* A parallel region costs 1-10 us, so a thread must have about 20 us of work to pay for itself. */
int fdl_plan(int threads, double work)
{
    if (forked || threads <= 1) return 1;
#ifdef _OPENMP
    if (omp_in_parallel()) return 1;
#endif
    double useful = work / 20e3;
    return useful >= threads ? threads : useful < 2 ? 1 : (int)useful;
}

static __thread struct { void *p; size_t n; } scratch[FDL_SCRATCH_SLOTS];
static pthread_key_t at_exit_key;
static pthread_once_t at_exit_once = PTHREAD_ONCE_INIT;

static void free_scratch(void *unused)
{
    (void)unused;
    for (int i = 0; i < FDL_SCRATCH_SLOTS; i++) {
        free(scratch[i].p);
        scratch[i].p = NULL;
        scratch[i].n = 0;
    }
}
static void make_key(void) { pthread_key_create(&at_exit_key, free_scratch); }

void *fdl_scratch(int slot, size_t bytes)
{
    if (scratch[slot].n < bytes || !scratch[slot].p) {
        if (bytes > SIZE_MAX - 8192) return NULL;
        size_t size = (bytes + 4095) / 4096 * 4096 + 4096;  /* a page to spare: vector loads may run past the end */
        void *p = NULL;
        if (posix_memalign(&p, 64, size)) return NULL;
        free(scratch[slot].p);
        scratch[slot].p = p;
        scratch[slot].n = size - 4096;
        pthread_once(&at_exit_once, make_key);
        pthread_setspecific(at_exit_key, scratch);           /* any non-NULL value: run free_scratch at thread exit */
    }
    return scratch[slot].p;
}
