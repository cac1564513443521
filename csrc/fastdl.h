/* fastdl.h: THE contract between the kernels and their only caller, fastdl/_kernels.pyx.
 *
 * One table of function pointers exists per (tier, dtype): the tier is the instruction set it was
 * compiled for, the dtype is REAL = float or double. Data pointers are `void *` here and REAL
 * inside, so that the caller is written once for both dtypes.
 *
 * What every entry may assume, because the caller checked it: pointers are valid, aligned to REAL
 * and do not overlap unless said so; sizes are >= 0 and their products fit int64_t.
 * What every entry promises: zero-sized problems return at once; outputs are written, never read
 * first, unless said so; the bits of the result do not depend on `threads`; it returns FDL_OK, or
 * FDL_NOMEM when scratch memory could not be had, or where it says so FDL_OUTSIDE for an index that
 * points nowhere (outputs are then undefined).
 * `threads` is an upper bound: runtime.c decides from the work whether more than one pays.
 */
#ifndef FASTDL_H
#define FASTDL_H
#include <stddef.h>
#include <stdint.h>

enum { FDL_OK = 0, FDL_NOMEM = -1, FDL_OUTSIDE = -2 };
enum { FDL_GENERIC, FDL_AVX2, FDL_AVX512, FDL_TIERS };
enum { FDL_F32, FDL_F64, FDL_DTYPES };

/* ---- GEMM: for each batch b   C[b] = f(A[b] B[b] (+ bias) (+ C[b] if accumulate)) ------------ */
enum { FDL_IDENTITY, FDL_RELU, FDL_GELU, FDL_GELU_TANH, FDL_ACTIVATIONS };
typedef struct fdl_gemm {
    int64_t batch, m, n, k;                       /* A: m x k, B: k x n, C: m x n                */
    const void *a; int64_t a_batch, a_row, a_col; /* strides in elements, any sign; 0 broadcasts */
    const void *b; int64_t b_batch, b_row, b_col;
    void *c;       int64_t c_batch, c_row, c_col; /* distinct elements                           */
    const void *bias;                             /* n values added to every row of C, or NULL   */
    int accumulate;                               /* 0: C is not read. 1: C += ...               */
    int activation;                               /* f                                           */
    void *before;                                 /* NULL, or gets what f is applied to; as C    */
} fdl_gemm;

enum { FDL_GEMM_NAIVE, FDL_GEMM_REORDERED, FDL_GEMM_BLOCKED, /* standalone rungs */
       FDL_GEMM_PACKED, FDL_GEMM_SIMD, FDL_GEMM_THREADED,    /* the driver: plain tile, vector tile,
                                                                more threads */
       FDL_GEMM_VARIANTS };
typedef int fdl_gemm_fn(const fdl_gemm *p, int threads);

/* ---- 2-d convolution (cross-correlation), all arrays C-contiguous ---------------------------- */
typedef struct fdl_conv {
    int64_t n, c, h, w;             /* x  (n, c, h, w)                                */
    int64_t k, r, s;                /* w  (k, c / groups, r, s)                       */
    int64_t oh, ow;                 /* y  (n, k, oh, ow)                              */
    int64_t stride_h, stride_w;
    int64_t pad_h, pad_w;           /* top, left; bottom and right follow from oh, ow */
    int64_t dil_h, dil_w, groups;
    const void *ready;              /* forward: what conv_ready made of w, or NULL    */
} fdl_conv;

enum { FDL_CONV_FORWARD, FDL_CONV_GRAD_INPUT, FDL_CONV_GRAD_WEIGHT, FDL_CONV_PASSES };
/* A table has NULL where an algorithm does not exist for a pass. Each may be called only for the
 * geometries it fits (conv/select.c, which also chooses). */
