/* naive.c: 2-d convolution by its definition, three passes; the reference of the other rungs.
 *
 * Idea      one loop per index of the defining sum: each pass visits every pair of an output and a
 *           tap that lies inside the image, and adds one product where it belongs
 * Removes   nothing: the starting point
 * Leaves    one multiplication per iteration, an edge test per tap, no reuse of what was loaded
 * Requires  any geometry; padding is skipped, not multiplied by zero
 * Checked   against NumPy (sliding windows and einsum) in float64
 * Timed     python -m fastdl bench conv
 */

/* y[n,k,i,j] = bias[k] + sum over c, r, s of w[k,c,r,s] x[n,c,u,v],
 * u = i*sh + r*dh - ph, v = j*sw + s*dw - pw */
static int F(conv_naive_forward)(const fdl_conv *g, const void *x_, const void *w_,
                                 const void *bias_, void *y_, int threads)
{
    const REAL *x = x_, *w = w_, *bias = bias_;
    REAL *y = y_;
    const int64_t C = g->c / g->groups, K = g->k / g->groups; /* channels of one group */
    (void)threads;
    for (int64_t n = 0; n < g->n; n++)
        for (int64_t k = 0; k < g->k; k++)
            for (int64_t i = 0; i < g->oh; i++)
                for (int64_t j = 0; j < g->ow; j++) {
                    REAL sum = 0;
                    for (int64_t c = 0; c < C; c++)
                        for (int64_t r = 0; r < g->r; r++)
                            for (int64_t s = 0; s < g->s; s++) {
                                int64_t u = i * g->stride_h + r * g->dil_h - g->pad_h;
                                int64_t v = j * g->stride_w + s * g->dil_w - g->pad_w;
                                if (u < 0 || u >= g->h || v < 0 || v >= g->w) continue;
                                sum += w[((k * C + c) * g->r + r) * g->s + s] *
                                       x[((n * g->c + k / K * C + c) * g->h + u) * g->w + v];
                            }
                    y[((n * g->k + k) * g->oh + i) * g->ow + j] = bias ? sum + bias[k] : sum;
                }
    return FDL_OK;
}

/* dx[n,c,u,v] = sum of w[k,c,r,s] dy[n,k,i,j] over the k of c's group and every (i, r), (j, s) that
 * meet there: u = i*sh + r*dh - ph, v = j*sw + s*dw - pw */
static int F(conv_naive_grad_input)(const fdl_conv *g, const void *dy_, const void *w_, void *dx_,
                                    int threads)
{
    const REAL *dy = dy_, *w = w_;
    REAL *dx = dx_;
    const int64_t C = g->c / g->groups, K = g->k / g->groups;
    (void)threads;
    for (int64_t t = 0; t < g->n * g->c * g->h * g->w; t++) dx[t] = 0;
    for (int64_t n = 0; n < g->n; n++)
        for (int64_t k = 0; k < g->k; k++)
            for (int64_t i = 0; i < g->oh; i++)
                for (int64_t j = 0; j < g->ow; j++) {
                    const REAL d = dy[((n * g->k + k) * g->oh + i) * g->ow + j];
                    for (int64_t c = 0; c < C; c++)
                        for (int64_t r = 0; r < g->r; r++)
                            for (int64_t s = 0; s < g->s; s++) {
                                int64_t u = i * g->stride_h + r * g->dil_h - g->pad_h;
                                int64_t v = j * g->stride_w + s * g->dil_w - g->pad_w;
                                if (u < 0 || u >= g->h || v < 0 || v >= g->w) continue;
                                dx[((n * g->c + k / K * C + c) * g->h + u) * g->w + v] +=
                                    w[((k * C + c) * g->r + r) * g->s + s] * d;
                            }
                }
    return FDL_OK;
}

/* dw[k,c,r,s] = sum over n, i, j of dy[n,k,i,j] x[n,c,u,v], u and v as above */
static int F(conv_naive_grad_weight)(const fdl_conv *g, const void *x_, const void *dy_, void *dw_,
                                     int threads)
{
    const REAL *x = x_, *dy = dy_;
    REAL *dw = dw_;
    const int64_t C = g->c / g->groups, K = g->k / g->groups;
    (void)threads;
    for (int64_t k = 0; k < g->k; k++)
        for (int64_t c = 0; c < C; c++)
            for (int64_t r = 0; r < g->r; r++)
                for (int64_t s = 0; s < g->s; s++) {
                    REAL sum = 0;
                    for (int64_t n = 0; n < g->n; n++)
                        for (int64_t i = 0; i < g->oh; i++)
                            for (int64_t j = 0; j < g->ow; j++) {
                                int64_t u = i * g->stride_h + r * g->dil_h - g->pad_h;
                                int64_t v = j * g->stride_w + s * g->dil_w - g->pad_w;
                                if (u < 0 || u >= g->h || v < 0 || v >= g->w) continue;
                                sum += dy[((n * g->k + k) * g->oh + i) * g->ow + j] *
                                       x[((n * g->c + k / K * C + c) * g->h + u) * g->w + v];
                            }
                    dw[((k * C + c) * g->r + r) * g->s + s] = sum;
                }
    return FDL_OK;
}
