/* cross_entropy.c: the loss of class scores against class numbers, and its gradient, in one pass over the rows.
 *
 *   loss[i] = log(sum_j exp(x[i,j] - max)) - (x[i,t] - max)      grad[i,j] = softmax(x[i])[j] - [j
 *   == t],  t = target[i]
 *
 * Idea      both need the same exponentials: the gradient costs a scaling more
 * Removes   log-softmax, gather, exp and scatter as arrays of their own
 * Leaves    as softmax.c
 * Requires  C-contiguous rows; targets in [0, cols), or ignore_index: loss and gradient are then 0
 * Checked   against PyTorch in float64
 * Timed     python -m fastdl bench rows
 */
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
    SPLIT(fdl_plan(threads, rows * (30 + 0.25 * sizeof(REAL) * cols)), rows, 1,
          F(cross_entropy_rows)(cols, x, target, ignore_index, loss, grad, begin, end));
    return FDL_OK;
}
