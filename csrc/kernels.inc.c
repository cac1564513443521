/* kernels.inc.c: every kernel of one (tier, dtype), in reading order, and the table of them. */
#include "simd.h"
#if TAILORED
#define TAILORED_ONLY(it) it
#else
#define TAILORED_ONLY(it) NULL
#endif
#include "vmath.c"

#include "gemm/product.c"
#include "gemm/naive.c"
#include "gemm/reordered.c"
#include "gemm/blocked.c"
#include "gemm/pack.c"
#include "gemm/ukernel.c"
#include "gemm/small.c"
#include "gemm/lanes.c"
#include "gemm/driver.c"

#include "conv/naive.c"
#include "conv/lower.c"
#include "conv/im2col.c"
#include "conv/ukernel.c"
#include "conv/product.c"
#include "conv/filters.c"
#include "conv/implicit.c"
#include "conv/winograd_points.c"
#include "conv/winograd_tiles.c"
#include "conv/winograd.c"
#if TAILORED
#include "conv/winograd_strided.c"
#endif
#include "conv/winograd_grad.c"
#include "conv/grad_input.c"
#include "conv/grad_weight.c"
#include "conv/dots.c"
#include "conv/grad_outer.c"
#include "conv/depthwise.c"

#include "pool/naive.c"
#include "pool/whole.c"
#include "pool/lanes.c"
#include "pool/phases.c"
#include "pool/forward.c"
#include "pool/backward.c"
#include "pool/rows.c"
#include "pool/cells.c"
#include "pool/positions.c"

#include "elementwise/map.c"

#include "nnops/softmax.c"
#include "nnops/cross_entropy.c"
#include "nnops/nll.c"
#include "nnops/ctc.c"
#include "nnops/channel_sum.c"
#include "random/philox.c"
#include "random/fill.c"
#include "random/dropout.c"
#include "attention/dropped.c"
#include "attention/naive.c"
#include "attention/scores.c"
#include "attention/forward.c"
#include "attention/backward.c"
#include "rnn/steps.c"
#include "rnn/forward.c"
#include "rnn/backward.c"
#include "move/copy.c"
#include "move/pad.c"
#include "move/pick.c"
#include "reduce/blocks.c"
#include "reduce/mapped.c"
#include "reduce/extreme.c"
#include "reduce/variance.c"
#include "reduce/scan.c"
#include "norm/runs.c"
#include "norm/batch_norm.c"
#include "norm/row_norm.c"
#include "embedding/gather.c"
#include "embedding/scatter.c"

#include "optim/chunks.c"
#include "optim/sgd.c"
#include "optim/adam.c"
#include "optim/rmsprop.c"
#include "optim/adagrad.c"
#include "optim/adadelta.c"
#include "optim/adamax.c"
#include "optim/clip.c"

#include "peak.c"