enum { FDL_CONV_NAIVE, FDL_CONV_IM2COL, FDL_CONV_IMPLICIT, /* the ladder; any geometry        */
       FDL_CONV_WINOGRAD, FDL_CONV_WINOGRAD_2X2,           /* F(4x4, 3x3), F(2x2, 3x3)        */
       FDL_CONV_WINOGRAD_5X5,                              /* F(2x2, 5x5)                     */
       FDL_CONV_WINOGRAD_STRIDED,                          /* F(4x4, 2x2) of stride 2; these
                                                              four are Winograd's            */
       FDL_CONV_DOTS,                                      /* forward only; any geometry      */
       FDL_CONV_DEPTHWISE,                                 /* a channel a group               */
       FDL_CONV_OUTER,                                     /* grad_weight only; any geometry  */
       FDL_CONV_VARIANTS };
/* forward:     y[n,k,i,j] = bias[k] + sum_crs w[k,c,r,s] x[n,c, i*sh + r*dh - ph, j*sw + s*dw - pw]
 *              bias may be NULL
 * grad_input:  dx = d sum(y * dy) / dx
 * grad_weight: dw = d sum(y * dy) / dw
 * A NaN or infinity in x (grad_input: dy) reaches what depends on it and, but for Winograd's
 * algorithm, which mixes a tile, nothing else. One in w, or in dy of grad_weight, may also reach
 * results that meet it at a zero of the padding only: which, depends on the algorithm. */
typedef int fdl_conv_forward_fn(const fdl_conv *g, const void *x, const void *w, const void *bias,
                                void *y, int threads);
/* What a variant makes of w first, in u, if that is not NULL. Returns the elements of it: they
 * serve every n, h and w. */
typedef int64_t fdl_conv_ready_fn(const fdl_conv *g, const void *w, void *u);
typedef int fdl_conv_grad_input_fn(const fdl_conv *g, const void *dy, const void *w, void *dx,
                                   int threads);
typedef int fdl_conv_grad_weight_fn(const fdl_conv *g, const void *x, const void *dy, void *dw,
                                    int threads);

/* ---- 2-d pooling over planes (n * c of them), C-contiguous ----------------------------------- */
typedef struct fdl_pool {
    int64_t planes, h, w, oh, ow, kh, kw, stride_h, stride_w;
    int64_t pad_h, pad_w;           /* top, left; each at most half the window            */
    int64_t dil_h, dil_w;           /* max pooling only                                   */
    int64_t pad_bottom, pad_right;  /* average pooling may count these rows and columns,
                                       never the overhang that ceil_mode adds beyond them */
    int count_include_pad;
    int64_t divisor;                /* 0: the window's size decides                       */
} fdl_pool;
/* `taps`: the winner's position in its window, r * kw + s, one per output: uint8_t when
 * kh * kw <= 256, else int32_t. Ties go to the first; a NaN wins (the last one), as in PyTorch.
 * Every window holds at least one element of the plane. A tap in the padding (max_forward makes
 * none) scatters nothing and gathers 0. */
enum { FDL_POOL_NAIVE, FDL_POOL_ROWS, FDL_POOL_THREADED, FDL_POOL_VARIANTS };
typedef int fdl_max_forward_fn(const fdl_pool *g, const void *x, void *y, void *taps, int threads);
typedef int fdl_max_scatter_fn(const fdl_pool *g, const void *dy, const void *taps, void *dx,
                               int threads);
typedef int fdl_max_gather_fn(const fdl_pool *g, const void *x, const void *taps, void *y,
                              int threads);
typedef int fdl_avg_forward_fn(const fdl_pool *g, const void *x, void *y, int threads);
typedef int fdl_avg_backward_fn(const fdl_pool *g, const void *dy, void *dx, int threads);

/* Adaptive pooling: output (i, j) takes rows i h / oh (rounded down) to (i + 1) h / oh (rounded
 * up), exclusive, and columns likewise; h, w >= 1. `positions`: the winner's row * w + column. */
typedef struct fdl_cells {
    int64_t planes, h, w, oh, ow;
} fdl_cells;

typedef struct fdl_draw { /* of random numbers: element i is a function of (seed, draw, i) */
    uint64_t seed, draw;
} fdl_draw;

