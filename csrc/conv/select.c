/* select.c: which algorithm a convolution runs on. Baseline code, no kernels: one table says what
 * each algorithm can compute, one which of them is chosen.
 *
 * `auto` takes, for each pass by itself, the first rule of `rules` whose condition holds for the
 * shape and whose algorithm exists for that pass and can compute it. Nothing else decides: not the
 * number of threads, so that the bits do not depend on it, and no timing at run time, so that they
 * do not depend on the neighbours. The thresholds are measured (python bench/versus.py conv).
 */
#include "fastdl.h"

/* ---- what each algorithm can compute --------------------------------------------------------- */

static int any(const fdl_conv *g)
{
    (void)g;
    return 1;
}

static int one_channel_a_group(const fdl_conv *g)
{
    const int unit = g->stride_h == 1 && g->stride_w == 1;
    return g->c == g->groups && (unit || (g->stride_w == 2 && g->dil_h == 1 && g->dil_w == 1));
}

static int one_tap(const fdl_conv *g)
{
    return g->r == 1 && g->s == 1 && g->stride_h == 1 && g->stride_w == 1 && g->pad_h == 0 &&
           g->pad_w == 0 && g->oh == g->h && g->ow == g->w;
}

static int three_by_three(const fdl_conv *g)
{
    return g->r == 3 && g->s == 3 && g->stride_h == 1 && g->stride_w == 1 && g->dil_h == 1 &&
           g->dil_w == 1;
}

typedef struct {
    const char *name, *requires;
    int (*fits)(const fdl_conv *g);
} algorithm;

static const algorithm algorithms[FDL_CONV_VARIANTS] = {
    [FDL_CONV_NAIVE] = {"naive", "any geometry", any},
    [FDL_CONV_IM2COL] = {"im2col", "any geometry", any},
    [FDL_CONV_IMPLICIT] = {"implicit", "any geometry", any},
    [FDL_CONV_WINOGRAD] = {"winograd", "3x3 filters, stride 1, dilation 1", three_by_three},
    [FDL_CONV_WINOGRAD_2X2] = {"winograd_2x2", "3x3 filters, stride 1, dilation 1",
                               three_by_three},
    [FDL_CONV_DEPTHWISE] = {"depthwise",
                            "as many groups as input channels; stride 1, or 2 along rows without "
                            "dilation", one_channel_a_group},
    [FDL_CONV_DIRECT] = {"direct", "any geometry", any},
    [FDL_CONV_GEMM] = {"gemm", "1x1 filters, stride 1, no padding", one_tap},
};

const char *fdl_conv_name(int variant) { return algorithms[variant].name; }

const char *fdl_conv_requires(int variant) { return algorithms[variant].requires; }

int fdl_conv_exists(const fdl_kernels *t, int pass, int variant)
{
    switch (pass) {
    case FDL_CONV_FORWARD: return t->conv_forward[variant] != NULL;
    case FDL_CONV_GRAD_INPUT: return t->conv_grad_input[variant] != NULL;
    default: return t->conv_grad_weight[variant] != NULL;
    }
}

int fdl_conv_fits(int variant, const fdl_conv *g) { return algorithms[variant].fits(g); }

/* ---- which of them is chosen ----------------------------------------------------------------- */

static int winograd_forbidden;

void fdl_forbid_winograd(int forbid)
{
    __atomic_store_n(&winograd_forbidden, forbid, __ATOMIC_RELAXED);
}

int fdl_winograd_forbidden(void) { return __atomic_load_n(&winograd_forbidden, __ATOMIC_RELAXED); }

static int several_groups(const fdl_conv *g) { return g->groups > 1; }

typedef struct {
    int passes;                        /* a bit for each it holds for */
    int algorithm;
    int (*when)(const fdl_conv *g);
    const char *why;
} rule;

enum { Y = 1 << FDL_CONV_FORWARD, DX = 1 << FDL_CONV_GRAD_INPUT, DW = 1 << FDL_CONV_GRAD_WEIGHT };

static const rule rules[] = {
    {Y | DX | DW, FDL_CONV_DEPTHWISE, several_groups,
     "a channel a group: nothing to sum over, so taps are read where they lie"},
    {Y | DX | DW, FDL_CONV_IMPLICIT, any,
     "any other: a matrix product that reads the input in place"},
};

int fdl_conv_choose(const fdl_kernels *t, int pass, const fdl_conv *g, const char **why)
{
    const int forbidden = fdl_winograd_forbidden();
    for (const rule *r = rules;; r++) {
        const int winograd =
            r->algorithm == FDL_CONV_WINOGRAD || r->algorithm == FDL_CONV_WINOGRAD_2X2;
        if (!(r->passes >> pass & 1) || (winograd && forbidden)) continue;
        if (!fdl_conv_exists(t, pass, r->algorithm) || !algorithms[r->algorithm].fits(g)) continue;
        if (!r->when(g)) continue;
        if (why) *why = r->why;
        return r->algorithm;
    }
}