const fdl_kernels CAT(CAT(fdl_, TIER), CAT(_, DTYPE)) = {
    .isa = STR(TIER),
    .itemsize = sizeof(REAL),
    .vector_bytes = VBYTES,
    .mr = MR, .nr = NV * VL, .mc = MC, .kc = KC, .nc = NC,
    .gemm = {
        [FDL_GEMM_NAIVE] = F(gemm_naive), [FDL_GEMM_REORDERED] = F(gemm_reordered),
        [FDL_GEMM_BLOCKED] = F(gemm_blocked), [FDL_GEMM_PACKED] = F(gemm_packed),
        [FDL_GEMM_SIMD] = F(gemm_simd), [FDL_GEMM_THREADED] = F(gemm_threaded),
    },
    .conv_forward = {
        [FDL_CONV_NAIVE] = F(conv_naive_forward),
        [FDL_CONV_IM2COL] = F(conv_im2col_forward),
        [FDL_CONV_IMPLICIT] = F(conv_implicit_forward),
        [FDL_CONV_WINOGRAD] = F(conv_winograd_4x4_forward),
        [FDL_CONV_WINOGRAD_2X2] = F(conv_winograd_2x2_forward),
        [FDL_CONV_WINOGRAD_5X5] = TAILORED_ONLY(F(conv_winograd_5x5_forward)),
        [FDL_CONV_WINOGRAD_STRIDED] = TAILORED_ONLY(F(conv_winograd_strided_forward)),
        [FDL_CONV_DOTS] = F(conv_dots_forward),
        [FDL_CONV_DEPTHWISE] = F(conv_depthwise_forward),
    },
    .conv_ready = {
        [FDL_CONV_WINOGRAD] = F(conv_winograd_4x4_ready),
        [FDL_CONV_WINOGRAD_2X2] = F(conv_winograd_2x2_ready),
        [FDL_CONV_WINOGRAD_5X5] = TAILORED_ONLY(F(conv_winograd_5x5_ready)),
    },
    .conv_grad_input = {
        [FDL_CONV_NAIVE] = F(conv_naive_grad_input),
        [FDL_CONV_IM2COL] = F(conv_im2col_grad_input),
        [FDL_CONV_IMPLICIT] = F(conv_implicit_grad_input),
        [FDL_CONV_WINOGRAD] = F(conv_winograd_4x4_grad_input),
        [FDL_CONV_WINOGRAD_2X2] = F(conv_winograd_2x2_grad_input),
        [FDL_CONV_WINOGRAD_5X5] = TAILORED_ONLY(F(conv_winograd_5x5_grad_input)),
        [FDL_CONV_WINOGRAD_STRIDED] = TAILORED_ONLY(F(conv_winograd_strided_grad_input)),
        [FDL_CONV_DEPTHWISE] = F(conv_depthwise_grad_input),
    },
    .conv_grad_weight = {
        [FDL_CONV_NAIVE] = F(conv_naive_grad_weight),
        [FDL_CONV_IM2COL] = F(conv_im2col_grad_weight),
        [FDL_CONV_IMPLICIT] = F(conv_implicit_grad_weight),
        [FDL_CONV_WINOGRAD] = F(conv_winograd_4x4_grad_weight),
        [FDL_CONV_WINOGRAD_2X2] = F(conv_winograd_2x2_grad_weight),
        [FDL_CONV_WINOGRAD_5X5] = TAILORED_ONLY(F(conv_winograd_5x5_grad_weight)),
        [FDL_CONV_WINOGRAD_STRIDED] = TAILORED_ONLY(F(conv_winograd_strided_grad_weight)),
        [FDL_CONV_OUTER] = F(conv_outer_grad_weight),
        [FDL_CONV_DEPTHWISE] = F(conv_depthwise_grad_weight),
    },
    .max_forward = {
        [FDL_POOL_NAIVE] = F(max_forward_naive), [FDL_POOL_ROWS] = F(max_forward_rows),
        [FDL_POOL_THREADED] = F(max_forward_threaded),
    },
    .max_scatter = {
        [FDL_POOL_NAIVE] = F(max_scatter_naive), [FDL_POOL_ROWS] = F(max_scatter_rows),
        [FDL_POOL_THREADED] = F(max_backward),
    },
    .max_gather = F(max_gather),
    .avg_forward = {
        [FDL_POOL_NAIVE] = F(avg_forward_naive), [FDL_POOL_ROWS] = F(avg_forward_rows),
        [FDL_POOL_THREADED] = F(avg_forward_threaded),
    },
    .avg_backward = {
        [FDL_POOL_NAIVE] = F(avg_backward_naive), [FDL_POOL_ROWS] = F(avg_backward_rows),
        [FDL_POOL_THREADED] = F(avg_backward),
    },
    .attention = {
        [FDL_ATTENTION_NAIVE] = F(attention_naive), [FDL_ATTENTION_TILED] = F(attention_forward),
    },
    .attention_backward = F(attention_backward),
    .attention_factors = F(attention_factors),
    .recurrence = F(recurrence_forward),
    .recurrence_backward = F(recurrence_backward),
    .cells_max = F(cells_max),
    .cells_avg = F(cells_avg),
    .cells_avg_backward = F(cells_avg_backward),
    .plane_gather = F(plane_gather),
    .plane_scatter = F(plane_scatter),
    .map = F(map),
    .map_name = F(map_name),
    .map_sum = F(map_sum),
    .softmax = F(softmax),
    .softmax_backward = F(softmax_backward),
    .cross_entropy = F(cross_entropy),
    .soft_cross_entropy = F(soft_cross_entropy),
    .classes = F(classes),
    .nll = F(nll),
    .nll_backward = F(nll_backward),
    .ctc_loss = F(ctc_loss),
    .channel_sum = F(channel_sum),
    .copy = F(copy),
    .join = F(join),
    .pad = F(pad),
    .pick = F(pick),
    .place = F(place),
    .reduce = F(reduce),
    .extreme = F(extreme),
    .variance = F(variance),
    .scan = F(scan),
    .random_fill = F(random_fill),
#if REAL_BYTES == 8
    .random_integers = random_integers,
    .permutation = permutation,
#endif
    .dropout = F(dropout),
    .batch_norm = F(batch_norm),
    .batch_norm_fixed = F(batch_norm_fixed),
    .batch_norm_backward = F(batch_norm_backward),
    .row_norm = F(row_norm),
    .row_norm_backward = F(row_norm_backward),
    .gather_rows = F(gather_rows),
    .scatter_rows = F(scatter_rows),
    .sgd = F(sgd), .adam = F(adam), .rmsprop = F(rmsprop),
    .adagrad = F(adagrad), .adadelta = F(adadelta), .adamax = F(adamax),
    .sum_squares = F(sum_squares), .scale = F(scale), .clamp = F(clamp),
    .fma_peak = F(fma_peak),
};

#undef REAL
#undef REAL_BYTES
#undef INT
#undef UINT
#undef F
#undef DTYPE
#undef VL
#undef V
#undef VU
#undef VI
#undef VIU
#undef VW
#undef VUI
#undef TAILORED_ONLY
