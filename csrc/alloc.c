/* alloc.c: memory for arrays and the kernels' scratch, kept when freed. Baseline code, no kernels.
 *
 * A training step asks for the same sizes again and again. malloc gives large blocks back to the
 * system and gets fresh pages next time, whose first touch costs more than most operations do on
 * them (measured: relu of 1.2 MB 480 us on fresh pages, 40 us on used ones). So blocks of POOLED
 * bytes and more go to a stack per size class when freed, and the next request takes the top one:
 * the pages just used. Past the limit the blocks that lay longest go back to the system, and a
 * block of more than a quarter of it is never kept.
 *
 *   size classes   4 5 6 7, 8 10 12 14, 16 20 ... KiB: four to a doubling, under 25 % lost
 *   block          | header 64 bytes | data, 64-byte aligned ... |
 *   small          | header 16 bytes | data, 16-byte aligned ... |   from malloc
 *
 * Small blocks come in multiples of STEP; each thread keeps up to KEPT of each size without a lock:
 * malloc's own cache of this kind ends at 1 KiB, behind which it takes 0.2 us (measured).
 *
 * The last word of a header is the class, so that a pointer alone says how to free it: the size
 * that NumPy hands to free may differ from the one it asked for.
 */
#define _GNU_SOURCE
#include "fastdl.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { POOLED = 4096, CLASSES = 160, HUGE_PAGE = 2 << 20, STEP = 64 };
#ifdef __SANITIZE_ADDRESS__
enum { KEPT = 0 };                  /* let it see every free */
#else
enum { KEPT = 16 };
#endif
#define SMALL UINT64_MAX

typedef struct block {
    struct block *above, *below;    /* in the stack of its class, while free  */
    struct block *newer, *older;    /* among all free blocks, by time of free */
    void *base;                     /* what malloc returned                   */
    size_t bytes;                   /* room for data                          */
    uint64_t unused;
    uint64_t class;
} block;

typedef struct small {
    size_t bytes;
    uint64_t class;                 /* SMALL */
} small;

_Static_assert(sizeof(block) == 64 && sizeof(small) == 16, "headers keep the data aligned");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *top[CLASSES], *newest, *oldest;
static fdl_memory stats = { .limit = -1 };

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, after_fork);
}

static block *block_of(void *data) { return (block *)data - 1; }
static small *small_of(void *data) { return (small *)data - 1; }
static int is_small(void *data) { return small_of(data)->class == SMALL; }
static size_t room_of(void *data)
{
    return is_small(data) ? small_of(data)->bytes : block_of(data)->bytes;
}

/* The smallest class that holds `bytes`, and its size; CLASSES if none does. */
static int class_of(size_t bytes, size_t *room)
{
    int c = 0;
    size_t unit = 1024;
    while (c < CLASSES && 7 * unit < bytes) c += 4, unit *= 2;
    while (c < CLASSES && (4 + c % 4) * unit < bytes) c++;
    *room = (4 + c % 4) * unit;
    return c;
}

/* A quarter of the memory, which is the least of the machine's and the control group's. */
static int64_t default_limit(void)
{
#ifdef __SANITIZE_ADDRESS__
    return 0;                                       /* let it see every free */
#endif
    double bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE), group;
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "r");
    if (f) {
        if (fscanf(f, "%lf", &group) == 1 && group < bytes) bytes = group;   /* or "max" */
        fclose(f);
    }
    return (int64_t)(bytes / 4);
}

/* With the lock held: takes a free block out of both of its lists. */
static void unlink_free(block *b)
{
    if (b->above) b->above->below = b->below; else top[b->class] = b->below;
    if (b->below) b->below->above = b->above;
    if (b->newer) b->newer->older = b->older; else newest = b->older;
    if (b->older) b->older->newer = b->newer; else oldest = b->newer;
    stats.cached -= (int64_t)b->bytes;
}

/* With the lock held: takes out the oldest free blocks until the rest keeps to `limit`. Returns
 * them chained through `below`: they are freed without the lock. */
static block *evict(int64_t limit)
{
    block *gone = NULL;
    while (stats.cached > limit) {
        block *b = oldest;
        unlink_free(b);
        b->below = gone;
        gone = b;
    }
    return gone;
}

static void release(block *gone)
{
    while (gone) {
        block *next = gone->below;
        free(gone->base);
        gone = next;
    }
}

/* A thread's free small blocks: stacks chained through their data, and how high they are. */
static __thread small *kept[POOLED / STEP + 1];
static __thread unsigned char heights[POOLED / STEP + 1];
static __thread int will_empty;
static pthread_key_t at_exit_key;
static pthread_once_t at_exit_once = PTHREAD_ONCE_INIT;

static void empty_small(void *unused)
{
    (void)unused;
    for (int c = 0; c <= POOLED / STEP; c++) {
        while (kept[c]) {
            small *next = *(small **)(kept[c] + 1);
            free(kept[c]);
            kept[c] = next;
        }
        heights[c] = 0;
    }
}
static void make_key(void) { pthread_key_create(&at_exit_key, empty_small); }