/* ---- scaled dot-product attention ------------------------------------------------------------ */
/* (n, h, rows, cols): rows contiguous, the other strides in elements; 0 broadcasts what is read */
typedef struct fdl_heads {
    void *data;
    int64_t n, h, row;
} fdl_heads;

/* Y = (D o softmax(scale Q K^T + mask)) V in every head, 0 where nothing takes part, and
 * lse = log sum exp of each row of the scores, +inf where nothing takes part. D: 0 with probability
 * `dropped`, else 1 / (1 - dropped); the same for the same draw, n, h, l and s */
typedef struct fdl_attention {
    int64_t n, h, l, s, e, ev;      /* q (n, h, l, e), k (n, h / group, s, e),               */
    int64_t group;                  /* v (n, h / group, s, ev), y (n, h, l, ev)              */
    double scale;
    int causal;                     /* query i sees keys 0 ... i                             */
    const uint8_t *keep;            /* the mask (n, h, l, s): nonzero takes part; or         */
    const void *bias;               /* what is added to the scores; at most one, or NULL     */
    int64_t mask_n, mask_h, mask_row, mask_col;
    double dropped;
    fdl_draw draw;
    fdl_heads q, k, v, y;
    void *lse;                      /* (n, h, l), C-contiguous                               */
    fdl_heads dy, dq, dk, dv;       /* backward: y, lse and dy are read, the others written  */
} fdl_attention;
enum { FDL_ATTENTION_NAIVE, FDL_ATTENTION_TILED, FDL_ATTENTION_VARIANTS };
typedef int fdl_attention_fn(const fdl_attention *g, int threads);

/* ---- recurrences over time ------------------------------------------------------------------- */
/* h_t = f(a_t + r_t), r_t = h_{t-1} w^T + b, of one layer and direction; with c and the gates of
 *   tanh, relu  f itself
 *   lstm        i f u o: c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(u), h_t = sigmoid(o) tanh(c_t)
 *   gru         r z u: u = tanh(a_u + sigmoid(r) r_u), h_t = (1 - sigmoid(z)) u + sigmoid(z) h */
enum { FDL_TANH_CELL, FDL_RELU_CELL, FDL_LSTM, FDL_GRU, FDL_CELLS };
typedef struct fdl_recurrence {
    int cell, reverse;              /* reverse: the last step first                              */
    int64_t steps, n, size;         /* n sequences, `size` units; G gates a unit: 1, 1, 4, 3     */
    const int64_t *starts;          /* (steps + 1): rows of step t are starts[t] ... starts[t+1],
                                       of the first so many sequences; never more than before    */
    const void *a;                  /* (rows, G, size)                                           */
    const void *w, *b;              /* (G, size, size); (G, size) or NULL                        */
    void *h, *c;                    /* (n, size): states before; forward: written, those after   */
    void *y;                        /* (rows, size)                                              */
    void *gates;                    /* (rows, K, size), K 0, 0, 5 (i f u o c), 4 (r z u r_u);
                                       forward: may be NULL                                      */
    const void *gy;                 /* backward: the gradient of y, or NULL                      */
    void *dh, *dc;                  /* of the states after, in, and before, out                  */
    void *da, *dr;                  /* (rows, G, size), of a and r: one array but of a GRU      */
    void *db;                       /* (G, size): the sum of dr over all rows                    */
    void *before;                   /* (rows, size): h_{t-1}                                     */
    int states;                     /* whether dh before the first step is wanted                */
} fdl_recurrence;
typedef int fdl_recurrence_fn(const fdl_recurrence *g, int threads);

