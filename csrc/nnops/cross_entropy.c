/* cross_entropy.c: the loss of class scores against class numbers, with its gradient.
 *
 *   loss[i] = log(sum_j exp(x[i,j] - max)) - (x[i,t] - max),      t = target[i]
 *   grad[i,j] = softmax(x[i])[j] - [j == t]
 *
 * Idea      both need the same exponentials: the gradient costs a scaling more
 * Removes   log-softmax, gather, exp and scatter as passes and arrays of their own
 * Leaves    as softmax.c
 * Requires  C-contiguous rows; targets in [0, cols), or ignore_index: loss and gradient are then 0
 * Checked   against PyTorch in float64
 * Timed     python -m fastdl bench rows
 */
/* Few columns: a row in every lane, as in softmax.c */
NOINLINE void F(cross_entropy_few)(int64_t cols, const REAL *x, const int64_t *target,
                                   int64_t ignore_index, REAL *loss, REAL *grad, int64_t begin,
                                   int64_t end)
{
    REAL t[FEW_COLUMNS * VL];
    for (int64_t i = begin; i < end; i += VL) {
        F(load_columns)(end - i, cols, x + i * cols, t);
        V max, sum = F(columns_exp_sum)(cols, t, 1, &max), scale = SPLAT(1) / sum;
        V log_sum = F(lanes_log)(sum);
        for (int64_t c = 0; c < cols; c++) ST(t + c * VL, LD(t + c * VL) * scale);
        F(store_columns)(end - i, cols, t, grad + i * cols);
        for (int64_t k = i; k < min64(end, i + VL); k++) {
            if (target[k] == ignore_index) {
                loss[k] = 0;
                memset(grad + k * cols, 0, cols * sizeof(REAL));
            } else {
                loss[k] = log_sum[k - i] - (x[k * cols + target[k]] - max[k - i]);
                grad[k * cols + target[k]] -= 1;
            }
        }
    }
}

NOINLINE void F(cross_entropy_rows)(int64_t cols, const REAL *x, const int64_t *target,
                                    int64_t ignore_index, REAL *loss, REAL *grad, int64_t begin,
                                    int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        const REAL *row = x + i * cols;
        REAL *g = grad + i * cols;
        int64_t t = target[i];
        if (t == ignore_index) {
            loss[i] = 0;
            memset(g, 0, cols * sizeof(REAL));
            continue;
        }
        REAL max = F(row_max)(cols, row), sum = F(row_exp_sum)(cols, row, max, g);
        loss[i] = (REAL)log(sum) - (row[t] - max);
        for (int64_t j = 0; j < cols; j += VL)
            STN(g + j, LDN(g + j, cols - j, 0) * SPLAT(1 / sum), cols - j);
        g[t] -= 1;
    }
}

static int F(cross_entropy)(int64_t rows, int64_t cols, const void *x, const int64_t *target,
                            int64_t ignore_index, void *loss, void *grad, int threads)
{
    int parts = fdl_plan(threads, rows * (20 + 0.15 * sizeof(REAL) * cols));
    if (cols == 0) { /* nothing but ignored rows */
        memset(loss, 0, rows * sizeof(REAL));
        return FDL_OK;
    }
    if (cols <= FEW_COLUMNS)
        SPLIT(parts, rows, VL,
              F(cross_entropy_few)(cols, x, target, ignore_index, loss, grad, begin, end));
    else
        SPLIT(parts, rows, 1,
              F(cross_entropy_rows)(cols, x, target, ignore_index, loss, grad, begin, end));
    return FDL_OK;
}