static void *small_alloc(size_t bytes, int zeroed)
{
    const size_t c = bytes ? (bytes + STEP - 1) / STEP : 1;
    small *s = kept[c];
    if (s) {
        kept[c] = *(small **)(s + 1);
        heights[c]--;
    } else {
        s = malloc(c * STEP + sizeof *s);
        if (!s) return NULL;
        s->bytes = c * STEP;
        s->class = SMALL;
    }
    return zeroed ? memset(s + 1, 0, bytes) : s + 1;
}

static void small_free(small *s)
{
    const size_t c = s->bytes / STEP;
    if (heights[c] >= KEPT) {
        free(s);
        return;
    }
    if (!will_empty) {              /* when the thread ends */
        pthread_once(&at_exit_once, make_key);
        pthread_setspecific(at_exit_key, kept);
        will_empty = 1;
    }
    *(small **)(s + 1) = kept[c];
    kept[c] = s;
    heights[c]++;
}

/* A new block. Zeroed memory comes from calloc, which need not touch fresh pages. */
static block *fresh(size_t room, int class, int zeroed)
{
    void *base = NULL;
    char *start;
    if (zeroed) {
        base = calloc(1, room + sizeof(block) + 64);
        start = (char *)(((uintptr_t)base + 63) & ~(uintptr_t)63);
    } else {
        size_t align = room >= HUGE_PAGE ? HUGE_PAGE : 64;
        if (posix_memalign(&base, align, room + sizeof(block))) base = NULL;
        start = base;
#ifdef MADV_HUGEPAGE
        if (base && align == HUGE_PAGE) madvise(base, room + sizeof(block), MADV_HUGEPAGE);
#endif
    }
    if (!base) return NULL;
    block *b = (block *)start;
    b->base = base;
    b->bytes = room;
    b->class = (uint64_t)class;
    return b;
}

static void *alloc(size_t bytes, int zeroed)
{
    size_t room;
    if (bytes < POOLED) return small_alloc(bytes, zeroed);
    int class = class_of(bytes, &room);
    if (class == CLASSES || room > SIZE_MAX / 2) return NULL;
    pthread_mutex_lock(&lock);
    block *b = top[class];
    if (b) {
        unlink_free(b);
        stats.reused++;
    } else {
        stats.fresh++;
    }
    stats.live += (int64_t)room;
    if (stats.live > stats.peak) stats.peak = stats.live;
    pthread_mutex_unlock(&lock);
    if (b) {
        if (zeroed) fdl_zero(b + 1, bytes);
        return b + 1;
    }
    b = fresh(room, class, zeroed);
    if (!b) {                       /* what lies here unused may be what is missing */
        fdl_empty_cache();
        b = fresh(room, class, zeroed);
    }
    if (b) return b + 1;
    pthread_mutex_lock(&lock);
    stats.live -= (int64_t)room;
    pthread_mutex_unlock(&lock);
    return NULL;
}

void *fdl_alloc(size_t bytes) { return alloc(bytes, 0); }

void *fdl_alloc_zeroed(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / 2 / size) return NULL;
    return alloc(count * size, 1);
}

void fdl_free(void *data)
{
    if (!data) return;
    if (is_small(data)) {
        small_free(small_of(data));
        return;
    }
    block *b = block_of(data);
    pthread_mutex_lock(&lock);
    if (stats.limit < 0) stats.limit = default_limit();
    stats.live -= (int64_t)b->bytes;
    if ((int64_t)b->bytes > stats.limit / 4) {      /* a data set rather than an activation */
        pthread_mutex_unlock(&lock);
        free(b->base);
        return;
    }
    stats.cached += (int64_t)b->bytes;
    b->above = NULL;
    b->below = top[b->class];
    if (b->below) b->below->above = b;
    top[b->class] = b;
    b->newer = NULL;
    b->older = newest;
    if (newest) newest->newer = b; else oldest = b;
    newest = b;
    block *gone = evict(stats.limit);
    pthread_mutex_unlock(&lock);
    release(gone);
}

void *fdl_realloc(void *data, size_t bytes)
{
    if (!data) return fdl_alloc(bytes);
    if (bytes >= POOLED && !is_small(data) && bytes <= room_of(data)) return data;
    void *moved = fdl_alloc(bytes);
    if (!moved) return NULL;
    size_t room = room_of(data);
    memcpy(moved, data, room < bytes ? room : bytes);
    fdl_free(data);
    return moved;
}

void fdl_empty_cache(void)
{
    empty_small(NULL);
    pthread_mutex_lock(&lock);
    block *gone = evict(0);
    pthread_mutex_unlock(&lock);
    release(gone);
}

void fdl_reset_peak_memory(void)
{
    pthread_mutex_lock(&lock);
    stats.peak = stats.live;
    pthread_mutex_unlock(&lock);
}

void fdl_set_memory_limit(int64_t bytes)
{
    pthread_mutex_lock(&lock);
    stats.limit = bytes;
    block *gone = evict(bytes);
    pthread_mutex_unlock(&lock);
    release(gone);
}

void fdl_memory_stats(fdl_memory *out)
{
    pthread_mutex_lock(&lock);
    if (stats.limit < 0) stats.limit = default_limit();
    *out = stats;
    pthread_mutex_unlock(&lock);
}