/* ---- connectionist temporal classification --------------------------------------------------- */
typedef struct fdl_ctc {
    int64_t t, n, c, s, blank;      /* at most t steps and s labels of n sequences, c classes    */
    const void *x;                  /* (t, n, c): log probabilities                              */
    const int64_t *targets;         /* (n, s)                                                    */
    const int64_t *steps, *lengths; /* (n)                                                       */
    int zero_infinity;              /* an infinite loss counts as 0, with a gradient of 0        */
    void *loss;                     /* (n): -log of the labellings' probabilities                */
    void *grad;                     /* (t, n, c): of each sequence's loss in x; NULL: not wanted */
} fdl_ctc;

/* ---- optimizer steps, over all parameters at once -------------------------------------------- */
typedef struct fdl_param {
    int64_t n;          /* values in each of its arrays, which do not overlap            */
    void *p;
    const void *g;      /* its gradient                                                  */
    void *state[3];     /* what the rule remembers of it; NULL where that is switched off */
    double rate[4];     /* scalars of the rule that depend on the number of the step     */
} fdl_param;
typedef struct fdl_rule { /* each rule reads what its formula names */
    double lr, momentum, beta1, beta2, eps, weight_decay;
    int nesterov, decoupled, maximize;
} fdl_rule;
typedef int fdl_step_fn(int64_t count, const fdl_param *list, const fdl_rule *rule, int threads);

/* ---- copies: y[i, j, ...] = x[i, j, ...], strides in elements -------------------------------- */
enum { FDL_COPY_AXES = 16 };
typedef struct fdl_copy {
    int axes;                       /* 1 ... FDL_COPY_AXES            */
    int64_t shape[FDL_COPY_AXES];
    int64_t x_stride[FDL_COPY_AXES], y_stride[FDL_COPY_AXES]; /* y's > 0, falling */
} fdl_copy;
typedef struct fdl_pad {            /* x, of lengths n, from `begin` on in the output */
    int axes;                       /* 1 ... FDL_COPY_AXES */
    int64_t shape[FDL_COPY_AXES], begin[FDL_COPY_AXES], n[FDL_COPY_AXES];
    int64_t x_stride[FDL_COPY_AXES];
} fdl_pad;
typedef struct fdl_pick {           /* numbers along one axis of an array of as many axes */
    int axes;                       /* 1 ... FDL_COPY_AXES                      */
    int64_t shape[FDL_COPY_AXES];   /* of the index                             */
    int64_t stride[FDL_COPY_AXES];  /* of the array, in elements; 0 on the axis */
    int64_t step;                   /* its stride on the axis                   */
} fdl_pick;
typedef struct fdl_part {         /* n contiguous elements in each row, rows `row` apart */
    const void *x;
    int64_t n, row;
} fdl_part;

/* ---- reductions over one axis: x (outer, n, inner) -> y (outer, inner), C-contiguous ------- */
typedef struct fdl_reduce {
    int64_t outer, n, inner;
    int64_t x_outer, x_n;           /* strides of x in elements; that of inner is 1, and
                                       where inner = 1, x_n is */
} fdl_reduce;
enum { FDL_SUM, FDL_PROD, FDL_MAX, FDL_MIN, FDL_SUM_ABS, FDL_SUM_SQUARES, FDL_REDUCTIONS };

/* ---- random numbers -------------------------------------------------------------------------- */
enum {
    FDL_UNIFORM,     /* in [a, b); a where a == b                    */
    FDL_NORMAL,      /* mean a, standard deviation b                 */
    FDL_EXPONENTIAL, /* rate a; never 0                              */
    FDL_BERNOULLI,   /* 1 with probability a (in [0, 1]), 0 otherwise */
    FDL_DISTRIBUTIONS
};

/* ---- elementwise: y[i] = f(a[i], b[i], c[i]) over a broadcast shape -------------------------- */
enum { FDL_MAP_DIMS = 64 };
typedef struct fdl_map_operand {
    void *data;
    int64_t step[FDL_MAP_DIMS];     /* in elements, any sign; 0 broadcasts (not the result) */
    int bytes;                      /* 1: truth values, uint8_t; 0: REAL                    */
} fdl_map_operand;
typedef struct fdl_map {
    int ndim;                       /* 1 to FDL_MAP_DIMS, the innermost dimension last      */
    int64_t shape[FDL_MAP_DIMS];
    fdl_map_operand in[3], out;     /* out may be one of the inputs, else overlaps none     */
    double p, q;                    /* parameters of the function                           */
} fdl_map;

