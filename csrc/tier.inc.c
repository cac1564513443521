/* tier.inc.c: one instruction set. Included by tier_<isa>.c, which defines TIER, VBYTES and the
 * GEMM tile; compiles every kernel for f32, then for f64, and exports one table for each:
 * fdl_<isa>_f32 and fdl_<isa>_f64. A tier file is the whole translation unit: kernels are `static`.
 */
#include "fastdl.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#define OMP_PRAGMA(x) _Pragma(#x)
#define OMP(x) OMP_PRAGMA(omp x)
#else
#define OMP(x)
#define omp_get_thread_num() 0
#define omp_get_num_threads() 1
#endif

#define CAT2(a, b) a##b
#define CAT(a, b) CAT2(a, b)
#define STR2(x) #x
#define STR(x) STR2(x)
#define UNROLL_PRAGMA(x) _Pragma(#x)
#ifdef __clang__
/* a count alone does not make clang unroll wholly, and sums left in an array stay in memory; where
 * the plain-C tile's trip counts are not known it need not unroll, nor say so */
#define UNROLL(n) UNROLL_PRAGMA(clang loop unroll(full))
#pragma clang diagnostic ignored "-Wpass-failed"
#else
#define UNROLL(n) UNROLL_PRAGMA(GCC unroll n)
#endif
/* Loops unrolled for the commonest sizes are compiled where speed counts most; doubles, and the
 * tier that is only a resort on its processor, take the general ones, which compute the same. */
#if defined(__x86_64__)
#define TAILORED (REAL_BYTES == 4 && VBYTES > 16)
#else
#define TAILORED (REAL_BYTES == 4)
#endif
#define INLINE static inline __attribute__((always_inline, unused))
#define NOINLINE static __attribute__((noinline, unused))

/* `call` on `parts` pieces [begin, end) of [0, n), a thread each. Pieces begin at multiples of
 * `grain` (a multiple of every VL), so an element falls into the same vector for any number. */
#define SPLIT(parts, n, grain, call)                                                       \
    do {                                                                                   \
        const int64_t n_ = (n), units_ = (n_ + (grain) - 1) / (grain);                      \
        const int parts_ = (parts);                                                        \
        if (parts_ <= 1) {                                                                 \
            const int64_t begin = 0, end = n_;                                             \
            call;                                                                          \
            break;                                                                         \
        }                                                                                  \
        OMP(parallel for schedule(static) num_threads(parts_))                             \
        for (int t_ = 0; t_ < parts_; t_++) {                                              \
            const int64_t begin = units_ * t_ / parts_ * (grain);                          \
            const int64_t end = t_ + 1 < parts_ ? units_ * (t_ + 1) / parts_ * (grain) : n_; \
            call;                                                                          \
        }                                                                                  \
    } while (0)

INLINE int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }   /* a >= 0, b > 0 */

/* Tasks 0 ... n - 1 of a parallel region, drawn by its threads. Each takes those of its own share
 * first, whose data its core's caches may still hold from other regions over the same images or
 * channels, then what the others have left of theirs: a core may be far from another's cache. */
#define SHARES 64
typedef struct tasks {
    int64_t taken[SHARES];                              /* of each share; 0 at first              */
} tasks;

static int64_t next_task(tasks *of, int64_t n)          /* -1: none is left                       */
{
    const int threads = omp_get_num_threads() < SHARES ? omp_get_num_threads() : SHARES;
    for (int i = 0, share = omp_get_thread_num() % threads; i < threads; i++, share++) {
        if (share == threads) share = 0;
        const int64_t first = n * share / threads, count = n * (share + 1) / threads - first;
        if (__atomic_load_n(of->taken + share, __ATOMIC_RELAXED) >= count) continue;
        const int64_t t = __atomic_fetch_add(of->taken + share, 1, __ATOMIC_RELAXED);
        if (t < count) return first + t;
    }
    return -1;
}

/* By one thread, at a time when none draws from it: they are all there again. */
static void renew(tasks *of)
{
    if (omp_get_thread_num() == 0) *of = (tasks){{0}};
}

/* By any thread: the status of what all of them do, if its task has failed, for want of memory. */
static void report(int *status, int of_task)
{
    if (of_task != FDL_OK) __atomic_store_n(status, FDL_NOMEM, __ATOMIC_RELAXED);
}

/* one dtype: the kernel bodies in reading order, then their table */
#define REAL float
#define REAL_BYTES 4
#define INT int32_t
#define UINT uint32_t
#define F(name) name##_f32
#define DTYPE f32
#include "kernels.inc.c"

/* The doubles' copy is the smaller code of the two: courses train in floats, and their vectors,
 * unrolled by pragma, stay as they are. */
#if defined(__OPTIMIZE__) && !defined(__clang__)
#pragma GCC optimize("Os", "no-ivopts")
#endif
#define REAL double
#define REAL_BYTES 8
#define INT int64_t
#define UINT uint64_t
#define F(name) name##_f64
#define DTYPE f64
#include "kernels.inc.c"
