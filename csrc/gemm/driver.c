/* driver.c: the production GEMM. `packed`, `simd` and `threaded` are this driver with a plain-C
 * tile, with a vector tile, and with more threads.
 *
 * Idea      five loops around the micro-kernel, each for one level of the memory system (loops and
 *           names: Goto and van de Geijn 2008; Van Zee and van de Geijn 2015)
 *
 *             jc  columns of B and C    a block of B, KC x NC, packed: in the last-level cache
 *             pc  depth                 the first block of k writes C, later ones add to it
 *             ic  rows of A and C       a block of A, MC x KC: in L2; packed if its rows are not
 *                                       contiguous
 *             jr  panels of B           a panel of B, KC x NR: streams from L2 through L1
 *             ir  panels of A           a tile of C, MR x NR: in registers
 *
 * Removes   every avoidable trip through the memory system
 * Leaves    packing, which narrow and small products cannot afford: small.c takes those
 * Requires  any strides; the cost hardly depends on them
 * Checked   against NumPy's float64 at tile edges; the same bits for 1, 2, 3 and 7 threads
 * Timed     python -m fastdl bench gemm
 *
 * Threads share the packed block of B and draw (rows x columns) tasks of C from a counter; k is
 * never split among them. B has two buffers in turn, so that one barrier per block is enough:
 * nobody packs block i + 2 before everybody has finished block i.
 */
typedef struct F(team) {
    F(product) g;
    F(tile_fn) *tile;
    REAL *bp[2];
    int64_t row_tasks, col_tasks;               /* how a block of C is dealt                    */
    int64_t ticket[2];                          /* the next task, for the block in either buffer */
    int failed;
} F(team);

/* C[i0:i0+mc, jc:jc+nc] += A[i0:, pc:] B[pc:, jc:] for panels [q0, q1) of the packed block of B;
 * ap: the packed block of A, or NULL */
static void F(macro_kernel)(const F(product) *g, F(tile_fn) *tile, const REAL *ap, const REAL *bp,
                            int64_t i0, int64_t mc, int64_t jc, int64_t nc, int64_t pc, int64_t kc,
                            int64_t q0, int64_t q1)
{
    int64_t rows = ceil_div(mc, MR), vectors = ceil_div(nc, VL), panels = ceil_div(vectors, NV);
    for (int64_t q = q0; q < q1; q++) {                                         /* jr           */
        int64_t v = F(cut)(vectors, panels, q), w = F(cut)(vectors, panels, q + 1) - v;
        int64_t j = v * VL, n = min64(w * VL, nc - j);                          /* B[pc:, jc+j:] */
        for (int64_t p = 0; p < rows; p++) {                                    /* ir           */
            int64_t i = F(cut)(mc, rows, p), h = F(cut)(mc, rows, p + 1) - i;   /* A[i0+i:, pc:] */
            const REAL *a = ap ? ap + i * kc : g->a + (i0 + i) * g->a_row + pc;
            F(put_tile)(g, i0 + i, jc + j, (int)h, (int)n, pc == 0, tile, kc, a,
                        ap ? 1 : g->a_row, ap ? h : 1, bp + j * kc, w * VL);
        }
    }
}

/* What each of the team's threads runs */
static void F(five_loops)(F(team) *team, int me, int threads)
{
    const F(product) *g = &team->g;
    REAL *ap = NULL; /* rows of A that are contiguous stay where they are */
    if (g->a_col != 1) {
        ap = fdl_scratch(FDL_SCRATCH_GEMM_A, (size_t)MC * KC * sizeof(REAL));
        if (!ap) __atomic_store_n(&team->failed, 1, __ATOMIC_RELAXED);
    }
    int64_t all = ceil_div(g->n, VL), col_blocks = ceil_div(all, NC / VL);
    int64_t k_blocks = ceil_div(g->k, KC), tasks = team->row_tasks * team->col_tasks;
    int turn = 0;
    for (int64_t b = 0; b < col_blocks; b++) {                                  /* jc           */
        int64_t jc = F(cut)(all, col_blocks, b) * VL;                           /* B[:, jc:jc+nc] */
        int64_t nc = min64(F(cut)(all, col_blocks, b + 1) * VL, g->n) - jc;
        int64_t vectors = ceil_div(nc, VL), panels = ceil_div(vectors, NV);
        for (int64_t d = 0; d < k_blocks; d++, turn = !turn) {                  /* pc           */
            int64_t pc = F(cut)(g->k, k_blocks, d), kc = F(cut)(g->k, k_blocks, d + 1) - pc;
            REAL *bp = team->bp[turn];                                          /* B[pc:, jc:]  */
            F(product) block = F(during)(*g, d, k_blocks);
            for (int64_t q = me; q < panels; q += threads) {
                int64_t j = F(cut)(vectors, panels, q) * VL;
                int64_t n = min64(F(cut)(vectors, panels, q + 1) * VL, nc) - j;
                F(pack_b)(kc, n, g->b + pc * g->b_row + (jc + j) * g->b_col, g->b_row, g->b_col,
                          bp + j * kc);
            }
            if (threads > 1) { OMP(barrier) }
            if (__atomic_load_n(&team->failed, __ATOMIC_RELAXED)) return;
            if (me == 0) __atomic_store_n(&team->ticket[!turn], 0, __ATOMIC_RELAXED);
            int64_t t, packed = -1;
            while ((t = __atomic_fetch_add(&team->ticket[turn], 1, __ATOMIC_RELAXED)) < tasks) {
                int64_t r = t / team->col_tasks, s = t % team->col_tasks;       /* ic           */
                int64_t i0 = F(cut)(g->m, team->row_tasks, r);                  /* A[i0:, pc:]  */
                int64_t mc = F(cut)(g->m, team->row_tasks, r + 1) - i0;
                int64_t rows = ceil_div(mc, MR);
                for (int64_t p = 0; p < rows && ap && packed != r; p++) {
                    int64_t i = F(cut)(mc, rows, p);
                    F(pack_a)(F(cut)(mc, rows, p + 1) - i, kc,
                              g->a + (i0 + i) * g->a_row + pc * g->a_col, g->a_row, g->a_col,
                              ap + i * kc);
                }
                packed = r;
                F(macro_kernel)(&block, team->tile, ap, bp, i0, mc, jc, nc, pc, kc,
                                F(cut)(panels, team->col_tasks, s),
                                F(cut)(panels, team->col_tasks, s + 1));
            }
        }
    }
}