/* ---- the table ------------------------------------------------------------------------------- */
typedef struct fdl_kernels {
    const char *isa;                /* "generic", "avx2", "avx512"     */
    int itemsize, vector_bytes;     /* sizeof(REAL), bytes in a vector */
    int mr, nr, mc, kc, nc;         /* GEMM tile and blocks            */

    fdl_gemm_fn *gemm[FDL_GEMM_VARIANTS];

    fdl_conv_forward_fn *conv_forward[FDL_CONV_VARIANTS];
    fdl_conv_ready_fn *conv_ready[FDL_CONV_VARIANTS];
    fdl_conv_grad_input_fn *conv_grad_input[FDL_CONV_VARIANTS];
    fdl_conv_grad_weight_fn *conv_grad_weight[FDL_CONV_VARIANTS];

    fdl_max_forward_fn *max_forward[FDL_POOL_VARIANTS];
    fdl_max_scatter_fn *max_scatter[FDL_POOL_VARIANTS];
    fdl_max_gather_fn *max_gather;
    fdl_avg_forward_fn *avg_forward[FDL_POOL_VARIANTS];
    fdl_avg_backward_fn *avg_backward[FDL_POOL_VARIANTS];

    fdl_attention_fn *attention[FDL_ATTENTION_VARIANTS];
    fdl_attention_fn *attention_backward;
    fdl_attention_fn *attention_factors; /* y = D (n, h, l, s), C-contiguous */

    fdl_recurrence_fn *recurrence, *recurrence_backward;

    int (*cells_max)(const fdl_cells *g, const void *x, void *y, int64_t *positions, int threads);
    int (*cells_avg)(const fdl_cells *g, const void *x, void *y, int threads);
    int (*cells_avg_backward)(const fdl_cells *g, const void *dy, void *dx, int threads);
    /* planes of n elements and of m positions in [0, n):
     * gather  y[p, j] = x[p, at[p, j]]
     * scatter y = 0, then y[p, at[p, j]] += x[p, j] in the order of j; add 0: = (the last stays) */
    int (*plane_gather)(int64_t planes, int64_t n, int64_t m, const void *x, const int64_t *at,
                        void *y, int threads);
    int (*plane_scatter)(int64_t planes, int64_t n, int64_t m, const void *x, const int64_t *at,
                         void *y, int add, int threads);

    /* the elementwise functions of elementwise/functions.inc.c by number; the name of one, how many
     * inputs it has and what it computes; NULL after the last */
    int (*map)(int function, const fdl_map *m, int threads);
    const char *(*map_name)(int function, int *inputs, const char **value);
    /* y[0] = scale * sum of an elementwise function's values; m->out is not looked at */
    int (*map_sum)(int function, const fdl_map *m, double scale, void *y, int threads);

    /* (n, c, p) over c; log: 0 softmax, 1 log-softmax */
    int (*softmax)(int64_t n, int64_t c, int64_t p, const void *x, void *y, int log, int threads);
    int (*softmax_backward)(int64_t n, int64_t c, int64_t p, const void *dy, const void *y,
                            void *dx, int log, int threads);
    /* loss (n, p) of scores x (n, c, p) against classes target (n, p), times scale, and its
     * gradient (n, c, p), unless that is NULL; both 0 where the target is ignore_index; every other
     * lies in [0, c).
     * weight: (c) or NULL; smoothing: the part of a target that is spread over all classes */
    int (*cross_entropy)(int64_t n, int64_t c, int64_t p, const void *x, const int64_t *target,
                         int64_t ignore_index, const void *weight, double smoothing, double scale,
                         void *loss, void *grad, int threads);
    /* the same against probabilities target (n, c), x (n, c); mass (n) is the sum of a row's
     * weighted target, times scale */
    int (*soft_cross_entropy)(int64_t n, int64_t c, const void *x, const void *target,
                              const void *weight, double smoothing, double scale, void *loss,
                              void *mass, void *grad, int threads);
    /* 0 unless each target is a class or ignore_index; *total: the weights of the classes */
    int (*classes)(int64_t rows, const int64_t *target, int64_t c, int64_t ignore_index,
                   const void *weight, double *total);
    /* loss (n, p) = -scale weight[target] x[n, target, p]; 0 where the target is ignore_index */
    int (*nll)(int64_t n, int64_t c, int64_t p, const void *x, const int64_t *target,
               int64_t ignore_index, const void *weight, double scale, void *loss, int threads);
    /* dx (n, c, p) for dy (n, p), its elements dy_step apart: 1, or 0 for one value */
    int (*nll_backward)(int64_t n, int64_t c, int64_t p, const void *dy, int64_t dy_step,
                        const int64_t *target, int64_t ignore_index, const void *weight,
                        double scale, void *dx, int threads);
    int (*ctc_loss)(const fdl_ctc *g, int threads);
    /* db[c] = sum over n and p of dy[n, c, p] */
    int (*channel_sum)(int64_t n, int64_t c, int64_t p, const void *dy, void *db, int threads);

    /* y does not overlap x; elements of REAL's size are moved as bits, whatever they mean */
    int (*copy)(const fdl_copy *g, const void *x, void *y, int threads);
    /* each row of y: the parts one after another; C-contiguous */
    int (*join)(int64_t rows, int count, const fdl_part *parts, void *y, int threads);
    /* y, C-contiguous and shaped as index: the elements of x that it names; and its opposite, which
     * adds x to the elements of y */
    int (*pick)(const fdl_pick *g, const void *x, const int64_t *index, void *y, int threads);
    int (*place)(const fdl_pick *g, const void *x, const int64_t *index, void *y);
    /* y, C-contiguous: x with *value around it */
    int (*pad)(const fdl_pad *g, const void *x, const void *value, void *y, int threads);

    /* y = the reduction / divisor, n > 0. A NaN gives NaN. */
    int (*reduce)(int op, const fdl_reduce *g, const void *x, void *y, double divisor,
                  int threads);
    /* op FDL_MAX or FDL_MIN: the extremes and their places in [0, n), the first of equal ones and
     * of NaN; n > 0 */
    int (*extreme)(int op, const fdl_reduce *g, const void *x, void *values, int64_t *places,
                   int threads);
    /* running sums, or products, along n of (outer, n, inner), C-contiguous; made in double */
    int (*scan)(int product, int64_t outer, int64_t n, int64_t inner, const void *x, void *y,
                int threads);
    /* variance = sum of squared deviations / divisor, mean; n > 0 */
    int (*variance)(const fdl_reduce *g, const void *x, double divisor, void *variance,
                    void *mean, int threads);

    /* n random numbers; what a and b are: FDL_UNIFORM ... */
    int (*random_fill)(int kind, fdl_draw d, int64_t n, double a, double b, void *y, int threads);
    /* double's table only: y[i] uniform in [low, low + range), range 0 being 2^64; and 0 ... n-1
     * in random order */
    int (*random_integers)(fdl_draw d, int64_t n, int64_t low, uint64_t range, int64_t *y,
                           int threads);
    int (*permutation)(fdl_draw d, int64_t n, int64_t *y);
    /* y = x / (1 - p), or 0 x with probability p in [0, 1]; y may be x */
    int (*dropout)(fdl_draw d, int64_t n, double p, const void *x, void *y, int threads);

    /* normalisation: y = (x - mean) / sqrt(var + eps) * weight + bias; var is biased. weight and
     * bias may be NULL. `stats` are all means, then all vars: outputs of the forward pass, inputs
     * of the gradient.
     * x (n, c, p), over n and p: stats is (2, c), weight and bias are (c) */
    int (*batch_norm)(int64_t n, int64_t c, int64_t p, const void *x, const void *weight,
                      const void *bias, double eps, void *y, void *stats, int threads);
    int (*batch_norm_fixed)(int64_t n, int64_t c, int64_t p, const void *x, const void *mean,
                            const void *var, const void *weight, const void *bias, double eps,
                            void *y, int threads);
    int (*batch_norm_backward)(int64_t n, int64_t c, int64_t p, const void *dy, const void *x,
                               const void *stats, const void *weight, double eps, void *dx,
                               void *dweight, void *dbias, int threads);
    /* x (n, g, c, p), over c and p: stats is (2, n, g), weight and bias are (g, c). centred 0: var
     * is the mean square, mean 0 */
    int (*row_norm)(int64_t n, int64_t g, int64_t c, int64_t p, const void *x, const void *weight,
                    const void *bias, double eps, int centred, void *y, void *stats, int threads);
    int (*row_norm_backward)(int64_t n, int64_t g, int64_t c, int64_t p, const void *dy,
                             const void *x, const void *stats, const void *weight, double eps,
                             int centred, void *dx, void *dweight, void *dbias, int threads);

    /* y[i] = table[index[i]], 0 where index[i] < 0: table (rows, d), index (n), y (n, d) */
    int (*gather_rows)(int64_t n, int64_t d, const void *table, const int64_t *index, void *y,
                       int threads);
    /* table[r] = sum of g[i] over index[i] == r, g (n, d); n < 2^31 */
    int (*scatter_rows)(int64_t rows, int64_t d, int64_t n, const void *g, const int64_t *index,
                        void *table, int threads);

    /* optimizer steps over `count` parameters, in place; the formulas stand in optim/ */
    fdl_step_fn *sgd, *adam, *rmsprop, *adagrad, *adadelta, *adamax;
    /* over all values p of the list: sum of squares; times factor; into [low, high], NaN stays */
    int (*sum_squares)(int64_t count, const fdl_param *list, double *total, int threads);
    int (*scale)(int64_t count, const fdl_param *list, double factor, int threads);
    int (*clamp)(int64_t count, const fdl_param *list, double low, double high, int threads);

    /* FMAs on registers, nothing loaded or stored; returns the FLOPs done: measures the peak */
    double (*fma_peak)(int64_t iterations, int threads);
} fdl_kernels;

