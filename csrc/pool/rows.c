/* rows.c: pooling on vectors of neighbouring windows; `rows` on one thread, `threaded` on several.
 *
 * Idea      split rows by the stride (phases.c): lanes are neighbouring windows, a tap is one
 *           offset. Gradients: backward.c
 * Removes   bounds checks and data-dependent branches
 * Leaves    part of a vector idle where a plane has few outputs
 * Requires  as naive.c
 * Checked   against naive.c: maxima and their gradients exactly, sums within rounding
 * Timed     python -m fastdl bench pool
 */
static int F(max_forward_threaded)(const fdl_pool *g, const void *x, void *y, void *taps,
                                   int threads)
{
    return F(pool_forward)(g, x, y, taps, threads);
}
static int F(max_forward_rows)(const fdl_pool *g, const void *x, void *y, void *taps, int threads)
{
    (void)threads;
    return F(pool_forward)(g, x, y, taps, 1);
}
static int F(max_scatter_rows)(const fdl_pool *g, const void *dy, const void *taps, void *dx,
                               int threads)
{
    (void)threads;
    return F(max_backward)(g, dy, taps, dx, 1);
}
static int F(avg_forward_threaded)(const fdl_pool *g, const void *x, void *y, int threads)
{
    return F(pool_forward)(g, x, y, NULL, threads);
}
static int F(avg_forward_rows)(const fdl_pool *g, const void *x, void *y, int threads)
{
    (void)threads;
    return F(pool_forward)(g, x, y, NULL, 1);
}
static int F(avg_backward_rows)(const fdl_pool *g, const void *dy, void *dx, int threads)
{
    (void)threads;
    return F(avg_backward)(g, dy, dx, 1);
}
