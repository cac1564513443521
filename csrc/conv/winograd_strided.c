/* winograd_strided.c: 4x4 convolution of stride 2 by Winograd's algorithm, F(4x4, 2x2)
 *
 *   y = sum over the phases (a, b) of   conv(x[2i + a, 2j + b], w[2r + a, 2s + b])
 *
 * Idea      every other row and column of the input meets every other one of the filter: a
 *           convolution of stride 2 is four of stride 1, whose filters have 2 x 2 taps, and
 *           winograd.c computes those, phases as channels. The input gradient, which is transposed
 *           convolution, has a phase for each quarter of its outputs: phases as groups. The weight
 *           gradient is that of winograd_grad.c, again with phases as channels
 * Removes   61% of the multiplications of implicit.c. (A 3x3 filter has phases with fewer taps: the
 *           31% that are left to gain there do not pay for the transforms)
 * Leaves    the transforms; some accuracy: errors are up to about 6 eps sqrt(C) of the largest
 *           output, or 2 eps sqrt(N OH OW) of the largest gradient of a weight, and a NaN or
 *           infinity reaches every output of the tiles that read it
 * Requires  4x4 filters, stride 2, dilation 1; any size, padding and groups
 * Checked   as winograd.c
 * Timed     python -m fastdl bench conv
 */

/* Panel q of group g, channels c0 <= c < c1: the 2 x 2 taps of their phases. */
static void F(winograd_filters_4_2)(const F(winograd) *e, int64_t g, int64_t q, int64_t c0,
                                  int64_t c1, REAL *u)
{
    const int64_t m0 = F(winograd_panel)(e, q), mr = F(winograd_panel)(e, q + 1) - m0;
    const int64_t plane = F(winograd_u_plane)(c1 - c0, mr), phases = e->step * e->step;
    for (int64_t i = (mr - 1) / VL * VL; i >= 0; i -= VL) {
        const REAL *w = e->filter + g / (e->yi * e->yi) * e->fg + (m0 + i) * e->fk;
        int64_t row[VL];
        for (int l = 0; l < VL; l++) row[l] = min64(l, mr - i - 1) * e->fk;
        V tap[16], g4[4];
        for (int64_t c = c0; c < c1; c++) {
            if (c == c0 || c % phases == 0) {
                F(winograd_fetch)(e, w + c / phases * e->fc, min64(VL, mr - i) * 16);
                F(winograd_taps)(16, 0, w + c / phases * e->fc, row, tap);
            }
            /* the first tap, and from there to the next along either axis */
            int64_t r = c % phases / e->step, s = c % e->step, next = 2;
            if (e->flip) r = 2 + (g / 2 + e->odd_h) % 2, s = 2 + (g + e->odd_w) % 2, next = -2;
            for (int t = 0; t < 4; t++) g4[t] = tap[(r + t / 2 * next) * 4 + s + t % 2 * next];
            F(winograd_filter_tile)(4, 2, g4, u + i + (c - c0) * mr, plane);
        }
    }
}

static int F(conv_winograd_strided_forward)(const fdl_conv *g, const void *x, const void *w,
                                            const void *bias, void *y, int threads)
{
    if (!g->n || !g->k || !g->oh || !g->ow) return FDL_OK;
    if (!g->c) return F(conv_naive_forward)(g, x, w, bias, y, threads);      /* the bias alone */
    const int64_t C = g->c / g->groups, K = g->k / g->groups;
    F(winograd) e = {
        .groups = g->groups, .n = g->n, .c = 4 * C, .h = g->h, .w = g->w, .k = K, .oh = g->oh,
        .ow = g->ow, .xc = g->c, .yc = g->k, .step = 2, .yi = 1, .pad_h = {g->pad_h},
        .pad_w = {g->pad_w}, .x = x, .filter = w, .bias = bias, .y = y, .fg = K * C * 16,
        .fk = C * 16, .fc = 16, .steps = &F(winograd_4_2)};
    return F(winograd_run)(&e, threads);
}

/* Row i of phase a of dx, row 2i + a, is reached by the taps r with r + a + pad even, from row
 * i + (a + pad - r) / 2 of dy: a window that begins 1 - (a + pad) / 2 rows above i. */
static int F(conv_winograd_strided_grad_input)(const fdl_conv *g, const void *dy, const void *w,
                                               void *dx, int threads)
{
    if (!g->n || !g->c || !g->h || !g->w) return FDL_OK;
    if (!g->k || !g->oh || !g->ow) {
        F(conv_zero)(dx, g->n * g->c * g->h * g->w);
        return FDL_OK;
    }
    const int64_t C = g->c / g->groups, K = g->k / g->groups;
    F(winograd) e = {
        .groups = 4 * g->groups, .n = g->n, .c = K, .h = g->oh, .w = g->ow, .k = C, .oh = g->h,
        .ow = g->w, .xc = g->k, .yc = g->c, .step = 1, .yi = 2,
        .pad_h = {1 - g->pad_h / 2, 1 - (1 + g->pad_h) / 2},
        .pad_w = {1 - g->pad_w / 2, 1 - (1 + g->pad_w) / 2}, .x = dy, .filter = w, .y = dx,
        .odd_h = g->pad_h % 2, .odd_w = g->pad_w % 2, .fg = K * C * 16, .fk = 16,
        .fc = C * 16, .flip = 1, .steps = &F(winograd_4_2)};
    return F(winograd_run)(&e, threads);
}