/* ---- dispatch.c: which tables this CPU can run ----------------------------------------------- */
const fdl_kernels *fdl_table(int tier, int dtype);  /* NULL: not built, or this CPU cannot run it */
int fdl_best_tier(void);                            /* the widest supported                       */

/* ---- conv/select.c: which algorithm a convolution runs on ------------------------------------ */
const char *fdl_conv_name(int variant);
const char *fdl_conv_requires(int variant);                  /* of a geometry, in words       */
int fdl_conv_exists(const fdl_kernels *t, int pass, int variant);
int fdl_conv_fits(int variant, const fdl_conv *g);           /* can it compute this geometry? */
fdl_conv fdl_conv_flattened(const fdl_conv *g);              /* 1x1: an image as one long row */
int fdl_conv_by_columns(const fdl_conv *g);                  /* see conv/grad_input.c         */
/* The algorithm for a pass; *why, unless NULL: the reason. Depends on shape and table alone. */
int fdl_conv_choose(const fdl_kernels *t, int pass, const fdl_conv *g, const char **why);
void fdl_forbid_winograd(int forbid);                        /* to fdl_conv_choose            */
int fdl_winograd_forbidden(void);

/* ---- runtime.c: threads, work, scratch ------------------------------------------------------- */
int fdl_has_openmp(void);
int fdl_available_threads(void);  /* OMP_NUM_THREADS, else min(OpenMP's, affinity, cgroup quota) */
void fdl_set_threads(int n);      /* the most that kernels use by default; n >= 1                 */
int fdl_threads(void);            /* that, or OpenMP's count, if lowered in this thread           */
int fdl_free_threads(void);       /* that, or 1 while others use our CPUs */
const char *fdl_compiler(void);   /* name and version                                             */
int fdl_after_fork(void);         /* 1 in a forked child: no thread pool, all runs serially       */
int fdl_plan(int threads, double work);  /* threads worth using for `work` nanoseconds of one */
#define FDL_STREAM (40 << 20)     /* bytes touched from which results go past the caches */
void fdl_zero(void *p, size_t bytes);
int fdl_outside(const int64_t *index, int64_t n, int64_t low, int64_t high);
                                  /* is any of n numbers outside [low, high)? */
