/* mapped.c: the sum of an elementwise function's values, which are not kept: a loss, its mean.
 *
 * Idea      the loops of map.c write blocks that stay in L1, where the sums of blocks.c read them:
 *           every function of functions.inc.c can be summed, whatever the layouts of its operands,
 *           and none needs a loop of its own
 * Removes   the array of values, written to memory and read again
 * Leaves    one read of every operand
 * Requires  as map.c
 * Checked   against math.fsum of the elementwise function; the bits for 1, 2, 3 and 7 threads
 * Timed     python bench/versus.py loss
 */
#define MAPPED_BLOCK (16384 / (int64_t)sizeof(REAL)) /* elements: half of L1 */

/* The sums of the blocks [begin, end) of all n elements */
NOINLINE void F(mapped_blocks)(int function, const fdl_map *m, int64_t n, REAL *sums,
                               int64_t begin, int64_t end)
{
    REAL block[MAPPED_BLOCK] __attribute__((aligned(64)));
    fdl_map local = *m;
    int64_t step = 1;
    local.out.bytes = 0;
    for (int d = m->ndim - 1; d >= 0; d--) {
        local.out.step[d] = step;
        step *= m->shape[d];
    }
    for (int64_t b = begin; b < end; b++) {
        const int64_t first = b * MAPPED_BLOCK, count = min64(MAPPED_BLOCK, n - first);
        /* element `first` of the result lies at the block's begin */
        local.out.data = (void *)((uintptr_t)block - (uintptr_t)first * sizeof(REAL));
        F(map_range)(F(maps)[function].loop, F(maps)[function].inputs, &local, 0, first,
                     first + count);
        sums[b] = HSUM(F(row_chunk)(FDL_SUM, count, block));
    }
}

static int F(map_sum)(int function, const fdl_map *m, double scale, void *y, int threads)
{
    int64_t n = 1;
    for (int d = 0; d < m->ndim; d++) n *= m->shape[d];
    const int64_t blocks = ceil_div(n, MAPPED_BLOCK);
    REAL one[2] = {0}, *sums = one, *total = one + 1;
    if (blocks > 1) {
        sums = fdl_scratch(FDL_SCRATCH_ROWS, blocks * sizeof(REAL));
        if (!sums) return FDL_NOMEM;
    }
    SPLIT(fdl_plan(threads, (F(maps)[function].cost + 0.03) * (sizeof(REAL) / 4) * n), blocks, 1,
          F(mapped_blocks)(function, m, n, sums, begin, end));
    *total = *sums;
    if (blocks > 1) {
        const fdl_reduce all = {1, blocks, 1, blocks, 1};
        int status = F(reduce)(FDL_SUM, &all, sums, total, 1, 1);
        if (status != FDL_OK) return status;
    }
    *(REAL *)y = (REAL)(*total * scale);
    return FDL_OK;
}