static void F(team_member)(F(team) *team)
{
    F(five_loops)(team, omp_get_thread_num(), omp_get_num_threads());
}

static int F(packed_product)(F(product) g, F(tile_fn) *tile, int threads)
{
    if (g.c_col != 1 && g.c_row == 1) g = F(transposed)(g);
    F(team) team = {.g = g, .tile = tile};
    int64_t nc = min64(ceil_div(g.n, VL) * VL, NC), kc = min64(g.k, KC);
    size_t block = (size_t)ceil_div(nc * kc, 16) * 16;                          /* 64-byte lines */
    team.bp[0] = fdl_scratch(FDL_SCRATCH_GEMM_B, 2 * block * sizeof(REAL));
    if (!team.bp[0]) return FDL_NOMEM;
    team.bp[1] = team.bp[0] + block;
    /* Two tasks a thread even out what disturbs one of them. Rows are cut first, since a task packs
     * its rows of A; columns where rows are few. */
    int64_t wanted = threads > 1 ? 2 * threads : 1, panels = ceil_div(ceil_div(nc, VL), NV);
    int64_t row_tasks = max64(ceil_div(g.m, MC), min64(wanted, ceil_div(g.m, 4 * MR)));
    if (threads > 1) row_tasks = min64(ceil_div(row_tasks, threads) * threads, ceil_div(g.m, MR));
    team.row_tasks = row_tasks;
    team.col_tasks = min64(ceil_div(wanted, row_tasks), panels);
    if (threads > 1) {
        OMP(parallel num_threads(threads))
        F(team_member)(&team);
    } else {
        F(five_loops)(&team, 0, 1);
    }
    return team.failed ? FDL_NOMEM : FDL_OK;
}

/* ---- one product, then a batch of them ------------------------------------------------------- */

/* About nanoseconds on one thread: FMAs at 3 vectors a nanosecond, operands at 48 bytes */
INLINE double F(gemm_work)(const fdl_gemm *p)
{
    double m = (double)p->m, n = (double)p->n, k = (double)p->k;
    return m * n * k / (3 * VL) + (m * k + k * n + m * n) * sizeof(REAL) / 48;
}

static int F(one_product)(F(product) g, F(tile_fn) *tile, int threads)
{
    if (g.k == 0 || (g.accumulate && g.bias)) {
        F(begin)(&g);
        g.bias = NULL;
        g.accumulate = 1;
    }
    if (g.k == 0) {
        F(activate)(&g, 0, 0, g.m, g.n);
        return FDL_OK;
    }
    if (tile == F(tile_simd)) {
        int status;
        F(small_fn) *path = F(small_path)(&g, &status);
        if (status != FDL_OK) return status;
        if (path) return F(small_product)(g, path, threads);
    }
    return F(packed_product)(g, tile, threads);
}

typedef struct F(batch) {
    const fdl_gemm *p;
    int64_t next;
    int failed;
} F(batch);

/* Whole products of a batch, drawn from a counter */
static void F(batch_member)(F(batch) *batch)
{
    int64_t t;
    while ((t = __atomic_fetch_add(&batch->next, 1, __ATOMIC_RELAXED)) < batch->p->batch)
        if (F(one_product)(F(product_of)(batch->p, t), F(tile_simd), 1) != FDL_OK)
            __atomic_store_n(&batch->failed, 1, __ATOMIC_RELAXED);
}

static int F(gemm_threaded)(const fdl_gemm *p, int threads)
{
    if (p->m == 0 || p->n == 0) return FDL_OK;
    int status = FDL_OK, inside = fdl_plan(threads, F(gemm_work)(p));
    int across = fdl_plan(threads, F(gemm_work)(p) * (double)p->batch);
    if (F(fits_in_lanes)(p)) {
        SPLIT(across, p->batch, VL, F(batch_in_lanes)(p, begin, end));
        return FDL_OK;
    }
    if (p->batch > 1 && across > 1 && (inside < across || p->batch % threads == 0)) {
        F(batch) batch = {.p = p};
        OMP(parallel num_threads(across))
        F(batch_member)(&batch);
        return batch.failed ? FDL_NOMEM : FDL_OK;
    }
    for (int64_t t = 0; t < p->batch && status == FDL_OK; t++)
        status = F(one_product)(F(product_of)(p, t), F(tile_simd), inside);
    return status;
}

static int F(gemm_simd)(const fdl_gemm *p, int threads)
{
    (void)threads;
    return F(gemm_threaded)(p, 1);
}

static int F(gemm_packed)(const fdl_gemm *p, int threads)
{
    (void)threads;
    int status = FDL_OK;
    for (int64_t t = 0; t < p->batch && p->m && p->n && status == FDL_OK; t++)
        status = F(one_product)(F(product_of)(p, t), F(tile_plain), 1);
    return status;
}