int fdl_planned(void);            /* the most it granted to this thread since the last question   */
/* A 64-byte aligned, per-thread, grow-only buffer per slot, kept between calls; contents undefined.
 * NULL: no memory. Valid until the same thread asks for the same slot with a larger size. Slots of
 * one kernel family do not clash with those a nested call uses. */
enum { FDL_SCRATCH_GEMM_A, FDL_SCRATCH_GEMM_B,
       FDL_SCRATCH_CONV, FDL_SCRATCH_CONV_2, FDL_SCRATCH_CONV_3, FDL_SCRATCH_CONV_4,
       FDL_SCRATCH_CONV_5,
       FDL_SCRATCH_POOL, FDL_SCRATCH_ROWS, FDL_SCRATCH_REDUCE,
       FDL_SCRATCH_ATTENTION, FDL_SCRATCH_ATTENTION_2, FDL_SCRATCH_RNN, FDL_SCRATCH_RNN_2,
       FDL_SCRATCH_SLOTS };
void *fdl_scratch(int slot, size_t bytes);

/* ---- order.c: few elements in their order ---------------------------------------------------- */
enum { FDL_KEY_F32, FDL_KEY_F64, FDL_KEY_I64, FDL_KEY_I32, FDL_KEY_U8 };
enum { FDL_LEADING = 32 };        /* so many elements are ordered as fast as a few of them are */
/* The places of the first k of n elements, `step` bytes apart, from the smallest or the greatest;
 * of equal ones the first is first, NaN is the greatest. `room` is for n + 16, `places` for
 * max(k, min(n, FDL_LEADING)) numbers. How many are not NaN. */
