# The C contract as Cython sees it: csrc/fastdl.h, nothing else.
from libc.stdint cimport int64_t, uint64_t, uint8_t


cdef extern from "fastdl.h" nogil:
    enum:
        FDL_OK, FDL_NOMEM, FDL_OUTSIDE
        FDL_F32, FDL_F64
        FDL_CONV_FORWARD, FDL_CONV_GRAD_INPUT, FDL_CONV_GRAD_WEIGHT
        FDL_CONV_VARIANTS

    ctypedef struct fdl_gemm:
        int64_t batch, m, n, k
        const void *a
        int64_t a_batch, a_row, a_col
        const void *b
        int64_t b_batch, b_row, b_col
        void *c
        int64_t c_batch, c_row, c_col
        const void *bias
        int accumulate, activation
        void *before
    ctypedef int fdl_gemm_fn(const fdl_gemm *p, int threads) noexcept nogil

    ctypedef struct fdl_conv:
        int64_t n, c, h, w, k, r, s, oh, ow
        int64_t stride_h, stride_w, pad_h, pad_w, dil_h, dil_w, groups
        const void *ready
    ctypedef int fdl_conv_forward_fn(const fdl_conv *g, const void *x, const void *w,
            const void *bias, void *y, int threads) noexcept nogil
    ctypedef int64_t fdl_conv_ready_fn(const fdl_conv *g, const void *w, void *u) noexcept nogil
    ctypedef int fdl_conv_grad_input_fn(const fdl_conv *g, const void *dy, const void *w,
            void *dx, int threads) noexcept nogil
    ctypedef int fdl_conv_grad_weight_fn(const fdl_conv *g, const void *x, const void *dy,
            void *dw, int threads) noexcept nogil

    ctypedef struct fdl_pool:
        int64_t planes, h, w, oh, ow, kh, kw, stride_h, stride_w, pad_h, pad_w, dil_h, dil_w
        int64_t pad_bottom, pad_right
        int count_include_pad
        int64_t divisor
    ctypedef int fdl_max_forward_fn(const fdl_pool *g, const void *x, void *y, void *taps,
            int threads) noexcept nogil
    ctypedef int fdl_max_scatter_fn(const fdl_pool *g, const void *dy, const void *taps, void *dx,
            int threads) noexcept nogil
    ctypedef int fdl_max_gather_fn(const fdl_pool *g, const void *x, const void *taps, void *y,
            int threads) noexcept nogil
    ctypedef int fdl_avg_forward_fn(const fdl_pool *g, const void *x, void *y,
            int threads) noexcept nogil
    ctypedef int fdl_avg_backward_fn(const fdl_pool *g, const void *dy, void *dx,
            int threads) noexcept nogil

    ctypedef struct fdl_draw:
        uint64_t seed, draw

    ctypedef struct fdl_heads:
        void *data
        int64_t n, h, row
    ctypedef struct fdl_attention:
        int64_t n, h, l, s, e, ev, group
        double scale
        int causal
        const uint8_t *keep
        const void *bias
        int64_t mask_n, mask_h, mask_row, mask_col
        double dropped
        fdl_draw draw
        fdl_heads q, k, v, y
        void *lse
        fdl_heads dy, dq, dk, dv
    ctypedef int fdl_attention_fn(const fdl_attention *g, int threads) noexcept nogil
    enum:
        FDL_LSTM, FDL_GRU
    ctypedef struct fdl_recurrence:
        int cell, reverse
        int64_t steps, n, size
        const int64_t *starts
        const void *a
        const void *w
        const void *b
        void *h
        void *c
        void *y
        void *gates
        const void *gy
        void *dh
        void *dc
        void *da
        void *dr
        void *db
        void *before
        int states
    ctypedef int fdl_recurrence_fn(const fdl_recurrence *g, int threads) noexcept nogil
    enum:
        FDL_COPY_AXES
    ctypedef struct fdl_copy:
        int axes
        int64_t shape[16]
        int64_t x_stride[16]
        int64_t y_stride[16]

    ctypedef struct fdl_pad:
        int axes
        int64_t shape[16]
        int64_t begin[16]
        int64_t n[16]
        int64_t x_stride[16]
    ctypedef struct fdl_pick:
        int axes
        int64_t shape[16]
        int64_t stride[16]
        int64_t step
    ctypedef struct fdl_part:
        const void *x
        int64_t n, row

    ctypedef struct fdl_reduce:
        int64_t outer, n, inner, x_outer, x_n
    enum:
        FDL_SUM, FDL_PROD, FDL_MAX, FDL_MIN, FDL_SUM_ABS, FDL_SUM_SQUARES

    enum:
        FDL_UNIFORM, FDL_NORMAL, FDL_EXPONENTIAL, FDL_BERNOULLI
    ctypedef struct fdl_ctc:
        int64_t t, n, c, s, blank
        const void *x
        const int64_t *targets
        const int64_t *steps
        const int64_t *lengths
        int zero_infinity
        void *loss
        void *grad

    ctypedef struct fdl_param:
        int64_t n
        void *p
        const void *g
        void *state[3]
        double rate[4]
    ctypedef struct fdl_rule:
        double lr, momentum, beta1, beta2, eps, weight_decay
        int nesterov, decoupled, maximize
    ctypedef int fdl_step_fn(int64_t count, const fdl_param *list, const fdl_rule *rule,
            int threads) noexcept nogil

    ctypedef struct fdl_cells:
        int64_t planes, h, w, oh, ow

    enum:
        FDL_MAP_DIMS
    ctypedef struct fdl_map_operand:
        void *data
        int64_t step[64]
        int bytes
    ctypedef struct fdl_map:
        int ndim
        int64_t shape[64]
        fdl_map_operand c_in "in"[3]
        fdl_map_operand out
        double p, q

    ctypedef struct fdl_kernels:
        const char *isa
        int itemsize, vector_bytes, mr, nr, mc, kc, nc
        fdl_gemm_fn *gemm[6]
        fdl_conv_forward_fn *conv_forward[9]
        fdl_conv_ready_fn *conv_ready[9]
        fdl_conv_grad_input_fn *conv_grad_input[9]
        fdl_conv_grad_weight_fn *conv_grad_weight[9]
        fdl_max_forward_fn *max_forward[3]
        fdl_max_scatter_fn *max_scatter[3]
        fdl_max_gather_fn *max_gather
        fdl_avg_forward_fn *avg_forward[3]
        fdl_avg_backward_fn *avg_backward[3]
        fdl_attention_fn *attention[2]
        fdl_attention_fn *attention_backward
        fdl_attention_fn *attention_factors
        fdl_recurrence_fn *recurrence
        fdl_recurrence_fn *recurrence_backward
        int (*cells_max)(const fdl_cells *g, const void *x, void *y, int64_t *positions,
                int threads) noexcept nogil
        int (*cells_avg)(const fdl_cells *g, const void *x, void *y, int threads) noexcept nogil
        int (*cells_avg_backward)(const fdl_cells *g, const void *dy, void *dx,
                int threads) noexcept nogil
        int (*plane_gather)(int64_t planes, int64_t n, int64_t m, const void *x,
                const int64_t *at, void *y, int threads) noexcept nogil
        int (*plane_scatter)(int64_t planes, int64_t n, int64_t m, const void *x,
                const int64_t *at, void *y, int add, int threads) noexcept nogil
        int (*map)(int function, const fdl_map *m, int threads) noexcept nogil
        const char *(*map_name)(int function, int *inputs, const char **value) noexcept nogil
        int (*map_sum)(int function, const fdl_map *m, double scale, void *y,
                int threads) noexcept nogil
        int (*softmax)(int64_t n, int64_t c, int64_t p, const void *x, void *y, int log,
                int threads) noexcept nogil
        int (*softmax_backward)(int64_t n, int64_t c, int64_t p, const void *dy,
                const void *y, void *dx, int log, int threads) noexcept nogil
        int (*cross_entropy)(int64_t n, int64_t c, int64_t p, const void *x,
                const int64_t *target, int64_t ignore_index, const void *weight,
                double smoothing, double scale, void *loss, void *grad,
                int threads) noexcept nogil
        int (*soft_cross_entropy)(int64_t n, int64_t c, const void *x, const void *target,
                const void *weight, double smoothing, double scale, void *loss, void *mass,
                void *grad, int threads) noexcept nogil
        int (*classes)(int64_t rows, const int64_t *target, int64_t c, int64_t ignore_index,
                const void *weight, double *total) noexcept nogil
        int (*nll)(int64_t n, int64_t c, int64_t p, const void *x, const int64_t *target,
                int64_t ignore_index, const void *weight, double scale, void *loss,
                int threads) noexcept nogil
        int (*nll_backward)(int64_t n, int64_t c, int64_t p, const void *dy, int64_t dy_step,
                const int64_t *target, int64_t ignore_index, const void *weight, double scale,
                void *dx, int threads) noexcept nogil
        int (*ctc_loss)(const fdl_ctc *g, int threads) noexcept nogil
        int (*channel_sum)(int64_t n, int64_t c, int64_t p, const void *dy, void *db,
                int threads) noexcept nogil
        int (*copy)(const fdl_copy *g, const void *x, void *y, int threads) noexcept nogil
        int (*join)(int64_t rows, int count, const fdl_part *parts, void *y,
                int threads) noexcept nogil
        int (*pick)(const fdl_pick *g, const void *x, const int64_t *index, void *y,
                int threads) noexcept nogil
        int (*place)(const fdl_pick *g, const void *x, const int64_t *index,
                void *y) noexcept nogil
        int (*pad)(const fdl_pad *g, const void *x, const void *value, void *y,
                int threads) noexcept nogil
        int (*reduce)(int op, const fdl_reduce *g, const void *x, void *y, double divisor,
                int threads) noexcept nogil
        int (*extreme)(int op, const fdl_reduce *g, const void *x, void *values, int64_t *places,
                int threads) noexcept nogil
        int (*scan)(int product, int64_t outer, int64_t n, int64_t inner, const void *x, void *y,
                int threads) noexcept nogil
        int (*variance)(const fdl_reduce *g, const void *x, double divisor, void *variance,
                void *mean, int threads) noexcept nogil
        int (*random_fill)(int kind, fdl_draw d, int64_t n, double a, double b, void *y,
                int threads) noexcept nogil
        int (*random_integers)(fdl_draw d, int64_t n, int64_t low, uint64_t range, int64_t *y,
                int threads) noexcept nogil
        int (*permutation)(fdl_draw d, int64_t n, int64_t *y) noexcept nogil
        int (*dropout)(fdl_draw d, int64_t n, double p, const void *x, void *y,
                int threads) noexcept nogil
        int (*batch_norm)(int64_t n, int64_t c, int64_t p, const void *x, const void *weight,
                const void *bias, double eps, void *y, void *stats,
                int threads) noexcept nogil
        int (*batch_norm_fixed)(int64_t n, int64_t c, int64_t p, const void *x,
                const void *mean, const void *var, const void *weight, const void *bias,
                double eps, void *y, int threads) noexcept nogil
        int (*batch_norm_backward)(int64_t n, int64_t c, int64_t p, const void *dy,
                const void *x, const void *stats, const void *weight,
                double eps, void *dx, void *dweight, void *dbias, int threads) noexcept nogil
        int (*row_norm)(int64_t n, int64_t g, int64_t c, int64_t p, const void *x,
                const void *weight, const void *bias, double eps, int centred, void *y,
                void *stats, int threads) noexcept nogil
        int (*row_norm_backward)(int64_t n, int64_t g, int64_t c, int64_t p, const void *dy,
                const void *x, const void *stats, const void *weight,
                double eps, int centred, void *dx, void *dweight, void *dbias,
                int threads) noexcept nogil
        int (*gather_rows)(int64_t n, int64_t d, const void *table, const int64_t *index,
                void *y, int threads) noexcept nogil
        int (*scatter_rows)(int64_t rows, int64_t d, int64_t n, const void *g,
                const int64_t *index, void *table, int threads) noexcept nogil
        fdl_step_fn *sgd
        fdl_step_fn *adam
        fdl_step_fn *rmsprop
        fdl_step_fn *adagrad
        fdl_step_fn *adadelta
        fdl_step_fn *adamax
        int (*sum_squares)(int64_t count, const fdl_param *list, double *total,
                int threads) noexcept nogil
        int (*scale)(int64_t count, const fdl_param *list, double factor,
                int threads) noexcept nogil
        int (*clamp)(int64_t count, const fdl_param *list, double low, double high,
                int threads) noexcept nogil
        double (*fma_peak)(int64_t iterations, int threads) noexcept nogil

    const fdl_kernels *fdl_table(int tier, int dtype)
    int fdl_best_tier()
    const char *fdl_conv_name(int variant)
    const char *fdl_conv_requires(int variant)
    bint fdl_conv_exists(const fdl_kernels *t, int pass_, int variant)
    bint fdl_conv_fits(int variant, const fdl_conv *g)
    int fdl_conv_choose(const fdl_kernels *t, int pass_, const fdl_conv *g, const char **why)
    void fdl_forbid_winograd(bint forbid)
    bint fdl_winograd_forbidden()
    int fdl_has_openmp()
    int fdl_available_threads()
    void fdl_set_threads(int n)
    int fdl_threads()
    int fdl_free_threads()
    int fdl_planned()
    int fdl_outside(const int64_t *index, int64_t n, int64_t low, int64_t high) nogil
    const char *fdl_compiler()

    int FDL_KEY_F32, FDL_KEY_F64, FDL_KEY_I64, FDL_KEY_I32, FDL_KEY_U8
    int FDL_LEADING
    int64_t fdl_leading(const char *x, int kind, int64_t n, int64_t step, bint greatest, int64_t k,
                        int64_t *room, int64_t *places) nogil

    void fdl_gamma(bint slope, bint is_double, int64_t n, const void *x, void *y, int threads) nogil

    int FDL_FLOOR_DIVIDE, FDL_REMAINDER, FDL_FMOD
    void fdl_divide(int kind, int64_t n, const float *x, const float *y, bint one, float *z,
                    int threads) nogil

    void *fdl_alloc(size_t bytes)
    void *fdl_alloc_zeroed(size_t count, size_t size)
    void *fdl_realloc(void *data, size_t bytes)
    void fdl_free(void *data)
    ctypedef struct fdl_memory:
        int64_t live, peak, cached, limit, reused, fresh
    void fdl_memory_stats(fdl_memory *out)
    void fdl_empty_cache()
    void fdl_reset_peak_memory()
    void fdl_set_memory_limit(int64_t bytes)
