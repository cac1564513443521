/* grad_input.c: the input gradient as the product of implicit.c.
 *
 * It is a convolution of dy with the channels' roles exchanged and the filter flipped, one for each
 * phase of the stride: dx at rows u = i * stride + a is reached by the filter rows r with
 * (a + pad - r * dilation) divisible by the stride, from dy's row
 * i + (a + pad - r * dilation) / stride. Each phase is a problem of stride 1 with taps of its own.
 *
 * With few input channels that product has few rows, and its tiles load more than they multiply.
 * Then the columns of the filter become rows of their own: C * S rows over the columns of dy, of
 * which a column of dx sums up to S (conv_unload_columns: a col2im along one axis, from cache).
 * That also spares the FMAs on columns of dx that few windows reach.
 */

/* The taps of one axis that reach phase a, furthest first: their sources ascend. */
static conv_taps F(conv_phase_taps)(int64_t a, int64_t taps, int64_t stride, int64_t pad,
                                    int64_t dil, int64_t *at, int64_t *index)
{
    conv_taps t = {0, 1, at, index};
    for (int64_t r = taps - 1; r >= 0; r--)
        if ((a + pad - r * dil) % stride == 0)
            at[t.n] = (a + pad - r * dil) / stride, index[t.n++] = r;
    return t;
}

static int F(conv_implicit_grad_input)(const fdl_conv *shape, const void *dy, const void *w,
                                       void *dx, int threads)
{
    const fdl_conv flat = fdl_conv_flattened(shape), *g = &flat;
    if (!g->n || !g->c || !g->h || !g->w) return FDL_OK;
    /* phases beyond the image have no outputs */
    const int64_t sh = min64(g->stride_h, g->h), sw = min64(g->stride_w, g->w);
    const int64_t lists = (g->r + g->s) * 2, C = g->c / g->groups, K = g->k / g->groups;
    int64_t *at = fdl_scratch(FDL_SCRATCH_CONV,
                              lists * sizeof *at + (sh + sw) * sizeof(conv_taps) +
                                  sh * sw * sizeof(F(conv_phase)) +
                                  g->k * C * g->r * g->s * sizeof(REAL));
    if (!at) return FDL_NOMEM;
    int64_t *index = at + g->r + g->s;
    conv_taps *rows = (conv_taps *)(at + lists), *cols = rows + sh;
    F(conv_phase) *phases = (F(conv_phase) *)(cols + sw);
    for (int64_t a = 0, t = 0; a < sh; t += rows[a++].n)
        rows[a] = F(conv_phase_taps)(a, g->r, g->stride_h, g->pad_h, g->dil_h, at + t, index + t);
    for (int64_t b = 0, t = g->r; b < sw; t += cols[b++].n)
        cols[b] = F(conv_phase_taps)(b, g->s, g->stride_w, g->pad_w, g->dil_w, at + t, index + t);

    F(conv_engine) e = {.groups = g->groups, .n = g->n,
                        .x = F(conv_source_of)(dy, g->n, g->k, g->oh, g->ow), .c = K, .m = C,
                        .y = dx, .yh = g->h, .yw = g->w, .yi = g->stride_h, .yj = g->stride_w,
                        .filter = w, .wg = K * C * g->r * g->s, .wm = g->r * g->s,
                        .wc = C * g->r * g->s, .wr = g->s, .taps = g->r * g->s, .ms = 1,
                        .phases = phases};
    int64_t n = 0, oh = ceil_div(g->h, g->stride_h), ow = ceil_div(g->w, g->stride_w);
    const int64_t zero = 0;
    if (g->k && g->ow && g->ow < CONV_PIXELS && fdl_conv_by_columns(g)) {
        const conv_taps one = {1, 1, &zero, &zero};
        for (int64_t a = 0; a < sh; a++)
            if (rows[a].n)
                phases[n++] = (F(conv_phase)){
                    .rows = rows[a], .cols = one, .oh = ceil_div(g->h - a, g->stride_h),
                    .ow = g->ow, .y = a * g->w};
        e.m = C * g->s, e.ms = g->s, e.columns = cols, e.clear = n < g->stride_h;
        e.taps -= g->s - 1;             /* the first column's: the others begin further on        */
        ow = g->ow;
    } else {
        for (int64_t a = 0; a < sh; a++)
            for (int64_t b = 0; b < sw; b++)
                if (g->k && rows[a].n && cols[b].n)
                    phases[n++] = (F(conv_phase)){
                        .rows = rows[a], .cols = cols[b], .oh = ceil_div(g->h - a, g->stride_h),
                        .ow = ceil_div(g->w - b, g->stride_w), .y = a * g->w + b};
        e.clear = n < g->stride_h * g->stride_w;
    }
    e.nphases = n;
    return F(conv_run)(&e, oh, ow, (REAL *)(phases + sh * sw), threads);
}