int64_t fdl_leading(const char *x, int kind, int64_t n, int64_t step, int greatest, int64_t k,
                    int64_t *room, int64_t *places);

/* ---- gamma.c: special functions -------------------------------------------------------------- */
/* log |gamma(x)|, or its slope, of n floats or doubles; y may be x. */
void fdl_gamma(int slope, int is_double, int64_t n, const void *x, void *y, int threads);

/* ---- divide.c: whole quotients, and what they leave ------------------------------------------ */
enum { FDL_FLOOR_DIVIDE, FDL_REMAINDER, FDL_FMOD };
/* z = x by y, n floats, or `one` number y. z may be an operand. */
void fdl_divide(int kind, int64_t n, const float *x, const float *y, int one, float *z,
                int threads);

/* ---- alloc.c: memory for arrays, kept in a pool when freed ----------------------------------- */
void *fdl_alloc(size_t bytes);                        /* 64-byte aligned from 4 KiB; NULL: none */
void *fdl_alloc_zeroed(size_t count, size_t size);
void *fdl_realloc(void *data, size_t bytes);
void fdl_free(void *data);
typedef struct fdl_memory {
    int64_t live, peak, cached, limit;  /* bytes in use, most ever, free but kept, bound on those */
    int64_t reused, fresh;              /* blocks handed out: kept ones, new ones                 */
} fdl_memory;
void fdl_memory_stats(fdl_memory *out);
void fdl_empty_cache(void);                           /* gives what is free back to the system  */
void fdl_reset_peak_memory(void);                     /* peak = live                            */
void fdl_set_memory_limit(int64_t bytes);             /* on what is kept; 0: nothing            */

#endif
